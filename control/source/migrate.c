/*
 * The source's side of a migration: see migrate.h, and docs/phases.md for the
 * picture of its states.
 *
 * How it works. The job holds three conversations: with its own QEMU (QMP), with
 * the destination's adit (cookies over a control stream), and with its owner
 * (ops). Each state waits for one thing, named beside it in phase.h; what
 * comes moves the job on, and a failure anywhere goes through migrate_fail to
 * MIGRATE_UNDO, which puts the source back and lets the destination do the same.
 *
 * The one rule that nothing bends: from FINISH on the destination may run the VM, so
 * the source VM is resumed only on the destination's word that it does not and
 * will not. That word is asked for over new sessions when it was lost
 * (MIGRATE_ASK). Where it cannot be had the VM stays paused, the result says so
 * (MIGRATE_UNKNOWN), and the journal remembers it for `adit recover`.
 */
#include "control/source/migrate_i.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { SUSPECT_MS = 1000 /* how long a better reason is waited for */ };

static void refuse(struct migrate *m, enum migrate_state state)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_SYSTEM, "a fault of adit's own: there is no way from phase %s to %s",
		migrate_state_name(m->state), migrate_state_name(state));
	log_error(&m->about, "%s", e.text);
	if (m->state == MIGRATE_BEGIN && *m->found) { /* it may have been decided long ago */
		m->err = e;
		migrate_leave_as_it_is(m);
	} else if (phase_is(m->state, PHASE_RETURNS)) {
		migrate_fail(m, &e);
	} else if (phase_is(m->state, PHASE_ASKS)) {
		migrate_ask(m, e.text);
	} else if (m->state == MIGRATE_ASK) {
		migrate_ask_failed(m, &e, false);
	}
	/* the others' timers go on: ev_answer's, ev_undo's, ev_end's */
}

bool migrate_enter(struct migrate *m, enum migrate_state state)
{
	if (!phase_may(m->state, state)) {
		refuse(m, state);
		return false;
	}
	log_debug(&m->about, "%s -> %s", migrate_state_name(m->state), migrate_state_name(state));
	m->state = state;
	if (state == MIGRATE_OVER)
		return true;
	m->progress.phase = migrate_state_name(state);
	if (m->ops && m->ops->on_phase)
		m->ops->on_phase(m->ctx, m->progress.phase);
	return true;
}

