/* One byte stream over several pipes, in memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tunnel/strands.h"

enum { STREAM = 1000000 };

static uint8_t sent[STREAM], got[STREAM];

/* Sends all of the stream through count pipes, whose bytes arrive in crumbs and out of
 * step, and compares. */
static void through(unsigned count, unsigned seed)
{
	struct strands a = {.count = count}, b = {.count = count};
	struct outbuf from = {0}, pipes[STRANDS_MAX] = {0};
	uint8_t piece[STRANDS_HEAD + STRANDS_PIECE_MAX];
	size_t at = 0, have = 0;
	struct err e = ERR_INIT;

	srand(seed);
	for (size_t i = 0; i < STREAM; i++)
		sent[i] = (uint8_t)rand();
	while (have < STREAM) {
		size_t len = (size_t)rand() % 50000;
		unsigned k = (unsigned)rand() % count;
		const uint8_t *data;
		ssize_t n;

		if (len > STREAM - at)
			len = STREAM - at;
		assert_int_equal(outbuf_append(&from, sent + at, len), 0);
		at += len;
		while (from.len) {
			unsigned to = a.out_at;

			len =
			    strands_piece(&a, &from, piece, sizeof(piece) - (size_t)(rand() % 99));
			assert_in_range(len, STRANDS_HEAD + 1, sizeof(piece));
			assert_int_equal(outbuf_append(&pipes[to], piece, len), 0);
		}
		if (pipes[k].len) {
			len = outbuf_peek(&pipes[k], &data);
			if (len > 40000)
				len = 1 + (size_t)rand() % 40000;
			assert_int_equal(outbuf_append(&b.in[k], data, len), 0);
			outbuf_drop(&pipes[k], len);
		}
		do {
			int ready = strands_ready(&b);

			n = strands_read(&b, got + have, 1 + (size_t)rand() % 70000, &e);
			assert_true(n >= 0);
			assert_true(ready || n == 0);
			have += (size_t)n;
		} while (n);
	}
	assert_int_equal(have, STREAM);
	assert_memory_equal(sent, got, STREAM);
	outbuf_fini(&from);
	for (unsigned i = 0; i < count; i++)
		outbuf_fini(&pipes[i]);
	strands_fini(&a);
	strands_fini(&b);
}

static void test_strands_carry_the_stream(void **state)
{
	(void)state;
	for (unsigned count = 2; count <= STRANDS_MAX; count++)
		through(count, count);
}

static void test_strands_one_is_bare(void **state)
{
	struct strands s = {.count = 1};
	uint8_t buf[16];

	(void)state;
	assert_false(strands_ready(&s));
	assert_int_equal(outbuf_append(&s.in[0], (const uint8_t *)"hello", 5), 0);
	assert_true(strands_ready(&s));
	assert_int_equal(strands_read(&s, buf, sizeof(buf), NULL), 5);
	assert_memory_equal(buf, "hello", 5);
	strands_fini(&s);
}

static void refuses(const char *head)
{
	struct strands s = {.count = 2};
	struct err e = ERR_INIT;
	uint8_t buf[16];

	assert_int_equal(outbuf_append(&s.in[0], (const uint8_t *)head, 4), 0);
	assert_int_equal(strands_read(&s, buf, sizeof(buf), &e), -1);
	assert_int_equal(e.code, ERR_PROTOCOL);
	strands_fini(&s);
}

static void test_strands_refuse_lengths(void **state)
{
	(void)state;
	refuses("\0\0\0\0");
	refuses("\0\0\177\275"); /* 32701 */
	refuses("\377\377\377\377");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_strands_carry_the_stream),
	    cmocka_unit_test(test_strands_one_is_bare),
	    cmocka_unit_test(test_strands_refuse_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
