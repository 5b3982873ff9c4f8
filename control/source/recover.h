/*
 * Recovery: takes the unfinished jobs of the source's journal to their end, one after
 * the other, and tells of each what was found and done. Used by adit recover, and by
 * adit serve for the jobs of processes that died.
 */
#ifndef ADIT_CONTROL_SOURCE_RECOVER_H
#define ADIT_CONTROL_SOURCE_RECOVER_H

#include "control/source/migrate.h"

enum recover_outcome {
	RECOVER_MOVED,	/* settled: the VM is the destination's */
	RECOVER_STAYED, /* settled: the VM is this host's */
	RECOVER_WAITS,	/* not settled: the destination cannot be asked now */
	RECOVER_HELD,	/* not ours: another process steers it */
	RECOVER_LOST,	/* settled: no host has all of the VM any more */
};

const char *recover_outcome_name(enum recover_outcome o);

/* Each may be NULL. */
struct recover_ops {
	void (*on_note)(void *ctx, const char *job, const char *text);
	void (*on_result)(void *ctx, const char *job, enum recover_outcome o, const char *text);
	/* Once, from the loop; r is to be freed by recover_free, also within it. left counts
	 * those that wait. */
	void (*on_end)(void *ctx, unsigned settled, unsigned left);
};

struct recover;

/* Begins with the job whose id begins with prefix, or all (NULL). A decision needs a
 * prefix. ops and ctx are borrowed. NULL with ERR_USAGE when no job, or more than one, has
 * that prefix. */
struct recover *recover_start(struct event_base *base, const char *state_dir, const char *prefix,
			      enum migrate_decision decision, const struct recover_ops *ops,
			      void *ctx, struct err *e);

/* What is under way stays in the journal. NULL is fine. */
void recover_free(struct recover *r);

#endif
