/*
 * The QMP client: see qmp.h. It knows the protocol's frame (greeting,
 * qmp_capabilities, commands with ids, events) and nothing of what the commands
 * mean. It refuses to guess: what is not a greeting ends the connection.
 *
 * Life of a command: queued -> written -> answered. At most QMP_INFLIGHT are
 * written and unanswered (QEMU's own queue holds eight, and stops reading when
 * it is full). A command with a descriptor is written alone. Everything belongs
 * to the struct qmp; while a callback runs, depth is above 0 and qmp_free only
 * marks the object, which is reaped when the outermost callback returns.
 */
#include "control/qmp/qmp.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/qmp/qmp_i.h"
#include "control/qmp/qmp_scan.h"

enum { QMP_INFLIGHT = 6, QMP_RETRY_MS = 50 };

struct command {
	TAILQ_ENTRY(command) link;
	char name[64];
	char *text; /* the line, from json_dumps and with '\n'; NULL once written */
	size_t len, off;
	int fd; /* to go with the first byte, or -1 */
	uint64_t id, written_us;
	bool had_fd;
	bool oob; /* past the others */
	qmp_reply *fn;
	void *ctx;
};

TAILQ_HEAD(command_list, command);

enum state { STATE_CONNECTING, STATE_GREETING, STATE_NEGOTIATING, STATE_READY, STATE_ENDED };

struct qmp {
	struct event_base *base;
	const struct qmp_ops *ops;
	void *ctx;
	char *path; /* for messages */
	int fd;
	enum state state;
	struct event *readable, *writable, *timer, *retry;
	unsigned greeting_ms;
	bool want_oob, has_oob;
	struct command_list queued, written;
	unsigned inflight, fds_inflight;
	uint64_t next_id;
	struct qmp_scan in;
	pid_t peer_pid;
	uid_t peer_uid;
	unsigned depth;
	bool freed;
	struct qmp_held_list held; /* batches that run */
};

static void command_free(struct command *c)
{
	fd_close(&c->fd);
	free(c->text);
	free(c);
}

static void list_clear(struct command_list *l)
{
	struct command *c;

	while ((c = TAILQ_FIRST(l))) {
		TAILQ_REMOVE(l, c, link);
		command_free(c);
	}
}

static void reap(struct qmp *q)
{
	list_clear(&q->queued);
	list_clear(&q->written);
	qmp_scan_fini(&q->in);
	free(q->path);
	free(q);
}

static void leave(struct qmp *q)
{
	if (--q->depth == 0 && q->freed)
		reap(q);
}

static void event_drop(struct event **ev)
{
	if (*ev)
		event_free(*ev);
	*ev = NULL;
}

static void stop_io(struct qmp *q)
{
	event_drop(&q->readable);
	event_drop(&q->writable);
	event_drop(&q->timer);
	event_drop(&q->retry);
	fd_close(&q->fd);
}

/* Ends the connection with *why: all that wait first, then the owner. */
static void end(struct qmp *q, const struct err *why)
{
	struct command *c;

	if (q->state == STATE_ENDED)
		return;
	q->state = STATE_ENDED;
	stop_io(q);
	q->depth++;
	TAILQ_CONCAT(&q->written, &q->queued, link);
	q->inflight = q->fds_inflight = 0;
	while ((c = TAILQ_FIRST(&q->written))) {
		TAILQ_REMOVE(&q->written, c, link);
		if (c->fn && !q->freed)
			c->fn(c->ctx, q, NULL, why);
		command_free(c);
	}
	if (!q->freed)
		q->ops->on_end(q->ctx, q, why);
	leave(q);
}

static void end_msg(struct qmp *q, enum err_code code, const char *text)
{
	struct err e = ERR_INIT;

	err_set(&e, code, "QMP socket %s: %s", q->path, text);
	end(q, &e);
}

