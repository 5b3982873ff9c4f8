/*
 * What comes in: finds the frames in the bytes, holds each to the protocol, and
 * does what it says. DATA is handed on as it arrives, piece by piece; every other
 * frame is small and is taken when it is whole.
 *
 * Nothing that a peer sends reaches an assert: whatever does not fit ends the
 * session with CLOSE and a reason (mux_fail), or, where it is about one stream
 * only, that stream.
 */
#include "tunnel/mux_i.h"

#include <stdio.h>
#include <string.h>

#include "base/wire.h"

/* Whether the peer (or we) ever opened stream id. */
static int was_opened(const struct mux *m, uint32_t id)
{
	int ours = (id & 1) != (m->config.server != 0);

	return ours ? id < m->next_id : id <= m->opened_max_peer;
}

static int on_hello(struct mux *m, struct err *e)
{
	struct frame_hello *h = &m->peer;
	char reason[STREAM_REASON_MAX];

	if (frame_unpack_hello(h, m->small, m->cur.len, e) < 0)
		return mux_fail(m, CODE_PROTOCOL, e);
	if (h->version_min > FRAME_VERSION || h->version_max < FRAME_VERSION) {
		err_set(
		    e, ERR_PROTOCOL,
		    "no protocol version in common: this adit speaks %d, the peer (%s) %u to %u; "
		    "install the same release on both hosts",
		    FRAME_VERSION, h->software, h->version_min, h->version_max);
		return mux_fail(m, CODE_VERSION, e);
	}
	if (h->required || (m->config.required & ~h->features)) {
		uint32_t theirs = h->required, ours = m->config.required & ~h->features;

		snprintf(reason, sizeof(reason),
			 "features 0x%x are required and missing %s; install "
			 "the same release on both hosts",
			 theirs ? theirs : ours,
			 theirs ? "at the peer of who asked for them" : "at the peer");
		err_set(e, ERR_PROTOCOL, "%s", reason);
		return mux_fail(m, CODE_FEATURE, e);
	}
	if (h->next_seq || h->lane || h->lanes != 1) {
		err_set(e, ERR_PROTOCOL,
			"the peer asks for lane %u of %u from frame %llu: only new "
			"sessions of one lane are spoken here",
			h->lane, h->lanes, (unsigned long long)h->next_seq);
		return mux_fail(m, CODE_FEATURE, e);
	}
	m->hello_seen = 1;
	m->ping_due = 1;
	m->pinged_us = m->now_us;
	mux_wake(m);
	m->ops->on_hello(m->ctx);
	return 0;
}

static int on_open(struct mux *m, struct err *e)
{
	uint32_t id = m->cur.stream;
	uint32_t max = m->config.session.streams_max;
	struct frame_open o;
	struct stream *s;

	if (frame_unpack_open(&o, m->small, m->cur.len, e) < 0)
		return mux_fail(m, CODE_PROTOCOL, e);
	if ((id & 1) != (m->config.server != 0) || id <= m->opened_max_peer) {
		err_set(e, ERR_PROTOCOL, "OPEN of stream %u after stream %u", id,
			m->opened_max_peer);
		return mux_fail(m, CODE_PROTOCOL, e);
	}
	m->opened_max_peer = id;
	/* A stream too many is refused by itself, for as long as the refusals are
	 * not more than the streams: slots are held until the peer has taken them. */
	if (m->streams >= 2 * max) {
		err_set(e, ERR_LIMIT, "too many streams: %u are allowed", max);
		return mux_fail(m, CODE_LIMIT, e);
	}
	if (m->ended >= (account_room(m->account) ? MUX_ENDED_MAX : MUX_ENDED_LEAST)) {
		err_set(e, ERR_LIMIT, "the ends of %u streams are not acknowledged", m->ended);
		return mux_fail(m, CODE_LIMIT, e);
	}
	s = stream_new(m, id, o.class, o.target);
	if (!s) {
		err_set(e, ERR_SPACE, "no memory for a stream");
		return mux_fail(m, CODE_INTERNAL, e);
	}
	window_open(s);
	if (!account_room(m->account)) {
		stream_refuse(s, CODE_LIMIT, MUX_NO_ROOM);
		return 0;
	}
	if (m->streams > max) {
		char reason[64];

		snprintf(reason, sizeof(reason), "%u streams are allowed in a session", max);
		stream_refuse(s, CODE_LIMIT, reason);
		return 0;
	}
	stream_enter(s);
	m->ops->on_open(m->ctx, s, o.class, o.target);
	if (!s->ops && !s->dead)
		stream_refuse(s, CODE_INTERNAL, "nobody took the stream");
	stream_leave(s);
	return 0;
}

/* The stream of the frame at hand; NULL and 0 when it is gone already and the frame
 * is to be skipped. */
