/*
 * A local listener: see forward.h. Each connection becomes a relay at once; a
 * refusal by the peer closes it, and is logged with its target.
 *
 * Owned by the caller; owns its listening socket and the relays.
 */
#include "proxy/forward.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/fd.h"
#include "base/log.h"
#include "proxy/relay.h"

enum {
	FORWARD_BACKLOG = 1024,
	FORWARD_ACCEPTS = 64, /* a turn of the loop, so that others get theirs */
	FORWARD_PAUSE_MS = 200,
};

struct forward {
	struct event_base *base;
	struct session *session;
	struct addr local;
	enum stream_class class;
	char target[STREAM_TARGET_MAX + 1];
	char peer[256];
	int fd;
	dev_t dev; /* of the socket's file, so that only our own is removed */
	ino_t ino;
	struct event accept;
	struct event resume;
	struct relay_list relays;
};

static void on_relay_end(void *ctx, struct relay *relay, enum code code, const char *reason)
{
	const struct forward *f = ctx;

	relay_log_end(relay, f->peer, code, reason);
}

static void pause_accepting(struct forward *f, const char *why)
{
	static const struct timeval pause = {0, FORWARD_PAUSE_MS * 1000};
	struct log_ctx ctx = {.peer = f->peer};

	log_warn(&ctx, "%s: no new connections for a moment: %s", f->target, why);
	event_del(&f->accept);
	event_add(&f->resume, &pause);
}

static void on_resume(evutil_socket_t fd, short what, void *ctx)
{
	struct forward *f = ctx;

	(void)fd;
	(void)what;
	event_add(&f->accept, NULL);
}

/* One connection, fd, becomes a relay. 0, or -1 when no more can be had now. */
static int forward_one(struct forward *f, int fd)
{
	struct err e = ERR_INIT;
	struct relay *relay =
	    relay_open(f->base, f->session, f->class, f->target, fd, on_relay_end, f, &e);

	if (!relay) {
		pause_accepting(f, e.text);
		return -1;
	}
	relay_list_add(&f->relays, relay);
	return 0;
}

static void on_accept(evutil_socket_t listening, short what, void *ctx)
{
	struct forward *f = ctx;

	(void)what;
	for (int i = 0; i < FORWARD_ACCEPTS; i++) {
		int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			if (forward_one(f, fd) < 0)
				return;
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		pause_accepting(f, strerror(errno));
		return;
	}
}

struct forward *forward_new(struct event_base *base, const struct addr *local,
			    const struct addr *remote, struct err *e)
{
	char target[320];

	return forward_new_service(base, local, addr_format(remote, target, sizeof(target)),
				   STREAM_OTHER, e);
}

struct forward *forward_new_service(struct event_base *base, const struct addr *local,
				    const char *target, enum stream_class class, struct err *e)
{
	struct forward *f = calloc(1, sizeof(*f));
	struct stat st;

	if (!f) {
		err_set(e, ERR_SYSTEM, "memory is short");
		return NULL;
	}
	f->base = base;
	f->local = *local;
	f->class = class;
	snprintf(f->target, sizeof(f->target), "%s", target);
	f->fd = fd_listen(local, FORWARD_BACKLOG, e);
	if (f->fd < 0) {
		free(f);
		return NULL;
	}
	if (local->kind == ADDR_UNIX && lstat(local->path, &st) == 0) {
		f->dev = st.st_dev;
		f->ino = st.st_ino;
	}
	event_assign(&f->accept, base, f->fd, EV_READ | EV_PERSIST, on_accept, f);
	event_assign(&f->resume, base, -1, 0, on_resume, f);
	return f;
}

void forward_start(struct forward *f, struct session *s)
{
	f->session = s;
	snprintf(f->peer, sizeof(f->peer), "%s", session_peer(s));
	event_add(&f->accept, NULL);
}

int forward_is_leaving(const struct forward *f)
{
	struct pollfd waits = {.fd = f->fd, .events = POLLIN};

	return relay_list_is_leaving(&f->relays) ||
	       (poll(&waits, 1, 0) > 0 && (waits.revents & POLLIN));
}

void forward_free(struct forward *f)
{
	struct stat st;

	if (!f)
		return;
	event_del(&f->accept);
	event_del(&f->resume);
	relay_list_let_go(&f->relays, CODE_CANCELLED, "the adit that opened it ends");
	if (f->local.kind == ADDR_UNIX && lstat(f->local.path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    st.st_dev == f->dev && st.st_ino == f->ino)
		unlink(f->local.path);
	fd_close(&f->fd);
	free(f);
}
