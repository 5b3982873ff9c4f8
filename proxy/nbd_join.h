/*
 * An NBD server far away and a client beside us, joined so that the client's hello costs it no way
 * over the line: the server is greeted first, by us, and when a client comes it is answered here,
 * at once, with what the server said. What follows is a plain relay of their bytes.
 *
 * It is made for QEMU, which does nothing else while it says hello to an NBD server: with five
 * questions, one after the other, its guest stood still for as many round trips.
 */
#ifndef ADIT_PROXY_NBD_JOIN_H
#define ADIT_PROXY_NBD_JOIN_H

#include <stdint.h>

#include "proxy/relay.h"

struct nbd_join;

/* All from the loop, never from within a call of these functions. */
struct nbd_join_ops {
	/* The server has answered: a client may come. */
	void (*on_ready)(void *ctx);
	/* The client has been answered too, and r carries what follows; the join is gone. */
	void (*on_joined)(void *ctx, struct relay *r);
	/* It came to nothing, for the reason e; the join is gone. */
	void (*on_fail)(void *ctx, const struct err *e);
	relay_on_end *on_end; /* r's */
};

/* Opens a stream of class disk for target, at whose end is an NBD server, and greets that for the
 * export of that name (1 to NBD_NAME_MAX bytes). ops and ctx are borrowed. NULL with *e where the
 * session cannot open one. */
struct nbd_join *nbd_join_open(struct event_base *base, struct session *s, const char *target,
			       const char *name, const struct nbd_join_ops *ops, void *ctx,
			       struct err *e);

/* The client's end is fd (connected; owned from now on; set non-blocking). After on_ready, once. */
void nbd_join_client(struct nbd_join *j, int fd);

/* Its stream, for a rate limit; the relay has the same one. */
struct stream *nbd_join_stream(struct nbd_join *j);

/* The smallest block of the export, bytes, as the server has said; 0: it has said nothing of that.
 * From on_ready on. */
uint32_t nbd_join_block(const struct nbd_join *j);

/* Ends it; nothing is called any more. NULL is fine. */
void nbd_join_cancel(struct nbd_join *j, enum code code, const char *reason);

#endif
