/* A real mux and a peer that is silent, breaks the protocol, knows another one, or floods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/test_mux_fixture.h"

static void test_mux_silent_peer_is_dead_in_time(void **state)
{
	struct mux_fixture_taker t = {0};
	struct err e = ERR_INIT;
	struct pair p;
	uint64_t heard;
	int alive = 0;

	(void)state;
	mux_fixture_start(&p, &t, NULL);
	/* Idle, both ends ping and stay up. */
	for (int i = 0; i < 100; i++) {
		p.now_us += 1000000;
		pair_run(&p, 0, 3);
	}
	assert_false(p.end[0].failed || p.end[1].failed);
	heard = p.now_us;
	while (mux_tick(p.end[0].mux, p.now_us, &e) == 0) {
		alive = 1;
		p.now_us += mux_timeout_us(p.end[0].mux, p.now_us) + 1;
		p.end[0].wire_len = 0;
		pair_collect(&p, 0);
	}
	assert_true(alive);
	assert_int_equal(e.code, ERR_TIMEOUT);
	assert_in_range(p.now_us - heard, 14500000, 16000000);
	pair_fini(&p);
}

/* Feeds the server a frame by hand; returns what mux_input said. */
static int feed(struct pair *p, uint32_t len, uint8_t type, uint32_t stream, uint32_t seq,
		const uint8_t *payload)
{
	static uint8_t frame[FRAME_MAX];
	struct frame_header h = {.len = len, .type = type, .stream = stream, .seq = seq};

	frame_pack_header(frame, &h);
	if (payload && len)
		memcpy(frame + FRAME_HEADER_LEN, payload, len);
	p->end[1].err = (struct err)ERR_INIT;
	return mux_input(p->end[1].mux, frame, FRAME_HEADER_LEN + len, p->now_us, &p->end[1].err);
}

static void test_mux_every_breach_ends_the_session_with_a_reason(void **state)
{
	uint8_t open[FRAME_SMALL_MAX], u64[8] = {0};
	static uint8_t data[FRAME_PAYLOAD_MAX];
	uint32_t open_len = (uint32_t)frame_pack_open(open, STREAM_RAM, "x");

	(void)state;
	for (int breach = 0; breach < 14; breach++) {
		struct mux_fixture_taker t = {0};
		struct pair p;
		int r = 0;

		t.model = (struct pair_stream){.take_max = SIZE_MAX, .stuck = 1};
		mux_fixture_start(&p, &t, NULL);
		switch (breach) {
		case 0: /* DATA of a stream never opened */
			r = feed(&p, 1, FRAME_DATA, 1, 0, data);
			break;
		case 1: /* a number skipped */
			r = feed(&p, open_len, FRAME_OPEN, 1, 1, open);
			break;
		case 2: /* the other side's stream numbers */
			r = feed(&p, open_len, FRAME_OPEN, 2, 0, open);
			break;
		case 3: /* the same stream twice */
			assert_int_equal(feed(&p, open_len, FRAME_OPEN, 1, 0, open), 0);
			r = feed(&p, open_len, FRAME_OPEN, 1, 1, open);
			break;
		case 4: /* more than its credit */
			assert_int_equal(feed(&p, open_len, FRAME_OPEN, 1, 0, open), 0);
			for (uint32_t i = 1; i < 100 && !r; i++)
				r = feed(&p, FRAME_PAYLOAD_MAX, FRAME_DATA, 1, i, data);
			break;
		case 5: /* DATA after EOF */
			assert_int_equal(feed(&p, open_len, FRAME_OPEN, 1, 0, open), 0);
			assert_int_equal(feed(&p, 0, FRAME_EOF, 1, 1, NULL), 0);
			r = feed(&p, 1, FRAME_DATA, 1, 2, data);
			break;
		case 6: /* EOF twice */
			assert_int_equal(feed(&p, open_len, FRAME_OPEN, 1, 0, open), 0);
			assert_int_equal(feed(&p, 0, FRAME_EOF, 1, 1, NULL), 0);
			r = feed(&p, 0, FRAME_EOF, 1, 2, NULL);
			break;
		case 7: /* an ACK of what was never sent */
			u64[7] = 1;
			r = feed(&p, 8, FRAME_ACK, 0, 0, u64);
			u64[7] = 0;
			break;
		case 8: /* credit taken back */
			assert_int_equal(feed(&p, open_len, FRAME_OPEN, 1, 0, open), 0);
			r = feed(&p, 8, FRAME_CREDIT, 1, 0, u64);
			break;
		case 9: /* HELLO twice */
			r = feed(&p, 0, FRAME_HELLO, 0, 0, NULL);
			break;
		case 10: /* RESET cut short */
			assert_int_equal(feed(&p, open_len, FRAME_OPEN, 1, 0, open), 0);
			r = feed(&p, 3, FRAME_RESET, 1, 1, data);
			break;
		case 11: /* PING of a wrong size */
			r = feed(&p, 9, FRAME_PING, 0, 0, data);
			break;
		case 12: /* OPEN cut short */
			r = feed(&p, open_len - 1, FRAME_OPEN, 1, 0, open);
			break;
		case 13: /* unknown type */
			r = feed(&p, 0, 200, 0, 0, NULL);
			break;
		}
		assert_true(r < 0);
		assert_true(p.end[1].err.code == ERR_PROTOCOL || p.end[1].err.code == ERR_LIMIT);
		assert_true(strlen(p.end[1].err.text) > 10);
		/* The other side is told why. */
		p.end[1].wire_len = 0;
		pair_run(&p, 0, 2);
		assert_true(p.end[0].failed);
		assert_non_null(strstr(p.end[0].err.text, p.end[1].err.text));
		for (unsigned i = 0; i < t.count; i++)
			stream_free(t.ps[i].s);
		pair_fini(&p);
	}
}

