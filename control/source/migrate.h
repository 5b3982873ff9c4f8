/*
 * A migration as the source steers it: Begin, Prepare, Perform, Finish, Confirm
 * (docs/phases.md). One object is one job. The command line, the API and libadit all
 * start, watch, change and cancel it through this header.
 */
#ifndef ADIT_CONTROL_SOURCE_MIGRATE_H
#define ADIT_CONTROL_SOURCE_MIGRATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "control/wish.h"
#include "tunnel/stream.h"

struct event_base;
struct migrate;
struct vmdesc;

struct migrate_progress {
	const char *phase; /* "begin", "prepare", "disks", "ram", "switchover", ... */
	uint64_t elapsed_ms;
	uint64_t disk_done, disk_total; /* bytes of all mirrors */
	uint64_t ram_done, ram_total;	/* bytes; done is what the destination has of it now */
	uint64_t ram_remaining;
	uint64_t rate;	     /* bytes a second through the tunnel, of late */
	uint64_t dirty_rate; /* bytes a second that the guest writes anew */
	uint64_t passes;
	int64_t remaining_s; /* -1: not known */
};

struct migrate_stream {
	char name[64];
	enum stream_class class;
	uint64_t bytes; /* payload from source to destination */
	uint64_t rate;	/* mean, bytes a second, while it was open */
};

/* Of the job's session, for those who watch it. */
struct migrate_session {
	char peer[256], address[128];
	uint64_t sent_bytes, received_bytes, rtt_us, granted_bytes, retained_bytes, held_bytes;
	unsigned streams;
};

enum migrate_outcome {
	MIGRATE_MOVED,	 /* the VM is the destination's */
	MIGRATE_STAYED,	 /* the VM is the source's, as it was before */
	MIGRATE_UNKNOWN, /* it stands still here, and may run there: the job waits in the
			  * journal for `adit recover` */
};

/* How it ended. Strings are the job's, valid in on_end. */
struct migrate_result {
	struct err err; /* ERR_NONE: MIGRATE_MOVED, or a job was resumed and could be settled */
	enum migrate_outcome outcome;
	bool unfinished; /* the job's record stays, for `adit recover` */
	bool lost;	 /* no host has all of the VM any more; err says so */
	bool running;	 /* it ran, and runs; false: it was paused, and stays so */
	uint64_t total_ms;
	uint64_t downtime_ms; /* from the guest's stop here to the word that it runs there */
	uint64_t pause_ms;    /* from STOP here to RESUME there: without that word's way */
	uint64_t stall_ms;    /* before that: the longest that QEMU here left its monitor waiting */
	uint64_t passes;
	const struct migrate_stream *streams;
	size_t stream_count;
	const char *job;
	struct {
		const char *qmp, *dir; /* "" when not known */
		const char *kept;      /* a script that starts it again; "": none */
		uint64_t pid;
		bool launched;
	} there;
};

struct migrate_ops {
	void (*on_phase)(void *ctx, const char *phase);
	void (*on_note)(void *ctx, const char *text); /* something that a person should know */
	void (*on_progress)(void *ctx, const struct migrate_progress *p); /* once a second */
	/* The end, once; the job is to be freed by migrate_free, also within it. */
	void (*on_end)(void *ctx, const struct migrate_result *r);
};

/* Begins. config is copied; ops and ctx are borrowed until migrate_free. What goes
 * wrong comes as on_end, from the loop. NULL with ERR_USAGE (words that do not go together,
 * each named), ERR_CONFIG, ERR_AUTH or ERR_SPACE. */
struct migrate *migrate_start(struct event_base *base, const struct migrate_config *config,
			      const struct migrate_ops *ops, void *ctx, struct err *e);

/* What a person decides for a job that waits because its destination cannot be asked. */
enum migrate_decision {
	MIGRATE_DECIDE_NOTHING,	  /* the destination is asked */
	MIGRATE_DECIDE_RUN_HERE,  /* it does not run there, says the person: it goes on here */
	MIGRATE_DECIDE_DROP_HERE, /* it runs there, says the person: it is ended here */
};

/* Takes an unfinished job of the journal to its end: what was not announced is undone, what
 * was decided is done; where only the destination knows, it is asked. on_note tells what
 * was found. NULL with ERR_REFUSED when another process steers it, ERR_USAGE when there is
 * no such job, ERR_CONFIG for a record or credentials that cannot be read. */
struct migrate *migrate_resume(struct event_base *base, const char *state_dir, const char *job,
			       enum migrate_decision decision, const struct migrate_ops *ops,
			       void *ctx, struct err *e);

/* The job's id; the job's. */
const char *migrate_id(const struct migrate *m);

/* The VM, once Begin has read it; NULL before that. The job's. */
const struct vmdesc *migrate_vm(const struct migrate *m);

/* The phase by name, and the progress as it is now; the job's. */
const struct migrate_progress *migrate_progress(const struct migrate *m);

/* What is done in the phase of that name, in a few words for people; NULL: nothing to be told.
 * Static. */
const char *migrate_phase_text(const char *name);

/* The streams so far, at most max; returns how many. */
size_t migrate_streams(const struct migrate *m, struct migrate_stream *out, size_t max);

/* Zeroed while there is no session. */
void migrate_session(const struct migrate *m, struct migrate_session *out);

/* The limits in force, and new ones, whole. ERR_REFUSED past the switchover; ERR_USAGE for
 * what the job was not started for (postcopy). */
const struct migrate_limits *migrate_limits(const struct migrate *m);

/* Changes a job that runs: to these limits (NULL: as they are), and with postcopy the guest is
 * to run on the destination at once (ERR_USAGE without config.postcopy, ERR_REFUSED in a
 * phase where that cannot be, any but ram). All of it, or on an error nothing. */
int migrate_change(struct migrate *m, const struct migrate_limits *limits, bool postcopy,
		   struct err *e);

/* Asks for the end: the VM runs on here. Past the point where the destination may run
 * it, there is nothing to cancel any more and the job goes on to its end: returns false. */
bool migrate_cancel(struct migrate *m);

void migrate_free(struct migrate *m);

#endif
