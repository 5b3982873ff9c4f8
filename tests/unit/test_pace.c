/* Limits for a time: what is set, and whose filters can be freed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "control/source/migrate_i.h"
#include "control/vm/pace.h"
#include "tests/unit/scripted_qemu.h"

static void lowers(const char *limits, uint64_t bytes, uint64_t ops, const char *expected)
{
	json_t *from = limits ? json_loads(limits, 0, NULL) : NULL;
	json_t *want = json_loads(expected, 0, NULL), *is = pace_lower(from, bytes, ops);

	assert_true(json_equal(is, want));
	json_decref(from);
	json_decref(want);
	json_decref(is);
}

static void test_the_lower_of_both_limits_holds_for_writes_alone(void **state)
{
	(void)state;
	lowers(NULL, 1000, 10, "{\"bps-write\":1000,\"iops-write\":10}");
	lowers("{\"bps-write\":500,\"bps-write-max\":9000,\"bps-write-max-length\":3}", 1000, 0,
	       "{\"bps-write\":500}");
	lowers("{\"bps-write\":5000,\"bps-read\":7,\"iops-read-max\":9}", 1000, 10,
	       "{\"bps-write\":1000,\"bps-read\":7,\"iops-read-max\":9,\"iops-write\":10}");
	lowers("{\"bps-read\":7}", 0, 0, "{\"bps-read\":7}");
}

/* QEMU takes no limit of writes beside one of the sum. */
static void test_a_limit_of_the_sum_stays_with_the_reads(void **state)
{
	(void)state;
	lowers("{\"bps-total\":5000,\"bps-total-max\":8000,\"bps-total-max-length\":2,"
	       "\"iops-total\":4,\"iops-size\":4096}",
	       1000, 10,
	       "{\"bps-read\":5000,\"bps-read-max\":8000,\"bps-read-max-length\":2,"
	       "\"bps-write\":1000,\"iops-read\":4,\"iops-write\":4,\"iops-size\":4096}");
}

/* A request of 64 KiB is to be one where adit counts them; what the VM's own count lets through in
 * big ones is a limit of bytes then. */
static void test_a_size_of_requests_does_not_divide_the_pace(void **state)
{
	(void)state;
	lowers("{\"iops-write\":200,\"iops-size\":4096}", 5000000, 10,
	       "{\"bps-write\":819200,\"iops-write\":10}");
	lowers("{\"iops-total\":200,\"iops-total-max\":300,\"iops-size\":4096,"
	       "\"bps-total\":9000000}",
	       5000, 10,
	       "{\"bps-read\":819200,\"bps-read-max\":1228800,\"bps-write\":5000,"
	       "\"iops-read\":200,\"iops-read-max\":300,\"iops-write\":10}");
	lowers("{\"iops-read\":200,\"iops-size\":4096,\"bps-read\":7}", 0, 10,
	       "{\"bps-read\":7,\"iops-read\":200,\"iops-write\":10}");
}

/* ---- filters ---- */

static json_t *throttle(const char *name, const char *group)
{
	json_t *o = json_pack("{s:s,s:s}", "node-name", name, "drv", "throttle");

	json_object_set_new(o, "file",
			    group ? json_sprintf("json:{\"driver\":\"throttle\","
						 "\"throttle-group\":\"%s\",\"file\":{}}",
						 group)
				  : json_string("/images/a"));
	return o;
}

/* Disks a and b behind t-a and t-b, of these groups; c behind nothing. */
struct vm {
	json_t *list, *graph, *vm, *disks;
};

static struct vm make(const char *group_a, const char *group_b)
{
	struct vm v;

	v.list = json_array();
	json_array_append_new(v.list, throttle("t-a", group_a));
	json_array_append_new(v.list, throttle("t-b", group_b));
	json_array_append_new(v.list, json_pack("{s:s,s:s,s:s}", "node-name", "c", "drv", "raw",
						"file", "/images/c"));
	v.graph = json_pack("{s:[{s:i,s:s,s:s}],s:[]}", "nodes", "id", 1, "type", "block-driver",
			    "name", "t-a", "edges");
	v.vm = json_pack("{s:[{s:s,s:{s:i}},{s:s,s:{s:i}},{s:s,s:{}}]}", "throttle_groups", "id",
			 "g", "limits", "bps-total", 1000, "id", "h", "limits", "iops-write", 5,
			 "id", "free", "limits");
	v.disks =
	    json_pack("[{s:s,s:s,s:s,s:b},{s:s,s:s,s:s,s:b},{s:s,s:s,s:s,s:b}]", "name", "a",
		      "node", "t-a", "qdev", "/a", "copy", 1, "name", "b", "node", "t-b", "qdev",
		      "/b", "copy", 1, "name", "c", "node", "c", "qdev", "/c", "copy", 1);
	assert_non_null(v.disks);
	return v;
}

