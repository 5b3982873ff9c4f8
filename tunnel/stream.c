/*
 * A stream: its two halves, its user's calls, its end. See stream.h for the
 * contract. Owned by its mux and its user together (mux_i.h); a stream that both
 * are done with waits for mux_reap, so that nothing is freed under a callback.
 */
#include "tunnel/mux_i.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static const char *const out_names[] = {"open", "ended"};
static const char *const in_names[] = {"open", "ending", "ended"};

const char *stream_class_name(enum stream_class c)
{
	static const char *const names[] = {"control", "ram", "disk", "other"};

	return (unsigned)c < STREAM_CLASSES ? names[c] : "unknown";
}

static size_t cost(const struct stream *s)
{
	return sizeof(*s) + strlen(s->target) + 1;
}

struct stream *stream_new(struct mux *m, uint32_t id, enum stream_class class, const char *target)
{
	size_t size = strlen(target) + 1;
	struct stream *s = calloc(1, sizeof(*s) + size);

	if (!s)
		return NULL;
	s->target = memcpy(s + 1, target, size);
	s->mux = m;
	s->id = id;
	s->class = class;
	s->tx_limit = m->peer.window_bytes;
	LIST_INSERT_HEAD(mux_bucket(m, id), s, bucket);
	m->streams++;
	mux_charge(m, (int64_t)cost(s));
	return s;
}

void stream_destroy(struct stream *s)
{
	bytes_fini(&s->rxq);
	free(s);
}

void stream_set_out(struct stream *s, enum stream_out out)
{
	if (out <= s->out) {
		log_error(NULL, "stream %u: no way from out %s to %s", s->id, out_names[s->out],
			  out_names[out]);
		return;
	}
	log_debug(NULL, "stream %u: out %s -> %s", s->id, out_names[s->out], out_names[out]);
	s->out = out;
}

void stream_set_in(struct stream *s, enum stream_in in)
{
	if (in <= s->in) {
		log_error(NULL, "stream %u: no way from in %s to %s", s->id, in_names[s->in],
			  in_names[in]);
		return;
	}
	log_debug(NULL, "stream %u: in %s -> %s", s->id, in_names[s->in], in_names[in]);
	s->in = in;
}

/* Forgets what waits in s, both ways. */
static void drop_queues(struct stream *s)
{
	struct mux *m = s->mux;

	m->queued_bytes -= s->rxq.len;
	bytes_fini(&s->rxq);
	window_close(s);
	sched_remove(m, s);
	s->ready = 0;
}

/* Whether it has ended, and only the peer's ACK is missing. */
static void count_ended(struct stream *s, int ended)
{
	if (ended == s->ended)
		return;
	s->ended = ended;
	s->mux->ended += ended ? 1U : -1U;
}

/* Takes s out of its mux, for good. */
void stream_detach(struct stream *s, const char *reason)
{
	struct mux *m = s->mux;
	int orderly = s->out == STREAM_OUT_ENDED && s->in == STREAM_IN_ENDED;

	drop_queues(s);
	count_ended(s, 0);
	if (s->reap_due)
		TAILQ_REMOVE(&m->reap, s, reap);
	s->reap_due = 0;
	LIST_REMOVE(s, bucket);
	m->streams--;
	mux_charge(m, -(int64_t)(cost(s) + s->held));
	s->held = 0;
	s->mux = NULL;
	if (!s->dead && !orderly && s->ops && !s->user_gone) {
		s->dead = 1;
		s->calling++;
		if (s->ops->on_reset)
			s->ops->on_reset(s->ctx, s, CODE_SESSION, reason);
		s->calling--;
	}
	s->dead = 1;
	if (s->user_gone && !s->calling)
		stream_destroy(s);
}

void stream_check_done(struct stream *s)
{
	struct mux *m = s->mux;
	int ended = s->dead || (s->out == STREAM_OUT_ENDED && s->in == STREAM_IN_ENDED);

	if (!m || s->reap_due || !s->user_gone || !ended)
		return;
	count_ended(s, s->unacked > 0);
	if (s->calling || s->unacked)
		return;
	s->reap_due = 1;
	TAILQ_INSERT_TAIL(&m->reap, s, reap);
}

void stream_accept(struct stream *s, const struct stream_ops *ops, void *ctx)
{
	s->ops = ops;
	s->ctx = ctx;
	if (!s->mux || s->dead)
		return;
	s->mux->done++;
	window_accepted(s);
}

void stream_set_user(struct stream *s, const struct stream_ops *ops, void *ctx)
{
	s->ops = ops;
	s->ctx = ctx;
}

void stream_refuse(struct stream *s, enum code code, const char *reason)
{
	stream_reset(s, code, reason);
	stream_free(s);
}

void stream_ready(struct stream *s)
{
	if (!s->mux || s->dead || s->out != STREAM_OUT_OPEN)
		return;
	s->ready = 1;
	if (s->place == SCHED_NOWHERE && s->tx_sent < s->tx_limit && !s->calling) {
		sched_add(s->mux, s);
		mux_wake(s->mux);
	}
}