/* Writes as much of the queue as may go; ends the connection on an error. */
static void flush(struct qmp *q)
{
	struct command *c;

	if (q->state != STATE_READY && q->state != STATE_NEGOTIATING)
		return;
	while ((c = TAILQ_FIRST(&q->queued))) {
		char control[CMSG_SPACE(sizeof(int))] = {0};
		struct iovec iov;
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n;

		if (c->off == 0 && !c->oob &&
		    (q->inflight >= QMP_INFLIGHT || q->fds_inflight ||
		     (c->had_fd && q->inflight > 0)))
			break; /* the next answer comes back here */
		if (q->state == STATE_NEGOTIATING && q->inflight > 0)
			break;
		iov.iov_base = c->text + c->off;
		iov.iov_len = c->len - c->off;
		if (c->fd >= 0) {
			struct cmsghdr *h;

			msg.msg_control = control;
			msg.msg_controllen = sizeof(control);
			h = CMSG_FIRSTHDR(&msg);
			h->cmsg_level = SOL_SOCKET;
			h->cmsg_type = SCM_RIGHTS;
			h->cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(h), &c->fd, sizeof(int));
		}
		n = sendmsg(q->fd, &msg, MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			event_add(q->writable, NULL);
			return;
		}
		if (n < 0) {
			struct err e = ERR_INIT;

			err_set_sys(&e, errno, "QMP socket %s: cannot send %s", q->path, c->name);
			if (errno == EPIPE || errno == ECONNRESET)
				err_set(&e, ERR_CLOSED, "QMP socket %s: QEMU has gone", q->path);
			end(q, &e);
			return;
		}
		fd_close(&c->fd);
		c->off += (size_t)n;
		if (c->off < c->len) {
			event_add(q->writable, NULL);
			return;
		}
		free(c->text);
		c->text = NULL;
		c->written_us = clock_us();
		TAILQ_REMOVE(&q->queued, c, link);
		TAILQ_INSERT_TAIL(&q->written, c, link);
		q->inflight++;
		q->fds_inflight += c->had_fd;
	}
	if (q->writable)
		event_del(q->writable);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct qmp *q = arg;

	(void)fd;
	(void)what;
	q->depth++;
	flush(q);
	leave(q);
}

enum how { IN_BAND, OUT_OF_BAND };

/* Makes a command; args stolen, fd owned. NULL when memory is short. */
static struct command *command_make(struct qmp *q, const char *name, json_t *args, int fd,
				    enum how how, qmp_reply *fn, void *ctx)
{
	struct command *c = calloc(1, sizeof(*c));
	json_t *msg = json_object();
	char *text;

	if (c)
		c->fd = fd;
	if (!c || !msg)
		goto fail;
	c->had_fd = fd >= 0;
	c->oob = how == OUT_OF_BAND;
	c->id = ++q->next_id;
	c->fn = fn;
	c->ctx = ctx;
	strncpy(c->name, name, sizeof(c->name) - 1);
	json_object_set_new(msg, c->oob ? "exec-oob" : "execute", json_string(name));
	if (args)
		json_object_set(msg, "arguments", args);
	json_object_set_new(msg, "id", json_integer((json_int_t)c->id));
	text = json_dumps(msg, JSON_COMPACT);
	if (!text)
		goto fail;
	c->len = strlen(text);
	c->text = text;
	text[c->len++] = '\n'; /* in the place of the 0: it is sent by length */
	json_decref(msg);
	json_decref(args);
	return c;
fail:
	json_decref(msg);
	json_decref(args);
	if (c)
		command_free(c);
	else
		fd_close(&fd);
	return NULL;
}

static void on_deferred_end(evutil_socket_t fd, short what, void *arg)
{
	struct err e = ERR_INIT;
	struct qmp *q = arg;

	(void)fd;
	(void)what;
	err_set(&e, ERR_CLOSED, "QMP socket %s: the connection is closed", q->path);
	/* Commands given to a connection that is over get their answer here. */
	q->depth++;
	event_drop(&q->retry);
	for (struct command *c; !q->freed && (c = TAILQ_FIRST(&q->queued));) {
		TAILQ_REMOVE(&q->queued, c, link);
		if (c->fn)
			c->fn(c->ctx, q, NULL, &e);
		command_free(c);
	}
	leave(q);
}

/* The place for one out of band: before all that have not begun to go out. */
static void queue_first(struct qmp *q, struct command *c)
{
	struct command *at = TAILQ_FIRST(&q->queued);

	while (at && (at->off > 0 || at->oob))
		at = TAILQ_NEXT(at, link);
	if (at)
		TAILQ_INSERT_BEFORE(at, c, link);
	else
		TAILQ_INSERT_TAIL(&q->queued, c, link);
}

