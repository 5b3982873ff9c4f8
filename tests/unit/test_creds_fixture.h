/*
 * For the tests of credentials and transports: certificates made on the spot, PSK
 * files, and pairs of transports over a loopback connection, driven by hand.
 * Whatever fails here fails the test.
 */
#ifndef ADIT_TESTS_CREDS_FIXTURE_H
#define ADIT_TESTS_CREDS_FIXTURE_H

#include <openssl/x509.h>

#include "tunnel/creds.h"
#include "tunnel/transport.h"

/* A fresh folder, removed at exit; and one below it. Both are static for the run. */
const char *fixture_dir(void);
const char *fixture_subdir(const char *name);

/* Writes text to DIR/name with mode; returns the path (static, of the last eight). */
const char *fixture_file(const char *name, const char *text, unsigned mode);

struct fixture_ca {
	X509 *cert;
	EVP_PKEY *key;
};

struct fixture_cert {
	const char *subject;  /* common name */
	const char *alt;      /* subjectAltName, "DNS:a,IP:::1", or NULL */
	const char *usage;    /* extendedKeyUsage, or NULL */
	long from_s, until_s; /* from now; both 0: an hour around */
};

struct fixture_ca fixture_ca_new(const char *name);
void fixture_ca_free(struct fixture_ca *ca);

/* Makes a certificate of ca with a key of its own. */
void fixture_cert_new(const struct fixture_ca *ca, const struct fixture_cert *spec, X509 **cert,
		      EVP_PKEY **key);

/* Writes DIR/ROLE-cert.pem, DIR/ROLE-key.pem. */
void fixture_write_cert(const char *dir, const char *role, X509 *cert, EVP_PKEY *key);
void fixture_write_ca(const char *dir, const struct fixture_ca *ca);
/* A revocation list of ca with cert on it (NULL: an empty one), good from from_s
 * to until_s from now (both 0: an hour around). */
void fixture_write_crl(const char *dir, const struct fixture_ca *ca, X509 *cert, long from_s,
		       long until_s);

/* A folder name with everything for role, from ca, trusting trust. */
const char *fixture_x509(const char *name, const char *role, const struct fixture_ca *ca,
			 const struct fixture_ca *trust, const struct fixture_cert *spec);

/* Has c show another certificate than the one that it loaded, unchecked. */
void fixture_swap_cert(struct creds *c, X509 *cert, EVP_PKEY *key);

/* Credentials from a PSK file that is written with these lines. */
struct creds *fixture_psk(enum creds_role role, const char *name, const char *lines);

/* A connected pair over loopback TCP. */
void fixture_tcp_pair(int fd[2]);

struct fixture_end {
	struct transport *t;
	int result; /* of the handshake, and then of a read: 0 while all is well */
	struct err err;
	int done;
};

struct fixture_pair {
	struct fixture_end client, server;
};

/* Two transports over the connected fd[0] and fd[1], or over loopback TCP. */
void fixture_pair_open_on(struct fixture_pair *p, struct creds *client, struct creds *server,
			  const char *host, const int fd[2]);
void fixture_pair_open(struct fixture_pair *p, struct creds *client, struct creds *server,
		       const char *host);

/* Drives their handshake, and reads that nothing should answer, until both have ended
 * or neither goes on. */
void fixture_pair_drive(struct fixture_pair *p);
void fixture_pair_close(struct fixture_pair *p);

/* Opens p, drives it, and gives back the references to the credentials. */
void fixture_meet(struct fixture_pair *p, struct creds *client, struct creds *server,
		  const char *host);

/* Both ends' handshakes are done and neither failed. */
void fixture_assert_up(const struct fixture_pair *p);

/* The end failed with a code and a sentence that has each of the words, "a|b|c". */
void fixture_assert_failed(const struct fixture_end *end, enum err_code code, const char *words);

#endif
