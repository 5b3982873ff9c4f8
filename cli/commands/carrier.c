/* A session and its listeners, for the commands that hold one open: see carrier.h. */
#include "cli/commands/carrier.h"

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
static int take_named(struct carrier *c, const char *text, size_t len, struct err *e)
{
	struct carrier_pair *p = &c->pairs[c->pair_count];

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
	for (size_t i = 0; i < c->pair_count; i++)
		if (strcmp(c->pairs[i].name, p->name) == 0)
			return err_set(e, ERR_USAGE, "-L \"%s\": there is a \"%s\" already", text,
				       p->name);
	if (addr_parse(&p->remote, text + len + 1, e) < 0)
		return err_prefix(e, "-L");
	c->pair_count++;
	return 0;
}

int carrier_take_pair(struct carrier *c, const char *text, int names_ok, struct err *e)
{
	struct carrier_pair *p = &c->pairs[c->pair_count];
	const char *eq = strchr(text, '=');
	char local[sizeof("tcp:[]:65535") + ADDR_HOST_MAX];

	if (names_ok && eq && strcspn(text, ":/") > (size_t)(eq - text))
		return take_named(c, text, (size_t)(eq - text), e);
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
	c->pair_count++;
	return 0;
}

int carrier_load_creds(struct carrier *c, struct err *e)
{
	c->creds = auth_load_client(&c->auth, &c->dest, e);
	return c->creds ? 0 : (int)e->code;
}

int carrier_listen(struct carrier *c, struct event_base *base, const char *dir, struct err *e)
{
	c->base = base;
	c->log_timer = log_timer_new(base);
	for (size_t i = 0; i < c->pair_count; i++) {
		struct carrier_pair *p = &c->pairs[i];

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
	struct carrier *c = ctx;
	struct session *s = c->session;
	struct log_ctx about = {.peer = session_peer(s)};
	struct err e = *why;

	allowed_free(c->allowed);
	c->allowed = NULL;
	if (err_is_set(&e)) {
		err_prefix(&e, "-L");
		c->on_end(c->ctx, &e);
		return;
	}
	c->ready = 1;
	for (size_t i = 0; i < c->pair_count; i++) {
		const struct carrier_pair *p = &c->pairs[i];
		char local[320], remote[320];

		forward_start(p->forward, s);
		log_info(&about, "forwarding %s to %s",
			 addr_format(&p->local, local, sizeof(local)),
			 addr_format(&p->remote, remote, sizeof(remote)));
	}
	c->on_ready(c->ctx);
}

/* Connections wait until it is known that the far adit takes them. */
static void on_ready(void *ctx, struct session *s)
{
	struct carrier *c = ctx;
	char(*texts)[320] = calloc(c->pair_count + 1, sizeof(*texts));
	const char **targets = calloc(c->pair_count + 1, sizeof(*targets));
	struct err e = ERR_INIT;

	c->up = 1;
	if (texts && targets) {
		for (size_t i = 0; i < c->pair_count; i++)
			targets[i] = addr_format(&c->pairs[i].remote, texts[i], sizeof(texts[i]));
		c->allowed = allowed_ask(c->base, s, targets, c->pair_count, ALLOWED_ANSWER_MS,
					 on_allowed, c, &e);
	} else {
		err_set(&e, ERR_SPACE, "memory is short");
	}
	free(texts);
	free(targets);
	if (!c->allowed)
		c->on_end(c->ctx, &e);
}

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	struct carrier *c = ctx;
	struct log_ctx about = {.peer = session_peer(s)};
	struct err e = *why;

	c->lost = 1;
	if (!err_is_set(&e))
		err_set(&e, ERR_CLOSED,
			c->up ? "the far adit ended it"
			      : "the far adit ended the session before it began");
	if (c->ready)
		log_error(&about, "session lost: %s", e.text);
	else if (c->up)
		err_prefix(&e, "session lost");
	c->on_end(c->ctx, &e);
}

/* (No on_open: what the far adit opens is refused by session.c.) */
static const struct session_ops ops = {
    .on_ready = on_ready,
    .on_end = on_session_end,
};

int carrier_connect(struct carrier *c, struct err *e)
{
	struct session_config config;

	session_config_default(&config);
	c->session = session_connect(c->base, &c->dest, c->creds, &config, &ops, c, e);
	return c->session ? 0 : (int)e->code;
}

int carrier_is_leaving(const struct carrier *c)
{
	for (size_t i = 0; i < c->pair_count; i++)
		if (c->pairs[i].forward && forward_is_leaving(c->pairs[i].forward))
			return 1;
	return 0;
}

void carrier_close_pairs(struct carrier *c)
{
	for (size_t i = 0; i < c->pair_count; i++) {
		forward_free(c->pairs[i].forward);
		c->pairs[i].forward = NULL;
	}
}

void carrier_stop(struct carrier *c)
{
	carrier_close_pairs(c);
	allowed_free(c->allowed);
	c->allowed = NULL;
	if (c->log_timer)
		event_free(c->log_timer);
	c->log_timer = NULL;
	session_close(c->session, CODE_NONE, "");
	c->session = NULL;
}

void carrier_fini(struct carrier *c)
{
	creds_free(c->creds);
	free(c->pairs);
	c->creds = NULL;
	c->pairs = NULL;
}

int carrier_run(struct carrier *c, const struct carrier_command *command, int argc, char **argv)
{
	struct err e = ERR_INIT;
	int status;

	c->pairs = calloc((size_t)argc, sizeof(*c->pairs)); /* one for each word at most */
	if (!c->pairs) {
		err_set(&e, ERR_SYSTEM, "memory is short");
		return usage_fail(command->name, &e);
	}
	status = command->parse(c->ctx, argc, argv);
	if (status < 0 && command->start(c->ctx, &e) < 0) {
		status = usage_fail(command->name, &e);
	} else if (status < 0) {
		event_base_dispatch(c->base);
		if (err_is_set(&c->why))
			usage_fail(command->name, &c->why);
		status = c->status;
	}
	command->stop(c->ctx);
	return status;
}
