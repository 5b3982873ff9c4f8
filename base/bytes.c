/* A queue of bytes: see bytes.h. */
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_MIN = 4096, CHUNK_MAX = 65536 };

struct bytes_chunk {
	struct bytes_chunk *next;
	size_t start, end, size;
	uint8_t data[];
};

static struct bytes_chunk *chunk_new(size_t len)
{
	size_t size = len < CHUNK_MIN ? CHUNK_MIN : len > CHUNK_MAX ? CHUNK_MAX : len;
	struct bytes_chunk *c = malloc(sizeof(*c) + size);

	if (c)
		*c = (struct bytes_chunk){.size = size};
	return c;
}

static void append_some(struct bytes *b, const uint8_t **data, size_t *len)
{
	struct bytes_chunk *c = b->tail;
	size_t n = c->size - c->end;

	if (n > *len)
		n = *len;
	memcpy(c->data + c->end, *data, n);
	c->end += n;
	b->len += n;
	*data += n;
	*len -= n;
}

int bytes_append(struct bytes *b, const uint8_t *data, size_t len)
{
	size_t room = b->tail ? b->tail->size - b->tail->end : 0;
	struct bytes_chunk *first = NULL, **end = &first, *c;

	/* All the memory first, so that a failure leaves the queue as it was. */
	for (size_t need = len > room ? len - room : 0; need > 0;) {
		c = *end = chunk_new(need);
		if (!c) {
			while (first) {
				c = first->next;
				free(first);
				first = c;
			}
			return -1;
		}
		need -= need < c->size ? need : c->size;
		end = &c->next;
	}
	if (len && room)
		append_some(b, &data, &len);
	while (len) {
		c = first;
		first = c->next;
		c->next = NULL;
		if (b->tail)
			b->tail->next = c;
		else
			b->head = c;
		b->tail = c;
		append_some(b, &data, &len);
	}
	return 0;
}

size_t bytes_front(const struct bytes *b, const uint8_t **data)
{
	if (!b->head)
		return 0;
	*data = b->head->data + b->head->start;
	return b->head->end - b->head->start;
}

void bytes_consume(struct bytes *b, size_t len)
{
	while (len && b->head) {
		struct bytes_chunk *c = b->head;
		size_t n = c->end - c->start;

		if (n > len)
			n = len;
		c->start += n;
		b->len -= n;
		len -= n;
		if (c->start == c->end) {
			b->head = c->next;
			if (!b->head)
				b->tail = NULL;
			free(c);
		}
	}
}

void bytes_fini(struct bytes *b)
{
	bytes_consume(b, b->len);
	*b = (struct bytes){0};
}
