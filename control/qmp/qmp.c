/*
 * The QMP client: see qmp.h. It knows the protocol's frame (greeting,
 * qmp_capabilities, commands with ids, events) and nothing of what the commands
 * mean. It refuses to guess: what is not a greeting ends the connection.
 *
 * Here is how a connection ends, and what it owns. Commands go out in qmp_send.c,
 * what comes in is read in qmp_read.c, and qmp_connect.c makes a connection;
 * each calls those before it. Everything belongs to the struct qmp; while a
 * callback runs, depth is above 0 and qmp_free only marks the object, which is
 * reaped when the outermost callback returns.
 */
#include "control/qmp/qmp.h"

#include <event2/event.h>
#include <stdlib.h>

#include "base/fd.h"
#include "control/qmp/qmp_i.h"

void qmp_i_command_free(struct qmp_command *c)
{
	fd_close(&c->fd);
	free(c->text);
	free(c);
}

static void list_clear(struct qmp_command_list *l)
{
	struct qmp_command *c;

	while ((c = TAILQ_FIRST(l))) {
		TAILQ_REMOVE(l, c, link);
		qmp_i_command_free(c);
	}
}

void qmp_i_reap(struct qmp *q)
{
	list_clear(&q->queued);
	list_clear(&q->written);
	qmp_scan_fini(&q->in);
	free(q->path);
	free(q);
}

void qmp_i_leave(struct qmp *q)
{
	if (--q->depth == 0 && q->freed)
		qmp_i_reap(q);
}

void qmp_i_event_drop(struct event **ev)
{
	if (*ev)
		event_free(*ev);
	*ev = NULL;
}

static void stop_io(struct qmp *q)
{
	qmp_i_event_drop(&q->readable);
	qmp_i_event_drop(&q->writable);
	qmp_i_event_drop(&q->timer);
	qmp_i_event_drop(&q->retry);
	fd_close(&q->fd);
}

/* Ends the connection with *why: all that wait first, then the owner. */
void qmp_i_end(struct qmp *q, const struct err *why)
{
	struct qmp_command *c;

	if (q->state == QMP_STATE_ENDED)
		return;
	q->state = QMP_STATE_ENDED;
	stop_io(q);
	q->depth++;
	TAILQ_CONCAT(&q->written, &q->queued, link);
	q->inflight = q->fds_inflight = 0;
	while ((c = TAILQ_FIRST(&q->written))) {
		TAILQ_REMOVE(&q->written, c, link);
		if (c->fn && !q->freed)
			c->fn(c->ctx, q, NULL, why);
		qmp_i_command_free(c);
	}
	if (!q->freed)
		q->ops->on_end(q->ctx, q, why);
	qmp_i_leave(q);
}

void qmp_i_end_msg(struct qmp *q, enum err_code code, const char *text)
{
	struct err e = ERR_INIT;

	err_set(&e, code, "QMP socket %s: %s", q->path, text);
	qmp_i_end(q, &e);
}

void qmp_set_owner(struct qmp *q, const struct qmp_ops *ops, void *ctx)
{
	q->ops = ops;
	q->ctx = ctx;
}

void qmp_i_drop_held(struct qmp *q)
{
	struct qmp_held *h;

	while ((h = LIST_FIRST(&q->held)))
		h->drop(h);
}

void qmp_free(struct qmp *q)
{
	if (!q || q->freed)
		return;
	q->freed = true;
	q->state = QMP_STATE_ENDED;
	stop_io(q);
	qmp_i_drop_held(q);
	if (q->depth == 0)
		qmp_i_reap(q);
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
