/*
 * A session: what two authenticated adits share. Here: its public face, over an
 * event loop. One lane (one connection) carries it today; HELLO names lanes, so
 * that a session can have more.
 */
#ifndef ADIT_TUNNEL_SESSION_H
#define ADIT_TUNNEL_SESSION_H

#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "tunnel/creds.h"
#include "tunnel/stream.h"

struct event_base;
struct session;

/* All have defaults: session_config_default. */
struct session_config {
	uint64_t memory_max_bytes; /* budget of all windows granted to the peer (256 MiB) */
	uint32_t window_max_bytes; /* the most that one stream's window grows to (64 MiB) */
	uint32_t streams_max;	   /* streams open at once, both sides' together (4096) */
	uint32_t keepalive_ms;	   /* a PING after this much silence (5000) */
	uint32_t dead_ms;	   /* the peer is dead after this much silence (15000) */
	uint32_t handshake_ms;	   /* from connect or accept to HELLO (10000) */
	uint32_t features;	   /* what its owner does beyond version 1: bits of frame.h (0) */
	/* Where to connect to instead of the destination's own address, which still is the
	 * name that the peer has to prove; NULL. Borrowed for the call only. */
	const struct addr *connect_to;
};

void session_config_default(struct session_config *c);

struct session_ops {
	/* Connected, authenticated, HELLO exchanged. Client side only (a listener
	 * hands over sessions that are ready). */
	void (*on_ready)(void *ctx, struct session *s);
	/* The peer opened a stream: answer with stream_accept or stream_refuse
	 * before returning (R3). NULL: each is refused, and logged. */
	void (*on_open)(void *ctx, struct session *s, struct stream *stream,
			enum stream_class class, const char *target);
	/* The session is over: why->code ERR_NONE when the peer closed it in an
	 * orderly way, else what happened. Comes once; every stream's on_reset came
	 * before it. Not called after session_close or session_free. */
	void (*on_end)(void *ctx, struct session *s, const struct err *why);
};

/* Starts to connect to d, over ssh when creds are of that kind, with creds (borrowed; referenced
 * for as long as needed). Names are looked up off the loop; on_end says what was not found. Every
 * address of the name is tried in turn within handshake_ms. Returns NULL only for errors known
 * at once. ops and ctx are
 * borrowed until session_free. */
struct session *session_connect(struct event_base *base, const struct addr_dest *d,
				struct creds *creds, const struct session_config *config,
				const struct session_ops *ops, void *ctx, struct err *e);

/* The far end of a session over t (owned from now on, also on error), which somebody has
 * connected already, from address: on_ready comes when the peer's HELLO has. Otherwise as
 * session_connect. */
struct transport;
struct session *session_serve(struct event_base *base, struct transport *t, const char *address,
			      const struct session_config *config, const struct session_ops *ops,
			      void *ctx, struct err *e);

/* Gives a session from a listener its owner's table; call it within on_session. */
void session_set_ops(struct session *s, const struct session_ops *ops, void *ctx);

/* The ctx of s while its table is ops; NULL. */
void *session_owner(const struct session *s, const struct session_ops *ops);

/* Opens a stream: OPEN goes at once and bytes may follow in the same flight (R2);
 * a refusal comes as on_reset. Legal once the session is ready. ops and ctx are
 * borrowed until stream_free. NULL with ERR_LIMIT, ERR_CLOSED or ERR_USAGE. */
struct stream *session_open(struct session *s, enum stream_class class, const char *target,
			    const struct stream_ops *ops, void *ctx, struct err *e);

/* Holds what s sends, and what it takes in, to the rates (borrowed until it is called anew, or s
 * is closed or freed; NULL for none): the sum of all streams but those of class control.
 * Several sessions may share them. What comes in is held by its credit, so that it comes in
 * bursts of a window's size. */
void session_set_rates(struct session *s, struct rate *tx, struct rate *rx);

/* Orderly end: streams are reset, CLOSE with code and reason is sent, and the
 * connection lingers in the background until it is flushed or two seconds have
 * passed. No callback comes after it. Frees the handle: do not use s again. One that still connects,
 * or has ended, goes as by session_free. NULL is fine. */
void session_close(struct session *s, enum code code, const char *reason);

/* Runs the loop until the farewells of closed sessions are out, 2.5 s at most: for a
 * program about to exit. */
void session_linger(struct event_base *base);

/* At once: no farewell. Frees the handle. NULL is fine. */
void session_free(struct session *s);

/* Who the peer is: psk:IDENTITY, x509:SUBJECT, tcp:ADDRESS, ssh:USER@HOST. */
const char *session_peer(const struct session *s);

/* What the peer does beyond version 1, by its HELLO: bits of frame.h. */
uint32_t session_peer_features(const struct session *s);

/* The peer's network address, "10.0.0.1:16516". */
const char *session_peer_address(const struct session *s);

struct session_stats {
	uint64_t sent_bytes, received_bytes; /* payload of streams */
	uint64_t rtt_us; /* of PING, smoothed; the kernel's before the first one; 0 unknown */
	uint64_t rtt_min_us;
	uint64_t granted_bytes;	 /* sum of the windows granted */
	uint64_t queued_bytes;	 /* came in, waits for endpoints */
	uint64_t retained_bytes; /* sent, not acknowledged */
	uint64_t held_bytes;	 /* charged to the peer: both, and what the session is itself */
	uint32_t streams;
};

void session_stats(const struct session *s, struct session_stats *out);

#endif
