/* The places that all peers' arrivals share: who is counted, and who still gets one where all are
 * taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/destination/arrival_i.h"

enum { MAX = 64, ALL = 256 };

static void test_full_places_leave_one_for_who_has_less(void **state)
{
	struct shares all = TAILQ_HEAD_INITIALIZER(all);
	struct share *peers[4], *good;
	static const char *const names[] = {"psk:a", "psk:b", "psk:c", "psk:d"};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		peers[i] = share_join(&all, names[i]);
		assert_non_null(peers[i]);
		peers[i]->held = MAX - 1;
		assert_true(shares_admit(&all, peers[i], 4 * (MAX - 1), MAX, ALL));
		peers[i]->held = MAX;
		assert_false(shares_admit(&all, peers[i], MAX, MAX, ALL));
	}
	good = share_join(&all, "psk:good");
	assert_non_null(good);
	assert_true(shares_admit(&all, good, ALL, MAX, ALL));
	good->held = ALL / 5 - 1;
	assert_true(shares_admit(&all, good, ALL + 50, MAX, ALL));
	good->held = ALL / 5;
	assert_false(shares_admit(&all, good, ALL + 51, MAX, ALL));
	peers[0]->held = MAX - 1;
	assert_false(shares_admit(&all, peers[0], ALL + 50, MAX, ALL));
	assert_ptr_equal(shares_fullest(&all, good), peers[1]);
	for (unsigned i = 0; i < 4; i++)
		share_leave(&all, peers[i]);
	share_leave(&all, good);
	assert_true(TAILQ_EMPTY(&all));
}

static void test_arrivals_count_from_begin_and_questions_do_not(void **state)
{
	struct service s = {0};
	struct arrival arrivals[5] = {
	    {.state = ARRIVAL_WAITING},
	    {.state = ARRIVAL_ASKED},
	    {.state = ARRIVAL_READY},
	    {.state = ARRIVAL_OVER},
	    {.state = ARRIVAL_OVER, .over.undoes = ARRIVAL_UNDO_GUARDIAN}};
	struct share *own;

	(void)state;
	TAILQ_INIT(&s.arrivals);
	TAILQ_INIT(&s.shares);
	for (unsigned i = 0; i < 5; i++) {
		arrivals[i].share = share_join(&s.shares, "psk:a");
		assert_non_null(arrivals[i].share);
		TAILQ_INSERT_TAIL(&s.arrivals, &arrivals[i], listed);
	}
	own = arrivals[0].share;
	assert_ptr_equal(own, arrivals[4].share);
	assert_int_equal(service_count_arrivals(&s), 2);
	assert_int_equal(own->held, 2);
	assert_int_equal(service_arrivals(&s), 3); /* what a drain waits for */
	for (unsigned i = 0; i < 5; i++)
		share_leave(&s.shares, own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full_places_leave_one_for_who_has_less),
	    cmocka_unit_test(test_arrivals_count_from_begin_and_questions_do_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
