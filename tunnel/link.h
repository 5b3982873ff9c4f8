/*
 * A link: a mux, a transport and the event loop, joined. The one place where
 * the protocol meets the network.
 */
#ifndef ADIT_TUNNEL_LINK_H
#define ADIT_TUNNEL_LINK_H

#include <event2/event.h>

#include "tunnel/account.h"
#include "tunnel/mux.h"
#include "tunnel/transport.h"

struct link;

struct link_ops {
	void (*on_ready)(void *ctx);
	void (*on_open)(void *ctx, struct stream *s, enum stream_class class, const char *target);
	/* Over; streams were told before. Once, and nothing after it; the link frees
	 * itself, so forget it here. why->code ERR_NONE: the peer closed in order. */
	void (*on_end)(void *ctx, const struct err *why);
};

/* Starts the handshake over t (owned from now on, also on error). ops are borrowed. */
struct link *link_new(struct event_base *base, struct transport *t, const struct mux_config *config,
		      const struct link_ops *ops, void *ctx, struct err *e);

/* HELLO is to have come by then (clock_us), for one whose connection is older than the link. */
void link_set_deadline(struct link *l, uint64_t at_us);

/* From now on p's turns are l's, too; l puts it back. Once. */
void link_set_account(struct link *l, struct account *p);

/* Another owner takes the callbacks over. */
void link_set_ops(struct link *l, const struct link_ops *ops, void *ctx);

struct mux *link_mux(struct link *l);
const struct transport *link_transport(const struct link *l);

/* Tells the peer, lets go of the owner, and lingers until the farewell has gone
 * or LINK_LINGER_MS have passed. Streams are reset. No callback comes after it.
 * (One that is ending already says no other reason.) */
void link_close(struct link *l, enum code code, const char *reason);

/* At once, without a word. NULL is fine. */
void link_free(struct link *l);

/* For a process that ends: frees those that linger in this thread and whose farewell has arrived,
 * unless the peer still sends, a little: what comes later, the kernel answers. */
void link_see_off(void);

/* Links that linger in this thread (which is one loop). */
unsigned link_lingering(void);

enum { LINK_LINGER_MS = 2000 };

#endif
