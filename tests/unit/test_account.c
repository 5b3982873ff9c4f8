/* Accounts: what a peer may hold beside others; and the real mux held to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <string.h>

#include "base/clock.h"
#include "base/keyed.h"
#include "base/memory.h"
#include "tests/unit/pair.h"
#include "tunnel/account.h"
#include "tunnel/mux_i.h" /* to see how long the table's chains are */

#define MIB ((uint64_t)1 << 20)

static struct event_base *base;

static int set_up(void **state)
{
	(void)state;
	base = event_base_new();
	return base ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	event_base_free(base);
	return 0;
}

/* As much as it may, in steps. */
static uint64_t fill(struct account *p)
{
	uint64_t all = 0;

	while (account_room(p) >= MIB) {
		account_charge(p, (int64_t)MIB);
		all += MIB;
	}
	return all;
}

static void test_account_leaves_something_for_who_comes(void **state)
{
	struct accounts *a = accounts_new(base);
	struct account *first, *second, *same;
	uint64_t one, two;

	(void)state;
	assert_int_equal(accounts_max(a), accounts_max_default());
	assert_true(accounts_max(a) <= memory_of_host() || accounts_max(a) == 64 * MIB);
	accounts_set_max(a, 300 * MIB);
	first = account_get(a, "psk:a");
	same = account_get(a, "psk:a");
	second = account_get(a, "psk:b");
	assert_ptr_equal(first, same);
	/* In one go as in steps. */
	assert_int_equal(account_room(first), 200 * MIB);
	one = fill(first);
	assert_in_range(one, 199 * MIB, 200 * MIB);
	two = fill(second);
	assert_in_range(two, 65 * MIB, 67 * MIB);
	assert_int_equal(accounts_held(a), one + two);
	/* Who held too much gets nothing more, and what the other gives back is not his alone. */
	assert_int_equal(account_room(first), 0);
	account_charge(second, -(int64_t)two);
	assert_true(account_room(first) < MIB);
	account_set_max(second, 10 * MIB);
	assert_int_equal(fill(second), 10 * MIB);
	account_charge(second, -(int64_t)(10 * MIB));
	account_charge(first, -(int64_t)one);
	assert_int_equal(accounts_held(a), 0);
	account_put(first);
	account_put(same);
	account_put(second);
	accounts_free(a);
}

/* Streams of a server whose peer acknowledges nothing and takes all. */
static struct pair_stream sink[64];
static unsigned sinks;

static void on_open(struct pair_end *end, struct stream *s, enum stream_class c, const char *target)
{
	struct pair_stream *ps = &sink[sinks++];

	(void)end;
	(void)c;
	(void)target;
	*ps = (struct pair_stream){.s = s, .want = 1 << 30, .take_max = SIZE_MAX};
	stream_accept(s, &pair_stream_ops, ps);
	stream_ready(s);
}

