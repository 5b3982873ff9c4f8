/*
 * The mux of one lane: see mux.h for its face, mux_i.h for its rooms.
 *
 * How it works. Out: mux_next gives one frame at a time, chosen at the moment
 * when the transport can take it: first what the session itself has to say
 * (HELLO, CLOSE, PONG, PING, ACK), then control frames of streams in the order
 * in which they arose (so that OPENs keep their order, R3), then credit, then
 * DATA of the stream whose turn it is. Nothing is read from an endpoint before
 * its turn, so what has priority never waits behind a queue of ours.
 *
 * Numbered frames are kept until acknowledged. DATA is not pulled while the
 * frames that are kept cost more than the session's memory budget; a peer that
 * makes us queue numbered control frames without acknowledging any is cut off.
 *
 * It refuses to do I/O, to read a clock, or to know an event loop. Owned by a
 * link (or a test), called from one thread.
 */
#include "tunnel/mux_i.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/keyed.h"
#include "base/wire.h"

struct mux *mux_new(const struct mux_config *config, const struct mux_ops *ops, void *ctx,
		    uint64_t now_us)
{
	struct mux *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->config = *config;
	m->ops = ops;
	m->ctx = ctx;
	m->next_id = config->server ? 2 : 1;
	m->window_initial = window_initial(&config->session);
	m->now_us = m->heard_us = m->pinged_us = now_us;
	for (unsigned i = 0; i < MUX_BUCKETS; i++)
		LIST_INIT(&m->table[i]);
	TAILQ_INIT(&m->reap);
	TAILQ_INIT(&m->ctl);
	TAILQ_INIT(&m->retained);
	TAILQ_INIT(&m->credits[0]);
	TAILQ_INIT(&m->credits[1]);
	framebuf_pool_init(&m->own_pool);
	m->pool = &m->own_pool;
	m->charged_bytes = MUX_COST;
	sched_init(m);
	return m;
}

static void list_free(struct mux *m, struct framebuf_list *list)
{
	struct framebuf *fb;

	while ((fb = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, fb, link);
		framebuf_put(m->pool, fb);
	}
}

void mux_free(struct mux *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < MUX_BUCKETS; i++) {
		struct stream *s;

		while ((s = LIST_FIRST(&m->table[i]))) {
			s->dead = 1; /* no callbacks any more */
			stream_detach(s, "");
		}
	}
	list_free(m, &m->ctl);
	list_free(m, &m->retained);
	framebuf_put(m->pool, m->close);
	framebuf_pool_fini(&m->own_pool);
	account_charge(m->account, -(int64_t)m->charged_bytes);
	free(m);
}

void mux_set_account(struct mux *m, struct account *p)
{
	m->account = p;
	account_charge(p, (int64_t)m->charged_bytes);
	framebuf_pool_fini(&m->own_pool);
	m->pool = accounts_frames(account_all(p));
}

struct stream_bucket *mux_bucket(struct mux *m, uint32_t id)
{
	return &m->table[keyed_hash(&id, sizeof(id)) % MUX_BUCKETS];
}

struct stream *mux_find(struct mux *m, uint32_t id)
{
	struct stream *s;

	LIST_FOREACH(s, mux_bucket(m, id), bucket)
	if (s->id == id)
		return s;
	return NULL;
}

void mux_wake(struct mux *m)
{
	if (m->woken)
		return;
	m->woken = 1;
	m->ops->on_wake(m->ctx);
}

int mux_fail(struct mux *m, enum code code, struct err *e)
{
	mux_close(m, code, e ? e->text : "");
	return e ? (int)e->code : (int)ERR_PROTOCOL;
}

void mux_close(struct mux *m, enum code code, const char *reason)
{
	if (m->close_queued)
		return;
	m->close_queued = 1;
	m->close = framebuf_small(FRAME_SMALL_MAX);
	if (m->close) {
		size_t len = frame_pack_reason(m->close->data + FRAME_HEADER_LEN, code, reason);
		struct frame_header h = {.len = (uint32_t)len, .type = FRAME_CLOSE};

		frame_pack_header(m->close->data, &h);
		m->close->len = FRAME_HEADER_LEN + h.len;
	}
	mux_wake(m);
}

