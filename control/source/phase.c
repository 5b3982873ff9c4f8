/* The table itself: phase.h. */
#include "control/source/phase.h"

#define TO(state) (1u << MIGRATE_##state)

/* A job that is resumed goes from begin to where its record says. */
static const struct {
	const char *name;
	unsigned to, is;
} phases[MIGRATE_STATES] = {
    [MIGRATE_BEGIN] = {"begin", TO(PREPARE) | TO(ASK) | TO(END) | TO(UNDO),
		       PHASE_EARLY | PHASE_RETURNS},
    [MIGRATE_PREPARE] = {"prepare", TO(DISKS) | TO(RAM) | TO(UNDO), PHASE_EARLY | PHASE_RETURNS},
    [MIGRATE_DISKS] = {"disks", TO(RAM) | TO(UNDO),
		       PHASE_EARLY | PHASE_COPIES | PHASE_MIRRORS | PHASE_PERFORMS | PHASE_RETURNS |
			   PHASE_HEARS},
    [MIGRATE_RAM] = {"ram", TO(SWITCHOVER) | TO(UNDO),
		     PHASE_EARLY | PHASE_COPIES | PHASE_MIRRORS | PHASE_PERFORMS | PHASE_RAM_FLOWS |
			 PHASE_RETURNS | PHASE_HEARS},
    [MIGRATE_SWITCHOVER] = {"switchover", TO(DEVICE) | TO(UNDO),
			    PHASE_MIRRORS | PHASE_PERFORMS | PHASE_RAM_FLOWS | PHASE_RETURNS |
				PHASE_HEARS},
    /* (with postcopy a failure asks: it may have begun there) */
    [MIGRATE_DEVICE] = {"device", TO(FINISH) | TO(ASK) | TO(UNDO),
			PHASE_PERFORMS | PHASE_RAM_FLOWS | PHASE_RETURNS | PHASE_HEARS},
    [MIGRATE_FINISH] = {"finish", TO(ASK) | TO(PAGING) | TO(CONFIRM) | TO(UNDO),
			PHASE_HEARS | PHASE_ASKS},
    [MIGRATE_ASK] = {"ask", TO(PAGING) | TO(CONFIRM) | TO(UNDO) | TO(OVER), PHASE_HEARS},
    [MIGRATE_PAGING] = {"postcopy", TO(ASK) | TO(CONFIRM) | TO(UNDO), PHASE_HEARS | PHASE_ASKS},
    [MIGRATE_CONFIRM] = {"confirm", TO(ASK) | TO(END) | TO(UNDO), PHASE_ASKS},
    [MIGRATE_END] = {"end", TO(ASK) | TO(OVER), PHASE_SETTLES},
    [MIGRATE_UNDO] = {"undo", TO(OVER), PHASE_SETTLES},
    [MIGRATE_OVER] = {"over", 0, PHASE_SETTLES},
};

const char *migrate_state_name(enum migrate_state state)
{
	return phases[state].name;
}

bool phase_is(enum migrate_state state, enum phase_trait trait)
{
	return phases[state].is & (unsigned)trait;
}

bool phase_may(enum migrate_state from, enum migrate_state to)
{
	return phases[from].to & (1u << to);
}
