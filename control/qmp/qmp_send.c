/*
 * What goes to QEMU: see qmp.h.
 *
 * Life of a command: queued -> written -> answered. At most QMP_INFLIGHT are
 * written and unanswered (QEMU's own queue holds eight, and stops reading when
 * it is full). A command with a descriptor is written alone.
 */
#include "control/qmp/qmp.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/qmp/qmp_i.h"

enum { QMP_INFLIGHT = 6 };

/* Writes as much of the queue as may go; ends the connection on an error. */
void qmp_i_flush(struct qmp *q)
{
	struct qmp_command *c;

	if (q->state != QMP_STATE_READY && q->state != QMP_STATE_NEGOTIATING)
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
		if (q->state == QMP_STATE_NEGOTIATING && q->inflight > 0)
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
			qmp_i_end(q, &e);
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

void qmp_i_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct qmp *q = arg;

	(void)fd;
	(void)what;
	q->depth++;
	qmp_i_flush(q);
	qmp_i_leave(q);
}

/* Makes a command; args stolen, fd owned. NULL when memory is short. */
struct qmp_command *qmp_i_command_make(struct qmp *q, const char *name, json_t *args, int fd,
				       enum qmp_how how, qmp_reply *fn, void *ctx)
{
	struct qmp_command *c = calloc(1, sizeof(*c));
	json_t *msg = json_object();
	char *text;

	if (c)
		c->fd = fd;
	if (!c || !msg)
		goto fail;
	c->had_fd = fd >= 0;
	c->oob = how == QMP_OUT_OF_BAND;
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
		qmp_i_command_free(c);
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
	qmp_i_event_drop(&q->retry);
	for (struct qmp_command *c; !q->freed && (c = TAILQ_FIRST(&q->queued));) {
		TAILQ_REMOVE(&q->queued, c, link);
		if (c->fn)
			c->fn(c->ctx, q, NULL, &e);
		qmp_i_command_free(c);
	}
	qmp_i_leave(q);
}

/* The place for one out of band: before all that have not begun to go out. */
static void queue_first(struct qmp *q, struct qmp_command *c)
{
	struct qmp_command *at = TAILQ_FIRST(&q->queued);

	while (at && (at->off > 0 || at->oob))
		at = TAILQ_NEXT(at, link);
	if (at)
		TAILQ_INSERT_BEFORE(at, c, link);
	else
		TAILQ_INSERT_TAIL(&q->queued, c, link);
}

static void send_command(struct qmp *q, const char *name, json_t *args, int fd, enum qmp_how how,
			 qmp_reply *fn, void *ctx)
{
	struct qmp_command *c = qmp_i_command_make(q, name, args, fd, how, fn, ctx);

	if (!c) {
		log_error(NULL, "QMP socket %s: no memory for %s", q->path, name);
		return;
	}
	if (c->oob)
		queue_first(q, c);
	else
		TAILQ_INSERT_TAIL(&q->queued, c, link);
	if (q->state == QMP_STATE_ENDED) {
		if (!q->retry) {
			struct timeval now = {0, 0};

			q->retry = evtimer_new(q->base, on_deferred_end, q);
			if (q->retry)
				event_add(q->retry, &now);
		}
		return;
	}
	if (q->state == QMP_STATE_READY && q->writable)
		event_add(q->writable, NULL); /* from the loop: never calls back within the call */
}

void qmp_command(struct qmp *q, const char *name, json_t *args, qmp_reply *fn, void *ctx)
{
	send_command(q, name, args, -1, QMP_IN_BAND, fn, ctx);
}

void qmp_want_oob(struct qmp *q)
{
	q->want_oob = true;
}

void qmp_command_oob(struct qmp *q, const char *name, json_t *args, qmp_reply *fn, void *ctx)
{
	send_command(q, name, args, -1, q->has_oob ? QMP_OUT_OF_BAND : QMP_IN_BAND, fn, ctx);
}

void qmp_getfd(struct qmp *q, const char *name, int fd, qmp_reply *fn, void *ctx)
{
	send_command(q, "getfd", json_pack("{s:s}", "fdname", name), fd, QMP_IN_BAND, fn, ctx);
}

void qmp_forget(struct qmp *q)
{
	struct qmp_command *c, *next;

	for (c = TAILQ_FIRST(&q->queued); c; c = next) {
		next = TAILQ_NEXT(c, link);
		c->fn = NULL;
		if (c->off == 0) {
			TAILQ_REMOVE(&q->queued, c, link);
			qmp_i_command_free(c);
		}
	}
	TAILQ_FOREACH(c, &q->written, link)
	c->fn = NULL;
	qmp_i_drop_held(q);
}
