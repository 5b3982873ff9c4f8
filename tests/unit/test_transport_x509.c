/*
 * Certificates in the handshake: who is let through, and the sentence that the others
 * get, on both ends. A PSK meets them here too.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "test_creds_fixture.h"
#include "tunnel/creds_impl.h"

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct fixture_ca ca, other_ca;

static const struct fixture_cert server_spec = {.subject = "dst.example",
						.alt = "DNS:dst.example,DNS:*.lab.example,"
						       "IP:10.1.2.3,IP:::1",
						.usage = "serverAuth"};
static const struct fixture_cert client_spec = {.subject = "src.example", .usage = "clientAuth"};

static struct creds *x509(enum creds_role role, const struct fixture_ca *from,
			  const struct fixture_ca *trust)
{
	const char *name = role == CREDS_CLIENT ? "client" : "server";
	const char *dir = fixture_x509(name, name, from, trust,
				       role == CREDS_CLIENT ? &client_spec : &server_spec);
	struct err e = ERR_INIT;
	struct creds *c;
	char crl[640];

	snprintf(crl, sizeof(crl), "%s/ca-crl.pem", dir);
	unlink(crl);
	c = creds_load_x509(role, dir, &e);
	if (!c)
		fail_msg("%s", e.text);
	return c;
}

static struct creds *server_x509(void)
{
	return x509(CREDS_SERVER, &ca, &ca);
}

static struct creds *client_x509(void)
{
	return x509(CREDS_CLIENT, &ca, &ca);
}

/* One end shows a certificate that creds_load_x509 would not have taken. */
static struct creds *showing(struct creds *c, const struct fixture_cert *spec)
{
	EVP_PKEY *key;
	X509 *cert;

	fixture_cert_new(&ca, spec, &cert, &key);
	fixture_swap_cert(c, cert, key);
	X509_free(cert);
	EVP_PKEY_free(key);
	return c;
}

static void test_psk_client_meets_x509_server(void **state)
{
	struct fixture_pair p;

	(void)state;
	fixture_meet(&p, fixture_psk(CREDS_CLIENT, "c.psk", "bob:" KEY "\n"), server_x509(),
		     "localhost");
	fixture_assert_failed(&p.client, ERR_AUTH, "does not take a PSK|--tls-creds|--psk");
	fixture_assert_failed(&p.server, ERR_AUTH, "comes with a PSK|--tls-creds|--psk");
	fixture_pair_close(&p);
}

static void test_x509_client_meets_psk_server(void **state)
{
	struct fixture_pair p;

	(void)state;
	fixture_meet(&p, client_x509(), fixture_psk(CREDS_SERVER, "s.psk", "bob:" KEY "\n"),
		     "dst.example");
	fixture_assert_failed(&p.client, ERR_AUTH, "does not take certificates|--psk|--tls-creds");
	fixture_assert_failed(&p.server, ERR_AUTH, "without a PSK|--psk|--tls-creds");
	fixture_pair_close(&p);
}

/* A server that takes certificates and is no adit: it passes over the PSK. */
static void test_psk_client_refuses_server_without_psk(void **state)
{
	struct creds *server = server_x509();
	struct creds_set *set = creds_set_get(server);
	struct fixture_pair p;

	(void)state;
	SSL_CTX_set_client_hello_cb(set->ctx, NULL, NULL);
	creds_set_unref(set);
	fixture_meet(&p, fixture_psk(CREDS_CLIENT, "c.psk", "bob:" KEY "\n"), server,
		     "dst.example");
	fixture_assert_failed(&p.client, ERR_AUTH, "did not take our PSK|certificate");
	fixture_assert_failed(&p.server, ERR_AUTH, "does not trust the issuer");
	fixture_pair_close(&p);
}

static void test_x509_is_accepted(void **state)
{
	static const char *const hosts[] = {"dst.example", "DST.example", "a.lab.example",
					    "10.1.2.3",	   "::1",	  "0:0::1",
					    "::1%lo",	   "dst.example."};
	struct fixture_pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		fixture_meet(&p, client_x509(), server_x509(), hosts[i]);
		fixture_assert_up(&p);
		assert_string_equal(p.client.t->peer, "x509:CN=dst.example,O=adit test");
		assert_string_equal(p.server.t->peer, "x509:CN=src.example,O=adit test");
		fixture_pair_close(&p);
	}
}

