/*
 * Transport `strands`: see transport_strands.h. The link waits for one descriptor: that is
 * an epoll of all of them. As epoll says nothing of "writable", a full pipe is waited for
 * there too, and read goes on with writing (transport.h, flush).
 *
 * The struct is owned by whoever holds the transport.
 */
#include "tunnel/transport_strands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

enum {
	RING_MAX = 1024 * 1024, /* of a pipe's bytes, while it is another's turn */
	CHUNK = 64 * 1024,
	PIPE_SIZE = 1024 * 1024,
	OUT = 0x100, /* in epoll's word: the pipe's out */
};

struct transport_strands {
	struct transport t;
	struct transport_strand at[STRANDS_MAX];
	int reads[STRANDS_MAX]; /* epoll looks at it */
	int ended[STRANDS_MAX]; /* it gives no more */
	struct strands strands;
	struct outbuf out;
	uint8_t piece[STRANDS_HEAD + STRANDS_PIECE_MAX];
	size_t piece_len, piece_at; /* what of it has gone */
	unsigned piece_to;
	int waits; /* for that pipe to take more */
	int deaf;  /* nobody reads what is written; reading says why */
	int ending, told;
	struct err failed;
};

static struct transport_strands *self(struct transport *t)
{
	return (struct transport_strands *)t;
}

static int handshake(struct transport *t, struct err *e)
{
	(void)t;
	(void)e;
	return 0;
}

static void look_at(struct transport_strands *s, unsigned i, int out, int on)
{
	struct epoll_event ev = {.events = on ? (out ? EPOLLOUT : EPOLLIN) : 0,
				 .data.u32 = out ? OUT | i : i};
	int fd = out ? s->at[i].out : s->at[i].in;

	/* One that nobody waits for is taken out, or its end would be told for ever. */
	if (epoll_ctl(s->t.fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &ev) < 0 && !s->failed.code)
		err_set_sys(&s->failed, errno, "epoll");
}

static void let_go(struct transport_strands *s)
{
	if (s->waits)
		look_at(s, s->piece_to, 1, 0);
	s->waits = 0;
}

/* Writes pieces until a pipe is full. */
static int flush(struct transport *t, struct err *e)
{
	struct transport_strands *s = self(t);
	ssize_t n;

	(void)e;
	while (!s->deaf && (s->piece_len || s->out.len)) {
		if (!s->piece_len) {
			s->piece_to = s->strands.out_at;
			s->piece_at = 0;
			s->piece_len =
			    strands_piece(&s->strands, &s->out, s->piece, sizeof(s->piece));
		}
		n = write(s->at[s->piece_to].out, s->piece + s->piece_at,
			  s->piece_len - s->piece_at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			if (!s->waits)
				look_at(s, s->piece_to, 1, 1);
			s->waits = 1;
			break;
		}
		let_go(s);
		if (n < 0) {
			s->deaf = 1;
			break;
		}
		s->piece_at += (size_t)n;
		if (s->piece_at == s->piece_len)
			s->piece_len = 0;
	}
	if (s->deaf) {
		outbuf_drop(&s->out, s->out.len);
		s->piece_len = 0;
	}
	t->unsent = s->out.len + s->piece_len - (s->piece_len ? s->piece_at : 0);
	if (!t->unsent && s->ending == 1) {
		s->ending = 2;
		for (unsigned i = 0; i < s->strands.count; i++)
			shutdown(s->at[i].out, SHUT_WR); /* a pipe ends with the program */
	}
	return 0;
}

