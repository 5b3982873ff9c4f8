/*
 * Accounts of peers: see account.h. Owned by a listener; an account lives for as long as a
 * link of its peer does.
 */
#include "tunnel/account.h"

#include <event2/event.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

enum {
	FAIR = 2,     /* a peer may hold so many times of what is left */
	MAX_PART = 4, /* of the host's memory */
	MAX_LEAST = 64 << 20,
	TRIM_BYTES = 32 << 20,
	TRIM_EVERY_S = 1,
	TURN_MAX_US = 4 * ACCOUNT_RUN_US, /* what was longer had other processes in it */
	/* Idle turns: their part of a processor, what may be had at once of it, and what a peer may
	 * have of late, over all its links, whatever is left. */
	IDLE_PART = 8,
	IDLE_BURST_US = 10000,
	IDLE_PEER_US = 1000,
	IDLE_RUN = 2,	     /* in a row, and not one before: one may be anybody's (a PING) */
	IDLE_LEAST_US = 500, /* to wait: a timer's grain */
};

struct account {
	LIST_ENTRY(account) link;
	struct accounts *all;
	unsigned refs;
	struct usage used, used_idle;
	uint64_t held_bytes, max_bytes; /* max 0: none of its own */
	char peer[256];
};

struct accounts {
	LIST_HEAD(, account) peers; /* as many as have sessions */
	unsigned refs;
	TAILQ_HEAD(turn_list, turn) waiting;
	struct event *ev_run, *ev_more, *ev_trim;
	uint64_t held_bytes, max_bytes;
	uint64_t peak_bytes; /* held at most since what was freed went back last */
	struct framebuf_pool frames;
	int64_t idle_left_us; /* below 0: idle turns have had too much */
	uint64_t idle_at_us;  /* when that was right */
	int soon;	      /* on_run comes without anybody's doing, or runs */
	struct turn *running; /* NULL: none, or it has gone */
};

uint64_t usage_left(const struct usage *u, uint64_t now_us)
{
	uint64_t lives = now_us > u->at_us ? (now_us - u->at_us) / USAGE_HALF_LIFE_US : 0;

	return lives < 63 ? u->us >> lives : 0;
}

void usage_add(struct usage *u, uint64_t now_us, uint64_t us)
{
	uint64_t lives = now_us > u->at_us ? (now_us - u->at_us) / USAGE_HALF_LIFE_US : 0;

	/* What is left of a half-life counts on, or who is never idle would have all kept. */
	u->us = usage_left(u, now_us) + us;
	u->at_us = u->at_us ? u->at_us + lives * USAGE_HALF_LIFE_US : now_us;
}

static void idle_refill(struct accounts *a, uint64_t now_us)
{
	uint64_t us = now_us > a->idle_at_us ? (now_us - a->idle_at_us) / IDLE_PART : 0;

	a->idle_at_us += us * IDLE_PART;
	if (us > IDLE_BURST_US)
		us = IDLE_BURST_US;
	a->idle_left_us += (int64_t)us;
	if (a->idle_left_us > IDLE_BURST_US)
		a->idle_left_us = IDLE_BURST_US;
}

static void idle_spend(struct turn *t, uint64_t now_us, uint64_t us)
{
	struct accounts *a = t->account->all;

	usage_add(&t->account->used_idle, now_us, us);
	/* What is owed bounds how long somebody waits, also when the others have gone. */
	a->idle_left_us -= (int64_t)us;
	if (a->idle_left_us < -IDLE_BURST_US)
		a->idle_left_us = -IDLE_BURST_US;
}

static int held(const struct turn *t, uint64_t now_us)
{
	return t->idle_run >= IDLE_RUN && t->account->all->idle_left_us <= 0 &&
	       usage_left(&t->account->used_idle, now_us) > IDLE_PEER_US;
}

/* NULL: none may now. */
static struct turn *pick(const struct accounts *a, uint64_t now_us)
{
	struct turn *t, *best = NULL;
	uint64_t best_peer = 0, best_own = 0;

