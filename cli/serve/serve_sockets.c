/* See serve_sockets.h. */
#include "cli/serve/serve_sockets.h"

#include <stdbool.h>
#include <string.h>

int serve_sockets_take(struct activation *a, struct err *e)
{
	int rc = activation_take(a, e);

	for (unsigned i = 0; rc == 0 && i < a->count; i++) {
		bool is_unix = a->at[i].family == AF_UNIX;

		if (is_unix && strcmp(a->at[i].name, "adit") == 0)
			rc = err_set(
			    e, ERR_CONFIG,
			    "the socket \"adit\" of the service manager is a unix socket, "
			    "and peers come over TCP: write ListenStream=16516 in its unit");
		else if (!is_unix && strcmp(a->at[i].name, "api") == 0)
			rc = err_set(e, ERR_CONFIG,
				     "the socket \"api\" of the service manager is a TCP socket, "
				     "and the API's must be a unix socket: write "
				     "ListenStream=/run/adit/api.sock in its unit, or use "
				     "--api-listen");
	}
	if (rc < 0)
		activation_fini(a);
	return rc;
}

static int have(const struct activation *a, bool is_unix)
{
	for (unsigned i = 0; i < a->count; i++)
		if (a->at[i].fd >= 0 && (a->at[i].family == AF_UNIX) == is_unix)
			return 1;
	return 0;
}

int serve_sockets_have_api(const struct activation *a)
{
	return have(a, true);
}

int serve_sockets_have_peers(const struct activation *a)
{
	return have(a, false);
}

struct listener *serve_sockets_listen(struct activation *a, struct event_base *base,
				      const struct addr *at, struct creds *creds,
				      const struct listener_config *config,
				      void (*on_session)(void *ctx, struct session *s), void *ctx,
				      struct err *e)
{
	int fds[LISTENER_SOCKETS_MAX], fd;
	unsigned count = 0;

	_Static_assert((int)ACTIVATION_MAX <= (int)LISTENER_SOCKETS_MAX, "all may be for peers");
	while ((fd = activation_claim(a, 0)) >= 0)
		fds[count++] = fd;
	if (count == 0)
		return listener_new(base, at, creds, config, on_session, ctx, e);
	return listener_new_fds(base, fds, count, creds, config, on_session, ctx, e);
}
