/* See recover.h. Owned by its maker. Steers nothing itself: each job is a migrate_resume. */
#include "control/source/recover.h"

#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/talk.h"

/* adit serve's caretaker holds a job for so long at a time while its destination is silent. */
enum { HELD_MS = 30000, HELD_EVERY_MS = 200 };

struct recover {
	struct event_base *base;
	char *state_dir;
	struct strvec jobs;
	size_t at; /* the next */
	enum migrate_decision decision;
	const struct recover_ops *ops;
	void *ctx;
	struct migrate *migrate;
	struct event *ev_next;
	unsigned settled, left;
	uint64_t held_until_ms; /* a person has decided, and another process steers the job */
};

const char *recover_outcome_name(enum recover_outcome o)
{
	static const char *const names[] = {"moved", "stayed", "waits", "held", "lost"};

	return names[o];
}

static void on_phase(void *ctx, const char *phase)
{
	(void)ctx;
	(void)phase;
}

static void on_note(void *ctx, const char *text)
{
	struct recover *r = ctx;

	if (r->ops->on_note)
		r->ops->on_note(r->ctx, r->jobs.at[r->at], text);
}

static void on_progress(void *ctx, const struct migrate_progress *p)
{
	(void)ctx;
	(void)p;
}

static void tell(struct recover *r, enum recover_outcome o, const char *text)
{
	if (o == RECOVER_WAITS)
		r->left++;
	else if (o != RECOVER_HELD)
		r->settled++;
	if (r->ops->on_result)
		r->ops->on_result(r->ctx, r->jobs.at[r->at], o, text);
	r->at++;
	event_active(r->ev_next, EV_TIMEOUT, 1);
}

static void on_migrate_end(void *ctx, const struct migrate_result *result)
{
	struct recover *r = ctx;
	struct err why = result->err;
	bool left = result->unfinished, lost = result->lost;

	migrate_free(r->migrate);
	r->migrate = NULL;
	switch (result->outcome) {
	case MIGRATE_MOVED:
		tell(r,
		     left   ? RECOVER_WAITS
		     : lost ? RECOVER_LOST
			    : RECOVER_MOVED,
		     left ? "the VM is the destination's; its end here, or the word of that to the "
			    "destination, is still to come"
		     : err_is_set(&why) ? why.text
					: "the VM is the destination's, and has ended here");
		break;
	case MIGRATE_STAYED:
		tell(r, left ? RECOVER_WAITS : lost ? RECOVER_LOST : RECOVER_STAYED, why.text);
		break;
	case MIGRATE_UNKNOWN:
		tell(r, RECOVER_WAITS, why.text);
		break;
	}
}

static const struct migrate_ops job_ops = {on_phase, on_note, on_progress, on_migrate_end};

/* Somebody else's job may be free in a moment; a person's word waits for that. */
static bool is_worth_waiting(struct recover *r, const struct err *e)
{
	if (e->code != ERR_REFUSED || r->decision == MIGRATE_DECIDE_NOTHING)
		return false;
	if (!r->held_until_ms) {
		r->held_until_ms = clock_ms() + HELD_MS;
		on_note(r, "another adit on this host asks the destination about it now: waiting "
			   "for that to end");
	}
	return clock_ms() < r->held_until_ms;
}

static void next(evutil_socket_t fd, short what, void *ctx)
{
	struct recover *r = ctx;
	struct err e = ERR_INIT;

	(void)fd;
	(void)what;
	if (r->at == r->jobs.count) {
		if (r->ops->on_end)
			r->ops->on_end(r->ctx, r->settled, r->left);
		return;
	}
	r->migrate =
	    migrate_resume(r->base, r->state_dir, r->jobs.at[r->at], r->decision, &job_ops, r, &e);
	if (r->migrate)
		return;
	if (is_worth_waiting(r, &e)) {
		event_add(r->ev_next, &(struct timeval){.tv_usec = HELD_EVERY_MS * 1000});
		return;
	}
	/* A record that went meanwhile was settled by somebody else. */
	tell(r, e.code == ERR_REFUSED || e.code == ERR_USAGE ? RECOVER_HELD : RECOVER_WAITS,
	     e.text);
}

/* Of the jobs only those with that prefix. */
static int choose(struct recover *r, const char *prefix, struct err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < r->jobs.count; i++) {
		if (strncmp(r->jobs.at[i], prefix, strlen(prefix)) == 0) {
			char *other = r->jobs.at[n];

			r->jobs.at[n++] = r->jobs.at[i];
			r->jobs.at[i] = other;
		}
	}
	if (n == 0)
		return err_set(e, ERR_USAGE,
			       "there is no unfinished job %s here (`adit recover` without a job "
			       "takes all that there are)",
			       prefix);
	if (n > 1)
		return err_set(e, ERR_USAGE,
			       "%zu unfinished jobs begin with %s: give more of the id", n, prefix);
	while (r->jobs.count > n) {
		free(r->jobs.at[--r->jobs.count]);
		r->jobs.at[r->jobs.count] = NULL;
	}
	return 0;
}

struct recover *recover_start(struct event_base *base, const char *state_dir, const char *prefix,
			      enum migrate_decision decision, const struct recover_ops *ops,
			      void *ctx, struct err *e)
{
	struct recover *r = calloc(1, sizeof(*r));

	if (!r) {
		err_set(e, ERR_SPACE, "no memory for the recovery");
		return NULL;
	}
	r->base = base;
	r->decision = decision;
	r->ops = ops;
	r->ctx = ctx;
	r->state_dir = strdup(state_dir);
	r->ev_next = evtimer_new(base, next, r);
	if (!r->state_dir || !r->ev_next) {
		err_set(e, ERR_SPACE, "no memory for the recovery");
		goto fail;
	}
	if (journal_list(state_dir, JOURNAL_SOURCE, &r->jobs, e) < 0)
		goto fail;
	if (prefix && choose(r, prefix, e) < 0)
		goto fail;
	event_active(r->ev_next, EV_TIMEOUT, 1);
	return r;
fail:
	recover_free(r);
	return NULL;
}

void recover_free(struct recover *r)
{
	if (!r)
		return;
	migrate_free(r->migrate);
	if (r->ev_next)
		event_free(r->ev_next);
	strvec_fini(&r->jobs);
	free(r->state_dir);
	free(r);
}