static int find_stream(struct mux *m, struct stream **s, struct err *e)
{
	*s = mux_find(m, m->cur.stream);
	if (*s || was_opened(m, m->cur.stream))
		return 0;
	err_set(e, ERR_PROTOCOL, "%s for stream %u, which was never opened",
		frame_type_name(m->cur.type), m->cur.stream);
	return mux_fail(m, CODE_PROTOCOL, e);
}

static int on_data(struct mux *m, const uint8_t *data, size_t len, struct err *e)
{
	struct stream *s;
	int r = find_stream(m, &s, e);

	if (r || !s)
		return r;
	if (s->in != STREAM_IN_OPEN) {
		err_set(e, ERR_PROTOCOL, "DATA after EOF on stream %u", s->id);
		return mux_fail(m, CODE_PROTOCOL, e);
	}
	if (len > s->rx_limit - s->rx_received) {
		err_set(e, ERR_LIMIT, "more than its credit on stream %u", s->id);
		return mux_fail(m, CODE_LIMIT, e);
	}
	if (m->rx_rate && s->class != STREAM_CONTROL)
		rate_spend(m->rx_rate, len);
	stream_deliver(s, data, len);
	return 0;
}

static int on_credit(struct mux *m, struct err *e)
{
	uint64_t limit;
	struct stream *s;
	int r = find_stream(m, &s, e);

	if (r)
		return r;
	if (frame_unpack_u64(&limit, m->small, m->cur.len, e) < 0)
		return mux_fail(m, CODE_PROTOCOL, e);
	if (!s || s->dead)
		return 0;
	if (limit < s->tx_limit) {
		err_set(e, ERR_PROTOCOL, "credit of stream %u was taken back", s->id);
		return mux_fail(m, CODE_PROTOCOL, e);
	}
	m->done += limit > s->tx_limit;
	s->tx_limit = limit;
	if (s->ready)
		stream_ready(s);
	return 0;
}

static int on_ack(struct mux *m, struct err *e)
{
	uint64_t next;

	if (frame_unpack_u64(&next, m->small, m->cur.len, e) < 0)
		return mux_fail(m, CODE_PROTOCOL, e);
	if (next < m->tx_acked || next > m->tx_next) {
		err_set(e, ERR_PROTOCOL, "ACK of frame %llu, where %llu to %llu are due",
			(unsigned long long)next, (unsigned long long)m->tx_acked,
			(unsigned long long)m->tx_next);
		return mux_fail(m, CODE_PROTOCOL, e);
	}
	m->tx_acked = next;
	mux_release_some(m);
	return 0;
}

static int on_pong(struct mux *m, struct err *e)
{
	uint64_t sent, rtt;

	if (frame_unpack_u64(&sent, m->small, m->cur.len, e) < 0)
		return mux_fail(m, CODE_PROTOCOL, e);
	/* It is our own clock that comes back; a peer that makes one up gains nothing. */
	if (sent > m->now_us)
		return 0;
	rtt = m->now_us - sent;
	m->rtt_us = m->rtt_us ? (7 * m->rtt_us + rtt) / 8 : rtt;
	if (!m->rtt_min_us || rtt < m->rtt_min_us)
		m->rtt_min_us = rtt ? rtt : 1;
	return 0;
}

static int on_reason(struct mux *m, struct err *e)
{
	struct frame_reason r;
	struct stream *s;
	int ret;

	if (frame_unpack_reason(&r, m->small, m->cur.len, e) < 0)
		return mux_fail(m, CODE_PROTOCOL, e);
	if (m->cur.type == FRAME_CLOSE) {
		/* There is nobody to send a CLOSE to any more. */
		m->close_queued = m->close_sent = 1;
		if (r.code == CODE_NONE)
			err_set(e, ERR_NONE, "%s", "");
		else
			err_set(e, code_to_err((enum code)r.code), "the peer ended the session: %s",
				*r.reason ? r.reason : code_name((enum code)r.code));
		return ERR_CLOSED;
	}
	ret = find_stream(m, &s, e);
	if (!ret && s)
		stream_deliver_reset(s, (enum code)r.code, r.reason);
	return ret;
}

static int on_eof(struct mux *m, struct err *e)
{
	struct stream *s;
	int r = find_stream(m, &s, e);

	if (r || !s)
		return r;
	if (s->in != STREAM_IN_OPEN) {
		err_set(e, ERR_PROTOCOL, "a second EOF on stream %u", s->id);
		return mux_fail(m, CODE_PROTOCOL, e);
	}
	stream_deliver_eof(s);
	return 0;
}

