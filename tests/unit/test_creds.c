/* Reading credentials from disk: what is taken, and the sentence for what is not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test_creds_fixture.h"
#include "tunnel/creds_impl.h"
#include "tunnel/creds_psk.h"

#define KEY "00112233445566778899aabbccddeeff"

static struct fixture_ca ca;

static void assert_says(const struct err *e, enum err_code code, const char *words)
{
	struct fixture_end end = {.result = TRANSPORT_FAILED, .err = *e};

	fixture_assert_failed(&end, code, words);
}

static void assert_psk_refused(const char *text, const char *words)
{
	const char *file = fixture_file("t.psk", text, 0600);
	struct err e = ERR_INIT;

	assert_null(creds_load_psk(CREDS_SERVER, file, NULL, &e));
	assert_says(&e, ERR_CONFIG, words);
	assert_null(strstr(e.text, "00112233"));
}

static void test_psk_refuses_malformed_files(void **state)
{
	(void)state;
	assert_psk_refused("", "holds no key|adit keygen");
	assert_psk_refused("\n\n# a note\n", "holds no key");
	assert_psk_refused("bob " KEY "\n", "line 1|no ':'|identity:hexkey");
	assert_psk_refused("a:" KEY "\n\n:" KEY "\n", "line 3|identity");
	assert_psk_refused("bob:" KEY "0\n", "line 1|\"bob\"|16 to 64");
	assert_psk_refused("bob:001122334455\n", "line 1|\"bob\"|16 to 64");
	assert_psk_refused("bob:" KEY KEY KEY KEY "00\n", "line 1|16 to 64");
	assert_psk_refused("bob:0011223344556677889gaabbccddeeff\n", "line 1|\"bob\"");
	assert_psk_refused("b\x07ob:" KEY "\n", "line 1|printable");
	assert_psk_refused("#zz:" KEY "\n", "line 1|identity");
	assert_psk_refused("#626f62:" KEY "\nbob:" KEY "\n", "\"bob\" twice");
}

static void test_psk_refuses_file_that_others_read(void **state)
{
	const char *file = fixture_file("open.psk", "bob:" KEY "\n", 0640);
	struct err e = ERR_INIT;

	(void)state;
	assert_null(creds_load_psk(CREDS_SERVER, file, NULL, &e));
	assert_says(&e, ERR_CONFIG, "0640|chmod 600|open.psk");
	assert_null(creds_load_psk(CREDS_SERVER, "/nowhere/k.psk", NULL, &e));
	assert_says(&e, ERR_CONFIG, "/nowhere/k.psk|No such file");
	assert_null(creds_load_psk(CREDS_SERVER, fixture_dir(), NULL, &e));
	assert_says(&e, ERR_CONFIG, "is not a file");
}

static void test_psk_finds_every_identity(void **state)
{
	const char *file = fixture_file(
	    "many.psk",
	    "bob:" KEY "\r\nal:ice:" KEY "\n# note\n\n#c3a9:" KEY "\nz:" KEY KEY KEY KEY, 0600);
	static const char *const names[] = {"bob", "al:ice", "\xc3\xa9", "z"};
	struct err e = ERR_INIT;
	struct creds_set *set = creds_psk_load(CREDS_SERVER, file, NULL, &e);

	(void)state;
	assert_non_null(set);
	for (size_t i = 0; i < 4; i++) {
		const struct creds_psk_key *k =
		    creds_psk_find(set->psk, (const uint8_t *)names[i], strlen(names[i]));

		assert_non_null(k);
		assert_string_equal(k->identity, names[i]);
		assert_int_equal(k->key_len_bytes, i == 3 ? 64 : 16);
		assert_int_equal(k->key[1], 0x11);
	}
	assert_null(creds_psk_find(set->psk, (const uint8_t *)"bo", 2));
	assert_null(creds_psk_find(set->psk, (const uint8_t *)"bob\0", 4));
	assert_null(creds_psk_find(set->psk, (const uint8_t *)"", 0));
	assert_null(creds_psk_find(set->psk, (const uint8_t *)KEY KEY KEY KEY KEY, 160));
	creds_set_unref(set);
}

static void test_psk_client_chooses_its_identity(void **state)
{
	const char *file = fixture_file("two.psk", "bob:" KEY "\nalice:" KEY "\n", 0600);
	struct err e = ERR_INIT;
	struct creds *c;

	(void)state;
	assert_null(creds_load_psk(CREDS_CLIENT, file, "", &e));
	assert_says(&e, ERR_CONFIG, "bob, alice|say which|tls://");
	assert_null(creds_load_psk(CREDS_CLIENT, file, "eve", &e));
	assert_says(&e, ERR_CONFIG, "no identity \"eve\"|bob, alice");
	c = creds_load_psk(CREDS_CLIENT, file, "alice", &e);
	assert_non_null(c);
	assert_int_equal(creds_kind(c), CREDS_PSK);
	/* It stays with the identity that it was told. */
	fixture_file("two.psk", "bob:" KEY "\n", 0600);
	assert_int_equal(creds_reload(c, &e), ERR_CONFIG);
	assert_says(&e, ERR_CONFIG, "no identity \"alice\"");
	creds_free(c);
	c = creds_load_psk(CREDS_CLIENT, file, NULL, &e);
	assert_non_null(c);
	creds_free(c);
}

