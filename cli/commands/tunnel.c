/* A session and its listeners, for the commands that hold one open: see tunnel.h. */
#include "cli/commands/tunnel.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/common/log_timer.h"
#include "cli/common/usage.h"
#include "proxy/allowed.h"
#include "proxy/forward.h"

/* -L NAME=REMOTE: a name has no ':' and no '/', which every address has. */
static int take_named(struct tunnel *t, const char *text, size_t len, struct err *e)
{
	struct tunnel_pair *p = &t->pairs[t->pair_count];

	if (len == 0 || len >= sizeof(p->name))
		return err_set(e, ERR_USAGE, "-L \"%.40s\": a name has 1 to %zu bytes", text,
			       sizeof(p->name) - 1);
	memcpy(p->name, text, len);
	p->name[len] = '\0';
	if (strspn(p->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") <
		len ||
	    strcmp(p->name, ".") == 0 || strcmp(p->name, "..") == 0)
		return err_set(
		    e, ERR_USAGE,
		    "-L \"%s\": write NAME=REMOTE, the name in letters, digits and ._-, or "
		    "LOCAL=REMOTE, each unix:/path or tcp:HOST:PORT",
		    text);
	/* Who writes -L 8080=... as for ssh wants a port, and would get a socket of that name. */
	if (strspn(p->name, "0123456789") == len)
		return err_set(e, ERR_USAGE,
			       "-L \"%s\": for a port write tcp:127.0.0.1:%s=...; a name has more "
			       "than digits",
			       text, p->name);
	for (size_t i = 0; i < t->pair_count; i++)
		if (strcmp(t->pairs[i].name, p->name) == 0)
			return err_set(e, ERR_USAGE, "-L \"%s\": there is a \"%s\" already", text,
				       p->name);
	if (addr_parse(&p->remote, text + len + 1, e) < 0)
		return err_prefix(e, "-L");
	t->pair_count++;
	return 0;
}

int tunnel_take_pair(struct tunnel *t, const char *text, int names_ok, struct err *e)
{
	struct tunnel_pair *p = &t->pairs[t->pair_count];
	const char *eq = strchr(text, '=');
	char local[sizeof("tcp:[]:65535") + ADDR_HOST_MAX];

	if (names_ok && eq && strcspn(text, ":/") > (size_t)(eq - text))
		return take_named(t, text, (size_t)(eq - text), e);
	/* Split at the '=' before the second address: a path may have one too. */
	eq = text;
	while ((eq = strchr(eq, '=')) != NULL && strncmp(eq, "=unix:", 6) != 0 &&
	       strncmp(eq, "=tcp:", 5) != 0)
		eq++;
	eq = eq ? eq : strstr(text, "=fd:"); /* for what is to be said of it */
	if (!eq)
		return err_set(e, ERR_USAGE,
			       "-L \"%s\": write LOCAL=REMOTE, each unix:/path or tcp:HOST:PORT",
			       text);
	if ((size_t)(eq - text) >= sizeof(local))
		return err_set(e, ERR_USAGE, "-L \"%.40s...\": the first address is too long",
			       text);
	snprintf(local, sizeof(local), "%.*s", (int)(eq - text), text);
	if (addr_parse_local(&p->local, local, e) < 0 || addr_parse(&p->remote, eq + 1, e) < 0)
		return err_prefix(e, "-L");
	t->pair_count++;
	return 0;
}

int tunnel_load_creds(struct tunnel *t, struct err *e)
{
	t->creds = auth_load_client(&t->auth, &t->dest, e);
	return t->creds ? 0 : (int)e->code;
}

int tunnel_listen(struct tunnel *t, struct event_base *base, const char *dir, struct err *e)
{
	t->base = base;
	t->log_timer = log_timer_new(base);
	for (size_t i = 0; i < t->pair_count; i++) {
		struct tunnel_pair *p = &t->pairs[i];

		if (p->name[0]) {
			int n =
			    snprintf(p->local.path, sizeof(p->local.path), "%s/%s", dir, p->name);

			p->local.kind = ADDR_UNIX;
			if (n >= (int)sizeof(p->local.path))
				return err_set(
				    e, ERR_ADDRESS,
				    "-L: %s/%s is too long for a socket's path: choose a "
				    "shorter name",
				    dir, p->name);
		}
		p->forward = forward_new(base, &p->local, &p->remote, e);
		if (!p->forward)
			return err_prefix(e, "-L");
	}
	return 0;
}

static void on_allowed(void *ctx, const struct err *why)
{
	struct tunnel *t = ctx;
	struct session *s = t->session;
	struct log_ctx about = {.peer = session_peer(s)};
	struct err e = *why;

	allowed_free(t->allowed);
	t->allowed = NULL;
	if (err_is_set(&e)) {
		err_prefix(&e, "-L");
		t->on_end(t->ctx, &e);
		return;
	}
	t->ready = 1;
	for (size_t i = 0; i < t->pair_count; i++) {
		const struct tunnel_pair *p = &t->pairs[i];
		char local[320], remote[320];

		forward_start(p->forward, s);
		log_info(&about, "forwarding %s to %s",
			 addr_format(&p->local, local, sizeof(local)),
			 addr_format(&p->remote, remote, sizeof(remote)));
	}
	t->on_ready(t->ctx);
}

/* Connections wait until it is known that the far adit takes them. */
static void on_ready(void *ctx, struct session *s)
{
	struct tunnel *t = ctx;
	char(*texts)[320] = calloc(t->pair_count + 1, sizeof(*texts));
	const char **targets = calloc(t->pair_count + 1, sizeof(*targets));
	struct err e = ERR_INIT;

	t->up = 1;
	if (texts && targets) {
		for (size_t i = 0; i < t->pair_count; i++)
			targets[i] = addr_format(&t->pairs[i].remote, texts[i], sizeof(texts[i]));
		t->allowed = allowed_ask(t->base, s, targets, t->pair_count, ALLOWED_ANSWER_MS,
					 on_allowed, t, &e);
	} else {
		err_set(&e, ERR_SPACE, "memory is short");
	}
	free(texts);
	free(targets);
	if (!t->allowed)
		t->on_end(t->ctx, &e);
}

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	struct tunnel *t = ctx;
	struct log_ctx about = {.peer = session_peer(s)};
	struct err e = *why;

	t->lost = 1;
	if (!err_is_set(&e))
		err_set(&e, ERR_CLOSED,
			t->up ? "the far adit ended it"
			      : "the far adit ended the session before it began");
	if (t->ready)
		log_error(&about, "session lost: %s", e.text);
	else if (t->up)
		err_prefix(&e, "session lost");
	t->on_end(t->ctx, &e);
}

