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
 * One teardown: end, with the reason. A link whose owner was told, or has let
 * go, may linger to get its CLOSE out; then it frees itself, never within a call
 * of its own (busy).
 *
 * Owned by a session, or by a listener until the peer's HELLO has come.
 */
#include "tunnel/link.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/log.h"
#include "tunnel/tcpinfo.h"

enum {
	INPUT_BUFFER = 256 * 1024,
	INPUT_LEAST = 16 * 1024,
	TURN_US = ACCOUNT_RUN_US,	/* before others have theirs */
	OUTPUT_FRAMES = 32,		/* between two looks at the clock */
	RTT_EVERY_US = 1000000,		/* the kernel is asked for the path's round trip */
	DISCARD_MAX = 64 * 1024 * 1024, /* what a lingering link reads and forgets, */
	DISCARD_LEAVING = 1024 * 1024,	/* and behind its farewell, where the process ends */
};

enum link_state {
	LINK_HANDSHAKE, /* the transport's handshake runs; nothing of the mux moves */
	LINK_HELLO,	/* frames move; only HELLO and CLOSE may come */
	LINK_UP,	/* everything is allowed */
	LINK_LINGER,	/* the owner has let go: CLOSE goes out, what comes in is dropped */
	LINK_OVER,	/* nothing is allowed; waits for its owner to free it */
};

static const char *const state_names[] = {"handshake", "hello", "up", "linger", "over"};

struct link {
	TAILQ_ENTRY(link) lingers;
	struct event_base *base;
	struct transport *transport;
	struct mux *mux;
	const struct link_ops *ops;
	void *ctx;
	enum link_state state;
	struct event *ev_read, *ev_write, *ev_timer, *ev_run, *ev_more;
	uint64_t deadline_us;		      /* of the handshake, or of lingering */
	uint64_t timer_at_us;		      /* when ev_timer is armed for; 0: not armed */
	uint64_t rtt_next_us;		      /* when to ask the kernel again */
	uint64_t discarded, discarded_before; /* all, and until the farewell was sent */
	uint32_t handshake_ms;
	int farewell; /* transport's shutdown was queued */
	struct turn turn;
	int has_input; /* the socket is readable, or the transport's buffer */
	uint8_t *rest; /* what was read, and waits for a turn; NULL */
	size_t rest_at, rest_len;
	size_t input_size; /* to read at a time: less for a peer whose bytes take long */
	unsigned busy;
	int free_due;
};

/* Those of this thread. The head is made with the first: it holds its own address. */
static _Thread_local TAILQ_HEAD(, link) lingering_links;
static _Thread_local unsigned lingering;

static void linger_begins(struct link *l)
{
	if (!lingering++)
		TAILQ_INIT(&lingering_links);
	TAILQ_INSERT_TAIL(&lingering_links, l, lingers);
}

static void linger_ends(struct link *l)
{
	TAILQ_REMOVE(&lingering_links, l, lingers);
	lingering--;
}

static void set_state(struct link *l, enum link_state state)
{
	if (state <= l->state)
		log_error(NULL, "link: no way from %s to %s", state_names[l->state],
			  state_names[state]);
	log_debug(NULL, "link: %s -> %s", state_names[l->state], state_names[state]);
	if (state == LINK_LINGER)
		linger_begins(l);
	else if (l->state == LINK_LINGER)
		linger_ends(l);
	l->state = state;
}

unsigned link_lingering(void)
{
	return lingering;
}

static void destroy(struct link *l)
{
	if (l->state == LINK_LINGER)
		linger_ends(l);
	if (l->ev_read)
		event_free(l->ev_read);
	if (l->ev_write)
		event_free(l->ev_write);
	if (l->ev_timer)
		event_free(l->ev_timer);
	if (l->ev_run)
		event_free(l->ev_run);
	if (l->ev_more)
		event_free(l->ev_more);
	turn_cancel(&l->turn);
	mux_free(l->mux);
	account_put(l->turn.account);
	transport_free(l->transport);
	free(l->rest);
	free(l);
}

static void enter(struct link *l)
{
	l->busy++;
}

static void leave(struct link *l)
{
	if (--l->busy)
		return;
	if (l->free_due)
		destroy(l);
	else if (l->state < LINK_OVER)
		mux_reap(l->mux);
}

void link_free(struct link *l)
{
	if (!l)
		return;
	l->ops = NULL;
	if (l->busy)
		l->free_due = 1;
	else
		destroy(l);
}

