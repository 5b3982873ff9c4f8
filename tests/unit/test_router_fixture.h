/* What the unit tests of the router share: a listener whose sessions are a router's, which allows
 * forwards, and a client that asks for streams: real sessions, in one loop. */
#ifndef ADIT_TESTS_TEST_ROUTER_FIXTURE_H
#define ADIT_TESTS_TEST_ROUTER_FIXTURE_H

#include <event2/event.h>
#include <stdint.h>

#include "proxy/router.h"
#include "tunnel/listener.h"

enum { WAIT_MS = 5000 };

struct ends {
	struct event_base *base;
	struct creds *client, *server;
	struct router *router;
	struct listener *listener;
	struct session *s;
};

/* What the client heard since the beginning: of its session, and the last reset of a stream. */
extern struct heard {
	int ready, ended, answers;
	enum code answer;
	char answer_text[STREAM_REASON_MAX];
} heard;

/* The client's streams send nothing, take all, and count their resets. */
extern const struct stream_ops client_stream_ops;
ssize_t client_pull(void *ctx, struct stream *s, uint8_t *dst, size_t max);
size_t client_push(void *ctx, struct stream *s, const uint8_t *data, size_t len);
void client_on_reset(void *ctx, struct stream *s, enum code code, const char *reason);

/* The client's session is up. features and streams_max: what the router's side says of itself, and
 * how many streams it takes; on_session: who takes its sessions, NULL for the router, which is its
 * ctx. */
void ends_begin(struct ends *k, uint32_t features, uint32_t streams_max,
		void (*on_session)(void *ctx, struct session *s));
void ends_finish(struct ends *k);
/* Runs the loop until *flag is what is wanted, and the session lives. */
void ends_run(struct event_base *base, const int *flag, int want);
/* The client hears that it is over. */
void ends_run_to_the_end(struct ends *k);

#endif
