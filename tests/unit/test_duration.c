/* Durations as users write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/duration.h"

static void test_duration_parse_units(void **state)
{
	static const struct {
		const char *text;
		enum duration_unit unit;
		uint64_t value;
	} cases[] = {
	    {"1", DURATION_S, 1},
	    {"90", DURATION_S, 90},
	    {"90s", DURATION_S, 90},
	    {"10m", DURATION_S, 600},
	    {"10min", DURATION_S, 600},
	    {"2h", DURATION_S, 7200},
	    {"3000ms", DURATION_S, 3},
	    {"500", DURATION_MS, 500},
	    {"500ms", DURATION_MS, 500},
	    {"2s", DURATION_MS, 2000},
	    {"1m", DURATION_MS, 60000},
	    {"10000000", DURATION_S, 10000000},
	    {"10000000s", DURATION_S, 10000000},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = ERR_INIT;
		uint64_t v = 0;

		assert_int_equal(duration_parse(&v, cases[i].text, cases[i].unit, 10000000, &e), 0);
		assert_true(v == cases[i].value);
	}
}

static void test_duration_parse_refuses(void **state)
{
	static const char *const texts[] = {
	    "",	       " 1",
	    "-1",      "+1",
	    "1.5s",    "s",
	    "1 s",     "1S",
	    "1d",      "1sec",
	    "0",       "0s",
	    "500ms",   "10000001",
	    "166667m", "1500ms",
	    "0x10",    "18446744073709551616",
	    "soon",    "18446744073709551615h",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct err e = ERR_INIT;
		uint64_t v = 7;

		assert_int_equal(duration_parse(&v, texts[i], DURATION_S, 10000000, &e), ERR_USAGE);
		assert_non_null(strstr(e.text, texts[i]));
		assert_true(v == 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_duration_parse_units),
	    cmocka_unit_test(test_duration_parse_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
