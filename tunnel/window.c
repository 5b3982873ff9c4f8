/*
 * Receive windows (R5): how far a peer may be ahead of the endpoint.
 *
 * Credit goes back when the endpoint has taken the bytes. A window starts at what HELLO
 * says of every stream (hence data can follow OPEN at once), is widened to WINDOW_USUAL
 * while the session's budget is far, and follows what the stream consumes: twice the path's round
 * trip and a millisecond of its rate. So a long path is filled, and on a short one a small message
 * finds about a millisecond of bulk before it, whatever the rate. The round trip is the path's own,
 * without our queues: were they counted in, a wider window would make a longer queue, and a longer
 * queue a wider window.
 *
 * Where what the peer sends is held to a rate, credit is what holds it: what came in is
 * paid for, and none is given while the peer is in debt.
 *
 * What can pile up here never passes the session's budget. As the peer may use the first
 * window of a stream before it hears a word of ours, a quarter of the budget is set aside
 * for that: shared by all streams that may ever be open at once, it is what HELLO says
 * (WINDOW_INITIAL at most). The rest, the pool, is lent to those that can use it, and a
 * stream to which nothing is lent still goes on, with its first window. A stream is
 * charged with its window, or with the credit that it has beyond that (it is not taken
 * back): so nothing is lent twice.
 */
#include "tunnel/mux_i.h"

enum {
	SET_ASIDE = 4, /* a part of so many of the budget */
	NEWCOMERS = 4, /* that many share what is free for them, then as many the rest */
	EPOCH_MIN_US = 2000,
	RTT_UNKNOWN_US = 1000,
	QUEUE_US = 1000,
	RELAY_FACTOR = 4,
	RELAY_US = 3000,
	RATE_LOOK_US = 250000, /* a bucket fills for a second at most in one look */
};

static uint64_t path_rtt(const struct mux *m)
{
	/* Where something on the way ends TCP and begins it anew (a proxy, a port forward), the
	 * kernel knows the way up to there only; the shortest PING went all of it. */
	if (m->path_rtt_us && m->rtt_min_us > RELAY_FACTOR * m->path_rtt_us + RELAY_US)
		return m->rtt_min_us;
	if (m->path_rtt_us)
		return m->path_rtt_us;
	return m->rtt_min_us ? m->rtt_min_us : RTT_UNKNOWN_US;
}

uint32_t window_initial(const struct session_config *c)
{
	uint64_t share = c->memory_max_bytes / SET_ASIDE / (c->streams_max ? c->streams_max : 1);

	if (share > WINDOW_INITIAL)
		return WINDOW_INITIAL;
	return share ? (uint32_t)share : 1;
}

/* What may be lent, all in all, and what of it is. */
static uint64_t pool(const struct mux *m)
{
	uint64_t aside = (uint64_t)m->window_initial * m->config.session.streams_max;
	uint64_t budget = m->config.session.memory_max_bytes;

	return budget > aside ? budget - aside : 0;
}

static uint64_t lent(const struct mux *m)
{
	return m->granted_bytes - (uint64_t)m->windows * m->window_initial;
}

/* Charges s with what it may still have us keep. */
static void charge(struct stream *s)
{
	uint64_t credit = s->rx_limit - s->rx_consumed;
	uint64_t now = credit > s->window ? credit : s->window;

	if (!s->window)
		return; /* closed */
	s->mux->granted_bytes += now;
	s->mux->granted_bytes -= s->charged;
	mux_charge(s->mux, (int64_t)now - (int64_t)s->charged);
	s->charged = now;
}

/* Sets s's window to size, as far as the budget goes. Credit that was given is not
 * taken back: a smaller window is reached by giving none for a while. */
