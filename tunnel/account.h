/*
 * What a peer uses of this process, over all its sessions: so that one that asks for
 * everything gets no more than its part, whatever it sends, and in how many sessions.
 *
 * The time of the event loop: whose links have something to do wait for their turn. The
 * one whose peer has had the least of late goes first, and of one peer's the link that
 * has; no more than ACCOUNT_RUN_US of such turns are taken before the loop looks at its
 * sockets, timers and signals again. Turns in which nothing was done for anybody (idle ones: frames
 * about no stream, streams that are refused) have an eighth of a processor, all peers together, and
 * a peer that has had many of them waits until there is some left: who only keeps us busy would
 * else take the place of a whole process beside those that have work to do here, which wait for
 * the processor then, however short their turn is.
 *
 * Memory: what sessions promise to take in (windows), keep until it is acknowledged, and are
 * themselves is charged to their peer. A peer may have up to twice of what is left of all,
 * so that one alone has two thirds, two have two fifths each, and there is always something left
 * for one that comes; and no more than its own limit. What is freed goes back to the system.
 */
#ifndef ADIT_TUNNEL_ACCOUNT_H
#define ADIT_TUNNEL_ACCOUNT_H

#include <stdint.h>
#include <sys/queue.h>

#include "tunnel/framebuf.h"

struct account;
struct accounts;
struct event_base;

enum { ACCOUNT_RUN_US = 1000 };

/* All peers of one event loop; NULL when memory is short. */
struct accounts *accounts_new(struct event_base *base);

struct accounts *accounts_ref(struct accounts *a);

/* Lets go of it; it is freed with the last account. NULL is fine. */
void accounts_free(struct accounts *a);

/* The most that all may hold: a quarter of the host's memory until this is called, or 64 MiB
 * where that is more. What is held already stays. */
void accounts_set_max(struct accounts *a, uint64_t bytes);
uint64_t accounts_max_default(void);
uint64_t accounts_max(const struct accounts *a);

/* What they hold. */
uint64_t accounts_held(const struct accounts *a);

/* Frames that nobody holds, for all links of the loop. */
struct framebuf_pool *accounts_frames(struct accounts *a);

/* The peer's; a new one when it has none. NULL when memory is short. Put it back. */
struct account *account_get(struct accounts *a, const char *peer);
void account_put(struct account *p);
struct accounts *account_all(struct account *p);

/* The most that p may hold; 0: as the others. */
void account_set_max(struct account *p, uint64_t bytes);

/* p holds so much more, or less. NULL is fine. */
void account_charge(struct account *p, int64_t bytes);

/* How much more it may hold; UINT64_MAX for NULL. */
uint64_t account_room(const struct account *p);

/* How much of the loop's time a peer, or a link, has had of late; zeroed is none. */
struct usage {
	uint64_t us, at_us;
};

/* So much more of it, now; what it still counts: half as much after each USAGE_HALF_LIFE_US. */
enum { USAGE_HALF_LIFE_US = 65536 };
void usage_add(struct usage *u, uint64_t now_us, uint64_t us);
uint64_t usage_left(const struct usage *u, uint64_t now_us);

/* A link's place in the queue. Embedded; not to be moved while it waits. */
struct turn {
	TAILQ_ENTRY(turn) link;
	struct account *account; /* NULL: it has no place yet */
	struct usage used;
	int waits;
	int idle;	   /* set by fn: nothing was done in it for anybody */
	unsigned idle_run; /* so many in a row were idle */
	/* Does what is due, for about ACCOUNT_RUN_US at most. May ask for another turn, and may
	 * free the turn. */
	void (*fn)(void *ctx);
	void *ctx;
};

/* fn will be called from the loop, once. */
void turn_ask(struct turn *t);

/* It will not. */
void turn_cancel(struct turn *t);

/* It has been idle long enough: it is held no more, also where it waits already. */
void turn_hurry(struct turn *t);

/* Whether it waits for more than those before it: nothing that comes in meanwhile changes that. */
int turn_held(const struct turn *t);

#endif
