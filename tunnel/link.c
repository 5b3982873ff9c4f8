/*
 * A link joins the mux to a transport and the event loop: see link.h.
 *
 * How it works. When the socket is readable, the transport's bytes go to the mux;
 * when the mux has something to send (on_wake) or the socket is writable, frames
 * go from the mux to the transport until its output buffer is full or there are
 * none. Events only mark the link; a turn of it runs once in the same turn of the
 * loop, after the events of that, so that many small things leave together.
 *
 * A turn lasts TURN_US for what comes in and as long for what goes out, whatever the
 * frames are: what it leaves (rest, the transport's pending bytes) is for the next one. Whose
 * turn it is among the links of a server says account.h.
 *
 * Here are its events and its life; what comes in is link_in.c's, what goes out link_out.c's,
 * and its end link_end.c's: each calls only those named after it.
 *
 * Owned by a session, or by a listener until the peer's HELLO has come.
 */
#include "tunnel/link_i.h"

#include <stdlib.h>

#include "base/clock.h"
#include "tunnel/tcpinfo.h"

enum {
	RTT_EVERY_US = 1000000, /* the kernel is asked for the path's round trip */
};

/* Asks the kernel for the path's round trip, now and then. */
static void ask_rtt(struct link *l, uint64_t now_us)
{
	if (now_us < l->rtt_next_us)
		return;
	l->rtt_next_us = now_us + RTT_EVERY_US;
	mux_set_rtt(l->mux, tcpinfo_min_rtt_us(l->transport->fd));
}

static void handshake(struct link *l)
{
	struct err e = ERR_INIT;
	int r = l->transport->ops->handshake(l->transport, &e);

	if (r == TRANSPORT_FAILED) {
		link_i_end(l, &e);
		return;
	}
	/* A handshake can leave bytes to send whatever it wants next. */
	if (link_i_flush(l, &e) < 0) {
		link_i_end(l, &e);
		return;
	}
	if (r == TRANSPORT_WANT_WRITE)
		event_add(l->ev_write, NULL);
	if (r)
		return;
	link_i_set_state(l, LINK_HELLO);
	ask_rtt(l, clock_us());
	link_i_ask_turn(l);
	/* The peer's HELLO may have come in the flight that ended the handshake. */
	l->has_input = 1;
}

/* All that is due of this link, or as much as a turn has time for. */
static void turn(void *arg)
{
	struct link *l = arg;
	uint64_t done = mux_done(l->mux);

	link_i_enter(l);
	if (l->deaf) {
		l->deaf = 0;
		event_add(l->ev_read, NULL);
	}
	if (l->state == LINK_ENDING) {
		link_i_end_some(l);
	} else {
		if (l->has_input && l->state != LINK_HANDSHAKE && l->state != LINK_OVER)
			link_i_input(l);
		link_i_run(l);
	}
	if (l->has_input && l->state < LINK_OVER && l->state != LINK_ENDING)
		link_i_go_on(l);
	l->turn.idle = l->state <= LINK_UP && mux_done(l->mux) == done;
	link_i_leave(l);
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	(void)fd;
	(void)what;
	link_i_enter(l);
	if (l->state == LINK_HANDSHAKE) {
		handshake(l);
	} else if (l->state != LINK_OVER && l->state != LINK_ENDING) {
		l->has_input = 1;
		link_i_ask_turn(l);
		if (l->turn.account && turn_held(&l->turn)) {
			l->deaf = 1;
			event_del(l->ev_read);
		}
	}
	link_i_leave(l);
}

static void on_write(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	(void)fd;
	(void)what;
	link_i_enter(l);
	if (l->state == LINK_HANDSHAKE)
		handshake(l);
	else if (l->state != LINK_ENDING)
		link_i_ask_turn(l);
	link_i_leave(l);
}

static void on_run(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	turn(arg);
}

