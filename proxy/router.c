/*
 * The router: see router.h. Refuses every target that no rule and no service
 * names, and says on both sides which one and what would allow it.
 *
 * It owns the sessions that it was given, and the relays of forwards on them. A
 * session that has ended is freed on a later turn of the loop, not within the
 * session's own callback.
 */
#include "proxy/router.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/relay.h"
#include "proxy/rights.h"

struct watcher {
	LIST_ENTRY(watcher) link;
	router_session_end *fn;
	void *ctx;
};

/* What all sessions of a peer may move together. */
struct share {
	LIST_ENTRY(share) link;
	struct rate *tx, *rx;
	uint64_t bandwidth;
	unsigned sessions;
	char peer[256];
};

struct entry {
	LIST_ENTRY(entry) link;
	struct router *router;
	struct session *session;
	const struct rights *rights;
	struct share *share; /* NULL: no limit */
	int ended;
	uint64_t came_ms;
	struct relay_list forwards;
	LIST_HEAD(, watcher) watchers;
	char peer[256];
};

struct service_entry {
	LIST_ENTRY(service_entry) link;
	router_service *fn;
	void *ctx;
	char name[];
};

struct router {
	struct event_base *base;
	struct rights_table *rights;
	const char *draining; /* why nothing new is taken; NULL: it is */
	struct event reap;
	LIST_HEAD(, service_entry) services;
	LIST_HEAD(, entry) sessions;
	LIST_HEAD(, share) shares;
};

static struct log_ctx about(const struct entry *n, unsigned stream)
{
	struct log_ctx ctx = {.peer = n->peer, .stream = stream};

	return ctx;
}

static void free_share(struct share *h)
{
	if (!h || --h->sessions)
		return;
	LIST_REMOVE(h, link);
	rate_free(h->tx);
	rate_free(h->rx);
	free(h);
}

/* The peer's; a new one where it has no session with that limit. NULL when memory is short. */
static struct share *take_share(struct router *r, const char *peer, uint64_t bandwidth)
{
	struct share *h;

	LIST_FOREACH(h, &r->shares, link)
	{
		if (h->bandwidth == bandwidth && strcmp(h->peer, peer) == 0) {
			h->sessions++;
			return h;
		}
	}
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->tx = rate_new(bandwidth);
	h->rx = rate_new(bandwidth);
	if (!h->tx || !h->rx) {
		rate_free(h->tx);
		rate_free(h->rx);
		free(h);
		return NULL;
	}
	h->bandwidth = bandwidth;
	h->sessions = 1;
	snprintf(h->peer, sizeof(h->peer), "%s", peer);
	LIST_INSERT_HEAD(&r->shares, h, link);
	return h;
}

static void free_entry(struct entry *n)
{
	struct watcher *w;

	relay_list_let_go(&n->forwards, CODE_CANCELLED, "the far adit ends");
	while ((w = LIST_FIRST(&n->watchers)) != NULL) {
		LIST_REMOVE(w, link);
		free(w);
	}
	LIST_REMOVE(n, link);
	if (n->share)
		session_set_rates(n->session, NULL, NULL);
	free_share(n->share);
	rights_unref(n->rights);
	free(n);
}

static void on_reap(evutil_socket_t fd, short what, void *ctx)
{
	struct router *r = ctx;
	struct entry *n, *next;

	(void)fd;
	(void)what;
	for (n = LIST_FIRST(&r->sessions); n; n = next) {
		struct session *s = n->session;

		next = LIST_NEXT(n, link);
		if (!n->ended)
			continue;
		free_entry(n);
		session_free(s);
	}
}

struct router *router_new(struct event_base *base)
{
	struct router *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->base = base;
	LIST_INIT(&r->services);
	LIST_INIT(&r->sessions);
	LIST_INIT(&r->shares);
	event_assign(&r->reap, base, -1, 0, on_reap, r);
	return r;
}

/* Calls everybody who watches n; they may watch and unwatch meanwhile. */
static void tell_watchers(struct entry *n, const struct err *why)
{
	struct watcher *w;

	while ((w = LIST_FIRST(&n->watchers)) != NULL) {
		router_session_end *fn = w->fn;
		void *ctx = w->ctx;

		LIST_REMOVE(w, link);
		free(w);
		fn(ctx, n->session, why);
	}
}

void router_free(struct router *r)
{
	struct entry *n;
	struct service_entry *v;
	struct err why = ERR_INIT;

	if (!r)
		return;
	err_set(&why, ERR_CANCELLED, "this adit ends");
	while ((n = LIST_FIRST(&r->sessions)) != NULL) {
		struct session *s = n->session;
		int ended = n->ended;

		if (!ended)
			tell_watchers(n, &why);
		free_entry(n);
		if (ended)
			session_free(s);
		else
			session_close(s, CODE_CANCELLED, "the far adit was asked to end");
	}
	while ((v = LIST_FIRST(&r->services)) != NULL) {
		LIST_REMOVE(v, link);
		free(v);
	}
	event_del(&r->reap);
	rights_table_free(r->rights);
	free(r);
}

