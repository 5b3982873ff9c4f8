/*
 * Will a migration converge, and how long will it take: the guest's dirty rate against what
 * the path is given. Arithmetic alone.
 */
#ifndef ADIT_CONTROL_CHECK_CHECK_RATE_H
#define ADIT_CONTROL_CHECK_CHECK_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "control/check/check.h"

struct check_rate {
	uint64_t dirty;		/* bytes a second that the guest writes anew */
	uint64_t bandwidth;	/* bytes a second that the migration may use; 0: not known */
	uint64_t memory, disks; /* bytes that are to go over */
	uint64_t downtime_ms;	/* how long the guest may stand still */
	bool still;		/* it is paused while RAM goes over: nothing is written */
	bool helped;		/* something ends it all the same: postcopy and its like */
};

/* Appends: dirty-rate, convergence, duration. */
void check_rate(struct check *c, const struct check_rate *r);

#endif
