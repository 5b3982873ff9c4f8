/* Waits of any length, as an event loop's timer wants them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"

static void is(uint64_t ms, int64_t s, int64_t us)
{
	struct timeval tv = clock_timeval(ms);

	assert_int_equal(tv.tv_sec, s);
	assert_int_equal(tv.tv_usec, us);
}

static void test_clock_timeval_is_exact_and_bounded(void **state)
{
	(void)state;
	is(0, 0, 0);
	is(1, 0, 1000);
	is(1999, 1, 999000);
	/* The first that is too long for 32 bits, as --timeout 4294968 makes it. */
	is(UINT32_MAX, 4294967, 295000);
	is(4294968000, 4294968, 0);
	is(10000000000, 10000000, 0);
	is((uint64_t)CLOCK_TIMER_MAX_S * 1000, CLOCK_TIMER_MAX_S, 0);
	is((uint64_t)CLOCK_TIMER_MAX_S * 1000 + 1, CLOCK_TIMER_MAX_S, 0);
	is(UINT64_MAX, CLOCK_TIMER_MAX_S, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_clock_timeval_is_exact_and_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
