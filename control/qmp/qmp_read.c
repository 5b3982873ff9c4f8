/* What comes from QEMU: see qmp.h. The greeting and what answers it, events, and an answer to each
 * command that was written. */
#include "control/qmp/qmp.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/qmp/qmp_i.h"

static void on_negotiated(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	(void)ctx;
	(void)result;
	if (err_is_set(e)) {
		if (q->state != QMP_STATE_ENDED)
			qmp_i_end(q, e);
		return;
	}
	q->state = QMP_STATE_READY;
	qmp_i_event_drop(&q->timer);
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
	struct qmp_command *c;

	/* QEMU may still owe the client before us an answer or an event, where that one was
	 * killed, and hands it to whoever comes next. */
	if (json_object_get(msg, "event") || json_object_get(msg, "return") ||
	    json_object_get(msg, "error"))
		return;
	if (!json_is_object(json_object_get(msg, "QMP"))) {
		qmp_i_end_msg(q, ERR_PROTOCOL,
			      "what answers there is not QEMU's QMP "
			      "(a human monitor? it needs mode=control)");
		return;
	}
	q->state = QMP_STATE_NEGOTIATING;
	q->has_oob = q->want_oob && offers_oob(msg);
	c = qmp_i_command_make(q, "qmp_capabilities",
			       q->has_oob ? json_pack("{s:[s]}", "enable", "oob") : NULL, -1,
			       QMP_IN_BAND, on_negotiated, NULL);
	if (!c) {
		qmp_i_end_msg(q, ERR_SYSTEM, "no memory");
		return;
	}
	TAILQ_INSERT_HEAD(&q->queued, c, link);
	qmp_i_flush(q);
}

static void on_answer(struct qmp *q, const json_t *msg, json_int_t id)
{
	const json_t *error = json_object_get(msg, "error");
	struct err e = ERR_INIT;
	struct qmp_command *c;

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
	qmp_i_command_free(c);
}

static void on_message(struct qmp *q, const json_t *msg)
{
	const char *event = json_string_value(json_object_get(msg, "event"));
	const json_t *id = json_object_get(msg, "id");

	if (q->state == QMP_STATE_GREETING) {
		on_greeting(q, msg);
		return;
	}
	if (event) {
		log_debug(NULL, "QMP: event %s", event);
		if (q->ops->on_event && q->state == QMP_STATE_READY)
			q->ops->on_event(q->ctx, q, event, json_object_get(msg, "data"));
		return;
	}
	/* (A real, where another number of the message is too large: qmp_scan.c.) */
	if (json_is_number(id)) {
		on_answer(q, msg, (json_int_t)json_number_value(id));
		return;
	}
	if (json_object_get(msg, "error")) {
		const char *desc =
		    json_string_value(json_object_get(json_object_get(msg, "error"), "desc"));

		log_warn(NULL, "QMP socket %s: %s", q->path,
			 desc ? desc : "an error without a reason");
	}
}

void qmp_i_on_readable(evutil_socket_t fd, short what, void *arg)
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
		qmp_i_end_msg(q, ERR_CLOSED,
			      q->state == QMP_STATE_READY
				  ? "QEMU has closed it (the process ended, or its monitor)"
				  : "closed before the greeting (QEMU ended?)");
	} else if (qmp_scan_append(&q->in, buf, (size_t)n) < 0) {
		qmp_i_end_msg(q, ERR_LIMIT, "a message of more than 64 MiB");
	}
	while (!q->freed && q->state != QMP_STATE_ENDED) {
		json_t *msg;
		int got = qmp_scan_next(&q->in, &msg);

		if (got == 0)
			break;
		if (got < 0) {
			qmp_i_end_msg(q, ERR_PROTOCOL,
				      "what answers there does not speak QMP "
				      "(a human monitor? it needs mode=control)");
			break;
		}
		on_message(q, msg);
		json_decref(msg);
	}
	if (!q->freed)
		qmp_i_flush(q);
	qmp_i_leave(q);
}