static void test_x509_foreign_server(void **state)
{
	struct fixture_pair p;

	(void)state;
	fixture_meet(&p, client_x509(), x509(CREDS_SERVER, &other_ca, &ca), "dst.example");
	fixture_assert_failed(&p.client, ERR_AUTH,
			      "server's certificate|CN=dst.example|not trusted here|Other CA|"
			      "client/ca-cert.pem");
	fixture_assert_failed(&p.server, ERR_AUTH,
			      "client does not trust|Other CA|server/server-cert.pem|ca-cert.pem");
	fixture_pair_close(&p);
}

static void test_x509_foreign_client(void **state)
{
	struct fixture_pair p;

	(void)state;
	fixture_meet(&p, x509(CREDS_CLIENT, &other_ca, &ca), server_x509(), "dst.example");
	fixture_assert_failed(&p.server, ERR_AUTH,
			      "client's certificate|CN=src.example|not trusted here|Other CA|"
			      "server/ca-cert.pem");
	fixture_assert_failed(&p.client, ERR_AUTH,
			      "server does not trust|Other CA|client/client-cert.pem");
	fixture_pair_close(&p);
}

static void test_x509_expired_server(void **state)
{
	struct fixture_cert old = server_spec;
	struct fixture_pair p;

	(void)state;
	old.from_s = -7200;
	old.until_s = -60;
	fixture_meet(&p, client_x509(), showing(server_x509(), &old), "dst.example");
	fixture_assert_failed(&p.client, ERR_AUTH, "server's certificate|expired on 20| UTC|renew");
	fixture_assert_failed(&p.server, ERR_AUTH, "client says|server-cert.pem|expired|renew|20");
	fixture_pair_close(&p);
}

static void test_x509_expired_client(void **state)
{
	struct fixture_cert old = client_spec;
	struct fixture_pair p;

	(void)state;
	old.from_s = -7200;
	old.until_s = -60;
	fixture_meet(&p, showing(client_x509(), &old), server_x509(), "dst.example");
	fixture_assert_failed(&p.server, ERR_AUTH, "client's certificate|expired on 20| UTC|renew");
	fixture_assert_failed(&p.client, ERR_AUTH, "server says|client-cert.pem|expired|renew|20");
	fixture_pair_close(&p);
}

static void test_x509_not_yet_valid(void **state)
{
	struct fixture_cert early_server = server_spec, early_client = client_spec;
	struct fixture_pair p;

	(void)state;
	early_server.from_s = early_client.from_s = 3600;
	early_server.until_s = early_client.until_s = 7200;
	fixture_meet(&p, client_x509(), showing(server_x509(), &early_server), "dst.example");
	fixture_assert_failed(&p.client, ERR_AUTH,
			      "server's certificate|not valid before 20|clocks");
	fixture_assert_failed(&p.server, ERR_AUTH, "client refuses|server-cert.pem|clock|20");
	fixture_pair_close(&p);
	fixture_meet(&p, showing(client_x509(), &early_client), server_x509(), "dst.example");
	fixture_assert_failed(&p.server, ERR_AUTH,
			      "client's certificate|not valid before 20|clocks");
	fixture_assert_failed(&p.client, ERR_AUTH, "server refuses|client-cert.pem|clock|20");
	fixture_pair_close(&p);
}

static void test_x509_wrong_host(void **state)
{
	static const char *const hosts[] = {"other.example", "x.y.lab.example", "lab.example",
					    "10.1.2.4", "::2"};
	struct fixture_pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		fixture_meet(&p, client_x509(), server_x509(), hosts[i]);
		fixture_assert_failed(&p.client, ERR_AUTH, "is for dst.example, |10.1.2.3|not for");
		assert_non_null(strstr(p.client.err.text, hosts[i]));
		fixture_assert_failed(&p.server, ERR_AUTH,
				      "client refuses|server-cert.pem|dialled|dst.example");
		fixture_pair_close(&p);
	}
}

