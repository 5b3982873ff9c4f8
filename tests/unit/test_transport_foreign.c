/*
 * What is no adit at the other end, or not the same kind of adit, or one that stops in
 * the middle of the handshake: each ends in its sentence, and nothing crashes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test_creds_fixture.h"

#define LINE "bob:00112233445566778899aabbccddeeff\n"

static struct creds *creds_of(int tls, enum creds_role role)
{
	const char *file = fixture_file("t.psk", LINE, 0600);
	struct creds *c = tls ? creds_load_psk(role, file, NULL, NULL) : creds_new_insecure(role);

	assert_non_null(c);
	return c;
}

/* Hands text to a lone end, and lets that end work until it has failed. */
static void feed(struct fixture_end *end, int tls, enum creds_role role, const void *text,
		 size_t len, int closing, char *reply, size_t reply_size)
{
	struct creds *c = creds_of(tls, role);
	uint8_t buf[64];
	int fd[2];

	memset(end, 0, sizeof(*end));
	fixture_tcp_pair(fd);
	end->t = creds_transport(c, fd[0], role == CREDS_CLIENT ? "localhost" : NULL, &end->err);
	creds_free(c);
	assert_non_null(end->t);
	assert_int_equal(send(fd[1], text, len, 0), len);
	if (closing)
		shutdown(fd[1], SHUT_WR);
	for (int i = 0; i < 100 && end->result != TRANSPORT_FAILED; i++) {
		if (!end->done) {
			end->result = end->t->ops->handshake(end->t, &end->err);
			end->done = end->result == 0;
		} else {
			end->result = (int)end->t->ops->read(end->t, buf, sizeof(buf), &end->err);
		}
		usleep(1000);
	}
	transport_free(end->t);
	end->t = NULL;
	if (reply) {
		ssize_t n = recv(fd[1], reply, reply_size, MSG_DONTWAIT);

		memset(reply + (n > 0 ? n : 0), 0, reply_size - (size_t)(n > 0 ? n : 0));
	}
	close(fd[1]);
}

static const uint8_t hello[] = {0, 0, 0, 44, 1, 0,   0,	  0,   0,   0, 0,
				0, 0, 0, 0,  0, 'A', 'D', 'I', 'T', 0, 1};

static void test_foreign_protocols_are_named(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *words;
	} cases[] = {
	    {"SSH-2.0-OpenSSH_9.2p1\r\n", 23,
	     "speaks ssh|SSH-2.0-OpenSSH_9.2p1|not TLS|port of adit"},
	    {"HTTP/1.1 400 Bad Request\r\n\r\n", 28, "speaks HTTP|not TLS|port of adit"},
	    {"GET / HTTP/1.1\r\n", 16, "speaks HTTP"},
	    {"220 mail ESMTP\r\n", 16, "220 mail ESMTP|not TLS|port of adit"},
	    {"\x80\x01\x02", 3, "not TLS|port of adit"},
	    {(const char *)hello, sizeof(hello), "adit without TLS|--insecure|--psk|tls://"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture_end end;
		char reply[64];

		feed(&end, 1, CREDS_CLIENT, cases[i].text, cases[i].len, 0, NULL, 0);
		fixture_assert_failed(&end, ERR_PROTOCOL, cases[i].words);
		assert_non_null(strstr(end.err.text, "The server"));
		feed(&end, 1, CREDS_SERVER, cases[i].text, cases[i].len, 0, reply, sizeof(reply));
		fixture_assert_failed(&end, ERR_PROTOCOL, cases[i].words);
		assert_non_null(strstr(end.err.text, "The client"));
		/* A plain adit hears what it has met. */
		assert_memory_equal(reply, "\x15\x03\x03\0\x02\x02\x46", 7);
	}
	/* Two bytes that could still be TLS, and then are not. */
	{
		struct fixture_end end;

		feed(&end, 1, CREDS_SERVER, "\x16\x03garbage garbage", 17, 0, NULL, 0);
		assert_int_equal(end.result, TRANSPORT_FAILED);
		assert_int_equal(end.err.code, ERR_PROTOCOL);
	}
}

