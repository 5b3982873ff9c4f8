/*
 * Transport `stdio`: see transport_stdio.h. Bare bytes: it neither encrypts nor proves
 * anything, and so is for what sshd has started only. The struct is owned by whoever
 * holds the transport.
 */
#include "tunnel/transport_stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "tunnel/outbuf.h"

enum { PIPE_SIZE = 1024 * 1024 };

struct transport_stdio {
	struct transport t;
	struct outbuf out;
	struct err failed;
};

static struct transport_stdio *self(struct transport *t)
{
	return (struct transport_stdio *)t;
}

static int stdio_handshake(struct transport *t, struct err *e)
{
	(void)t;
	(void)e;
	return 0;
}

static ssize_t stdio_read(struct transport *t, uint8_t *buf, size_t size, struct err *e)
{
	struct transport_stdio *io = self(t);
	ssize_t n;

	if (err_is_set(&io->failed)) {
		if (e)
			*e = io->failed;
		return TRANSPORT_FAILED;
	}
	if (size == 0)
		return 0;
	do
		n = read(t->fd, buf, size);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return TRANSPORT_WANT_READ;
	if (n < 0) {
		err_set_sys(&io->failed, errno, "The connection to sshd broke");
		io->failed.code = ERR_CLOSED;
		if (e)
			*e = io->failed;
		return TRANSPORT_FAILED;
	}
	return n == 0 ? TRANSPORT_EOF : n;
}

static int stdio_write(struct transport *t, const uint8_t *data, size_t len, struct err *e)
{
	struct transport_stdio *io = self(t);

	if (outbuf_append(&io->out, data, len) < 0) {
		err_set(e, ERR_LIMIT, "No memory for %zu bytes to send", len);
		return TRANSPORT_FAILED;
	}
	t->unsent = io->out.len;
	return 0;
}

static int stdio_flush(struct transport *t, struct err *e)
{
	struct transport_stdio *io = self(t);
	int r = outbuf_flush(&io->out, t->fd_out, e);

	t->unsent = io->out.len;
	return r;
}

static int stdio_pending(const struct transport *t)
{
	(void)t;
	return 0;
}

static void stdio_shutdown(struct transport *t)
{
	outbuf_end(&self(t)->out);
}

static void stdio_free(struct transport *t)
{
	struct transport_stdio *io = self(t);

	close(t->fd);
	close(t->fd_out);
	outbuf_fini(&io->out);
	free(io);
}

static const struct transport_ops stdio_ops = {
    .name = "stdio",
    .handshake = stdio_handshake,
    .read = stdio_read,
    .write = stdio_write,
    .flush = stdio_flush,
    .pending = stdio_pending,
    .shutdown = stdio_shutdown,
    .free = stdio_free,
};

struct transport *transport_stdio_new(int in, int out, const char *peer, struct err *e)
{
	struct transport_stdio *io = calloc(1, sizeof(*io));
	struct stat st;

	if (!io) {
		err_set(e, ERR_SYSTEM, "No memory for a connection");
		goto fail;
	}
	if (fstat(out, &st) < 0 || fd_set_nonblock(in) < 0 || fd_set_nonblock(out) < 0) {
		err_set_sys(e, errno, "Cannot use standard input and output as a connection");
		goto fail;
	}
	/* Fewer wake-ups; best effort. Of use on pipes, which is what sshd gives in Debian. */
	fcntl(in, F_SETPIPE_SZ, PIPE_SIZE);
	fcntl(out, F_SETPIPE_SZ, PIPE_SIZE);
	io->t.ops = &stdio_ops;
	io->t.fd = in;
	io->t.fd_out = out;
	io->out.pipe = !S_ISSOCK(st.st_mode);
	snprintf(io->t.peer, sizeof(io->t.peer), "%s", peer);
	err_printable(io->t.peer);
	snprintf(io->t.cipher, sizeof(io->t.cipher), "ssh's");
	return &io->t;
fail:
	free(io);
	close(in);
	close(out);
	return NULL;
}
