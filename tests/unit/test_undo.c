/* A job is undone: the capabilities go back only when QEMU has cleared its migration away, and the
 * record goes only when it has said that the limits of the disks are back. Against a scripted
 * QEMU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "control/source/migrate_i.h"
#include "tests/unit/scripted_qemu.h"

static uint64_t later_ms; /* the clock goes so much before */

uint64_t __real_clock_ms(void);
uint64_t __wrap_clock_ms(void);
uint64_t __wrap_clock_ms(void)
{
	return __real_clock_ms() + later_ms;
}

enum limits { TAKES, REFUSES, LACKS, RENAMED, HANGS };

struct rig {
	struct scripted_qemu qemu;
	struct migrate m;
	struct vmdesc_disk disk;
	int over;
	enum limits limits;
	bool running;
	unsigned asked;	     /* to take the limits back */
	unsigned clears;     /* so many looks more at a migration that has failed */
	bool too_early;	     /* the capabilities were put back before */
	unsigned set;	     /* times that they were */
	const char *dies_at; /* a command */
	char note[1024];
};

static void on_note(void *ctx, const char *text)
{
	struct rig *r = ctx;

	snprintf(r->note, sizeof(r->note), "%s", text);
}

static const struct migrate_ops ops = {.on_note = on_note};

static void on_result_due(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	((struct rig *)ctx)->over = 1;
}

static json_t *answer(void *ctx, const char *command, const json_t *arguments)
{
	struct rig *r = ctx;

	(void)arguments;
	if (r->dies_at && strcmp(command, r->dies_at) == 0) {
		shutdown(r->qemu.peer, SHUT_RDWR);
		return NULL;
	}
	if (strcmp(command, "query-status") == 0)
		return json_pack("{s:{s:s,s:b}}", "return", "status",
				 r->running ? "running" : "paused", "running", r->running);
	if (strcmp(command, "query-migrate") == 0)
		return json_pack("{s:{s:s}}", "return", "status", "failed");
	if (strcmp(command, "query-yank") == 0 && r->clears > 0) {
		r->clears--;
		return json_pack("{s:[{s:s},{s:s,s:s}]}", "return", "type", "migration", "type",
				 "chardev", "id", "qmp");
	}
	if (strcmp(command, "query-yank") == 0)
		return json_pack("{s:[{s:s,s:s}]}", "return", "type", "chardev", "id", "qmp");
	if (strcmp(command, "migrate-set-capabilities") == 0) {
		r->set++;
		r->too_early = r->too_early || r->clears > 0;
	}
	if (strcmp(command, "query-block-jobs") == 0 ||
	    strcmp(command, "query-named-block-nodes") == 0)
		return json_pack("{s:[]}", "return");
	if (strcmp(command, "block_set_io_throttle") != 0)
		return json_pack("{s:{}}", "return");
	r->asked++;
	if (r->limits == HANGS)
		return NULL;
	if (r->limits == TAKES)
		return json_pack("{s:{}}", "return");
	return json_pack("{s:{s:s,s:s}}", "error", "class", "GenericError", "desc",
			 r->limits == LACKS	? "Device 'vd0' not found"
			 : r->limits == RENAMED ? "Device does not have a block device backend"
						: "Device is busy");
}

static void up(struct rig *r, enum limits limits, bool running)
{
	json_t *record = json_loads("{\"limits\":{\"disks\":[\"vd0\"],\"groups\":[]}}", 0, NULL);

	memset(r, 0, sizeof(*r));
	later_ms = 0;
	r->limits = limits;
	r->running = running;
	r->qemu.answer = answer;
	r->qemu.ctx = r;
	scripted_qemu_up(&r->qemu);
	r->disk =
	    (struct vmdesc_disk){.name = "vd0", .device = "vd0", .qdev = "", .limits_group = ""};
	r->m = (struct migrate){.phases = migrate_phases,
				.state = MIGRATE_DISKS,
				.qemu.touched = true,
				.guest.was_running = running,
				.ops = &ops,
				.ctx = r,
				.ram.fd = -1};
	r->m.desc.disks = &r->disk;
	r->m.desc.disk_count = 1;
	assert_int_equal(migrate_core_init(&r->m, r->qemu.base), 0);
	r->m.result.ev = event_new(r->qemu.base, -1, 0, on_result_due, r);
	r->m.qemu.qmp = r->qemu.qmp;
	migrate_pace_take_record(&r->m, record);
	json_decref(record);
}

