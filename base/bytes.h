/*
 * A queue of bytes in chunks: what waits for an endpoint that stands still.
 * Memory is that of the bytes, rounded up to a chunk.
 */
#ifndef ADIT_BASE_BYTES_H
#define ADIT_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct bytes_chunk;

/* Embedded; zeroed is empty. */
struct bytes {
	struct bytes_chunk *head, *tail;
	size_t len;
};

/* Appends a copy. 0, or -1 when memory is short (nothing appended). */
int bytes_append(struct bytes *b, const uint8_t *data, size_t len);

/* The first contiguous run: *data and its length, 0 when empty. */
size_t bytes_front(const struct bytes *b, const uint8_t **data);

/* Drops len bytes from the front; len at most b->len. */
void bytes_consume(struct bytes *b, size_t len);

/* Frees what is queued. */
void bytes_fini(struct bytes *b);

#endif