static void resize(struct stream *s, uint64_t size)
{
	struct mux *m = s->mux;
	uint64_t all = pool(m), out = lent(m), free = all > out ? all - out : 0;
	uint64_t room = account_room(m->account), most;

	/* The peer's next stream or session is to find room beside windows that are wide. */
	room = room > MUX_COST ? room - MUX_COST : 0;
	most = s->charged + (free < room ? free : room);
	if (size > m->config.session.window_max_bytes)
		size = m->config.session.window_max_bytes;
	if (size > most)
		size = most;
	if (size < m->window_initial)
		size = m->window_initial;
	s->window = (uint32_t)size;
	charge(s);
}

/* After a round trip or more: what the stream consumed in it says how wide its
 * window should be. */
static void adapt(struct stream *s, uint64_t elapsed_us)
{
	uint64_t rtt = path_rtt(s->mux);
	uint64_t bytes = s->rx_consumed - s->epoch_consumed;
	double want = (double)bytes * (double)(2 * rtt + QUEUE_US) / (double)elapsed_us;

	if (want > s->window)
		resize(s, want > 2.0 * s->window ? 2 * (uint64_t)s->window : (uint64_t)want);
	else if (want < s->window / 2 && s->window > WINDOW_USUAL &&
		 s->rx_limit <= s->rx_consumed + s->window)
		resize(s, s->window - s->window / 8);
}

struct stream_list *window_list(const struct stream *s)
{
	return &s->mux->credits[s->class == STREAM_CONTROL];
}

static void grant(struct stream *s)
{
	if (s->credit_due || s->in != STREAM_IN_OPEN)
		return;
	s->credit_due = 1;
	TAILQ_INSERT_TAIL(window_list(s), s, credit);
	mux_wake(s->mux);
}

void window_open(struct stream *s)
{
	s->window = s->mux->window_initial;
	s->rx_limit = s->mux->window_initial;
	s->mux->windows++;
	charge(s);
	s->epoch_us = s->mux->now_us;
}

void window_accepted(struct stream *s)
{
	/* Half of the pool is for those who have shown that they need it. Of a small one nobody has
	 * all of the other half. */
	uint64_t free = pool(s->mux) / 2, out = lent(s->mux), share;

	share = free > out ? (free - out) / NEWCOMERS : 0;
	if (share > WINDOW_USUAL)
		share = WINDOW_USUAL;
	if (share <= s->window)
		return;
	resize(s, share);
	grant(s);
}

void window_consumed(struct stream *s, size_t len)
{
	struct mux *m = s->mux;
	uint64_t rtt = path_rtt(m), elapsed;

	s->rx_consumed += len;
	charge(s);
	elapsed = m->now_us - s->epoch_us;
	if (elapsed >= rtt && elapsed >= EPOCH_MIN_US) {
		adapt(s, elapsed);
		s->epoch_us = m->now_us;
		s->epoch_consumed = s->rx_consumed;
	}
	if (s->rx_consumed + s->window >= s->rx_limit + s->window / 4)
		grant(s);
}

struct stream *window_due(const struct mux *m)
{
	struct stream *s = TAILQ_FIRST(&m->credits[1]);

	if (s || (m->rx_rate && rate_wait_us(m->rx_rate, m->now_us)))
		return s;
	return TAILQ_FIRST(&m->credits[0]);
}

uint64_t window_timeout_us(const struct mux *m)
{
	uint64_t wait;

	if (TAILQ_EMPTY(&m->credits[0]) || !m->rx_rate)
		return UINT64_MAX;
	wait = rate_wait_us(m->rx_rate, m->now_us);
	return wait < RATE_LOOK_US ? wait : RATE_LOOK_US;
}

void window_close(struct stream *s)
{
	struct mux *m = s->mux;

	if (s->window)
		m->windows--;
	m->granted_bytes -= s->charged;
	mux_charge(m, -(int64_t)s->charged);
	s->charged = 0;
	s->window = 0;
	if (s->credit_due)
		TAILQ_REMOVE(window_list(s), s, credit);
	s->credit_due = 0;
}
