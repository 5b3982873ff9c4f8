/* PSKs in the handshake: who is let through, and the sentence that the others get. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "test_creds_fixture.h"

#define KEY_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void test_psk_is_accepted(void **state)
{
	struct fixture_pair p;

	(void)state;
	fixture_meet(&p, fixture_psk(CREDS_CLIENT, "c.psk", "bob:" KEY_A "\n"),
		     fixture_psk(CREDS_SERVER, "s.psk", "alice:" KEY_B "\nbob:" KEY_A "\n"),
		     "localhost");
	fixture_assert_up(&p);
	assert_string_equal(p.client.t->peer, "psk:bob");
	assert_string_equal(p.server.t->peer, "psk:bob");
	assert_string_equal(p.client.t->cipher, "TLSv1.3 TLS_AES_128_GCM_SHA256");
	fixture_pair_close(&p);
}

static void test_psk_wrong_key(void **state)
{
	struct fixture_pair p;

	(void)state;
	fixture_meet(&p, fixture_psk(CREDS_CLIENT, "c.psk", "bob:" KEY_B "\n"),
		     fixture_psk(CREDS_SERVER, "s.psk", "bob:" KEY_A "\n"), "localhost");
	fixture_assert_failed(&p.client, ERR_AUTH,
			      "server has another key|\"bob\"|c.psk|same line");
	fixture_assert_failed(&p.server, ERR_AUTH,
			      "client has another key|\"bob\"|s.psk|same line");
	fixture_pair_close(&p);
}

static void test_psk_unknown_identity(void **state)
{
	struct fixture_pair p;

	(void)state;
	fixture_meet(&p, fixture_psk(CREDS_CLIENT, "c.psk", "eve:" KEY_A "\n"),
		     fixture_psk(CREDS_SERVER, "s.psk", "bob:" KEY_A "\n"), "localhost");
	fixture_assert_failed(&p.client, ERR_AUTH, "does not know|\"eve\"|c.psk|add its line");
	fixture_assert_failed(&p.server, ERR_AUTH, "\"eve\" is not in|s.psk|add its line");
	fixture_pair_close(&p);
}

/* Connections keep the credentials that they began with; new ones get the new. */
static void test_reload_is_for_new_connections(void **state)
{
	struct creds *client = fixture_psk(CREDS_CLIENT, "c.psk", "bob:" KEY_A "\n");
	struct creds *server = fixture_psk(CREDS_SERVER, "s.psk", "bob:" KEY_A "\n");
	struct fixture_pair before, after;

	(void)state;
	fixture_pair_open(&before, client, server, "localhost");
	fixture_file("s.psk", "carol:" KEY_A "\n", 0600);
	assert_int_equal(creds_reload(server, NULL), 0);
	fixture_pair_open(&after, client, server, "localhost");
	creds_free(client);
	creds_free(server);
	fixture_pair_drive(&before);
	fixture_assert_up(&before);
	fixture_pair_close(&before);
	fixture_pair_drive(&after);
	fixture_assert_failed(&after.server, ERR_AUTH, "\"bob\" is not in");
	fixture_pair_close(&after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_psk_is_accepted),
	    cmocka_unit_test(test_psk_wrong_key),
	    cmocka_unit_test(test_psk_unknown_identity),
	    cmocka_unit_test(test_reload_is_for_new_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