static void test_mux_versions_and_features_without_overlap_are_told_on_both_sides(void **state)
{
	(void)state;
	for (int what = 0; what < 2; what++) {
		struct frame_hello h = {.version_min = 1,
					.version_max = 1,
					.lanes = 1,
					.window_bytes = 65536,
					.streams_max = 10,
					.software = "adit 99"};
		uint8_t frame[FRAME_HEADER_LEN + FRAME_SMALL_MAX];
		struct frame_header fh = {.type = FRAME_HELLO};
		struct err e = ERR_INIT;
		struct pair p;

		if (what)
			h.required = 1u << 9;
		else
			h.version_min = h.version_max = 7;
		pair_init(&p, NULL, NULL);
		pair_collect(&p, 1);
		fh.len = (uint32_t)frame_pack_hello(frame + FRAME_HEADER_LEN, &h);
		frame_pack_header(frame, &fh);
		assert_int_equal(
		    mux_input(p.end[1].mux, frame, FRAME_HEADER_LEN + fh.len, p.now_us, &e),
		    ERR_PROTOCOL);
		assert_non_null(strstr(e.text, what ? "features 0x200" : "7 to 7"));
		pair_run(&p, 0, 2);
		assert_non_null(strstr(p.end[0].err.text, e.text));
		pair_fini(&p);
	}
}

static void test_mux_peer_that_floods_makes_nothing_grow(void **state)
{
	struct mux_fixture_taker t = {0};
	struct session_stats st;
	uint8_t u64[8] = {0}, open[FRAME_SMALL_MAX];
	uint32_t open_len = (uint32_t)frame_pack_open(open, STREAM_RAM, "x");
	struct pair p;
	uint32_t seq = 0;
	int r = 0;

	(void)state;
	mux_fixture_start(&p, &t, NULL);
	p.end[1].wire_len = 0;
	for (int i = 0; i < 100000; i++)
		assert_int_equal(feed(&p, 8, FRAME_PING, 0, 0, u64), 0);
	pair_collect(&p, 1);
	assert_true(p.end[1].wire_len <= 2 * (FRAME_HEADER_LEN + 8));
	/* Refused OPENs whose refusals are never acknowledged: bounded, then over. */
	p.end[1].on_open = NULL;
	for (uint32_t i = 0; i < 20000 && !r; i++)
		r = feed(&p, open_len, FRAME_OPEN, 1 + 2 * i, seq++, open);
	assert_int_equal(r, ERR_LIMIT);
	mux_stats(p.end[1].mux, &st);
	assert_true(st.streams <= 2 * 4096);
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mux_silent_peer_is_dead_in_time),
	    cmocka_unit_test(test_mux_every_breach_ends_the_session_with_a_reason),
	    cmocka_unit_test(test_mux_versions_and_features_without_overlap_are_told_on_both_sides),
	    cmocka_unit_test(test_mux_peer_that_floods_makes_nothing_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