static void expect(struct vm v, const char *expected)
{
	const struct vmdesc_nodes nodes = {v.list, v.graph};
	json_t *is = pace_filters(&nodes, v.vm, v.disks), *want = json_loads(expected, 0, NULL);

	assert_true(json_equal(is, want));
	json_decref(is);
	json_decref(want);
	json_decref(v.list);
	json_decref(v.graph);
	json_decref(v.vm);
	json_decref(v.disks);
}

static void set(struct vm v, size_t disk, const char *key, json_t *value)
{
	json_object_set_new(json_array_get(v.disks, disk), key, value);
}

static void test_filters_before_copied_disks_are_freed(void **state)
{
	(void)state;
	expect(make("g", "h"), "{\"a\":\"g\",\"b\":\"h\"}");
	expect(make("g", "g"), "{\"a\":\"g\",\"b\":\"g\"}");
	expect(make("free", "h"), "{\"b\":\"h\"}");
}

static void test_a_group_that_somebody_else_is_in_is_left_alone(void **state)
{
	struct vm v = make("g", "g");

	(void)state;
	set(v, 1, "copy", json_false());
	expect(v, "{}");
	v = make("g", "h");
	set(v, 2, "limits_group", json_string("g")); /* a drive's own group, of that name */
	expect(v, "{\"b\":\"h\"}");
	v = make("g", "h");
	set(v, 2, "node", json_string("t-a")); /* two devices before one filter */
	expect(v, "{\"b\":\"h\"}");
	expect(make("g", NULL), "{}"); /* which it is is not known */
}

static void test_a_disk_without_a_device_or_with_limits_keeps_its_filter(void **state)
{
	struct vm v = make("g", "h");

	(void)state;
	set(v, 0, "qdev", json_string(""));
	set(v, 1, "limits", json_pack("{s:i}", "bps-read", 5));
	expect(v, "{}");
}

/* ---- the record ---- */

static void test_what_a_record_names_is_put_back_once(void **state)
{
	json_t *record =
	    json_loads("{\"limits\":{\"disks\":[\"gone\"],\"groups\":[\"gone\"]}}", 0, NULL);
	struct migrate m = {0};
	struct qmp_batch *b = qmp_batch_new(), *other = qmp_batch_new();
	const struct err none = ERR_INIT;
	struct err closed = ERR_INIT;

	(void)state;
	err_set(&closed, ERR_CLOSED, "gone");
	m.report.vm = json_object();
	migrate_pace_take_record(&m, record);
	assert_true(migrate_pace_is_due_back(&m));
	migrate_pace_put_back(&m, b); /* what is not there any more is nobody's */
	assert_false(migrate_pace_is_due_back(&m));
	assert_true(migrate_pace_is_set(&m)); /* until it is carried out */
	migrate_pace_see_back(&m, other, &none);
	assert_true(migrate_pace_is_set(&m));
	migrate_pace_see_back(&m, b, &closed);
	assert_true(migrate_pace_is_set(&m));
	assert_true(migrate_pace_is_due_back(&m)); /* again */
	migrate_pace_put_back(&m, b);
	migrate_pace_see_back(&m, b, &none);
	assert_false(migrate_pace_is_set(&m));
	assert_false(migrate_pace_is_due_back(&m));
	migrate_pace_fini(&m);
	json_decref(m.report.vm);
	qmp_batch_free(b);
	qmp_batch_free(other);
	json_decref(record);
}

static void test_a_record_of_before_has_nothing_to_be_put_back(void **state)
{
	json_t *record = json_loads("{\"state\":\"perform\"}", 0, NULL);
	struct migrate m = {0};

	(void)state;
	migrate_pace_take_record(&m, record);
	assert_false(migrate_pace_is_due_back(&m));
	json_decref(record);
}

/* ---- who is paced, and how far ---- */

/* Writes have ended, each after so long; whether more is let through for it. */
static void stats(struct migrate *m, uint64_t ops, uint64_t ms, bool raised)
{
	json_t *all =
	    json_pack("[{s:s,s:{s:i}},{s:s,s:s,s:{s:I,s:I}}]", "device", "other", "stats",
		      "wr_operations", 1, "device", "", "qdev", "/b", "stats", "wr_operations",
		      (json_int_t)ops, "wr_total_time_ns", (json_int_t)(ms * 1000000));

	assert_non_null(all);
	assert_int_equal(migrate_pace_see_stats(m, all), raised);
	json_decref(all);
}

