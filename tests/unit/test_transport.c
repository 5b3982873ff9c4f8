/*
 * Both transports as pipes: bytes arrive whole and in order whatever the sizes and
 * however little the kernel takes; an end or a reset has its sentence and swallows
 * nothing; no flood of a peer's makes the buffers grow.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test_creds_fixture.h"
#include "tunnel/creds_impl.h"
#include "tunnel/tls_error.h"

#define LINE "bob:00112233445566778899aabbccddeeff\n"

static struct creds *creds_of(int tls, enum creds_role role)
{
	const char *file = fixture_file("t.psk", LINE, 0600);
	struct creds *c = tls ? creds_load_psk(role, file, NULL, NULL) : creds_new_insecure(role);

	assert_non_null(c);
	return c;
}

static void open_up(struct fixture_pair *p, int tls)
{
	struct creds *client = creds_of(tls, CREDS_CLIENT), *server = creds_of(tls, CREDS_SERVER);

	fixture_pair_open(p, client, server, "localhost");
	creds_free(client);
	creds_free(server);
}

static void shake_hands(struct fixture_pair *p)
{
	fixture_pair_drive(p);
	fixture_assert_up(p);
}

/* A stream of bytes that both ends can work out for themselves. */
static uint8_t byte_at(size_t at, uint8_t seed)
{
	return (uint8_t)(at * 131 + (at >> 8) * 17 + (at >> 16) + seed);
}

struct flow {
	struct transport *from, *to;
	size_t total, sent, got;
	uint8_t seed;
};

static void send_some(struct flow *f, unsigned *random)
{
	static uint8_t buf[100000];
	struct err e = ERR_INIT;
	size_t len;

	while (f->sent < f->total && f->from->unsent < TRANSPORT_UNSENT_MAX) {
		len = 1 + (size_t)rand_r(random) % (rand_r(random) % 4 ? sizeof(buf) : 40);
		if (len > f->total - f->sent)
			len = f->total - f->sent;
		for (size_t i = 0; i < len; i++)
			buf[i] = byte_at(f->sent + i, f->seed);
		assert_int_equal(f->from->ops->write(f->from, buf, len, &e), 0);
		f->sent += len;
		if (rand_r(random) % 3 == 0)
			break;
	}
	if (f->from->ops->flush(f->from, &e) == TRANSPORT_FAILED)
		fail_msg("%s", e.text);
}

static void take_some(struct flow *f, unsigned *random)
{
	static uint8_t buf[70000];
	struct err e = ERR_INIT;
	size_t max = 1 + (size_t)rand_r(random) % sizeof(buf);
	ssize_t n = f->to->ops->read(f->to, buf, max, &e);

	if (n == TRANSPORT_WANT_READ) {
		assert_false(f->to->ops->pending(f->to));
		return;
	}
	if (n < 0)
		fail_msg("%s", e.text);
	assert_true((size_t)n <= max);
	/* What is left behind must show, or its reader would sleep on it. */
	if ((size_t)n < max)
		assert_false(f->to->ops->pending(f->to));
	for (ssize_t i = 0; i < n; i++)
		if (buf[i] != byte_at(f->got + (size_t)i, f->seed))
			fail_msg("byte %zu is wrong", f->got + (size_t)i);
	f->got += (size_t)n;
}

/* Sends total bytes each way at once. */
static void exchange(struct fixture_pair *p, size_t total)
{
	struct flow flows[2] = {{p->client.t, p->server.t, total, 0, 0, 1},
				{p->server.t, p->client.t, total, 0, 0, 77}};
	unsigned random = 42;

	for (int turn = 0; flows[0].got < total || flows[1].got < total; turn++) {
		assert_true(turn < 2000000);
		for (int i = 0; i < 2; i++) {
			send_some(&flows[i], &random);
			take_some(&flows[i], &random);
		}
	}
	assert_int_equal(p->client.t->unsent, 0);
	assert_int_equal(p->server.t->unsent, 0);
}

/* Over a unix socket, which takes few bytes at a time and has no timers. */
static void open_narrow(struct fixture_pair *p, int tls)
{
	struct creds *client = creds_of(tls, CREDS_CLIENT), *server = creds_of(tls, CREDS_SERVER);
	int fd[2], size = 4096;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	for (int i = 0; i < 2; i++)
		setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	fixture_pair_open_on(p, client, server, "localhost", fd);
	creds_free(client);
	creds_free(server);
}

static void test_bulk_both_ways(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct fixture_pair p;

		open_up(&p, tls);
		shake_hands(&p);
		exchange(&p, 16 * 1024 * 1024);
		fixture_pair_close(&p);
	}
}

static void test_bulk_through_tiny_buffers(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct fixture_pair p;

		open_narrow(&p, tls);
		shake_hands(&p);
		exchange(&p, 1024 * 1024);
		fixture_pair_close(&p);
	}
}

static SSL *ssl_of(struct transport *t);

