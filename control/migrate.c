/*
 * The source's side of a migration: see migrate.h, and docs/phases.md for the
 * picture of its states.
 *
 * How it works. The job holds three conversations: with its own QEMU (QMP), with
 * the destination's adit (cookies over a control stream), and with its owner
 * (ops). Each state waits for one thing, named beside it in migrate_i.h; what
 * comes moves the job on, and a failure anywhere goes through migrate_fail to
 * MIGRATE_UNDO, which puts the source back and lets the destination do the same.
 *
 * The one rule that nothing bends: from FINISH on the destination may run the VM, so
 * the source VM is resumed only on the destination's word that it does not and
 * will not. Where that word cannot be had the VM stays paused, and the result says
 * so (unknown).
 */
#include "control/migrate_i.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
	SUSPECT_MS = 1000, /* how long a better reason is waited for */
	ANSWER_MS = 15000, /* a word of the destination that should come at once */
	QUIT_MS = 10000,   /* the source QEMU's end */
};

static const char *const state_names[] = {
    "begin", "prepare", "disks", "ram", "switchover", "device", "finish", "confirm", "undo", "over",
};

const char *migrate_state_name(enum migrate_state state)
{
	return state_names[state];
}

void migrate_set_state(struct migrate *m, enum migrate_state state)
{
	bool ok;

	switch (state) {
	case MIGRATE_OVER:
		ok = m->state == MIGRATE_UNDO || m->state == MIGRATE_CONFIRM ||
		     m->state == MIGRATE_FINISH;
		break;
	case MIGRATE_UNDO:
		ok = m->state <= MIGRATE_FINISH;
		break;
	case MIGRATE_RAM: /* with no disk to copy, straight from Prepare */
		ok = m->state == MIGRATE_DISKS || m->state == MIGRATE_PREPARE;
		break;
	case MIGRATE_FINISH: /* QEMU may complete before its event of the switchover is seen */
		ok = m->state == MIGRATE_DEVICE;
		break;
	default:
		ok = state == m->state + 1;
	}
	if (!ok)
		log_error(&m->about, "no way from %s to %s", state_names[m->state],
			  state_names[state]);
	log_debug(&m->about, "%s -> %s", state_names[m->state], state_names[state]);
	m->state = state;
	m->progress.phase = state_names[state];
	if (m->ops && m->ops->on_phase && state != MIGRATE_OVER)
		m->ops->on_phase(m->ctx, state_names[state]);
}

