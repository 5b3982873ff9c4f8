/* One-time keys: taken once, for a while, beside whatever else the server takes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "test_creds_fixture.h"
#include "tunnel/creds_once.h"

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static uint64_t skew_ms;

uint64_t __real_clock_ms(void);
uint64_t __wrap_clock_ms(void);
uint64_t __wrap_clock_ms(void)
{
	return __real_clock_ms() + skew_ms;
}

static struct creds_psk_key key(const char *name)
{
	struct creds_psk_key k = {0};

	assert_int_equal(creds_psk_parse(&k, name, strlen(name), KEY, strlen(KEY)), 0);
	return k;
}

static struct creds *client(const char *name)
{
	struct creds_psk_key k = key(name);
	struct creds *c = creds_new_psk(CREDS_CLIENT, &k, NULL);

	assert_non_null(c);
	return c;
}

static void offer(struct creds *server, const char *name)
{
	struct creds_psk_key k = key(name);
	struct err e = ERR_INIT;

	assert_int_equal(creds_take_once(server, &k, "ssh:anna@10.0.0.1", &e), 0);
}

/* A connection of c (given back) to server, which stays. */
static void meet(struct fixture_pair *p, struct creds *c, struct creds *server)
{
	fixture_pair_open(p, c, server, "localhost");
	fixture_pair_drive(p);
	creds_free(c);
}

static void is_taken_once(struct creds *server)
{
	struct fixture_pair p;

	offer(server, "once");
	meet(&p, client("once"), server);
	fixture_assert_up(&p);
	assert_string_equal(p.server.t->peer, "ssh:anna@10.0.0.1");
	fixture_pair_close(&p);
	meet(&p, client("once"), server);
	assert_int_equal(p.client.result, TRANSPORT_FAILED);
	assert_int_equal(p.server.result, TRANSPORT_FAILED);
	fixture_pair_close(&p);
}

static void test_once_alone(void **state)
{
	struct creds *server = creds_new_psk(CREDS_SERVER, NULL, NULL);

	(void)state;
	assert_non_null(server);
	is_taken_once(server);
	creds_free(server);
}

static void test_once_beside_keys(void **state)
{
	struct creds *server = fixture_psk(CREDS_SERVER, "s.psk", "bob:" KEY "\n");
	struct fixture_pair p;
	struct err e = ERR_INIT;

	(void)state;
	is_taken_once(server);
	/* a reload takes neither away */
	offer(server, "later");
	assert_int_equal(creds_reload(server, &e), 0);
	meet(&p, client("later"), server);
	fixture_assert_up(&p);
	fixture_pair_close(&p);
	meet(&p, client("bob"), server);
	fixture_assert_up(&p);
	assert_string_equal(p.server.t->peer, "psk:bob");
	fixture_pair_close(&p);
	creds_free(server);
}

static void test_once_beside_certificates(void **state)
{
	struct fixture_ca ca = fixture_ca_new("CA");
	struct fixture_cert spec = {
	    .subject = "server", .alt = "DNS:localhost", .usage = "serverAuth"};
	struct fixture_cert other = {.subject = "client", .usage = "clientAuth"};
	struct err e = ERR_INIT;
	const char *dir = fixture_x509("once-s", "server", &ca, &ca, &spec);
	struct creds *server = creds_load_x509(CREDS_SERVER, dir, &e);
	struct fixture_pair p;

	(void)state;
	assert_non_null(server);
	is_taken_once(server);
	dir = fixture_x509("once-c", "client", &ca, &ca, &other);
	meet(&p, creds_load_x509(CREDS_CLIENT, dir, &e), server);
	fixture_assert_up(&p);
	assert_string_equal(p.server.t->peer, "x509:CN=client,O=adit test");
	fixture_pair_close(&p);
	creds_free(server);
	fixture_ca_free(&ca);
}

static void test_once_first_of_two(void **state)
{
	struct creds *server = creds_new_psk(CREDS_SERVER, NULL, NULL);
	struct fixture_pair a, b;
	struct creds *c = client("once");

	(void)state;
	offer(server, "once");
	fixture_pair_open(&a, c, server, "localhost");
	fixture_pair_open(&b, c, server, "localhost");
	fixture_pair_drive(&b);
	fixture_assert_up(&b);
	fixture_pair_drive(&a);
	assert_int_equal(a.server.result, TRANSPORT_FAILED);
	fixture_pair_close(&a);
	fixture_pair_close(&b);
	creds_free(c);
	creds_free(server);
}

static void test_once_time_is_up(void **state)
{
	struct creds *server = creds_new_psk(CREDS_SERVER, NULL, NULL);
	struct fixture_pair p;

	(void)state;
	offer(server, "once");
	skew_ms = CREDS_ONCE_MS - 2000;
	offer(server, "later");
	skew_ms = CREDS_ONCE_MS;
	meet(&p, client("once"), server);
	fixture_assert_failed(&p.server, ERR_AUTH, "once");
	fixture_pair_close(&p);
	meet(&p, client("later"), server);
	fixture_assert_up(&p);
	fixture_pair_close(&p);
	skew_ms = 0;
	creds_free(server);
}

static void test_once_limits(void **state)
{
	struct creds *server = creds_new_psk(CREDS_SERVER, NULL, NULL);
	struct creds *bare = creds_new_insecure(CREDS_SERVER);
	struct creds_psk_key k = key("name-0");
	struct err e = ERR_INIT;
	char name[32];

	(void)state;
	for (int i = 0; i < CREDS_ONCE_MAX; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		offer(server, name);
	}
	assert_int_equal(creds_take_once(server, &k, "x", &e), ERR_USAGE);
	k = key("one-more");
	assert_int_equal(creds_take_once(server, &k, "x", &e), ERR_LIMIT);
	skew_ms = CREDS_ONCE_MS;
	assert_int_equal(creds_take_once(server, &k, "x", &e), 0);
	skew_ms = 0;
	assert_int_equal(creds_take_once(bare, &k, "x", &e), ERR_REFUSED);
	creds_free(server);
	creds_free(bare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_once_alone),
	    cmocka_unit_test(test_once_beside_keys),
	    cmocka_unit_test(test_once_beside_certificates),
	    cmocka_unit_test(test_once_first_of_two),
	    cmocka_unit_test(test_once_time_is_up),
	    cmocka_unit_test(test_once_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
