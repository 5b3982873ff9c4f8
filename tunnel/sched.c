/*
 * Whose turn it is to send (R6). Class control goes first. The other classes
 * share by weight: each has a virtual time that grows with what it sent, divided
 * by its weight, and the class that is behind has the turn. Within a class the
 * turns go round, and a stream that had nothing to send a while ago goes before
 * those that send without pause, so that a small message does not wait for a
 * thousand bulk streams.
 *
 * A stream whose rate limit is in debt waits in `throttled` for mux_tick.
 */
#include "tunnel/mux_i.h"

static const unsigned weights[STREAM_CLASSES] = {
    [STREAM_CONTROL] = 1, /* has priority: not weighed */
    [STREAM_RAM] = 4,
    [STREAM_DISK] = 2,
    [STREAM_OTHER] = 2,
};

/* Turns that fresh streams may have in a row while old ones wait. */
enum { FRESH_RUN_MAX = 8, THROTTLE_RECHECK_US = 20000, THROTTLE_LOOKS = 64 };

void sched_init(struct mux *m)
{
	for (unsigned i = 0; i < STREAM_CLASSES; i++) {
		TAILQ_INIT(&m->classes[i].fresh);
		TAILQ_INIT(&m->classes[i].old);
	}
	TAILQ_INIT(&m->throttled);
}

static int class_empty(const struct sched_class *c)
{
	return TAILQ_EMPTY(&c->fresh) && TAILQ_EMPTY(&c->old);
}

/* The class that is furthest behind; STREAM_CLASSES when none has anything to send. */
static unsigned class_pick(const struct mux *m)
{
	unsigned best = STREAM_CLASSES;

	if (!class_empty(&m->classes[STREAM_CONTROL]))
		return STREAM_CONTROL;
	for (unsigned i = STREAM_RAM; i < STREAM_CLASSES; i++) {
		if (class_empty(&m->classes[i]))
			continue;
		if (best == STREAM_CLASSES || m->classes[i].vtime < m->classes[best].vtime)
			best = i;
	}
	return best;
}

void sched_add(struct mux *m, struct stream *s)
{
	struct sched_class *c = &m->classes[s->class];

	if (class_empty(c)) {
		/* Nobody saves up turns while having nothing to send. */
		unsigned ahead = class_pick(m);

		if (ahead != STREAM_CLASSES && ahead != STREAM_CONTROL &&
		    c->vtime < m->classes[ahead].vtime)
			c->vtime = m->classes[ahead].vtime;
	}
	s->place = SCHED_FRESH;
	TAILQ_INSERT_TAIL(&c->fresh, s, sched);
}

void sched_remove(struct mux *m, struct stream *s)
{
	struct sched_class *c = &m->classes[s->class];

	switch (s->place) {
	case SCHED_FRESH:
		TAILQ_REMOVE(&c->fresh, s, sched);
		break;
	case SCHED_OLD:
		TAILQ_REMOVE(&c->old, s, sched);
		break;
	case SCHED_THROTTLED:
		TAILQ_REMOVE(&m->throttled, s, sched);
		break;
	case SCHED_NOWHERE:
		return;
	}
	s->place = SCHED_NOWHERE;
}

struct stream *sched_pick(struct mux *m)
{
	unsigned i = class_pick(m);
	struct sched_class *c;

	if (i == STREAM_CLASSES)
		return NULL;
	c = &m->classes[i];
	if (TAILQ_EMPTY(&c->old) || (!TAILQ_EMPTY(&c->fresh) && c->fresh_run < FRESH_RUN_MAX)) {
		c->fresh_run++;
		return TAILQ_FIRST(&c->fresh);
	}
	c->fresh_run = 0;
	return TAILQ_FIRST(&c->old);
}

void sched_served(struct mux *m, struct stream *s, size_t sent, int again)
{
	struct sched_class *c = &m->classes[s->class];

	c->vtime += sent / weights[s->class];
	sched_remove(m, s);
	if (!again)
		return;
	s->place = SCHED_OLD;
	TAILQ_INSERT_TAIL(&c->old, s, sched);
}

uint64_t sched_wait_us(const struct mux *m, const struct stream *s)
{
	uint64_t own = s->rate ? rate_wait_us(s->rate, m->now_us) : 0, all = 0;

	if (m->tx_rate && s->class != STREAM_CONTROL)
		all = rate_wait_us(m->tx_rate, m->now_us);
	return own > all ? own : all;
}

void sched_throttle(struct mux *m, struct stream *s)
{
	sched_remove(m, s);
	s->place = SCHED_THROTTLED;
	TAILQ_INSERT_TAIL(&m->throttled, s, sched);
}

void sched_unthrottle(struct mux *m)
{
	struct stream *s, *next;

	for (s = TAILQ_FIRST(&m->throttled); s; s = next) {
		next = TAILQ_NEXT(s, sched);
		if (sched_wait_us(m, s))
			continue;
		sched_remove(m, s);
		sched_add(m, s);
		mux_wake(m);
	}
}

uint64_t sched_timeout_us(const struct mux *m)
{
	uint64_t best = THROTTLE_RECHECK_US; /* a limit that was raised is seen by then */
	unsigned looks = 0;
	struct stream *s;

	TAILQ_FOREACH(s, &m->throttled, sched)
	{
		uint64_t wait = sched_wait_us(m, s);

		if (++looks > THROTTLE_LOOKS)
			break;
		if (wait < best)
			best = wait;
	}
	return best;
}
