/* The two halves of NBD's hello: what the one learned the other says, in whatever pieces it comes,
 * and neither takes what is not a hello. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/wire.h"
#include "proxy/nbd.h"

static struct nbd_hello client, server;

static struct nbd_export disk(void)
{
	return (struct nbd_export){
	    .name = "disk0",
	    .hello_flags = 3,
	    .flags = 0x4ed,
	    .size = UINT64_C(5) << 40,
	    .has_blocks = true,
	    .block_min = 1,
	    .block_preferred = 65536,
	    .block_max = 32 << 20,
	    .structured = true,
	    .has_context = true,
	    .context = 7,
	};
}

/* What h has to say goes to the other one, `piece` bytes at a time. */
static long hand_over(struct nbd_hello *h, struct nbd_hello *to, size_t piece,
		      long (*input)(struct nbd_hello *, const uint8_t *, size_t, struct err *),
		      struct err *e)
{
	uint8_t data[NBD_OUT_MAX];
	size_t len = h->out.len - h->out.off;

	memcpy(data, h->out.data + h->out.off, len);
	h->out.off = h->out.len;
	for (size_t at = 0; at < len;) {
		size_t n = len - at < piece ? len - at : piece;

		if (input(to, data + at, n, e) != (long)n)
			return -1;
		at += n;
	}
	return (long)len;
}

static void talk(const struct nbd_export *x, const char *name, size_t piece, struct err *e)
{
	nbd_server_begin(&server, x);
	nbd_client_begin(&client, name);
	for (int turn = 0; turn < 10; turn++)
		if (hand_over(&server, &client, piece, nbd_client_input, e) < 0 ||
		    hand_over(&client, &server, piece, nbd_server_input, e) < 0)
			return;
}

static void test_nbd_what_one_half_learns_the_other_says(void **state)
{
	static const size_t pieces[] = {1, 3, 17, NBD_OUT_MAX};
	struct nbd_export x = disk();

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		for (unsigned with = 0; with < 8; with++) {
			struct err e = ERR_INIT;

			x.structured = with & 1;
			x.has_context = x.structured && (with & 2);
			x.context = x.has_context ? 7 : 0;
			x.has_blocks = with & 4;
			x.block_min = x.has_blocks ? 1 : 0;
			x.block_preferred = x.has_blocks ? 65536 : 0;
			x.block_max = x.has_blocks ? 32 << 20 : 0;
			talk(&x, "disk0", pieces[i], &e);
			assert_false(err_is_set(&e));
			assert_true(client.done && server.done);
			assert_memory_equal(&client.export, &x, sizeof(x));
		}
}

static void test_nbd_an_export_that_is_not_there(void **state)
{
	struct nbd_export x = disk();
	struct err e = ERR_INIT;

	(void)state;
	talk(&x, "disk1", 64, &e);
	assert_int_equal(e.code, ERR_REFUSED);
	assert_non_null(strstr(e.text, "disk1"));
	assert_false(client.done || server.done);
}

/* ---- by hand ---- */

static uint8_t said[4096];
static size_t said_len;

static void say(const void *data, size_t len)
{
	memcpy(said + said_len, data, len);
	said_len += len;
}

static void say64(uint64_t v)
{
	wire_put64(said + said_len, v);
	said_len += 8;
}

static void say32(uint32_t v)
{
	wire_put32(said + said_len, v);
	said_len += 4;
}

static void greeting(uint16_t flags)
{
	uint8_t b[2];

	said_len = 0;
	say("NBDMAGICIHAVEOPT", 16);
	wire_put16(b, flags);
	say(b, 2);
}

static void answer(uint32_t option, uint32_t type, uint32_t len, const void *body)
{
	say64(UINT64_C(0x3e889045565a9));
	say32(option);
	say32(type);
	say32(len);
	say(body, len);
}

static void option(uint32_t number, uint32_t len, const void *body)
{
	say("IHAVEOPT", 8);
	say32(number);
	say32(len);
	say(body, len);
}

static long hear(struct err *e)
{
	e->code = ERR_NONE;
	nbd_client_begin(&client, "disk0");
	return nbd_client_input(&client, said, said_len, e);
}

static const uint8_t export_info[12] = {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 4, 0xed};

static void test_nbd_takes_no_byte_of_what_follows(void **state)
{
	struct err e;
	size_t hello;

	(void)state;
	greeting(3);
	answer(8, 1, 0, "");
	answer(10, 1, 0, "");
	answer(7, 3, 4, "\0\7??"); /* an information that nobody knows */
	answer(7, 3, 12, export_info);
	answer(7, 1, 0, "");
	hello = said_len;
	say("more", 4);
	assert_int_equal(hear(&e), hello);
	assert_true(client.done);
	assert_int_equal(client.export.size, 65536);
	assert_int_equal(client.export.flags, 0x4ed);
	assert_true(client.export.structured);
	assert_false(client.export.has_context || client.export.has_blocks);
}