static void test_psk_reload_keeps_old_keys_on_error(void **state)
{
	const char *file = fixture_file("r.psk", "bob:" KEY "\n", 0600);
	struct err e = ERR_INIT;
	struct creds *c = creds_load_psk(CREDS_SERVER, file, NULL, &e);
	struct creds_set *before, *after;

	(void)state;
	before = creds_set_get(c);
	fixture_file("r.psk", "bob\n", 0600);
	assert_int_equal(creds_reload(c, &e), ERR_CONFIG);
	after = creds_set_get(c);
	assert_ptr_equal(before, after);
	creds_set_unref(after);
	fixture_file("r.psk", "alice:" KEY "\n", 0600);
	assert_int_equal(creds_reload(c, &e), 0);
	after = creds_set_get(c);
	assert_ptr_not_equal(before, after);
	assert_non_null(creds_psk_find(before->psk, (const uint8_t *)"bob", 3));
	assert_null(creds_psk_find(after->psk, (const uint8_t *)"bob", 3));
	creds_set_unref(before);
	creds_set_unref(after);
	creds_free(c);
}

/* A folder with all that a server needs; each call makes it anew. */
static const char *server_dir(const struct fixture_cert *spec)
{
	static const struct fixture_cert good = {
	    .subject = "dst.example", .alt = "DNS:dst.example", .usage = "serverAuth"};

	return fixture_x509("x509", "server", &ca, &ca, spec ? spec : &good);
}

static void assert_x509_refused(const char *dir, const char *words)
{
	struct err e = ERR_INIT;

	assert_null(creds_load_x509(CREDS_SERVER, dir, &e));
	assert_says(&e, ERR_CONFIG, words);
}

