/*
 * What went wrong with a TLS connection, as one sentence that names the thing and
 * the mend. The same table serves the handshake and reading: in TLS 1.3 a client
 * has finished before the server has judged its certificate, so that the server's
 * alert is met by the first read.
 */
#ifndef ADIT_TUNNEL_TLS_ERROR_H
#define ADIT_TUNNEL_TLS_ERROR_H

#include <openssl/ssl.h>

#include "base/err.h"
#include "tunnel/creds_psk.h"
#include "tunnel/tls_bio.h"
#include "tunnel/tls_cert.h"

struct creds_set;

/* What a callback saw and OpenSSL's error would not say. */
enum tls_note {
	TLS_NOTE_NONE,
	TLS_NOTE_CLIENT_HAS_PSK,    /* we are an X.509 server */
	TLS_NOTE_CLIENT_HAS_NO_PSK, /* we are a PSK server */
	TLS_NOTE_UNKNOWN_IDENTITY,  /* facts.identity */
	TLS_NOTE_PEER_CERT,	    /* facts.cert_*: the verification stopped there */
	TLS_NOTE_PEER_UNNAMED,	    /* no subject, or one too long to be the peer's name */
};

/* What is known of a connection, gathered by the callbacks; SSL's application data.
 * Embedded in the transport, which owns it. */
struct tls_facts {
	const struct creds_set *set;		   /* the transport's reference */
	const char *host;			   /* what a client dialled; the transport's */
	char identity[CREDS_PSK_IDENTITY_MAX + 1]; /* the PSK identity in use, printable */
	enum tls_note note;
	int once;	/* the identity is of a one-time key */
	int done;	/* the handshake is behind us */
	int cert_error; /* X509_V_ERR_* */
	int cert_depth; /* 0 the peer's own, above: its issuers */
	char cert_subject[TLS_CERT_TEXT_MAX];
	char leaf_subject[TLS_CERT_TEXT_MAX];
	char cert_issuer[TLS_CERT_TEXT_MAX];
	char cert_hosts[TLS_CERT_TEXT_MAX];
	char cert_from[TLS_CERT_DATE_MAX], cert_until[TLS_CERT_DATE_MAX];
};

/* OpenSSL's verify callback (SSL_CTX_set_verify). Notes what OpenSSL refuses, and
 * refuses beside it a subject that cannot be a peer's name; takes what OpenSSL
 * would refuse only where the list of an issuer above the first is missing. */
int tls_error_on_verify(int ok, X509_STORE_CTX *store);

/* Sets *e after a call failed whose SSL_get_error was SSL_ERROR_SSL or
 * SSL_ERROR_SYSCALL. Empties OpenSSL's queue of errors. Returns the code. */
int tls_error_explain(struct err *e, SSL *ssl, const struct tls_facts *facts,
		      const struct tls_bio *io);

#endif
