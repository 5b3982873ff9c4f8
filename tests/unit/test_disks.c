/* What a mirror has in flight: enough for fast lines and slow storage, bounded on any other; and
 * what it copies at least. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/source/migrate_i.h"

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

static void test_disks_grain_is_small_where_the_line_is_short(void **state)
{
	const uint64_t gib = 1024 * MIB;

	(void)state;
	assert_int_equal(migrate_disks_grain(0, 0, gib, 0), 4096);
	assert_int_equal(migrate_disks_grain(1000, 0, gib, 0), 4096);
	/* 16 requests fill 1 Gbit/s where no limit is known, */
	assert_int_equal(migrate_disks_grain(1100, 0, gib, 0), 8192);
	assert_int_equal(migrate_disks_grain(5000, 0, gib, 0), 32768);
	assert_int_equal(migrate_disks_grain(20000, 0, gib, 0), 65536);
	assert_int_equal(migrate_disks_grain(UINT64_MAX, UINT64_MAX, gib, 0), 65536);
	/* and the limit where one is. */
	assert_int_equal(migrate_disks_grain(20000, 1250000, gib, 0), 4096);
	assert_int_equal(migrate_disks_grain(20000, 12500000, gib, 0), 8192);
}

/* QEMU's maps of a big disk stay small, and a block of the destination's is written as a whole. */
static void test_disks_grain_is_bigger_for_big_disks_and_blocks(void **state)
{
	const uint64_t gib = 1024 * MIB;

	(void)state;
	assert_int_equal(migrate_disks_grain(0, 0, 256 * gib, 0), 4096);
	assert_int_equal(migrate_disks_grain(0, 0, 512 * gib, 0), 8192);
	assert_int_equal(migrate_disks_grain(0, 0, 4096 * gib, 0), 65536);
	assert_int_equal(migrate_disks_grain(0, 0, UINT64_MAX, 0), 65536);
	assert_int_equal(migrate_disks_grain(0, 0, gib, 512), 4096);
	assert_int_equal(migrate_disks_grain(0, 0, gib, 16384), 16384);
	assert_int_equal(migrate_disks_grain(0, 0, gib, UINT32_MAX), 65536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_disks_buffer_where_no_limit_is_known),
	    cmocka_unit_test(test_disks_buffer_under_a_limit),
	    cmocka_unit_test(test_disks_grain_is_small_where_the_line_is_short),
	    cmocka_unit_test(test_disks_grain_is_bigger_for_big_disks_and_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