	TAILQ_FOREACH(t, &a->waiting, link)
	{
		uint64_t peer = usage_left(&t->account->used, now_us),
			 own = usage_left(&t->used, now_us);

		if (held(t, now_us))
			continue;
		if (best && (peer > best_peer || (peer == best_peer && own >= best_own)))
			continue;
		best = t;
		best_peer = peer;
		best_own = own;
	}
	return best;
}

/* Has t do its work, and charges it. Returns the time. */
static uint64_t run(struct turn *t, uint64_t began_us)
{
	struct account *p = t->account;
	struct accounts *a = p->all;
	/* By the clock a turn may have been as long as another process had the processor. */
	uint64_t cpu_us = t->idle_run ? clock_cpu_us() : 0, now_us, took_us;

	p->refs++;
	turn_cancel(t);
	a->running = t;
	t->idle = 0;
	t->fn(t->ctx);
	now_us = clock_us();
	took_us = now_us - began_us;
	if (took_us > TURN_MAX_US)
		took_us = TURN_MAX_US;
	if (a->running) {
		usage_add(&t->used, now_us, took_us);
		if (t->idle && t->idle_run)
			idle_spend(t, now_us, clock_cpu_us() - cpu_us);
		t->idle_run = t->idle ? t->idle_run + 1 : 0;
	}
	a->running = NULL;
	usage_add(&p->used, now_us, took_us);
	account_put(p);
	return now_us;
}

/* on_run comes again: at once, or when those that wait may have their turns. */
static void go_on(struct accounts *a, uint64_t now_us)
{
	uint64_t wait_us = 0;
	struct timeval tv;

	a->soon = 0;
	if (TAILQ_EMPTY(&a->waiting))
		return;
	a->soon = pick(a, now_us) != NULL;
	if (!a->soon)
		wait_us = IDLE_LEAST_US + (uint64_t)-a->idle_left_us * IDLE_PART;
	tv.tv_sec = (time_t)(wait_us / 1000000);
	tv.tv_usec = (suseconds_t)(wait_us % 1000000);
	event_add(a->ev_more, &tv);
}

/* Takes turns. What is left waits until the loop has looked at everything else. */
static void on_run(evutil_socket_t fd, short what, void *ctx)
{
	struct accounts *a = ctx;
	uint64_t now_us = clock_us(), until_us = now_us + ACCOUNT_RUN_US;
	struct turn *t;

	(void)fd;
	(void)what;
	a->refs++;
	a->soon = 1; /* who asks meanwhile is seen to here */
	idle_refill(a, now_us);
	while (now_us < until_us && (t = pick(a, now_us)))
		now_us = run(t, now_us);
	go_on(a, now_us);
	accounts_free(a);
}

static void on_trim(evutil_socket_t fd, short what, void *ctx);

struct accounts *accounts_new(struct event_base *base)
{
	struct accounts *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->refs = 1;
	LIST_INIT(&a->peers);
	TAILQ_INIT(&a->waiting);
	framebuf_pool_init(&a->frames);
	a->max_bytes = accounts_max_default();
	a->ev_trim = evtimer_new(base, on_trim, a);
	a->ev_run = event_new(base, -1, 0, on_run, a);
	a->ev_more = evtimer_new(base, on_run, a);
	if (a->ev_run && a->ev_more && a->ev_trim)
		return a;
	accounts_free(a);
	return NULL;
}

void accounts_free(struct accounts *a)
{
	if (!a || --a->refs)
		return;
	if (a->ev_run)
		event_free(a->ev_run);
	if (a->ev_more)
		event_free(a->ev_more);
	if (a->ev_trim)
		event_free(a->ev_trim);
	framebuf_pool_fini(&a->frames);
	free(a);
}

struct accounts *accounts_ref(struct accounts *a)
{
	a->refs++;
	return a;
}

uint64_t accounts_max_default(void)
{
	uint64_t part = memory_of_host() / MAX_PART;

	return part > MAX_LEAST ? part : MAX_LEAST;
}

