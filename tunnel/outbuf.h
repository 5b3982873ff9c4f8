/*
 * A transport's output buffer: bytes on their way to a socket, in a ring, so
 * that what many writes left goes out with one system call.
 */
#ifndef ADIT_TUNNEL_OUTBUF_H
#define ADIT_TUNNEL_OUTBUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	OUTBUF_SIZE_FIRST = 16 * 1024,
	OUTBUF_SIZE_MAX = 16 * 1024 * 1024, /* a link stops far below; this holds back a bug */
};

/* Embedded in its transport, which owns it; zeroed is empty. */
struct outbuf {
	uint8_t *data;
	size_t size; /* a power of two, or 0 */
	size_t head; /* where the first byte lies */
	size_t len;
	int reset_errno; /* the peer has reset the connection: bytes are dropped */
	int ending;	 /* end the sending side when all is gone */
	int ended;
	int pipe; /* it goes to a pipe rather than a socket; ending it is left to close */
};

/* Appends a copy. 0, or -1 when memory is short or OUTBUF_SIZE_MAX is reached
 * (nothing appended). */
int outbuf_append(struct outbuf *b, const uint8_t *data, size_t len);

/* Sends with one system call what the socket takes: 0 all gone,
 * TRANSPORT_WANT_WRITE, or TRANSPORT_FAILED with ERR_CLOSED. A connection that
 * the peer has reset is not an error here: the bytes are dropped, and it is
 * left to reading to tell, behind what the peer said before (often why). */
int outbuf_flush(struct outbuf *b, int fd, struct err *e);

/* No more will be appended: the flush that empties the buffer ends the sending side. */
void outbuf_end(struct outbuf *b);

/* The first bytes that lie in one piece: their count, and *data. */
size_t outbuf_peek(const struct outbuf *b, const uint8_t **data);

/* The first len bytes have gone by another way than outbuf_flush. */
void outbuf_drop(struct outbuf *b, size_t len);

void outbuf_fini(struct outbuf *b);

#endif