static uint64_t share(const struct migrate *m, const struct vmdesc_disk *d)
{
	uint64_t bytes, ops;

	migrate_pace_share(m, d, &bytes, &ops);
	assert_int_equal(ops, bytes / MIGRATE_PACE_REQUEST);
	return bytes;
}

/* A queue that takes longer than a guest bears, whatever the device. */
static void test_a_guest_that_waits_long_may_write_more(void **state)
{
	struct vmdesc_disk desc = {.name = "b", .device = "", .qdev = "/b", .limits_group = ""};
	struct mig_disk disk = {.desc = &desc};
	struct migrate m = {.disks = &disk, .disk_count = 1, .pace = {.bytes = 1, .ops = 1}};

	(void)state;
	stats(&m, 1000, 90000000, false); /* of before */
	stats(&m, 1010, 90010000, false); /* a second each */
	stats(&m, 1010, 90010000, false);
	assert_int_equal(share(&m, &desc), MIGRATE_PACE_MIN);
	stats(&m, 1020, 90110000, true); /* ten */
	assert_int_equal(share(&m, &desc), 4 * MIGRATE_PACE_MIN);
	stats(&m, 1030, 90110100, false); /* and it stays */
	assert_int_equal(share(&m, &desc), 4 * MIGRATE_PACE_MIN);
	stats(&m, 1031, 90130100, false); /* the last is too short ago to tell */
	for (unsigned i = 2; i < 10; i++) {
		disk.lifted_ms = 0;
		stats(&m, 1030 + i, 90110100 + i * 20000, i < 6);
	}
	assert_int_equal(share(&m, &desc), 1024 * MIGRATE_PACE_MIN);
}

/* One that waits for limits of its own gets no more by a lift; nor do the disks of another group.
 */
static void test_a_lift_is_of_the_group_that_waits_for_its_pace(void **state)
{
	struct vmdesc_disk descs[2] = {
	    {.name = "b", .device = "", .qdev = "/b", .limits_group = ""},
	    {.name = "c", .device = "", .qdev = "/c", .limits_group = "own"}};
	struct mig_disk disks[2] = {{.desc = &descs[0]}, {.desc = &descs[1]}};
	json_t *wide = json_pack("{s:i}", "bps-total", 900000000);
	json_t *tight = json_pack("{s:i}", "bps-write", 4096);
	json_t *few = json_pack("{s:i,s:i}", "iops-total", 2, "iops-size", 4096);
	struct migrate m = {.disks = disks, .disk_count = 2, .pace = {.bytes = 1, .ops = 1}};

	(void)state;
	descs[1].limits = wide;
	stats(&m, 10, 1000, false);
	stats(&m, 11, 21000, true);
	assert_int_equal(share(&m, &descs[0]), 4 * MIGRATE_PACE_MIN);
	assert_int_equal(share(&m, &descs[1]), MIGRATE_PACE_MIN);
	disks[0].lifted_ms = disks[0].lift = 0;
	descs[0].limits = tight;
	stats(&m, 12, 41000, false);
	descs[0].limits = few;
	stats(&m, 13, 61000, false);
	descs[0].limits = wide;
	stats(&m, 14, 81000, true);
	json_decref(wide);
	json_decref(tight);
	json_decref(few);
}

/* ---- what QEMU is told ---- */

struct rig {
	struct scripted_qemu qemu;
	struct migrate m;
	struct vmdesc_disk descs[8];
	struct mig_disk disks[8];
	unsigned told;
	json_int_t last; /* bps_wr */
};

static json_t *answer(void *ctx, const char *command, const json_t *arguments)
{
	const json_t *rate = json_object_get(arguments, "bps_wr");
	struct rig *r = ctx;

	(void)command;
	r->told += rate != NULL;
	if (rate)
		r->last = json_integer_value(rate);
	return json_pack("{s:{}}", "return");
}

/* Until nothing more is said. */
static void talk(struct rig *r)
{
	for (unsigned quiet = 0; quiet < 5;)
		quiet = scripted_qemu_turn(&r->qemu) ? 0 : quiet + 1;
}

