/*
 * A migration as the source steers it: Begin, Prepare, Perform, Finish, Confirm
 * (docs/phases.md). One object is one job.
 */
#ifndef ADIT_CONTROL_MIGRATE_H
#define ADIT_CONTROL_MIGRATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "tunnel/creds.h"
#include "tunnel/stream.h"

struct event_base;
struct migrate;

/* Strings and creds are borrowed for the life of the job. */
struct migrate_config {
	const char *qmp; /* the source QEMU's monitor, a unix socket */
	struct addr_dest dest;
	struct creds *creds;
	const char *dest_qmp;	/* of a QEMU that waits there; NULL: have one launched */
	const char *disks;	/* "all", "none" or NODE,... */
	uint64_t max_bandwidth; /* bytes a second over RAM and disks together; 0: no limit */
	uint64_t downtime_ms;	/* QEMU's downtime-limit; 0: as it is */
	unsigned timeout_s;	/* for the whole job; 0: none */
};

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

/* How it ended. Strings are the job's, valid in on_end. */
struct migrate_result {
	struct err err; /* ERR_NONE: the VM runs on the destination */
	bool running;	/* it ran, and runs; false: it was paused, and stays so */
	bool unknown;	/* the destination's answer was lost: the VM is paused here */
	uint64_t total_ms;
	uint64_t downtime_ms; /* from the guest's stop here to the word that it runs there */
	uint64_t passes;
	const struct migrate_stream *streams;
	size_t stream_count;
	const char *job;
	struct {
		const char *qmp, *dir; /* "" when not known */
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
 * wrong comes as on_end, from the loop. NULL when memory is short or config is misused. */
struct migrate *migrate_start(struct event_base *base, const struct migrate_config *config,
			      const struct migrate_ops *ops, void *ctx, struct err *e);

/* Asks for the end: the VM runs on here. Past the point where the destination may run
 * it, there is nothing to cancel any more and the job goes on to its end. */
void migrate_cancel(struct migrate *m);

void migrate_free(struct migrate *m);

#endif