int mux_closing(const struct mux *m)
{
	return m->close_queued;
}

int mux_closed(const struct mux *m)
{
	return m->close_sent;
}

struct stream *mux_open(struct mux *m, enum stream_class class, const char *target,
			const struct stream_ops *ops, void *ctx, struct err *e)
{
	uint8_t payload[FRAME_SMALL_MAX];
	struct stream *s;
	uint32_t max = m->config.session.streams_max;

	if (m->close_queued || !m->hello_seen) {
		err_set(e, ERR_CLOSED, "the session is not open");
		return NULL;
	}
	if (!*target || strlen(target) > STREAM_TARGET_MAX) {
		err_set(e, ERR_USAGE, "a target of %zu bytes: 1 to %d are allowed", strlen(target),
			STREAM_TARGET_MAX);
		return NULL;
	}
	if (m->peer.streams_max < max)
		max = m->peer.streams_max;
	if (m->streams >= max) {
		err_set(e, ERR_LIMIT, "%u streams are open in this session, the most allowed",
			m->streams);
		return NULL;
	}
	if (account_room(m->account) < m->window_initial) {
		err_set(e, ERR_LIMIT, MUX_NO_ROOM);
		return NULL;
	}
	if (m->next_id > UINT32_MAX - 2 || !(s = stream_new(m, m->next_id, class, target))) {
		err_set(e, ERR_LIMIT, "no memory or no number left for a stream");
		return NULL;
	}
	m->next_id += 2;
	s->ops = ops;
	s->ctx = ctx;
	window_open(s);
	mux_queue(m, s, FRAME_OPEN, payload, frame_pack_open(payload, class, target));
	window_accepted(s);
	return s;
}

void mux_queue(struct mux *m, struct stream *s, enum frame_type type, const uint8_t *payload,
	       size_t len)
{
	struct framebuf *fb = framebuf_small(len);

	if (!fb) {
		m->oom = 1;
		return;
	}
	fb->type = (uint8_t)type;
	fb->stream = s->id;
	fb->len = (uint32_t)(FRAME_HEADER_LEN + len);
	if (len)
		memcpy(fb->data + FRAME_HEADER_LEN, payload, len);
	s->unacked++;
	mux_charge(m, (int64_t)framebuf_cost(fb));
	TAILQ_INSERT_TAIL(&m->ctl, fb, link);
	mux_wake(m);
}

/* One ACK may cover as many frames as the budget holds: they go in pieces. */
void mux_release_some(struct mux *m)
{
	struct framebuf *fb;

	for (unsigned i = 0; i < MUX_RELEASE_FRAMES; i++) {
		struct stream *s;

		fb = TAILQ_FIRST(&m->retained);
		if (!fb || fb->seq >= m->tx_acked)
			break;
		s = mux_find(m, fb->stream);
		TAILQ_REMOVE(&m->retained, fb, link);
		m->retained_bytes -= framebuf_cost(fb);
		mux_charge(m, -(int64_t)framebuf_cost(fb));
		if (s) {
			s->unacked--;
			if (fb->type == FRAME_DATA) {
				s->tx_acked += fb->len - FRAME_HEADER_LEN;
				m->done++;
			}
			stream_check_done(s);
		}
		framebuf_put(m->pool, fb);
		m->release_wake = 1;
	}
	/* Whoever stopped for the budget may go on. */
	if (m->release_wake && !mux_owes(m)) {
		m->release_wake = 0;
		mux_wake(m);
	}
}

uint64_t mux_done(const struct mux *m)
{
	return m->done;
}

int mux_owes(const struct mux *m)
{
	const struct framebuf *fb = TAILQ_FIRST(&m->retained);

	return fb && fb->seq < m->tx_acked;
}

/* Packs a frame of the session, which is not kept. */
static int give_scratch(struct mux *m, enum frame_type type, uint32_t stream, size_t len,
			const uint8_t **data, size_t *out_len)
{
	struct frame_header h = {.len = (uint32_t)len, .type = (uint8_t)type, .stream = stream};

	frame_pack_header(m->scratch, &h);
	*data = m->scratch;
	*out_len = FRAME_HEADER_LEN + len;
	return 1;
}

