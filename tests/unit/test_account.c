/* Accounts: what a peer may hold beside others; and the real mux held to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <string.h>

#include "base/keyed.h"
#include "base/memory.h"
#include "tests/unit/pair.h"
#include "tunnel/account.h"

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

/* Numbers 2048 apart, as a peer would choose them for a table of 1024 that goes by them. */
static void test_keyed_hash_spreads_what_is_chosen(void **state)
{
	static unsigned count[1024];
	unsigned most = 0;

	(void)state;
	for (uint32_t i = 0, id = 1; i < 8192; i++, id += 2048) {
		unsigned at = (unsigned)(keyed_hash(&id, sizeof(id)) % 1024);

		if (++count[at] > most)
			most = count[at];
	}
	assert_true(most < 64);
	assert_int_equal(keyed_hash("abc", 3), keyed_hash("abc", 3));
	assert_true(keyed_hash("abc", 3) != keyed_hash("abcd", 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_account_leaves_something_for_who_comes),
	    cmocka_unit_test(test_mux_keeps_no_more_than_the_peer_may_have),
	    cmocka_unit_test(test_keyed_hash_spreads_what_is_chosen),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
