/* Two real muxes joined in memory: who may send how much, and who comes first. Credit, priority,
 * rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/test_mux_fixture.h"

static void test_mux_stuck_reader_holds_up_nobody_and_stays_in_its_window(void **state)
{
	struct mux_fixture_taker t = {0};
	struct pair_stream stuck = {.want = 100 << 20, .take_max = SIZE_MAX};
	struct pair_stream flows = {.want = 8 << 20, .finish = 1, .take_max = SIZE_MAX};
	struct session_stats st;
	struct pair p;

	(void)state;
	t.model = (struct pair_stream){.take_max = SIZE_MAX, .stuck = 1};
	mux_fixture_start(&p, &t, NULL);
	mux_fixture_open(&p, STREAM_DISK, "stuck", &stuck);
	pair_run(&p, 0, 1);
	t.model.stuck = 0;
	mux_fixture_open(&p, STREAM_RAM, "flows", &flows);
	pair_run(&p, 0, 1000);
	assert_int_equal(t.ps[1].got, 8 << 20);
	assert_int_equal(t.ps[1].bad, 0);
	assert_int_equal(t.ps[1].eof, 1);
	assert_int_equal(t.ps[0].got, 0);
	mux_stats(p.end[1].mux, &st);
	assert_true(st.queued_bytes > 0 && st.queued_bytes <= 512 * 1024);
	assert_true(stuck.sent <= 512 * 1024);
	/* And when it moves again, nothing is lost. */
	t.ps[0].stuck = 0;
	for (int i = 0; i < 2000 && t.ps[0].got < 100u << 20; i++) {
		stream_drain(t.ps[0].s);
		pair_run(&p, 0, 1);
	}
	assert_int_equal(t.ps[0].got, 100 << 20);
	assert_int_equal(t.ps[0].bad, 0);
	stream_free(stuck.s);
	stream_free(flows.s);
	stream_free(t.ps[0].s);
	stream_free(t.ps[1].s);
	pair_fini(&p);
}

static void test_mux_windows_stay_within_the_budget(void **state)
{
	struct mux_fixture_taker *t = calloc(1, sizeof(*t));
	struct pair_stream *ps = calloc(MUX_FIXTURE_MANY, sizeof(*ps));
	struct session_config c;
	struct session_stats st;
	struct pair p;

	(void)state;
	assert_true(t && ps);
	t->model = (struct pair_stream){.take_max = SIZE_MAX, .stuck = 1};
	session_config_default(&c);
	c.memory_max_bytes = 40 << 20;
	mux_fixture_start(&p, t, &c);
	for (unsigned i = 0; i < MUX_FIXTURE_MANY; i++) {
		ps[i] = (struct pair_stream){.want = 4 << 20, .take_max = SIZE_MAX};
		mux_fixture_open(&p, STREAM_OTHER, "x", &ps[i]);
	}
	pair_run(&p, 0, 3000);
	mux_stats(p.end[1].mux, &st);
	assert_int_equal(st.streams, MUX_FIXTURE_MANY);
	assert_true(st.granted_bytes <= c.memory_max_bytes);
	assert_true(st.queued_bytes <= c.memory_max_bytes);
	assert_true(st.queued_bytes >= c.memory_max_bytes / 4); /* what is free for newcomers */
	for (unsigned i = 0; i < MUX_FIXTURE_MANY; i++) {
		stream_free(ps[i].s);
		stream_free(t->ps[i].s);
	}
	pair_run(&p, 0, 100);
	mux_stats(p.end[1].mux, &st);
	assert_int_equal(st.granted_bytes, 0);
	assert_int_equal(st.queued_bytes, 0);
	pair_fini(&p);
	free(t);
	free(ps);
}

static void test_mux_control_goes_before_bulk(void **state)
{
	struct mux_fixture_taker t = {0};
	struct pair_stream bulk = {.want = 64 << 20, .take_max = SIZE_MAX};
	struct pair_stream control = {.take_max = SIZE_MAX};
	struct pair p;

	(void)state;
	t.model = (struct pair_stream){.take_max = SIZE_MAX};
	mux_fixture_start(&p, &t, NULL);
	mux_fixture_open(&p, STREAM_DISK, "bulk", &bulk);
	mux_fixture_open(&p, STREAM_CONTROL, "control", &control);
	pair_run(&p, 0, 10);
	for (int i = 0; i < 20; i++) {
		uint64_t sent = bulk.sent;

		control.want += 100;
		stream_ready(control.s);
		stream_ready(bulk.s);
		pair_collect(&p, 0);
		assert_int_equal(control.sent, control.want);
		/* It was the first frame: whatever of the bulk went along came after it. */
		assert_true(bulk.sent - sent <= 256 * 1024 + 65536);
		pair_run(&p, 0, 1);
		assert_int_equal(t.ps[1].got, control.want);
	}
	stream_free(bulk.s);
	stream_free(control.s);
	stream_free(t.ps[0].s);
	stream_free(t.ps[1].s);
	pair_fini(&p);
}

