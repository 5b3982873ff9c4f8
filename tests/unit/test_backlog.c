/* Whether the switchover waits for the disks: no QEMU, only what was seen of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/source/migrate_i.h"

static uint64_t later_ms; /* the clock goes so much before */

uint64_t __real_clock_ms(void);
uint64_t __wrap_clock_ms(void);
uint64_t __wrap_clock_ms(void)
{
	return __real_clock_ms() + later_ms;
}

static bool fits(uint64_t limit_ms, uint64_t left, double rate)
{
	struct mig_disk disk = {.total = left};
	struct migrate m = {.disks = &disk, .disk_count = 1, .backlog.line_rate = rate};

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

/* What a paced guest may write unseen, and what it has on its way, is not RAM's. */
static void test_backlog_keeps_room_for_a_guest_that_is_paced(void **state)
{
	struct mig_disk disk = {.total = 200000};
	struct migrate m = {.disks = &disk, .disk_count = 1, .backlog.line_rate = 1e6};

	(void)state;
	m.config.limits.downtime_ms = 300;
	assert_true(migrate_backlog_fits(&m)); /* 200 of 300 */
	m.pace.bytes = 250000;
	assert_false(migrate_backlog_fits(&m)); /* of 188 */
	disk.total = 130000;
	assert_true(migrate_backlog_fits(&m));
	m.probe.left_ms = 200;
	assert_false(migrate_backlog_fits(&m)); /* of 63 */
	disk.total = 0;
	assert_true(migrate_backlog_fits(&m));
	m.probe.left_ms = 1000;
	assert_true(migrate_backlog_fits(&m)); /* something is RAM's in any case */
	assert_true(migrate_backlog_would_fit(&m, 250));
	assert_false(migrate_backlog_would_fit(&m, 280));
}

static void test_backlog_knows_when_ram_comes_to_its_end(void **state)
{
	struct migrate m = {.backlog.line_rate = 1e6};

	(void)state;
	m.config.limits.downtime_ms = 300;
	m.desc.memory = 4000000;
	assert_false(migrate_backlog_ram_is_near(&m));
	m.progress.ram_total = 4000000;
	m.progress.ram_remaining = 2900000; /* 3 s */
	assert_true(migrate_backlog_ram_is_near(&m));
	m.progress.ram_remaining = 4000000;
	m.config.limits.downtime_ms = 2000;
	assert_true(migrate_backlog_ram_is_near(&m));
	m.config.limits.downtime_ms = 300;
	m.backlog.line_rate = 0; /* not known */
	assert_true(migrate_backlog_ram_is_near(&m));
}

/* A pace that followed from itself would go down for ever. */
static void test_backlog_takes_no_paced_writes_for_the_line(void **state)
{
	struct migrate m = {.backlog.line_rate = 1e8, .state = MIGRATE_DISKS};

	(void)state;
	m.pace.bytes = 25000000;
	for (unsigned i = 0; i < 1000; i++)
		migrate_backlog_line(&m, 2.5e7);
	assert_true(m.backlog.line_rate == 1e8);
	m.state = MIGRATE_RAM;
	m.backlog.held_since_ms = 1;
	migrate_backlog_line(&m, 2.5e7);
	assert_true(m.backlog.line_rate == 1e8);
	migrate_backlog_line(&m, 2e8);
	assert_true(m.backlog.line_rate == 2e8);
	/* RAM flows: the line is full. */
	m.backlog.held_since_ms = 0;
	for (unsigned i = 0; i < 1000; i++)
		migrate_backlog_line(&m, 2.5e7);
	assert_true(m.backlog.line_rate < 2.6e7);
}

/* 16 MiB in a disk's queue are through before its guest gives one of them up. */
static void test_backlog_paces_no_disk_below_what_its_guest_bears(void **state)
{
	struct vmdesc_disk descs[3] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
	struct mig_disk disks[3];
	json_t *own = json_pack("{s:i}", "bps-read", 5);
	struct migrate m = {.disks = disks, .disk_count = 3};
	uint64_t bytes, ops;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		descs[i].limits_group = "";
		disks[i] = (struct mig_disk){.desc = &descs[i]};
	}
	descs[2].limits = own;
	migrate_pace_share(&m, &descs[0], &bytes, &ops);
	assert_true(bytes == 0 && ops == 0);
	m.pace.bytes = m.pace.ops = 1;
	migrate_pace_share(&m, &descs[0], &bytes, &ops); /* a and b */
	assert_true(bytes * 30 > 2 * (16 << 20) && ops * 30 > 2 * 32);
	migrate_pace_share(&m, &descs[2], &bytes, &ops);
	assert_true(bytes * 30 > (16 << 20) && ops * 30 > 32);
	m.pace.bytes = 1000000000;
	migrate_pace_share(&m, &descs[2], &bytes, &ops);
	assert_int_equal(bytes, 500000000);
	json_decref(own);
}

