/*
 * The output buffer of a transport: see outbuf.h. Does not poll and does not
 * try again: a send that took a part means that the socket is full, and says so.
 */
#include "tunnel/outbuf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tunnel/transport.h"

static int grow(struct outbuf *b, size_t need)
{
	size_t size = b->size ? b->size : OUTBUF_SIZE_FIRST;
	size_t first;
	uint8_t *data;

	if (need > OUTBUF_SIZE_MAX)
		return -1;
	while (size < need)
		size *= 2;
	data = malloc(size);
	if (!data)
		return -1;
	if (b->len) {
		first = b->size - b->head;
		if (first > b->len)
			first = b->len;
		memcpy(data, b->data + b->head, first);
		memcpy(data + first, b->data, b->len - first);
	}
	free(b->data);
	b->data = data;
	b->size = size;
	b->head = 0;
	return 0;
}

int outbuf_append(struct outbuf *b, const uint8_t *data, size_t len)
{
	size_t tail, first;

	if (b->reset_errno || !len)
		return 0;
	if (len > OUTBUF_SIZE_MAX || (b->len + len > b->size && grow(b, b->len + len) < 0))
		return -1;
	tail = (b->head + b->len) & (b->size - 1);
	first = b->size - tail;
	if (first > len)
		first = len;
	memcpy(b->data + tail, data, first);
	memcpy(b->data, data + first, len - first);
	b->len += len;
	return 0;
}

/* All that there is, with one call. */
static ssize_t send_all(const struct outbuf *b, int fd)
{
	const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
	size_t first = b->size - b->head;
	struct iovec iov[2];
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	if (first > b->len)
		first = b->len;
	iov[0] = (struct iovec){b->data + b->head, first};
	iov[1] = (struct iovec){b->data, b->len - first};
	if (b->pipe)
		return writev(fd, iov, first < b->len ? 2 : 1);
	if (first == b->len)
		return send(fd, b->data + b->head, b->len, flags);
	return sendmsg(fd, &msg, flags);
}

int outbuf_flush(struct outbuf *b, int fd, struct err *e)
{
	ssize_t n;

	if (b->len) {
		do
			n = send_all(b, fd);
		while (n < 0 && errno == EINTR);
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return TRANSPORT_WANT_WRITE;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
			b->reset_errno = errno;
			n = (ssize_t)b->len;
		}
		if (n < 0) {
			err_set_sys(e, errno, "The connection broke while sending");
			if (e)
				e->code = ERR_CLOSED;
			return TRANSPORT_FAILED;
		}
		outbuf_drop(b, (size_t)n);
		if (b->len)
			return TRANSPORT_WANT_WRITE;
	}
	if (b->ending && !b->ended) {
		b->ended = 1;
		if (!b->pipe)
			shutdown(fd, SHUT_WR);
	}
	return 0;
}

void outbuf_end(struct outbuf *b)
{
	b->ending = 1;
}

size_t outbuf_peek(const struct outbuf *b, const uint8_t **data)
{
	size_t first = b->size - b->head;

	*data = b->data + b->head;
	return first < b->len ? first : b->len;
}

void outbuf_drop(struct outbuf *b, size_t len)
{
	b->len -= len;
	/* Starting over at the front keeps a buffer that empties in the cache. */
	b->head = b->len ? (b->head + len) & (b->size - 1) : 0;
}

void outbuf_fini(struct outbuf *b)
{
	free(b->data);
	*b = (struct outbuf){0};
}
