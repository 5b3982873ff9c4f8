/*
 * What every phase stands on: the way from one to the next, failure, the timers. What the table
 * (phase.h) does not list is refused here, and only here: a way, a cookie. (An event of QEMU's is
 * passed over.)
 *
 * Which table that is is in the job, so that nothing here knows a phase, and phases know nothing of
 * each other.
 */
#include "control/source/migrate_i.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/point.h"

enum { SUSPECT_MS = 1000 /* how long a better reason is waited for */ };

const struct phase *migrate_phase(const struct migrate *m)
{
	return m->phases[m->state];
}

bool migrate_is(const struct migrate *m, enum phase_trait trait)
{
	return migrate_phase(m)->is & (unsigned)trait;
}

const char *migrate_state_name(const struct migrate *m)
{
	return migrate_phase(m)->name;
}

/* ---- timers ---- */

void migrate_arm(struct event *ev, uint64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	event_add(ev, &tv);
}

void migrate_deadline(struct migrate *m, uint64_t ms)
{
	migrate_arm(m->core.ev_deadline, ms);
}

void migrate_no_deadline(struct migrate *m)
{
	event_del(m->core.ev_deadline);
}

void migrate_look(struct migrate *m, uint64_t ms)
{
	migrate_arm(m->core.ev_look, ms);
}

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;

	(void)fd;
	(void)what;
	if (migrate_phase(m)->deadline.over)
		migrate_phase(m)->deadline.over(m);
}

static void on_look(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;

	(void)fd;
	(void)what;
	if (migrate_phase(m)->look)
		migrate_phase(m)->look(m);
}

static void on_timeout(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;

	(void)fd;
	(void)what;
	if (migrate_phase(m)->time_up)
		migrate_phase(m)->time_up(m);
}

static void on_suspect(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;

	(void)fd;
	(void)what;
	if (migrate_is(m, PHASE_RETURNS))
		migrate_fail(m, &m->core.suspect);
}

int migrate_core_init(struct migrate *m, struct event_base *base)
{
	m->base = base;
	m->core.ev_deadline = evtimer_new(base, on_deadline, m);
	m->core.ev_look = evtimer_new(base, on_look, m);
	m->core.ev_timeout = evtimer_new(base, on_timeout, m);
	m->core.ev_suspect = evtimer_new(base, on_suspect, m);
	return m->core.ev_deadline && m->core.ev_look && m->core.ev_timeout && m->core.ev_suspect
		   ? 0
		   : -1;
}

void migrate_core_fini(struct migrate *m)
{
	struct event **all[] = {&m->core.ev_deadline, &m->core.ev_look, &m->core.ev_timeout,
				&m->core.ev_suspect};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (*all[i])
			event_free(*all[i]);
		*all[i] = NULL;
	}
}

/* ---- the way ---- */

static void refuse(struct migrate *m, enum migrate_state state)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_SYSTEM, "a fault of adit's own: there is no way from phase %s to %s",
		migrate_state_name(m), m->phases[state]->name);
	log_error(&m->about, "%s", e.text);
	/* (One that settles goes on as it is, by its deadline if it has one.) */
	if (!migrate_is(m, PHASE_SETTLES))
		migrate_phase(m)->bad_word(m, &e);
}

bool migrate_enter(struct migrate *m, enum migrate_state state)
{
	const struct phase *from = migrate_phase(m), *to = m->phases[state];
	const struct phase_deadline *d = &to->deadline;

	if (!(from->to & (1u << state))) {
		refuse(m, state);
		return false;
	}
	log_debug(&m->about, "%s -> %s", from->name, to->name);
	event_del(m->core.ev_deadline);
	event_del(m->core.ev_look);
	if (from->leave)
		from->leave(m);
	m->before = m->state;
	m->state = state;
	if (!migrate_is(m, PHASE_RETURNS)) {
		event_del(m->core.ev_suspect);
		event_del(m->core.ev_timeout);
	}
	if (d->ms)
		migrate_deadline(m, d->point ? POINT_MS(d->point, d->ms) : d->ms);
	if (state != MIGRATE_OVER) {
		m->progress.phase = to->name;
		if (m->ops && m->ops->on_phase)
			m->ops->on_phase(m->ctx, to->name);
	}
	if (to->enter && m->state == state) /* (who was told may have cancelled it) */
		to->enter(m);
	return true;
}

