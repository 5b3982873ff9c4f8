/*
 * Connections to endpoints, made in the order asked for (R3): what has the same
 * group and the same address waits in line, one connection at a time. A unix
 * socket whose backlog is full is tried again.
 */
#ifndef ADIT_PROXY_CONNECTOR_H
#define ADIT_PROXY_CONNECTOR_H

#include "base/addr.h"
#include "base/err.h"

struct event_base;
struct connector;

/* Comes once, from the loop or from within connector_start: fd is connected,
 * non-blocking, close-on-exec and the callee's; or it is -1 and why says in a
 * sentence that names the address what failed. The connector is gone. */
typedef void connector_done(void *ctx, int fd, const struct err *why);

/* Connects to a, after all others of this group (any pointer, compared only; a
 * session) that were asked to connect to a before. With nobody in line, a unix
 * socket is connected, or has failed, before this returns: fn has been called and
 * the result is NULL. NULL also when memory is short (fn has been called with it). */
struct connector *connector_start(struct event_base *base, const void *group, const struct addr *a,
				  connector_done *fn, void *ctx);

/* Not connected any more; fn is not called. NULL is fine. */
void connector_cancel(struct connector *c);

#endif
