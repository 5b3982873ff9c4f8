/*
 * Asks whether forwards are allowed: see allowed.h. Owned by its caller; owns the streams that are
 * not answered yet. Each is answered by its end (docs/protocol.md, section 12).
 */
#include "proxy/allowed.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proxy/router.h"

enum {
	AT_ONCE = 16,  /* streams: the session may allow few */
	LATER_MS = 10, /* where it allows none, as those that were answered are not acknowledged */
	LATER_MAX = 500,
};

struct allowed {
	struct session *session;
	allowed_answer *fn;
	void *ctx;
	struct event next; /* goes on from the loop, where no stream is in a call */
	struct event late; /* while one is not answered */
	unsigned answer_ms;
	unsigned waited;
	struct err why;
	char **targets;
	size_t count, asked, left; /* left: of those that were asked */
	struct stream *streams[AT_ONCE];
};

/* s is over. */
static void drop(struct allowed *a, struct stream *s)
{
	for (size_t i = 0; i < AT_ONCE; i++)
		if (a->streams[i] == s)
			a->streams[i] = NULL;
	stream_free(s);
	a->left--;
	event_active(&a->next, EV_TIMEOUT, 0);
}

/* The far adit said what is no answer. */
static void misunderstand(struct allowed *a, struct stream *s)
{
	if (!err_is_set(&a->why))
		err_set(&a->why, ERR_PROTOCOL,
			"the far adit %s at %s breaks the protocol: its answer to whether it "
			"takes %s is not understood: look which adit runs there",
			session_peer(a->session), session_peer_address(a->session),
			stream_target(s) + strlen(ROUTER_ALLOWED));
	stream_reset(s, CODE_PROTOCOL, "whether a forward is allowed is answered by RESET alone");
	drop(a, s);
}

static size_t on_push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	(void)data;
	(void)len;
	misunderstand(ctx, s);
	return 0;
}

static void on_eof(void *ctx, struct stream *s)
{
	misunderstand(ctx, s);
}

/* The target of s is to be asked about again. */
static void put_back(struct allowed *a, const struct stream *s)
{
	char *last = a->targets[--a->asked];

	for (size_t i = 0; i < a->asked; i++) {
		if (strcmp(a->targets[i], stream_target(s)) != 0)
			continue;
		a->targets[a->asked] = a->targets[i];
		a->targets[i] = last;
		return;
	}
}

/* (CODE_LIMIT: there are too many streams for the far adit as long as it has not heard that others
 * are over.) */
static void on_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	struct allowed *a = ctx;

	if (code == CODE_SESSION)
		return; /* the session's owner tells why */
	if (code == CODE_LIMIT && a->waited++ < LATER_MAX)
		put_back(a, s);
	else if (code != CODE_NONE && !err_is_set(&a->why))
		err_set(&a->why, ERR_REFUSED, "refused by the far adit: %s",
			*reason ? reason : code_name(code));
	drop(a, s);
}

static const struct stream_ops ops = {.push = on_push, .on_eof = on_eof, .on_reset = on_reset};

/* Asks for as many more as the session allows. */
static void ask_more(struct allowed *a, struct err *e)
{
	for (size_t i = 0; i < AT_ONCE && a->asked < a->count; i++) {
		if (a->streams[i])
			continue;
		a->streams[i] =
		    session_open(a->session, STREAM_CONTROL, a->targets[a->asked], &ops, a, e);
		if (!a->streams[i])
			return;
		a->asked++;
		a->left++;
	}
}

static void on_next(evutil_socket_t fd, short what, void *ctx)
{
	static const struct timeval later = {0, LATER_MS * 1000};
	struct allowed *a = ctx;
	struct err e = ERR_INIT;

	(void)fd;
	(void)what;
	event_del(&a->late);
	if (!err_is_set(&a->why))
		ask_more(a, &e);
	if (!err_is_set(&a->why) && a->left > 0) {
		const struct timeval tv = clock_timeval(a->answer_ms);

		event_add(&a->late, &tv);
		return; /* with the next answer */
	}
	if (e.code == ERR_LIMIT && a->waited++ < LATER_MAX) {
		event_add(&a->next, &later);
		return;
	}
	e = err_is_set(&a->why) ? a->why : e;
	a->fn(a->ctx, &e);
}

/* PINGs are answered, and this is not. */
static void on_late(evutil_socket_t fd, short what, void *ctx)
{
	struct allowed *a = ctx;
	const char *target = "";
	struct err e = ERR_INIT;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < AT_ONCE && !*target; i++)
		if (a->streams[i])
			target = stream_target(a->streams[i]) + strlen(ROUTER_ALLOWED);
	err_set(&e, ERR_TIMEOUT,
		"the far adit %s at %s has not said within %u seconds whether it takes %s: its log "
		"may say why; start it anew",
		session_peer(a->session), session_peer_address(a->session), a->answer_ms / 1000,
		target);
	event_del(&a->next);
	a->fn(a->ctx, &e);
}

static void free_all(struct allowed *a)
{
	for (size_t i = 0; a && i < a->count; i++)
		free(a->targets[i]);
	if (a)
		free(a->targets);
	free(a);
}

struct allowed *allowed_ask(struct event_base *base, struct session *s, const char *const *targets,
			    size_t count, unsigned answer_ms, allowed_answer *fn, void *ctx,
			    struct err *e)
{
	struct allowed *a = calloc(1, sizeof(*a));

	if (a)
		a->targets = calloc(count + 1, sizeof(*a->targets));
	if (!a || !a->targets)
		goto fail;
	a->session = s;
	a->answer_ms = answer_ms;
	a->fn = fn;
	a->ctx = ctx;
	if (!(session_peer_features(s) & FRAME_FEATURE_ALLOWED))
		count = 0; /* an older one: the first connection will tell */
	for (; a->count < count; a->count++)
		if (asprintf(&a->targets[a->count], ROUTER_ALLOWED "%s", targets[a->count]) < 0)
			goto fail;
	event_assign(&a->next, base, -1, 0, on_next, a);
	evtimer_assign(&a->late, base, on_late, a);
	event_active(&a->next, EV_TIMEOUT, 0);
	return a;
fail:
	free_all(a);
	err_set(e, ERR_SPACE, "memory is short");
	return NULL;
}

void allowed_free(struct allowed *a)
{
	if (!a)
		return;
	event_del(&a->next);
	event_del(&a->late);
	for (size_t i = 0; i < AT_ONCE; i++)
		stream_free(a->streams[i]);
	free_all(a);
}