/* Numbers a frame, keeps it, and gives it out. */
static int give_numbered(struct mux *m, struct framebuf *fb, const uint8_t **data, size_t *len)
{
	struct frame_header h = {.len = fb->len - FRAME_HEADER_LEN,
				 .type = fb->type,
				 .stream = fb->stream,
				 .seq = (uint32_t)m->tx_next};

	fb->seq = m->tx_next++;
	frame_pack_header(fb->data, &h);
	TAILQ_INSERT_TAIL(&m->retained, fb, link);
	m->retained_bytes += framebuf_cost(fb);
	*data = fb->data;
	*len = fb->len;
	return 1;
}

static int give_hello(struct mux *m, const uint8_t **data, size_t *len)
{
	struct frame_hello h = {.version_min = FRAME_VERSION,
				.version_max = FRAME_VERSION,
				.features = m->config.session.features,
				.required = m->config.required,
				.lanes = 1,
				.window_bytes = m->window_initial,
				.streams_max = m->config.session.streams_max,
				.dead_ms = m->config.session.dead_ms,
				.software = "adit " ADIT_VERSION};

	memcpy(h.session, m->config.session_id, sizeof(h.session));
	m->hello_sent = 1;
	return give_scratch(m, FRAME_HELLO, 0, frame_pack_hello(m->scratch + FRAME_HEADER_LEN, &h),
			    data, len);
}

/* What the session itself has to say, in order of urgency. */
static int give_session_frame(struct mux *m, const uint8_t **data, size_t *len)
{
	uint8_t *payload = m->scratch + FRAME_HEADER_LEN;

	if (!m->hello_sent)
		return give_hello(m, data, len);
	if (m->close_queued) {
		if (m->close_sent || !m->close)
			return 0;
		m->close_sent = 1;
		*data = m->close->data;
		*len = m->close->len;
		return 1;
	}
	if (m->pong_due) {
		m->pong_due = 0;
		return give_scratch(m, FRAME_PONG, 0, frame_pack_u64(payload, m->pong_value), data,
				    len);
	}
	if (m->ping_due) {
		m->ping_due = 0;
		return give_scratch(m, FRAME_PING, 0, frame_pack_u64(payload, m->now_us), data,
				    len);
	}
	if (m->ack_due) {
		m->ack_due = 0;
		m->ack_at_us = 0;
		m->ack_bytes = m->ack_frames = 0;
		return give_scratch(m, FRAME_ACK, 0, frame_pack_u64(payload, m->rx_next), data,
				    len);
	}
	return 0;
}

static int give_credit(struct mux *m, const uint8_t **data, size_t *len)
{
	struct stream *s = window_due(m);

	if (!s)
		return 0;
	TAILQ_REMOVE(window_list(s), s, credit);
	s->credit_due = 0;
	if (s->rx_limit < s->rx_consumed + s->window)
		s->rx_limit = s->rx_consumed + s->window;
	return give_scratch(m, FRAME_CREDIT, s->id,
			    frame_pack_u64(m->scratch + FRAME_HEADER_LEN, s->rx_limit), data, len);
}

/* A frame of a few bytes in a buffer of 64 KiB would keep all of it until it is
 * acknowledged: a small one moves to a buffer of its size. */
static struct framebuf *shrink(struct mux *m, struct framebuf *fb, size_t payload_len)
{
	struct framebuf *small;

	if (payload_len > FRAME_PAYLOAD_MAX / 4 || !(small = framebuf_small(payload_len)))
		return fb;
	memcpy(small->data + FRAME_HEADER_LEN, fb->data + FRAME_HEADER_LEN, payload_len);
	framebuf_put(m->pool, fb);
	return small;
}

