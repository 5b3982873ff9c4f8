/*
 * Transport `tcp`: bare bytes over a socket, for tests and measurements. No
 * secrecy and no proof of who the peer is; the command line asks for --insecure
 * on both sides. The struct is owned by whoever holds the transport.
 */
#include "tunnel/transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tunnel/outbuf.h"
#include "tunnel/sniff.h"

struct transport_tcp {
	struct transport t;
	struct outbuf out;
	int begun; /* the first bytes were looked at */
	struct err failed;
};

static struct transport_tcp *self(struct transport *t)
{
	return (struct transport_tcp *)t;
}

static int tcp_handshake(struct transport *t, struct err *e)
{
	(void)t;
	(void)e;
	return 0;
}

static ssize_t fail(struct transport_tcp *tcp, struct err *e)
{
	if (e)
		*e = tcp->failed;
	return TRANSPORT_FAILED;
}

/* A last word to a peer that speaks TLS: the head of a HELLO in the clear, by which it
 * knows what it has met (sniff). */
static void say_plain(struct transport_tcp *tcp)
{
	static const uint8_t head[16] = {0, 0, 0, 66, 1};

	if (tcp->out.len == 0 && outbuf_append(&tcp->out, head, sizeof(head)) == 0)
		outbuf_end(&tcp->out);
	outbuf_flush(&tcp->out, tcp->t.fd, NULL);
}

static ssize_t tcp_read(struct transport *t, uint8_t *buf, size_t size, struct err *e)
{
	struct transport_tcp *tcp = self(t);
	enum sniff what;
	ssize_t n;

	if (err_is_set(&tcp->failed))
		return fail(tcp, e);
	if (size == 0)
		return 0;
	do
		n = recv(t->fd, buf, size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return TRANSPORT_WANT_READ;
	if (n < 0 || (n == 0 && tcp->out.reset_errno)) {
		err_set_sys(&tcp->failed, n < 0 ? errno : tcp->out.reset_errno,
			    "The connection broke");
		tcp->failed.code = ERR_CLOSED;
		return fail(tcp, e);
	}
	if (n == 0)
		return TRANSPORT_EOF;
	if (!tcp->begun) {
		tcp->begun = 1;
		what = sniff(buf, (size_t)n);
		if (what == SNIFF_TLS || what == SNIFF_SSH || what == SNIFF_HTTP) {
			sniff_explain(&tcp->failed, "peer", 0, buf, (size_t)n);
			if (what == SNIFF_TLS)
				say_plain(tcp);
			return fail(tcp, e);
		}
	}
	return n;
}

static int tcp_write(struct transport *t, const uint8_t *data, size_t len, struct err *e)
{
	struct transport_tcp *tcp = self(t);

	if (outbuf_append(&tcp->out, data, len) < 0) {
		err_set(e, ERR_LIMIT, "No memory for %zu bytes to send", len);
		return TRANSPORT_FAILED;
	}
	t->unsent = tcp->out.len;
	return 0;
}

static int tcp_flush(struct transport *t, struct err *e)
{
	struct transport_tcp *tcp = self(t);
	int r = outbuf_flush(&tcp->out, t->fd, e);

	t->unsent = tcp->out.len;
	return r;
}

static ssize_t tcp_forget(struct transport *t, uint8_t *buf, size_t size)
{
	return transport_socket_forget(t->fd, buf, size);
}

static int tcp_pending(const struct transport *t)
{
	(void)t;
	return 0;
}

static void tcp_shutdown(struct transport *t)
{
	outbuf_end(&self(t)->out);
}

static void tcp_free(struct transport *t)
{
	struct transport_tcp *tcp = self(t);

	transport_socket_close(t->fd, tcp->out.ending);
	outbuf_fini(&tcp->out);
	free(tcp);
}

static const struct transport_ops tcp_ops = {
    .name = "tcp",
    .handshake = tcp_handshake,
    .read = tcp_read,
    .write = tcp_write,
    .flush = tcp_flush,
    .pending = tcp_pending,
    .forget = tcp_forget,
    .shutdown = tcp_shutdown,
    .free = tcp_free,
};

struct transport *transport_tcp_new(int fd, const char *peer, struct err *e)
{
	struct transport_tcp *tcp = calloc(1, sizeof(*tcp));

	if (!tcp) {
		err_set(e, ERR_SYSTEM, "No memory for a connection");
		goto fail;
	}
	if (transport_socket_init(fd, e) < 0)
		goto fail;
	tcp->t.ops = &tcp_ops;
	tcp->t.fd = tcp->t.fd_out = fd;
	snprintf(tcp->t.peer, sizeof(tcp->t.peer), "%s", peer);
	err_printable(tcp->t.peer);
	snprintf(tcp->t.cipher, sizeof(tcp->t.cipher), "none");
	return &tcp->t;
fail:
	free(tcp);
	transport_socket_close(fd, 0);
	return NULL;
}
