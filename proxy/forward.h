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

/* Accepts from now on: a stream of class `other` for each connection, opened in
 * the order of accept (R3). */
void forward_start(struct forward *f, struct session *s);

/* Stops accepting and closes what runs. NULL is fine. */
void forward_free(struct forward *f);

#endif