static void test_x509_partial_wildcard_is_no_match(void **state)
{
	static const struct fixture_cert spec = {
	    .subject = "dst.example", .alt = "DNS:d*t.lab.example", .usage = "serverAuth"};
	struct fixture_pair p;

	(void)state;
	fixture_meet(&p, client_x509(), showing(server_x509(), &spec), "dst.lab.example");
	fixture_assert_failed(&p.client, ERR_AUTH, "not for dst.lab.example");
	fixture_pair_close(&p);
}

static void test_x509_wrong_purpose(void **state)
{
	struct fixture_cert as_client = server_spec, as_server = client_spec;
	struct fixture_pair p;

	(void)state;
	as_client.usage = "clientAuth";
	as_server.usage = "serverAuth";
	fixture_meet(&p, client_x509(), showing(server_x509(), &as_client), "dst.example");
	fixture_assert_failed(&p.client, ERR_AUTH, "not made for a TLS server|serverAuth");
	fixture_assert_failed(&p.server, ERR_AUTH, "not made for a TLS server|serverAuth");
	fixture_pair_close(&p);
	fixture_meet(&p, showing(client_x509(), &as_server), server_x509(), "dst.example");
	fixture_assert_failed(&p.server, ERR_AUTH, "not made for a TLS client|clientAuth");
	fixture_assert_failed(&p.client, ERR_AUTH, "not made for a TLS client|clientAuth");
	fixture_pair_close(&p);
}

/* What a certificate is for is said in it, not left open (docs/protocol.md, 1.1). */
static void test_x509_no_purpose_is_none(void **state)
{
	struct fixture_cert plain_server = server_spec, plain_client = client_spec;
	struct fixture_pair p;

	(void)state;
	plain_server.usage = plain_client.usage = NULL;
	fixture_meet(&p, client_x509(), showing(server_x509(), &plain_server), "dst.example");
	fixture_assert_failed(&p.client, ERR_AUTH, "not made for a TLS server|serverAuth");
	fixture_pair_close(&p);
	fixture_meet(&p, showing(client_x509(), &plain_client), server_x509(), "dst.example");
	fixture_assert_failed(&p.server, ERR_AUTH, "not made for a TLS client|clientAuth");
	fixture_pair_close(&p);
}

/* Nor is a common name a host's. */
static void test_x509_common_name_is_no_host(void **state)
{
	struct fixture_cert spec = {.subject = "localhost", .usage = "serverAuth"};
	struct fixture_pair p;

	(void)state;
	fixture_meet(&p, client_x509(), showing(server_x509(), &spec), "localhost");
	fixture_assert_failed(&p.client, ERR_AUTH, "not for localhost");
	fixture_pair_close(&p);
}

/* Of another authority, which is called as ours: OpenSSL's first word is of a signature. */
static void test_x509_foreign_ca_of_our_name(void **state)
{
	struct fixture_ca twin = fixture_ca_new("Test CA");
	struct fixture_pair p;
	EVP_PKEY *key;
	X509 *cert;
	struct creds *server = server_x509();

	(void)state;
	fixture_cert_new(&twin, &server_spec, &cert, &key);
	/* its key's identifier alone would tell */
	X509_EXTENSION_free(
	    X509_delete_ext(cert, X509_get_ext_by_NID(cert, NID_authority_key_identifier, -1)));
	assert_true(X509_sign(cert, twin.key, EVP_sha256()));
	fixture_swap_cert(server, cert, key);
	fixture_meet(&p, client_x509(), server, "dst.example");
	fixture_assert_failed(&p.client, ERR_AUTH, "not trusted here|ca-cert.pem");
	fixture_pair_close(&p);
	X509_free(cert);
	EVP_PKEY_free(key);
	fixture_ca_free(&twin);
}