static void test_mux_keeps_no_more_than_the_peer_may_have(void **state)
{
	struct accounts *a = accounts_new(base);
	struct account *p = account_get(a, "psk:a");
	struct pair_stream mine = {.take_max = SIZE_MAX};
	struct session_stats st;
	struct err e = ERR_INIT;
	struct pair pair;

	(void)state;
	accounts_set_max(a, 30 * MIB);
	pair_init(&pair, NULL, NULL);
	mux_set_account(pair.end[1].mux, p);
	pair.end[1].on_open = on_open;
	pair_run(&pair, 0, 10);
	sinks = 0;
	mine.s = mux_open(pair.end[0].mux, STREAM_OTHER, "unix:/x", &pair_stream_ops, &mine, &e);
	assert_non_null(mine.s);
	pair_collect(&pair, 0);
	assert_int_equal(
	    mux_input(pair.end[1].mux, pair.end[0].wire, pair.end[0].wire_len, pair.now_us, &e), 0);
	pair.end[0].wire_len = 0;
	/* The client's words are lost from here on, but for the credit that it gives. */
	for (int i = 0; i < 400; i++) {
		uint8_t credit[FRAME_HEADER_LEN + 8] = {[3] = 8, [4] = FRAME_CREDIT, [11] = 1};

		memset(credit + FRAME_HEADER_LEN, 0x10, 8);
		assert_int_equal(
		    mux_input(pair.end[1].mux, credit, sizeof(credit), pair.now_us, &e), 0);
		pair_collect(&pair, 1);
		pair.end[1].wire_len = 0;
	}
	mux_stats(pair.end[1].mux, &st);
	assert_int_equal(st.held_bytes, accounts_held(a));
	assert_in_range(accounts_held(a), 19 * MIB, 21 * MIB);
	mux_detach_streams(pair.end[1].mux, "end");
	stream_free(sink[0].s);
	mux_detach_streams(pair.end[0].mux, "end");
	stream_free(mine.s);
	pair_fini(&pair);
	assert_int_equal(accounts_held(a), 0);
	account_put(p);
	accounts_free(a);
}

static void on_open_to_take(struct pair_end *end, struct stream *s, enum stream_class c,
			    const char *target)
{
	(void)end;
	(void)c;
	(void)target;
	sink[0] = (struct pair_stream){.s = s, .take_max = SIZE_MAX};
	stream_accept(s, &pair_stream_ops, &sink[0]);
}

/* However fast one stream is: its window leaves room for the peer's next stream, and session. */
static void test_window_leaves_room_for_the_next_session(void **state)
{
	struct accounts *a = accounts_new(base);
	struct account *p = account_get(a, "psk:a");
	struct pair_stream mine = {.take_max = SIZE_MAX, .want = (uint64_t)1 << 32};
	struct session_stats st;
	struct err e = ERR_INIT;
	struct pair pair;

	(void)state;
	accounts_set_max(a, 6 * MIB);
	pair_init(&pair, NULL, NULL);
	mux_set_account(pair.end[1].mux, p);
	mux_set_rtt(pair.end[1].mux, 100000);
	pair.end[1].on_open = on_open_to_take;
	pair_run(&pair, 0, 10);
	mine.s = mux_open(pair.end[0].mux, STREAM_OTHER, "unix:/x", &pair_stream_ops, &mine, &e);
	assert_non_null(mine.s);
	stream_ready(mine.s);
	pair_run(&pair, 0, 200);
	mux_stats(pair.end[1].mux, &st);
	assert_true(st.granted_bytes > MIB);
	assert_true(account_room(p) >= MUX_COST);
	mux_detach_streams(pair.end[1].mux, "end");
	stream_free(sink[0].s);
	mux_detach_streams(pair.end[0].mux, "end");
	stream_free(mine.s);
	pair_fini(&pair);
	account_put(p);
	accounts_free(a);
}

/* A frame by hand, without payload bytes but zeroes; returns its length. */
static size_t put_frame(uint8_t *to, uint8_t type, uint32_t stream, uint32_t seq, size_t len)
{
	struct frame_header h = {.len = (uint32_t)len, .type = type, .stream = stream, .seq = seq};

	frame_pack_header(to, &h);
	memset(to + FRAME_HEADER_LEN, 0, len);
	return FRAME_HEADER_LEN + len;
}

