/* Whether the switchover waits for the disks: no QEMU, only what was seen of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/migrate_i.h"

static bool fits(uint64_t limit_ms, uint64_t left, double rate)
{
	struct mig_disk disk = {.total = left};
	struct migrate m = {.disks = &disk, .disk_count = 1, .line_rate = rate};

	m.config.limits.downtime_ms = limit_ms;
	return migrate_backlog_fits(&m);
}

static void test_backlog_holds_what_does_not_fit_into_the_limit(void **state)
{
	(void)state;
	assert_true(fits(300, 0, 1e6));
	assert_true(fits(300, 200000, 1e6));
	assert_false(fits(300, 300000, 1e6));
	assert_false(fits(2000000, UINT64_MAX / 2000, 1e6));
	/* Nothing is known of the line. */
	assert_true(fits(300, 300000, 0));
}

/* The shortest limit that there is is no sign of a backlog. */
static void test_backlog_of_nothing_fits_into_any_limit(void **state)
{
	(void)state;
	assert_true(fits(1, 0, 1e6));
	assert_true(fits(1, 0, 0));
	assert_false(fits(1, 2000, 1e6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_backlog_holds_what_does_not_fit_into_the_limit),
	    cmocka_unit_test(test_backlog_of_nothing_fits_into_any_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