/* The far adit opens no streams here. */
static const struct session_ops ops = {
    .on_ready = on_ready,
    .on_end = on_session_end,
};

int tunnel_connect(struct tunnel *t, struct err *e)
{
	struct session_config config;

	session_config_default(&config);
	t->session = session_connect(t->base, &t->dest, t->creds, &config, &ops, t, e);
	return t->session ? 0 : (int)e->code;
}

int tunnel_is_leaving(const struct tunnel *t)
{
	for (size_t i = 0; i < t->pair_count; i++)
		if (t->pairs[i].forward && forward_is_leaving(t->pairs[i].forward))
			return 1;
	return 0;
}

void tunnel_close_pairs(struct tunnel *t)
{
	for (size_t i = 0; i < t->pair_count; i++) {
		forward_free(t->pairs[i].forward);
		t->pairs[i].forward = NULL;
	}
}

void tunnel_stop(struct tunnel *t)
{
	tunnel_close_pairs(t);
	allowed_free(t->allowed);
	t->allowed = NULL;
	if (t->log_timer)
		event_free(t->log_timer);
	t->log_timer = NULL;
	if (t->session && t->up && !t->lost)
		session_close(t->session, CODE_NONE, "");
	else
		session_free(t->session);
	t->session = NULL;
}

void tunnel_fini(struct tunnel *t)
{
	creds_free(t->creds);
	free(t->pairs);
	t->creds = NULL;
	t->pairs = NULL;
}

int tunnel_run(struct tunnel *t, const struct tunnel_command *command, int argc, char **argv)
{
	struct err e = ERR_INIT;
	int status;

	t->pairs = calloc((size_t)argc, sizeof(*t->pairs)); /* one for each word at most */
	if (!t->pairs) {
		err_set(&e, ERR_SYSTEM, "memory is short");
		return usage_fail(command->name, &e);
	}
	status = command->parse(t->ctx, argc, argv);
	if (status < 0 && command->start(t->ctx, &e) < 0) {
		status = usage_fail(command->name, &e);
	} else if (status < 0) {
		event_base_dispatch(t->base);
		if (err_is_set(&t->why))
			usage_fail(command->name, &t->why);
		status = t->status;
	}
	command->stop(t->ctx);
	return status;
}
