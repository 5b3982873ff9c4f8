/* A local listener whose connections become streams to one target at the peer (-L LOCAL=REMOTE). */
#ifndef ADIT_PROXY_FORWARD_H
#define ADIT_PROXY_FORWARD_H

#include "base/addr.h"
#include "tunnel/session.h"

struct forward;

/* Listens on local at once (accepting begins with forward_start, so that nothing
 * is taken before the session is ready). A unix socket is removed again by
 * forward_free. ERR_ADDRESS. */
struct forward *forward_new(struct event_base *base, const struct addr *local,
			    const struct addr *remote, struct err *e);

/* The same for a service of the peer's: target is what its streams are opened for, class
 * which of them go first. */
struct forward *forward_new_service(struct event_base *base, const struct addr *local,
				    const char *target, enum stream_class class, struct err *e);

/* Accepts from now on: a stream for each connection (of class `other` unless it is a
 * service's), opened in the order of accept (R3). */
void forward_start(struct forward *f, struct session *s);

/* Whether somebody who has closed a connection, or has ended his side of it, may have
 * bytes in it that are still to be carried (or has not been accepted yet). */
int forward_is_leaving(const struct forward *f);

/* Stops accepting and closes what runs. NULL is fine. */
void forward_free(struct forward *f);

#endif