static void arm(struct event *ev, unsigned ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

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

void migrate_over(struct migrate *m)
{
	migrate_set_state(m, MIGRATE_OVER);
	event_active(m->ev_end, EV_TIMEOUT, 1);
}

/* From the loop: the result, and nothing after it. */
static void on_end(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;
	const struct migrate_ops *ops = m->ops;
	struct migrate_result r = {.err = m->err, .unknown = m->unknown, .job = m->id};
	const json_t *vm = json_object_get(m->prepared, "vm");
	const char *qmp = json_string_value(json_object_get(vm, "qmp"));
	const char *dir = json_string_value(json_object_get(vm, "dir"));

	(void)fd;
	(void)what;
	if (!ops)
		return;
	m->ops = NULL;
	r.total_ms = clock_ms() - m->start_ms;
	if (m->stop_ms && m->running_there_ms)
		r.downtime_ms = m->running_there_ms - m->stop_ms;
	r.running = m->was_running;
	r.passes = m->progress.passes;
	r.there.qmp = qmp ? qmp : "";
	r.there.dir = dir ? dir : "";
	r.there.pid = (uint64_t)json_integer_value(json_object_get(vm, "pid"));
	r.there.launched = json_is_true(json_object_get(vm, "launched"));
	migrate_watch_streams(m, &r);
	ops->on_end(m->ctx, &r);
}

void migrate_fail(struct migrate *m, const struct err *e)
{
	if (m->state >= MIGRATE_CONFIRM) {
		log_debug(&m->about, "after the end: %s", e->text);
		return;
	}
	m->err = *e;
	event_del(m->ev_suspect);
	event_del(m->ev_timeout);
	migrate_undo(m);
}

void migrate_suspect(struct migrate *m, const struct err *e)
{
	if (m->state >= MIGRATE_FINISH)
		return;
	if (!err_is_set(&m->suspect)) {
		m->suspect = *e;
		arm(m->ev_suspect, SUSPECT_MS);
	}
}

static void on_suspect(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;

	(void)fd;
	(void)what;
	if (m->state < MIGRATE_FINISH)
		migrate_fail(m, &m->suspect);
}

static void on_timeout(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;
	struct err e = ERR_INIT;

	(void)fd;
	(void)what;
	if (m->state >= MIGRATE_FINISH)
		return; /* it is being decided: no time limit undoes that */
	err_set(&e, ERR_TIMEOUT, "not done within %u s (--timeout), in phase %s",
		m->config.limits.timeout_s, state_names[m->state]);
	migrate_fail(m, &e);
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
	if (m->state >= MIGRATE_FINISH)
		return m->state == MIGRATE_UNDO;
	err_set(&e, ERR_CANCELLED, "cancelled");
	migrate_fail(m, &e);
	return true;
}

/* ---- Finish and Confirm ---- */

/* The destination's answer to FINISH is not to be had: nobody may guess. */
static void lost_answer(struct migrate *m, const char *why)
{
	m->unknown = true;
	err_set(&m->err, ERR_CLOSED,
		"the destination's last word was lost (%s): the VM is paused here, and may run "
		"there; look there first, and only if it does not run, resume it here with the "
		"monitor's `cont`",
		why);
	migrate_over(m);
}

static void on_answer_timeout(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;

	(void)fd;
	(void)what;
	if (m->state == MIGRATE_FINISH)
		lost_answer(m, "no answer in time");
	if (m->state != MIGRATE_CONFIRM)
		return;
	if (!m->source_gone)
		migrate_note(m,
			     "the source QEMU has not ended within %d s: end it by hand, and never "
			     "resume it; the VM runs on the destination",
			     QUIT_MS / 1000);
	migrate_over(m); /* it runs there */
}

void migrate_finish(struct migrate *m)
{
	struct err e = ERR_INIT;
	json_t *msg;

	migrate_set_state(m, MIGRATE_FINISH);
	event_del(m->ev_suspect);
	event_del(m->ev_timeout);
	msg = cookie_new(COOKIE_FINISH, m->id);
	json_object_set_new(msg, "run", json_boolean(m->was_running));
	json_object_set_new(msg, "status", json_string("completed"));
	if (talk_send(m->talk, msg, &e) < 0) {
		/* It was never told to run: the source may be resumed. */
		migrate_fail(m, &e);
		return;
	}
	arm(m->ev_answer, ANSWER_MS * 2);
}

static void confirm(struct migrate *m)
{
	struct err e = ERR_INIT;
	json_t *msg = cookie_new(COOKIE_CONFIRM, m->id);

	if (talk_send(m->talk, msg, &e) < 0)
		migrate_over(m);
	else
		arm(m->ev_answer, ANSWER_MS);
}

static void on_quit_sent(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	(void)result;
	if (err_is_set(e) && e->code != ERR_CLOSED)
		migrate_note(m,
			     "the source QEMU did not take `quit` (%s): end it by hand; the VM "
			     "runs on the destination",
			     e->text);
	/* Its end shows when the monitor closes (on_qmp_end). */
}

static void finished(struct migrate *m, const json_t *msg)
{
	event_del(m->ev_answer);
	m->running_there_ms = clock_ms();
	if (m->was_running && !json_is_true(json_object_get(msg, "runs")))
		migrate_note(m, "the destination holds the VM in state %s",
			     json_string_value(json_object_get(msg, "status")));
	migrate_set_state(m, MIGRATE_CONFIRM);
	migrate_drop_relays(m, "the migration is over");
	m->quit_sent = true;
	if (m->source_gone) {
		confirm(m);
		return;
	}
	qmp_command(m->qmp, "quit", NULL, on_quit_sent, m);
	arm(m->ev_answer, QUIT_MS);
}

/* ---- the talk ---- */

static void prepared(struct migrate *m, const json_t *msg)
{
	size_t i;
	json_t *note;

	m->prepared = json_incref((json_t *)msg);
	event_del(m->ev_answer);
	json_array_foreach(json_object_get(msg, "notes"), i, note)
	    migrate_note(m, "%s", json_string_value(note));
	migrate_perform(m);
}

/* The destination has given the job up. Its word is also that it does not run there
 * and never will. */
static void aborted(struct migrate *m, const json_t *msg)
{
	struct err e = ERR_INIT;

	cookie_get_abort(msg, &e);
	m->aborted_there = true;
	event_del(m->ev_answer);
	if (m->state == MIGRATE_UNDO)
		migrate_undo_there_done(m);
	else
		migrate_fail(m, &e);
}

static void on_cookie(void *ctx, struct talk *t, enum cookie_kind kind, const json_t *msg)
{
	struct migrate *m = ctx;
	const char *job = json_string_value(json_object_get(msg, "job"));
	struct err e = ERR_INIT;

	(void)t;
	if (strcmp(job, m->id) != 0) {
		/* Not its word on this job: whether the VM runs there is not known. */
		if (m->state == MIGRATE_FINISH) {
			lost_answer(m, "it spoke of another job");
			return;
		}
		err_set(&e, ERR_PROTOCOL, "the destination spoke of another job than this one");
		migrate_fail(m, &e);
		return;
	}
	if (kind == COOKIE_PREPARED && m->state == MIGRATE_PREPARE) {
		prepared(m, msg);
	} else if (kind == COOKIE_DISKS_CLOSED && m->state == MIGRATE_SWITCHOVER) {
		migrate_disks_closed(m);
	} else if (kind == COOKIE_FINISHED && m->state == MIGRATE_FINISH) {
		finished(m, msg);
	} else if (kind == COOKIE_CONFIRMED && m->state == MIGRATE_CONFIRM) {
		migrate_over(m);
	} else if (kind == COOKIE_ABORT && m->state <= MIGRATE_UNDO &&
		   m->state != MIGRATE_CONFIRM) {
		aborted(m, msg);
	} else if (kind == COOKIE_ABORTED && m->state == MIGRATE_UNDO) {
		const char *note = json_string_value(json_object_get(msg, "note"));

		if (note)
			migrate_note(m, "%s", note);
		m->aborted_there = true;
		migrate_undo_there_done(m);
	} else if (m->state < MIGRATE_FINISH) {
		err_set(&e, ERR_PROTOCOL, "the destination sent %s in phase %s, out of order",
			cookie_kind_name(kind), state_names[m->state]);
		migrate_fail(m, &e);
	} else {
		log_warn(&m->about, "ignored: %s in phase %s", cookie_kind_name(kind),
			 state_names[m->state]);
	}
}

static void on_talk_end(void *ctx, struct talk *t, const struct err *why)
{
	struct migrate *m = ctx;
	struct err e = *why;

	(void)t;
	if (!err_is_set(&e))
		err_set(&e, ERR_CLOSED, "the destination ended the talk");
	switch (m->state) {
	case MIGRATE_FINISH:
		lost_answer(m, e.text);
		break;
	case MIGRATE_CONFIRM:
		if (!m->quit_sent || m->source_gone)
			migrate_over(m);
		break;
	case MIGRATE_UNDO:
		m->aborted_there = true; /* no word will come any more */
		migrate_undo_there_done(m);
		break;
	case MIGRATE_OVER:
		break;
	default:
		/* A refusal is the destination's own sentence; all else is about the way there. */
		if (e.code == ERR_CLOSED || e.code == ERR_TIMEOUT || e.code == ERR_PROTOCOL)
			err_prefix(&e, "the connection to the destination %s is lost",
				   m->dest.host);
		migrate_fail(m, &e);
	}
}

static const struct talk_ops talk_ops = {on_cookie, on_talk_end};

/* ---- the session ---- */

static void on_session_ready(void *ctx, struct session *s)
{
	struct migrate *m = ctx;
	struct err e = ERR_INIT;
	json_t *msg;

	m->session_ready = true;
	m->about.peer = session_peer(s);
	if (m->state != MIGRATE_PREPARE)
		return;
	m->talk = talk_open(s, &talk_ops, m, &e);
	if (!m->talk) {
		migrate_fail(m, &e);
		return;
	}
	msg = cookie_new(COOKIE_BEGIN, m->id);
	json_object_set(msg, "vm", m->report.vm);
	json_object_set(msg, "disks", m->report.disks);
	if (m->config.dest_qmp)
		json_object_set_new(msg, "dest_qmp", json_string(m->config.dest_qmp));
	if (m->config.rename)
		json_object_set_new(msg, "rename", json_string(m->config.rename));
	if (talk_send(m->talk, msg, &e) < 0)
		migrate_fail(m, &e);
}

static void on_session_open(void *ctx, struct session *s, struct stream *stream,
			    enum stream_class class, const char *target)
{
	(void)ctx;
	(void)s;
	(void)class;
	(void)target;
	stream_refuse(stream, CODE_REFUSED, "adit migrate takes no streams");
}

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	struct migrate *m = ctx;
	struct err e = *why;

	(void)s;
	m->session_ready = false;
	if (!err_is_set(&e))
		err_set(&e, ERR_CLOSED, "the destination's adit ended the session");
	m->session_end = e;
	/* Streams, the talk among them, were told before, with the same reason; this is
	 * for a session that never came up. */
	if (m->state == MIGRATE_PREPARE)
		migrate_fail(m, &e);
	else if (m->state == MIGRATE_UNDO)
		migrate_undo_there_done(m);
}

