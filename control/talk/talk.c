/* Cookies over a control stream: see talk.h. Owned by the job. Refuses lines that are
 * too long before it keeps them. */
#include "control/talk/talk.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"

struct talk {
	struct stream *stream;
	const struct talk_ops *ops;
	void *ctx;
	enum cookie_side from; /* the side whose cookies come in */
	char *line;
	size_t len, cap;
	struct bytes out;
	unsigned busy;
	int over, free_due;
};

static void end(struct talk *t, const struct err *why)
{
	if (t->over)
		return;
	t->over = 1;
	stream_reset(t->stream, CODE_CANCELLED, err_is_set(why) ? why->text : "the talk is over");
	t->ops->on_end(t->ctx, t, why);
}

static ssize_t on_pull(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	struct talk *t = ctx;
	const uint8_t *data;
	size_t n = bytes_front(&t->out, &data);

	(void)s;
	if (!n)
		return STREAM_PULL_AGAIN;
	if (n > max)
		n = max;
	memcpy(dst, data, n);
	explicit_bzero((uint8_t *)data, n); /* BEGIN may hold secrets */
	bytes_consume(&t->out, n);
	return (ssize_t)n;
}

static void take_line(struct talk *t)
{
	struct err e = ERR_INIT;
	enum cookie_kind kind;
	json_t *msg;

	if (cookie_read(t->line, t->len, t->from, &kind, &msg, &e) < 0) {
		end(t, &e);
		return;
	}
	t->ops->on_cookie(t->ctx, t, kind, msg);
	json_decref(msg);
}

/* Appends to the line at hand; ERR_LIMIT when it grows too long. */
static int gather(struct talk *t, const uint8_t *data, size_t len, struct err *e)
{
	if (t->len + len > COOKIE_MAX)
		return err_set(e, ERR_LIMIT, "the peer's message is longer than %d bytes",
			       COOKIE_MAX);
	if (t->len + len + 1 > t->cap) {
		size_t cap = (t->len + len + 1) * 2;
		char *line;

		if (stream_hold(t->stream, cap) < 0)
			return err_set(e, ERR_LIMIT,
				       "the peer's sessions hold as much memory as they may");
		line = realloc(t->line, cap);
		if (!line)
			return err_set(e, ERR_SPACE, "no memory for the peer's message");
		t->line = line;
		t->cap = cap;
	}
	memcpy(t->line + t->len, data, len);
	t->len += len;
	return 0;
}

static void leave(struct talk *t)
{
	if (--t->busy == 0 && t->free_due)
		talk_free(t);
}

static size_t on_push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	struct talk *t = ctx;
	struct err e = ERR_INIT;
	size_t left = len;

	(void)s;
	t->busy++;
	while (left && !t->over && !t->free_due) {
		const uint8_t *nl = memchr(data, '\n', left);
		size_t n = nl ? (size_t)(nl - data) : left;

		if (gather(t, data, n, &e) < 0) {
			end(t, &e);
			break;
		}
		data += n;
		left -= n;
		if (!nl)
			continue;
		data++;
		left--;
		take_line(t);
		explicit_bzero(t->line, t->len);
		t->len = 0;
	}
	leave(t);
	return len;
}

static void on_eof(void *ctx, struct stream *s)
{
	struct talk *t = ctx;
	struct err e = ERR_INIT;

	(void)s;
	err_set(&e, ERR_CLOSED, "the other side ended the talk");
	t->busy++;
	end(t, &e);
	leave(t);
}

static void on_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	struct talk *t = ctx;
	struct err e = ERR_INIT;

	(void)s;
	err_set(&e, code_to_err(code), "%s", *reason ? reason : code_name(code));
	t->busy++;
	end(t, &e);
	leave(t);
}

static const struct stream_ops stream_ops = {on_pull, on_push, on_eof, on_reset};

static struct talk *talk_new(const struct talk_ops *ops, void *ctx, enum cookie_side from)
{
	struct talk *t = calloc(1, sizeof(*t));

	if (t) {
		t->ops = ops;
		t->ctx = ctx;
		t->from = from;
	}
	return t;
}

struct talk *talk_open(struct session *s, const struct talk_ops *ops, void *ctx, struct err *e)
{
	struct talk *t = talk_new(ops, ctx, COOKIE_DESTINATION);

	if (!t) {
		err_set(e, ERR_SPACE, "no memory for a job");
		return NULL;
	}
	t->stream = session_open(s, STREAM_CONTROL, "migrate", &stream_ops, t, e);
	if (t->stream)
		return t;
	free(t);
	return NULL;
}

struct talk *talk_accept(struct stream *stream, const struct talk_ops *ops, void *ctx)
{
	struct talk *t = talk_new(ops, ctx, COOKIE_SOURCE);

	if (!t) {
		stream_refuse(stream, CODE_INTERNAL, "no memory for a job");
		return NULL;
	}
	t->stream = stream;
	stream_accept(stream, &stream_ops, t);
	return t;
}

int talk_send(struct talk *t, json_t *msg, struct err *e)
{
	enum cookie_side self = t->from == COOKIE_SOURCE ? COOKIE_DESTINATION : COOKIE_SOURCE;
	enum cookie_kind kind;
	char *text = NULL;
	int r = 0;

	if (!msg || cookie_check(msg, self, &kind, e) < 0) {
		log_error(NULL, "a message of our own is not valid: %s", e ? e->text : "?");
		r = err_set(e, ERR_INTERNAL, "a message of our own is not valid: report this bug");
		goto out;
	}
	text = json_dumps(msg, JSON_COMPACT);
	if (!text || strlen(text) > COOKIE_MAX) {
		r = err_set(e, ERR_LIMIT, "the VM's description is longer than %d bytes",
			    COOKIE_MAX);
		goto out;
	}
	if (t->over) {
		r = err_set(e, ERR_CLOSED, "the talk is over");
		goto out;
	}
	if (bytes_append(&t->out, (uint8_t *)text, strlen(text)) < 0 ||
	    bytes_append(&t->out, (const uint8_t *)"\n", 1) < 0)
		r = err_set(e, ERR_SPACE, "no memory for a message");
	else
		stream_ready(t->stream);
out:
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	json_decref(msg);
	return r;
}

int talk_flushed(const struct talk *t)
{
	return t->out.len == 0 && stream_flushed(t->stream);
}

void talk_end(struct talk *t, const char *reason)
{
	if (t && !t->over)
		stream_reset(t->stream, CODE_ENDPOINT, reason);
}

void talk_free(struct talk *t)
{
	if (!t)
		return;
	t->over = 1;
	if (t->busy) {
		t->free_due = 1;
		return;
	}
	stream_free(t->stream);
	bytes_fini(&t->out);
	free(t->line);
	free(t);
}