/* Numbers 2048 apart, as a peer would choose them for a table of 1024 that goes by them. */
static void test_mux_spreads_numbers_that_are_chosen(void **state)
{
	uint8_t frame[FRAME_HEADER_LEN + FRAME_SMALL_MAX];
	struct err e = ERR_INIT;
	unsigned most = 0;
	struct pair pair;

	(void)state;
	pair_init(&pair, NULL, NULL);
	pair_run(&pair, 0, 10);
	for (uint32_t i = 0; i < 2000; i++) {
		size_t len = frame_pack_open(frame + FRAME_HEADER_LEN, STREAM_OTHER, "unix:/no");
		struct frame_header h = {
		    .len = (uint32_t)len, .type = FRAME_OPEN, .stream = 1 + 2048 * i, .seq = i};

		frame_pack_header(frame, &h);
		assert_int_equal(
		    mux_input(pair.end[1].mux, frame, FRAME_HEADER_LEN + len, pair.now_us, &e), 0);
	}
	for (unsigned i = 0; i < MUX_BUCKETS; i++) {
		unsigned n = 0;
		struct stream *s;

		LIST_FOREACH(s, &pair.end[1].mux->table[i], bucket)
		n++;
		most = n > most ? n : most;
	}
	assert_in_range(most, 4, 32);
	assert_int_equal(keyed_hash("abc", 3), keyed_hash("abc", 3));
	assert_true(keyed_hash("abc", 3) != keyed_hash("abcd", 4));
	pair_fini(&pair);
}

/* A peer without any right has us keep so many refused streams, and no more. */
static void test_mux_keeps_few_refused_streams(void **state)
{
	uint8_t frame[FRAME_HEADER_LEN + FRAME_SMALL_MAX];
	struct err e = ERR_INIT;
	struct pair pair;
	uint32_t i = 0;
	int r = 0;

	(void)state;
	pair_init(&pair, NULL, NULL);
	pair_run(&pair, 0, 10);
	for (; i < 8192 && !r; i++) {
		size_t len = frame_pack_open(frame + FRAME_HEADER_LEN, STREAM_OTHER, "unix:/no");
		struct frame_header h = {
		    .len = (uint32_t)len, .type = FRAME_OPEN, .stream = 1 + 2 * i, .seq = i};

		frame_pack_header(frame, &h);
		r = mux_input(pair.end[1].mux, frame, FRAME_HEADER_LEN + len, pair.now_us, &e);
	}
	assert_int_equal(r, ERR_LIMIT);
	assert_int_equal(i, MUX_ENDED_MAX + 1);
	assert_non_null(strstr(e.text, "not acknowledged"));
	pair_fini(&pair);
}

/* However small they are: 16 frames, then the caller looks at its clock. */
static void test_mux_takes_a_few_frames_at_a_time(void **state)
{
	static uint8_t frames[10000 * (FRAME_HEADER_LEN + 8)];
	struct err e = ERR_INIT;
	size_t len = 0, used, goes = 0;
	struct pair pair;

	(void)state;
	pair_init(&pair, NULL, NULL);
	pair_run(&pair, 0, 10);
	for (int i = 0; i < 10000; i++)
		len += put_frame(frames + len, FRAME_PONG, 0, 0, 8);
	for (size_t at = 0; at < len; at += used, goes++) {
		assert_int_equal(
		    mux_take(pair.end[1].mux, frames + at, len - at, &used, pair.now_us, &e), 0);
		assert_in_range(used, 1, 16 * (FRAME_HEADER_LEN + 8));
	}
	assert_in_range(goes, 10000 / 16, 10000);
	pair_fini(&pair);
}

/* A frame without a payload, at whose header the bound is reached, is not left for what comes next.
 */
static void test_mux_leaves_no_whole_frame(void **state)
{
	(void)state;
	for (unsigned whole = 13; whole <= 17; whole++) {
		uint8_t frames[20 * (FRAME_HEADER_LEN + 8)];
		size_t len = put_frame(frames, FRAME_PONG, 0, 0, 8), half = len - 4;
		struct err e = ERR_INIT;
		struct pair pair;

		for (unsigned i = 0; i < whole; i++)
			len += put_frame(frames + len, FRAME_PONG, 0, 0, 8);
		len += put_frame(frames + len, FRAME_EOF, 99, 0, 0); /* of no stream: a breach */
		pair_init(&pair, NULL, NULL);
		pair_run(&pair, 0, 10);
		assert_int_equal(mux_input(pair.end[1].mux, frames, half, pair.now_us, &e), 0);
		assert_int_not_equal(
		    mux_input(pair.end[1].mux, frames + half, len - half, pair.now_us, &e), 0);
		pair_fini(&pair);
	}
}

