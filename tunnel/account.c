/*
 * Accounts of peers: see account.h. Owned by a listener; an account lives for as long as a
 * link of its peer does.
 */
#include "tunnel/account.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
	HALF_LIFE_US = 65536,		  /* of what was used */
	TURN_MAX_US = 4 * ACCOUNT_RUN_US, /* what was longer had other processes in it */
};

struct account {
	LIST_ENTRY(account) link;
	struct accounts *all;
	unsigned refs;
	struct usage used;
	char peer[256];
};

struct accounts {
	LIST_HEAD(, account) peers; /* as many as have sessions */
	unsigned refs;
	TAILQ_HEAD(turn_list, turn) waiting;
	struct event *ev_run, *ev_more;
	int soon;	      /* on_run comes without anybody's doing, or runs */
	struct turn *running; /* NULL: none, or it has gone */
};

static uint64_t usage(const struct usage *u, uint64_t now_us)
{
	uint64_t lives = now_us > u->at_us ? (now_us - u->at_us) / HALF_LIFE_US : 0;

	return lives < 63 ? u->us >> lives : 0;
}

static void use(struct usage *u, uint64_t now_us, uint64_t us)
{
	u->us = usage(u, now_us) + us;
	u->at_us = now_us;
}

static struct turn *pick(const struct accounts *a, uint64_t now_us)
{
	struct turn *t, *best = NULL;
	uint64_t best_peer = 0, best_own = 0;

	TAILQ_FOREACH(t, &a->waiting, link)
	{
		uint64_t peer = usage(&t->account->used, now_us), own = usage(&t->used, now_us);

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
	uint64_t now_us, took_us;

	p->refs++;
	turn_cancel(t);
	a->running = t;
	t->fn(t->ctx);
	now_us = clock_us();
	took_us = now_us - began_us;
	if (took_us > TURN_MAX_US)
		took_us = TURN_MAX_US;
	if (a->running)
		use(&t->used, now_us, took_us);
	a->running = NULL;
	use(&p->used, now_us, took_us);
	account_put(p);
	return now_us;
}

/* Takes turns. What is left waits until the loop has looked at everything else. */
static void on_run(evutil_socket_t fd, short what, void *ctx)
{
	static const struct timeval at_once;
	struct accounts *a = ctx;
	uint64_t now_us = clock_us(), until_us = now_us + ACCOUNT_RUN_US;
	struct turn *t;

	(void)fd;
	(void)what;
	a->refs++;
	a->soon = 1; /* who asks meanwhile is seen to here */
	while (now_us < until_us && (t = pick(a, now_us)))
		now_us = run(t, now_us);
	a->soon = !TAILQ_EMPTY(&a->waiting);
	if (a->soon)
		event_add(a->ev_more, &at_once);
	accounts_free(a);
}

struct accounts *accounts_new(struct event_base *base)
{
	struct accounts *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->refs = 1;
	LIST_INIT(&a->peers);
	TAILQ_INIT(&a->waiting);
	a->ev_run = event_new(base, -1, 0, on_run, a);
	a->ev_more = evtimer_new(base, on_run, a);
	if (a->ev_run && a->ev_more)
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
	free(a);
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