static void arm_timer(struct link *l, uint64_t now_us)
{
	uint64_t at = l->deadline_us;
	struct timeval tv;
	uint64_t wait;

	if (l->state == LINK_OVER)
		return;
	if (l->state == LINK_UP)
		at = now_us + mux_timeout_us(l->mux, now_us);
	if (l->timer_at_us && l->timer_at_us <= at)
		return;
	wait = at > now_us ? at - now_us : 0;
	/* Half a millisecond later does no harm and saves wake-ups. */
	wait += 500;
	tv.tv_sec = (time_t)(wait / 1000000);
	tv.tv_usec = (suseconds_t)(wait % 1000000);
	event_add(l->ev_timer, &tv);
	l->timer_at_us = now_us + wait;
}

/* A turn, after the other events of this turn of the loop. */
static void ask_turn(struct link *l)
{
	if (l->turn.account)
		turn_ask(&l->turn);
	else
		event_active(l->ev_run, EV_TIMEOUT, 1);
}

/* Lets go of the streams' world and sees to it that CLOSE gets out. */
static void start_linger(struct link *l)
{
	set_state(l, LINK_LINGER);
	l->deadline_us = clock_us() + (uint64_t)LINK_LINGER_MS * 1000;
	event_del(l->ev_timer);
	l->timer_at_us = 0;
	arm_timer(l, clock_us());
	ask_turn(l);
}

/* Adds lost (tcpinfo.h) to the reason; NULL: there is nothing to add. */
static void add_lost(struct err *e, const char *lost)
{
	struct err was = *e;

	if (lost)
		err_set(e, was.code, "%s (%s)", was.text, lost);
}

/* Tells the owner, once, that it is over. A link that has to tell the peer why
 * (our own CLOSE is queued) lingers for that; any other goes with leave(). */
static void end(struct link *l, const struct err *why)
{
	const struct link_ops *ops = l->ops;
	struct err copy = *why;
	int tell = mux_closing(l->mux) && !mux_closed(l->mux);

	if (l->state >= LINK_LINGER)
		return;
	/* The far side may have lost its patience first, and not know why. (Where it is ours,
	 * end_silent has said it.) */
	if ((l->state < LINK_UP && why->code == ERR_CLOSED) || (!tell && why->code == ERR_TIMEOUT))
		add_lost(&copy, tcpinfo_large_unheard(l->transport->fd));
	l->ops = NULL;
	mux_detach_streams(l->mux, why->code ? why->text : "the peer ended the session");
	if (tell) {
		start_linger(l);
	} else {
		set_state(l, LINK_OVER);
		l->free_due = 1;
	}
	if (ops)
		ops->on_end(l->ctx, &copy);
}

/* Goes on in the next turn of the loop. Not by event_active: that would come before
 * the sockets are looked at again, and everybody else would starve. */
static void go_on(struct link *l)
{
	static const struct timeval at_once;

	if (l->turn.account)
		turn_ask(&l->turn);
	else
		event_add(l->ev_more, &at_once);
}

/* Moves what is in the transport's buffer, and waits for the socket if it must. 0 or
 * -1 with *e. */
static int flush(struct link *l, struct err *e)
{
	int r = l->transport->ops->flush(l->transport, e);

	if (r == TRANSPORT_WANT_WRITE)
		event_add(l->ev_write, NULL);
	/* Some transports cannot send without hearing what came in meanwhile. */
	if (l->transport->ops->pending(l->transport)) {
		l->has_input = 1;
		go_on(l);
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
		if (flush(l, e) < 0)
			return -1;
		if (t->unsent)
			return 0; /* the socket is full, or the peer: it will say when it is not */
		now_us = clock_us();
	}
	go_on(l);
	return 0;
}

static void linger_over(struct link *l)
{
	l->free_due = 1; /* leave() frees */
}

/* One step of the farewell: CLOSE out, then the transport's own, which ends the sending
 * side; then wait for the peer's end, because closing before that would throw away,
 * with a reset, what the peer has not read yet. */
static void linger(struct link *l)
{
	struct transport *t = l->transport;
	struct err e = ERR_INIT;

	if (output(l, &e) < 0) {
		linger_over(l);
		return;
	}
	if (!mux_closed(l->mux) || t->unsent)
		return;
	if (!l->farewell) {
		l->farewell = 1;
		l->discarded_before = l->discarded;
		t->ops->shutdown(t);
		if (flush(l, &e) < 0)
			linger_over(l);
	}
}