/* A read gives as much as there is, not a record. */
static void test_read_gathers_records(void **state)
{
	static uint8_t out[65536], in[65536];
	struct err e = ERR_INIT;
	struct fixture_pair p;

	(void)state;
	open_up(&p, 1);
	shake_hands(&p);
	assert_int_equal(p.client.t->ops->write(p.client.t, out, sizeof(out), &e), 0);
	assert_int_equal(p.client.t->ops->flush(p.client.t, &e), 0);
	usleep(20000);
	assert_int_equal(p.server.t->ops->read(p.server.t, in, 1000, &e), 1000);
	assert_true(p.server.t->ops->pending(p.server.t));
	assert_int_equal(p.server.t->ops->read(p.server.t, in, sizeof(in), &e), sizeof(in) - 1000);
	assert_false(p.server.t->ops->pending(p.server.t));
	assert_int_equal(p.server.t->ops->read(p.server.t, in, sizeof(in), &e),
			 TRANSPORT_WANT_READ);
	fixture_pair_close(&p);
}

/* OpenSSL's handle, which the transport does not show: it lies behind the public
 * head and the credentials. */
struct transport_tls_head {
	struct transport t;
	struct creds_set *set;
	SSL *ssl;
};

static SSL *ssl_of(struct transport *t)
{
	return ((struct transport_tls_head *)t)->ssl;
}

static void test_key_updates_disturb_nothing(void **state)
{
	struct fixture_pair p;

	(void)state;
	open_up(&p, 1);
	shake_hands(&p);
	for (int i = 0; i < 20; i++) {
		assert_true(SSL_key_update(ssl_of(p.client.t), SSL_KEY_UPDATE_REQUESTED));
		if (i % 3 == 0)
			assert_true(SSL_key_update(ssl_of(p.server.t), SSL_KEY_UPDATE_REQUESTED));
		exchange(&p, 100000);
	}
	fixture_pair_close(&p);
}

/* The client sends count KeyUpdates that ask for one in return, with so many bytes behind each; the
 * server reads what comes. What its last read said. */
static ssize_t update_keys(struct fixture_pair *p, int count, size_t bytes, struct err *e)
{
	static uint8_t data[65536], buf[sizeof(data)];
	ssize_t n = 0;

	for (int i = 0; i < count; i++) {
		size_t left = bytes;

		assert_true(SSL_key_update(ssl_of(p->client.t), SSL_KEY_UPDATE_REQUESTED));
		assert_int_equal(SSL_do_handshake(ssl_of(p->client.t)), 1);
		assert_int_equal(p->client.t->ops->write(p->client.t, data, bytes, e), 0);
		for (int k = 0; k < 1000 && (left || !k); k++) {
			p->client.t->ops->flush(p->client.t, e);
			n = p->server.t->ops->read(p->server.t, buf, sizeof(buf), e);
			if (n == TRANSPORT_FAILED)
				return n;
			left -= n > 0 ? (size_t)n : 0;
		}
		assert_int_equal(left, 0);
		/* The answers are records without data, too: as many bytes come back with them. */
		assert_int_equal(p->server.t->ops->write(p->server.t, data, bytes, e), 0);
		left = bytes;
		for (int k = 0; k < 1000 && (left || !k); k++) {
			ssize_t got;

			p->server.t->ops->flush(p->server.t, e);
			got = p->client.t->ops->read(p->client.t, buf, sizeof(buf), e);
			left -= got > 0 ? (size_t)got : 0;
		}
		assert_int_equal(left, 0);
	}
	return n;
}

static void test_key_update_flood_ends_it(void **state)
{
	static const struct {
		int count;
		size_t bytes;
		int ends;
	} cases[] = {{32, 0, 0}, {33, 0, 1}, {32, 1, 0}, {40, 1, 1}, {200, 65536, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture_pair p;
		struct err e = ERR_INIT;
		ssize_t n;

		open_up(&p, 1);
		shake_hands(&p);
		n = update_keys(&p, cases[i].count, cases[i].bytes, &e);
		assert_int_equal(n == TRANSPORT_FAILED, cases[i].ends);
		if (cases[i].ends) {
			assert_int_equal(e.code, ERR_LIMIT);
			assert_non_null(strstr(e.text, "KeyUpdate"));
		}
		fixture_pair_close(&p);
	}
}

static void test_farewell_is_an_orderly_end(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct fixture_pair p;
		struct err e = ERR_INIT;
		uint8_t buf[64];

		open_up(&p, tls);
		shake_hands(&p);
		p.client.t->ops->write(p.client.t, (const uint8_t *)"bye", 3, &e);
		p.client.t->ops->shutdown(p.client.t);
		assert_int_equal(p.client.t->ops->flush(p.client.t, &e), 0);
		usleep(20000);
		assert_int_equal(p.server.t->ops->read(p.server.t, buf, sizeof(buf), &e), 3);
		assert_int_equal(p.server.t->ops->read(p.server.t, buf, sizeof(buf), &e),
				 TRANSPORT_EOF);
		assert_false(p.server.t->ops->pending(p.server.t));
		/* The other direction still goes. */
		p.server.t->ops->write(p.server.t, (const uint8_t *)"and you", 7, &e);
		assert_int_equal(p.server.t->ops->flush(p.server.t, &e), 0);
		usleep(20000);
		assert_int_equal(p.client.t->ops->read(p.client.t, buf, sizeof(buf), &e), 7);
		fixture_pair_close(&p);
	}
}

