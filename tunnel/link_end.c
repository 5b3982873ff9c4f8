/*
 * How a link ends: see link.h, and link_i.h for whom this serves. Its states are set here, its
 * memory goes here, and what every part of it needs is here: its timer, and its turn.
 *
 * One teardown: link_i_end, with the reason. The streams are told first, DETACHES a turn, then
 * the owner. A link whose owner was told, or has let go, may linger to get its CLOSE out;
 * then it frees itself, never within a call of its own (busy).
 */
#include "tunnel/link_i.h"

#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/log.h"
#include "tunnel/tcpinfo.h"

enum {
	DETACHES = 64,		       /* streams told of the end; a session may have thousands */
	DISCARD_LEAVING = 1024 * 1024, /* a lingering link may read, where the process ends */
};

static const char *const state_names[] = {"handshake", "hello", "up", "ending", "linger", "over"};

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

void link_i_set_state(struct link *l, enum link_state state)
{
	if (state <= l->state)
		log_error(NULL, "link: no way from %s to %s", state_names[l->state],
			  state_names[state]);
	log_debug(NULL, "link: %s -> %s", state_names[l->state], state_names[state]);
	/* Others wait for its end: whatever it has cost, that is not put off. */
	if (state > LINK_UP)
		turn_hurry(&l->turn);
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

void link_i_destroy(struct link *l)
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

void link_i_enter(struct link *l)
{
	l->busy++;
}

void link_i_leave(struct link *l)
{
	if (--l->busy)
		return;
	if (l->free_due)
		link_i_destroy(l);
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
		link_i_destroy(l);
}

void link_i_arm_timer(struct link *l, uint64_t now_us)
{
	uint64_t at = l->deadline_us;
	struct timeval tv;
	uint64_t wait;

	if (l->state == LINK_OVER || l->state == LINK_ENDING)
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

void link_i_ask_turn(struct link *l)
{
	if (l->turn.account)
		turn_ask(&l->turn);
	else
		event_active(l->ev_run, EV_TIMEOUT, 1);
}

void link_i_go_on(struct link *l)
{
	static const struct timeval at_once;

	if (l->turn.account)
		turn_ask(&l->turn);
	else
		event_add(l->ev_more, &at_once); /* event_active would come before the sockets */
}

void link_i_start_linger(struct link *l)
{
	link_i_set_state(l, LINK_LINGER);
	l->deadline_us = clock_us() + (uint64_t)LINK_LINGER_MS * 1000;
	event_del(l->ev_timer);
	l->timer_at_us = 0;
	link_i_arm_timer(l, clock_us());
	link_i_ask_turn(l);
}

void link_i_linger_over(struct link *l)
{
	l->free_due = 1; /* link_i_leave() frees */
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
			link_i_destroy(l);
	}
}

void link_i_add_lost(struct err *e, const char *lost)
{
	struct err was = *e;

	if (lost)
		err_set(e, was.code, "%s (%s)", was.text, lost);
}

/* A link that has to tell the peer why (our own CLOSE is queued) lingers for that; any other
 * goes with link_i_leave(). */
void link_i_ended(struct link *l)
{
	const struct link_ops *ops = l->ops;

	l->ops = NULL;
	if (l->tell) {
		link_i_start_linger(l);
	} else {
		link_i_set_state(l, LINK_OVER);
		l->free_due = 1;
	}
	if (ops)
		ops->on_end(l->ctx, &l->why);
}

void link_i_end_some(struct link *l)
{
	if (mux_detach_some(l->mux, l->why.code ? l->why.text : "the peer ended the session",
			    DETACHES))
		link_i_go_on(l);
	else if (l->state == LINK_ENDING)
		link_i_ended(l);
}

void link_i_end(struct link *l, const struct err *why)
{
	if (l->state >= LINK_ENDING)
		return;
	l->tell = mux_closing(l->mux) && !mux_closed(l->mux);
	l->why = *why;
	/* The far side may have lost its patience first, and not know why. (Where it is ours,
	 * end_silent has said it.) */
	if ((l->state < LINK_UP && why->code == ERR_CLOSED) ||
	    (!l->tell && why->code == ERR_TIMEOUT))
		link_i_add_lost(&l->why, tcpinfo_large_unheard(l->transport->fd));
	link_i_set_state(l, LINK_ENDING);
	link_i_end_some(l);
}