/* Who has taken a right away is to know where it is still used. */
static void log_kept(const struct entry *n, const struct rights *now)
{
	struct log_ctx ctx = about(n, 0);
	char lost[280];

	if (n->ended || !*rights_lost(n->rights, now, lost, sizeof(lost)))
		return;
	log_warn(&ctx,
		 "its session keeps, until it ends, what the peer is not allowed any more: %s",
		 lost);
}

void router_set_rights(struct router *r, struct rights_table *t)
{
	const struct entry *n;

	LIST_FOREACH(n, &r->sessions, link)
	log_kept(n, rights_table_find(t, n->peer));
	rights_table_free(r->rights);
	r->rights = t;
}

/* The service whose name is that of target up to its first '/'. */
static struct service_entry *find_service(struct router *r, const char *target, size_t len)
{
	struct service_entry *v;

	LIST_FOREACH(v, &r->services, link)
	if (strlen(v->name) == len && memcmp(v->name, target, len) == 0)
		return v;
	return NULL;
}

int router_add_service(struct router *r, const char *name, router_service *fn, void *ctx,
		       struct err *e)
{
	size_t len = strlen(name);
	struct service_entry *v;

	if (find_service(r, name, len))
		return err_set(e, ERR_INTERNAL, "there is a service \"%s\" already", name);
	v = calloc(1, sizeof(*v) + len + 1);
	if (!v)
		return err_set(e, ERR_SYSTEM, "memory is short");
	v->fn = fn;
	v->ctx = ctx;
	memcpy(v->name, name, len + 1);
	LIST_INSERT_HEAD(&r->services, v, link);
	return 0;
}

void router_remove_service(struct router *r, const char *name)
{
	struct service_entry *v = find_service(r, name, strlen(name));

	if (!v)
		return;
	LIST_REMOVE(v, link);
	free(v);
}

static void on_relay_end(void *ctx, struct relay *relay, enum code code, const char *reason)
{
	const struct entry *n = ctx;

	relay_log_end(relay, n->peer, code, reason);
}

/* Refuses with reason, which is what the peer is told; the log's own words differ
 * where the mend is on this side. */
static void refuse(struct entry *n, struct stream *stream, enum code code, const char *log_words,
		   const char *reason)
{
	struct log_ctx ctx = about(n, stream_id(stream));

	log_warn(&ctx, "refused: %s", log_words);
	stream_refuse(stream, code, reason);
}

static void refuse_unnamed(struct entry *n, struct stream *stream, const char *target)
{
	char reason[STREAM_REASON_MAX], words[STREAM_TARGET_MAX + 64], section[280];

	snprintf(words, sizeof(words), "%s: no --allow-forward (forward = in adit.conf) names it",
		 target);
	rights_section(session_peer(n->session), section, sizeof(section));
	if (strlen(target) < 60)
		snprintf(reason, sizeof(reason),
			 "%s is not allowed here: start the far adit with --allow-forward %s, or "
			 "with forward = in its adit.conf, %s",
			 target, target, section);
	else
		snprintf(reason, sizeof(reason),
			 "%.110s is not allowed here: start the far adit with --allow-forward, or "
			 "with forward = in its adit.conf, %s",
			 target, section);
	refuse(n, stream, CODE_REFUSED, words, reason);
}

/* Whether target, read into *a, may be forwarded to; else the stream has been refused. */
static bool admit_forward(struct entry *n, struct stream *stream, const char *target,
			  struct addr *a)
{
	const struct router *r = n->router;
	struct err e = ERR_INIT;

	if (addr_parse(a, target, &e) < 0)
		refuse(n, stream, CODE_REFUSED, e.text, e.text);
	else if (r->draining)
		refuse(n, stream, CODE_DRAINING, r->draining, r->draining);
	else if (!rules_match(&n->rights->forwards, a))
		refuse_unnamed(n, stream, target);
	else
		return true;
	return false;
}

static void open_forward(struct entry *n, struct stream *stream, const char *target)
{
	struct log_ctx ctx = about(n, stream_id(stream));
	struct relay *relay;
	struct addr a;

	if (!admit_forward(n, stream, target, &a))
		return;
	relay = relay_connect(n->router->base, n->session, stream, &a, on_relay_end, n);
	if (!relay) {
		log_error(&ctx, "%s: memory is short", target);
		return;
	}
	log_debug(&ctx, "%s: opened", target);
	relay_list_add(&n->forwards, relay);
}

static bool is_forward(const char *target)
{
	return strncmp(target, "unix:", 5) == 0 || strncmp(target, "tcp:", 4) == 0;
}

/* Says whether a forward to target would be taken. There is nothing else to say, so that the stream
 * ends with it. */
static void say_allowed(struct entry *n, struct stream *stream, const char *target)
{
	struct addr a;

	if (!is_forward(target)) {
		refuse(n, stream, CODE_PROTOCOL, "asked for what is no forward",
		       "only of unix:/path and tcp:HOST:PORT it is said whether they are allowed");
		return;
	}
	if (admit_forward(n, stream, target, &a))
		stream_refuse(stream, CODE_NONE, "");
}

