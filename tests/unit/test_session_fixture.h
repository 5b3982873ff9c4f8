/* What the unit tests of sessions share: a listener and what it takes, and one that dials, over
 * real sockets in one loop. */
#ifndef ADIT_TESTS_TEST_SESSION_FIXTURE_H
#define ADIT_TESTS_TEST_SESSION_FIXTURE_H

#include <event2/event.h>
#include <stdint.h>

#include "tunnel/listener.h"

struct side {
	struct session *s;
	int ready, ended;
	struct err why;
	struct stream *incoming;
	uint64_t got;
	int eof, reset;
};

struct bench {
	struct event_base *base;
	struct creds *client, *server;
	struct listener *listener;
	struct session_config config;
	struct side c, s; /* the client's and the server's last session */
	unsigned sessions;
};

/* What a side does: takes every stream, counts what it hears of them and of the session, and lets
 * that go at its end. The ctx of all is a struct side. Streams to "many" are freed as they are
 * reset. */
extern const struct session_ops side_session_ops;
extern const struct stream_ops side_stream_ops;
void side_on_ready(void *ctx, struct session *s);
void side_on_open(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		  const char *target);
void side_on_end(void *ctx, struct session *s, const struct err *why);
ssize_t side_pull(void *ctx, struct stream *s, uint8_t *dst, size_t max);
size_t side_push(void *ctx, struct stream *s, const uint8_t *data, size_t len);
void side_on_eof(void *ctx, struct stream *s);
void side_on_reset(void *ctx, struct stream *s, enum code code, const char *reason);

/* The listener listens; given: as it says, or NULL. */
void bench_start(struct bench *b, const struct listener_config *given);
void bench_end(struct bench *b);
/* The client dials 127.0.0.1. */
void bench_dial(struct bench *b, uint16_t port);
/* Runs the loop until *flag or for ms. */
void bench_run(struct bench *b, const int *flag, unsigned ms);

#endif