static void send_command(struct qmp *q, const char *name, json_t *args, int fd, enum how how,
			 qmp_reply *fn, void *ctx)
{
	struct command *c = command_make(q, name, args, fd, how, fn, ctx);

	if (!c) {
		log_error(NULL, "QMP socket %s: no memory for %s", q->path, name);
		return;
	}
	if (c->oob)
		queue_first(q, c);
	else
		TAILQ_INSERT_TAIL(&q->queued, c, link);
	if (q->state == STATE_ENDED) {
		if (!q->retry) {
			struct timeval now = {0, 0};

			q->retry = evtimer_new(q->base, on_deferred_end, q);
			if (q->retry)
				event_add(q->retry, &now);
		}
		return;
	}
	if (q->state == STATE_READY && q->writable)
		event_add(q->writable, NULL); /* from the loop: never calls back within the call */
}

void qmp_command(struct qmp *q, const char *name, json_t *args, qmp_reply *fn, void *ctx)
{
	send_command(q, name, args, -1, IN_BAND, fn, ctx);
}

void qmp_want_oob(struct qmp *q)
{
	q->want_oob = true;
}

void qmp_command_oob(struct qmp *q, const char *name, json_t *args, qmp_reply *fn, void *ctx)
{
	send_command(q, name, args, -1, q->has_oob ? OUT_OF_BAND : IN_BAND, fn, ctx);
}

void qmp_set_owner(struct qmp *q, const struct qmp_ops *ops, void *ctx)
{
	q->ops = ops;
	q->ctx = ctx;
}

void qmp_getfd(struct qmp *q, const char *name, int fd, qmp_reply *fn, void *ctx)
{
	send_command(q, "getfd", json_pack("{s:s}", "fdname", name), fd, IN_BAND, fn, ctx);
}

static void drop_held(struct qmp *q)
{
	struct qmp_held *h;

	while ((h = LIST_FIRST(&q->held)))
		h->drop(h);
}

void qmp_forget(struct qmp *q)
{
	struct command *c, *next;

	for (c = TAILQ_FIRST(&q->queued); c; c = next) {
		next = TAILQ_NEXT(c, link);
		c->fn = NULL;
		if (c->off == 0) {
			TAILQ_REMOVE(&q->queued, c, link);
			command_free(c);
		}
	}
	TAILQ_FOREACH(c, &q->written, link)
	c->fn = NULL;
	drop_held(q);
}

static void on_negotiated(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	(void)ctx;
	(void)result;
	if (err_is_set(e)) {
		if (q->state != STATE_ENDED)
			end(q, e);
		return;
	}
	q->state = STATE_READY;
	event_drop(&q->timer);
	q->ops->on_ready(q->ctx, q);
}

static bool offers_oob(const json_t *greeting)
{
	size_t i;
	const json_t *item;

	json_array_foreach(json_object_get(json_object_get(greeting, "QMP"), "capabilities"), i,
			   item)
	{
		const char *text = json_string_value(item);

		if (text && strcmp(text, "oob") == 0)
			return true;
	}
	return false;
}

static void on_greeting(struct qmp *q, const json_t *msg)
{
	struct command *c;

	/* QEMU may still owe the client before us an answer or an event, where that one was
	 * killed, and hands it to whoever comes next. */
	if (json_object_get(msg, "event") || json_object_get(msg, "return") ||
	    json_object_get(msg, "error"))
		return;
	if (!json_is_object(json_object_get(msg, "QMP"))) {
		end_msg(q, ERR_PROTOCOL,
			"what answers there is not QEMU's QMP "
			"(a human monitor? it needs mode=control)");
		return;
	}
	q->state = STATE_NEGOTIATING;
	q->has_oob = q->want_oob && offers_oob(msg);
	c = command_make(q, "qmp_capabilities",
			 q->has_oob ? json_pack("{s:[s]}", "enable", "oob") : NULL, -1, IN_BAND,
			 on_negotiated, NULL);
	if (!c) {
		end_msg(q, ERR_SYSTEM, "no memory");
		return;
	}
	TAILQ_INSERT_HEAD(&q->queued, c, link);
	flush(q);
}

