/* Any bytes as a header and as each payload: refused, or packed again to the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[FRAME_HEADER_LEN + FRAME_SMALL_MAX];
	struct frame_header h;
	struct frame_hello hello;
	struct frame_open open;
	struct frame_reason reason;
	struct err e = ERR_INIT;
	uint64_t v;

	if (size >= FRAME_HEADER_LEN && frame_unpack_header(&h, data, &e) == 0) {
		frame_pack_header(out, &h);
		expect(h.type >= FRAME_OPTIONAL_FIRST || memcmp(out, data, FRAME_HEADER_LEN) == 0);
		expect(h.len <= FRAME_PAYLOAD_MAX);
	}
	if (size > FRAME_SMALL_MAX)
		size = FRAME_SMALL_MAX;
	if (frame_unpack_hello(&hello, data, size, &e) == 0)
		expect(strlen(hello.software) <= FRAME_SOFTWARE_MAX);
	if (frame_unpack_open(&open, data, size, &e) == 0) {
		size_t n = frame_pack_open(out, open.class, open.target);

		expect(n == size && memcmp(out, data, n) == 0);
	}
	if (frame_unpack_reason(&reason, data, size, &e) == 0)
		expect(strlen(reason.reason) <= STREAM_REASON_MAX);
	if (frame_unpack_u64(&v, data, size, &e) == 0)
		expect(frame_pack_u64(out, v) == 8 && memcmp(out, data, 8) == 0);
	return 0;
}
