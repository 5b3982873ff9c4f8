/*
 * Strands: one byte stream over several pipes of the same kind, to have the windows of all
 * of them. Knows no I/O.
 *
 * The bytes go in pieces, each behind its length (u32, 1 to STRANDS_PIECE_MAX), to the
 * pipes in turn: the first to pipe 0, the next to pipe 1, and so on around. With one pipe
 * there are no pieces, and bytes are what they are.
 */
#ifndef ADIT_TUNNEL_STRANDS_H
#define ADIT_TUNNEL_STRANDS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "tunnel/outbuf.h"

enum {
	STRANDS_MAX = 8,
	STRANDS_HEAD = 4,
	STRANDS_PIECE_MAX = 32700, /* with the head, in one packet of ssh */
};

/* Embedded in its transport. Zeroed but for count. */
struct strands {
	unsigned count;		       /* of pipes */
	struct outbuf in[STRANDS_MAX]; /* what came in, by pipe */
	unsigned in_at;		       /* whose turn it is */
	uint32_t in_left;	       /* of the piece that has begun there */
	unsigned out_at;
};

/* Whether strands_read would give, or refuse, something. */
int strands_ready(const struct strands *s);

/* The stream's next bytes, at most size, as far as they have come in: a count (0: none
 * yet), or -1 for a piece of a length that is not allowed (ERR_PROTOCOL). */
ssize_t strands_read(struct strands *s, uint8_t *buf, size_t size, struct err *e);

/* Makes the next piece of what is in from (taken out of it): head and bytes to piece, room
 * bytes (more than STRANDS_HEAD) of it at most. Its size; it belongs to pipe out_at, which
 * is then another's turn. */
size_t strands_piece(struct strands *s, struct outbuf *from, uint8_t *piece, size_t room);

void strands_fini(struct strands *s);

#endif