/* How long the stop itself took is not in it: a flush for each disk, whatever the limit. */
static void test_backlog_counts_what_is_left_at_a_stop_and_no_more(void **state)
{
	struct mig_disk disk = {.total = 9000000, .done = 9000000};
	struct migrate m = {.disks = &disk, .disk_count = 1, .backlog.line_rate = 1e6};

	(void)state;
	m.config.limits.downtime_ms = 50;
	m.probe.done = 9000000;
	m.probe.stop_ms = 1;
	m.probe.stood_ms = 2000;
	assert_int_equal(migrate_backlog_at_stop_ms(&m, 130), 0);
	disk.total += 10000;
	assert_int_equal(migrate_backlog_at_stop_ms(&m, 130), 10);
	m.probe.done -= 20000; /* copied since */
	assert_int_equal(migrate_backlog_at_stop_ms(&m, 130), 30);
	assert_true(migrate_backlog_would_fit(&m, migrate_backlog_at_stop_ms(&m, 130)));
	m.probe.done = 0; /* no more than the line carries in that time */
	assert_int_equal(migrate_backlog_at_stop_ms(&m, 130), 140);
}

static void test_backlog_tells_flushes_from_round_trips(void **state)
{
	(void)state;
	assert_int_equal(migrate_backlog_flushes_ms(60, 20000), 0);
	assert_int_equal(migrate_backlog_flushes_ms(160, 20000), 100);
	assert_int_equal(migrate_backlog_flushes_ms(2000, 0), 2000);
}

/* A guest that writes little is not stopped for a look: little is what goes over in an eighth of
 * the limit, or a small write to each disk. */
static void test_backlog_knows_a_guest_that_writes_little(void **state)
{
	struct mig_disk disk = {.total = 1000000, .done = 1000000};
	struct migrate m = {.disks = &disk, .disk_count = 1, .backlog.line_rate = 8e6};
	json_t *limits = json_pack("{s:i}", "bps_wr", 262144);
	struct vmdesc_disk limited = {.limits = limits};

	(void)state;
	m.config.limits.downtime_ms = 300; /* 300000 bytes */
	m.backlog.writes.total = 1000000;
	assert_false(migrate_backlog_is_quiet(&m)); /* not known yet */
	m.backlog.writes.known = true;
	assert_true(migrate_backlog_is_quiet(&m));
	m.backlog.writes.bytes = 300000;
	assert_true(migrate_backlog_is_quiet(&m));
	m.backlog.writes.bytes = 300001;
	assert_false(migrate_backlog_is_quiet(&m));
	m.backlog.writes.bytes = 0;
	m.backlog.writes.total -= 400000; /* since then */
	assert_false(migrate_backlog_is_quiet(&m));
	m.backlog.writes.total += 400000;
	disk.done -= 400000; /* left to copy */
	assert_false(migrate_backlog_is_quiet(&m));
	disk.done += 400000;
	m.pace.bytes = 250000; /* what waits for it is not seen */
	assert_false(migrate_backlog_is_quiet(&m));
	m.pace.bytes = 0;
	/* Nor is what waits for limits of the VM's own. */
	disk.desc = &limited;
	assert_true(migrate_backlog_is_quiet(&m));
	m.backlog.writes.bytes = 1;
	assert_false(migrate_backlog_is_quiet(&m));
	disk.desc = NULL;
	assert_true(migrate_backlog_is_quiet(&m));
	json_decref(limits);
	m.backlog.line_rate = 0;
	disk.grain = 65536;
	m.backlog.writes.bytes = 131072;
	assert_true(migrate_backlog_is_quiet(&m));
	m.backlog.writes.bytes++;
	assert_false(migrate_backlog_is_quiet(&m));
	disk.grain = 4096;
	m.backlog.writes.bytes = 32768;
	assert_true(migrate_backlog_is_quiet(&m));
	m.backlog.writes.bytes++;
	assert_false(migrate_backlog_is_quiet(&m));
}

