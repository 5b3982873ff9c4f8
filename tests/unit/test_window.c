/* A session's memory budget: two real muxes joined in memory, and readers that stand still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/pair.h"

enum { MOST = 4096 };

/* Two ends, streams from the one to the other, in the order in which they were opened. */
struct bench {
	struct pair p;
	struct session_config config;
	struct pair_stream out[MOST], in[MOST];
	unsigned opened, taken;
	int stuck; /* so they begin */
	uint64_t most_queued, most_granted;
};

static void take(struct pair_end *end, struct stream *s, enum stream_class c, const char *target)
{
	struct bench *b = end->user;
	struct pair_stream *ps = &b->in[b->taken++];

	(void)c;
	(void)target;
	*ps = (struct pair_stream){.s = s, .take_max = SIZE_MAX, .finish = 1, .stuck = b->stuck};
	stream_accept(s, &pair_stream_ops, ps);
	stream_ready(s);
}

static struct bench *bench_new(uint64_t memory, uint32_t window_max, uint32_t streams_max)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	session_config_default(&b->config);
	b->config.memory_max_bytes = memory;
	b->config.window_max_bytes = window_max;
	b->config.streams_max = streams_max;
	pair_init(&b->p, NULL, &b->config);
	b->p.end[1].on_open = take;
	b->p.end[1].user = b;
	pair_run(&b->p, 0, 20);
	return b;
}

static void bench_free(struct bench *b)
{
	struct session_stats st;

	for (unsigned i = 0; i < b->opened; i++) {
		stream_free(b->out[i].s);
		stream_free(b->in[i].s);
	}
	pair_run(&b->p, 0, 200);
	mux_stats(b->p.end[1].mux, &st);
	assert_int_equal(st.granted_bytes, 0);
	assert_int_equal(st.queued_bytes, 0);
	assert_int_equal(st.streams, 0);
	assert_false(b->p.end[0].failed || b->p.end[1].failed);
	pair_fini(&b->p);
	free(b);
}

/* Rounds, each of which is held to the budget. */
static void run(struct bench *b, unsigned rounds)
{
	struct session_stats st;

	while (rounds--) {
		pair_run(&b->p, 0, 1);
		mux_stats(b->p.end[1].mux, &st);
		if (st.queued_bytes > b->most_queued)
			b->most_queued = st.queued_bytes;
		if (st.granted_bytes > b->most_granted)
			b->most_granted = st.granted_bytes;
		assert_true(st.queued_bytes <= b->config.memory_max_bytes);
		assert_true(st.granted_bytes <= b->config.memory_max_bytes);
	}
}

static void open_some(struct bench *b, unsigned n, uint64_t want)
{
	struct err e = ERR_INIT;

	while (n--) {
		struct pair_stream *ps = &b->out[b->opened++];

		*ps = (struct pair_stream){.want = want, .take_max = SIZE_MAX, .finish = 1};
		ps->s = mux_open(b->p.end[0].mux, STREAM_OTHER, "x", &pair_stream_ops, ps, &e);
		assert_non_null(ps->s);
		stream_ready(ps->s);
	}
}

/* Everybody reads again, and gets all of it. */
static void finish(struct bench *b, unsigned rounds)
{
	unsigned left = b->opened;

	for (unsigned i = 0; i < b->opened; i++)
		b->in[i].stuck = 0;
	for (unsigned r = 0; r < rounds && left; r++) {
		left = 0;
		for (unsigned i = 0; i < b->opened; i++) {
			stream_drain(b->in[i].s);
			left += !b->in[i].eof;
		}
		run(b, 1);
	}
	assert_int_equal(left, 0);
	for (unsigned i = 0; i < b->opened; i++) {
		assert_int_equal(b->in[i].got, b->out[i].want);
		assert_int_equal(b->in[i].bad, 0);
	}
}

static void test_window_stalled_streams_without_end_stay_within_a_small_budget(void **state)
{
	struct bench *b = bench_new(1 << 20, 64 << 20, MOST);

	(void)state;
	b->stuck = 1;
	open_some(b, MOST, 3000);
	run(b, 500);
	assert_int_equal(b->taken, MOST);
	/* It is made use of, and nobody is left out. */
	assert_true(b->most_queued >= b->config.memory_max_bytes / 4);
	for (unsigned i = 0; i < MOST; i++)
		assert_true(b->out[i].sent > 0);
	finish(b, 3000);
	bench_free(b);
}

static void test_window_full_windows_and_new_streams_stay_within_the_budget(void **state)
{
	struct bench *b = bench_new(4 << 20, 1 << 20, 64);

	(void)state;
	/* A long path, on which four streams get all that there is. */
	mux_set_rtt(b->p.end[1].mux, 1000000);
	open_some(b, 4, 48 << 20);
	run(b, 600);
	assert_true(b->most_granted > 3 << 20);
	for (unsigned i = 0; i < 4; i++)
		b->in[i].stuck = 1;
	run(b, 100);
	b->stuck = 1;
	open_some(b, 59, 1 << 20);
	run(b, 500);
	assert_int_equal(b->taken, 63);
	assert_true(b->most_queued > 3 << 20);
	/* One that can move does, whatever the others hold. */
	b->stuck = 0;
	open_some(b, 1, 100000);
	run(b, 500);
	assert_int_equal(b->in[63].got, 100000);
	assert_int_equal(b->in[63].eof, 1);
	finish(b, 6000);
	bench_free(b);
}

/* A window that has become smaller, and credit that was given before and is still out. */
static void test_window_that_shrinks_is_charged_with_its_credit(void **state)
{
	struct bench *b = bench_new(2 << 20, 1 << 20, 8);

	(void)state;
	mux_set_rtt(b->p.end[1].mux, 200000);
	open_some(b, 1, 16 << 20);
	run(b, 120);
	/* It drips from now on: its window shrinks. */
	b->in[0].take_max = 1000;
	for (unsigned i = 0; i < 300; i++) {
		stream_drain(b->in[0].s);
		run(b, 1);
	}
	b->stuck = 1;
	open_some(b, 7, 4 << 20);
	run(b, 300);
	b->in[0].take_max = SIZE_MAX;
	finish(b, 3000);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_window_stalled_streams_without_end_stay_within_a_small_budget),
	    cmocka_unit_test(test_window_full_windows_and_new_streams_stay_within_the_budget),
	    cmocka_unit_test(test_window_that_shrinks_is_charged_with_its_credit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