static void up(struct rig *r)
{
	static const char names[] = "abcdefgh";
	static char name[8][2], qdev[8][3];
	json_t *touched = json_array();

	memset(r, 0, sizeof(*r));
	r->qemu.answer = answer;
	r->qemu.ctx = r;
	scripted_qemu_up(&r->qemu);
	r->m = (struct migrate){.state = MIGRATE_DISKS, .disks = r->disks, .disk_count = 8};
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name[i], sizeof(name[i]), "%c", names[i]);
		snprintf(qdev[i], sizeof(qdev[i]), "/%c", names[i]);
		r->descs[i] = (struct vmdesc_disk){
		    .name = name[i], .device = "", .qdev = qdev[i], .limits_group = ""};
		r->disks[i].desc = &r->descs[i];
		json_array_append_new(touched, json_string(name[i]));
	}
	/* it is written down already */
	r->m.pace.touched = json_pack("{s:o,s:[]}", "disks", touched, "groups");
	r->m.qemu.qmp = r->qemu.qmp;
	talk(r);
}

static void down(struct rig *r)
{
	qmp_free(r->m.qemu.qmp);
	migrate_pace_fini(&r->m);
	scripted_qemu_down(&r->qemu);
}

static void test_a_bottom_that_is_raised_reaches_qemu(void **state)
{
	const json_int_t least = 8 * MIGRATE_PACE_MIN;
	struct rig r;

	(void)state;
	up(&r);
	migrate_pace_set(&r.m, 3100000, 47);
	talk(&r);
	assert_int_equal(r.told, 8);
	assert_int_equal(r.last, least);
	migrate_pace_set(&r.m, 3100000, 47); /* the same */
	talk(&r);
	assert_int_equal(r.told, 8);
	stats(&r.m, 10, 1000, false);
	stats(&r.m, 11, 21000, true);
	migrate_pace_set(&r.m, 3100000, 47); /* less than the bottom was, and is */
	talk(&r);
	assert_int_equal(r.told, 16);
	assert_int_equal(r.last, 4 * least);
	down(&r);
}

static void test_what_changes_while_qemu_is_told_is_told_too(void **state)
{
	const json_int_t least = 8 * MIGRATE_PACE_MIN;
	struct rig r;

	(void)state;
	up(&r);
	stats(&r.m, 10, 1000, false);
	r.qemu.silent = true;
	migrate_pace_set(&r.m, 3100000, 47);
	talk(&r);
	stats(&r.m, 11, 21000, true);
	migrate_pace_set(&r.m, 3100000, 47);
	r.qemu.silent = false;
	talk(&r);
	assert_true(r.told > 8);
	assert_int_equal(r.last, 4 * least);
	/* but not once the job is over */
	r.qemu.silent = true;
	migrate_pace_set(&r.m, 300000000, 4700);
	talk(&r);
	migrate_pace_set(&r.m, 900000000, 4700);
	r.m.state = MIGRATE_SWITCHOVER;
	r.qemu.silent = false;
	talk(&r);
	assert_int_equal(r.last, 300000000);
	down(&r);
}

static void test_a_group_for_a_time_is_known_by_its_name(void **state)
{
	(void)state;
	assert_true(pace_is_group("adit-0a1b2c3d"));
	assert_true(pace_is_group("adit-0a1b2c3d-g"));
	assert_false(pace_is_group("adit-0a1b2c3"));
	assert_false(pace_is_group("adit-0a1b2c3d4"));
	assert_false(pace_is_group("adit-gold-1"));
	assert_false(pace_is_group(""));
	/* of devices that had limits, which are not to be lost with it */
	assert_false(pace_is_group("adit-0a1b2c3d+g"));
	assert_string_equal(pace_parted_from("adit-0a1b2c3d+g"), "g");
	assert_null(pace_parted_from("adit-0a1b2c3d-g"));
	assert_null(pace_parted_from("adit-0a1b2c3d+"));
	assert_null(pace_parted_from("g+g"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_lower_of_both_limits_holds_for_writes_alone),
	    cmocka_unit_test(test_a_limit_of_the_sum_stays_with_the_reads),
	    cmocka_unit_test(test_a_size_of_requests_does_not_divide_the_pace),
	    cmocka_unit_test(test_filters_before_copied_disks_are_freed),
	    cmocka_unit_test(test_a_group_that_somebody_else_is_in_is_left_alone),
	    cmocka_unit_test(test_a_disk_without_a_device_or_with_limits_keeps_its_filter),
	    cmocka_unit_test(test_what_a_record_names_is_put_back_once),
	    cmocka_unit_test(test_a_guest_that_waits_long_may_write_more),
	    cmocka_unit_test(test_a_lift_is_of_the_group_that_waits_for_its_pace),
	    cmocka_unit_test(test_a_bottom_that_is_raised_reaches_qemu),
	    cmocka_unit_test(test_what_changes_while_qemu_is_told_is_told_too),
	    cmocka_unit_test(test_a_group_for_a_time_is_known_by_its_name),
	    cmocka_unit_test(test_a_record_of_before_has_nothing_to_be_put_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
