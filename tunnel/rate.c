/*
 * A rate limit shared by streams (R9): a bucket that may go into debt by one
 * frame, so that a turn is never cut into crumbs. See stream.h.
 */
#include "tunnel/mux_i.h"

#include <stdlib.h>

/* Beyond it nothing is limited, and a second's worth stays within an int64_t with room. */
static const uint64_t RATE_MAX = UINT64_C(1) << 50;

enum { BURST_US = 25000, CHUNK_MIN = 4096, CHUNKS_A_SECOND = 50 };

struct rate {
	uint64_t bytes_per_s; /* 0: no limit */
	int64_t tokens;	      /* bytes that may go now; negative: debt */
	uint64_t refilled_us; /* 0: never */
};

struct rate *rate_new(uint64_t bytes_per_s)
{
	struct rate *r = calloc(1, sizeof(*r));

	if (r)
		rate_set(r, bytes_per_s);
	return r;
}

void rate_set(struct rate *r, uint64_t bytes_per_s)
{
	r->bytes_per_s = bytes_per_s < RATE_MAX ? bytes_per_s : RATE_MAX;
	/* An old debt is not paid at the new rate. */
	r->tokens = 0;
}

void rate_free(struct rate *r)
{
	free(r);
}

uint64_t rate_wait_us(struct rate *r, uint64_t now_us)
{
	int64_t burst, gain;
	uint64_t elapsed;

	if (!r->bytes_per_s)
		return 0;
	burst = (int64_t)(r->bytes_per_s / (1000000 / BURST_US)) + CHUNK_MIN;
	/* The clock of another session that shares it may be a turn behind. */
	elapsed = now_us > r->refilled_us ? now_us - r->refilled_us : 0;
	if (!r->refilled_us || elapsed > 1000000)
		elapsed = 1000000;
	gain = (int64_t)((double)r->bytes_per_s * (double)elapsed / 1e6);
	/* Small gains wait until they are whole bytes, lest rounding eats them. */
	if (gain > 0) {
		r->tokens += gain;
		r->refilled_us = now_us;
	}
	if (r->tokens > burst)
		r->tokens = burst;
	if (r->tokens > 0)
		return 0;
	return (uint64_t)((double)(1 - r->tokens) * 1e6 / (double)r->bytes_per_s) + 1;
}

size_t rate_chunk(const struct rate *r, size_t max)
{
	uint64_t chunk = r->bytes_per_s / CHUNKS_A_SECOND;

	if (!r->bytes_per_s)
		return max;
	if (chunk < CHUNK_MIN)
		chunk = CHUNK_MIN;
	return chunk < max ? (size_t)chunk : max;
}

void rate_spend(struct rate *r, size_t bytes)
{
	if (r->bytes_per_s)
		r->tokens -= (int64_t)bytes;
}
