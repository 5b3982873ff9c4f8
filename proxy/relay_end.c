/*
 * How a relay ends: see relay.h. It frees itself on a turn of the loop of its own, when
 * nothing of it is on the stack.
 *
 * A session may end with thousands of relays, and to close an endpoint takes some
 * 20 us: those that end with their session, or are let go of, wait in a line, of which a
 * turn of the loop closes RELAY_CLOSES at a time, for ACCOUNT_RUN_US, as
 * links do what is due. The relay at the head has its reap event armed.
 */
#include "proxy/relay_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "tunnel/account.h"

enum { CLOSINGS_MAX = 8192 }; /* endpoints that are to be closed: who comes then is at once */

static const struct timeval at_once;

static const char *const state_names[] = {"connecting", "running", "over"};

void relay_i_set_state(struct relay *r, enum relay_state to)
{
	if (to <= r->state)
		log_error(NULL, "relay of %s: no way from %s to %s", stream_target(r->stream),
			  state_names[r->state], state_names[to]);
	log_debug(NULL, "relay of %s: %s -> %s", stream_target(r->stream), state_names[r->state],
		  state_names[to]);
	r->state = to;
}

/* Closes the endpoint; abort: so that its program sees an error where it can. */
static void close_endpoint(struct relay *r, int abort)
{
	static const struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (r->fd < 0)
		return;
	event_del(&r->read);
	event_del(&r->write);
	event_del(&r->check);
	if (abort && r->tcp)
		setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	else if (abort)
		shutdown(r->fd, SHUT_RDWR);
	fd_close(&r->fd);
}

/* ---- the line of those whose endpoints are to be closed ---- */

/* Those of this thread. The head is made with the first: it holds its own address. */
static _Thread_local TAILQ_HEAD(, relay) closing;
static _Thread_local unsigned closings;

/* The one at the head goes on in the next turn of the loop, with those behind it. */
static void close_soon(void)
{
	if (closings)
		event_add(&TAILQ_FIRST(&closing)->reap, &at_once);
}

static void enter_line(struct relay *r)
{
	if (!closings++)
		TAILQ_INIT(&closing);
	TAILQ_INSERT_TAIL(&closing, r, line);
	r->in_line = 1;
	if (closings == 1)
		close_soon();
}

static void leave_line(struct relay *r)
{
	int was_first;

	if (!r->in_line)
		return;
	was_first = r == TAILQ_FIRST(&closing);
	TAILQ_REMOVE(&closing, r, line);
	closings--;
	r->in_line = 0;
	if (was_first)
		close_soon();
}

static void leave_list(struct relay *r)
{
	if (r->listed.le_prev)
		LIST_REMOVE(r, listed);
	r->listed.le_prev = NULL;
}

/* Its last act. */
static void finish(struct relay *r)
{
	leave_line(r);
	leave_list(r);
	event_del(&r->reap);
	connector_cancel(r->connector);
	close_endpoint(r, r->code != CODE_NONE);
	r->ending = 1;
	if (r->on_end)
		r->on_end(r->ctx, r, r->code, r->reason);
	stream_free(r->stream);
	free(r);
}

void relay_i_on_reap(evutil_socket_t fd, short what, void *ctx)
{
	uint64_t until_us = clock_us() + ACCOUNT_RUN_US;
	struct relay *r = ctx;

	(void)fd;
	(void)what;
	if (!r->in_line) {
		finish(r);
		return;
	}
	do {
		for (int i = 0; i < RELAY_CLOSES && closings; i++)
			finish(TAILQ_FIRST(&closing));
	} while (closings && clock_us() < until_us);
}

void relay_see_off(void)
{
	while (closings)
		finish(TAILQ_FIRST(&closing));
}

void relay_i_end(struct relay *r, enum code code, const char *reason)
{
	relay_i_set_state(r, RELAY_OVER);
	connector_cancel(r->connector);
	r->connector = NULL;
	close_endpoint(r, code != CODE_NONE);
	r->code = code;
	snprintf(r->reason, sizeof(r->reason), "%s", reason);
	event_active(&r->reap, EV_TIMEOUT, 0);
}

void relay_i_end_with_session(struct relay *r, const char *reason)
{
	if (closings >= CLOSINGS_MAX) {
		relay_i_end(r, CODE_SESSION, reason);
		return;
	}
	relay_i_set_state(r, RELAY_OVER);
	r->code = CODE_SESSION;
	snprintf(r->reason, sizeof(r->reason), "%s", reason);
	enter_line(r);
}

void relay_cancel(struct relay *r, enum code code, const char *reason)
{
	if (!r || r->ending)
		return;
	if (r->state != RELAY_OVER) {
		stream_reset(r->stream, code, reason);
		r->code = code == CODE_NONE ? CODE_CANCELLED : code;
	}
	r->on_end = NULL;
	finish(r);
}

void relay_let_go(struct relay *r, enum code code, const char *reason)
{
	if (!r || r->ending)
		return;
	if (!r->in_line && (r->state == RELAY_OVER || closings >= CLOSINGS_MAX)) {
		relay_cancel(r, code, reason);
		return;
	}
	leave_list(r);
	r->on_end = NULL;
	if (!r->in_line) {
		stream_reset(r->stream, code, reason);
		relay_i_set_state(r, RELAY_OVER);
		r->code = code == CODE_NONE ? CODE_CANCELLED : code;
		enter_line(r);
	}
	stream_free(r->stream);
	r->stream = NULL;
}

/* ---- all of one owner ---- */

void relay_list_add(struct relay_list *all, struct relay *r)
{
	LIST_INSERT_HEAD(all, r, listed);
}

void relay_list_let_go(struct relay_list *all, enum code code, const char *reason)
{
	while (!LIST_EMPTY(all))
		relay_let_go(LIST_FIRST(all), code, reason);
}

bool relay_list_is_leaving(const struct relay_list *all)
{
	const struct relay *r;

	LIST_FOREACH(r, all, listed)
	if (relay_is_leaving(r))
		return true;
	return false;
}

void relay_log_end(const struct relay *r, const char *peer, enum code code, const char *reason)
{
	struct log_ctx about = {.peer = peer, .stream = stream_id(r->stream)};
	const char *target = stream_target(r->stream);

	if (code == CODE_NONE)
		log_debug(&about, "%s: ended", target);
	else if (r->opened && (code == CODE_REFUSED || code == CODE_UNREACHABLE))
		log_warn(&about, "%s: %s: %s", target,
			 code == CODE_REFUSED ? "refused by the peer" : "at the peer", reason);
	else if (code == CODE_UNREACHABLE) /* (which says of what) */
		log_warn(&about, "%s", reason);
	else if (code != CODE_SESSION)
		log_info(&about, "%s: %s", target, *reason ? reason : code_name(code));
}
