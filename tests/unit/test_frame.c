/* Frames: what is packed is unpacked, and what is wrong is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tunnel/frame.h"

static void test_frame_header_round_trip(void **state)
{
	struct frame_header h = {.len = 65520, .type = FRAME_DATA, .stream = 7, .seq = 0xfffffffe};
	struct frame_header g;
	uint8_t bytes[FRAME_HEADER_LEN];
	const uint8_t expect[FRAME_HEADER_LEN] = {0, 0, 0xff, 0xf0, 17,	  0,	0,    0,
						  0, 0, 0,    7,    0xff, 0xff, 0xff, 0xfe};

	(void)state;
	frame_pack_header(bytes, &h);
	assert_memory_equal(bytes, expect, sizeof(bytes));
	assert_int_equal(frame_unpack_header(&g, bytes, NULL), 0);
	assert_int_equal(g.len, h.len);
	assert_int_equal(g.type, h.type);
	assert_int_equal(g.stream, h.stream);
	assert_int_equal(g.seq, h.seq);
}

static int unpack(uint32_t len, uint8_t type, uint8_t flags, uint32_t stream, uint32_t seq)
{
	struct frame_header h = {
	    .len = len, .type = type, .flags = flags, .stream = stream, .seq = seq};
	uint8_t bytes[FRAME_HEADER_LEN];

	frame_pack_header(bytes, &h);
	return frame_unpack_header(&h, bytes, NULL);
}

static void test_frame_unpack_rejects_wrong_headers(void **state)
{
	(void)state;
	assert_int_equal(unpack(8, FRAME_PING, 0, 0, 0), 0);
	assert_int_equal(unpack(FRAME_PAYLOAD_MAX + 1, FRAME_DATA, 0, 1, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(FRAME_SMALL_MAX + 1, FRAME_OPEN, 0, 1, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(FRAME_SMALL_MAX + 1, FRAME_OPTIONAL_FIRST, 0, 0, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(0, FRAME_DATA, 0, 1, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(1, FRAME_EOF, 0, 1, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(8, FRAME_PING, 1, 0, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(8, FRAME_PING, 0, 1, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(8, FRAME_PING, 0, 0, 1), ERR_PROTOCOL);
	assert_int_equal(unpack(8, FRAME_CREDIT, 0, 0, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(8, FRAME_DATA, 0, 0, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(8, 0, 0, 0, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(8, 7, 0, 0, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(8, 20, 0, 1, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(8, 255, 0, 0, 0), ERR_PROTOCOL);
	assert_int_equal(unpack(100, FRAME_OPTIONAL_LAST, 9, 3, 0), 0);
}

static void test_frame_hello_round_trip(void **state)
{
	struct frame_hello h = {.version_min = 1,
				.version_max = 3,
				.features = 5,
				.required = 4,
				.lane = 2,
				.lanes = 4,
				.next_seq = 0x0102030405060708,
				.window_bytes = 65536,
				.streams_max = 4096,
				.dead_ms = 15000,
				.software = "adit 1"};
	struct frame_hello g;
	uint8_t bytes[FRAME_SMALL_MAX];
	size_t len;

	(void)state;
	memset(h.session, 0xab, sizeof(h.session));
	len = frame_pack_hello(bytes, &h);
	assert_int_equal(frame_unpack_hello(&g, bytes, len, NULL), 0);
	assert_memory_equal(&h, &g, sizeof(h));
	for (size_t n = 0; n < len; n++)
		assert_int_equal(frame_unpack_hello(&g, bytes, n, NULL), ERR_PROTOCOL);
	/* A later version's bytes behind it are skipped. */
	assert_int_equal(frame_unpack_hello(&g, bytes, len + 10, NULL), 0);
	bytes[0] ^= 1;
	assert_int_equal(frame_unpack_hello(&g, bytes, len, NULL), ERR_PROTOCOL);
}

static void test_frame_open_checks_its_target(void **state)
{
	uint8_t bytes[FRAME_SMALL_MAX];
	struct frame_open o;
	size_t len = frame_pack_open(bytes, STREAM_DISK, "unix:/run/x");

	(void)state;
	assert_int_equal(frame_unpack_open(&o, bytes, len, NULL), 0);
	assert_int_equal(o.class, STREAM_DISK);
	assert_string_equal(o.target, "unix:/run/x");
	for (size_t n = 0; n < len; n++)
		assert_int_equal(frame_unpack_open(&o, bytes, n, NULL), ERR_PROTOCOL);
	assert_int_equal(frame_unpack_open(&o, bytes, len + 1, NULL), ERR_PROTOCOL);
	bytes[6] = 0; /* a NUL inside */
	assert_int_equal(frame_unpack_open(&o, bytes, len, NULL), ERR_PROTOCOL);
	len = frame_pack_open(bytes, (enum stream_class)4, "x");
	assert_int_equal(frame_unpack_open(&o, bytes, len, NULL), ERR_PROTOCOL);
	len = frame_pack_open(bytes, STREAM_RAM, "");
	assert_int_equal(frame_unpack_open(&o, bytes, len, NULL), ERR_PROTOCOL);
}

static void test_frame_reason_is_cut_and_made_printable(void **state)
{
	uint8_t bytes[FRAME_SMALL_MAX];
	char text[STREAM_REASON_MAX + 100];
	struct frame_reason r;
	size_t len;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	text[1] = '\n';
	text[2] = '\033';
	len = frame_pack_reason(bytes, CODE_REFUSED, text);
	assert_int_equal(len, 4 + STREAM_REASON_MAX);
	assert_int_equal(frame_unpack_reason(&r, bytes, len, NULL), 0);
	assert_int_equal(r.code, CODE_REFUSED);
	assert_int_equal(strlen(r.reason), STREAM_REASON_MAX);
	assert_memory_equal(r.reason, "a??a", 4);
	assert_string_equal(r.reason + STREAM_REASON_MAX - 4, "a...");
	assert_int_equal(frame_unpack_reason(&r, bytes, 3, NULL), ERR_PROTOCOL);
	assert_int_equal(frame_unpack_reason(&r, bytes, len + 1, NULL), ERR_PROTOCOL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_frame_header_round_trip),
	    cmocka_unit_test(test_frame_unpack_rejects_wrong_headers),
	    cmocka_unit_test(test_frame_hello_round_trip),
	    cmocka_unit_test(test_frame_open_checks_its_target),
	    cmocka_unit_test(test_frame_reason_is_cut_and_made_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
