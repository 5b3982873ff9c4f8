/*
 * What every phase stands on: the way from one to the next, failure, the timers, and what comes
 * from the source and the twin. What the table (arrival_phase.h) does not list is refused here, and
 * only here: a way, a cookie, a stream.
 *
 * Which table that is is in the arrival, so that nothing here knows a phase, and phases know
 * nothing of each other.
 */
#include "control/destination/arrival_i.h"

#include <string.h>

#include "base/clock.h"
#include "base/point.h"

enum { SUSPECT_MS = 700 };

const struct arrival_phase *arrival_phase(const struct arrival *a)
{
	return a->phases[a->state];
}

bool arrival_is(const struct arrival *a, enum arrival_trait trait)
{
	return arrival_phase(a)->is & (unsigned)trait;
}

/* ---- timers ---- */

static void arm(struct event *ev, uint64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	event_add(ev, &tv);
}

void arrival_deadline(struct arrival *a, uint64_t ms)
{
	arm(a->core.ev_deadline, ms);
}

void arrival_no_deadline(struct arrival *a)
{
	event_del(a->core.ev_deadline);
}

void arrival_look(struct arrival *a, uint64_t ms)
{
	arm(a->core.ev_look, ms);
}

void arrival_no_look(struct arrival *a)
{
	event_del(a->core.ev_look);
}

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
	struct arrival *a = ctx;

	(void)fd;
	(void)what;
	if (arrival_phase(a)->deadline.over)
		arrival_phase(a)->deadline.over(a);
}

static void on_look(evutil_socket_t fd, short what, void *ctx)
{
	struct arrival *a = ctx;

	(void)fd;
	(void)what;
	if (arrival_phase(a)->look)
		arrival_phase(a)->look(a);
}

static void on_suspect(evutil_socket_t fd, short what, void *ctx)
{
	struct arrival *a = ctx;

	(void)fd;
	(void)what;
	arrival_fail(a, &a->core.suspect);
}

int arrival_core_init(struct arrival *a, struct event_base *base)
{
	a->core.ev_deadline = evtimer_new(base, on_deadline, a);
	a->core.ev_look = evtimer_new(base, on_look, a);
	a->core.ev_suspect = evtimer_new(base, on_suspect, a);
	return a->core.ev_deadline && a->core.ev_look && a->core.ev_suspect ? 0 : -1;
}

void arrival_core_fini(struct arrival *a)
{
	struct event **all[] = {&a->core.ev_deadline, &a->core.ev_look, &a->core.ev_suspect};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (*all[i])
			event_free(*all[i]);
		*all[i] = NULL;
	}
}

/* ---- the way ---- */

/* The safe one: undone as long as nobody may have it run here; else the journal keeps it. */
static void refuse(struct arrival *a, enum arrival_state state)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_SYSTEM, "a fault of adit's own: there is no way from phase %s to %s",
		arrival_phase(a)->name, a->phases[state]->name);
	log_error(&a->about, "%s", e.text);
	if (arrival_is(a, ARRIVAL_OPEN) && a->postcopy != ARRIVAL_POSTCOPY_BEGUN)
		arrival_fail(a, &e);
	else if (!arrival_is(a, ARRIVAL_SETTLES))
		arrival_leave_to_journal(a, e.text);
}

bool arrival_enter(struct arrival *a, enum arrival_state state)
{
	const struct arrival_phase *from = arrival_phase(a), *to = a->phases[state];
	const struct arrival_deadline *d = &to->deadline;

	if (!(from->to & (1u << state))) {
		refuse(a, state);
		return false;
	}
	log_debug(&a->about, "%s -> %s", from->name, to->name);
	event_del(a->core.ev_deadline);
	event_del(a->core.ev_look);
	if (from->leave)
		from->leave(a);
	a->before = a->state;
	a->state = state;
	if (d->ms)
		arrival_deadline(a, d->point ? POINT_MS(d->point, d->ms) : d->ms);
	if (to->enter)
		to->enter(a);
	return true;
}

void arrival_over(struct arrival *a)
{
	if (a->state != ARRIVAL_OVER)
		arrival_enter(a, ARRIVAL_OVER);
}

void arrival_over_at_once(struct arrival *a)
{
	arrival_over(a);
	event_add(a->over.ev_reap, &(struct timeval){0});
}

void arrival_leave_to_journal(struct arrival *a, const char *why)
{
	talk_end(a->talk, why);
	talk_free(a->talk);
	a->talk = NULL;
	arrival_over(a);
}

/* ---- failure ---- */

void arrival_no_suspect(struct arrival *a)
{
	event_del(a->core.ev_suspect);
	a->core.suspect.code = ERR_NONE;
}

void arrival_return(struct arrival *a, enum arrival_word word, const struct err *why)
{
	event_del(a->core.ev_suspect);
	a->over.undoes = ARRIVAL_UNDO_DUE;
	a->over.word = word;
	a->over.why = *why;
	arrival_enter(a, ARRIVAL_OVER);
}

void arrival_fail(struct arrival *a, const struct err *e)
{
	if (!arrival_is(a, ARRIVAL_OPEN)) {
		if (!arrival_is(a, ARRIVAL_SETTLES))
			log_warn(&a->about, "after the decision: %s", e->text);
		return;
	}
	log_warn(&a->about, "migration failed: %s", e->text);
	if (arrival_phase(a)->fail)
		arrival_phase(a)->fail(a, e);
	else
		arrival_return(a, *a->id ? ARRIVAL_WORD_ABORT : ARRIVAL_WORD_NONE, e);
}