/* Asks s for bytes: 1 a frame, 0 none (look for somebody else). */
static int pull_data(struct mux *m, struct stream *s, const uint8_t **data, size_t *len)
{
	uint64_t credit = s->tx_limit - s->tx_sent;
	size_t max = credit < FRAME_PAYLOAD_MAX ? (size_t)credit : FRAME_PAYLOAD_MAX;
	struct framebuf *fb;
	ssize_t n;

	if (s->rate)
		max = rate_chunk(s->rate, max);
	if (m->tx_rate && s->class != STREAM_CONTROL)
		max = rate_chunk(m->tx_rate, max);
	fb = framebuf_get(m->pool);
	if (!fb) {
		m->oom = 1;
		sched_remove(m, s);
		return 0;
	}
	s->ready = 0;
	stream_enter(s);
	n = s->ops->pull(s->ctx, s, fb->data + FRAME_HEADER_LEN, max);
	if (n > 0 && !s->dead) {
		fb = shrink(m, fb, (size_t)n);
		fb->type = FRAME_DATA;
		fb->stream = s->id;
		fb->len = (uint32_t)(FRAME_HEADER_LEN + (size_t)n);
		s->ready = 1;
		s->unacked++;
		s->tx_sent += (uint64_t)n;
		m->sent_bytes += (uint64_t)n;
		m->done++;
		if (s->rate)
			rate_spend(s->rate, (size_t)n);
		if (m->tx_rate && s->class != STREAM_CONTROL)
			rate_spend(m->tx_rate, (size_t)n);
		sched_served(m, s, (size_t)n, s->tx_sent < s->tx_limit);
		stream_leave(s);
		mux_charge(m, (int64_t)framebuf_cost(fb));
		return give_numbered(m, fb, data, len);
	}
	framebuf_put(m->pool, fb);
	if (n == STREAM_PULL_EOF && !s->dead) {
		sched_remove(m, s);
		s->ready = 0;
		stream_set_out(s, STREAM_OUT_ENDED);
		mux_queue(m, s, FRAME_EOF, NULL, 0);
	} else if (!s->ready && !s->dead) {
		sched_remove(m, s);
	}
	stream_leave(s);
	return 0;
}

/* Whether the peer has to acknowledge some of what is kept before there is more. */
static int keeps_enough(const struct mux *m)
{
	return m->retained_bytes >= m->config.session.memory_max_bytes ||
	       (m->retained_bytes >= MUX_RETAIN_LEAST && account_room(m->account) < FRAME_MAX);
}

int mux_next(struct mux *m, uint64_t now_us, const uint8_t **data, size_t *len)
{
	struct framebuf *fb;
	struct stream *s;

	m->now_us = now_us;
	if (give_session_frame(m, data, len))
		return 1;
	/* Streams may speak once the peer's HELLO has said how much it takes. */
	while (m->hello_seen && !m->close_queued) {
		fb = TAILQ_FIRST(&m->ctl);
		if (fb) {
			TAILQ_REMOVE(&m->ctl, fb, link);
			return give_numbered(m, fb, data, len);
		}
		if (give_credit(m, data, len))
			return 1;
		if (keeps_enough(m))
			break;
		s = sched_pick(m);
		if (!s)
			break;
		if (sched_wait_us(m, s))
			sched_throttle(m, s);
		else if (pull_data(m, s, data, len))
			return 1;
		/* A callback may have ended the session, or queued a frame of control. */
	}
	if (m->close_queued && !m->close_sent)
		return give_session_frame(m, data, len);
	m->woken = 0;
	return 0;
}

uint32_t mux_peer_features(const struct mux *m)
{
	return m->peer.features;
}

int mux_silent(const struct mux *m, uint64_t now_us)
{
	return now_us >= m->heard_us + (uint64_t)m->config.session.keepalive_ms * 1000;
}