/* Sends what is due, and ends the link when that fails. */
static void run(struct link *l)
{
	struct err e = ERR_INIT;

	if (l->state == LINK_LINGER) {
		linger(l);
		return;
	}
	if (l->state != LINK_HELLO && l->state != LINK_UP)
		return;
	if (output(l, &e) < 0)
		end(l, &e);
	else
		arm_timer(l, clock_us());
}

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
		end(l, &e);
		return;
	}
	/* A handshake can leave bytes to send whatever it wants next. */
	if (flush(l, &e) < 0) {
		end(l, &e);
		return;
	}
	if (r == TRANSPORT_WANT_WRITE)
		event_add(l->ev_write, NULL);
	if (r)
		return;
	set_state(l, LINK_HELLO);
	ask_rtt(l, clock_us());
	ask_turn(l);
	/* The peer's HELLO may have come in the flight that ended the handshake. */
	l->has_input = 1;
}

/* A buffer's worth in a turn: a peer that goes on sending holds up nobody. */
static void discard(struct link *l, uint8_t *buf)
{
	struct transport *t = l->transport;
	struct err e = ERR_INIT;
	ssize_t n;

	if (l->farewell && !t->unsent && t->ops->forget)
		n = t->ops->forget(t, buf, INPUT_BUFFER);
	else
		n = t->ops->read(t, buf, INPUT_BUFFER, &e);
	if (n > 0)
		l->discarded += (uint64_t)n;
	if (l->discarded > DISCARD_MAX ||
	    (n <= 0 && n != TRANSPORT_WANT_READ && n != TRANSPORT_WANT_WRITE))
		linger_over(l);
	else if (n > 0 && t->ops->pending(t))
		l->has_input = 1;
}

void link_see_off(void)
{
	struct link *l, *next;

	for (l = lingering ? TAILQ_FIRST(&lingering_links) : NULL; l; l = next) {
		int waiting = 0;

		next = TAILQ_NEXT(l, lingers);
		if (l->busy || !l->farewell || !tcpinfo_end_arrived(l->transport->fd))
			continue;
		ioctl(l->transport->fd, FIONREAD, &waiting);
		if (!waiting || l->discarded - l->discarded_before > DISCARD_LEAVING)
			destroy(l);
	}
}

/* What is read is used up, or kept, before the next link has its turn: one buffer a thread,
 * for as long as the thread lives. NULL when memory is short. */
static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;
static int buffer_key_made;

static void make_buffer_key(void)
{
	buffer_key_made = pthread_key_create(&buffer_key, free) == 0;
}

static uint8_t *input_buffer(void)
{
	static _Thread_local uint8_t *buf;

	if (buf)
		return buf;
	pthread_once(&buffer_once, make_buffer_key);
	buf = malloc(INPUT_BUFFER);
	if (buf && buffer_key_made)
		pthread_setspecific(buffer_key, buf); /* freed with the thread */
	return buf;
}

/* What a turn has no time for is kept for the next one. 0, or -1 with *e. */
static int keep(struct link *l, const uint8_t *data, size_t len, struct err *e)
{
	if (len && !l->rest) {
		l->rest = malloc(len);
		if (!l->rest)
			return err_set(e, ERR_SPACE, "no memory for what the peer sends");
		memcpy(l->rest, data, len);
		l->rest_at = 0;
		l->rest_len = len;
		if (l->input_size > INPUT_LEAST)
			l->input_size /= 2;
	} else if (len) {
		l->rest_at = l->rest_len - len;
	} else {
		free(l->rest);
		l->rest = NULL;
	}
	return 0;
}

/* Gives the mux what came in, for as long as the turn lasts. */
static void take(struct link *l, const uint8_t *data, size_t len)
{
	uint64_t now_us = clock_us(), until_us = now_us + TURN_US;
	struct err e = ERR_INIT;
	int r;

	do {
		size_t used;

		r = mux_take(l->mux, data, len, &used, now_us, &e);
		data += used;
		len -= used;
		if (!len && !mux_owes(l->mux))
			break;
		now_us = clock_us();
	} while (!r && now_us < until_us);
	if (!r && l->state < LINK_LINGER)
		r = keep(l, data, len, &e);
	if (r)
		end(l, &e);
	else if (l->rest || mux_owes(l->mux))
		l->has_input = 1;
}

