/* The byte queue gives back what it was given, and its length is true. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/bytes.h"

static void test_bytes_keeps_order_over_chunks(void **state)
{
	static uint8_t data[200000];
	struct bytes b = {0};
	size_t put = 0, got = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + i / 251);
	srand(1);
	while (got < sizeof(data)) {
		size_t n = (size_t)rand() % 70000, have;
		const uint8_t *p;

		if (n > sizeof(data) - put)
			n = sizeof(data) - put;
		assert_int_equal(bytes_append(&b, data + put, n), 0);
		put += n;
		assert_int_equal(b.len, put - got);
		n = (size_t)rand() % 50000;
		while (n && (have = bytes_front(&b, &p)) > 0) {
			if (have > n)
				have = n;
			assert_memory_equal(p, data + got, have);
			bytes_consume(&b, have);
			got += have;
			n -= have;
		}
	}
	assert_int_equal(b.len, 0);
	bytes_fini(&b);
}

static void test_bytes_fini_frees_what_is_left(void **state)
{
	struct bytes b = {0};

	(void)state;
	assert_int_equal(bytes_append(&b, (const uint8_t *)"abc", 3), 0);
	bytes_fini(&b);
	assert_int_equal(b.len, 0);
	assert_null(b.head);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bytes_keeps_order_over_chunks),
	    cmocka_unit_test(test_bytes_fini_frees_what_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
