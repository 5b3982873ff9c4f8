/*
 * The relay: see relay.h.
 *
 * How it works. The stream asks for bytes (pull) when the transport can take
 * them, and hands over what came in (push); both go by one system call straight
 * between the caller's buffer and the endpoint. Nothing is copied or kept here.
 *
 *   endpoint readable -> stream_ready -> pull: read(2) ... until it is drained
 *   push: send(2) ... until the endpoint is full -> writable -> stream_drain
 *
 * The endpoint is watched edge-triggered. Reading is watched all the time, at no
 * system call, which is also how its end or failure shows while nobody pulls; but
 * an edge says only that something happened, and so a timer that runs while
 * there is something unread looks for an error once a second. Writing is watched
 * only while the endpoint is full.
 *
 * An end in one direction is handed on as a half-close. When both have ended the
 * relay is over. An error of the endpoint resets the stream, and a reset of the
 * stream aborts the endpoint, both directions at once.
 *
 * A relay belongs to itself, until relay_cancel or relay_let_go. How it ends is relay_end.c's.
 */
#include "proxy/relay_i.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

enum {
	/* A unix socket that has taken this much gets a larger buffer: fewer wake-ups
	 * for the same bytes. Not from the beginning, since a thousand that stand still
	 * would hold it in the kernel's memory. */
	RELAY_WIDEN_AFTER = 4 * 1024 * 1024,
	RELAY_WIDE_SNDBUF = 1024 * 1024,
	/* A window's worth may wait for an endpoint that was full, and one that takes fast
	 * would hold the loop up. */
	RELAY_DRAIN_MAX = 1024 * 1024,
};

static const struct timeval check_interval = {1, 0};

/* The endpoint has failed. */
static void fail_endpoint(struct relay *r, int errnum)
{
	char reason[STREAM_REASON_MAX];

	snprintf(reason, sizeof(reason), "%s %.150s failed: %s",
		 r->opened ? "the connection that asked for" : "the connection to",
		 stream_target(r->stream), strerror(errnum));
	stream_reset(r->stream, CODE_ENDPOINT, reason);
	relay_i_end(r, CODE_ENDPOINT, reason);
}

/* 0, or the error that the endpoint is in. */
static int endpoint_error(const struct relay *r)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno == ENOTSOCK ? 0 : errno;
	return error;
}

static void end_if_both_ended(struct relay *r)
{
	if (r->in_ended && r->out_ended)
		relay_i_end(r, CODE_NONE, "");
}

static ssize_t on_pull(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	struct relay *r = ctx;
	ssize_t n;

	(void)s;
	if (r->state != RELAY_RUNNING || r->in_ended || !r->readable)
		return STREAM_PULL_AGAIN;
	do
		n = read(r->fd, dst, max);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		/* Less than asked for: drained, and what comes now is an edge of its
		 * own. Except for an end, which may be part of the last edge. */
		if ((size_t)n < max && !r->hung_up)
			r->readable = 0;
		return n;
	}
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		r->readable = 0;
		return STREAM_PULL_AGAIN;
	}
	if (n < 0) {
		fail_endpoint(r, errno);
		return STREAM_PULL_GONE;
	}
	r->readable = 0;
	r->in_ended = 1;
	end_if_both_ended(r);
	return STREAM_PULL_EOF;
}

