/* Sizes and rates as users write and read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/size.h"

static void test_size_parse_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
	    {"0", 0},
	    {"1048576", 1048576},
	    {"512B", 512},
	    {"64K", 65536},
	    {"64k", 65536},
	    {"64Ki", 65536},
	    {"64KiB", 65536},
	    {"64KB", 65536},
	    {"10M", 10485760},
	    {"2G", 2147483648},
	    {"1T", 1099511627776},
	    {"18446744073709551615", UINT64_MAX},
	    {"15E", UINT64_C(15) << 60},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = ERR_INIT;
		uint64_t v = 1;

		assert_int_equal(size_parse(&v, cases[i].text, &e), 0);
		assert_true(v == cases[i].bytes);
	}
}

static void test_size_parse_refuses(void **state)
{
	static const char *const texts[] = {
	    "",
	    " 1",
	    "-1",
	    "+1",
	    "K",
	    "1.5G",
	    "1X",
	    "1KK",
	    "1 K",
	    "0x10",
	    "18446744073709551616",
	    "16E",
	    "1Bi",
	    "1i",
	    "1K/s",
	    "10Mb",
	    "10Mbit",
	    "10bit",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct err e = ERR_INIT;
		uint64_t v;

		assert_int_equal(size_parse(&v, texts[i], &e), ERR_USAGE);
		assert_non_null(strstr(e.text, texts[i]));
	}
}

static void test_size_parse_rate(void **state)
{
	struct err e = ERR_INIT;
	uint64_t v;

	(void)state;
	assert_int_equal(size_parse_rate(&v, "10M/s", &e), 0);
	assert_true(v == 10485760);
	assert_int_equal(size_parse_rate(&v, "10MiB/s", &e), 0);
	assert_int_equal(size_parse_rate(&v, "5", &e), 0);
	assert_true(v == 5);
	assert_int_equal(size_parse_rate(&v, "100Mbit", &e), 0);
	assert_true(v == 12500000);
	assert_int_equal(size_parse_rate(&v, "10gbit/s", &e), 0);
	assert_true(v == 1250000000);
	assert_int_equal(size_parse_rate(&v, "800bit", &e), 0);
	assert_true(v == 100);
	assert_int_equal(size_parse_rate(&v, "10MB/s", &e), 0);
	assert_true(v == 10485760);
	assert_int_equal(size_parse_rate(&v, "0", &e), ERR_USAGE);
	assert_int_equal(size_parse_rate(&v, "7bit", &e), ERR_USAGE);
	assert_int_equal(size_parse_rate(&v, "10Mb", &e), ERR_USAGE);
	assert_non_null(strstr(e.text, "Mbit or MB"));
	assert_int_equal(size_parse_rate(&v, "10Mbps", &e), ERR_USAGE);
	assert_int_equal(size_parse_rate(&v, "10Mibit", &e), ERR_USAGE);
	assert_int_equal(size_parse_rate(&v, "18446744073709551615Ebit", &e), ERR_USAGE);
	assert_int_equal(size_parse_rate(&v, "10M/h", &e), ERR_USAGE);
}

static void test_size_format(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
	    {0, "0 B"},
	    {1023, "1023 B"},
	    {1024, "1.0 KiB"},
	    {1536, "1.5 KiB"},
	    {1048575, "1.0 MiB"},
	    {UINT64_C(3) << 29, "1.5 GiB"},
	    {UINT64_MAX, "16.0 EiB"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[16];

		assert_string_equal(size_format(cases[i].bytes, buf, sizeof(buf)), cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_size_parse_units),
	    cmocka_unit_test(test_size_parse_refuses),
	    cmocka_unit_test(test_size_parse_rate),
	    cmocka_unit_test(test_size_format),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
