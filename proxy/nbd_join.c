/*
 * See nbd_join.h.
 *
 *   GREETING   the stream talks with the client's half of the hello (nbd.h)
 *   READY      the server waits for the first request
 *   ANSWERING  the client's descriptor talks with the server's half
 *   OVER       its owner is about to be told, on a turn of the loop of its own
 *
 * What the server might send before it was asked for anything is left in the stream, for the relay.
 */
#include "proxy/nbd_join.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "proxy/nbd.h"

enum state { GREETING, READY, ANSWERING, OVER };

struct nbd_join {
	struct event_base *base;
	struct stream *stream;
	const struct nbd_join_ops *ops;
	void *ctx;
	enum state state;
	struct nbd_hello hello; /* the half that talks */
	int fd;
	struct event read, tell;
	struct err err; /* why it came to nothing */
};

static void tell(struct nbd_join *j, enum state state)
{
	j->state = state;
	event_active(&j->tell, EV_TIMEOUT, 0);
}

/* (Also once the client has been answered: there is no relay yet that would hear of it.) */
static void fail(struct nbd_join *j, const struct err *e)
{
	if (err_is_set(&j->err))
		return;
	j->err = *e;
	tell(j, OVER);
}

static void join_free(struct nbd_join *j)
{
	event_del(&j->tell);
	if (j->fd >= 0)
		event_del(&j->read);
	fd_close(&j->fd);
	stream_free(j->stream);
	free(j);
}

/* ---- the server's side ---- */

static ssize_t on_pull(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	struct nbd_join *j = ctx;
	struct nbd_out *out = &j->hello.out;
	size_t n = j->state == GREETING ? out->len - out->off : 0;

	(void)s;
	if (n > max)
		n = max;
	if (!n)
		return STREAM_PULL_AGAIN;
	memcpy(dst, out->data + out->off, n);
	out->off += n;
	return (ssize_t)n;
}

static size_t on_push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	struct nbd_join *j = ctx;
	struct err e = ERR_INIT;
	long n;

	if (j->state != GREETING)
		return 0;
	n = nbd_client_input(&j->hello, data, len, &e);
	if (n < 0) {
		stream_reset(s, CODE_PROTOCOL, e.text);
		fail(j, &e);
		return 0;
	}
	if (j->hello.done)
		tell(j, READY);
	else if (j->hello.out.off < j->hello.out.len)
		stream_ready(s);
	return (size_t)n;
}

static void on_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	struct nbd_join *j = ctx;
	struct err e = ERR_INIT;

	(void)s;
	err_set(&e, code == CODE_REFUSED ? ERR_REFUSED : ERR_CLOSED, "%s",
		reason && *reason ? reason : "its connection was closed");
	fail(j, &e);
}

static void on_eof(void *ctx, struct stream *s)
{
	on_reset(ctx, s, CODE_ENDPOINT, NULL);
}

static const struct stream_ops greeting_ops = {
    .pull = on_pull,
    .push = on_push,
    .on_eof = on_eof,
    .on_reset = on_reset,
};

/* ---- the client's side ---- */

/* A socket takes so little at once; a client that does not read its answers sends nothing more. */
static int flush(struct nbd_join *j, struct err *e)
{
	struct nbd_out *out = &j->hello.out;

	while (out->off < out->len) {
		ssize_t n = send(j->fd, out->data + out->off, out->len - out->off, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_sys(e, errno, "the NBD client");
		out->off += (size_t)n;
	}
	return 0;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct nbd_join *j = ctx;
	struct err e = ERR_INIT;
	uint8_t buf[1024];
	ssize_t n;

	(void)what;
	/* (Until it has our last answer it sends nothing that is not the hello's.) */
	n = read((int)fd, buf, sizeof(buf));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		err_set_sys(&e, errno, "the NBD client");
	else if (n == 0)
		err_set(&e, ERR_CLOSED, "the NBD client has gone");
	else if (nbd_server_input(&j->hello, buf, (size_t)n, &e) == n)
		flush(j, &e);
	else if (!err_is_set(&e))
		err_set(&e, ERR_PROTOCOL, "the NBD client does not wait for its answers");
	if (err_is_set(&e)) {
		event_del(&j->read);
		fail(j, &e);
	} else if (j->hello.done) {
		event_del(&j->read);
		tell(j, OVER);
	}
}

void nbd_join_client(struct nbd_join *j, int fd)
{
	struct nbd_export export = j->hello.export;
	struct err e = ERR_INIT;

	if (j->state != READY) {
		fd_close(&fd);
		return;
	}
	j->state = ANSWERING;
	j->fd = fd;
	event_assign(&j->read, j->base, fd, EV_READ | EV_PERSIST, on_readable, j);
	nbd_server_begin(&j->hello, &export);
	if (fd_set_nonblock(fd) < 0 || event_add(&j->read, NULL) < 0)
		err_set(&e, ERR_SYSTEM, "the NBD client cannot be listened to");
	else
		flush(j, &e);
	if (err_is_set(&e))
		fail(j, &e);
}

/* ---- its owner is told ---- */

static void on_tell(evutil_socket_t fd, short what, void *ctx)
{
	struct nbd_join *j = ctx;
	const struct nbd_join_ops *ops = j->ops;
	struct err e = j->err;
	struct relay *r;

	(void)fd;
	(void)what;
	ctx = j->ctx;
	if (j->state == READY) {
		ops->on_ready(ctx);
		return;
	}
	if (j->state != OVER)
		return;
	if (err_is_set(&e)) {
		join_free(j);
		ops->on_fail(ctx, &e);
		return;
	}
	r = relay_take(j->base, j->stream, j->fd, ops->on_end, ctx);
	j->stream = NULL;
	j->fd = -1;
	join_free(j);
	if (r) {
		ops->on_joined(ctx, r);
		return;
	}
	err_set(&e, ERR_SYSTEM, "memory is short");
	ops->on_fail(ctx, &e);
}

struct nbd_join *nbd_join_open(struct event_base *base, struct session *s, const char *target,
			       const char *name, const struct nbd_join_ops *ops, void *ctx,
			       struct err *e)
{
	struct nbd_join *j = calloc(1, sizeof(*j));

	if (!j) {
		err_set(e, ERR_SYSTEM, "memory is short");
		return NULL;
	}
	j->base = base;
	j->ops = ops;
	j->ctx = ctx;
	j->fd = -1;
	event_assign(&j->tell, base, -1, 0, on_tell, j);
	nbd_client_begin(&j->hello, name);
	j->stream = session_open(s, STREAM_DISK, target, &greeting_ops, j, e);
	if (!j->stream) {
		free(j);
		return NULL;
	}
	return j;
}

struct stream *nbd_join_stream(struct nbd_join *j)
{
	return j->stream;
}

uint32_t nbd_join_block(const struct nbd_join *j)
{
	return j->hello.export.has_blocks ? j->hello.export.block_min : 0;
}

void nbd_join_cancel(struct nbd_join *j, enum code code, const char *reason)
{
	if (!j)
		return;
	stream_reset(j->stream, code, reason);
	join_free(j);
}
