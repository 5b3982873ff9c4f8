/*
 * A task: one migration of this host as a program sees it (docs/api.md): what it is for,
 * how far it is, and what it said. It outlives its job (struct migrate), so that the
 * result can still be asked for. Tasks belong to their manager, tasks.h.
 */
#ifndef ADIT_CONTROL_API_TASK_H
#define ADIT_CONTROL_API_TASK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"
#include "control/source.h"

enum task_status {
	TASK_PENDING, /* the VM is being read; the destination knows of nothing */
	TASK_RUNNING,
	TASK_COMPLETED, /* the VM is the destination's */
	TASK_FAILED,	/* it is this host's still */
	TASK_CANCELLED, /* somebody's wish; it is this host's still */
	TASK_UNKNOWN,	/* nobody knows: it stands still here, and may run there */
	TASK_STATUSES,
};

enum {
	TASK_EVENTS_MAX = 256, /* kept of each task; older ones are forgotten */
	TASK_STREAMS_MAX = 512,
};

struct task;

/* The job's id, the VM's name ("" until it is known) and monitor, where it goes; the
 * task's. */
const char *task_id(const struct task *t);
const char *task_vm(const struct task *t);
const char *task_qmp(const struct task *t);
const char *task_target(const struct task *t);

enum task_status task_status(const struct task *t);
const char *task_status_name(enum task_status status);
bool task_ended(const struct task *t);

/* Percent of the way, never less than before; 100 once completed. */
unsigned task_progress(const struct task *t);

/* How it is now, and how it was when it ended. */
const struct migrate_progress *task_numbers(const struct task *t);
/* At most max; returns how many. */
size_t task_streams(const struct task *t, struct migrate_stream *out, size_t max);
/* Zeroed while there is none. */
void task_session(const struct task *t, struct migrate_session *out);
/* Milliseconds that the guest stood still; -1 until it is known. */
int64_t task_downtime_ms(const struct task *t);

/* The Task of docs/openapi.json; owned by the caller. NULL when memory is short. */
json_t *task_to_json(const struct task *t);

/* Asks for the end, with the VM on this host. ERR_REFUSED when it has ended, or when the
 * destination may run it already and it goes on to its end. */
int task_cancel(struct task *t, struct err *e);

/* Changes what patch (an object) names: max_bandwidth, downtime_limit, timeout, on_timeout,
 * and "postcopy": true. ERR_USAGE names what is wrong, and nothing is changed then;
 * ERR_REFUSED when it is too late or too early. */
int task_set(struct task *t, const json_t *patch, struct err *e);

/* Events are numbered from 0; those from task_events_first to task_events_next - 1 are
 * there. Each is a JSON object as text, the last one of an ended task is "completed" or
 * "failed". NULL for a number that is not there; the task's until the next event. */
uint64_t task_events_first(const struct task *t);
uint64_t task_events_next(const struct task *t);
const char *task_event(const struct task *t, uint64_t number);

/* Somebody who wants to know of events. The struct is the caller's, and stays where it is
 * until task_unwatch; the task is kept as long. fn may not free anything of the task's. */
struct task_watcher {
	TAILQ_ENTRY(task_watcher) link;
	void (*fn)(void *ctx);
	void *ctx;
};

void task_watch(struct task *t, struct task_watcher *w);
void task_unwatch(struct task *t, struct task_watcher *w);

#endif