/* Asks the transport once. */
static void read_some(struct link *l, uint8_t *buf)
{
	struct transport *t = l->transport;
	size_t unsent = t->unsent;
	struct err e = ERR_INIT;
	ssize_t n;

	n = t->ops->read(t, buf, l->input_size, &e);
	/* What waited for the peer's words has gone with them; or the transport had to answer. */
	if (t->unsent != unsent)
		ask_turn(l);
	if (n == TRANSPORT_WANT_READ)
		return;
	if (n == TRANSPORT_WANT_WRITE) {
		if (flush(l, &e) < 0)
			end(l, &e);
		return;
	}
	if (n < 0) {
		if (n == TRANSPORT_EOF)
			err_set(&e, ERR_CLOSED,
				"the peer closed the connection without ending the session");
		end(l, &e);
		return;
	}
	take(l, buf, (size_t)n);
	if (!l->rest && l->input_size < INPUT_BUFFER)
		l->input_size *= 2;
	if (l->state < LINK_LINGER && t->ops->pending(t))
		l->has_input = 1;
}

static void input(struct link *l)
{
	uint8_t *buf = input_buffer();
	struct err e = ERR_INIT;

	l->has_input = 0;
	if (!buf) {
		err_set(&e, ERR_SPACE, "no memory for what the peer sends");
		end(l, &e);
	} else if (l->state == LINK_LINGER) {
		discard(l, buf);
	} else if (l->rest) {
		take(l, l->rest + l->rest_at, l->rest_len - l->rest_at);
		l->has_input = 1; /* the socket is not asked before all is taken */
	} else if (mux_owes(l->mux)) {
		take(l, buf, 0);
		l->has_input = 1;
	} else {
		read_some(l, buf);
	}
}

/* All that is due of this link, or as much as a turn has time for. */
static void turn(void *arg)
{
	struct link *l = arg;

	enter(l);
	if (l->has_input && l->state != LINK_HANDSHAKE && l->state != LINK_OVER)
		input(l);
	if (l->state != LINK_OVER)
		run(l);
	if (l->has_input && l->state < LINK_OVER)
		go_on(l);
	leave(l);
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	(void)fd;
	(void)what;
	enter(l);
	if (l->state == LINK_HANDSHAKE) {
		handshake(l);
	} else if (l->state != LINK_OVER) {
		l->has_input = 1;
		ask_turn(l);
	}
	leave(l);
}

static void on_write(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	(void)fd;
	(void)what;
	enter(l);
	if (l->state == LINK_HANDSHAKE)
		handshake(l);
	else
		ask_turn(l);
	leave(l);
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
		add_lost(e, tcpinfo_large_lost(l->transport->fd));
	end(l, e);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	struct err e = ERR_INIT;
	uint64_t now_us = clock_us();

	(void)fd;
	(void)what;
	enter(l);
	l->timer_at_us = 0;
	if (l->state == LINK_LINGER) {
		linger_over(l);
	} else if (l->state < LINK_UP && now_us >= l->deadline_us) {
		const char *lost = tcpinfo_large_lost(l->transport->fd);

		if (lost || l->transport->doing)
			err_set(&e, ERR_TIMEOUT, "not connected within %u seconds: %s",
				l->handshake_ms / 1000, lost ? lost : l->transport->doing);
		else
			err_set(&e, ERR_TIMEOUT,
				"no handshake within %u seconds: is it adit that listens there?",
				l->handshake_ms / 1000);
		end(l, &e);
	} else if (l->state == LINK_UP) {
		/* If we were held up ourselves, the peer's words wait in the socket. */
		if (mux_silent(l->mux, now_us)) {
			input(l);
			now_us = clock_us();
		}
		if (l->state == LINK_UP) {
			ask_rtt(l, now_us);
			if (mux_tick(l->mux, now_us, &e) < 0)
				end_silent(l, &e);
			else
				ask_turn(l);
		}
	}
	arm_timer(l, clock_us());
	leave(l);
}

static void on_mux_hello(void *ctx)
{
	struct link *l = ctx;

	set_state(l, LINK_UP);
	/* The timer was armed for the end of the handshake. */
	event_del(l->ev_timer);
	l->timer_at_us = 0;
	arm_timer(l, clock_us());
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

	if (l->state != LINK_OVER && l->state != LINK_HANDSHAKE)
		ask_turn(l);
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
		destroy(l);
		err_set(e, ERR_SPACE, "no memory for a connection");
		return NULL;
	}
	arm_timer(l, now_us);
	return l;
}

void link_set_deadline(struct link *l, uint64_t at_us)
{
	l->deadline_us = at_us;
	arm_timer(l, clock_us());
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
	if (l->state != LINK_HELLO && l->state != LINK_UP) {
		link_free(l);
		return;
	}
	enter(l);
	mux_close(l->mux, code, reason);
	mux_detach_streams(l->mux, reason);
	start_linger(l);
	leave(l);
}
