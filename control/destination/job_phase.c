/* The table itself: job_phase.h. */
#include "control/destination/job_phase.h"

#define TO(state) (1u << JOB_##state)

enum { BEFORE_CLOSED = JOB_COPIES | JOB_RECEIVES | JOB_OPEN | JOB_CLAIMS };

static const struct {
	const char *name;
	unsigned to, is;
} phases[JOB_STATES] = {
    [JOB_WAITING] = {"waiting", TO(PREPARING) | TO(ASKED) | TO(OVER), BEFORE_CLOSED},
    [JOB_PREPARING] = {"preparing", TO(READY) | TO(OVER), BEFORE_CLOSED},
    /* Without disks there is nothing to close. */
    [JOB_READY] = {"ready", TO(CLOSING) | TO(FINISHING) | TO(OVER), BEFORE_CLOSED},
    /* (to finishing in postcopy, when the source is lost) */
    [JOB_CLOSING] = {"closing", TO(CLOSED) | TO(FINISHING) | TO(OVER), BEFORE_CLOSED},
    [JOB_CLOSED] = {"closed", TO(FINISHING) | TO(OVER), JOB_RECEIVES | JOB_OPEN | JOB_CLAIMS},
    [JOB_FINISHING] = {"finishing", TO(DECIDED) | TO(OVER), JOB_OPEN | JOB_CLAIMS},
    [JOB_DECIDED] = {"decided", TO(RUNS) | TO(OVER), JOB_CLAIMS},
    [JOB_ASKED] = {"asked", TO(RUNS) | TO(OVER), JOB_CLAIMS},
    [JOB_RUNS] = {"runs", TO(CONFIRMED) | TO(OVER), 0},
    [JOB_CONFIRMED] = {"confirmed", TO(OVER), 0},
    [JOB_OVER] = {"over", 0, 0},
};

const char *job_state_name(enum job_state state)
{
	return phases[state].name;
}

bool job_state_is(enum job_state state, enum job_trait trait)
{
	return phases[state].is & (unsigned)trait;
}

bool job_may(enum job_state from, enum job_state to)
{
	return phases[from].to & (1u << to);
}
