/*
 * Receive windows (R5): how far a peer may be ahead of the endpoint.
 *
 * Credit goes back when the endpoint has taken the bytes. A window starts at
 * WINDOW_INITIAL (HELLO says so, hence data can follow OPEN at once), is widened
 * to WINDOW_USUAL while the session's budget is far, and doubles for as long as a
 * stream consumes more than half of it in a round trip of the path. The round
 * trip is the path's own, without our queues: were they counted in, a wider
 * window would make a longer queue, and a longer queue a wider window.
 *
 * The sum of all windows never passes the session's budget, so what can pile up
 * here does not either.
 */
#include "tunnel/mux_i.h"

enum { EPOCH_MIN_US = 1000, RTT_UNKNOWN_US = 1000 };

static uint64_t path_rtt(const struct mux *m)
{
	if (m->path_rtt_us)
		return m->path_rtt_us;
	return m->rtt_min_us ? m->rtt_min_us : RTT_UNKNOWN_US;
}

/* Widens s's window to size, as far as the budget goes. */
static void widen(struct stream *s, uint32_t size)
{
	struct mux *m = s->mux;
	uint64_t left = m->config.session.memory_max_bytes > m->granted_bytes ?
				m->config.session.memory_max_bytes - m->granted_bytes :
				0;

	if (size > m->config.session.window_max_bytes)
		size = m->config.session.window_max_bytes;
	if (size <= s->window)
		return;
	if (size - s->window > left)
		return;
	m->granted_bytes += size - s->window;
	s->window = size;
}

static void grant(struct stream *s)
{
	if (s->credit_due || s->in != STREAM_IN_OPEN)
		return;
	s->credit_due = 1;
	TAILQ_INSERT_TAIL(&s->mux->credits, s, credit);
	mux_wake(s->mux);
}

void window_open(struct stream *s)
{
	s->window = WINDOW_INITIAL;
	s->rx_limit = WINDOW_INITIAL;
	s->mux->granted_bytes += WINDOW_INITIAL;
	s->epoch_us = s->mux->now_us;
}

void window_accepted(struct stream *s)
{
	struct mux *m = s->mux;

	/* Half of the budget is for those who have shown that they need it. */
	if (m->granted_bytes + WINDOW_USUAL > m->config.session.memory_max_bytes / 2)
		return;
	widen(s, WINDOW_USUAL);
	grant(s);
}

void window_consumed(struct stream *s, size_t len)
{
	struct mux *m = s->mux;
	uint64_t rtt = path_rtt(m), elapsed;

	s->rx_consumed += len;
	elapsed = m->now_us - s->epoch_us;
	if (elapsed >= rtt && elapsed >= EPOCH_MIN_US) {
		uint64_t bytes = s->rx_consumed - s->epoch_consumed;

		if ((double)bytes * (double)rtt / (double)elapsed > (double)s->window / 2)
			widen(s, 2 * s->window);
		s->epoch_us = m->now_us;
		s->epoch_consumed = s->rx_consumed;
	}
	if (s->rx_consumed + s->window - s->rx_limit >= s->window / 4)
		grant(s);
}

void window_close(struct stream *s)
{
	struct mux *m = s->mux;

	m->granted_bytes -= s->window;
	s->window = 0;
	if (s->credit_due)
		TAILQ_REMOVE(&m->credits, s, credit);
	s->credit_due = 0;
}