static const struct session_ops session_ops = {on_session_ready, on_session_open, on_session_end};

static void prepare(struct migrate *m)
{
	struct session_config config;
	struct err e = ERR_INIT;

	migrate_set_state(m, MIGRATE_PREPARE);
	session_config_default(&config);
	if (m->config.dest_address)
		config.connect_to = &m->address;
	m->session = session_connect(m->base, &m->dest, m->creds, &config, &session_ops, m, &e);
	if (!m->session)
		migrate_fail(m, &e);
}

/* ---- Begin ---- */

/* What can be seen here that would make the migration fail. */
static int check_here(struct migrate *m, struct err *e)
{
	const char *running = json_string_value(json_object_get(m->report.migrate, "status"));
	static const char *const busy[] = {"setup",  "active",	   "pre-switchover",
					   "device", "cancelling", "wait-unplug"};
	size_t i;
	json_t *job;

	for (i = 0; running && i < sizeof(busy) / sizeof(busy[0]); i++)
		if (strcmp(running, busy[i]) == 0)
			return err_set(e, ERR_QEMU,
				       "the VM is being migrated already (state %s): wait for "
				       "that, or cancel it in its monitor",
				       running);
	if (strcmp(m->desc.status, "inmigrate") == 0 || strcmp(m->desc.status, "postmigrate") == 0)
		return err_set(e, ERR_QEMU, "the VM is in state %s: it does not run here",
			       m->desc.status);
	if (!m->config.dest_qmp && err_is_set(&m->report.argv_err)) {
		*e = m->report.argv_err;
		return err_prefix(e, "the VM cannot be launched on the destination (start it there "
				     "yourself and use --dest-qmp)");
	}
	json_array_foreach(m->report.block_jobs, i, job)
	{
		const char *id = json_string_value(json_object_get(job, "device"));

		if (id && strncmp(id, "adit-", 5) != 0)
			return err_set(e, ERR_QEMU,
				       "block job %s is running on the VM: wait for its end, or "
				       "cancel it with the monitor's block-job-cancel",
				       id);
	}
	return 0;
}

