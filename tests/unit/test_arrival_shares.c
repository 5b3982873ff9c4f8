/* The places that all peers' arrivals share: which of them are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/destination/arrival_i.h"

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
	    cmocka_unit_test(test_arrivals_count_from_begin_and_questions_do_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
