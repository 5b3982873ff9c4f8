/* Makes a connection: see qmp.h. Until QEMU has greeted, it is here that its time is counted. */
#include "control/qmp/qmp.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fd.h"
#include "control/qmp/qmp_i.h"

enum { QMP_RETRY_MS = 50 };

/* /var/lib/libvirt/qemu/domain-1-x/monitor.sock, a user's ~/.config/libvirt/qemu/lib/..., or a link
 * to such a one. */
static bool is_libvirts(const char *path)
{
	char *real = realpath(path, NULL);
	bool found = strstr(real ? real : path, "/libvirt/") != NULL;

	free(real);
	return found;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct qmp *q = arg;
	struct err e = ERR_INIT;

	(void)fd;
	(void)what;
	err_set(&e, ERR_TIMEOUT, "QMP socket %s: no greeting within %u s; %s", q->path,
		(q->greeting_ms + 999) / 1000,
		is_libvirts(q->path)
		    ? "libvirt has that monitor, and no other: its VMs are moved by virsh migrate "
		      "with adit run --libvirt (adit-run(1), docs/libvirt.md)"
		    : "a QMP socket serves one client at a time: disconnect whatever else uses it, "
		      "or give QEMU another -qmp socket");
	q->depth++;
	qmp_i_end(q, &e);
	qmp_i_leave(q);
}

static struct qmp *alloc(struct event_base *base, const char *path, unsigned greeting_ms,
			 const struct qmp_ops *ops, void *ctx, struct err *e)
{
	struct qmp *q = calloc(1, sizeof(*q));
	struct timeval tv;

	if (!q || !(q->path = strdup(path))) {
		free(q);
		err_set_sys(e, ENOMEM, "QMP");
		return NULL;
	}
	q->base = base;
	q->ops = ops;
	q->ctx = ctx;
	q->fd = -1;
	q->greeting_ms = greeting_ms ? greeting_ms : QMP_GREETING_MS;
	TAILQ_INIT(&q->queued);
	TAILQ_INIT(&q->written);
	LIST_INIT(&q->held);
	q->timer = evtimer_new(base, on_timer, q);
	tv = clock_timeval(q->greeting_ms);
	if (!q->timer || event_add(q->timer, &tv) < 0) {
		err_set_sys(e, ENOMEM, "QMP");
		qmp_i_event_drop(&q->timer);
		qmp_i_reap(q);
		return NULL;
	}
	return q;
}

/* Takes the connected socket fd (owned by q from now on). */
static int use_fd(struct qmp *q, int fd)
{
	q->fd = fd;
	q->state = QMP_STATE_GREETING;
	fd_peer(fd, &q->peer_uid, &q->peer_pid);
	q->readable = event_new(q->base, fd, EV_READ | EV_PERSIST, qmp_i_on_readable, q);
	q->writable = event_new(q->base, fd, EV_WRITE, qmp_i_on_writable, q);
	if (!q->readable || !q->writable || event_add(q->readable, NULL) < 0)
		return -1;
	return 0;
}

static void on_connect(evutil_socket_t unused, short what, void *arg)
{
	struct qmp *q = arg;
	struct err e = ERR_INIT;
	int fd;

	(void)unused;
	(void)what;
	fd = fd_connect_unix(q->path);
	if (fd >= 0) {
		if (use_fd(q, fd) == 0)
			return;
		err_set_sys(&e, ENOMEM, "QMP socket %s", q->path);
	} else if (errno == EAGAIN || errno == EINTR) {
		/* Its queue is full: somebody is connected, and others wait. */
		struct timeval tv = {0, QMP_RETRY_MS * 1000};

		event_add(q->retry, &tv);
		return;
	} else {
		const char *kind = fd_no_socket(q->path);

		err_set_sys(&e, errno, "QMP socket %s", q->path);
		if (kind)
			err_set(&e, ERR_CLOSED,
				"QMP socket %s: %s is there, not a socket; QEMU makes one with "
				"-qmp unix:/path,server=on,wait=off",
				q->path, kind);
		else if (errno == ECONNREFUSED)
			err_set(&e, ERR_CLOSED,
				"QMP socket %s: nobody listens there (has QEMU ended?)", q->path);
		else if (errno == ENOENT)
			err_set(&e, ERR_CLOSED,
				"QMP socket %s: there is no such file; start QEMU with -qmp "
				"unix:%s,server=on,wait=off",
				q->path, q->path);
	}
	q->depth++;
	qmp_i_end(q, &e);
	qmp_i_leave(q);
}

struct qmp *qmp_connect(struct event_base *base, const char *path, unsigned greeting_ms,
			const struct qmp_ops *ops, void *ctx, struct err *e)
{
	struct timeval now = {0, 0};
	struct qmp *q;

	if (strncmp(path, "unix:", 5) == 0)
		path += 5;
	if (!*path || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
		err_set(e, ERR_USAGE, "QMP socket '%s': a unix socket's path has 1 to 107 bytes",
			path);
		return NULL;
	}
	q = alloc(base, path, greeting_ms, ops, ctx, e);
	if (!q)
		return NULL;
	q->retry = evtimer_new(base, on_connect, q);
	if (!q->retry || event_add(q->retry, &now) < 0) {
		err_set_sys(e, ENOMEM, "QMP");
		qmp_free(q);
		return NULL;
	}
	return q;
}

struct qmp *qmp_new(struct event_base *base, int fd, const char *name, unsigned greeting_ms,
		    const struct qmp_ops *ops, void *ctx, struct err *e)
{
	struct qmp *q = alloc(base, name, greeting_ms, ops, ctx, e);

	if (!q) {
		fd_close(&fd);
		return NULL;
	}
	if (fd_set_nonblock(fd) < 0 || use_fd(q, fd) < 0) {
		err_set_sys(e, errno, "QMP socket %s", name);
		q->fd = fd;
		qmp_free(q);
		return NULL;
	}
	return q;
}
