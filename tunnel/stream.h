/*
 * A stream: one two-way byte stream inside a session, with a class.
 *
 * The user of a stream gives it a table of calls (struct stream_ops) and tells
 * it when there is something to do; the mux asks for bytes at the last moment,
 * when the transport can take them (pull), and hands over what has come in
 * (push). Nothing here does I/O or knows an event loop.
 *
 * Life: a stream comes from session_open (this side opened it) or from the
 * session's on_open (the peer did; answer with stream_accept or stream_refuse
 * before returning). From then on the handle is the user's until stream_free.
 */
#ifndef ADIT_TUNNEL_STREAM_H
#define ADIT_TUNNEL_STREAM_H

#include <stdint.h>
#include <sys/types.h>

#include "tunnel/code.h"

struct stream;
struct rate;

enum stream_class { STREAM_CONTROL = 0, STREAM_RAM = 1, STREAM_DISK = 2, STREAM_OTHER = 3 };
enum { STREAM_CLASSES = 4, STREAM_TARGET_MAX = 1024, STREAM_REASON_MAX = 1024 };

/* What pull returns beside a count of bytes. */
enum { STREAM_PULL_AGAIN = 0, STREAM_PULL_EOF = -1, STREAM_PULL_GONE = -2 };

struct stream_ops {
	/* Give up to max bytes to send, written to dst. Called only after
	 * stream_ready, and again until it returns STREAM_PULL_AGAIN (nothing now;
	 * call stream_ready when there is), STREAM_PULL_EOF (no more will come: the
	 * mux sends EOF) or STREAM_PULL_GONE (the callee has called stream_reset). */
	ssize_t (*pull)(void *ctx, struct stream *s, uint8_t *dst, size_t max);

	/* Take up to len bytes that came in. Returns how many were taken, and that
	 * is when the credit goes back to the peer (R5); the rest is kept by the
	 * stream until stream_drain. May call stream_reset (and then returns 0). */
	size_t (*push)(void *ctx, struct stream *s, const uint8_t *data, size_t len);

	/* The peer will send no more, and all that it sent was taken. The other
	 * direction goes on. May be NULL. */
	void (*on_eof)(void *ctx, struct stream *s);

	/* The stream is over by an error: reset by the peer, or the session has
	 * ended (CODE_SESSION). Comes at most once, and no other call after it. Not
	 * called for one's own stream_reset. The handle stays until stream_free. */
	void (*on_reset)(void *ctx, struct stream *s, enum code code, const char *reason);
};

/* Takes a stream that the peer opened; ops and ctx are borrowed until stream_free. */
void stream_accept(struct stream *s, const struct stream_ops *ops, void *ctx);

/* Hands a stream that has a user already to another one: from now on those are called. Not within
 * a call of the old one's. ops and ctx are borrowed until stream_free. */
void stream_set_user(struct stream *s, const struct stream_ops *ops, void *ctx);

/* Refuses a stream that the peer opened (the peer's on_reset gets code and
 * reason); frees the handle. */
void stream_refuse(struct stream *s, enum code code, const char *reason);

/* There are bytes (or an end) to pull. Cheap, and may be called too often. */
void stream_ready(struct stream *s);

/* The endpoint can take bytes again: pushes what is kept, and calls on_eof when
 * all of it is gone and the peer has ended. */
void stream_drain(struct stream *s);

/* Bytes that came in and wait for stream_drain. */
size_t stream_pending(const struct stream *s);

/* Ends both directions at once; the peer's on_reset gets code and reason (a
 * sentence, cut at STREAM_REASON_MAX). No callback comes after it. */
void stream_reset(struct stream *s, enum code code, const char *reason);

/* Gives the handle back; no callback comes after it. A stream of which either
 * direction has not ended is reset with CODE_CANCELLED. NULL is fine. */
void stream_free(struct stream *s);

/* Holds what s sends to the rate limit r (borrowed, must outlive the stream;
 * NULL for none). Several streams may share one. s may be NULL, as when it ended at once. */
void stream_set_rate(struct stream *s, struct rate *r);

/* A rate limit over any number of streams (R9). bytes_per_s 0: no limit. */
struct rate *rate_new(uint64_t bytes_per_s);
void rate_set(struct rate *r, uint64_t bytes_per_s);
void rate_free(struct rate *r);

struct stream_stats {
	uint64_t sent_bytes;	 /* payload handed to the transport */
	uint64_t received_bytes; /* payload that came in */
	uint64_t acked_bytes;	 /* payload sent that the peer's adit has */
	uint32_t window_bytes;	 /* the receive window granted to the peer */
};

/* The user keeps so many bytes in all of what came in on s, beyond what the stream does: they are
 * charged to the peer until s ends. -1 where its sessions hold as much as they may already. */
int stream_hold(struct stream *s, size_t bytes);

/* Whether everything sent (EOF included, if sent) was acknowledged. */
int stream_flushed(const struct stream *s);

void stream_stats(const struct stream *s, struct stream_stats *out);
uint32_t stream_id(const struct stream *s);
enum stream_class stream_class(const struct stream *s);
const char *stream_target(const struct stream *s);
const char *stream_class_name(enum stream_class c);

#endif
