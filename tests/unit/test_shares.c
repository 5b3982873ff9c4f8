/* The places that all peers share: who still gets one where all are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proxy/shares.h"

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

/* As many as libvirt's: eight peers that have all they may have leave none but for the ninth. */
static void test_eight_that_have_all_do_not_shut_out_the_ninth(void **state)
{
	enum { PEERS = 8, EACH = 64, PLACES = 512 };
	struct shares all = TAILQ_HEAD_INITIALIZER(all);
	struct share *peers[PEERS], *again, *good;
	unsigned held = 0;

	(void)state;
	for (unsigned i = 0; i < PEERS; i++) {
		char name[] = {'p', 's', 'k', ':', (char)('a' + (char)i), 0};

		peers[i] = share_join(&all, name);
		assert_non_null(peers[i]);
		while (shares_admit(&all, peers[i], held, EACH, PLACES)) {
			peers[i]->held++;
			held++;
		}
		assert_int_equal(peers[i]->held, EACH);
	}
	assert_int_equal(held, PLACES);
	/* Another session of a peer is the same peer. */
	again = share_join(&all, "psk:a");
	assert_ptr_equal(again, peers[0]);
	assert_false(shares_admit(&all, again, held, EACH, PLACES));
	/* One that had a few is held to its part, and who comes has as much. */
	peers[1]->held = 56;
	held -= EACH - 56;
	good = share_join(&all, "psk:good");
	assert_non_null(good);
	while (shares_admit(&all, good, held, EACH, PLACES)) {
		good->held++;
		held++;
	}
	assert_int_equal(good->held, PLACES / (PEERS + 1));
	assert_false(shares_admit(&all, peers[1], held, EACH, PLACES));
	share_leave(&all, again);
	assert_false(TAILQ_EMPTY(&all));
	for (unsigned i = 0; i < PEERS; i++)
		share_leave(&all, peers[i]);
	share_leave(&all, good);
	assert_true(TAILQ_EMPTY(&all));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full_places_leave_one_for_who_has_less),
	    cmocka_unit_test(test_eight_that_have_all_do_not_shut_out_the_ninth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