/* A frame that is whole; DATA was handed on before. */
static int on_frame(struct mux *m, struct err *e)
{
	switch (m->cur.type) {
	case FRAME_HELLO:
		return on_hello(m, e);
	case FRAME_PING:
		if (frame_unpack_u64(&m->pong_value, m->small, m->cur.len, e) < 0)
			return mux_fail(m, CODE_PROTOCOL, e);
		/* Only the last one is answered: a peer that does not read cannot make
		 * us queue. */
		m->pong_due = 1;
		mux_wake(m);
		return 0;
	case FRAME_PONG:
		return on_pong(m, e);
	case FRAME_ACK:
		return on_ack(m, e);
	case FRAME_CREDIT:
		return on_credit(m, e);
	case FRAME_OPEN:
		return on_open(m, e);
	case FRAME_EOF:
		return on_eof(m, e);
	case FRAME_CLOSE:
	case FRAME_RESET:
		return on_reason(m, e);
	default:
		return 0; /* DATA, and optional frames */
	}
}

/* Holds a header to what is allowed now. */
static int check_header(struct mux *m, struct err *e)
{
	if (frame_unpack_header(&m->cur, m->head, e) < 0)
		return mux_fail(m, CODE_PROTOCOL, e);
	if (!m->hello_seen && m->cur.type != FRAME_HELLO && m->cur.type != FRAME_CLOSE) {
		err_set(e, ERR_PROTOCOL, "the peer does not speak adit's protocol: %s before HELLO",
			frame_type_name(m->cur.type));
		return mux_fail(m, CODE_PROTOCOL, e);
	}
	if (m->hello_seen && m->cur.type == FRAME_HELLO) {
		err_set(e, ERR_PROTOCOL, "a second HELLO");
		return mux_fail(m, CODE_PROTOCOL, e);
	}
	if (frame_is_numbered(m->cur.type) && m->cur.seq != (uint32_t)m->rx_next) {
		err_set(e, ERR_PROTOCOL, "frame %u came where %u was due", m->cur.seq,
			(uint32_t)m->rx_next);
		return mux_fail(m, CODE_PROTOCOL, e);
	}
	return 0;
}

/* Counts a whole numbered frame, and acknowledges when enough has come or, by the
 * clock, when nothing more does. */
static void count_numbered(struct mux *m)
{
	m->rx_next++;
	m->ack_frames++;
	m->ack_bytes += FRAME_HEADER_LEN + m->cur.len;
	if (m->ack_bytes >= MUX_ACK_BYTES || m->ack_frames >= MUX_ACK_FRAMES) {
		m->ack_due = 1;
		mux_wake(m);
	} else if (!m->ack_at_us) {
		m->ack_at_us = m->now_us + MUX_ACK_DELAY_US;
	}
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Takes payload bytes of the frame at hand; *used says how many. */
static int input_payload(struct mux *m, const uint8_t *data, size_t len, size_t *used,
			 struct err *e)
{
	size_t n = min_size(len, m->cur.len - m->cur_have);
	int r = 0;

	if (m->cur.type == FRAME_DATA)
		r = on_data(m, data, n, e);
	else if (n && m->cur_have + n <= sizeof(m->small))
		memcpy(m->small + m->cur_have, data, n);
	m->cur_have += (uint32_t)n;
	*used = n;
	if (r || m->cur_have < m->cur.len)
		return r;
	m->in_payload = 0;
	m->head_have = 0;
	if (frame_is_numbered(m->cur.type))
		count_numbered(m);
	return on_frame(m, e);
}

int mux_take(struct mux *m, const uint8_t *data, size_t len, size_t *used, uint64_t now_us,
	     struct err *e)
{
	const uint8_t *at = data;
	unsigned steps = 0;
	int r = 0;

	m->now_us = m->heard_us = now_us;
	mux_release_some(m);
	/* A frame that is whole is taken whatever the bound: no bytes may come behind it. */
	while (!r && !m->oom &&
	       ((len > 0 && steps < 2 * MUX_TAKE_FRAMES) ||
		(m->in_payload && m->cur_have == m->cur.len))) {
		size_t n;

		if (m->close_queued) { /* ended by us, perhaps in a callback: deaf from now on */
			at += len;
			break;
		}
		steps++;
		if (m->in_payload) {
			r = input_payload(m, at, len, &n, e);
		} else {
			n = min_size(len, FRAME_HEADER_LEN - m->head_have);
			memcpy(m->head + m->head_have, at, n);
			m->head_have += (uint32_t)n;
			if (m->head_have == FRAME_HEADER_LEN) {
				r = check_header(m, e);
				m->in_payload = 1;
				m->cur_have = 0;
			}
		}
		at += n;
		len -= n;
	}
	if (!r && m->oom) {
		err_set(e, ERR_SPACE, "no memory left for what the peer sent");
		r = mux_fail(m, CODE_INTERNAL, e);
	}
	*used = (size_t)(at - data);
	return r;
}

int mux_input(struct mux *m, const uint8_t *data, size_t len, uint64_t now_us, struct err *e)
{
	size_t used = 0;
	int r;

	do {
		data += used;
		len -= used;
		r = mux_take(m, data, len, &used, now_us, e);
	} while (!r && !m->close_queued && (used < len || mux_owes(m)));
	return r;
}