static void on_answer(struct qmp *q, const json_t *msg, json_int_t id)
{
	const json_t *error = json_object_get(msg, "error");
	struct err e = ERR_INIT;
	struct command *c;

	TAILQ_FOREACH(c, &q->written, link)
	if (c->id == (uint64_t)id)
		break;
	if (!c) {
		log_debug(NULL, "QMP socket %s: an answer that nobody waits for", q->path);
		return;
	}
	TAILQ_REMOVE(&q->written, c, link);
	q->inflight--;
	q->fds_inflight -= c->had_fd;
	/* (Those that wait behind it in QEMU have its time in theirs.) */
	log_debug(NULL, "QMP: %s took %.1f ms", c->name,
		  (double)(clock_us() - c->written_us) / 1000);
	if (error) {
		const char *desc = json_string_value(json_object_get(error, "desc"));

		err_set(&e, ERR_QEMU, "QEMU refused %s: %s", c->name, desc ? desc : "no reason");
	}
	if (c->fn)
		c->fn(c->ctx, q, error ? NULL : json_object_get(msg, "return"), &e);
	command_free(c);
}

static void on_message(struct qmp *q, const json_t *msg)
{
	const char *event = json_string_value(json_object_get(msg, "event"));
	const json_t *id = json_object_get(msg, "id");

	if (q->state == STATE_GREETING) {
		on_greeting(q, msg);
		return;
	}
	if (event) {
		log_debug(NULL, "QMP: event %s", event);
		if (q->ops->on_event && q->state == STATE_READY)
			q->ops->on_event(q->ctx, q, event, json_object_get(msg, "data"));
		return;
	}
	if (json_is_integer(id)) {
		on_answer(q, msg, json_integer_value(id));
		return;
	}
	if (json_object_get(msg, "error")) {
		const char *desc =
		    json_string_value(json_object_get(json_object_get(msg, "error"), "desc"));

		log_warn(NULL, "QMP socket %s: %s", q->path,
			 desc ? desc : "an error without a reason");
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct qmp *q = arg;
	char buf[16384];
	ssize_t n;

	(void)what;
	n = read((int)fd, buf, sizeof(buf));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	q->depth++;
	if (n <= 0) {
		end_msg(q, ERR_CLOSED,
			q->state == STATE_READY
			    ? "QEMU has closed it (the process ended, or its monitor)"
			    : "closed before the greeting (QEMU ended?)");
	} else if (qmp_scan_append(&q->in, buf, (size_t)n) < 0) {
		end_msg(q, ERR_LIMIT, "a message of more than 64 MiB");
	}
	while (!q->freed && q->state != STATE_ENDED) {
		json_t *msg;
		int got = qmp_scan_next(&q->in, &msg);

		if (got == 0)
			break;
		if (got < 0) {
			end_msg(q, ERR_PROTOCOL,
				"what answers there does not speak QMP "
				"(a human monitor? it needs mode=control)");
			break;
		}
		on_message(q, msg);
		json_decref(msg);
	}
	if (!q->freed)
		flush(q);
	leave(q);
}

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
	end(q, &e);
	leave(q);
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
		event_drop(&q->timer);
		reap(q);
		return NULL;
	}
	return q;
}

/* Takes the connected socket fd (owned by q from now on). */
static int use_fd(struct qmp *q, int fd)
{
	q->fd = fd;
	q->state = STATE_GREETING;
	fd_peer(fd, &q->peer_uid, &q->peer_pid);
	q->readable = event_new(q->base, fd, EV_READ | EV_PERSIST, on_readable, q);
	q->writable = event_new(q->base, fd, EV_WRITE, on_writable, q);
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
	end(q, &e);
	leave(q);
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

void qmp_free(struct qmp *q)
{
	if (!q || q->freed)
		return;
	q->freed = true;
	q->state = STATE_ENDED;
	stop_io(q);
	drop_held(q);
	if (q->depth == 0)
		reap(q);
}

pid_t qmp_peer_pid(const struct qmp *q)
{
	return q->peer_pid;
}

uid_t qmp_peer_uid(const struct qmp *q)
{
	return q->peer_uid;
}

void qmp_i_hold(struct qmp *q, struct qmp_held *h)
{
	LIST_INSERT_HEAD(&q->held, h, link);
}
