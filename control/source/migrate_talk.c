/*
 * The source's session with the destination, and the talk in it. What comes in goes to the phase,
 * by the table: what nobody waits for ends the job, or, once the destination may run the VM, has it
 * asked again.
 */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <string.h>

static void on_cookie(void *ctx, struct talk *t, enum cookie_kind kind, const json_t *msg)
{
	struct migrate *m = ctx;
	const char *job = json_string_value(json_object_get(msg, "job"));
	struct err e = ERR_INIT;

	(void)t;
	if (strcmp(job, m->id) == 0) {
		migrate_take_cookie(m, kind, msg);
		return;
	}
	err_set(&e, ERR_PROTOCOL, "the destination spoke of another job than this one");
	migrate_bad_word(m, &e);
}

static void on_talk_end(void *ctx, struct talk *t, const struct err *why)
{
	struct migrate *m = ctx;
	struct err e = *why;

	(void)t;
	if (!err_is_set(&e))
		err_set(&e, ERR_CLOSED, "the destination ended the talk");
	if (migrate_phase(m)->talk_ended)
		migrate_phase(m)->talk_ended(m, &e);
}

static const struct talk_ops talk_ops = {on_cookie, on_talk_end};

/* ---- the session ---- */

static void on_session_ready(void *ctx, struct session *s)
{
	struct migrate *m = ctx;

	m->link.ready = true;
	m->about.peer = session_peer(s);
	if (migrate_phase(m)->session_ready)
		migrate_phase(m)->session_ready(m);
}

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	struct migrate *m = ctx;
	struct err e = *why;

	(void)s;
	m->link.ready = false;
	if (!err_is_set(&e))
		err_set(&e, ERR_CLOSED, "the destination's adit ended the session");
	if (migrate_phase(m)->session_ended)
		migrate_phase(m)->session_ended(m, &e);
}

static const struct session_ops session_ops = {.on_ready = on_session_ready,
					       .on_end = on_session_end};

int migrate_open_talk(struct migrate *m, struct err *e)
{
	m->link.talk = talk_open(m->link.session, &talk_ops, m, e);
	return m->link.talk ? 0 : (int)e->code;
}

int migrate_connect(struct migrate *m, struct err *e)
{
	struct session_config config;

	session_config_default(&config);
	if (m->config.dest_address)
		config.connect_to = &m->link.address;
	m->link.session =
	    session_connect(m->base, &m->link.dest, m->link.creds, &config, &session_ops, m, e);
	return m->link.session ? 0 : (int)e->code;
}

void migrate_disconnect(struct migrate *m)
{
	talk_free(m->link.talk);
	m->link.talk = NULL;
	session_close(m->link.session, CODE_NONE, "the job is over");
	m->link.session = NULL;
	m->link.ready = false;
	m->about.peer = NULL;
}

int migrate_say(struct migrate *m, json_t *msg)
{
	struct err e = ERR_INIT;

	if (talk_send(m->link.talk, msg, &e) == 0)
		return 0;
	migrate_bad_word(m, &e);
	return -1;
}

void migrate_session(const struct migrate *m, struct migrate_session *out)
{
	struct session_stats st;

	memset(out, 0, sizeof(*out));
	if (!m->link.session || !m->link.ready)
		return;
	session_stats(m->link.session, &st);
	snprintf(out->peer, sizeof(out->peer), "%s", session_peer(m->link.session));
	snprintf(out->address, sizeof(out->address), "%s", session_peer_address(m->link.session));
	out->sent_bytes = st.sent_bytes;
	out->received_bytes = st.received_bytes;
	out->rtt_us = st.rtt_us;
	out->granted_bytes = st.granted_bytes;
	out->retained_bytes = st.retained_bytes;
	out->held_bytes = st.held_bytes;
	out->streams = st.streams;
}