/* The peer is given up. */
static void end_silent(struct link *l, struct err *e)
{
	if (e->code == ERR_TIMEOUT)
		link_i_add_lost(e, tcpinfo_large_lost(l->transport->fd));
	link_i_end(l, e);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	struct err e = ERR_INIT;
	uint64_t now_us = clock_us();

	(void)fd;
	(void)what;
	link_i_enter(l);
	l->timer_at_us = 0;
	if (l->state == LINK_LINGER) {
		link_i_linger_over(l);
	} else if (l->state < LINK_UP && now_us >= l->deadline_us) {
		const char *lost = tcpinfo_large_lost(l->transport->fd);

		if (lost || l->transport->doing)
			err_set(&e, ERR_TIMEOUT, "not connected within %u seconds: %s",
				l->handshake_ms / 1000, lost ? lost : l->transport->doing);
		else
			err_set(&e, ERR_TIMEOUT,
				"no handshake within %u seconds: is it adit that listens there?",
				l->handshake_ms / 1000);
		link_i_end(l, &e);
	} else if (l->state == LINK_UP) {
		/* If we were held up ourselves, the peer's words wait in the socket. */
		if (mux_silent(l->mux, now_us)) {
			link_i_input(l);
			now_us = clock_us();
		}
		if (l->state == LINK_UP) {
			ask_rtt(l, now_us);
			if (mux_tick(l->mux, now_us, &e) < 0)
				end_silent(l, &e);
			else
				link_i_ask_turn(l);
		}
	}
	link_i_arm_timer(l, clock_us());
	link_i_leave(l);
}

static void on_mux_hello(void *ctx)
{
	struct link *l = ctx;

	link_i_set_state(l, LINK_UP);
	/* The timer was armed for the end of the handshake. */
	event_del(l->ev_timer);
	l->timer_at_us = 0;
	link_i_arm_timer(l, clock_us());
	if (l->ops)
		l->ops->on_ready(l->ctx);
}

static void on_mux_open(void *ctx, struct stream *s, enum stream_class class, const char *target)
{
	struct link *l = ctx;

	if (l->ops)
		l->ops->on_open(l->ctx, s, class, target);
	else
		stream_refuse(s, CODE_CANCELLED, "the session is being closed");
}

static void on_mux_wake(void *ctx)
{
	struct link *l = ctx;

	if (l->state != LINK_OVER && l->state != LINK_ENDING && l->state != LINK_HANDSHAKE)
		link_i_ask_turn(l);
}

static const struct mux_ops mux_ops = {on_mux_hello, on_mux_open, on_mux_wake};

struct link *link_new(struct event_base *base, struct transport *t, const struct mux_config *config,
		      const struct link_ops *ops, void *ctx, struct err *e)
{
	struct link *l = calloc(1, sizeof(*l));
	uint64_t now_us = clock_us();

	if (!l) {
		transport_free(t);
		err_set(e, ERR_SPACE, "no memory for a connection");
		return NULL;
	}
	l->base = base;
	l->transport = t;
	l->ops = ops;
	l->ctx = ctx;
	l->handshake_ms = config->session.handshake_ms;
	l->deadline_us = now_us + (uint64_t)l->handshake_ms * 1000;
	l->mux = mux_new(config, &mux_ops, l, now_us);
	l->ev_read = event_new(base, t->fd, EV_READ | EV_PERSIST, on_read, l);
	l->ev_write = event_new(base, t->fd_out, EV_WRITE, on_write, l);
	l->ev_timer = evtimer_new(base, on_timer, l);
	l->ev_run = event_new(base, -1, 0, on_run, l);
	l->ev_more = evtimer_new(base, on_run, l);
	l->turn.fn = turn;
	l->turn.ctx = l;
	l->input_size = INPUT_BUFFER;
	if (!l->mux || !l->ev_read || !l->ev_write || !l->ev_timer || !l->ev_run || !l->ev_more ||
	    event_add(l->ev_read, NULL) < 0 || event_add(l->ev_write, NULL) < 0) {
		link_i_destroy(l);
		err_set(e, ERR_SPACE, "no memory for a connection");
		return NULL;
	}
	link_i_arm_timer(l, now_us);
	return l;
}

void link_set_deadline(struct link *l, uint64_t at_us)
{
	l->deadline_us = at_us;
	link_i_arm_timer(l, clock_us());
}

void link_set_account(struct link *l, struct account *p)
{
	l->turn.account = p;
	mux_set_account(l->mux, p);
}

void link_set_ops(struct link *l, const struct link_ops *ops, void *ctx)
{
	l->ops = ops;
	l->ctx = ctx;
}

struct mux *link_mux(struct link *l)
{
	return l->mux;
}

const struct transport *link_transport(const struct link *l)
{
	return l->transport;
}

void link_close(struct link *l, enum code code, const char *reason)
{
	if (!l)
		return;
	l->ops = NULL;
	if (l->state != LINK_HELLO && l->state != LINK_UP && l->state != LINK_ENDING) {
		link_free(l);
		return;
	}
	link_i_enter(l);
	if (l->state == LINK_ENDING) {
		mux_detach_streams(l->mux, reason);
		link_i_ended(l);
	} else {
		mux_close(l->mux, code, reason);
		mux_detach_streams(l->mux, reason);
		link_i_start_linger(l);
	}
	link_i_leave(l);
}