static void test_plain_meets_tls(void **state)
{
	struct creds *plain = creds_new_insecure(CREDS_CLIENT), *tls = creds_of(1, CREDS_SERVER);
	struct fixture_pair p;

	(void)state;
	fixture_pair_open(&p, plain, tls, "localhost");
	p.client.t->ops->write(p.client.t, hello, sizeof(hello), NULL);
	p.client.t->ops->flush(p.client.t, NULL);
	fixture_pair_drive(&p);
	fixture_assert_failed(&p.server, ERR_PROTOCOL, "client speaks adit without TLS|--insecure");
	fixture_assert_failed(&p.client, ERR_PROTOCOL, "speaks TLS|--insecure|tls://");
	fixture_pair_close(&p);
	creds_free(plain);
	creds_free(tls);
}

static void test_tls_meets_plain(void **state)
{
	struct creds *plain = creds_new_insecure(CREDS_SERVER), *tls = creds_of(1, CREDS_CLIENT);
	struct fixture_pair p;

	(void)state;
	fixture_pair_open(&p, tls, plain, "localhost");
	p.server.t->ops->write(p.server.t, hello, sizeof(hello), NULL);
	p.server.t->ops->flush(p.server.t, NULL);
	fixture_pair_drive(&p);
	fixture_assert_failed(&p.client, ERR_PROTOCOL, "server speaks adit without TLS|--insecure");
	fixture_assert_failed(&p.server, ERR_PROTOCOL, "speaks TLS|--insecure|tls://");
	fixture_pair_close(&p);
	creds_free(plain);
	creds_free(tls);
}

/* The bytes of a client's first flight. */
static size_t client_hello(uint8_t *buf, size_t size)
{
	struct creds *c = creds_of(1, CREDS_CLIENT);
	struct transport *t;
	ssize_t n;
	int fd[2];

	fixture_tcp_pair(fd);
	t = creds_transport(c, fd[0], "localhost", NULL);
	assert_int_equal(t->ops->handshake(t, NULL), TRANSPORT_WANT_READ);
	n = recv(fd[1], buf, size, 0);
	assert_true(n > 100);
	transport_free(t);
	close(fd[1]);
	creds_free(c);
	return (size_t)n;
}

static void test_handshake_cut_anywhere_ends(void **state)
{
	uint8_t flight[2048];
	size_t len = client_hello(flight, sizeof(flight));
	struct fixture_end end;

	(void)state;
	for (size_t cut = 0; cut <= len; cut += cut < 8 ? 1 : 37) {
		feed(&end, 1, CREDS_SERVER, flight, cut, 1, NULL, 0);
		fixture_assert_failed(&end, ERR_CLOSED,
				      cut ? "client closed|middle of the handshake"
					  : "client closed|without a word");
	}
	feed(&end, 1, CREDS_CLIENT, "", 0, 1, NULL, 0);
	fixture_assert_failed(&end, ERR_CLOSED,
			      "server closed|middle of the handshake|port of adit");
}

/* Half a handshake and then silence: waits, and takes up little. */
static void test_handshake_waits(void **state)
{
	uint8_t flight[2048];
	size_t len = client_hello(flight, sizeof(flight));
	struct fixture_end end;

	(void)state;
	feed(&end, 1, CREDS_SERVER, flight, len / 2, 0, NULL, 0);
	assert_int_equal(end.result, TRANSPORT_WANT_READ);
}

/* Any flipped byte of the first flight is refused, in one way or another. */
static void test_handshake_survives_damage(void **state)
{
	uint8_t flight[2048];
	size_t len = client_hello(flight, sizeof(flight));
	unsigned random = 7;
	struct fixture_end end;

	(void)state;
	for (int i = 0; i < 100; i++) {
		size_t at = (size_t)rand_r(&random) % len;
		uint8_t was = flight[at];

		flight[at] = (uint8_t)rand_r(&random);
		feed(&end, 1, CREDS_SERVER, flight, len, 1, NULL, 0);
		assert_int_equal(end.result, TRANSPORT_FAILED);
		assert_true(end.err.text[0] != '\0');
		flight[at] = was;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_foreign_protocols_are_named),
	    cmocka_unit_test(test_plain_meets_tls),
	    cmocka_unit_test(test_tls_meets_plain),
	    cmocka_unit_test(test_handshake_cut_anywhere_ends),
	    cmocka_unit_test(test_handshake_waits),
	    cmocka_unit_test(test_handshake_survives_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
