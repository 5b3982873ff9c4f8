/* What task.c, task_json.c and tasks.c share; nobody else includes it. */
#ifndef ADIT_CONTROL_API_TASK_I_H
#define ADIT_CONTROL_API_TASK_I_H

#include <time.h>

#include "control/api/task.h"

TAILQ_HEAD(task_watcher_list, task_watcher);

struct task {
	TAILQ_ENTRY(task) link;	 /* of the manager */
	struct migrate *migrate; /* NULL once it has ended */
	const struct migrate_ops *ops;
	void *ctx;
	void (*on_end)(void *manager);
	void *manager;

	char id[64];
	char *vm, *message;
	json_t *wish; /* what was asked for, as migrate_config.h has it */
	enum task_status status;
	struct timespec created, started, ended; /* of the day; zeroed: not yet */
	unsigned percent;
	bool cancelling;

	char *events[TASK_EVENTS_MAX]; /* number N is at N % TASK_EVENTS_MAX */
	uint64_t events_next;
	struct task_watcher_list watchers;

	/* what is left of the job */
	char phase[32];
	struct migrate_progress numbers;
	struct migrate_limits limits;
	struct migrate_stream *streams;
	size_t stream_count;
	int64_t downtime_ms;
	json_t *result;
};

/* Starts the job of a new task; on_end(manager) when it has ended, from within the job's
 * own on_end. NULL with what migrate_start says. */
struct task *task_start(struct event_base *base, const struct migrate_config *config,
			const char *vm, const struct migrate_ops *ops, void *ctx,
			void (*on_end)(void *manager), void *manager, struct err *e);

/* With its job, if that lives. NULL is fine. */
void task_free(struct task *t);

#endif
