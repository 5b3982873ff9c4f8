/* The tasks of a process: see tasks.h. Owns them all, ended ones too. */
#include "control/api/tasks.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "control/api/task_i.h"

enum { ID_MIN = 4 };

TAILQ_HEAD(task_list, task);

struct tasks {
	struct event_base *base;
	struct task_list list; /* the oldest first */
	struct event *reap;
	bool draining;
	void (*on_drained)(void *ctx);
	void *ctx;
};

/* Forgets the oldest of those that ended, but for those that somebody looks at. */
static void forget(struct tasks *s)
{
	struct task *t, *next;
	unsigned ended = 0;

	TAILQ_FOREACH(t, &s->list, link)
	ended += task_ended(t);
	for (t = TAILQ_FIRST(&s->list); t && ended > TASKS_ENDED_MAX; t = next) {
		next = TAILQ_NEXT(t, link);
		if (!task_ended(t) || !TAILQ_EMPTY(&t->watchers))
			continue;
		TAILQ_REMOVE(&s->list, t, link);
		task_free(t);
		ended--;
	}
}

static void on_reap(evutil_socket_t fd, short what, void *ctx)
{
	struct tasks *s = ctx;
	void (*fn)(void *) = s->on_drained;

	(void)fd;
	(void)what;
	forget(s);
	if (!fn || tasks_running(s))
		return;
	s->on_drained = NULL;
	fn(s->ctx);
}

/* From within a job's callback: what is to be freed is freed a turn later. */
static void on_task_end(void *ctx)
{
	struct tasks *s = ctx;

	event_active(s->reap, EV_TIMEOUT, 1);
}

struct tasks *tasks_new(struct event_base *base, struct err *e)
{
	struct tasks *s = calloc(1, sizeof(*s));

	if (s)
		s->reap = evtimer_new(base, on_reap, s);
	if (!s || !s->reap) {
		err_set(e, ERR_SPACE, "no memory for tasks");
		free(s);
		return NULL;
	}
	s->base = base;
	TAILQ_INIT(&s->list);
	return s;
}

void tasks_free(struct tasks *s)
{
	struct task *t;

	if (!s)
		return;
	while ((t = TAILQ_FIRST(&s->list))) {
		TAILQ_REMOVE(&s->list, t, link);
		task_free(t);
	}
	event_free(s->reap);
	free(s);
}

unsigned tasks_running(const struct tasks *s)
{
	const struct task *t;
	unsigned n = 0;

	TAILQ_FOREACH(t, &s->list, link)
	n += !task_ended(t);
	return n;
}

struct task *tasks_of_qmp(const struct tasks *s, const char *qmp)
{
	struct task *t;

	TAILQ_FOREACH(t, &s->list, link)
	{
		if (!task_ended(t) && strcmp(task_qmp(t), qmp) == 0)
			return t;
	}
	return NULL;
}

struct task *tasks_start(struct tasks *s, const struct migrate_config *config, const char *vm,
			 const struct migrate_ops *ops, void *ctx, struct err *e)
{
	struct task *t = config->qmp ? tasks_of_qmp(s, config->qmp) : NULL;

	if (t) {
		err_set(e, ERR_REFUSED, "the VM is being migrated already, by job %s", task_id(t));
		return NULL;
	}
	if (s->draining) {
		err_set(e, ERR_REFUSED, "adit is about to end, and takes no more jobs");
		return NULL;
	}
	if (tasks_running(s) >= TASKS_RUNNING_MAX) {
		err_set(e, ERR_LIMIT, "%d jobs run already: wait for the end of one",
			TASKS_RUNNING_MAX);
		return NULL;
	}
	t = task_start(s->base, config, vm, ops, ctx, on_task_end, s, e);
	if (t)
		TAILQ_INSERT_TAIL(&s->list, t, link);
	return t;
}

struct task *tasks_next(const struct tasks *s, const struct task *t)
{
	return t ? TAILQ_NEXT(t, link) : TAILQ_FIRST(&s->list);
}

struct task *tasks_find(const struct tasks *s, const char *id, struct err *e)
{
	struct task *t, *found = NULL;
	size_t len = strlen(id);

	TAILQ_FOREACH(t, &s->list, link)
	{
		if (strcmp(task_id(t), id) == 0)
			return t;
		if (len < ID_MIN || strncmp(task_id(t), id, len) != 0)
			continue;
		if (found) {
			err_set(e, ERR_USAGE, "more than one job's id begins with \"%.64s\"", id);
			return NULL;
		}
		found = t;
	}
	if (!found)
		err_set(e, ERR_USAGE, "there is no job \"%.64s\"", id);
	return found;
}

void tasks_drain(struct tasks *s, bool cancel, void (*fn)(void *ctx), void *ctx)
{
	struct task *t, *next;

	s->draining = true;
	s->on_drained = fn;
	s->ctx = ctx;
	for (t = TAILQ_FIRST(&s->list); t && cancel; t = next) {
		next = TAILQ_NEXT(t, link);
		if (!task_ended(t))
			task_cancel(t, NULL);
	}
	event_active(s->reap, EV_TIMEOUT, 1);
}
