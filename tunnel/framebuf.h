/*
 * Frames that were packed to be sent: kept until the peer has acknowledged them
 * (R8). Full-sized ones come from a pool, as the hot path takes one per frame.
 */
#ifndef ADIT_TUNNEL_FRAMEBUF_H
#define ADIT_TUNNEL_FRAMEBUF_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "tunnel/frame.h"

struct framebuf {
	TAILQ_ENTRY(framebuf) link;
	uint64_t seq;	 /* set when it is first given out */
	uint32_t stream; /* 0: none */
	uint32_t cap;	 /* of data */
	uint32_t len;	 /* header and payload */
	uint8_t type;
	uint8_t data[];
};

TAILQ_HEAD(framebuf_list, framebuf);

struct framebuf_pool {
	struct framebuf_list free;
	unsigned count;
};

void framebuf_pool_init(struct framebuf_pool *p);
void framebuf_pool_fini(struct framebuf_pool *p);

/* A buffer for a full frame; NULL when memory is short. */
struct framebuf *framebuf_get(struct framebuf_pool *p);

/* A buffer of exactly payload_len, outside of the pool; NULL when memory is short. */
struct framebuf *framebuf_small(size_t payload_len);

/* Gives a buffer of either kind back. NULL is fine. */
void framebuf_put(struct framebuf_pool *p, struct framebuf *fb);

/* What keeping fb costs, in bytes. The smallest count for more than they take, so that a budget
 * bounds their number, too: a million of them take long to free. */
enum { FRAMEBUF_COST_MIN = 2048 };
size_t framebuf_cost(const struct framebuf *fb);

#endif
