/*
 * What every phase stands on: the way from one to the next, failure, the timers, and what comes
 * from the source and the twin. What the table (job_phase.h) does not list is refused here, and
 * only here: a way, a cookie, a stream.
 *
 * Which table that is is in the job, so that nothing here knows a phase, and phases know nothing of
 * each other.
 */
#include "control/destination/job_i.h"

#include <string.h>

#include "base/clock.h"
#include "base/point.h"

enum { SUSPECT_MS = 700 };

const struct job_phase *job_phase(const struct job *j)
{
	return j->phases[j->state];
}

bool job_is(const struct job *j, enum job_trait trait)
{
	return job_phase(j)->is & (unsigned)trait;
}

/* ---- timers ---- */

static void arm(struct event *ev, uint64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	event_add(ev, &tv);
}

void job_deadline(struct job *j, uint64_t ms)
{
	arm(j->core.ev_deadline, ms);
}

void job_no_deadline(struct job *j)
{
	event_del(j->core.ev_deadline);
}

void job_look(struct job *j, uint64_t ms)
{
	arm(j->core.ev_look, ms);
}

void job_no_look(struct job *j)
{
	event_del(j->core.ev_look);
}

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
	struct job *j = ctx;

	(void)fd;
	(void)what;
	if (job_phase(j)->deadline.over)
		job_phase(j)->deadline.over(j);
}

static void on_look(evutil_socket_t fd, short what, void *ctx)
{
	struct job *j = ctx;

	(void)fd;
	(void)what;
	if (job_phase(j)->look)
		job_phase(j)->look(j);
}

static void on_suspect(evutil_socket_t fd, short what, void *ctx)
{
	struct job *j = ctx;

	(void)fd;
	(void)what;
	job_fail(j, &j->core.suspect);
}

int job_core_init(struct job *j, struct event_base *base)
{
	j->core.ev_deadline = evtimer_new(base, on_deadline, j);
	j->core.ev_look = evtimer_new(base, on_look, j);
	j->core.ev_suspect = evtimer_new(base, on_suspect, j);
	return j->core.ev_deadline && j->core.ev_look && j->core.ev_suspect ? 0 : -1;
}

void job_core_fini(struct job *j)
{
	struct event **all[] = {&j->core.ev_deadline, &j->core.ev_look, &j->core.ev_suspect};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (*all[i])
			event_free(*all[i]);
		*all[i] = NULL;
	}
}

/* ---- the way ---- */

/* The safe one: undone as long as nobody may have it run here; else the journal keeps it. */
static void refuse(struct job *j, enum job_state state)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_SYSTEM, "a fault of adit's own: there is no way from phase %s to %s",
		job_phase(j)->name, j->phases[state]->name);
	log_error(&j->about, "%s", e.text);
	if (job_is(j, JOB_OPEN) && j->postcopy != JOB_POSTCOPY_BEGUN)
		job_fail(j, &e);
	else if (!job_is(j, JOB_SETTLES))
		job_leave_to_journal(j, e.text);
}

bool job_enter(struct job *j, enum job_state state)
{
	const struct job_phase *from = job_phase(j), *to = j->phases[state];
	const struct job_deadline *d = &to->deadline;

	if (!(from->to & (1u << state))) {
		refuse(j, state);
		return false;
	}
	log_debug(&j->about, "%s -> %s", from->name, to->name);
	event_del(j->core.ev_deadline);
	event_del(j->core.ev_look);
	if (from->leave)
		from->leave(j);
	j->before = j->state;
	j->state = state;
	if (d->ms)
		job_deadline(j, d->point ? POINT_MS(d->point, d->ms) : d->ms);
	if (to->enter)
		to->enter(j);
	return true;
}

void job_over(struct job *j)
{
	if (j->state != JOB_OVER)
		job_enter(j, JOB_OVER);
}

void job_over_at_once(struct job *j)
{
	job_over(j);
	event_add(j->over.ev_reap, &(struct timeval){0});
}

void job_leave_to_journal(struct job *j, const char *why)
{
	talk_end(j->talk, why);
	talk_free(j->talk);
	j->talk = NULL;
	job_over(j);
}

/* ---- failure ---- */

void job_no_suspect(struct job *j)
{
	event_del(j->core.ev_suspect);
	j->core.suspect.code = ERR_NONE;
}

void job_return(struct job *j, enum job_word word, const struct err *why)
{
	event_del(j->core.ev_suspect);
	j->over.undoes = JOB_UNDO_DUE;
	j->over.word = word;
	j->over.why = *why;
	job_enter(j, JOB_OVER);
}

void job_fail(struct job *j, const struct err *e)
{
	if (!job_is(j, JOB_OPEN)) {
		if (!job_is(j, JOB_SETTLES))
			log_warn(&j->about, "after the decision: %s", e->text);
		return;
	}
	log_warn(&j->about, "migration failed: %s", e->text);
	if (job_phase(j)->fail)
		job_phase(j)->fail(j, e);
	else
		job_return(j, *j->id ? JOB_WORD_ABORT : JOB_WORD_NONE, e);
}

