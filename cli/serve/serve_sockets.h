/* Where adit serve listens: on the sockets that a service manager hands over, or on its own. */
#ifndef ADIT_CLI_SERVE_SERVE_SOCKETS_H
#define ADIT_CLI_SERVE_SERVE_SOCKETS_H

#include "base/activation.h"
#include "tunnel/listener.h"

/* Takes what was handed over: TCP sockets are for peers, unix sockets for the API. ERR_CONFIG when
 * one is named for the other ("adit" or "api"), or is no listening socket. */
int serve_sockets_take(struct activation *a, struct err *e);

/* Whether the API is to be on one of them. */
int serve_sockets_have_api(const struct activation *a);

/* Whether peers are expected on one of them; good before serve_sockets_listen. */
int serve_sockets_have_peers(const struct activation *a);

/* listener_new on the TCP sockets of a, or on at where there are none. */
struct listener *serve_sockets_listen(struct activation *a, struct event_base *base,
				      const struct addr *at, struct creds *creds,
				      const struct listener_config *config,
				      void (*on_session)(void *ctx, struct session *s), void *ctx,
				      struct err *e);

#endif