static void undo_as(struct rig *r, enum limits limits, bool running, enum migrate_decision decision)
{
	struct err e = ERR_INIT;

	up(r, limits, running);
	r->m.decision = decision;
	err_set(&e, ERR_CANCELLED, "cancelled");
	migrate_fail(&r->m, &e);
	for (unsigned i = 0; i < 1000 && !r->over; i++) {
		scripted_qemu_turn(&r->qemu);
		if (limits == HANGS && r->asked)
			later_ms = 60000;
	}
	assert_true(r->over);
}

static void undo(struct rig *r, enum limits limits, bool running)
{
	undo_as(r, limits, running, MIGRATE_DECIDE_NOTHING);
}

static void down(struct rig *r)
{
	qmp_free(r->m.qemu.qmp);
	migrate_core_fini(&r->m);
	event_free(r->m.result.ev);
	migrate_pace_fini(&r->m);
	scripted_qemu_down(&r->qemu);
}

static void test_undo_settles_when_the_limits_are_back(void **state)
{
	struct rig r;

	(void)state;
	for (int running = 0; running < 2; running++) {
		undo(&r, TAKES, running);
		assert_int_equal(r.asked, 1);
		assert_true(r.m.result.settled);
		assert_string_equal(r.note, "");
		down(&r);
	}
}

static void test_undo_settles_when_the_device_has_gone(void **state)
{
	struct rig r;

	(void)state;
	for (enum limits l = LACKS; l <= RENAMED; l++) {
		undo(&r, l, true);
		assert_true(r.m.result.settled);
		assert_string_equal(r.note, "");
		down(&r);
	}
}

static void test_undo_keeps_the_record_of_limits_that_are_refused(void **state)
{
	struct rig r;

	(void)state;
	for (int running = 0; running < 2; running++) {
		undo(&r, REFUSES, running);
		assert_true(r.asked > 1);
		assert_false(r.m.result.settled);
		assert_non_null(strstr(r.note, "Device is busy"));
		down(&r);
	}
}

static void test_undo_lets_refused_limits_be_where_a_person_says_so(void **state)
{
	struct rig r;

	(void)state;
	for (int running = 0; running < 2; running++) {
		undo_as(&r, REFUSES, running, MIGRATE_DECIDE_RUN_HERE);
		assert_true(r.asked > 1);
		assert_true(r.m.result.settled);
		assert_non_null(strstr(r.note, "Device is busy"));
		down(&r);
		undo_as(&r, HANGS, running, MIGRATE_DECIDE_RUN_HERE);
		assert_false(r.m.result.settled);
		down(&r);
	}
}

static void test_undo_keeps_the_record_of_limits_that_are_on_their_way(void **state)
{
	struct rig r;

	(void)state;
	for (int running = 0; running < 2; running++) {
		undo(&r, HANGS, running);
		assert_int_equal(r.asked, 1);
		assert_int_equal(strstr(r.m.err.text, "runs on here") != NULL, running);
		assert_false(r.m.result.settled);
		assert_non_null(strstr(r.note, "adit recover"));
		down(&r);
	}
}

/* QEMU aborts where multifd is switched off between "failed" and the clearing. */
static void test_undo_puts_the_capabilities_back_when_the_migration_is_cleared_away(void **state)
{
	struct err e = ERR_INIT;
	struct rig r;

	(void)state;
	up(&r, TAKES, true);
	r.m.qemu.settings_changed = true;
	r.clears = 3;
	err_set(&e, ERR_CANCELLED, "cancelled");
	migrate_fail(&r.m, &e);
	for (unsigned i = 0; i < 1000 && !r.over; i++)
		scripted_qemu_turn(&r.qemu);
	assert_true(r.over);
	assert_int_equal(r.clears, 0);
	assert_false(r.too_early);
	assert_int_equal(r.set, 1);
	assert_true(r.m.result.settled);
	down(&r);
}

/* One that never clears it holds up nothing else, and the record stays, which `adit recover` tries
 * again, until a person says that the VM is to run here whatever is left. */
