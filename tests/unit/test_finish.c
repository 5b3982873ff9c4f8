/* Finish on the destination: how long a twin that has not got everything is waited for. Against a
 * scripted QEMU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <string.h>

#include "base/clock.h"
#include "control/destination/arrival_i.h"
#include "tests/unit/scripted_qemu.h"

static uint64_t later_ms; /* the clock goes so much before */

uint64_t __real_clock_ms(void);
uint64_t __wrap_clock_ms(void);
uint64_t __wrap_clock_ms(void)
{
	return __real_clock_ms() + later_ms;
}

static unsigned failed;

void __wrap_arrival_fail(struct arrival *a, const struct err *e);
void __wrap_arrival_fail(struct arrival *a, const struct err *e)
{
	assert_true(err_is_set(e));
	a->state = ARRIVAL_OVER;
	failed++;
}

struct rig {
	struct scripted_qemu qemu;
	struct arrival a;
	const char *migration;
	unsigned looks;
};

static json_t *answer(void *ctx, const char *command, const json_t *arguments)
{
	struct rig *r = ctx;

	(void)arguments;
	r->looks += strcmp(command, "query-migrate") == 0;
	return json_pack("{s:{s:s}}", "return", "status",
			 strcmp(command, "query-migrate") == 0 ? r->migration : "inmigrate");
}

static void up(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	failed = 0;
	later_ms = 0;
	r->migration = "active";
	r->qemu.answer = answer;
	r->qemu.ctx = r;
	scripted_qemu_up(&r->qemu);
	r->a.phases = arrival_phases;
	r->a.state = ARRIVAL_CLOSED;
	r->a.ram.count = 1;
	assert_int_equal(arrival_core_init(&r->a, r->qemu.base), 0);
	r->a.qemu.qmp = r->qemu.qmp;
}

static void finish(struct rig *r, bool postcopy)
{
	json_t *msg = json_pack("{s:b,s:b}", "run", 1, "postcopy", postcopy);

	arrival_take_cookie(&r->a, COOKIE_FINISH, msg);
	json_decref(msg);
}

static void looks(struct rig *r, unsigned count)
{
	for (unsigned i = 0; i < 1000 && r->looks < count && !failed; i++)
		scripted_qemu_turn(&r->qemu);
}

static void down(struct rig *r)
{
	qmp_free(r->a.qemu.qmp);
	arrival_core_fini(&r->a);
	scripted_qemu_down(&r->qemu);
}

static void test_a_vm_that_lives_at_the_source_is_given_up_here(void **state)
{
	struct rig r;

	(void)state;
	up(&r);
	finish(&r, false);
	looks(&r, 3);
	assert_int_equal(failed, 0);
	later_ms = 600000;
	looks(&r, 6);
	assert_int_equal(failed, 1);
	down(&r);
}

/* The source has sent the devices, and cannot go on: whatever has come of them so far, the VM can
 * live here only. */
static void test_in_postcopy_it_is_waited_for_until_qemu_gives_up(void **state)
{
	struct rig r;

	(void)state;
	up(&r);
	finish(&r, true);
	looks(&r, 3);
	later_ms = 600000;
	looks(&r, 6);
	assert_int_equal(failed, 0);
	assert_int_equal(r.a.state, ARRIVAL_FINISHING);
	assert_true(r.looks >= 6);
	r.migration = "failed";
	looks(&r, r.looks + 3);
	assert_int_equal(failed, 1);
	down(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_vm_that_lives_at_the_source_is_given_up_here),
	    cmocka_unit_test(test_in_postcopy_it_is_waited_for_until_qemu_gives_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
