/* Accepts connections for adit serve, and hands on those that have proved who they are. */
#ifndef ADIT_TUNNEL_LISTENER_H
#define ADIT_TUNNEL_LISTENER_H

#include "tunnel/session.h"

struct accounts;
struct listener;

struct listener_config {
	struct session_config session;
	uint32_t handshakes_max;   /* connections without a HELLO at once; of the address
				      that has the most the oldest gives way to a new
				      one, and one has a quarter at most (256) */
	uint32_t sessions_max;	   /* sessions of one peer at once (64) */
	uint32_t all_sessions_max; /* of all peers at once (1024) */
	uint64_t memory_max_bytes; /* of all peers at once (account.h) */
	struct accounts *accounts; /* theirs; borrowed until the listener is made; NULL: it makes
				      its own */
	/* Asked of a peer that has proved who it is; NULL: all may come. May change its
	 * sessions_max, and the memory that it may have (0: as others). Returns NULL, or why it
	 * may not come, which it is told with *code. */
	const char *(*admit)(void *ctx, const char *peer, uint32_t *sessions_max,
			     uint64_t *memory_max_bytes, enum code *code);
	void *admit_ctx;
};

enum { LISTENER_SOCKETS_MAX = 16 };

void listener_config_default(struct listener_config *c);

/* Listens on a (host may be empty: all addresses). on_session gets every session
 * that is ready, and must call session_set_ops within it; it owns the session from
 * then on. creds is borrowed and must outlive the listener. ERR_ADDRESS; errno is
 * EADDRINUSE where somebody has the port. */
struct listener *listener_new(struct event_base *base, const struct addr *a, struct creds *creds,
			      const struct listener_config *config,
			      void (*on_session)(void *ctx, struct session *s), void *ctx,
			      struct err *e);

/* What holds for connections that come from now on; those that are there keep what they came
 * with. creds as for listener_new. */
void listener_set(struct listener *l, struct creds *creds, const struct listener_config *config);

/* The same on TCP sockets that listen already (non-blocking; count is 1 to
 * LISTENER_SOCKETS_MAX), which are the listener's from now on, also on error. The limits hold for
 * all of them together. ERR_SPACE. */
struct listener *listener_new_fds(struct event_base *base, const int *fds, unsigned count,
				  struct creds *creds, const struct listener_config *config,
				  void (*on_session)(void *ctx, struct session *s), void *ctx,
				  struct err *e);

/* The port that it listens on (the kernel's choice when 0 was asked for); that of the first of
 * several sockets. */
uint16_t listener_port(const struct listener *l);

/* Where it listens, as the kernel says it, for a log: "[::]:16516, 10.0.0.1:16516". Returns
 * buf. */
char *listener_describe(const struct listener *l, char *buf, size_t size);

/* Stops listening and drops what has not got through its handshake. */
void listener_free(struct listener *l);

#endif