int mux_tick(struct mux *m, uint64_t now_us, struct err *e)
{
	const struct session_config *c = &m->config.session;
	uint64_t moved = m->sent_bytes + m->received_bytes;

	/* A caller's clock that was read before the last input is no silence. */
	if (now_us < m->heard_us)
		now_us = m->heard_us;
	m->now_us = now_us;
	if (m->oom) {
		err_set(e, ERR_SPACE, "no memory left for the session's frames");
		return mux_fail(m, CODE_INTERNAL, e);
	}
	if (m->retained_bytes > c->memory_max_bytes + MUX_RETAIN_SLACK && !mux_owes(m)) {
		err_set(e, ERR_LIMIT, "the peer does not acknowledge what it is sent");
		return mux_fail(m, CODE_LIMIT, e);
	}
	if (!m->hello_seen)
		return 0;
	if (now_us - m->heard_us >= (uint64_t)c->dead_ms * 1000) {
		err_set(
		    e, ERR_TIMEOUT,
		    "nothing was heard from the peer for %u seconds: is the network up, and the "
		    "peer running?",
		    c->dead_ms / 1000);
		return mux_fail(m, CODE_TIMEOUT, e);
	}
	if ((now_us - m->heard_us >= (uint64_t)c->keepalive_ms * 1000 &&
	     now_us - m->pinged_us >= (uint64_t)c->keepalive_ms * 1000) ||
	    (moved != m->moved_at_ping && now_us - m->pinged_us >= MUX_RTT_EVERY_US)) {
		m->ping_due = 1;
		m->pinged_us = now_us;
		m->moved_at_ping = moved;
		mux_wake(m);
	}
	if (m->ack_at_us && now_us >= m->ack_at_us) {
		m->ack_due = 1;
		m->ack_at_us = 0;
		mux_wake(m);
	}
	sched_unthrottle(m);
	if (m->rx_rate && window_due(m))
		mux_wake(m);
	return 0;
}

static void earlier(uint64_t *at, uint64_t candidate)
{
	if (candidate < *at)
		*at = candidate;
}

uint64_t mux_timeout_us(const struct mux *m, uint64_t now_us)
{
	const struct session_config *c = &m->config.session;
	uint64_t keep = (uint64_t)c->keepalive_ms * 1000;
	uint64_t at = m->heard_us + (uint64_t)c->dead_ms * 1000;
	uint64_t ping = (m->heard_us > m->pinged_us ? m->heard_us : m->pinged_us) + keep;

	if (m->oom || !m->hello_seen)
		return m->oom ? 0 : keep;
	earlier(&at, ping);
	if (m->sent_bytes + m->received_bytes != m->moved_at_ping)
		earlier(&at, m->pinged_us + MUX_RTT_EVERY_US);
	if (m->ack_at_us)
		earlier(&at, m->ack_at_us);
	if (!TAILQ_EMPTY(&m->throttled))
		earlier(&at, now_us + sched_timeout_us(m));
	if (window_timeout_us(m) != UINT64_MAX)
		earlier(&at, now_us + window_timeout_us(m));
	return at > now_us ? at - now_us : 0;
}

void mux_set_rtt(struct mux *m, uint64_t rtt_us)
{
	m->path_rtt_us = rtt_us;
}

void mux_set_rates(struct mux *m, struct rate *tx, struct rate *rx)
{
	m->tx_rate = tx;
	m->rx_rate = rx;
}

uint32_t mux_detach_some(struct mux *m, const char *reason, unsigned max)
{
	m->close_queued = 1; /* no new ones meanwhile */
	for (unsigned i = 0; i < MUX_BUCKETS && max; i++) {
		struct stream *s;

		while (max && (s = LIST_FIRST(&m->table[i]))) {
			stream_detach(s, reason);
			max--;
		}
	}
	return m->streams;
}

void mux_detach_streams(struct mux *m, const char *reason)
{
	mux_detach_some(m, reason, UINT_MAX);
}

void mux_reap(struct mux *m)
{
	struct stream *s;

	while ((s = TAILQ_FIRST(&m->reap))) {
		TAILQ_REMOVE(&m->reap, s, reap);
		s->reap_due = 0;
		if (s->calling)
			continue; /* its caller looks at it again */
		s->dead = 1;
		stream_detach(s, "");
	}
}

void mux_stats(const struct mux *m, struct session_stats *out)
{
	*out = (struct session_stats){.sent_bytes = m->sent_bytes,
				      .received_bytes = m->received_bytes,
				      .rtt_us = m->rtt_us ? m->rtt_us : m->path_rtt_us,
				      .rtt_min_us = m->rtt_min_us,
				      .granted_bytes = m->granted_bytes,
				      .queued_bytes = m->queued_bytes,
				      .retained_bytes = m->retained_bytes,
				      .held_bytes = m->charged_bytes,
				      .streams = m->streams};
}

const struct frame_hello *mux_peer_hello(const struct mux *m)
{
	return &m->peer;
}