void accounts_set_max(struct accounts *a, uint64_t bytes)
{
	a->max_bytes = bytes;
}

uint64_t accounts_max(const struct accounts *a)
{
	return a->max_bytes;
}

uint64_t accounts_held(const struct accounts *a)
{
	return a->held_bytes;
}

struct framebuf_pool *accounts_frames(struct accounts *a)
{
	return &a->frames;
}

struct accounts *account_all(struct account *p)
{
	return p->all;
}

void account_set_max(struct account *p, uint64_t bytes)
{
	p->max_bytes = bytes;
}

/* Much was freed, which malloc keeps. */
static int has_to_trim(const struct accounts *a)
{
	return a->peak_bytes > a->held_bytes + TRIM_BYTES && a->held_bytes < a->peak_bytes / 2;
}

static void on_trim(evutil_socket_t fd, short what, void *ctx)
{
	struct accounts *a = ctx;

	(void)fd;
	(void)what;
	if (!has_to_trim(a))
		return;
	framebuf_pool_fini(&a->frames);
	malloc_trim(0);
	a->peak_bytes = a->held_bytes;
}

void account_charge(struct account *p, int64_t bytes)
{
	static const struct timeval soon = {TRIM_EVERY_S, 0};
	struct accounts *a;

	if (!p)
		return;
	a = p->all;
	p->held_bytes += (uint64_t)bytes;
	a->held_bytes += (uint64_t)bytes;
	if (a->held_bytes > a->peak_bytes)
		a->peak_bytes = a->held_bytes;
	else if (bytes < 0 && has_to_trim(a) && !event_pending(a->ev_trim, EV_TIMEOUT, NULL))
		event_add(a->ev_trim, &soon);
}

uint64_t account_room(const struct account *p)
{
	const struct accounts *a;
	uint64_t limit, room = 0;

	if (!p)
		return UINT64_MAX;
	a = p->all;
	limit = a->max_bytes > a->held_bytes ? FAIR * (a->max_bytes - a->held_bytes) : 0;
	/* What it takes is not left of all any more, which counts FAIR times. */
	if (limit > p->held_bytes)
		room = (limit - p->held_bytes) / (FAIR + 1);
	if (!p->max_bytes)
		return room;
	limit = p->max_bytes > p->held_bytes ? p->max_bytes - p->held_bytes : 0;
	return room < limit ? room : limit;
}

struct account *account_get(struct accounts *a, const char *peer)
{
	struct account *p;

	LIST_FOREACH(p, &a->peers, link)
	{
		if (strcmp(p->peer, peer) == 0) {
			p->refs++;
			return p;
		}
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->all = a;
	a->refs++;
	p->refs = 1;
	snprintf(p->peer, sizeof(p->peer), "%s", peer);
	LIST_INSERT_HEAD(&a->peers, p, link);
	return p;
}

void account_put(struct account *p)
{
	if (!p || --p->refs)
		return;
	LIST_REMOVE(p, link);
	accounts_free(p->all);
	free(p);
}

void turn_ask(struct turn *t)
{
	struct accounts *a = t->account->all;

	if (t->waits)
		return;
	t->waits = 1;
	TAILQ_INSERT_TAIL(&a->waiting, t, link);
	if (a->soon)
		return;
	a->soon = 1;
	/* Behind the events of this turn of the loop. */
	event_active(a->ev_run, EV_TIMEOUT, 1);
}

void turn_cancel(struct turn *t)
{
	if (!t->account)
		return;
	if (t->account->all->running == t)
		t->account->all->running = NULL;
	if (!t->waits)
		return;
	TAILQ_REMOVE(&t->account->all->waiting, t, link);
	t->waits = 0;
}

int turn_held(const struct turn *t)
{
	/* (the clock is asked for few) */
	return t->waits && t->idle_run >= IDLE_RUN && held(t, clock_us());
}

void turn_hurry(struct turn *t)
{
	t->idle_run = 0;
	if (!t->waits)
		return;
	turn_cancel(t);
	turn_ask(t);
}