static const char *in(const char *dir, const char *name)
{
	static char path[640];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void test_x509_is_read_and_reloaded(void **state)
{
	struct err e = ERR_INIT;
	struct creds *c = creds_load_x509(CREDS_SERVER, server_dir(NULL), &e);

	(void)state;
	assert_string_equal(e.text, "");
	assert_non_null(c);
	assert_int_equal(creds_kind(c), CREDS_X509);
	assert_int_equal(creds_reload(c, &e), 0);
	unlink(in(server_dir(NULL), "server-key.pem"));
	assert_int_equal(creds_reload(c, &e), ERR_CONFIG);
	creds_free(c);
}

static void test_x509_names_the_missing_file(void **state)
{
	static const char *const files[] = {"ca-cert.pem", "server-cert.pem", "server-key.pem"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		const char *dir = server_dir(NULL);

		unlink(in(dir, files[i]));
		assert_x509_refused(dir, files[i]);
		fixture_file("x509/junk", "junk\n", 0600);
		assert_int_equal(rename(in(dir, "junk"), in(dir, files[i])), 0);
		assert_x509_refused(dir, files[i]);
	}
	fixture_file("x509/ca-crl.pem", "junk\n", 0600);
	assert_x509_refused(server_dir(NULL), "ca-crl.pem|revocation list");
	unlink(in(server_dir(NULL), "ca-crl.pem"));
	assert_x509_refused("/nowhere", "/nowhere/ca-cert.pem|No such file");
}

static void test_x509_refuses_own_certificate_out_of_its_time(void **state)
{
	struct fixture_cert spec = {.subject = "dst.example", .from_s = -7200, .until_s = -60};

	(void)state;
	assert_x509_refused(server_dir(&spec), "server-cert.pem expired on 20| UTC|renew");
	spec.from_s = 60;
	spec.until_s = 7200;
	assert_x509_refused(server_dir(&spec), "server-cert.pem is not valid before 20|clock");
}

static void test_x509_refuses_own_certificate_for_the_other_role(void **state)
{
	const struct fixture_cert spec = {.subject = "dst.example", .usage = "clientAuth"};

	(void)state;
	assert_x509_refused(server_dir(&spec),
			    "server-cert.pem is not made for a TLS server|serverAuth");
	assert_x509_refused(server_dir(&(struct fixture_cert){.subject = "dst.example"}),
			    "server-cert.pem is not made for a TLS server|serverAuth");
}

static void test_x509_refuses_key_of_another_certificate(void **state)
{
	const struct fixture_cert spec = {.subject = "x"};
	const char *dir = server_dir(NULL);
	EVP_PKEY *key;
	X509 *cert;
	FILE *f;

	(void)state;
	fixture_cert_new(&ca, &spec, &cert, &key);
	f = fopen(in(dir, "server-key.pem"), "w");
	assert_true(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
	assert_x509_refused(dir, "server-key.pem does not belong to|server-cert.pem");
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* And does not ask for it: standard input of a test is not a terminal, but OpenSSL
 * would open /dev/tty. */
static void test_x509_refuses_key_with_passphrase(void **state)
{
	const struct fixture_cert spec = {.subject = "x"};
	const char *dir = server_dir(NULL);
	EVP_PKEY *key;
	X509 *cert;
	FILE *f;

	(void)state;
	fixture_cert_new(&ca, &spec, &cert, &key);
	f = fopen(in(dir, "server-key.pem"), "w");
	assert_true(PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), (const unsigned char *)"secret",
					 6, NULL, NULL));
	fclose(f);
	assert_x509_refused(dir, "server-key.pem has a passphrase|openssl pkey");
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* QEMU takes such a key too; the log warns. */
static void test_x509_takes_key_that_others_read(void **state)
{
	const char *dir = server_dir(NULL);
	struct err e = ERR_INIT;
	struct creds *c;

	(void)state;
	chmod(in(dir, "server-key.pem"), 0644);
	c = creds_load_x509(CREDS_SERVER, dir, &e);
	assert_non_null(c);
	creds_free(c);
}

static void test_insecure_is_tcp(void **state)
{
	struct creds *c = creds_new_insecure(CREDS_CLIENT);
	struct err e = ERR_INIT;
	struct transport *t;
	int fd[2];

	(void)state;
	fixture_tcp_pair(fd);
	assert_int_equal(creds_kind(c), CREDS_NONE);
	assert_int_equal(creds_reload(c, &e), 0);
	t = creds_transport(c, fd[0], "localhost", &e);
	assert_non_null(t);
	assert_string_equal(t->ops->name, "tcp");
	assert_string_equal(t->cipher, "none");
	assert_memory_equal(t->peer, "tcp:127.0.0.1:", 14);
	transport_free(t);
	close(fd[1]);
	creds_free(c);
	creds_free(NULL);
}

/* However often it comes, it is one peer: its sessions are counted, its jobs found again. */
static void test_insecure_peer_is_its_address(void **state)
{
	struct creds *c = creds_new_insecure(CREDS_SERVER);
	struct err e = ERR_INIT;
	struct transport *t;
	int fd[2];

	(void)state;
	fixture_tcp_pair(fd);
	t = creds_transport(c, fd[0], NULL, &e);
	assert_non_null(t);
	assert_string_equal(t->peer, "tcp:127.0.0.1");
	transport_free(t);
	close(fd[1]);
	creds_free(c);
}

static int set_up(void **state)
{
	(void)state;
	ca = fixture_ca_new("Test CA");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_ca_free(&ca);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_psk_refuses_malformed_files),
	    cmocka_unit_test(test_psk_refuses_file_that_others_read),
	    cmocka_unit_test(test_psk_finds_every_identity),
	    cmocka_unit_test(test_psk_client_chooses_its_identity),
	    cmocka_unit_test(test_psk_reload_keeps_old_keys_on_error),
	    cmocka_unit_test(test_x509_is_read_and_reloaded),
	    cmocka_unit_test(test_x509_names_the_missing_file),
	    cmocka_unit_test(test_x509_refuses_own_certificate_out_of_its_time),
	    cmocka_unit_test(test_x509_refuses_own_certificate_for_the_other_role),
	    cmocka_unit_test(test_x509_refuses_key_of_another_certificate),
	    cmocka_unit_test(test_x509_refuses_key_with_passphrase),
	    cmocka_unit_test(test_x509_takes_key_that_others_read),
	    cmocka_unit_test(test_insecure_is_tcp),
	    cmocka_unit_test(test_insecure_peer_is_its_address),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