/* Hands queued bytes to the user for as long as it takes them. */
static void push_queued(struct stream *s)
{
	const uint8_t *data;
	size_t len;

	while (!s->dead && (len = bytes_front(&s->rxq, &data)) > 0) {
		size_t n;

		n = s->ops->push(s->ctx, s, data, len);
		if (!s->mux || s->dead)
			return;
		bytes_consume(&s->rxq, n);
		s->mux->queued_bytes -= n;
		window_consumed(s, n);
		if (n < len)
			return;
	}
}

/* Tells the user of the end once nothing is left before it. */
static void maybe_eof(struct stream *s)
{
	if (!s->mux || s->dead || s->in != STREAM_IN_ENDING || s->rxq.len)
		return;
	stream_set_in(s, STREAM_IN_ENDED);
	window_close(s);
	if (s->ops->on_eof)
		s->ops->on_eof(s->ctx, s);
}

void stream_enter(struct stream *s)
{
	s->calling++;
}

void stream_leave(struct stream *s)
{
	if (--s->calling)
		return;
	if (!s->mux) {
		if (s->user_gone)
			stream_destroy(s);
		return;
	}
	if (s->ready)
		stream_ready(s);
	stream_check_done(s);
}

void stream_drain(struct stream *s)
{
	if (!s->mux || s->dead || s->calling)
		return;
	stream_enter(s);
	push_queued(s);
	maybe_eof(s);
	stream_leave(s);
}

void stream_deliver(struct stream *s, const uint8_t *data, size_t len)
{
	struct mux *m = s->mux;
	size_t n = 0;

	s->rx_received += len;
	m->received_bytes += len;
	if (s->dead)
		return;
	m->done++;
	if (!s->rxq.len) {
		stream_enter(s);
		n = s->ops->push(s->ctx, s, data, len);
		if (s->mux && !s->dead) {
			if (n > len)
				n = len;
			window_consumed(s, n);
			if (n < len) {
				if (bytes_append(&s->rxq, data + n, len - n) < 0)
					m->oom = 1;
				else
					m->queued_bytes += len - n;
			}
		}
		stream_leave(s);
		return;
	}
	if (bytes_append(&s->rxq, data, len) < 0)
		m->oom = 1;
	else
		m->queued_bytes += len;
}

void stream_deliver_eof(struct stream *s)
{
	if (s->dead)
		return;
	s->mux->done++;
	stream_set_in(s, STREAM_IN_ENDING);
	stream_enter(s);
	maybe_eof(s);
	stream_leave(s);
}

void stream_deliver_reset(struct stream *s, enum code code, const char *reason)
{
	if (s->dead)
		return;
	s->mux->done++;
	drop_queues(s);
	s->dead = 1;
	stream_enter(s);
	if (s->ops && s->ops->on_reset && !s->user_gone)
		s->ops->on_reset(s->ctx, s, code, reason);
	stream_leave(s);
}

size_t stream_pending(const struct stream *s)
{
	return s->rxq.len;
}

void stream_reset(struct stream *s, enum code code, const char *reason)
{
	uint8_t payload[FRAME_SMALL_MAX];

	if (!s->mux || s->dead)
		return;
	drop_queues(s);
	s->dead = 1;
	if (s->out != STREAM_OUT_ENDED || s->in != STREAM_IN_ENDED)
		mux_queue(s->mux, s, FRAME_RESET, payload,
			  frame_pack_reason(payload, code, reason));
	stream_check_done(s);
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	if (s->mux && !s->dead && !(s->out == STREAM_OUT_ENDED && s->in == STREAM_IN_ENDED))
		stream_reset(s, CODE_CANCELLED, "given up by its user");
	s->user_gone = 1;
	s->rate = NULL;
	if (s->mux)
		stream_check_done(s);
	else if (!s->calling)
		stream_destroy(s);
}

int stream_hold(struct stream *s, size_t bytes)
{
	if (!s->mux)
		return 0;
	if (bytes > s->held && account_room(s->mux->account) < bytes - s->held)
		return -1;
	mux_charge(s->mux, (int64_t)bytes - (int64_t)s->held);
	s->held = bytes;
	return 0;
}

void stream_set_rate(struct stream *s, struct rate *r)
{
	if (s)
		s->rate = r;
}

int stream_flushed(const struct stream *s)
{
	return s->unacked == 0;
}

void stream_stats(const struct stream *s, struct stream_stats *out)
{
	*out = (struct stream_stats){.sent_bytes = s->tx_sent,
				     .received_bytes = s->rx_received,
				     .acked_bytes = s->tx_acked,
				     .window_bytes = s->window};
}

uint32_t stream_id(const struct stream *s)
{
	return s->id;
}

enum stream_class stream_class(const struct stream *s)
{
	return s->class;
}

const char *stream_target(const struct stream *s)
{
	return s->target;
}