static void test_end_without_farewell_is_told(void **state)
{
	struct fixture_pair p;
	struct err e = ERR_INIT;
	uint8_t buf[64];

	(void)state;
	open_up(&p, 1);
	shake_hands(&p);
	p.client.t->ops->write(p.client.t, (const uint8_t *)"last", 4, &e);
	p.client.t->ops->flush(p.client.t, &e);
	shutdown(p.client.t->fd, SHUT_WR);
	usleep(20000);
	assert_int_equal(p.server.t->ops->read(p.server.t, buf, sizeof(buf), &e), 4);
	for (int i = 0; i < 2; i++) {
		p.server.result =
		    (int)p.server.t->ops->read(p.server.t, buf, sizeof(buf), &p.server.err);
		fixture_assert_failed(&p.server, ERR_CLOSED, "client closed|without a farewell");
	}
	fixture_pair_close(&p);
}

/* What the peer said before it reset the connection is read, though writing found the
 * reset first. */
static void test_reset_does_not_swallow_last_words(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct fixture_pair p;
		struct err e = ERR_INIT;
		uint8_t buf[64] = {0};

		open_up(&p, tls);
		shake_hands(&p);
		p.server.t->ops->write(p.server.t, (const uint8_t *)"reason", 6, &e);
		p.server.t->ops->flush(p.server.t, &e);
		/* Unread bytes make the close a reset. */
		p.client.t->ops->write(p.client.t, buf, sizeof(buf), &e);
		p.client.t->ops->flush(p.client.t, &e);
		usleep(20000);
		transport_free(p.server.t);
		p.server.t = NULL;
		for (int i = 0; i < 3; i++) {
			assert_int_equal(p.client.t->ops->write(p.client.t, buf, sizeof(buf), &e),
					 0);
			assert_int_equal(p.client.t->ops->flush(p.client.t, &e), 0);
			usleep(10000);
		}
		assert_int_equal(p.client.t->ops->read(p.client.t, buf, sizeof(buf), &e), 6);
		p.client.result =
		    (int)p.client.t->ops->read(p.client.t, buf, sizeof(buf), &p.client.err);
		fixture_assert_failed(&p.client, ERR_CLOSED, tls ? "server reset" : "reset|broke");
		fixture_pair_close(&p);
	}
}

static void test_damaged_record_is_refused(void **state)
{
	static const uint8_t record[] = {0x17, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8,
					 9,    1, 2, 3, 4,  5, 6, 7, 8, 9, 1, 2};
	struct fixture_pair p;
	uint8_t buf[64];

	(void)state;
	open_up(&p, 1);
	shake_hands(&p);
	assert_int_equal(send(p.client.t->fd, record, sizeof(record), 0), sizeof(record));
	usleep(20000);
	p.server.result = (int)p.server.t->ops->read(p.server.t, buf, sizeof(buf), &p.server.err);
	fixture_assert_failed(&p.server, ERR_PROTOCOL, "damaged|forged");
	fixture_pair_close(&p);
}

/* Bytes in the flight that ends the handshake are not lost to sight. */
static void test_bytes_behind_the_handshake_show(void **state)
{
	struct fixture_pair p;
	struct err e = ERR_INIT;
	uint8_t buf[64];

	(void)state;
	open_up(&p, 1);
	assert_int_equal(p.client.t->ops->handshake(p.client.t, &e), TRANSPORT_WANT_READ);
	usleep(20000);
	assert_int_equal(p.server.t->ops->handshake(p.server.t, &e), TRANSPORT_WANT_READ);
	usleep(20000);
	/* Finished and the first data leave together, as far as the server can tell. */
	assert_int_equal(p.client.t->ops->handshake(p.client.t, &e), 0);
	p.client.t->ops->write(p.client.t, (const uint8_t *)"early", 5, &e);
	p.client.t->ops->flush(p.client.t, &e);
	usleep(20000);
	assert_int_equal(p.server.t->ops->handshake(p.server.t, &e), 0);
	assert_true(p.server.t->ops->pending(p.server.t));
	assert_int_equal(p.server.t->ops->read(p.server.t, buf, sizeof(buf), &e), 5);
	fixture_pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bulk_both_ways),
	    cmocka_unit_test(test_bulk_through_tiny_buffers),
	    cmocka_unit_test(test_read_gathers_records),
	    cmocka_unit_test(test_key_updates_disturb_nothing),
	    cmocka_unit_test(test_key_update_flood_ends_it),
	    cmocka_unit_test(test_farewell_is_an_orderly_end),
	    cmocka_unit_test(test_end_without_farewell_is_told),
	    cmocka_unit_test(test_reset_does_not_swallow_last_words),
	    cmocka_unit_test(test_damaged_record_is_refused),
	    cmocka_unit_test(test_bytes_behind_the_handshake_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