static void test_mux_rate_caps_the_sum_and_can_be_changed(void **state)
{
	struct mux_fixture_taker t = {0};
	struct pair_stream a = {.want = 1 << 30, .take_max = SIZE_MAX};
	struct pair_stream b = {.want = 1 << 30, .take_max = SIZE_MAX};
	struct rate *r = rate_new(10 << 20);
	struct pair p;

	(void)state;
	t.model = (struct pair_stream){.take_max = SIZE_MAX};
	mux_fixture_start(&p, &t, NULL);
	mux_fixture_open(&p, STREAM_RAM, "a", &a);
	mux_fixture_open(&p, STREAM_DISK, "b", &b);
	stream_set_rate(a.s, r);
	stream_set_rate(b.s, r);
	for (int speed = 5; speed <= 20; speed *= 2) {
		uint64_t before = a.sent + b.sent, from_us = p.now_us;
		double rate;

		rate_set(r, (uint64_t)speed << 20);
		while (p.now_us - from_us < 2000000)
			pair_run(&p, 0, 1);
		rate = (double)(a.sent + b.sent - before) * 1e6 / (double)(p.now_us - from_us);
		assert_true(rate > 0.9 * speed * (1 << 20) && rate < 1.1 * speed * (1 << 20));
	}
	assert_true(a.sent > b.sent); /* ram weighs more */
	for (uint64_t before = a.sent, i = 0; i < 2; i++, before = a.sent) {
		rate_set(r, i ? UINT64_MAX : UINT64_C(8) << 60); /* as good as none */
		pair_run(&p, 0, 10);
		assert_true(a.sent > before);
	}
	stream_free(a.s);
	stream_free(b.s);
	stream_free(t.ps[0].s);
	stream_free(t.ps[1].s);
	rate_free(r);
	pair_fini(&p);
}

/* Bytes a second that both streams move at in two seconds. */
static double both_rate(struct pair *p, const struct pair_stream *a, const struct pair_stream *b,
			const struct pair_stream *got)
{
	uint64_t from_us = p->now_us, before = got ? got[0].got + got[1].got : a->sent + b->sent;

	while (p->now_us - from_us < 2000000)
		pair_run(p, 0, 1);
	return (double)((got ? got[0].got + got[1].got : a->sent + b->sent) - before) * 1e6 /
	       (double)(p->now_us - from_us);
}

static void test_mux_rates_hold_what_is_sent_and_taken_in(void **state)
{
	(void)state;
	/* at the sender (end 0), then at the receiver (end 1), who has only credit to do it with */
	for (int end = 0; end < 2; end++) {
		struct mux_fixture_taker t = {0};
		struct pair_stream a = {.want = 1 << 30, .take_max = SIZE_MAX};
		struct pair_stream b = {.want = 1 << 30, .take_max = SIZE_MAX};
		struct rate *r = rate_new(4 << 20);
		struct pair p;
		double rate;

		t.model = (struct pair_stream){.take_max = SIZE_MAX};
		mux_fixture_start(&p, &t, NULL);
		mux_fixture_open(&p, STREAM_RAM, "a", &a);
		mux_fixture_open(&p, STREAM_DISK, "b", &b);
		pair_run(&p, 0, 1);
		mux_set_rates(p.end[end].mux, end ? NULL : r, end ? r : NULL);
		both_rate(&p, &a, &b, t.ps); /* what was granted before */
		rate = both_rate(&p, &a, &b, t.ps);
		if (rate < 0.8 * (4 << 20) || rate > 1.2 * (4 << 20))
			fail_msg("end %d: %.0f bytes/s", end, rate);
		/* and goes on without */
		mux_set_rates(p.end[end].mux, NULL, NULL);
		assert_true(both_rate(&p, &a, &b, t.ps) > 2.0 * rate);
		stream_free(a.s);
		stream_free(b.s);
		stream_free(t.ps[0].s);
		stream_free(t.ps[1].s);
		pair_fini(&p);
		rate_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mux_stuck_reader_holds_up_nobody_and_stays_in_its_window),
	    cmocka_unit_test(test_mux_windows_stay_within_the_budget),
	    cmocka_unit_test(test_mux_control_goes_before_bulk),
	    cmocka_unit_test(test_mux_rate_caps_the_sum_and_can_be_changed),
	    cmocka_unit_test(test_mux_rates_hold_what_is_sent_and_taken_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
