/* Where strangers come from: whose connections are counted together, who has the most, and what
 * their handshakes may take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "tunnel/origins.h"

static struct origin *enter(struct origins *o, const char *text, uint64_t now_us)
{
	struct sockaddr_storage ss = {0};
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&ss;

	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		ss.ss_family = AF_INET;
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
		ss.ss_family = AF_INET6;
	}
	return origins_enter(o, (struct sockaddr *)&ss, now_us);
}

static void test_origins_are_addresses(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
	    {"10.0.0.1", "10.0.0.1", true},	   {"10.0.0.1", "10.0.0.2", false},
	    {"10.0.0.1", "::ffff:10.0.0.1", true}, {"::ffff:10.0.0.1", "::ffff:10.0.0.2", false},
	    {"fd00::1", "fd00::ffff:1:2:3", true}, {"fd00::1", "fd00:0:0:1::1", false},
	    {"10.0.0.1", "a00:1::", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct origins o;

		origins_init(&o);
		if ((enter(&o, cases[i].a, 0) == enter(&o, cases[i].b, 0)) != cases[i].same)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
		origins_fini(&o);
	}
}

static void test_origins_fullest(void **state)
{
	struct origin *a, *b;
	struct origins o;

	(void)state;
	origins_init(&o);
	assert_null(origins_fullest(&o));
	a = enter(&o, "10.0.0.1", 0);
	b = enter(&o, "10.0.0.2", 0);
	assert_ptr_equal(origins_fullest(&o), a); /* the first of those with as many */
	enter(&o, "10.0.0.2", 0);
	assert_ptr_equal(origins_fullest(&o), b);
	origins_leave(&o, b);
	origins_leave(&o, b);
	assert_ptr_equal(origins_fullest(&o), a);
	origins_leave(&o, a);
	assert_null(origins_fullest(&o));
	origins_fini(&o);
}

static void test_origins_have_a_budget(void **state)
{
	struct origin *a, *b;
	struct origins o;

	(void)state;
	origins_init(&o);
	a = enter(&o, "10.0.0.1", 1000);
	b = enter(&o, "10.0.0.2", 1000);
	origin_charge(a, ORIGIN_CPU_BURST_US - 1, 1000);
	assert_true(origin_may(a, 1000));
	origin_charge(a, 1000, 1000);
	assert_false(origin_may(a, 1000));
	assert_true(origin_may(b, 1000));
	/* it is another one only by its connections */
	origins_leave(&o, a);
	assert_ptr_equal(enter(&o, "10.0.0.1", 1500), a);
	assert_false(origin_may(a, 1500));
	assert_true(origin_may(a, 1000 + 1000 * ORIGIN_CPU_PART + 100));
	/* no more than a burst is saved up */
	assert_true(origin_may(a, UINT64_C(1) << 50));
	origin_charge(a, ORIGIN_CPU_BURST_US + 1, UINT64_C(1) << 50);
	assert_false(origin_may(a, UINT64_C(1) << 50));
	origins_fini(&o);
}

static void test_origins_are_bounded(void **state)
{
	struct origin *busy;
	struct origins o;
	unsigned n = 0;
	char text[20];

	(void)state;
	origins_init(&o);
	busy = enter(&o, "192.0.2.1", 0);
	origin_charge(busy, 7, 0);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", i / 256, i % 256);
		origins_leave(&o, enter(&o, text, 0));
	}
	for (struct origin *of = TAILQ_FIRST(&o.list); of; of = TAILQ_NEXT(of, listed))
		n++;
	assert_int_equal(n, ORIGINS_IDLE_MAX + 1);
	assert_ptr_equal(enter(&o, "192.0.2.1", 0), busy);
	assert_int_equal(busy->count, 2);
	origins_fini(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_origins_are_addresses),
	    cmocka_unit_test(test_origins_fullest),
	    cmocka_unit_test(test_origins_have_a_budget),
	    cmocka_unit_test(test_origins_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
