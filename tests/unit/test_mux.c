/* Two real muxes joined in memory: what becomes of a stream from its opening to its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/test_mux_fixture.h"

static void test_mux_carries_bytes_both_ways_in_any_pieces(void **state)
{
	const size_t chunks[] = {0, 1, 7, 16, 17, 1000, 65536};

	(void)state;
	for (unsigned i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		struct mux_fixture_taker *t = calloc(1, sizeof(*t));
		struct pair_stream ps = {
		    .want = 300000, .seed_out = 1, .seed_in = 2, .take_max = SIZE_MAX, .finish = 1};
		struct pair p;

		assert_non_null(t);
		t->model = (struct pair_stream){
		    .want = 200001, .seed_out = 2, .seed_in = 1, .take_max = 5000, .finish = 1};
		mux_fixture_start(&p, t, NULL);
		mux_fixture_open(&p, STREAM_RAM, "a", &ps);
		for (int r = 0; r < 2000 && !(ps.eof && t->ps[0].eof); r++) {
			pair_run(&p, chunks[i], 1);
			if (t->count)
				stream_drain(t->ps[0].s);
		}
		assert_int_equal(ps.got, 200001);
		assert_int_equal(t->ps[0].got, 300000);
		assert_int_equal(ps.bad + t->ps[0].bad, 0);
		assert_int_equal(ps.reset + t->ps[0].reset, 0);
		pair_run(&p, 0, 10);
		assert_true(stream_flushed(ps.s));
		stream_free(ps.s);
		stream_free(t->ps[0].s);
		pair_run(&p, 0, 10);
		struct session_stats st;

		for (int e = 0; e < 2; e++) {
			mux_stats(p.end[e].mux, &st);
			assert_int_equal(st.streams, 0);
			assert_int_equal(st.granted_bytes, 0);
			assert_int_equal(st.queued_bytes, 0);
			assert_int_equal(st.retained_bytes, 0);
		}
		pair_fini(&p);
		free(t);
	}
}

static void test_mux_half_close_leaves_the_other_direction(void **state)
{
	struct mux_fixture_taker t = {0};
	struct pair_stream ps = {.finish = 1, .seed_in = 9, .take_max = SIZE_MAX};
	struct pair p;

	(void)state;
	t.model = (struct pair_stream){.take_max = SIZE_MAX, .seed_out = 9};
	mux_fixture_start(&p, &t, NULL);
	mux_fixture_open(&p, STREAM_OTHER, "a", &ps);
	pair_run(&p, 0, 10);
	assert_int_equal(t.ps[0].eof, 1);
	assert_int_equal(ps.eof, 0);
	t.ps[0].want = 100000;
	t.ps[0].finish = 1;
	stream_ready(t.ps[0].s);
	pair_run(&p, 0, 100);
	assert_int_equal(ps.got, 100000);
	assert_int_equal(ps.bad, 0);
	assert_int_equal(ps.eof, 1);
	stream_free(ps.s);
	stream_free(t.ps[0].s);
	pair_fini(&p);
}

static void test_mux_opens_take_effect_in_order(void **state)
{
	struct mux_fixture_taker t = {0};
	struct pair_stream ps[20];
	struct pair p;
	char name[16];

	(void)state;
	t.model = (struct pair_stream){.take_max = SIZE_MAX};
	mux_fixture_start(&p, &t, NULL);
	for (unsigned i = 0; i < 20; i++) {
		ps[i] = (struct pair_stream){.want = 100000, .take_max = SIZE_MAX};
		snprintf(name, sizeof(name), "t%u", i);
		mux_fixture_open(&p, i % 2 ? STREAM_RAM : STREAM_DISK, name, &ps[i]);
	}
	pair_run(&p, 0, 1);
	assert_int_equal(t.count, 20);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "t%u", i);
		assert_string_equal(t.target[i], name);
	}
	for (unsigned i = 0; i < 20; i++) {
		stream_free(ps[i].s);
		stream_free(t.ps[i].s);
	}
	pair_run(&p, 0, 10);
	pair_fini(&p);
}

static void test_mux_refusal_and_reset_carry_their_reason(void **state)
{
	struct pair_stream ps = {.want = 1000, .take_max = SIZE_MAX};
	struct mux_fixture_taker t = {0};
	struct pair p;

	(void)state;
	mux_fixture_start(&p, &t, NULL);
	p.end[1].on_open = NULL;
	mux_fixture_open(&p, STREAM_OTHER, "no", &ps);
	pair_run(&p, 0, 10);
	assert_int_equal(ps.reset, 1);
	assert_int_equal(ps.code, CODE_REFUSED);
	assert_string_equal(ps.reason, "not allowed in this test");
	stream_free(ps.s);
	pair_run(&p, 0, 10);

	p.end[1].on_open = mux_fixture_take;
	t.model = (struct pair_stream){.take_max = SIZE_MAX};
	ps = (struct pair_stream){.want = 1 << 20, .take_max = SIZE_MAX};
	mux_fixture_open(&p, STREAM_OTHER, "yes", &ps);
	pair_run(&p, 0, 1);
	stream_reset(ps.s, CODE_ENDPOINT, "the disk is on fire");
	pair_run(&p, 0, 10);
	assert_int_equal(ps.reset, 0);
	assert_int_equal(t.ps[0].reset, 1);
	assert_int_equal(t.ps[0].code, CODE_ENDPOINT);
	assert_string_equal(t.ps[0].reason, "the disk is on fire");
	stream_free(ps.s);
	stream_free(t.ps[0].s);
	pair_run(&p, 0, 10);
	assert_false(p.end[0].failed || p.end[1].failed);
	pair_fini(&p);
}

static void test_mux_one_stream_too_many_is_refused_alone(void **state)
{
	struct session_config c;
	struct mux_fixture_taker t = {0};
	struct pair_stream ps[6];
	struct err e = ERR_INIT;
	struct pair p;

	(void)state;
	session_config_default(&c);
	c.streams_max = 4;
	t.model = (struct pair_stream){.take_max = SIZE_MAX};
	mux_fixture_start(&p, &t, &c);
	for (unsigned i = 0; i < 4; i++) {
		ps[i] = (struct pair_stream){.take_max = SIZE_MAX};
		mux_fixture_open(&p, STREAM_OTHER, "x", &ps[i]);
	}
	assert_null(mux_open(p.end[0].mux, STREAM_OTHER, "x", &pair_stream_ops, &ps[4], &e));
	assert_int_equal(e.code, ERR_LIMIT);
	pair_run(&p, 0, 10);
	assert_int_equal(t.count, 4);
	for (unsigned i = 0; i < 4; i++) {
		stream_free(ps[i].s);
		stream_free(t.ps[i].s);
	}
	pair_run(&p, 0, 10);
	t.count = 0;
	mux_fixture_open(&p, STREAM_OTHER, "again", &ps[0]);
	pair_run(&p, 0, 10);
	assert_int_equal(t.count, 1);
	stream_free(ps[0].s);
	stream_free(t.ps[0].s);
	pair_fini(&p);
}

static void test_mux_session_end_tells_every_stream(void **state)
{
	struct mux_fixture_taker t = {0};
	struct pair_stream ps = {.want = 10, .take_max = SIZE_MAX};
	struct err e = ERR_INIT;
	struct pair p;

	(void)state;
	t.model = (struct pair_stream){.take_max = SIZE_MAX};
	mux_fixture_start(&p, &t, NULL);
	mux_fixture_open(&p, STREAM_OTHER, "x", &ps);
	pair_run(&p, 0, 10);
	mux_close(p.end[0].mux, CODE_CANCELLED, "enough");
	pair_collect(&p, 0);
	assert_true(mux_closed(p.end[0].mux));
	assert_true(mux_input(p.end[1].mux, p.end[0].wire, p.end[0].wire_len, p.now_us, &e) != 0);
	assert_int_equal(e.code, ERR_CANCELLED);
	assert_non_null(strstr(e.text, "enough"));
	mux_detach_streams(p.end[1].mux, e.text);
	mux_detach_streams(p.end[0].mux, "closed");
	assert_int_equal(t.ps[0].reset, 1);
	assert_int_equal(t.ps[0].code, CODE_SESSION);
	assert_int_equal(ps.reset, 1);
	/* The handles outlive the mux. */
	pair_fini(&p);
	stream_ready(ps.s);
	stream_drain(ps.s);
	stream_reset(ps.s, CODE_NONE, "");
	stream_free(ps.s);
	stream_free(t.ps[0].s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mux_carries_bytes_both_ways_in_any_pieces),
	    cmocka_unit_test(test_mux_half_close_leaves_the_other_direction),
	    cmocka_unit_test(test_mux_opens_take_effect_in_order),
	    cmocka_unit_test(test_mux_refusal_and_reset_carry_their_reason),
	    cmocka_unit_test(test_mux_one_stream_too_many_is_refused_alone),
	    cmocka_unit_test(test_mux_session_end_tells_every_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