static void on_open(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		    const char *target)
{
	struct entry *n = ctx;
	struct service_entry *v;
	char reason[STREAM_REASON_MAX];

	if (strncmp(target, ROUTER_ALLOWED, strlen(ROUTER_ALLOWED)) == 0) {
		say_allowed(n, stream, target + strlen(ROUTER_ALLOWED));
		return;
	}
	if (is_forward(target)) {
		if (class == STREAM_CONTROL) /* it has priority, and no limit */
			refuse(n, stream, CODE_PROTOCOL, "a forward of class control",
			       "a forward is not of class control");
		else
			open_forward(n, stream, target);
		return;
	}
	v = find_service(n->router, target, strcspn(target, "/"));
	if (v) {
		v->fn(v->ctx, s, stream, class, target);
		return;
	}
	snprintf(reason, sizeof(reason),
		 "\"%.100s\" is nothing that is offered here: targets are unix:/path and "
		 "tcp:HOST:PORT",
		 target);
	refuse(n, stream, CODE_REFUSED, reason, reason);
}

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	struct entry *n = ctx;
	struct log_ctx about_n = about(n, 0);

	(void)s;
	if (err_is_set(why))
		log_warn(&about_n, "session ended: %s", why->text);
	else
		log_info(&about_n, "session ended by the peer");
	n->ended = 1;
	tell_watchers(n, why);
	event_active(&n->router->reap, EV_TIMEOUT, 0);
}

static const struct session_ops routed_session_ops = {
    .on_open = on_open,
    .on_end = on_session_end,
};

int router_add_session(struct router *r, struct session *s)
{
	struct entry *n = calloc(1, sizeof(*n));
	struct log_ctx ctx;

	if (!n) {
		session_close(s, CODE_INTERNAL, "memory is short");
		return -1;
	}
	n->router = r;
	n->session = s;
	n->came_ms = clock_ms();
	snprintf(n->peer, sizeof(n->peer), "%s", session_peer(s));
	n->rights = rights_ref(rights_table_find(r->rights, n->peer));
	if (n->rights->bandwidth) {
		n->share = take_share(r, n->peer, n->rights->bandwidth);
		if (!n->share) {
			rights_unref(n->rights);
			free(n);
			session_close(s, CODE_INTERNAL, "memory is short");
			return -1;
		}
		session_set_rates(s, n->share->tx, n->share->rx);
	}
	LIST_INIT(&n->watchers);
	LIST_INSERT_HEAD(&r->sessions, n, link);
	session_set_ops(s, &routed_session_ops, n);
	ctx = about(n, 0);
	log_info(&ctx, "session from %s", session_peer_address(s));
	return 0;
}

static struct entry *find_entry(struct router *r, const struct session *s)
{
	struct entry *n = session_owner(s, &routed_session_ops);

	return n && n->router == r ? n : NULL;
}

const struct rights *router_rights(struct router *r, const struct session *s)
{
	const struct entry *n = find_entry(r, s);

	return n ? n->rights : rights_none();
}

void router_drain(struct router *r, const char *reason)
{
	r->draining = reason;
}

void router_end_session(struct router *r, struct session *s, enum code code, const char *reason)
{
	struct entry *n = find_entry(r, s);
	struct err why = ERR_INIT;
	struct log_ctx ctx;

	if (!n || n->ended)
		return;
	ctx = about(n, 0);
	log_info(&ctx, "session ended here: %s", reason);
	err_set(&why, ERR_CANCELLED, "%s", reason);
	tell_watchers(n, &why);
	free_entry(n);
	session_close(s, code, reason);
}

struct session *router_next_session(struct router *r, const struct session *s)
{
	struct entry *n = s ? find_entry(r, s) : NULL;

	n = n ? LIST_NEXT(n, link) : s ? NULL : LIST_FIRST(&r->sessions);
	while (n && n->ended)
		n = LIST_NEXT(n, link);
	return n ? n->session : NULL;
}

uint64_t router_session_age_ms(struct router *r, const struct session *s)
{
	const struct entry *n = find_entry(r, s);

	return n ? clock_ms() - n->came_ms : 0;
}

int router_watch_session(struct router *r, struct session *s, router_session_end *fn, void *ctx,
			 struct err *e)
{
	struct entry *n = find_entry(r, s);
	struct watcher *w;

	if (!n || n->ended)
		return err_set(e, ERR_CLOSED, "the session has ended");
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(e, ERR_SPACE, "memory is short");
	w->fn = fn;
	w->ctx = ctx;
	LIST_INSERT_HEAD(&n->watchers, w, link);
	return 0;
}

void router_unwatch_session(struct router *r, struct session *s, router_session_end *fn, void *ctx)
{
	struct entry *n = find_entry(r, s);
	struct watcher *w;

	if (!n)
		return;
	LIST_FOREACH(w, &n->watchers, link)
	{
		if (w->fn == fn && w->ctx == ctx) {
			LIST_REMOVE(w, link);
			free(w);
			return;
		}
	}
}
