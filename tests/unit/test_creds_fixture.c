/* Certificates, files and transport pairs for tests: see test_creds_fixture.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "test_creds_fixture.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tunnel/creds_impl.h"

enum { HOUR_S = 3600, TURNS_MAX = 400, IDLE_MS = 200 };

static char root[64];

static void remove_root(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	if (system(command) != 0)
		fprintf(stderr, "%s is left behind\n", root);
}

const char *fixture_dir(void)
{
	if (!root[0]) {
		strcpy(root, "/tmp/adit-creds-XXXXXX");
		assert_non_null(mkdtemp(root));
		atexit(remove_root);
	}
	return root;
}

static char *path_slot(void)
{
	static char slots[8][512];
	static unsigned next;

	return slots[next++ % 8];
}

const char *fixture_subdir(const char *name)
{
	char *path = path_slot();

	snprintf(path, 512, "%s/%s", fixture_dir(), name);
	mkdir(path, 0700);
	return path;
}

const char *fixture_file(const char *name, const char *text, unsigned mode)
{
	char *path = path_slot();
	FILE *f;

	snprintf(path, 512, "%s/%s", fixture_dir(), name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fputs(text, f) < 0, 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static void add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(ext);
	assert_true(X509_add_ext(cert, ext, -1));
	X509_EXTENSION_free(ext);
}

static X509 *cert_begin(const char *name, EVP_PKEY *key, long from_s, long until_s)
{
	static long serial = 1;
	X509 *cert = X509_new();
	X509_NAME *subject;

	assert_non_null(cert);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(cert), from_s);
	X509_gmtime_adj(X509_getm_notAfter(cert), until_s);
	subject = X509_get_subject_name(cert);
	if (*name) {
		X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
					   (const unsigned char *)"adit test", -1, -1, 0);
		X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
					   (const unsigned char *)name, -1, -1, 0);
	}
	assert_true(X509_set_pubkey(cert, key));
	return cert;
}

struct fixture_ca fixture_ca_new(const char *name)
{
	struct fixture_ca ca;

	ca.key = EVP_EC_gen("P-256");
	ca.cert = cert_begin(name, ca.key, -24 * HOUR_S, 24 * HOUR_S);
	X509_set_issuer_name(ca.cert, X509_get_subject_name(ca.cert));
	add_ext(ca.cert, ca.cert, NID_basic_constraints, "critical,CA:TRUE");
	add_ext(ca.cert, ca.cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	add_ext(ca.cert, ca.cert, NID_subject_key_identifier, "hash");
	assert_true(X509_sign(ca.cert, ca.key, EVP_sha256()));
	return ca;
}

void fixture_ca_free(struct fixture_ca *ca)
{
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
}

void fixture_cert_new(const struct fixture_ca *ca, const struct fixture_cert *spec, X509 **cert,
		      EVP_PKEY **key)
{
	int dated = spec->from_s || spec->until_s;

	*key = EVP_EC_gen("P-256");
	*cert = cert_begin(spec->subject, *key, dated ? spec->from_s : -HOUR_S,
			   dated ? spec->until_s : HOUR_S);
	X509_set_issuer_name(*cert, X509_get_subject_name(ca->cert));
	add_ext(*cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE");
	add_ext(*cert, ca->cert, NID_authority_key_identifier, "keyid:always");
	if (spec->alt)
		add_ext(*cert, ca->cert, NID_subject_alt_name, spec->alt);
	if (spec->usage)
		add_ext(*cert, ca->cert, NID_ext_key_usage, spec->usage);
	assert_true(X509_sign(*cert, ca->key, EVP_sha256()));
}

static FILE *open_in(const char *dir, const char *role, const char *what, unsigned mode)
{
	char path[640];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s%s", dir, role, what);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fchmod(fileno(f), mode), 0);
	return f;
}

void fixture_write_cert(const char *dir, const char *role, X509 *cert, EVP_PKEY *key)
{
	FILE *f = open_in(dir, role, "-cert.pem", 0644);

	assert_true(PEM_write_X509(f, cert));
	fclose(f);
	f = open_in(dir, role, "-key.pem", 0600);
	assert_true(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
}

void fixture_write_ca(const char *dir, const struct fixture_ca *ca)
{
	FILE *f = open_in(dir, "ca", "-cert.pem", 0644);

	assert_true(PEM_write_X509(f, ca->cert));
	fclose(f);
}

void fixture_write_crl(const char *dir, const struct fixture_ca *ca, X509 *cert, long from_s,
		       long until_s)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *from = X509_gmtime_adj(NULL, from_s || until_s ? from_s : -HOUR_S);
	ASN1_TIME *until = X509_gmtime_adj(NULL, from_s || until_s ? until_s : HOUR_S);
	X509_REVOKED *revoked;
	FILE *f;

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert));
	X509_CRL_set1_lastUpdate(crl, from);
	X509_CRL_set1_nextUpdate(crl, until);
	if (cert) {
		revoked = X509_REVOKED_new();
		X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(cert));
		X509_REVOKED_set_revocationDate(revoked, from);
		assert_true(X509_CRL_add0_revoked(crl, revoked));
	}
	assert_true(X509_CRL_sign(crl, ca->key, EVP_sha256()));
	f = open_in(dir, "ca", "-crl.pem", 0644);
	assert_true(PEM_write_X509_CRL(f, crl));
	fclose(f);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	X509_CRL_free(crl);
}

const char *fixture_x509(const char *name, const char *role, const struct fixture_ca *ca,
			 const struct fixture_ca *trust, const struct fixture_cert *spec)
{
	const char *dir = fixture_subdir(name);
	EVP_PKEY *key;
	X509 *cert;

	fixture_cert_new(ca, spec, &cert, &key);
	fixture_write_cert(dir, role, cert, key);
	fixture_write_ca(dir, trust);
	X509_free(cert);
	EVP_PKEY_free(key);
	return dir;
}

void fixture_swap_cert(struct creds *c, X509 *cert, EVP_PKEY *key)
{
	struct creds_set *set = creds_set_get(c);

	assert_true(SSL_CTX_use_certificate(set->ctx, cert));
	assert_true(SSL_CTX_use_PrivateKey(set->ctx, key));
	creds_set_unref(set);
}

void fixture_tcp_pair(int fd[2])
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&sa, sizeof(sa)), 0);
	fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd[1] >= 0);
	close(listener);
}

void fixture_pair_open_on(struct fixture_pair *p, struct creds *client, struct creds *server,
			  const char *host, const int fd[2])
{
	memset(p, 0, sizeof(*p));
	p->client.t = creds_transport(client, fd[0], host, &p->client.err);
	assert_non_null(p->client.t);
	p->server.t = creds_transport(server, fd[1], NULL, &p->server.err);
	assert_non_null(p->server.t);
}

void fixture_pair_open(struct fixture_pair *p, struct creds *client, struct creds *server,
		       const char *host)
{
	int fd[2];

	fixture_tcp_pair(fd);
	fixture_pair_open_on(p, client, server, host, fd);
}

/* One step of an end: handshake, or a read that nothing should answer but an error. */
static int step(struct fixture_end *end)
{
	uint8_t byte;
	ssize_t n;

	if (!end->t || end->result == TRANSPORT_FAILED || end->result == TRANSPORT_EOF)
		return 0;
	if (!end->done) {
		end->result = end->t->ops->handshake(end->t, &end->err);
		end->done = end->result == 0;
		return end->done;
	}
	n = end->t->ops->read(end->t, &byte, 1, &end->err);
	end->result = n == TRANSPORT_FAILED || n == TRANSPORT_EOF ? (int)n : 0;
	return 0;
}