void migrate_arm(struct event *ev, uint64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	event_add(ev, &tv);
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

void migrate_over(struct migrate *m, enum migrate_outcome outcome)
{
	if (!migrate_enter(m, MIGRATE_OVER))
		return;
	m->outcome = outcome;
	if (m->settled)
		journal_remove(m->journal);
	else
		journal_close(m->journal);
	m->journal = NULL;
	event_active(m->ev_end, EV_TIMEOUT, 1);
}

/* From the loop: the result, and nothing after it. */
static void on_end(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;
	const struct migrate_ops *ops = m->ops;
	struct migrate_result r = {.err = m->err, .outcome = m->outcome, .job = m->id};
	const json_t *vm = json_object_get(m->prepared, "vm");
	const char *qmp = json_string_value(json_object_get(vm, "qmp"));
	const char *dir = json_string_value(json_object_get(vm, "dir"));
	const char *kept = json_string_value(json_object_get(vm, "kept"));

	(void)fd;
	(void)what;
	if (!ops)
		return;
	m->ops = NULL;
	r.unfinished = !m->settled;
	r.lost = m->lost;
	r.total_ms = clock_ms() - m->start_ms;
	if (m->stop_ms && m->running_there_ms)
		r.downtime_ms = m->running_there_ms - m->stop_ms;
	r.pause_ms = r.downtime_ms > m->word_ms ? r.downtime_ms - m->word_ms : 0;
	r.stall_ms = m->stall_longest_ms;
	r.running = m->was_running;
	r.passes = m->progress.passes;
	r.there.qmp = qmp ? qmp : "";
	r.there.dir = dir ? dir : "";
	r.there.kept = kept ? kept : "";
	r.there.pid = (uint64_t)json_integer_value(json_object_get(vm, "pid"));
	r.there.launched = json_is_true(json_object_get(vm, "launched"));
	migrate_watch_streams(m, &r);
	ops->on_end(m->ctx, &r);
}

void migrate_fail(struct migrate *m, const struct err *e)
{
	if (phase_is(m->state, PHASE_SETTLES)) {
		log_debug(&m->about, "after the end: %s", e->text);
		return;
	}
	if (m->state == MIGRATE_DEVICE && m->postcopy && !m->aborted_there) {
		/* It may have begun there, and then it cannot go on here. */
		event_del(m->ev_suspect);
		migrate_ask(m, e->text);
		return;
	}
	m->err = *e;
	event_del(m->ev_suspect);
	event_del(m->ev_timeout);
	event_del(m->ev_answer);
	event_del(m->ev_ask);
	migrate_undo(m);
}

void migrate_suspect(struct migrate *m, const struct err *e)
{
	if (!phase_is(m->state, PHASE_RETURNS))
		return;
	if (!err_is_set(&m->suspect)) {
		m->suspect = *e;
		migrate_arm(m->ev_suspect, SUSPECT_MS);
	}
}

static void on_suspect(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;

	(void)fd;
	(void)what;
	if (phase_is(m->state, PHASE_RETURNS))
		migrate_fail(m, &m->suspect);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	migrate_watch_tick(ctx);
}

bool migrate_cancel(struct migrate *m)
{
	struct err e = ERR_INIT;

	m->cancelled = true;
	if (m->state == MIGRATE_ASK) {
		err_set(&e, ERR_CANCELLED, "asking was cancelled");
		migrate_ask_failed(m, &e, true);
		return false;
	}
	if (!phase_is(m->state, PHASE_RETURNS) || (m->state == MIGRATE_DEVICE && m->postcopy))
		return m->state == MIGRATE_UNDO;
	err_set(&e, ERR_CANCELLED, "cancelled");
	migrate_fail(m, &e);
	return true;
}

/* ---- life ---- */

/* A relative path in v is made absolute: the record is read in another folder. */
static void make_absolute(json_t *v, const char *key)
{
	const char *path = json_string_value(json_object_get(v, key));
	char *here;

	if (path && strncmp(path, "unix:", 5) == 0)
		path += 5;
	if (!path || path[0] == '/' || (here = getcwd(NULL, 0)) == NULL)
		return;
	json_object_set_new(v, key, json_sprintf("%s/%s", here, path));
	free(here);
}

static json_t *wish_of(const struct migrate_config *config)
{
	json_t *v = migrate_config_to_json(config);
	json_t *auth = json_object_get(v, "auth");

	make_absolute(v, "qmp");
	make_absolute(auth, "psk");
	make_absolute(auth, "tls_creds");
	make_absolute(auth, "ssh_config");
	return v;
}

struct migrate *migrate_new(struct event_base *base, const struct migrate_config *config,
			    const struct migrate_ops *ops, void *ctx, struct err *e)
{
	struct migrate *m = calloc(1, sizeof(*m));

	if (!m) {
		err_set(e, ERR_SPACE, "no memory for a job");
		return NULL;
	}
	m->base = base;
	m->ram_fd = -1;
	m->ops = ops;
	m->ctx = ctx;
	m->about.job = m->id;
	m->start_ms = clock_ms();
	m->progress.phase = migrate_state_name(MIGRATE_BEGIN);
	m->progress.remaining_s = -1;
	m->wish = wish_of(config);
	m->rate = rate_new(config->limits.max_bandwidth);
	m->ev_tick = event_new(base, -1, EV_PERSIST, on_tick, m);
	m->ev_timeout = evtimer_new(base, migrate_timeout_due, m);
	m->ev_suspect = evtimer_new(base, on_suspect, m);
	m->ev_answer = evtimer_new(base, migrate_answer_due, m);
	m->ev_undo = evtimer_new(base, migrate_undo_due, m);
	m->ev_ask = evtimer_new(base, migrate_ask_due, m);
	m->ev_disks = evtimer_new(base, migrate_disks_due, m);
	m->ev_stall = evtimer_new(base, migrate_stall_due, m);
	m->ev_end = evtimer_new(base, on_end, m);
	if (!m->rate || !m->ev_tick || !m->ev_timeout || !m->ev_suspect || !m->ev_answer ||
	    !m->ev_undo || !m->ev_ask || !m->ev_disks || !m->ev_stall || !m->ev_end || !m->wish) {
		err_set(e, ERR_SPACE, "no memory for a job");
		goto fail;
	}
	if (migrate_config_from_json(&m->config, m->wish, e) < 0 ||
	    addr_parse_dest(&m->dest, m->config.dest, e) < 0)
		goto fail;
	if (m->config.dest_address &&
	    addr_parse_host(&m->address, m->config.dest_address, m->dest.port, e) < 0) {
		err_prefix(e, "--dest-address");
		goto fail;
	}
	m->creds = auth_load_client(&m->config.auth, &m->dest, e);
	if (!m->creds)
		goto fail;
	return m;
fail:
	migrate_free(m);
	return NULL;
}

struct migrate *migrate_start(struct event_base *base, const struct migrate_config *config,
			      const struct migrate_ops *ops, void *ctx, struct err *e)
{
	struct migrate *m;

	if (migrate_config_check(config, e) < 0)
		return NULL;
	m = migrate_new(base, config, ops, ctx, e);
	if (!m)
		return NULL;
	if (cookie_make_job(m->id, e) < 0)
		goto fail;
	m->journal = journal_open(m->config.state_dir, JOURNAL_SOURCE, m->id, e);
	if (!m->journal)
		goto fail;
	m->qmp = qmp_connect(base, m->config.qmp, 0, &migrate_qmp_ops, m, e);
	if (!m->qmp)
		goto fail;
	migrate_arm(m->ev_tick, 500);
	migrate_timeout_arm(m);
	return m;
fail:
	migrate_free(m);
	return NULL;
}

const char *migrate_id(const struct migrate *m)
{
	return m->id;
}

const struct vmdesc *migrate_vm(const struct migrate *m)
{
	return m->described ? &m->desc : NULL;
}

const struct migrate_progress *migrate_progress(const struct migrate *m)
{
	return &m->progress;
}

static void free_event(struct event *ev)
{
	if (ev)
		event_free(ev);
}

void migrate_free(struct migrate *m)
{
	if (!m)
		return;
	m->ops = NULL;
	free_event(m->ev_tick);
	free_event(m->ev_timeout);
	free_event(m->ev_suspect);
	free_event(m->ev_answer);
	free_event(m->ev_undo);
	free_event(m->ev_ask);
	free_event(m->ev_disks);
	free_event(m->ev_stall);
	free_event(m->ev_end);
	migrate_drop_relays(m, "the job is over");
	migrate_ram_fini(m);
	migrate_disconnect(m);
	qmp_free(m->qmp);
	rate_free(m->rate);
	if (m->described)
		vmdesc_fini(&m->desc);
	vmdesc_report_fini(&m->report);
	json_decref(m->prepared);
	journal_close(m->journal);
	migrate_pace_fini(m);
	free(m->disks);
	free(m->result_streams);
	creds_free(m->creds);
	json_decref(m->wish);
	free(m);
}
