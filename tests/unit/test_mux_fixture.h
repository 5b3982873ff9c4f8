/* What the unit tests of the mux share: a pair of them (pair.h), of which end 1 is the server and
 * takes every stream that is opened. */
#ifndef ADIT_TESTS_TEST_MUX_FIXTURE_H
#define ADIT_TESTS_TEST_MUX_FIXTURE_H

#include "tests/unit/pair.h"

enum { MUX_FIXTURE_MANY = 300 };

/* What the server does with streams: takes them into a table in order. */
struct mux_fixture_taker {
	struct pair_stream ps[MUX_FIXTURE_MANY];
	char target[MUX_FIXTURE_MANY][64];
	unsigned count;
	struct pair_stream model; /* what each begins as */
};

/* The server's on_open; its end's user is a struct mux_fixture_taker. */
void mux_fixture_take(struct pair_end *end, struct stream *s, enum stream_class c,
		      const char *target);
/* End 0 opens a stream, which sends and takes in as *ps says. */
struct pair_stream mux_fixture_open(struct pair *p, enum stream_class c, const char *target,
				    struct pair_stream *ps);
/* Both ends greet each other; server: its configuration, or NULL. */
void mux_fixture_start(struct pair *p, struct mux_fixture_taker *t,
		       const struct session_config *server);

#endif