void arrival_suspect(struct arrival *a, const struct err *e)
{
	if (!arrival_is(a, ARRIVAL_OPEN) || err_is_set(&a->core.suspect))
		return;
	a->core.suspect = *e;
	arm(a->core.ev_suspect, SUSPECT_MS);
}

/* ---- the talk ---- */

int arrival_say(struct arrival *a, json_t *msg)
{
	struct err e = ERR_INIT;

	if (!a->talk) {
		json_decref(msg);
		return -1;
	}
	if (talk_send(a->talk, msg, &e) == 0)
		return 0;
	arrival_fail(a, &e);
	return -1;
}

void arrival_out_of_order(struct arrival *a, enum cookie_kind kind)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_PROTOCOL, "the source sent %s in state %s, out of order",
		cookie_kind_name(kind), arrival_phase(a)->name);
	arrival_fail(a, &e);
}

void arrival_take_cookie(struct arrival *a, enum cookie_kind kind, const json_t *msg)
{
	const struct arrival_cookie *c = arrival_phase(a)->cookies;
	const char *id = json_string_value(json_object_get(msg, "job"));
	struct err e = ERR_INIT;

	if (arrival_is(a, ARRIVAL_SETTLES)) /* it was said before it heard of the end */
		return;
	while (c && c->take && c->kind != kind)
		c++;
	if (c && c->take && !*a->id) { /* the first one names the job */
		c->take(a, msg);
	} else if (strcmp(id, a->id) != 0) {
		err_set(&e, ERR_PROTOCOL, "the source spoke of another job than its own");
		arrival_fail(a, &e);
	} else if (c && c->take) {
		c->take(a, msg);
	} else {
		arrival_out_of_order(a, kind);
	}
}

static void on_cookie(void *ctx, struct talk *t, enum cookie_kind kind, const json_t *msg)
{
	(void)t;
	arrival_take_cookie(ctx, kind, msg);
}

static void on_talk_end(void *ctx, struct talk *t, const struct err *why)
{
	struct arrival *a = ctx;
	struct err e = *why;

	(void)t;
	if (!err_is_set(&e))
		err_set(&e, ERR_CLOSED, "the source went away");
	talk_free(a->talk);
	a->talk = NULL;
	if (arrival_phase(a)->talk_ended)
		arrival_phase(a)->talk_ended(a, &e);
	else if (arrival_is(a, ARRIVAL_OPEN))
		arrival_fail(a, &e);
}

const struct talk_ops arrival_talk_ops = {on_cookie, on_talk_end};

void arrival_session_ended(void *ctx, struct session *s, const struct err *why)
{
	struct arrival *a = ctx;

	(void)s;
	(void)why; /* the talk was told before */
	a->session = NULL;
}

void arrival_take_stream(struct arrival *a, struct session *s, struct stream *stream,
			 const char *target)
{
	size_t head = strlen(a->route);
	const char *what = strncmp(target, a->route, head) == 0 ? target + head : "";

	if (s != a->session)
		stream_refuse(stream, CODE_REFUSED, "that job is not of this session");
	else if (!arrival_phase(a)->stream)
		arrival_no_streams(stream);
	else
		arrival_phase(a)->stream(a, s, stream, what);
}

void arrival_no_streams(struct stream *stream)
{
	stream_refuse(stream, CODE_REFUSED, "that job takes no streams now");
}

/* ---- the twin ---- */

static void on_qmp_ready(void *ctx, struct qmp *q)
{
	struct arrival *a = ctx;

	(void)q;
	if (arrival_phase(a)->qemu_ready)
		arrival_phase(a)->qemu_ready(a);
}

/* (QEMU tells of much; what a phase does not list is nothing to it.) */
void arrival_take_event(struct arrival *a, const char *name, const json_t *data)
{
	const struct arrival_event *v = arrival_phase(a)->events;

	for (; v && v->take; v++)
		if (strcmp(v->name, name) == 0) {
			v->take(a, name, data);
			return;
		}
}

static void on_qmp_event(void *ctx, struct qmp *q, const char *name, const json_t *data)
{
	(void)q;
	arrival_take_event(ctx, name, data);
}

void arrival_drop_qmp(struct arrival *a)
{
	qmp_free(a->qemu.qmp);
	a->qemu.qmp = NULL;
}

void arrival_prefix_gone(const struct arrival *a, struct err *e)
{
	err_prefix(e, "the destination's QEMU has gone%s",
		   a->wish.launched ? "" : " (its own standard error says why)");
}

static void on_qmp_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct arrival *a = ctx;
	struct err e = *why;

	(void)q;
	if (arrival_phase(a)->qemu_ended)
		arrival_phase(a)->qemu_ended(a, &e);
	else
		arrival_drop_qmp(a);
}

const struct qmp_ops arrival_qmp_ops = {on_qmp_ready, on_qmp_event, on_qmp_end};

void arrival_qemu_exited(struct arrival *a, const struct err *why)
{
	if (arrival_phase(a)->qemu_exited)
		arrival_phase(a)->qemu_exited(a, why);
	else
		arrival_fail(a, why);
}
