/* What a mirror has in flight: enough for fast lines and slow storage, bounded on any other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/migrate_i.h"

#define MIB ((uint64_t)1 << 20)

static void test_disks_buffer_where_no_limit_is_known(void **state)
{
	(void)state;
	/* One disk alone is not held up by storage that takes its time. */
	assert_int_equal(migrate_disks_buffer(100, 0, 1), 8 * MIB);
	assert_int_equal(migrate_disks_buffer(100, 0, 2), 4 * MIB);
	assert_int_equal(migrate_disks_buffer(100, 0, 8), 2 * MIB);
	/* 10 Gbit/s at 3 ms; further away no more than QEMU's own, but for what 1 Gbit/s needs. */
	assert_int_equal(migrate_disks_buffer(3000, 0, 4), 8 * MIB);
	assert_int_equal(migrate_disks_buffer(20000, 0, 1), 10 * MIB);
	assert_int_equal(migrate_disks_buffer(50000, 0, 1), 12 * MIB);
	assert_int_equal(migrate_disks_buffer(1000000, 0, 1), 16 * MIB);
	assert_int_equal(migrate_disks_buffer(UINT64_MAX, 0, 1), 16 * MIB);
	/* All disks together. */
	assert_int_equal(migrate_disks_buffer(1000000, 0, 16), 4 * MIB);
	assert_int_equal(migrate_disks_buffer(1000000, 0, 1000), 2 * MIB);
}

static void test_disks_buffer_under_a_limit(void **state)
{
	(void)state;
	assert_int_equal(migrate_disks_buffer(100, 1250000, 1), 2 * MIB);
	assert_int_equal(migrate_disks_buffer(100, 8 * MIB, 1), 4 * MIB);
	assert_int_equal(migrate_disks_buffer(400000, 12500000, 1), 10 * MIB);
	assert_int_equal(migrate_disks_buffer(100, UINT64_MAX, 1), 16 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_disks_buffer_where_no_limit_is_known),
	    cmocka_unit_test(test_disks_buffer_under_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