/* A failed end closes, as a link would; its result and its sentence stay. */
static void reap(struct fixture_end *end)
{
	if (end->t && end->result == TRANSPORT_FAILED) {
		transport_free(end->t);
		end->t = NULL;
	}
}

void fixture_pair_drive(struct fixture_pair *p)
{
	for (int turn = 0; turn < TURNS_MAX; turn++) {
		struct pollfd fds[2] = {{p->client.t ? p->client.t->fd : -1, POLLIN, 0},
					{p->server.t ? p->server.t->fd : -1, POLLIN, 0}};
		int moved = step(&p->client) + step(&p->server);

		reap(&p->client);
		reap(&p->server);
		if (!moved && poll(fds, 2, IDLE_MS) == 0)
			return;
		if (!p->client.t && !p->server.t)
			return;
	}
}

void fixture_pair_close(struct fixture_pair *p)
{
	transport_free(p->client.t);
	transport_free(p->server.t);
	memset(p, 0, sizeof(*p));
}

void fixture_assert_up(const struct fixture_pair *p)
{
	if (p->client.err.code || p->server.err.code)
		fail_msg("client: %s; server: %s", p->client.err.text, p->server.err.text);
	assert_true(p->client.done);
	assert_true(p->server.done);
	assert_int_equal(p->client.result, 0);
	assert_int_equal(p->server.result, 0);
}

void fixture_assert_failed(const struct fixture_end *end, enum err_code code, const char *words)
{
	char copy[512], *word, *rest;

	if (end->result != TRANSPORT_FAILED)
		fail_msg("did not fail (%d), but should say: %s", end->result, words);
	snprintf(copy, sizeof(copy), "%s", words);
	for (word = strtok_r(copy, "|", &rest); word; word = strtok_r(NULL, "|", &rest))
		if (!strstr(end->err.text, word))
			fail_msg("\"%s\" is not in: %s", word, end->err.text);
	if (end->err.code != code)
		fail_msg("code %s, not %s: %s", err_code_name(end->err.code), err_code_name(code),
			 end->err.text);
	if (getenv("ADIT_TEST_SHOW"))
		print_message("    %s\n", end->err.text);
}

struct creds *fixture_psk(enum creds_role role, const char *name, const char *lines)
{
	struct err e = ERR_INIT;
	struct creds *c = creds_load_psk(role, fixture_file(name, lines, 0600), NULL, &e);

	if (!c)
		fail_msg("%s", e.text);
	return c;
}

void fixture_meet(struct fixture_pair *p, struct creds *client, struct creds *server,
		  const char *host)
{
	fixture_pair_open(p, client, server, host);
	fixture_pair_drive(p);
	creds_free(client);
	creds_free(server);
}