/* One ACK of all that was kept: freed in pieces, and no memory is counted twice. */
static void test_mux_frees_what_was_acknowledged_in_pieces(void **state)
{
	uint8_t frame[FRAME_HEADER_LEN + FRAME_SMALL_MAX];
	struct session_stats st;
	struct err e = ERR_INIT;
	unsigned goes = 0;
	size_t len, used;
	struct pair pair;

	(void)state;
	pair_init(&pair, NULL, NULL);
	pair_run(&pair, 0, 10);
	for (uint32_t i = 0; i < 2000; i++) {
		struct frame_header h = {.type = FRAME_OPEN, .stream = 1 + 2 * i, .seq = i};

		h.len = (uint32_t)frame_pack_open(frame + FRAME_HEADER_LEN, STREAM_OTHER, "no");
		frame_pack_header(frame, &h);
		assert_int_equal(
		    mux_input(pair.end[1].mux, frame, FRAME_HEADER_LEN + h.len, pair.now_us, &e),
		    0);
	}
	for (int i = 0; i < 100; i++) { /* the refusals go out, and are kept */
		pair_collect(&pair, 1);
		pair.end[1].wire_len = 0;
	}
	mux_stats(pair.end[1].mux, &st);
	assert_int_equal(st.retained_bytes, 2000 * FRAMEBUF_COST_MIN);
	len = put_frame(frame, FRAME_ACK, 0, 0, 8);
	frame_pack_u64(frame + FRAME_HEADER_LEN, 2000);
	assert_int_equal(mux_take(pair.end[1].mux, frame, len, &used, pair.now_us, &e), 0);
	assert_int_equal(used, len);
	for (; mux_owes(pair.end[1].mux); goes++)
		assert_int_equal(mux_take(pair.end[1].mux, frame, 0, &used, pair.now_us, &e), 0);
	assert_in_range(goes, 4, 20);
	mux_reap(pair.end[1].mux);
	mux_stats(pair.end[1].mux, &st);
	assert_int_equal(st.retained_bytes, 0);
	assert_int_equal(st.streams, 0);
	assert_int_equal(st.held_bytes, MUX_COST);
	pair_fini(&pair);
}

/* ---- turns ---- */

/* Who is never idle has what it used long ago forgotten, too. */
static void test_use_is_forgotten(void **state)
{
	enum { EACH_US = 1000, OFTEN = 8 }; /* of a half-life */
	struct usage busy = {0}, idle = {0};
	uint64_t now_us = 1000000;

	(void)state;
	for (int i = 0; i < 100 * OFTEN; i++) {
		usage_add(&busy, now_us, EACH_US);
		now_us += USAGE_HALF_LIFE_US / OFTEN;
	}
	assert_in_range(usage_left(&busy, now_us), OFTEN * EACH_US / 2, 3 * OFTEN * EACH_US);
	usage_add(&idle, now_us, EACH_US);
	assert_int_equal(usage_left(&idle, now_us), EACH_US);
	now_us += USAGE_HALF_LIFE_US;
	assert_int_equal(usage_left(&idle, now_us), EACH_US / 2);
	now_us += 63 * (uint64_t)USAGE_HALF_LIFE_US;
	assert_int_equal(usage_left(&idle, now_us), 0);
}

static const char *order[64];
static unsigned orders;

struct busy {
	struct turn turn;
	const char *name;
	uint64_t us; /* how long a turn of it takes */
	int again, idle;
};

static void work(void *ctx)
{
	struct busy *b = ctx;
	uint64_t until_us = clock_us() + b->us;

	order[orders++ % 64] = b->name;
	event_base_loopbreak(base); /* behind the callback that takes turns */
	while (clock_us() < until_us)
		;
	b->turn.idle = b->idle;
	if (b->again && --b->again)
		turn_ask(&b->turn);
}

