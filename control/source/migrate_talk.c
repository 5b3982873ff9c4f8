/*
 * The source's session with the destination, and the talk in it: what comes in goes to
 * the state that waits for it, and what nobody waits for ends the job, or, once the
 * destination may run the VM, has it asked again.
 */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <string.h>

#include "base/point.h"
#include "control/vm.h"
#include "control/wish.h"

/* What the destination said, or that it went away, is of no use: before FINISH the job
 * fails; from then on only its word on the VM counts, and that has to be asked for. */
static void lost(struct migrate *m, const struct err *why)
{
	if (phase_is(m->state, PHASE_ASKS))
		migrate_ask(m, why->text);
	else if (m->state == MIGRATE_ASK)
		migrate_ask_failed(m, why, why->code == ERR_REFUSED);
	else if (phase_is(m->state, PHASE_RETURNS))
		migrate_fail(m, why);
	else
		log_warn(&m->about, "ignored in phase %s: %s", migrate_state_name(m->state),
			 why->text);
}

/* The destination has given the job up. Its word is also that it does not run there
 * and never will. */
static void aborted(struct migrate *m, const json_t *msg)
{
	struct err e = ERR_INIT;

	cookie_get_abort(msg, &e);
	if (m->state == MIGRATE_END || m->state == MIGRATE_OVER) {
		/* It has confirmed: the VM is its own, and ours ends by the timer of this state. */
		log_warn(&m->about, "ignored in phase %s: the destination gives the job up: %s",
			 migrate_state_name(m->state), e.text);
		return;
	}
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
		err_set(&e, ERR_PROTOCOL, "the destination spoke of another job than this one");
		lost(m, &e);
		return;
	}
	if (kind == COOKIE_PREPARED && m->state == MIGRATE_PREPARE) {
		migrate_prepared(m, msg);
	} else if (kind == COOKIE_DISKS_CLOSED && m->state == MIGRATE_SWITCHOVER) {
		migrate_disks_closed(m);
	} else if (kind == COOKIE_FINISHED && m->state == MIGRATE_FINISH) {
		migrate_finished(m, msg);
	} else if (kind == COOKIE_RECOVERED && m->state == MIGRATE_ASK) {
		migrate_asked(m, msg);
	} else if (kind == COOKIE_CONFIRMED && m->state == MIGRATE_CONFIRM) {
		migrate_end_source(m);
	} else if (kind == COOKIE_ABORT && m->state == MIGRATE_ASK) {
		/* It refuses to answer: that is no word on the VM. */
		cookie_get_abort(msg, &e);
		migrate_ask_failed(m, &e, true);
	} else if (kind == COOKIE_ABORT) {
		aborted(m, msg);
	} else if (kind == COOKIE_ABORTED && m->state == MIGRATE_UNDO) {
		const char *note = json_string_value(json_object_get(msg, "note"));

		if (note)
			migrate_note(m, "%s", note);
		m->aborted_there = true;
		migrate_undo_there_done(m);
	} else if (m->state == MIGRATE_UNDO) {
		/* It was said before our abort was heard. */
		log_debug(&m->about, "%s comes too late", cookie_kind_name(kind));
	} else {
		err_set(&e, ERR_PROTOCOL, "the destination sent %s in phase %s, out of order",
			cookie_kind_name(kind), migrate_state_name(m->state));
		lost(m, &e);
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
	case MIGRATE_PAGING:
	case MIGRATE_CONFIRM:
	case MIGRATE_ASK:
		lost(m, &e);
		break;
	case MIGRATE_UNDO:
		m->aborted_there = true; /* no word will come any more */
		migrate_undo_there_done(m);
		break;
	case MIGRATE_END:
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

/* secrets: what is in them, owned; NULL: there are none to be handed over. */
static void say_begin(struct migrate *m, json_t *secrets)
{
	json_t *msg = cookie_new(COOKIE_BEGIN, m->id);

	json_object_set(msg, "vm", m->report.vm);
	json_object_set(msg, "disks", m->report.disks);
	migrate_wish_tell(&m->config, msg);
	if (m->preempt)
		json_object_set_new(msg, "preempt", json_true());
	if (secrets)
		json_object_set_new(msg, "secrets", secrets);
	if (migrate_say(m, msg) == 0)
		POINT("s-prepare");
}

static void on_secrets(void *ctx, json_t *secrets, const struct err *e)
{
	struct migrate *m = ctx;

	if (m->state != MIGRATE_PREPARE || !m->session_ready || !m->talk)
		json_decref(secrets);
	else if (secrets)
		say_begin(m, secrets);
	else
		migrate_fail(m, e);
}

/* Those that the QEMU over there gets; one that somebody else starts has its own. */
static void hand_over(struct migrate *m)
{
	if (m->config.dest_qmp || !json_array_size(m->report.secrets)) {
		say_begin(m, NULL);
	} else {
		secret_keep_from(m->report.secrets, session_peer(m->session));
		secret_fetch(m->qmp, m->report.secrets, on_secrets, m);
	}
}

static void on_session_ready(void *ctx, struct session *s)
{
	struct migrate *m = ctx;
	struct err e = ERR_INIT;

	m->session_ready = true;
	m->about.peer = session_peer(s);
	if (m->state == MIGRATE_ASK) {
		migrate_ask_now(m);
		return;
	}
	if (m->state != MIGRATE_PREPARE)
		return;
	if (migrate_open_talk(m, &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	hand_over(m);
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
	else if (m->state == MIGRATE_ASK)
		migrate_ask_failed(m, &e, false);
	else if (m->state == MIGRATE_UNDO)
		migrate_undo_there_done(m);
}

static const struct session_ops session_ops = {on_session_ready, on_session_open, on_session_end};

int migrate_open_talk(struct migrate *m, struct err *e)
{
	m->talk = talk_open(m->session, &talk_ops, m, e);
	return m->talk ? 0 : (int)e->code;
}

int migrate_connect(struct migrate *m, struct err *e)
{
	struct session_config config;

	session_config_default(&config);
	if (m->config.dest_address)
		config.connect_to = &m->address;
	m->session = session_connect(m->base, &m->dest, m->creds, &config, &session_ops, m, e);
	return m->session ? 0 : (int)e->code;
}

void migrate_disconnect(struct migrate *m)
{
	talk_free(m->talk);
	m->talk = NULL;
	if (m->session && m->session_ready)
		session_close(m->session, CODE_NONE, "the job is over");
	else
		session_free(m->session);
	m->session = NULL;
	m->session_ready = false;
	m->about.peer = NULL;
}

int migrate_say(struct migrate *m, json_t *msg)
{
	struct err e = ERR_INIT;

	if (talk_send(m->talk, msg, &e) == 0)
		return 0;
	lost(m, &e);
	return -1;
}

void migrate_session(const struct migrate *m, struct migrate_session *out)
{
	struct session_stats st;

	memset(out, 0, sizeof(*out));
	if (!m->session || !m->session_ready)
		return;
	session_stats(m->session, &st);
	snprintf(out->peer, sizeof(out->peer), "%s", session_peer(m->session));
	snprintf(out->address, sizeof(out->address), "%s", session_peer_address(m->session));
	out->sent_bytes = st.sent_bytes;
	out->received_bytes = st.received_bytes;
	out->rtt_us = st.rtt_us;
	out->granted_bytes = st.granted_bytes;
	out->retained_bytes = st.retained_bytes;
	out->held_bytes = st.held_bytes;
	out->streams = st.streams;
}
