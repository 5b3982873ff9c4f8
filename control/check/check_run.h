/*
 * A check from the source: reads the VM, connects to the destination, asks it (CHECK), and
 * measures how fast the guest writes its RAM. Nothing is changed on either side.
 */
#ifndef ADIT_CONTROL_CHECK_CHECK_RUN_H
#define ADIT_CONTROL_CHECK_CHECK_RUN_H

#include "control/check/check.h"
#include "control/wish.h"

struct event_base;
struct check_run;

struct check_run_ops {
	/* One more finding, as it comes; borrowed for the call. */
	void (*on_finding)(void *ctx, const struct check_finding *f);
	/* The end, once, from the loop: all that was found, borrowed. The run is to be freed,
	 * also within it. */
	void (*on_end)(void *ctx, const struct check *found);
};

/* Begins to check the migration that config wants (copied). measure_s: seconds to measure the
 * dirty rate for, 1 to 60; 0: not at all. ops and ctx are borrowed until check_run_free. What
 * goes wrong from here on is a finding. NULL with ERR_USAGE, ERR_CONFIG, ERR_AUTH or
 * ERR_SPACE. */
struct check_run *check_run_start(struct event_base *base, const struct migrate_config *config,
				  unsigned measure_s, const struct check_run_ops *ops, void *ctx,
				  struct err *e);

/* The round trip to the destination as the session measured it, microseconds; 0: not known. */
uint64_t check_run_rtt_us(const struct check_run *k);

void check_run_free(struct check_run *k);

#endif
