/*
 * A relay: an endpoint (a descriptor) and a stream, and the bytes between them
 * both ways, with half-close and backpressure (R4, R5).
 */
#ifndef ADIT_PROXY_RELAY_H
#define ADIT_PROXY_RELAY_H

#include <stdbool.h>
#include <sys/queue.h>

#include "base/addr.h"
#include "tunnel/session.h"

struct relay;

/* How a relay ended: code CODE_NONE when both directions ended in order, else
 * the reason that both sides' logs name. Called once, from the loop or from
 * relay_see_off, never from within the call that made the relay; the relay frees itself after it.
 */
typedef void relay_on_end(void *ctx, struct relay *r, enum code code, const char *reason);

/* Opens a stream for target and joins it to fd (connected; owned from now on, also
 * on error; set non-blocking). NULL with *e when the session cannot open. */
struct relay *relay_open(struct event_base *base, struct session *s, enum stream_class class,
			 const char *target, int fd, relay_on_end *on_end, void *ctx,
			 struct err *e);

/* Accepts a stream that the peer opened and joins it to fd (connected; owned). */
struct relay *relay_accept(struct event_base *base, struct session *s, struct stream *stream,
			   int fd, relay_on_end *on_end, void *ctx);

/* Joins a stream that this side opened, and has talked over until now, to fd (connected; owned).
 * The stream is the relay's from now on, whatever comes of it. NULL when memory is short: then the
 * stream is reset. */
struct relay *relay_take(struct event_base *base, struct stream *stream, int fd,
			 relay_on_end *on_end, void *ctx);

/* Accepts a stream that the peer opened and connects to a for it. Connections
 * to the same address are made in the order of the streams, one after the other
 * (R3); a unix socket whose backlog is full is tried again. What cannot be reached
 * resets the stream with CODE_UNREACHABLE and a reason. */
struct relay *relay_connect(struct event_base *base, struct session *s, struct stream *stream,
			    const struct addr *a, relay_on_end *on_end, void *ctx);

/* What is asked once an endpoint is connected, before a byte passes: 0, or negative with e; then
 * the stream is reset with CODE_REFUSED and that reason, and the relay ends. ctx is the relay's;
 * fd is only to be looked at, and no relay to be made or ended within the call. */
typedef int relay_check(void *ctx, int fd, struct err *e);

/* Accepts a stream that the peer opened and whose endpoint is not there yet: what comes in
 * waits in the stream's window until relay_join, which is relay_connect's second half. check
 * may be NULL: whoever listens at a is right. */
struct relay *relay_hold(struct event_base *base, struct stream *stream, relay_on_end *on_end,
			 void *ctx);
void relay_join(struct relay *r, struct session *s, const struct addr *a, relay_check *check);

/* The relay's stream, for statistics and rate limits; NULL when it has ended. */
struct stream *relay_stream(struct relay *r);

/* Whether the endpoint's program has closed it, or has ended its side, and the relay goes on
 * with what that has left in it, or with what the peer still has to say. */
int relay_is_leaving(const struct relay *r);

/* What the relay's stream has carried, also after it has ended (within on_end, too). */
void relay_stats(const struct relay *r, struct stream_stats *out);

/* Ends both directions at once; on_end is not called; the relay is gone. NULL is fine. */
void relay_cancel(struct relay *r, enum code code, const char *reason);

/* The same for who may have thousands: the endpoint is closed in one of the next turns of the loop,
 * as those are whose session has ended: so many at a time, and more while a turn has time. */
enum { RELAY_CLOSES = 64 };
void relay_let_go(struct relay *r, enum code code, const char *reason);

/* Relays of one owner; zeroed is none. A relay leaves its list as it ends, before on_end. */
LIST_HEAD(relay_list, relay);
void relay_list_add(struct relay_list *all, struct relay *r);
/* relay_let_go for each. */
void relay_list_let_go(struct relay_list *all, enum code code, const char *reason);
/* Whether relay_is_leaving holds for one. */
bool relay_list_is_leaving(const struct relay_list *all);

/* For on_end: one line in the log, as weighty as the reason is, with the peer, the stream and its
 * target. */
void relay_log_end(const struct relay *r, const char *peer, enum code code, const char *reason);

/* Closes at once what waits for that in this thread: before its event base is freed. (What a
 * program that ends leaves to the kernel looks like an end in order to whoever is connected by
 * TCP.) */
void relay_see_off(void);

#endif