/* What pipe i has, up to a full ring. */
static void fill(struct transport_strands *s, unsigned i)
{
	struct outbuf *ring = &s->strands.in[i];
	uint8_t chunk[CHUNK];
	ssize_t n = 0;

	while (ring->len < RING_MAX) {
		n = read(s->at[i].in, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (outbuf_append(ring, chunk, (size_t)n) < 0) {
			err_set(&s->failed, ERR_LIMIT, "no memory for what came in");
			return;
		}
		if ((size_t)n < sizeof(chunk))
			return;
	}
	if (n == 0 && ring->len < RING_MAX)
		s->ended[i] = 1;
	else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		s->ended[i] = 1;
}

static ssize_t read_bytes(struct transport *t, uint8_t *buf, size_t size, struct err *e)
{
	struct transport_strands *s = self(t);
	struct epoll_event ev[2 * STRANDS_MAX];
	ssize_t got = -1;
	int n;

	if (size == 0)
		return 0;
	n = err_is_set(&s->failed) ? 0 : epoll_wait(t->fd, ev, 2 * STRANDS_MAX, 0);
	for (int i = 0; i < n; i++) {
		if (ev[i].data.u32 & OUT)
			flush(t, NULL);
		else
			fill(s, ev[i].data.u32);
	}
	if (!err_is_set(&s->failed))
		got = strands_read(&s->strands, buf, size, &s->failed);
	for (unsigned i = 0; i < s->strands.count; i++) {
		int want = !s->ended[i] && s->strands.in[i].len < RING_MAX;

		if (want != s->reads[i])
			look_at(s, i, 0, want);
		s->reads[i] = want;
	}
	if (got > 0)
		return got;
	if (!err_is_set(&s->failed) && !s->ended[s->strands.in_at])
		return TRANSPORT_WANT_READ;
	s->told = 1;
	if (!err_is_set(&s->failed))
		return TRANSPORT_EOF;
	if (e)
		*e = s->failed;
	return TRANSPORT_FAILED;
}

static int write_bytes(struct transport *t, const uint8_t *data, size_t len, struct err *e)
{
	struct transport_strands *s = self(t);

	if (s->deaf)
		return 0;
	if (outbuf_append(&s->out, data, len) < 0) {
		err_set(e, ERR_LIMIT, "No memory for %zu bytes to send", len);
		return TRANSPORT_FAILED;
	}
	t->unsent += len;
	return 0;
}

static int pending(const struct transport *t)
{
	const struct transport_strands *s = (const struct transport_strands *)t;

	return strands_ready(&s->strands) ||
	       ((s->ended[s->strands.in_at] || err_is_set(&s->failed)) && !s->told);
}

static void shut_down(struct transport *t)
{
	self(t)->ending = 1;
}

static void free_all(struct transport *t)
{
	struct transport_strands *s = self(t);

	for (unsigned i = 0; i < s->strands.count; i++) {
		fd_close(&s->at[i].in);
		fd_close(&s->at[i].out);
	}
	fd_close(&t->fd);
	outbuf_fini(&s->out);
	strands_fini(&s->strands);
	free(s);
}

static const struct transport_ops ops = {
    .name = "strands",
    .handshake = handshake,
    .read = read_bytes,
    .write = write_bytes,
    .flush = flush,
    .pending = pending,
    .shutdown = shut_down,
    .free = free_all,
};

struct transport *transport_strands_new(const struct transport_strand *at, unsigned count,
					const char *peer, struct err *e)
{
	struct transport_strands *s = calloc(1, sizeof(*s));

	if (!s) {
		for (unsigned i = 0; i < count; i++) {
			close(at[i].in);
			close(at[i].out);
		}
		err_set(e, ERR_SYSTEM, "No memory for a connection");
		return NULL;
	}
	s->t.ops = &ops;
	s->strands.count = count;
	memcpy(s->at, at, count * sizeof(*at));
	s->t.fd = epoll_create1(EPOLL_CLOEXEC);
	/* The link asks once, to begin; flush never has it ask again. */
	s->t.fd_out = at[0].out;
	for (unsigned i = 0; i < count && s->t.fd >= 0; i++) {
		if (fd_set_nonblock(at[i].in) < 0 || fd_set_nonblock(at[i].out) < 0)
			err_set_sys(&s->failed, errno, "a pipe of sshd's");
		fcntl(at[i].in, F_SETPIPE_SZ, PIPE_SIZE);
		fcntl(at[i].out, F_SETPIPE_SZ, PIPE_SIZE);
		look_at(s, i, 0, 1);
		s->reads[i] = 1;
	}
	if (s->t.fd < 0)
		err_set_sys(&s->failed, errno, "epoll");
	if (err_is_set(&s->failed)) {
		*e = s->failed;
		free_all(&s->t);
		return NULL;
	}
	snprintf(s->t.peer, sizeof(s->t.peer), "%s", peer);
	err_printable(s->t.peer);
	snprintf(s->t.cipher, sizeof(s->t.cipher), "ssh's");
	return &s->t;
}
