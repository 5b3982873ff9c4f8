/* The destination goes by its table of phases: a way that the table has not is not gone, and the
 * migration ends by the safe way of the phase it is in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "control/destination/arrival_i.h"

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)ctx;
}

/* The twin says that postcopy has begun. */
static void say_postcopy(struct arrival *a)
{
	json_t *data = json_pack("{s:s}", "status", "postcopy-active");

	arrival_take_event(a, "MIGRATION", data);
	json_decref(data);
}

static void test_destination_refuses(void **state)
{
	struct event_base *base = event_base_new();
	struct arrival a = {.phases = arrival_phases, .state = ARRIVAL_READY};

	(void)state;
	assert_int_equal(arrival_core_init(&a, base), 0);
	a.over.ev_reap = evtimer_new(base, on_timer, NULL);
	assert_false(arrival_enter(&a, ARRIVAL_RUNS));
	assert_int_equal(a.state, ARRIVAL_OVER);

	/* what is decided is not undone: the journal keeps it, and the source asks again */
	a.state = ARRIVAL_RUNS;
	event_del(a.over.ev_reap);
	assert_false(arrival_enter(&a, ARRIVAL_READY));
	assert_int_equal(a.state, ARRIVAL_OVER);
	assert_true(event_pending(a.over.ev_reap, EV_TIMEOUT, NULL));

	a.state = ARRIVAL_DECIDED;
	event_del(a.over.ev_reap);
	assert_false(arrival_enter(&a, ARRIVAL_PREPARING));
	assert_int_equal(a.state, ARRIVAL_OVER);
	assert_true(event_pending(a.over.ev_reap, EV_TIMEOUT, NULL));

	/* a twin that lies: it has no RAM yet, and says that it runs; then the arrival fails */
	a.state = ARRIVAL_PREPARING;
	say_postcopy(&a);
	assert_int_equal(a.postcopy, ARRIVAL_POSTCOPY_NOT);
	a.postcopy = ARRIVAL_POSTCOPY_BEGUN;
	assert_false(arrival_enter(&a, ARRIVAL_FINISHING));
	assert_int_equal(a.state, ARRIVAL_OVER);
	arrival_core_fini(&a);
	event_free(a.over.ev_reap);
	event_base_free(base);
}

/* ---- the destination's core, on a table of its own ---- */

static struct {
	unsigned enters, leaves, fails, cookies, late, looks;
	char why[ERR_TEXT_MAX];
} arrival_did;

static void arrival_does_enter(struct arrival *a)
{
	(void)a;
	arrival_did.enters++;
}

static void arrival_does_leave(struct arrival *a)
{
	(void)a;
	arrival_did.leaves++;
}

static void arrival_does_late(struct arrival *a)
{
	(void)a;
	arrival_did.late++;
}

static void arrival_does_look(struct arrival *a)
{
	(void)a;
	arrival_did.looks++;
}

static void arrival_does_fail(struct arrival *a, const struct err *e)
{
	(void)a;
	arrival_did.fails++;
	snprintf(arrival_did.why, sizeof(arrival_did.why), "%s", e->text);
}

static void arrival_does_cookie(struct arrival *a, const json_t *msg)
{
	(void)a;
	(void)msg;
	arrival_did.cookies++;
}

static const struct arrival_cookie arrival_one_cookie[] = {{COOKIE_DISKS_DONE, arrival_does_cookie},
							   {0}};
static const struct arrival_phase arrival_first = {.name = "first",
						   .to = ARRIVAL_TO(CLOSING),
						   .is = ARRIVAL_OPEN,
						   .leave = arrival_does_leave,
						   .deadline = {.none = "a test"},
						   .look = arrival_does_look,
						   .fail = arrival_does_fail};
static const struct arrival_phase arrival_second = {
    .name = "second",
    .to = ARRIVAL_TO(OVER),
    .is = ARRIVAL_OPEN,
    .enter = arrival_does_enter,
    .deadline = {.ms = 1, .over = arrival_does_late},
    .cookies = arrival_one_cookie,
    .fail = arrival_does_fail};
static const struct arrival_phase arrival_last = {
    .name = "last", .is = ARRIVAL_SETTLES, .deadline = {.ms = 1, .over = arrival_does_late}};
static const struct arrival_phase *const arrival_short_table[ARRIVAL_STATES] = {
    [ARRIVAL_READY] = &arrival_first,
    [ARRIVAL_CLOSING] = &arrival_second,
    [ARRIVAL_OVER] = &arrival_last};

static void test_destination_goes_by_the_table(void **state)
{
	struct event_base *base = event_base_new();
	struct arrival a = {.phases = arrival_short_table, .state = ARRIVAL_READY, .id = "0123"};
	json_t *mine = json_pack("{s:s}", "job", "0123"),
	       *other = json_pack("{s:s}", "job", "4567");

	(void)state;
	memset(&arrival_did, 0, sizeof(arrival_did));
	assert_int_equal(arrival_core_init(&a, base), 0);
	/* what belongs to a phase goes with it, and the next one's deadline is armed */
	arrival_look(&a, 0);
	assert_true(arrival_enter(&a, ARRIVAL_CLOSING));
	assert_int_equal(a.before, ARRIVAL_READY);
	assert_false(evtimer_pending(a.core.ev_look, NULL));
	assert_true(evtimer_pending(a.core.ev_deadline, NULL));
	assert_int_equal(arrival_did.leaves, 1);
	assert_int_equal(arrival_did.enters, 1);
	/* what is listed is taken, of this arrival; what is not is refused */
	arrival_take_cookie(&a, COOKIE_DISKS_DONE, mine);
	assert_int_equal(arrival_did.cookies, 1);
	arrival_take_cookie(&a, COOKIE_DISKS_DONE, other);
	assert_int_equal(arrival_did.cookies, 1);
	assert_non_null(strstr(arrival_did.why, "another job than its own"));
	arrival_take_cookie(&a, COOKIE_CONFIRM, mine);
	assert_int_equal(arrival_did.fails, 2);
	assert_non_null(strstr(arrival_did.why, "confirm in state second, out of order"));
	assert_false(arrival_enter(&a, ARRIVAL_READY));
	assert_int_equal(arrival_did.fails, 3);
	assert_int_equal(a.state, ARRIVAL_CLOSING);
	/* the deadline is the phase's that it is in */
	event_base_dispatch(base);
	assert_int_equal(arrival_did.late, 1);
	assert_int_equal(arrival_did.looks, 0);
	/* where the end is known nothing that is said stops its deadline */
	assert_true(arrival_enter(&a, ARRIVAL_OVER));
	arrival_take_cookie(&a, COOKIE_ABORT, mine);
	assert_false(arrival_enter(&a, ARRIVAL_CLOSING));
	assert_int_equal(arrival_did.fails, 3);
	assert_true(evtimer_pending(a.core.ev_deadline, NULL));
	arrival_core_fini(&a);
	json_decref(mine);
	json_decref(other);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_destination_goes_by_the_table),
	    cmocka_unit_test(test_destination_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