static void busy_init(struct busy *b, struct accounts *a, const char *peer)
{
	b->turn.fn = work;
	b->turn.ctx = b;
	b->turn.account = account_get(a, peer);
}

static void test_turns_are_few_and_fair(void **state)
{
	struct accounts *a = accounts_new(base);
	struct busy bad[3] = {{.name = "bad"}, {.name = "bad"}, {.name = "bad"}},
		    good = {.name = "good", .us = 0, .again = 1};

	(void)state;
	for (int i = 0; i < 3; i++) {
		busy_init(&bad[i], a, "psk:bad");
		bad[i].us = 2 * ACCOUNT_RUN_US;
		bad[i].again = 10;
		turn_ask(&bad[i].turn);
		turn_ask(&bad[i].turn); /* once is enough */
	}
	busy_init(&good, a, "psk:good");
	/* One that takes long is all that the loop bears in a turn of its own. */
	for (unsigned i = 1; i <= 5; i++) {
		event_base_dispatch(base);
		assert_int_equal(orders, i);
	}
	/* Who has had nothing goes before those that wait already. */
	turn_ask(&good.turn);
	event_base_dispatch(base);
	assert_string_equal(order[5], "good");
	/* One that does not want its turn any more has none. */
	for (int i = 0; i < 3; i++)
		turn_cancel(&bad[i].turn);
	orders = 0;
	event_base_dispatch(base);
	assert_int_equal(orders, 0);
	for (int i = 0; i < 3; i++)
		account_put(bad[i].turn.account);
	account_put(good.turn.account);
	accounts_free(a);
}

/* Who only keeps us busy waits for the processor's sake; nobody else does, nor that peer's session
 * which has work to do; and it is not forgotten. */
static void test_idle_turns_have_a_part_of_the_processor(void **state)
{
	struct accounts *a = accounts_new(base);
	struct busy bad = {.name = "bad", .us = ACCOUNT_RUN_US, .again = -1, .idle = 1},
		    same = {.name = "same"}, good = {.name = "good"},
		    comes = {.name = "comes", .idle = 1};

	(void)state;
	busy_init(&bad, a, "psk:bad");
	busy_init(&same, a, "psk:bad");
	busy_init(&good, a, "psk:good");
	busy_init(&comes, a, "psk:comes");
	turn_ask(&bad.turn);
	for (orders = 0; !turn_held(&bad.turn);) {
		event_base_dispatch(base);
		assert_in_range(orders, 1, 1000);
	}
	for (int i = 0; i < 3; i++) {
		bad.us = 20 * ACCOUNT_RUN_US; /* it is held for long behind its next turn */
		orders = 0;
		event_base_dispatch(base);
		assert_int_equal(orders, 1);
		assert_string_equal(order[0], "bad");
		assert_true(turn_held(&bad.turn));
		turn_ask(&same.turn);
		turn_ask(&good.turn);
		turn_ask(&comes.turn);
		assert_false(turn_held(&same.turn) || turn_held(&good.turn) ||
			     turn_held(&comes.turn));
		while (orders < 4)
			event_base_dispatch(base);
		for (int k = 1; k < 4; k++)
			assert_string_not_equal(order[k], "bad");
	}
	/* Its end is waited for, and is not put off. */
	turn_hurry(&bad.turn);
	assert_false(turn_held(&bad.turn));
	orders = 0;
	event_base_dispatch(base);
	assert_string_equal(order[0], "bad");
	turn_cancel(&bad.turn);
	account_put(bad.turn.account);
	account_put(same.turn.account);
	account_put(good.turn.account);
	account_put(comes.turn.account);
	accounts_free(a);
}