/* The leaf is good for an hour, its issuer was till a minute ago: whose date is told? */
static void test_x509_issuer_that_expired(void **state)
{
	struct fixture_ca middle = fixture_ca_new("Middle");
	struct fixture_pair p;
	struct creds *server = server_x509();
	struct creds_set *set;
	char date[32], words[160];
	time_t until = time(NULL) - 60;
	EVP_PKEY *key;
	X509 *cert;

	(void)state;
	fixture_cert_new(&middle, &server_spec, &cert, &key);
	fixture_swap_cert(server, cert, key);
	X509_set_issuer_name(middle.cert, X509_get_subject_name(ca.cert));
	X509_time_adj(X509_getm_notAfter(middle.cert), 0, &until);
	assert_true(X509_sign(middle.cert, ca.key, EVP_sha256()));
	set = creds_set_get(server);
	assert_true(SSL_CTX_add1_chain_cert(set->ctx, middle.cert));
	creds_set_unref(set);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", gmtime(&until));
	snprintf(words, sizeof(words),
		 "certificate (CN=dst.example|has an issuer (CN=Middle|that expired on %s", date);
	fixture_meet(&p, client_x509(), server, "dst.example");
	fixture_assert_failed(&p.client, ERR_AUTH, words);
	fixture_pair_close(&p);
	X509_free(cert);
	EVP_PKEY_free(key);
	fixture_ca_free(&middle);
}

/* Writes a list into dir on which the certificate of c is, and loads dir anew. */
static void put_crl(struct creds *reader, const char *dir, struct creds *c, long from_s,
		    long until_s)
{
	struct creds_set *set = c ? creds_set_get(c) : NULL;
	struct err e = ERR_INIT;

	fixture_write_crl(dir, &ca, set ? SSL_CTX_get0_certificate(set->ctx) : NULL, from_s,
			  until_s);
	creds_set_unref(set);
	if (creds_reload(reader, &e) < 0)
		fail_msg("%s", e.text);
}

static void test_x509_revoked_server(void **state)
{
	struct creds *client = client_x509(), *server = server_x509();
	struct fixture_pair p;

	(void)state;
	put_crl(client, fixture_subdir("client"), server, 0, 0);
	fixture_meet(&p, client, server, "dst.example");
	fixture_assert_failed(&p.client, ERR_AUTH, "server's certificate|was revoked|ca-crl.pem");
	fixture_assert_failed(&p.server, ERR_AUTH, "server-cert.pem was revoked");
	fixture_pair_close(&p);
}

static void test_x509_revoked_client(void **state)
{
	struct creds *client = client_x509(), *server = server_x509();
	struct fixture_pair p;

	(void)state;
	put_crl(server, fixture_subdir("server"), client, 0, 0);
	fixture_meet(&p, client, server, "dst.example");
	fixture_assert_failed(&p.server, ERR_AUTH, "client's certificate|was revoked|ca-crl.pem");
	fixture_assert_failed(&p.client, ERR_AUTH, "client-cert.pem was revoked");
	fixture_pair_close(&p);
}

static void test_x509_crl_without_them(void **state)
{
	struct creds *client = client_x509(), *server = server_x509();
	struct fixture_pair p;

	(void)state;
	put_crl(server, fixture_subdir("server"), NULL, 0, 0);
	fixture_meet(&p, client, server, "dst.example");
	fixture_assert_up(&p);
	fixture_pair_close(&p);
}

static void test_x509_crl_out_of_date(void **state)
{
	struct creds *client = client_x509(), *server = server_x509();
	struct fixture_pair p;

	(void)state;
	put_crl(server, fixture_subdir("server"), NULL, -7200, -60);
	fixture_meet(&p, client, server, "dst.example");
	fixture_assert_failed(&p.server, ERR_AUTH, "ca-crl.pem is out of date|fetch");
	fixture_pair_close(&p);
}

static void test_x509_crl_of_another_issuer(void **state)
{
	const char *dir;
	struct creds *client = client_x509(), *server = server_x509();
	struct fixture_pair p;

	(void)state;
	dir = fixture_subdir("server");
	fixture_write_crl(dir, &other_ca, NULL, 0, 0);
	assert_int_equal(creds_reload(server, NULL), 0);
	fixture_meet(&p, client, server, "dst.example");
	fixture_assert_failed(&p.server, ERR_AUTH, "has no list of the issuer|Test CA");
	fixture_pair_close(&p);
}