/* A small request costs what the mirror copies at least, and work of QEMU's. */
static void test_backlog_paces_requests_by_what_each_costs(void **state)
{
	struct mig_disk disks[2] = {{.grain = 4096}, {.grain = 4096}};
	struct migrate m = {.disks = disks, .disk_count = 2};

	(void)state;
	assert_int_equal(migrate_backlog_pace_ops(&m, 4096000), 1000);
	assert_int_equal(migrate_backlog_pace_ops(&m, 163840000), 4000);
	assert_int_equal(migrate_backlog_pace_ops(&m, 655360000), 10000);
	disks[1].grain = 65536;
	assert_int_equal(migrate_backlog_pace_ops(&m, 6553600), 100);
}

/* How long, in s, a switchover with so much left of the disks may take that steadily goes on. */
static unsigned stands_for(uint64_t left)
{
	struct mig_disk disk = {.total = left};
	struct migrate m = {.phases = migrate_phases,
			    .disks = &disk,
			    .disk_count = 1,
			    .backlog.line_rate = 1e6,
			    .state = MIGRATE_SWITCHOVER};
	struct err e = ERR_INIT;
	unsigned s = 0;

	m.config.limits.downtime_ms = 300;
	m.progress.phase = "switchover";
	for (; !migrate_watch_is_stuck(&m, &e) && s < 100000; s += 10) {
		disk.last.sent_bytes++;
		later_ms += 10000;
	}
	return s;
}

static void test_backlog_of_a_suspended_guest_may_take_its_time(void **state)
{
	(void)state;
	assert_in_range(stands_for(0), 120, 140);
	assert_in_range(stands_for(300000000), 3000, 3200); /* 300 s */
}

/* A `stop` of ours waits for the destination's disks, and is given up where nothing moves. */
static void test_backlog_of_a_stop_that_hangs_is_given_up(void **state)
{
	struct mig_disk disk = {.total = 1000};
	struct migrate m = {.phases = migrate_phases,
			    .disks = &disk,
			    .disk_count = 1,
			    .backlog.line_rate = 1e6,
			    .state = MIGRATE_RAM};
	struct err e = ERR_INIT;

	(void)state;
	m.progress.phase = "ram";
	for (int i = 0; i < 10; i++, later_ms += 10000)
		assert_false(migrate_watch_is_stuck(&m, &e)); /* the guest runs */
	m.guest.paused = true;
	for (int i = 0; i < 20; i++, later_ms += 10000, disk.last.sent_bytes++)
		assert_false(migrate_watch_is_stuck(&m, &e)); /* it moves */
	assert_false(migrate_watch_is_stuck(&m, &e));
	later_ms += 30000;
	assert_true(migrate_watch_is_stuck(&m, &e));
	m.guest.stop_ms = 1; /* QEMU has answered */
	assert_false(migrate_watch_is_stuck(&m, &(struct err)ERR_INIT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_backlog_holds_what_does_not_fit_into_the_limit),
	    cmocka_unit_test(test_backlog_of_nothing_fits_into_any_limit),
	    cmocka_unit_test(test_backlog_keeps_room_for_a_guest_that_is_paced),
	    cmocka_unit_test(test_backlog_knows_when_ram_comes_to_its_end),
	    cmocka_unit_test(test_backlog_takes_no_paced_writes_for_the_line),
	    cmocka_unit_test(test_backlog_paces_no_disk_below_what_its_guest_bears),
	    cmocka_unit_test(test_backlog_paces_requests_by_what_each_costs),
	    cmocka_unit_test(test_backlog_counts_what_is_left_at_a_stop_and_no_more),
	    cmocka_unit_test(test_backlog_tells_flushes_from_round_trips),
	    cmocka_unit_test(test_backlog_knows_a_guest_that_writes_little),
	    cmocka_unit_test(test_backlog_of_a_suspended_guest_may_take_its_time),
	    cmocka_unit_test(test_backlog_of_a_stop_that_hangs_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
