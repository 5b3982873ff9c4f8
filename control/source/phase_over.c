/* The end: the record goes, or stays for `adit recover`, and the owner is told from the loop. */
#include "control/source/migrate_i.h"

static void enter(struct migrate *m)
{
	if (m->result.settled)
		journal_remove(m->journal);
	else
		journal_close(m->journal);
	m->journal = NULL;
	event_active(m->result.ev, EV_TIMEOUT, 1);
}

const struct phase phase_over = {
    .name = "over",
    .is = PHASE_SETTLES,
    .enter = enter,
    .deadline = {.none = "nothing follows"},
};