/* A minute of floods is no debt that somebody who is left has to wait for. */
static void test_idle_turns_owe_little(void **state)
{
	struct accounts *a = accounts_new(base);
	struct busy bad = {.name = "bad", .us = 30 * ACCOUNT_RUN_US, .again = -1, .idle = 1};
	uint64_t began_us;

	(void)state;
	busy_init(&bad, a, "psk:bad");
	turn_ask(&bad.turn);
	for (orders = 0; orders < 20;) {
		event_base_dispatch(base);
		turn_hurry(&bad.turn); /* as many sessions would have it */
		bad.turn.idle_run = 2;
	}
	began_us = clock_us();
	for (orders = 0; orders < 1;)
		event_base_dispatch(base);
	/* (600 ms of the processor would be 4.8 s) */
	assert_true(clock_us() - began_us < 2500000);
	turn_cancel(&bad.turn);
	account_put(bad.turn.account);
	accounts_free(a);
}

/* What counts as done for somebody, and what only keeps us busy. */
static void test_mux_says_whether_something_was_done(void **state)
{
	static uint8_t frame[FRAME_HEADER_LEN + FRAME_SMALL_MAX];
	struct pair_stream mine = {.take_max = SIZE_MAX};
	struct frame_header h = {.type = FRAME_OPEN, .stream = 3, .seq = 1};
	struct err e = ERR_INIT;
	struct pair pair;
	uint64_t done;
	size_t len;

	(void)state;
	pair_init(&pair, NULL, NULL);
	pair.end[1].on_open = on_open;
	pair_run(&pair, 0, 10);
	sinks = 0;
	mine.s = mux_open(pair.end[0].mux, STREAM_OTHER, "unix:/x", &pair_stream_ops, &mine, &e);
	assert_non_null(mine.s);
	done = mux_done(pair.end[1].mux);
	pair_run(&pair, 0, 10);
	assert_true(mux_done(pair.end[1].mux) > done); /* taken, and its bytes go */
	done = mux_done(pair.end[1].mux);
	for (int i = 0; i < 3; i++) { /* the third is about the one that was refused before */
		static const uint8_t types[] = {FRAME_PONG, FRAME_OPEN, FRAME_CREDIT};

		if (types[i] == FRAME_OPEN) {
			pair.end[1].on_open = NULL; /* refused */
			h.len =
			    (uint32_t)frame_pack_open(frame + FRAME_HEADER_LEN, STREAM_OTHER, "no");
			frame_pack_header(frame, &h);
			len = FRAME_HEADER_LEN + h.len;
		} else {
			len = put_frame(frame, types[i], i == 2 ? 3 : 0, 0, 8);
			frame_pack_u64(frame + FRAME_HEADER_LEN, i == 2 ? UINT64_MAX / 2 : 1);
		}
		assert_int_equal(mux_input(pair.end[1].mux, frame, len, pair.now_us, &e), 0);
		assert_int_equal(mux_done(pair.end[1].mux), done);
	}
	stream_free(mine.s);
	pair_fini(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_account_leaves_something_for_who_comes),
	    cmocka_unit_test(test_mux_keeps_no_more_than_the_peer_may_have),
	    cmocka_unit_test(test_mux_spreads_numbers_that_are_chosen),
	    cmocka_unit_test(test_mux_keeps_few_refused_streams),
	    cmocka_unit_test(test_mux_takes_a_few_frames_at_a_time),
	    cmocka_unit_test(test_window_leaves_room_for_the_next_session),
	    cmocka_unit_test(test_mux_leaves_no_whole_frame),
	    cmocka_unit_test(test_mux_frees_what_was_acknowledged_in_pieces),
	    cmocka_unit_test(test_use_is_forgotten),
	    cmocka_unit_test(test_turns_are_few_and_fair),
	    cmocka_unit_test(test_idle_turns_have_a_part_of_the_processor),
	    cmocka_unit_test(test_idle_turns_owe_little),
	    cmocka_unit_test(test_mux_says_whether_something_was_done),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
