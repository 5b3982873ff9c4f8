/* See pair.h. */
#include "tests/unit/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_hello(void *ctx)
{
	struct pair_end *end = ctx;

	end->hello = 1;
}

static void on_open(void *ctx, struct stream *s, enum stream_class class, const char *target)
{
	struct pair_end *end = ctx;

	if (end->on_open)
		end->on_open(end, s, class, target);
	else
		stream_refuse(s, CODE_REFUSED, "not allowed in this test");
}

static void on_wake(void *ctx)
{
	(void)ctx;
}

static const struct mux_ops ops = {on_hello, on_open, on_wake};

void pair_init(struct pair *p, const struct session_config *client,
	       const struct session_config *server)
{
	*p = (struct pair){.now_us = 1000000};
	for (unsigned i = 0; i < 2; i++) {
		struct mux_config c = {.server = i == 1};
		const struct session_config *given = i ? server : client;

		session_config_default(&c.session);
		if (given)
			c.session = *given;
		p->end[i].mux = mux_new(&c, &ops, &p->end[i], p->now_us);
	}
}

void pair_fini(struct pair *p)
{
	for (unsigned i = 0; i < 2; i++) {
		mux_free(p->end[i].mux);
		free(p->end[i].wire);
	}
}

void pair_collect(struct pair *p, unsigned i)
{
	struct pair_end *end = &p->end[i];
	const uint8_t *data;
	size_t len;

	/* As a link does, it stops when the "socket" has enough. */
	while (end->wire_len < 256 * 1024 && mux_next(end->mux, p->now_us, &data, &len)) {
		if (end->wire_len + len > end->wire_cap) {
			end->wire_cap = end->wire_len + len + 65536;
			end->wire = realloc(end->wire, end->wire_cap);
			if (!end->wire)
				abort();
		}
		memcpy(end->wire + end->wire_len, data, len);
		end->wire_len += len;
		end->total += len;
	}
}

static void deliver(struct pair *p, unsigned from, size_t chunk)
{
	struct pair_end *a = &p->end[from], *b = &p->end[!from];
	size_t at = 0;

	while (at < a->wire_len && !b->failed) {
		size_t n = a->wire_len - at;

		if (chunk && n > chunk)
			n = chunk;
		b->failed = mux_input(b->mux, a->wire + at, n, p->now_us, &b->err);
		at += n;
	}
	a->wire_len = 0;
}

uint64_t pair_run(struct pair *p, size_t chunk, unsigned rounds)
{
	uint64_t moved = 0;

	while (rounds--) {
		uint64_t before = p->end[0].total + p->end[1].total;

		p->now_us += 11000; /* acknowledgements are due */
		for (unsigned i = 0; i < 2; i++) {
			struct err e = ERR_INIT;

			if (!p->end[i].failed && mux_tick(p->end[i].mux, p->now_us, &e) < 0) {
				p->end[i].failed = 1;
				p->end[i].err = e;
			}
			pair_collect(p, i);
			deliver(p, i, chunk);
			mux_reap(p->end[0].mux);
			mux_reap(p->end[1].mux);
		}
		before = p->end[0].total + p->end[1].total - before;
		moved += before;
		if (!before)
			break;
	}
	return moved;
}

uint8_t pair_pattern(uint32_t seed, uint64_t offset)
{
	uint64_t x = (offset >> 3) * 0x9e3779b97f4a7c15u + seed;

	x ^= x >> 29;
	return (uint8_t)(x >> (8 * (offset & 7)));
}

static ssize_t pull(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	struct pair_stream *ps = ctx;
	uint64_t n = ps->want - ps->sent;

	(void)s;
	if (!n)
		return ps->finish ? STREAM_PULL_EOF : STREAM_PULL_AGAIN;
	if (n > max)
		n = max;
	for (uint64_t i = 0; i < n; i++)
		dst[i] = pair_pattern(ps->seed_out, ps->sent + i);
	ps->sent += n;
	return (ssize_t)n;
}

static size_t push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	struct pair_stream *ps = ctx;

	(void)s;
	if (ps->stuck)
		return 0;
	if (len > ps->take_max)
		len = ps->take_max;
	for (size_t i = 0; i < len; i++)
		ps->bad += data[i] != pair_pattern(ps->seed_in, ps->got + i);
	ps->got += len;
	return len;
}

static void on_eof(void *ctx, struct stream *s)
{
	struct pair_stream *ps = ctx;

	(void)s;
	ps->eof++;
}

static void on_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	struct pair_stream *ps = ctx;

	(void)s;
	ps->reset++;
	ps->code = code;
	snprintf(ps->reason, sizeof(ps->reason), "%s", reason);
}

const struct stream_ops pair_stream_ops = {pull, push, on_eof, on_reset};
