/* Buffers of frames: see framebuf.h. */
#include "tunnel/framebuf.h"

#include <stdlib.h>

/* Enough for what is in flight on a fast local path; more would only cool the caches. */
enum { POOL_MAX = 32 };

void framebuf_pool_init(struct framebuf_pool *p)
{
	TAILQ_INIT(&p->free);
	p->count = 0;
}

void framebuf_pool_fini(struct framebuf_pool *p)
{
	struct framebuf *fb;

	while ((fb = TAILQ_FIRST(&p->free))) {
		TAILQ_REMOVE(&p->free, fb, link);
		free(fb);
	}
	p->count = 0;
}

static struct framebuf *alloc(size_t cap)
{
	struct framebuf *fb = malloc(sizeof(*fb) + cap);

	if (fb)
		*fb = (struct framebuf){.cap = (uint32_t)cap};
	return fb;
}

struct framebuf *framebuf_get(struct framebuf_pool *p)
{
	/* The last one that came back is the one that the caches still hold. */
	struct framebuf *fb = TAILQ_FIRST(&p->free);

	if (!fb)
		return alloc(FRAME_MAX);
	TAILQ_REMOVE(&p->free, fb, link);
	p->count--;
	return fb;
}

struct framebuf *framebuf_small(size_t payload_len)
{
	return alloc(FRAME_HEADER_LEN + payload_len);
}

void framebuf_put(struct framebuf_pool *p, struct framebuf *fb)
{
	if (!fb)
		return;
	if (fb->cap != FRAME_MAX || p->count >= POOL_MAX) {
		free(fb);
		return;
	}
	TAILQ_INSERT_HEAD(&p->free, fb, link);
	p->count++;
}

size_t framebuf_cost(const struct framebuf *fb)
{
	size_t cost = sizeof(*fb) + fb->cap;

	return cost < FRAMEBUF_COST_MIN ? FRAMEBUF_COST_MIN : cost;
}