static void test_x509_client_without_certificate(void **state)
{
	struct creds *client = client_x509();
	struct creds_set *set = creds_set_get(client);
	SSL_CTX *bare = SSL_CTX_new(TLS_client_method());
	struct fixture_pair p;

	(void)state;
	/* An SSL_CTX does not forget a certificate: another one, with the same trust. */
	SSL_CTX_set1_cert_store(bare, SSL_CTX_get_cert_store(set->ctx));
	SSL_CTX_set_verify(bare, SSL_VERIFY_PEER, SSL_CTX_get_verify_callback(set->ctx));
	SSL_CTX_free(set->ctx);
	set->ctx = bare;
	creds_set_unref(set);
	fixture_meet(&p, client, server_x509(), "dst.example");
	fixture_assert_failed(&p.server, ERR_AUTH, "showed no certificate|client-cert.pem");
	fixture_assert_failed(&p.client, ERR_AUTH, "asks for a client certificate|client-cert.pem");
	fixture_pair_close(&p);
}

static void test_x509_client_without_subject(void **state)
{
	static const struct fixture_cert spec = {
	    .subject = "", .alt = "DNS:src.example", .usage = "clientAuth"};
	struct fixture_pair p;

	(void)state;
	fixture_meet(&p, showing(client_x509(), &spec), server_x509(), "dst.example");
	fixture_assert_failed(&p.server, ERR_AUTH, "no subject");
	fixture_assert_failed(&p.client, ERR_AUTH, "server refuses|client-cert.pem|log");
	fixture_pair_close(&p);
}

static void test_x509_needs_a_host(void **state)
{
	struct creds *client = client_x509();
	struct err e = ERR_INIT;
	int fd[2];

	(void)state;
	fixture_tcp_pair(fd);
	assert_null(creds_transport(client, fd[0], NULL, &e));
	assert_int_equal(e.code, ERR_USAGE);
	close(fd[1]);
	creds_free(client);
}

static void test_tls12_peer(void **state)
{
	struct creds *server = fixture_psk(CREDS_SERVER, "s.psk", "bob:" KEY "\n");
	struct creds *client = client_x509();
	struct creds_set *set = creds_set_get(client);
	struct fixture_pair p;

	(void)state;
	SSL_CTX_set_min_proto_version(set->ctx, TLS1_2_VERSION);
	SSL_CTX_set_max_proto_version(set->ctx, TLS1_2_VERSION);
	creds_set_unref(set);
	fixture_meet(&p, client, server, "dst.example");
	fixture_assert_failed(&p.server, ERR_PROTOCOL, "does not speak TLS 1.3");
	fixture_assert_failed(&p.client, ERR_PROTOCOL, "does not speak TLS 1.3");
	fixture_pair_close(&p);
}

static int set_up(void **state)
{
	(void)state;
	ca = fixture_ca_new("Test CA");
	other_ca = fixture_ca_new("Other CA");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_ca_free(&ca);
	fixture_ca_free(&other_ca);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_psk_client_meets_x509_server),
	    cmocka_unit_test(test_x509_client_meets_psk_server),
	    cmocka_unit_test(test_psk_client_refuses_server_without_psk),
	    cmocka_unit_test(test_x509_is_accepted),
	    cmocka_unit_test(test_x509_foreign_server),
	    cmocka_unit_test(test_x509_foreign_client),
	    cmocka_unit_test(test_x509_expired_server),
	    cmocka_unit_test(test_x509_expired_client),
	    cmocka_unit_test(test_x509_not_yet_valid),
	    cmocka_unit_test(test_x509_wrong_host),
	    cmocka_unit_test(test_x509_partial_wildcard_is_no_match),
	    cmocka_unit_test(test_x509_wrong_purpose),
	    cmocka_unit_test(test_x509_no_purpose_is_none),
	    cmocka_unit_test(test_x509_common_name_is_no_host),
	    cmocka_unit_test(test_x509_foreign_ca_of_our_name),
	    cmocka_unit_test(test_x509_issuer_that_expired),
	    cmocka_unit_test(test_x509_revoked_server),
	    cmocka_unit_test(test_x509_revoked_client),
	    cmocka_unit_test(test_x509_crl_without_them),
	    cmocka_unit_test(test_x509_crl_out_of_date),
	    cmocka_unit_test(test_x509_crl_of_another_issuer),
	    cmocka_unit_test(test_x509_client_without_certificate),
	    cmocka_unit_test(test_x509_client_without_subject),
	    cmocka_unit_test(test_x509_needs_a_host),
	    cmocka_unit_test(test_tls12_peer),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