static void on_cleared(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	(void)b;
	(void)e;
	if (m->state == MIGRATE_BEGIN)
		prepare(m);
}

/* Removes what a job that died without its undo has left in QEMU. */
static void clear_leftovers(struct migrate *m)
{
	struct qmp_batch *b = qmp_batch_new();
	size_t i;
	json_t *item;

	json_array_foreach(m->report.block_jobs, i, item) qmp_batch_add(
	    b, QMP_MAY, "block-job-cancel",
	    json_pack("{s:O,s:b}", "device", json_object_get(item, "device"), "force", 1));
	json_array_foreach(m->report.nodes, i, item)
	{
		const char *node = json_string_value(json_object_get(item, "node-name"));

		if (node && strncmp(node, "adit-", 5) == 0)
			qmp_batch_add(b, QMP_MAY, "blockdev-del",
				      json_pack("{s:s}", "node-name", node));
	}
	qmp_batch_run(b, m->qmp, on_cleared, m);
}

static void on_read(void *ctx, struct vmdesc_report *r, const struct err *why)
{
	struct migrate *m = ctx;
	struct err e = *why;
	json_t *msg;

	if (m->state != MIGRATE_BEGIN) {
		if (r)
			vmdesc_report_fini(r);
		return;
	}
	if (err_is_set(&e)) {
		migrate_fail(m, &e);
		return;
	}
	m->report = *r;
	if (vmdesc_select(m->report.disks,
			  m->config.storage == MIGRATE_STORAGE_NONE ? "none"
			  : m->config.disks			    ? m->config.disks
								    : "all",
			  &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	msg = json_pack("{s:O,s:O}", "vm", m->report.vm, "disks", m->report.disks);
	if (!msg || vmdesc_parse(&m->desc, msg, &e) < 0) {
		json_decref(msg);
		migrate_fail(m, &e);
		return;
	}
	json_decref(msg);
	m->described = true;
	m->was_running = m->desc.running;
	if (check_here(m, &e) < 0)
		migrate_fail(m, &e);
	else
		clear_leftovers(m);
}

static void on_qmp_ready(void *ctx, struct qmp *q)
{
	struct migrate *m = ctx;

	vmdesc_read(q, on_read, m);
}

/* The guest has been stopped: by somebody at the monitor, or for the switchover. */
static void on_stop_looked(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	const char *status = json_string_value(json_object_get(result, "status"));

	(void)q;
	if (err_is_set(e) || !status || strcmp(status, "paused") != 0 || m->state > MIGRATE_RAM)
		return;
	m->was_running = false;
	migrate_note(m, "the VM was paused meanwhile: it will be paused on the destination");
}

static void on_qmp_event(void *ctx, struct qmp *q, const char *name, const json_t *data)
{
	struct migrate *m = ctx;

	if (strcmp(name, "STOP") == 0 && m->described && m->state <= MIGRATE_RAM)
		qmp_command(q, "query-status", NULL, on_stop_looked, m);
	if (strcmp(name, "RESUME") == 0 && m->described && m->state <= MIGRATE_RAM) {
		m->was_running = true;
		m->stop_ms = 0;
	}
	if (strcmp(name, "STOP") == 0 && !m->stop_ms && m->state >= MIGRATE_RAM)
		m->stop_ms = clock_ms();
	if (m->state >= MIGRATE_DISKS && m->state <= MIGRATE_DEVICE)
		migrate_perform_event(m, name, data);
}

static void on_qmp_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct migrate *m = ctx;
	struct err e = *why;

	(void)q;
	m->source_gone = true;
	if (m->state == MIGRATE_CONFIRM) {
		event_del(m->ev_answer);
		confirm(m);
		return;
	}
	if (m->state == MIGRATE_FINISH)
		return; /* its part is done; the destination decides */
	if (m->state == MIGRATE_UNDO || m->state == MIGRATE_OVER) {
		migrate_undo_there_done(m);
		return;
	}
	if (m->state > MIGRATE_BEGIN)
		err_prefix(&e, "the source QEMU has gone");
	migrate_fail(m, &e);
}

static const struct qmp_ops qmp_ops = {on_qmp_ready, on_qmp_event, on_qmp_end};

/* ---- life ---- */

/* The events, the rate, the wish: all that needs memory and no word of anybody. */
static int set_up(struct migrate *m, const struct migrate_config *config, struct err *e)
{
	m->wish = migrate_config_to_json(config);
	if (!m->wish || migrate_config_from_json(&m->config, m->wish, e) < 0)
		return err_set(e, ERR_SPACE, "no memory for a job");
	m->start_ms = clock_ms();
	m->progress.phase = state_names[MIGRATE_BEGIN];
	m->progress.remaining_s = -1;
	m->about.job = m->id;
	m->rate = rate_new(config->limits.max_bandwidth);
	m->ev_tick = event_new(m->base, -1, EV_PERSIST, on_tick, m);
	m->ev_timeout = evtimer_new(m->base, on_timeout, m);
	m->ev_suspect = evtimer_new(m->base, on_suspect, m);
	m->ev_answer = evtimer_new(m->base, on_answer_timeout, m);
	m->ev_undo = evtimer_new(m->base, migrate_undo_due, m);
	m->ev_end = evtimer_new(m->base, on_end, m);
	if (!m->rate || !m->ev_tick || !m->ev_timeout || !m->ev_suspect || !m->ev_answer ||
	    !m->ev_undo || !m->ev_end)
		return err_set(e, ERR_SPACE, "no memory for a job");
	return 0;
}

struct migrate *migrate_start(struct event_base *base, const struct migrate_config *config,
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
	if (migrate_config_check(config, e) < 0 || cookie_make_job(m->id, e) < 0 ||
	    set_up(m, config, e) < 0 || addr_parse_dest(&m->dest, m->config.dest, e) < 0)
		goto fail;
	if (m->config.dest_address &&
	    addr_parse_host(&m->address, m->config.dest_address, m->dest.port, e) < 0) {
		err_prefix(e, "--dest-address");
		goto fail;
	}
	m->creds = auth_load_client(&m->config.auth, &m->dest, e);
	if (!m->creds)
		goto fail;
	m->qmp = qmp_connect(base, m->config.qmp, 0, &qmp_ops, m, e);
	if (!m->qmp)
		goto fail;
	arm(m->ev_tick, 500);
	if (config->limits.timeout_s)
		event_add(m->ev_timeout, &(struct timeval){.tv_sec = config->limits.timeout_s});
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
	free_event(m->ev_end);
	migrate_drop_relays(m, "the job is over");
	migrate_ram_fini(m);
	talk_free(m->talk);
	if (m->session && m->session_ready)
		session_close(m->session, CODE_NONE, "the job is over");
	else
		session_free(m->session);
	qmp_free(m->qmp);
	rate_free(m->rate);
	if (m->described)
		vmdesc_fini(&m->desc);
	vmdesc_report_fini(&m->report);
	json_decref(m->prepared);
	free(m->disks);
	free(m->result_streams);
	creds_free(m->creds);
	json_decref(m->wish);
	free(m);
}
