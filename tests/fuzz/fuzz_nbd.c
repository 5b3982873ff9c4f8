/* Any bytes as what an NBD server, or a client, says in its hello: taken up to its end, or
 * refused; never more answers than there is room for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/nbd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct nbd_hello h;
	struct nbd_export x = {.name = "disk0", .hello_flags = 3, .size = 1 << 20};
	struct err e = ERR_INIT;
	size_t half = size / 2;
	long n;

	nbd_client_begin(&h, "disk0");
	n = nbd_client_input(&h, data, half, &e);
	if (n >= 0 && !h.done) {
		expect((size_t)n == half);
		n = nbd_client_input(&h, data + half, size - half, &e);
	}
	expect(n < 0 ? err_is_set(&e) : (size_t)n <= size);
	expect(h.out.off <= h.out.len && h.out.len <= sizeof(h.out.data));

	x.structured = x.has_context = size & 1;
	e.code = ERR_NONE;
	nbd_server_begin(&h, &x);
	n = nbd_server_input(&h, data, size, &e);
	expect(n < 0 ? err_is_set(&e) : (size_t)n <= size);
	expect(h.out.off <= h.out.len && h.out.len <= sizeof(h.out.data));
	return 0;
}
