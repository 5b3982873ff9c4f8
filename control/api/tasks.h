/*
 * The migrations of this process that go away from this host, several at once: adit
 * serve's that came by the API, or the one of adit migrate. Ended tasks are kept for a
 * while, so that what became of them can be asked for.
 */
#ifndef ADIT_CONTROL_API_TASKS_H
#define ADIT_CONTROL_API_TASKS_H

#include "control/api/task.h"

struct event_base;
struct tasks;

enum {
	TASKS_RUNNING_MAX = 64,
	TASKS_ENDED_MAX = 100, /* kept */
};

/* NULL with ERR_SPACE. */
struct tasks *tasks_new(struct event_base *base, struct err *e);

/* Ends all jobs at once, as migrate_free does: tasks_drain is the orderly way. NULL is
 * fine. */
void tasks_free(struct tasks *s);

/* Starts a job. vm is the VM's name, NULL when it is not known yet. ops is
 * told what migrate.h says, after the task has taken note; both ops and ctx are borrowed
 * until on_end. NULL: notes and the end go to the log. NULL with what migrate_start says, ERR_REFUSED when a task of that monitor
 * runs or no more are taken (tasks_drain), ERR_LIMIT. */
struct task *tasks_start(struct tasks *s, const struct migrate_config *config, const char *vm,
			 const struct migrate_ops *ops, void *ctx, struct err *e);

/* The task whose id is, or begins with, id (of at least 4 characters): NULL with ERR_USAGE
 * when there is none, or more than one. */
struct task *tasks_find(const struct tasks *s, const char *id, struct err *e);

/* From the oldest to the newest: the one after t, the first for NULL. NULL behind the last. */
struct task *tasks_next(const struct tasks *s, const struct task *t);

/* The task that has not ended and steers the VM behind this monitor; NULL. */
struct task *tasks_of_qmp(const struct tasks *s, const char *qmp);

unsigned tasks_running(const struct tasks *s);

/* No more are taken, and those that run are waited for; or, with cancel, cancelled: past the
 * point where that can be they go on to their end. fn is called from the loop once none runs.
 * May be called again, to cancel. */
void tasks_drain(struct tasks *s, bool cancel, void (*fn)(void *ctx), void *ctx);

#endif
