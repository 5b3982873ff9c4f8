/*
 * A tunnel for a program: see adit.h. A session, and the listeners whose connections
 * it carries. All of it lives in the loop's thread.
 *
 * Owned by the program, until adit_tunnel_close.
 */
#include "lib/loop_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/log.h"
#include "control/wish.h"
#include "proxy/forward.h"
#include "tunnel/session.h"

struct forwarding {
	LIST_ENTRY(forwarding) link;
	struct forward *forward;
};

struct adit_tunnel {
	struct loop_owned owned; /* the first member */
	struct adit_loop *loop;
	struct adit_tunnel_callbacks callbacks;
	void *ctx;
	struct creds *creds;
	struct session *session;
	bool ready, ended;
	LIST_HEAD(, forwarding) forwards;
};

static void deliver_ready(void *owner, const struct loop_word *word)
{
	struct adit_tunnel *t = owner;

	if (t->callbacks.on_ready)
		t->callbacks.on_ready(t->ctx, t, word->text);
}

static void deliver_end(void *owner, const struct loop_word *word)
{
	struct adit_tunnel *t = owner;

	if (t->callbacks.on_end)
		t->callbacks.on_end(t->ctx, t, &word->error);
}

static void drop_forwards(struct adit_tunnel *t)
{
	struct forwarding *f;

	while ((f = LIST_FIRST(&t->forwards)) != NULL) {
		LIST_REMOVE(f, link);
		forward_free(f->forward);
		free(f);
	}
}

static void on_ready(void *ctx, struct session *s)
{
	struct adit_tunnel *t = ctx;
	struct forwarding *f;

	t->ready = true;
	LIST_FOREACH(f, &t->forwards, link)
	forward_start(f->forward, s);
	loop_post(t->loop, deliver_ready, t, strdup(session_peer(s)), NULL, false);
}

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	struct adit_tunnel *t = ctx;
	struct err e = *why;
	struct adit_error error;

	(void)s;
	if (!err_is_set(&e))
		err_set(&e, ERR_CLOSED, "the far adit ended the session");
	loop_error(&error, &e);
	t->ended = true;
	drop_forwards(t);
	loop_post(t->loop, deliver_end, t, NULL, &error, false);
	loop_live(t->loop, -1);
}

static const struct session_ops ops = {.on_ready = on_ready, .on_end = on_session_end};

struct request {
	struct adit_tunnel *tunnel;
	struct addr_dest dest;
	struct addr local, remote;
	struct err err;
};

static void drop(struct adit_tunnel *t)
{
	LIST_REMOVE(&t->owned, link);
	loop_forget(t->loop, t);
	drop_forwards(t);
	session_close(t->session, CODE_NONE, "");
	if (!t->ended)
		loop_live(t->loop, -1);
	creds_free(t->creds);
	free(t);
}

static void drop_owned(struct loop_owned *o)
{
	drop((struct adit_tunnel *)o);
}

static void do_open(void *arg)
{
	struct request *r = arg;
	struct adit_tunnel *t = r->tunnel;
	struct session_config config;

	session_config_default(&config);
	t->session = session_connect(t->loop->base, &r->dest, t->creds, &config, &ops, t, &r->err);
	if (!t->session)
		return;
	t->owned.drop = drop_owned;
	LIST_INSERT_HEAD(&t->loop->owned, &t->owned, link);
	loop_live(t->loop, 1);
}

static struct creds *load(const struct adit_option *o, const struct addr_dest *dest, struct err *e)
{
	struct creds *creds = NULL;
	struct migrate_config config = {0};
	json_t *wish = json_object();

	for (; wish && o && o->name; o++)
		if (migrate_config_put(wish, o->name, o->value, e) < 0)
			goto out;
	if (!wish) {
		err_set(e, ERR_SPACE, "no memory for a tunnel");
		goto out;
	}
	if (json_object_size(wish) > 1 ||
	    (json_object_size(wish) == 1 && !json_object_get(wish, "auth"))) {
		err_set(e, ERR_USAGE,
			"a tunnel has the options psk, tls-creds and insecure, ssh-config and "
			"remote-command, and no other");
		goto out;
	}
	if (migrate_config_from_json(&config, wish, e) == 0)
		creds = auth_load_client(&config.auth, dest, e);
out:
	json_decref(wish);
	return creds;
}

struct adit_tunnel *adit_tunnel_open(struct adit_loop *loop, const char *dest,
				     const struct adit_option *credentials,
				     const struct adit_tunnel_callbacks *callbacks, void *ctx,
				     struct adit_error *error)
{
	struct adit_tunnel *t = calloc(1, sizeof(*t));
	struct request r = {.tunnel = t};

	if (!t) {
		err_set(&r.err, ERR_SPACE, "no memory for a tunnel");
		loop_error(error, &r.err);
		return NULL;
	}
	t->loop = loop;
	t->ctx = ctx;
	if (callbacks)
		t->callbacks = *callbacks;
	LIST_INIT(&t->forwards);
	if (addr_parse_dest(&r.dest, dest, &r.err) == 0)
		t->creds = load(credentials, &r.dest, &r.err);
	if (t->creds)
		loop_call(loop, do_open, &r);
	loop_error(error, &r.err);
	if (t->session)
		return t;
	creds_free(t->creds);
	free(t);
	return NULL;
}

static void do_forward(void *arg)
{
	struct request *r = arg;
	struct adit_tunnel *t = r->tunnel;
	struct forwarding *f;

	if (t->ended) {
		err_set(&r->err, ERR_CLOSED, "the tunnel has ended");
		return;
	}
	f = calloc(1, sizeof(*f));
	if (f)
		f->forward = forward_new(t->loop->base, &r->local, &r->remote, &r->err);
	else
		err_set(&r->err, ERR_SPACE, "no memory for a forward");
	if (!f || !f->forward) {
		free(f);
		return;
	}
	LIST_INSERT_HEAD(&t->forwards, f, link);
	if (t->ready)
		forward_start(f->forward, t->session);
}

int adit_tunnel_forward(struct adit_tunnel *tunnel, const char *local, const char *remote,
			struct adit_error *error)
{
	struct request r = {.tunnel = tunnel};

	if (addr_parse(&r.local, local, &r.err) == 0 && addr_parse(&r.remote, remote, &r.err) == 0)
		loop_call(tunnel->loop, do_forward, &r);
	loop_error(error, &r.err);
	return err_is_set(&r.err) ? -1 : 0;
}

static void do_close(void *arg)
{
	drop(arg);
}

void adit_tunnel_close(struct adit_tunnel *tunnel)
{
	if (tunnel)
		loop_call(tunnel->loop, do_close, tunnel);
}
