/* What goes out of a link: frames from the mux to the transport, and the farewell of one that
 * lingers. See link_i.h. */
#include "tunnel/link_i.h"

#include "base/clock.h"

enum {
	OUTPUT_FRAMES = 32, /* between two looks at the clock */
};

int link_i_flush(struct link *l, struct err *e)
{
	int r = l->transport->ops->flush(l->transport, e);

	if (r == TRANSPORT_WANT_WRITE)
		event_add(l->ev_write, NULL);
	/* Some transports cannot send without hearing what came in meanwhile. */
	if (l->transport->ops->pending(l->transport)) {
		l->has_input = 1;
		link_i_go_on(l);
	}
	return r == TRANSPORT_FAILED ? -1 : 0;
}

/* Frames from the mux to the transport. 0, or -1 with *e. */
static int output(struct link *l, struct err *e)
{
	struct transport *t = l->transport;
	uint64_t now_us = clock_us(), until_us = now_us + TURN_US;

	while (now_us < until_us) {
		const uint8_t *data;
		unsigned given = 0;
		size_t len;

		while (t->unsent < TRANSPORT_UNSENT_MAX && now_us < until_us &&
		       mux_next(l->mux, now_us, &data, &len)) {
			if (t->ops->write(t, data, len, e) < 0)
				return -1;
			if (++given % OUTPUT_FRAMES == 0)
				now_us = clock_us();
		}
		if (!given && !t->unsent)
			return 0;
		if (link_i_flush(l, e) < 0)
			return -1;
		if (t->unsent)
			return 0; /* the socket is full, or the peer: it will say when it is not */
		now_us = clock_us();
	}
	link_i_go_on(l);
	return 0;
}

/* One step of the farewell: CLOSE out, then the transport's own, which ends the sending
 * side; then wait for the peer's end, because closing before that would throw away,
 * with a reset, what the peer has not read yet. */
static void linger(struct link *l)
{
	struct transport *t = l->transport;
	struct err e = ERR_INIT;

	if (output(l, &e) < 0) {
		link_i_linger_over(l);
		return;
	}
	if (!mux_closed(l->mux) || t->unsent)
		return;
	if (!l->farewell) {
		l->farewell = 1;
		l->discarded_before = l->discarded;
		t->ops->shutdown(t);
		if (link_i_flush(l, &e) < 0)
			link_i_linger_over(l);
	}
}

void link_i_run(struct link *l)
{
	struct err e = ERR_INIT;

	if (l->state == LINK_LINGER) {
		linger(l);
		return;
	}
	if (l->state != LINK_HELLO && l->state != LINK_UP)
		return;
	if (output(l, &e) < 0)
		link_i_end(l, &e);
	else
		link_i_arm_timer(l, clock_us());
}