void migrate_over(struct migrate *m, enum migrate_outcome outcome)
{
	if (migrate_phase(m)->to & PHASE_TO(OVER))
		m->result.outcome = outcome;
	migrate_enter(m, MIGRATE_OVER);
}

void migrate_note(struct migrate *m, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_printable(text);
	if (m->ops && m->ops->on_note)
		m->ops->on_note(m->ctx, text);
}

/* ---- failure ---- */

void migrate_return(struct migrate *m, const struct err *e)
{
	m->err = *e;
	migrate_enter(m, MIGRATE_UNDO);
}

void migrate_fail(struct migrate *m, const struct err *e)
{
	if (migrate_is(m, PHASE_SETTLES))
		log_debug(&m->about, "after the end: %s", e->text);
	else if (migrate_phase(m)->fail)
		migrate_phase(m)->fail(m, e);
	else
		migrate_return(m, e);
}

void migrate_suspect(struct migrate *m, const struct err *e)
{
	if (!migrate_is(m, PHASE_RETURNS))
		return;
	if (!err_is_set(&m->core.suspect)) {
		m->core.suspect = *e;
		migrate_arm(m->core.ev_suspect, SUSPECT_MS);
	}
}

void migrate_ask(struct migrate *m, const char *why)
{
	err_set(&m->ask.err, ERR_CLOSED, "%s", why);
	migrate_enter(m, MIGRATE_ASK);
}

bool migrate_cancel_returns(struct migrate *m)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_CANCELLED, "cancelled");
	migrate_fail(m, &e);
	return true;
}

/* ---- what comes from the two others ---- */

void migrate_ask_again(struct migrate *m, const struct err *why)
{
	migrate_ask(m, why->text);
}

void migrate_connection_lost(struct migrate *m, const struct err *why)
{
	struct err e = *why;

	/* A refusal is the destination's own sentence; all else is about the way there. */
	if (e.code == ERR_CLOSED || e.code == ERR_TIMEOUT || e.code == ERR_PROTOCOL)
		err_prefix(&e, "the connection to the destination %s is lost", m->link.dest.host);
	migrate_fail(m, &e);
}

void migrate_qemu_lost(struct migrate *m, const struct err *why)
{
	struct err e = *why;

	err_prefix(&e, "the source QEMU has gone");
	migrate_fail(m, &e);
}

void migrate_bad_word(struct migrate *m, const struct err *why)
{
	if (migrate_is(m, PHASE_SETTLES))
		log_warn(&m->about, "ignored in phase %s: %s", migrate_state_name(m), why->text);
	else
		migrate_phase(m)->bad_word(m, why);
}

void migrate_take_abort(struct migrate *m, const json_t *msg)
{
	struct err e = ERR_INIT;

	cookie_get_abort(msg, &e);
	m->undo.there = MIG_THERE_DONE;
	migrate_fail(m, &e);
}

void migrate_take_cookie(struct migrate *m, enum cookie_kind kind, const json_t *msg)
{
	const struct phase_cookie *c = migrate_phase(m)->cookies;
	struct err e = ERR_INIT;

	for (; c && c->take; c++)
		if (c->kind == kind) {
			c->take(m, msg);
			return;
		}
	err_set(&e, ERR_PROTOCOL, "the destination sent %s in phase %s, out of order",
		cookie_kind_name(kind), migrate_state_name(m));
	migrate_bad_word(m, &e);
}

/* (QEMU tells of much; what a phase does not list is nothing to it.) */
void migrate_take_event(struct migrate *m, const char *name, const json_t *data)
{
	const struct phase_event *v = migrate_phase(m)->events;

	for (; v && v->take; v++)
		if (strcmp(v->name, name) == 0) {
			v->take(m, name, data);
			return;
		}
}
