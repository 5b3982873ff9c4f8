/* A job of the journal whose QEMU may be another process by now: what is at its monitor is asked,
 * and what cannot be told is left to a person. Against a scripted QEMU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/process.h"
#include "control/source/migrate_i.h"
#include "tests/unit/scripted_qemu.h"

struct rig {
	struct scripted_qemu qemu;
	struct migrate m;
	bool over;
	const char *status; /* NULL: QEMU refuses to say it */
	const char *name;
	unsigned others; /* commands that are no questions */
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
	((struct rig *)ctx)->over = true;
}

static json_t *answer(void *ctx, const char *command, const json_t *arguments)
{
	struct rig *r = ctx;

	(void)arguments;
	if (strcmp(command, "query-name") == 0)
		return json_pack("{s:{s:s}}", "return", "name", r->name);
	if (strcmp(command, "query-uuid") == 0)
		return json_pack("{s:{s:s}}", "return", "UUID", "0-0");
	if (strcmp(command, "query-status") == 0 && r->status)
		return json_pack("{s:{s:s,s:b}}", "return", "status", r->status, "running",
				 strcmp(r->status, "running") == 0);
	if (strcmp(command, "query-status") == 0)
		return json_pack("{s:{s:s,s:s}}", "error", "class", "GenericError", "desc", "no");
	r->others++;
	return json_pack("{s:{}}", "return");
}

/* A job that was found in that state, and its monitor. */
static void up(struct rig *r, const char *found, enum migrate_decision decision)
{
	memset(r, 0, sizeof(*r));
	r->status = "postmigrate";
	r->name = "vm";
	r->qemu.answer = answer;
	r->qemu.ctx = r;
	scripted_qemu_up(&r->qemu);
	r->m = (struct migrate){.phases = migrate_phases,
				.state = MIGRATE_BEGIN,
				.decision = decision,
				.guest.was_running = true,
				.ops = &ops,
				.ctx = r,
				.ram.fd = -1};
	snprintf(r->m.found, sizeof(r->m.found), "%s", found);
	r->m.desc.name = "vm";
	r->m.desc.uuid = "0-0";
	r->m.config.qmp = "test";
	assert_int_equal(migrate_core_init(&r->m, r->qemu.base), 0);
	r->m.result.ev = event_new(r->qemu.base, -1, 0, on_result_due, r);
	r->m.qemu.qmp = r->qemu.qmp;
}

/* Until something has become of it. */
static void look(struct rig *r)
{
	migrate_resume_ready(&r->m);
	for (unsigned i = 0; i < 100 && r->m.state == MIGRATE_BEGIN; i++)
		scripted_qemu_turn(&r->qemu);
	assert_int_not_equal(r->m.state, MIGRATE_BEGIN);
}

static void down(struct rig *r)
{
	qmp_free(r->m.qemu.qmp);
	migrate_core_fini(&r->m);
	event_free(r->m.result.ev);
	migrate_pace_fini(&r->m);
	scripted_qemu_down(&r->qemu);
}

static void is_left(struct rig *r, const char *word)
{
	assert_int_equal(r->m.state, MIGRATE_OVER);
	assert_false(r->m.result.settled);
	assert_false(r->m.qemu.gone);
	assert_int_equal(r->others, 0);
	assert_non_null(strstr(r->m.err.text, word));
}

static void test_one_that_does_not_say_what_it_is_is_let_alone(void **state)
{
	struct rig r;

	(void)state;
	for (int d = MIGRATE_DECIDE_NOTHING; d <= MIGRATE_DECIDE_DROP_HERE; d++) {
		up(&r, "finish", (enum migrate_decision)d);
		r.status = NULL;
		look(&r);
		is_left(&r, "does not say what it is");
		down(&r);
	}
}

static void test_states_that_no_source_is_left_in(void **state)
{
	static const char *const no[] = {"running", "inmigrate", "prelaunch"};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		up(&r, "confirm", MIGRATE_DECIDE_DROP_HERE);
		r.status = no[i];
		look(&r);
		is_left(&r, i == 0 ? "end it by hand" : no[i]);
		down(&r);
		if (i == 0)
			continue;
		for (int decided = 0; decided < 2; decided++) {
			up(&r, decided ? "finish" : "perform", MIGRATE_DECIDE_RUN_HERE);
			r.status = no[i];
			look(&r);
			is_left(&r, no[i]);
			down(&r);
		}
	}
	up(&r, "finish", MIGRATE_DECIDE_RUN_HERE);
	r.status = "running";
	look(&r);
	assert_int_equal(r.m.state, MIGRATE_UNDO);
	down(&r);
}

static void test_before_the_switchover_a_running_one_is_put_back(void **state)
{
	struct rig r;

	(void)state;
	up(&r, "perform", MIGRATE_DECIDE_DROP_HERE);
	r.status = "running";
	look(&r);
	assert_false(r.m.qemu.gone);
	assert_int_equal(r.m.state, MIGRATE_UNDO);
	assert_null(strstr(r.m.err.text, "gone"));
	down(&r);
}

static void test_another_vm_is_let_alone(void **state)
{
	struct rig r;

	(void)state;
	up(&r, "perform", MIGRATE_DECIDE_RUN_HERE);
	r.name = "other";
	look(&r);
	assert_true(r.m.qemu.gone && r.m.result.settled && r.m.result.lost);
	assert_int_equal(r.others, 0);
	assert_non_null(strstr(r.note, "gone"));
	down(&r);
}

/* The number is of another pid namespace; the time is the same in all. */
static void test_another_number_is_not_another_process(void **state)
{
	struct rig r;

	(void)state;
	up(&r, "finish", MIGRATE_DECIDE_NOTHING);
	r.m.qemu.pid = getpid() + 1;
	r.m.qemu.started = process_started(getpid());
	look(&r);
	is_left(&r, "not known");
	down(&r);
	up(&r, "perform", MIGRATE_DECIDE_NOTHING);
	r.m.qemu.pid = getpid();
	r.m.qemu.started = process_started(getpid()) + 1;
	look(&r);
	assert_true(r.m.qemu.gone);
	down(&r);
}

static void test_only_a_monitor_that_nobody_has_says_that_it_has_gone(void **state)
{
	static const enum err_code codes[] = {ERR_TIMEOUT, ERR_SYSTEM, ERR_CLOSED};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct err e = ERR_INIT;

		err_set(&e, codes[i], "no greeting");
		up(&r, "perform", MIGRATE_DECIDE_DROP_HERE);
		r.m.qemu.pid = INT32_MAX; /* not to be seen */
		r.m.qemu.started = 1;
		migrate_resume_no_qmp(&r.m, &e);
		assert_int_equal(r.m.qemu.gone, codes[i] == ERR_CLOSED);
		assert_int_equal(r.m.result.settled, codes[i] == ERR_CLOSED);
		if (codes[i] != ERR_CLOSED)
			is_left(&r, "cannot be told: no greeting");
		down(&r);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_that_does_not_say_what_it_is_is_let_alone),
	    cmocka_unit_test(test_states_that_no_source_is_left_in),
	    cmocka_unit_test(test_before_the_switchover_a_running_one_is_put_back),
	    cmocka_unit_test(test_another_vm_is_let_alone),
	    cmocka_unit_test(test_another_number_is_not_another_process),
	    cmocka_unit_test(test_only_a_monitor_that_nobody_has_says_that_it_has_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