static void widen(struct relay *r)
{
	int size = RELAY_WIDE_SNDBUF;

	r->widened = 1;
	/* Beyond net.core.wmem_max where we may. */
	if (setsockopt(r->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(r->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static size_t on_push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	struct relay *r = ctx;
	ssize_t n;

	(void)s;
	if (r->state != RELAY_RUNNING || r->full)
		return 0;
	if (r->drain_until && r->pushed_bytes >= r->drain_until)
		return 0;
	do
		n = send(r->fd, data, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
		fail_endpoint(r, errno);
		return 0;
	}
	if (n < 0)
		n = 0;
	r->pushed_bytes += (uint64_t)n;
	if (!r->widened && r->pushed_bytes >= RELAY_WIDEN_AFTER)
		widen(r);
	if ((size_t)n < len) {
		r->full = 1;
		if (!event_pending(&r->write, EV_WRITE, NULL) && event_add(&r->write, NULL) < 0) {
			fail_endpoint(r, ENOMEM);
			return 0;
		}
	}
	return (size_t)n;
}

static void on_eof(void *ctx, struct stream *s)
{
	struct relay *r = ctx;

	(void)s;
	if (r->state == RELAY_CONNECTING) {
		r->out_ended_early = 1;
		return;
	}
	if (r->state != RELAY_RUNNING)
		return;
	r->out_ended = 1;
	/* ENOTCONN: it has gone by itself, and the reading side will tell. */
	shutdown(r->fd, SHUT_WR);
	end_if_both_ended(r);
}

static void on_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	struct relay *r = ctx;

	(void)s;
	if (r->state == RELAY_OVER)
		return;
	if (code == CODE_SESSION)
		relay_i_end_with_session(r, reason ? reason : "");
	else
		relay_i_end(r, code == CODE_NONE ? CODE_CANCELLED : code, reason ? reason : "");
}

static const struct stream_ops relay_stream_ops = {
    .pull = on_pull,
    .push = on_push,
    .on_eof = on_eof,
    .on_reset = on_reset,
};

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct relay *r = ctx;

	(void)fd;
	if (r->state == RELAY_OVER)
		return;
	if (what & EV_CLOSED)
		r->hung_up = 1;
	if (r->in_ended) {
		int error = endpoint_error(r);

		if (error)
			fail_endpoint(r, error);
		return;
	}
	if (!event_pending(&r->check, EV_TIMEOUT, NULL))
		event_add(&r->check, &check_interval);
	if (r->readable)
		return;
	r->readable = 1;
	stream_ready(r->stream);
}

/* A second after an edge. If nobody has read since, the endpoint may have failed
 * meanwhile; if it was drained, one more look finds what an edge did not say. */
static void on_check(evutil_socket_t fd, short what, void *ctx)
{
	struct relay *r = ctx;

	(void)fd;
	(void)what;
	if (r->state == RELAY_OVER || r->in_ended)
		return;
	if (r->readable) {
		int error = endpoint_error(r);

		if (error) {
			fail_endpoint(r, error);
			return;
		}
		event_add(&r->check, &check_interval);
		return;
	}
	r->readable = 1;
	stream_ready(r->stream);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
	struct relay *r = ctx;

	(void)fd;
	(void)what;
	if (r->state == RELAY_OVER)
		return;
	r->full = 0;
	/* Watched until an edge finds nothing waiting: an endpoint that was full is
	 * likely to be so again. */
	if (stream_pending(r->stream) == 0) {
		event_del(&r->write);
		return;
	}
	r->drain_until = r->pushed_bytes + RELAY_DRAIN_MAX;
	stream_drain(r->stream);
	if (r->state == RELAY_RUNNING && !r->full && r->pushed_bytes >= r->drain_until) {
		/* Another edge, in the next turn of the loop. */
		event_del(&r->write);
		event_add(&r->write, NULL);
	}
	r->drain_until = 0;
}

/* Options of the endpoint; failing to set one changes speed, not meaning. */
static void tune(struct relay *r)
{
	int domain = 0, on = 1;
	socklen_t len = sizeof(domain);

	if (getsockopt(r->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return;
	if (domain == AF_INET || domain == AF_INET6) {
		r->tcp = 1;
		r->widened = 1; /* TCP does it by itself */
		setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(r->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	}
}

/* The endpoint is there: begins to move bytes. */
static void run(struct relay *r, int fd)
{
	r->fd = fd;
	relay_i_set_state(r, RELAY_RUNNING);
	tune(r);
	event_assign(&r->read, r->base, fd, EV_READ | EV_CLOSED | EV_ET | EV_PERSIST, on_readable,
		     r);
	event_assign(&r->write, r->base, fd, EV_WRITE | EV_ET | EV_PERSIST, on_writable, r);
	event_assign(&r->check, r->base, -1, 0, on_check, r);
	if (fd_set_nonblock(fd) < 0 || event_add(&r->read, NULL) < 0) {
		fail_endpoint(r, errno ? errno : EBADF);
		return;
	}
	if (r->out_ended_early)
		on_eof(r, r->stream);
	else
		stream_drain(r->stream);
}

static void on_connected(void *ctx, int fd, const struct err *why)
{
	struct relay *r = ctx;
	enum code code = CODE_UNREACHABLE;
	struct err e = *why;

	r->connector = NULL;
	if (r->state == RELAY_OVER) { /* while in line */
		fd_close(&fd);
		return;
	}
	if (fd >= 0 && (!r->is_right || r->is_right(r->ctx, fd, &e) >= 0)) {
		run(r, fd);
		return;
	}
	if (fd >= 0) {
		code = CODE_REFUSED;
		fd_close(&fd);
	}
	stream_reset(r->stream, code, e.text);
	relay_i_end(r, code, e.text);
}

static struct relay *new_relay(struct event_base *base, relay_on_end *on_end, void *ctx)
{
	struct relay *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->base = base;
	r->on_end = on_end;
	r->ctx = ctx;
	r->fd = -1;
	event_assign(&r->reap, base, -1, 0, relay_i_on_reap, r);
	return r;
}

struct relay *relay_open(struct event_base *base, struct session *s, enum stream_class class,
			 const char *target, int fd, relay_on_end *on_end, void *ctx, struct err *e)
{
	struct relay *r = new_relay(base, on_end, ctx);

	if (!r) {
		err_set(e, ERR_SYSTEM, "memory is short");
		goto fail;
	}
	r->opened = 1;
	r->stream = session_open(s, class, target, &relay_stream_ops, r, e);
	if (!r->stream)
		goto fail;
	run(r, fd);
	return r;

fail:
	free(r);
	fd_close(&fd);
	return NULL;
}

struct relay *relay_accept(struct event_base *base, struct session *s, struct stream *stream,
			   int fd, relay_on_end *on_end, void *ctx)
{
	struct relay *r = new_relay(base, on_end, ctx);

	(void)s;
	if (!r) {
		stream_refuse(stream, CODE_INTERNAL, "memory is short");
		fd_close(&fd);
		return NULL;
	}
	r->stream = stream;
	stream_accept(stream, &relay_stream_ops, r);
	run(r, fd);
	return r;
}

struct relay *relay_take(struct event_base *base, struct stream *stream, int fd,
			 relay_on_end *on_end, void *ctx)
{
	struct relay *r = new_relay(base, on_end, ctx);

	if (!r) {
		stream_reset(stream, CODE_INTERNAL, "memory is short");
		stream_free(stream);
		fd_close(&fd);
		return NULL;
	}
	r->opened = 1;
	r->stream = stream;
	stream_set_user(stream, &relay_stream_ops, r);
	run(r, fd);
	return r;
}

struct relay *relay_hold(struct event_base *base, struct stream *stream, relay_on_end *on_end,
			 void *ctx)
{
	struct relay *r = new_relay(base, on_end, ctx);

	if (!r) {
		stream_refuse(stream, CODE_INTERNAL, "memory is short");
		return NULL;
	}
	r->stream = stream;
	stream_accept(stream, &relay_stream_ops, r);
	return r;
}

void relay_join(struct relay *r, struct session *s, const struct addr *a, relay_check *check)
{
	if (r->state != RELAY_CONNECTING || r->connector)
		return;
	r->is_right = check;
	r->connector = connector_start(r->base, s, a, on_connected, r);
}

struct relay *relay_connect(struct event_base *base, struct session *s, struct stream *stream,
			    const struct addr *a, relay_on_end *on_end, void *ctx)
{
	struct relay *r = relay_hold(base, stream, on_end, ctx);

	if (r)
		relay_join(r, s, a, NULL);
	return r;
}

struct stream *relay_stream(struct relay *r)
{
	return r->state == RELAY_OVER ? NULL : r->stream;
}

int relay_is_leaving(const struct relay *r)
{
	struct pollfd end = {.fd = r->fd, .events = POLLRDHUP};

	if (r->state != RELAY_RUNNING)
		return 0;
	return r->in_ended || (poll(&end, 1, 0) > 0 && end.revents);
}

void relay_stats(const struct relay *r, struct stream_stats *out)
{
	stream_stats(r->stream, out);
}