void job_suspect(struct job *j, const struct err *e)
{
	if (!job_is(j, JOB_OPEN) || err_is_set(&j->core.suspect))
		return;
	j->core.suspect = *e;
	arm(j->core.ev_suspect, SUSPECT_MS);
}

/* ---- the talk ---- */

int job_say(struct job *j, json_t *msg)
{
	struct err e = ERR_INIT;

	if (!j->talk) {
		json_decref(msg);
		return -1;
	}
	if (talk_send(j->talk, msg, &e) == 0)
		return 0;
	job_fail(j, &e);
	return -1;
}

void job_out_of_order(struct job *j, enum cookie_kind kind)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_PROTOCOL, "the source sent %s in state %s, out of order",
		cookie_kind_name(kind), job_phase(j)->name);
	job_fail(j, &e);
}

void job_take_cookie(struct job *j, enum cookie_kind kind, const json_t *msg)
{
	const struct job_cookie *c = job_phase(j)->cookies;
	const char *id = json_string_value(json_object_get(msg, "job"));
	struct err e = ERR_INIT;

	if (job_is(j, JOB_SETTLES)) /* it was said before it heard of the end */
		return;
	while (c && c->take && c->kind != kind)
		c++;
	if (c && c->take && !*j->id) { /* the first one names the job */
		c->take(j, msg);
	} else if (strcmp(id, j->id) != 0) {
		err_set(&e, ERR_PROTOCOL, "the source spoke of another job than its own");
		job_fail(j, &e);
	} else if (c && c->take) {
		c->take(j, msg);
	} else {
		job_out_of_order(j, kind);
	}
}

static void on_cookie(void *ctx, struct talk *t, enum cookie_kind kind, const json_t *msg)
{
	(void)t;
	job_take_cookie(ctx, kind, msg);
}

static void on_talk_end(void *ctx, struct talk *t, const struct err *why)
{
	struct job *j = ctx;
	struct err e = *why;

	(void)t;
	if (!err_is_set(&e))
		err_set(&e, ERR_CLOSED, "the source went away");
	talk_free(j->talk);
	j->talk = NULL;
	if (job_phase(j)->talk_ended)
		job_phase(j)->talk_ended(j, &e);
	else if (job_is(j, JOB_OPEN))
		job_fail(j, &e);
}

const struct talk_ops job_talk_ops = {on_cookie, on_talk_end};

void job_session_ended(void *ctx, struct session *s, const struct err *why)
{
	struct job *j = ctx;

	(void)s;
	(void)why; /* the talk was told before */
	j->session = NULL;
}

void job_take_stream(struct job *j, struct session *s, struct stream *stream, const char *target)
{
	size_t head = strlen(j->route);
	const char *what = strncmp(target, j->route, head) == 0 ? target + head : "";

	if (s != j->session)
		stream_refuse(stream, CODE_REFUSED, "that job is not of this session");
	else if (!job_phase(j)->stream)
		job_no_streams(stream);
	else
		job_phase(j)->stream(j, s, stream, what);
}

void job_no_streams(struct stream *stream)
{
	stream_refuse(stream, CODE_REFUSED, "that job takes no streams now");
}

/* ---- the twin ---- */

static void on_qmp_ready(void *ctx, struct qmp *q)
{
	struct job *j = ctx;

	(void)q;
	if (job_phase(j)->qemu_ready)
		job_phase(j)->qemu_ready(j);
}

/* (QEMU tells of much; what a phase does not list is nothing to it.) */
void job_take_event(struct job *j, const char *name, const json_t *data)
{
	const struct job_event *v = job_phase(j)->events;

	for (; v && v->take; v++)
		if (strcmp(v->name, name) == 0) {
			v->take(j, name, data);
			return;
		}
}

static void on_qmp_event(void *ctx, struct qmp *q, const char *name, const json_t *data)
{
	(void)q;
	job_take_event(ctx, name, data);
}

void job_drop_qmp(struct job *j)
{
	qmp_free(j->qemu.qmp);
	j->qemu.qmp = NULL;
}

void job_prefix_gone(const struct job *j, struct err *e)
{
	err_prefix(e, "the destination's QEMU has gone%s",
		   j->wish.launched ? "" : " (its own standard error says why)");
}

static void on_qmp_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct job *j = ctx;
	struct err e = *why;

	(void)q;
	if (job_phase(j)->qemu_ended)
		job_phase(j)->qemu_ended(j, &e);
	else
		job_drop_qmp(j);
}

const struct qmp_ops job_qmp_ops = {on_qmp_ready, on_qmp_event, on_qmp_end};

void job_qemu_exited(struct job *j, const struct err *why)
{
	if (job_phase(j)->qemu_exited)
		job_phase(j)->qemu_exited(j, why);
	else
		job_fail(j, why);
}
