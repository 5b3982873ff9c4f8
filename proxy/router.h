/*
 * What a peer may open: its rights (rights.h), and the place where incoming
 * streams find their endpoints. Nothing is allowed that is not named.
 *
 * Targets: `unix:/path` and `tcp:HOST:PORT` are forwards and need a rule.
 * Anything else is a service registered by name: the target `NAME` or
 * `NAME/...`, e.g. "migrate" or "job:1f3a.../ram".
 *
 * A stream to `allowed/TARGET` asks whether a forward to TARGET would be taken: it is answered as
 * that would be, but that nothing is connected to (allowed.h asks).
 */
#ifndef ADIT_PROXY_ROUTER_H
#define ADIT_PROXY_ROUTER_H

#include "tunnel/frame.h"
#include "tunnel/session.h"

/* What the sessions that a router is given are to say of themselves (session_config). */
enum { ROUTER_FEATURES = FRAME_FEATURE_ALLOWED };

#define ROUTER_ALLOWED "allowed/"

struct rights;
struct rights_table;
struct router;

/* Gets a stream for a registered service; must call stream_accept (or relay_accept)
 * or stream_refuse before it returns. */
typedef void router_service(void *ctx, struct session *s, struct stream *stream,
			    enum stream_class class, const char *target);

/* One router serves all sessions of a process. */
struct router *router_new(struct event_base *base);
void router_free(struct router *r);

/* Who may do what from now on; the table is taken over, the one before it freed. Sessions
 * that are there keep the rights that they have: what of it is more than they would get now, is
 * logged. Without a table nobody may do anything. */
void router_set_rights(struct router *r, struct rights_table *t);

/* Those of s, good as long as s is (rights_ref keeps them); rights_none for a session that
 * the router does not have. */
const struct rights *router_rights(struct router *r, const struct session *s);

/* Registers a service (name copied); a second one of the same name is ERR_INTERNAL. */
int router_add_service(struct router *r, const char *name, router_service *fn, void *ctx,
		       struct err *e);
void router_remove_service(struct router *r, const char *name);

/* Takes over a session that a listener handed on: the router owns it, logs its
 * coming and going, routes its streams, and frees it when it ends. -1: memory was short, and
 * the session is closed and gone. */
int router_add_session(struct router *r, struct session *s);

/* Forwards are refused from now on, with CODE_DRAINING and reason (static). */
void router_drain(struct router *r, const char *reason);

/* Ends s as session_close does; who watches it is told. It is freed. */
void router_end_session(struct router *r, struct session *s, enum code code, const char *reason);

/* The sessions that live, one after the other: the first for NULL, NULL behind the last. */
struct session *router_next_session(struct router *r, const struct session *s);

/* For how long s has been the router's. */
uint64_t router_session_age_ms(struct router *r, const struct session *s);

/* Calls fn when s, owned by this router, ends (before it is freed), until
 * router_unwatch_session with the same fn and ctx. For jobs that live and die with
 * their session. 0; ERR_SPACE, or ERR_CLOSED where it has ended: then fn never comes, and s is
 * not to be kept. */
typedef void router_session_end(void *ctx, struct session *s, const struct err *why);
int router_watch_session(struct router *r, struct session *s, router_session_end *fn, void *ctx,
			 struct err *e);
void router_unwatch_session(struct router *r, struct session *s, router_session_end *fn, void *ctx);

#endif
