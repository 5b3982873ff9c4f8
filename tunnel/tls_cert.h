/* What a sentence says about a certificate, as text. Nothing here decides anything. */
#ifndef ADIT_TUNNEL_TLS_CERT_H
#define ADIT_TUNNEL_TLS_CERT_H

#include <openssl/x509.h>
#include <stddef.h>

enum {
	TLS_CERT_TEXT_MAX = 128, /* of what a sentence says */
	TLS_CERT_DATE_MAX = 32,
	TLS_CERT_NAME_MAX = 250, /* of a subject that names a peer ("x509:" and it) */
};

/* The name as RFC 2253 writes it (control and non-ASCII bytes escaped). Returns
 * its whole length, which is size or more when it was cut; -1 without memory. */
int tls_cert_name(const X509_NAME *name, char *buf, size_t size);

/* The host names and addresses that a certificate is for, "a, b, 10.0.0.1"; the
 * common name when it has none; "no name". Cut at size. Returns buf. */
char *tls_cert_hosts(X509 *cert, char *buf, size_t size);

/* "2026-08-25 12:00:00 UTC". Returns buf, of TLS_CERT_DATE_MAX bytes. */
char *tls_cert_date(const ASN1_TIME *t, char *buf);

#endif
