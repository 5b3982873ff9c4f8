/* Strands: see strands.h. */
#include "tunnel/strands.h"

#include <string.h>

#include "base/wire.h"

/* Takes len bytes out of b, which has them. */
static void take(struct outbuf *b, uint8_t *to, size_t len)
{
	const uint8_t *data;
	size_t n;

	for (; len; len -= n, to += n) {
		n = outbuf_peek(b, &data);
		if (n > len)
			n = len;
		memcpy(to, data, n);
		outbuf_drop(b, n);
	}
}

int strands_ready(const struct strands *s)
{
	size_t have = s->in[s->in_at].len;

	return have >= (s->count == 1 || s->in_left ? 1 : STRANDS_HEAD);
}

ssize_t strands_read(struct strands *s, uint8_t *buf, size_t size, struct err *e)
{
	uint8_t head[STRANDS_HEAD];
	size_t got = 0, n;

	while (got < size && strands_ready(s)) {
		struct outbuf *b = &s->in[s->in_at];

		if (s->count > 1 && !s->in_left) {
			take(b, head, sizeof(head));
			s->in_left = wire_get32(head);
			if (!s->in_left || s->in_left > STRANDS_PIECE_MAX) {
				err_set(e, ERR_PROTOCOL, "the far side sent a piece of %u bytes",
					s->in_left);
				return -1;
			}
			continue;
		}
		n = b->len < size - got ? b->len : size - got;
		if (s->count > 1 && n > s->in_left)
			n = s->in_left;
		take(b, buf + got, n);
		got += n;
		if (s->count == 1)
			continue;
		s->in_left -= (uint32_t)n;
		if (!s->in_left)
			s->in_at = (s->in_at + 1) % s->count;
	}
	return (ssize_t)got;
}

size_t strands_piece(struct strands *s, struct outbuf *from, uint8_t *piece, size_t room)
{
	size_t len = from->len;

	if (len > room - STRANDS_HEAD)
		len = room - STRANDS_HEAD;
	if (len > STRANDS_PIECE_MAX)
		len = STRANDS_PIECE_MAX;
	wire_put32(piece, (uint32_t)len);
	take(from, piece + STRANDS_HEAD, len);
	s->out_at = (s->out_at + 1) % s->count;
	return STRANDS_HEAD + len;
}

void strands_fini(struct strands *s)
{
	for (unsigned i = 0; i < STRANDS_MAX; i++)
		outbuf_fini(&s->in[i]);
}
