/* Two muxes joined in memory, and streams that count and check: for unit tests and
 * fuzzers. The real mux on both sides; only the transport is missing. */
#ifndef ADIT_TESTS_PAIR_H
#define ADIT_TESTS_PAIR_H

#include <stdint.h>

#include "tunnel/mux.h"

struct pair_end {
	struct mux *mux;
	int hello;
	int failed; /* what mux_input returned, once it was not 0 */
	struct err err;
	uint8_t *wire; /* bytes given out by mux_next, not yet taken by the other */
	size_t wire_len, wire_cap;
	uint64_t total; /* bytes ever given out */
	/* what on_open does: NULL refuses */
	void (*on_open)(struct pair_end *end, struct stream *s, enum stream_class c,
			const char *target);
	void *user;
};

struct pair {
	struct pair_end end[2]; /* 0 the client, 1 the server */
	uint64_t now_us;
};

/* NULL configs: the defaults. */
void pair_init(struct pair *p, const struct session_config *client,
	       const struct session_config *server);
void pair_fini(struct pair *p);

/* Moves frames until nothing moves any more or rounds are over. chunk: how many bytes
 * mux_input gets at a time (0: all). Returns the bytes moved. */
uint64_t pair_run(struct pair *p, size_t chunk, unsigned rounds);

/* Takes everything that end has to send onto its wire. */
void pair_collect(struct pair *p, unsigned end);

/* A stream that sends `want` bytes of a pattern and checks what it gets. */
struct pair_stream {
	struct stream *s;
	uint64_t want, sent; /* to send; then EOF when `finish` */
	uint64_t got, bad;   /* received; bytes that were not the pattern's */
	uint32_t seed_out, seed_in;
	size_t take_max; /* of one push; SIZE_MAX: all */
	int stuck;	 /* takes nothing */
	int finish, eof, reset;
	enum code code;
	char reason[STREAM_REASON_MAX + 1];
};

extern const struct stream_ops pair_stream_ops;

uint8_t pair_pattern(uint32_t seed, uint64_t offset);

#endif