static void test_nbd_servers_that_lie(void **state)
{
	struct err e;

	(void)state;
	said_len = 0;
	say("SSH-2.0-OpenSSH_9.2p1 Debian", 28);
	assert_int_equal(hear(&e), -1);
	assert_int_equal(e.code, ERR_PROTOCOL);
	greeting(0); /* oldstyle */
	assert_int_equal(hear(&e), -1);
	greeting(3);
	answer(7, 1, 0, ""); /* to another question */
	assert_int_equal(hear(&e), -1);
	greeting(3);
	answer(8, 3, 12, export_info); /* of another kind */
	assert_int_equal(hear(&e), -1);
	greeting(3);
	answer(8, 1, 0, "");
	answer(10, 4, 19, "\0\0\0\1base:allocatiom");
	assert_int_equal(hear(&e), -1);
	greeting(3);
	answer(8, 1, 0, "");
	answer(10, 1, 0, "");
	answer(7, 1, 0, ""); /* without the export */
	assert_int_equal(hear(&e), -1);
	greeting(3);
	answer(8, 1, 0, "");
	answer(10, 1, 0, "");
	answer(7, 3, 11, export_info);
	assert_int_equal(hear(&e), -1);
	greeting(3);
	say64(UINT64_C(0x3e889045565a9));
	say32(8);
	say32(1);
	say32(UINT32_MAX); /* as long as it likes */
	assert_int_equal(hear(&e), -1);
}

static void begin_server(void)
{
	struct nbd_export x = disk();

	nbd_server_begin(&server, &x);
	server.out.off = server.out.len;
	said_len = 0;
	say32(3);
}

/* The type of the answer to what was said last. */
static uint32_t served(struct err *e)
{
	e->code = ERR_NONE;
	if (nbd_server_input(&server, said, said_len, e) != (long)said_len)
		return 0;
	said_len = 0;
	assert_true(server.out.len - server.out.off >= 20);
	return wire_get32(server.out.data + server.out.off + 12);
}

static void test_nbd_clients_that_ask_for_more(void **state)
{
	struct err e;

	(void)state;
	begin_server();
	option(11, 0, ""); /* extended headers */
	assert_int_equal(served(&e), 0x80000001);
	server.out.off = server.out.len;
	option(10, 9 + 4, "\0\0\0\5disk0\0\0\0\0");
	assert_int_equal(served(&e), 0x80000003); /* before structured replies */
	server.out.off = server.out.len;
	option(8, 0, "");
	assert_int_equal(served(&e), 1);
	server.out.off = server.out.len;
	option(10, 9 + 8, "\0\0\0\5disk0\0\0\0\1\0\0\0\x7f"); /* longer than it is */
	assert_int_equal(served(&e), 0x80000003);
	server.out.off = server.out.len;
	option(10, 9 + 11, "\0\0\0\5disk0\0\0\0\1\0\0\0\3x:y");
	assert_int_equal(served(&e), 1); /* none of them is there */
	server.out.off = server.out.len;
	option(7, 13,
	       "\0\0\0\x7f"
	       "disk0\0\0\0\0");
	assert_int_equal(served(&e), 0x80000003);
	server.out.off = server.out.len;
	option(7, 11, "\0\0\0\5disk0\0\0");
	assert_int_equal(served(&e), 3);
	assert_true(server.done);
}

static void test_nbd_clients_that_cannot_be_joined(void **state)
{
	struct err e;

	(void)state;
	begin_server();
	option(7, 11, "\0\0\0\5disk0\0\0"); /* the server's replies are structured */
	assert_int_equal(served(&e), 0);
	assert_int_equal(e.code, ERR_PROTOCOL);
	begin_server();
	option(2, 0, "");
	assert_int_equal(served(&e), 0);
	begin_server();
	wire_put32(said, 0);
	assert_int_equal(nbd_server_input(&server, said, said_len, &e), -1);
	begin_server();
	for (int i = 0; i < 200; i++) /* and reads none of the answers */
		option(99, 0, "");
	assert_int_equal(nbd_server_input(&server, said, said_len, &e), -1);
	begin_server();
	say("IHAVEOPT", 8);
	say32(8);
	say32(UINT32_MAX);
	assert_int_equal(nbd_server_input(&server, said, said_len, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nbd_what_one_half_learns_the_other_says),
	    cmocka_unit_test(test_nbd_an_export_that_is_not_there),
	    cmocka_unit_test(test_nbd_takes_no_byte_of_what_follows),
	    cmocka_unit_test(test_nbd_servers_that_lie),
	    cmocka_unit_test(test_nbd_clients_that_ask_for_more),
	    cmocka_unit_test(test_nbd_clients_that_cannot_be_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