static void test_undo_keeps_the_record_of_a_migration_that_is_not_cleared_away(void **state)
{
	struct err e = ERR_INIT;
	struct rig r;

	(void)state;
	for (int said = 0; said < 2; said++) {
		up(&r, TAKES, true);
		r.m.decision = said ? MIGRATE_DECIDE_RUN_HERE : MIGRATE_DECIDE_NOTHING;
		r.m.qemu.settings_changed = true;
		r.clears = UINT_MAX;
		err_set(&e, ERR_CANCELLED, "cancelled");
		migrate_fail(&r.m, &e);
		for (unsigned i = 0; i < 1000 && !r.over; i++) {
			scripted_qemu_turn(&r.qemu);
			if (r.asked)
				later_ms = 60000;
		}
		assert_true(r.over);
		assert_int_equal(r.asked, 1); /* the disks' limits were taken back at once */
		assert_int_equal(r.set, 0);
		assert_int_equal(r.m.result.settled, said);
		assert_non_null(strstr(r.note, "does not clear away"));
		assert_int_equal(strstr(r.note, "adit recover") == NULL, said);
		assert_int_equal(strstr(r.note, "migrate-set-capabilities") != NULL, said);
		down(&r);
	}
}

/* What has ended meanwhile has nothing to be put back, and its state is known. */
static void test_undo_ends_with_a_qemu_that_dies(void **state)
{
	static const char *const at[] = {"query-migrate", "query-status", "block_set_io_throttle"};
	struct err e = ERR_INIT;
	struct rig r;

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(at) / sizeof(at[0]); i++) {
		up(&r, TAKES, i % 2);
		qmp_set_owner(r.qemu.qmp, &migrate_qmp_ops, &r.m);
		r.dies_at = at[i / 2];
		err_set(&e, ERR_CANCELLED, "cancelled");
		migrate_fail(&r.m, &e);
		for (unsigned turn = 0; turn < 1000 && !r.over; turn++)
			scripted_qemu_turn(&r.qemu);
		assert_true(r.over);
		assert_int_equal(r.m.err.code, ERR_CANCELLED);
		assert_non_null(strstr(r.m.err.text, "cancelled; the source QEMU has gone since"));
		assert_true(r.m.result.settled && r.m.result.lost);
		assert_string_equal(r.note, "");
		down(&r);
	}
}

/* ---- a source that is kept ---- */

static void kept(struct rig *r, enum limits limits)
{
	up(r, limits, false);
	r->m.state = MIGRATE_CONFIRM;
	r->m.ask.only_tell = true;
	r->m.config.keep_source = true;
	migrate_take_cookie(&r->m, COOKIE_CONFIRMED, NULL);
	for (unsigned i = 0; i < 20 && !r->over; i++)
		scripted_qemu_turn(&r->qemu);
	assert_int_equal(r->asked, 1);
}

static void test_a_kept_source_is_told_when_its_limits_are_back(void **state)
{
	struct rig r;

	(void)state;
	kept(&r, TAKES);
	assert_true(r.over);
	assert_null(strstr(r.note, "limits"));
	down(&r);
	kept(&r, REFUSES);
	assert_true(r.over);
	assert_non_null(strstr(r.note, "limits"));
	down(&r);
}

static void test_a_kept_source_that_does_not_answer_is_not_waited_for(void **state)
{
	struct rig r;

	(void)state;
	kept(&r, HANGS);
	assert_false(r.over);
	assert_true(evtimer_pending(r.m.core.ev_deadline, NULL));
	migrate_phase(&r.m)->deadline.over(&r.m);
	scripted_qemu_turn(&r.qemu);
	assert_true(r.over);
	assert_non_null(strstr(r.note, "limits"));
	assert_null(strstr(r.note, "has not ended"));
	down(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_undo_settles_when_the_limits_are_back),
	    cmocka_unit_test(test_undo_settles_when_the_device_has_gone),
	    cmocka_unit_test(test_undo_keeps_the_record_of_limits_that_are_refused),
	    cmocka_unit_test(test_undo_lets_refused_limits_be_where_a_person_says_so),
	    cmocka_unit_test(test_undo_keeps_the_record_of_limits_that_are_on_their_way),
	    cmocka_unit_test(
		test_undo_puts_the_capabilities_back_when_the_migration_is_cleared_away),
	    cmocka_unit_test(test_undo_keeps_the_record_of_a_migration_that_is_not_cleared_away),
	    cmocka_unit_test(test_undo_ends_with_a_qemu_that_dies),
	    cmocka_unit_test(test_a_kept_source_is_told_when_its_limits_are_back),
	    cmocka_unit_test(test_a_kept_source_that_does_not_answer_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
