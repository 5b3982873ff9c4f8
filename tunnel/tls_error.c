/*
 * Sentences for what goes wrong in TLS: see tls_error.h. In order: what we found
 * wrong with the peer ourselves, what its alert says, what its first bytes show,
 * how the connection ended. No secret gets here.
 */
#include "tunnel/tls_error.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "tunnel/creds_impl.h"

enum { ALERT_NONE = -1 };

static const char *peer_name(const struct tls_facts *f)
{
	return f->set->role == CREDS_CLIENT ? "server" : "client";
}

static const char *own_name(const struct tls_facts *f)
{
	return f->set->role == CREDS_CLIENT ? "client" : "server";
}

static void note_cert(struct tls_facts *f, X509_STORE_CTX *store)
{
	X509 *cert = X509_STORE_CTX_get_current_cert(store);

	f->note = TLS_NOTE_PEER_CERT;
	f->cert_error = X509_STORE_CTX_get_error(store);
	f->cert_depth = X509_STORE_CTX_get_error_depth(store);
	if (!cert)
		return;
	tls_cert_name(X509_get_subject_name(cert), f->cert_subject, sizeof(f->cert_subject));
	tls_cert_name(X509_get_issuer_name(cert), f->cert_issuer, sizeof(f->cert_issuer));
	tls_cert_date(X509_get0_notBefore(cert), f->cert_from);
	tls_cert_date(X509_get0_notAfter(cert), f->cert_until);
	/* What the chain broke at may be its CA; the peer is the leaf. */
	cert = X509_STORE_CTX_get0_cert(store);
	tls_cert_name(X509_get_subject_name(cert), f->leaf_subject, sizeof(f->leaf_subject));
	tls_cert_hosts(cert, f->cert_hosts, sizeof(f->cert_hosts));
}

/* OpenSSL takes a certificate that does not say what it is for as one for everything. */
static int check_purpose(struct tls_facts *f, X509_STORE_CTX *store)
{
	X509 *cert = X509_STORE_CTX_get_current_cert(store);

	if (X509_get_extension_flags(cert) & EXFLAG_XKUSAGE)
		return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
	note_cert(f, store);
	return 0;
}

/* The subject names the peer to rules and logs: it must be there, and whole. */
static int check_name(struct tls_facts *f, X509_STORE_CTX *store)
{
	X509 *cert = X509_STORE_CTX_get_current_cert(store);
	char text[TLS_CERT_NAME_MAX + 1];
	int len = tls_cert_name(X509_get_subject_name(cert), text, sizeof(text));

	if (len <= TLS_CERT_NAME_MAX && (len > 0 || (len == 0 && f->set->role == CREDS_CLIENT)))
		return 1;
	f->note = TLS_NOTE_PEER_UNNAMED;
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
	return 0;
}

int tls_error_on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());

	if (ok && X509_STORE_CTX_get_error_depth(store) == 0)
		return check_purpose(SSL_get_app_data(ssl), store) &&
		       check_name(SSL_get_app_data(ssl), store);
	if (ok)
		return 1;
	/* ca-crl.pem lists what the CA itself revoked; a root has no list above it. */
	if (X509_STORE_CTX_get_error(store) == X509_V_ERR_UNABLE_TO_GET_CRL &&
	    X509_STORE_CTX_get_error_depth(store) > 0) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	note_cert(SSL_get_app_data(ssl), store);
	return 0;
}

/* We refused the peer's certificate. */
static int explain_cert(struct err *e, const struct tls_facts *f)
{
	const char *peer = peer_name(f), *dir = f->set->where;
	char whose[TLS_CERT_TEXT_MAX + 32] = "";

	if (f->set->kind == CREDS_PSK)
		return err_set(
		    e, ERR_AUTH,
		    "The server did not take our PSK and showed a certificate: it was started "
		    "with --tls-creds, so give --tls-creds here too, or --psk there");
	if (f->cert_depth)
		snprintf(whose, sizeof(whose), " has an issuer (%s) that", f->cert_subject);
	switch (f->cert_error) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		return err_set(
		    e, ERR_AUTH,
		    "The %s's certificate (%s) is from an issuer that is not trusted here "
		    "(%s): its CA must be in %s/ca-cert.pem",
		    peer, f->leaf_subject, f->cert_issuer, dir);
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return err_set(e, ERR_AUTH,
			       "The %s's certificate (%s)%s expired on %s: renew it there", peer,
			       f->leaf_subject, whose, f->cert_until);
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return err_set(
		    e, ERR_AUTH,
		    "The %s's certificate (%s)%s is not valid before %s: are the clocks of "
		    "both hosts right?",
		    peer, f->leaf_subject, whose, f->cert_from);
	case X509_V_ERR_CERT_REVOKED:
		return err_set(
		    e, ERR_AUTH,
		    "The %s's certificate (%s)%s was revoked (%s/ca-crl.pem): it needs a new "
		    "one",
		    peer, f->leaf_subject, whose, dir);
	case X509_V_ERR_UNABLE_TO_GET_CRL:
		return err_set(
		    e, ERR_AUTH,
		    "%s/ca-crl.pem has no list of the issuer (%s) of the %s's certificate: add "
		    "it, or remove the file",
		    dir, f->cert_issuer, peer);
	case X509_V_ERR_CRL_HAS_EXPIRED:
	case X509_V_ERR_CRL_NOT_YET_VALID:
		return err_set(
		    e, ERR_AUTH,
		    "%s/ca-crl.pem is out of date, so the %s's certificate cannot be checked: "
		    "fetch a new one from the CA",
		    dir, peer);
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return err_set(
		    e, ERR_AUTH,
		    "The server's certificate is for %s, not for %s: use the name that is in "
		    "it, or give the server one with this name",
		    f->cert_hosts, f->host);
	case X509_V_ERR_INVALID_PURPOSE:
		if (f->cert_depth)
			break;
		return err_set(
		    e, ERR_AUTH,
		    "The %s's certificate (%s) is not made for a TLS %s: its extended key "
		    "usage must have %s",
		    peer, f->cert_subject, peer,
		    f->set->role == CREDS_CLIENT ? "serverAuth" : "clientAuth");
	default:
		break;
	}
	return err_set(e, ERR_AUTH, "The %s's certificate (%s)%s is refused: %s", peer,
		       f->leaf_subject, whose, X509_verify_cert_error_string(f->cert_error));
}

/* The peer's alert, where PSK is what we have. Returns 0 when it says nothing particular. */
static int explain_alert_psk(struct err *e, const struct tls_facts *f, int alert)
{
	if (f->set->role != CREDS_CLIENT || f->done)
		return 0;
	switch (alert) {
	case SSL_AD_UNKNOWN_PSK_IDENTITY:
		return err_set(
		    e, ERR_AUTH,
		    "The server does not know the PSK identity \"%s\": add its line from %s "
		    "to the server's PSK file",
		    f->set->own->identity, f->set->where);
	case SSL_AD_ILLEGAL_PARAMETER: /* OpenSSL's word for it */
	case SSL_AD_DECRYPT_ERROR:     /* and GnuTLS's */
		return err_set(
		    e, ERR_AUTH,
		    "The server has another key for the PSK identity \"%s\" than %s: both "
		    "sides need the same line",
		    f->set->own->identity, f->set->where);
	case SSL_AD_HANDSHAKE_FAILURE:
		return err_set(
		    e, ERR_AUTH,
		    "The server does not take a PSK: it was started with --tls-creds, so give "
		    "--tls-creds here too, or --psk there");
	default:
		return 0;
	}
}

/* The peer's alert, where certificates are what we have. */
static int explain_alert_x509(struct err *e, SSL *ssl, const struct tls_facts *f, int alert)
{
	const char *peer = peer_name(f), *own = own_name(f), *dir = f->set->where;
	X509 *cert = SSL_get_certificate(ssl);
	char text[TLS_CERT_TEXT_MAX] = "", date[TLS_CERT_DATE_MAX] = "";

	switch (alert) {
	case SSL_AD_UNKNOWN_CA:
		if (cert)
			tls_cert_name(X509_get_issuer_name(cert), text, sizeof(text));
		return err_set(
		    e, ERR_AUTH,
		    "The %s does not trust the issuer (%s) of our %s/%s-cert.pem: that CA must "
		    "be in the %s's ca-cert.pem",
		    peer, text, dir, own, peer);
	case SSL_AD_CERTIFICATE_EXPIRED:
		if (cert)
			tls_cert_date(X509_get0_notAfter(cert), date);
		return err_set(
		    e, ERR_AUTH,
		    "The %s says that our %s/%s-cert.pem (valid until %s) or its revocation "
		    "list has expired: renew it, and look at both hosts' clocks",
		    peer, dir, own, date);
	case SSL_AD_CERTIFICATE_REVOKED:
		return err_set(
		    e, ERR_AUTH,
		    "The %s says that our %s/%s-cert.pem was revoked: get a new one from the CA",
		    peer, dir, own);
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
		return err_set(e, ERR_AUTH,
			       "The %s says that our %s/%s-cert.pem is not made for a TLS %s: its "
			       "extended key usage must have %s",
			       peer, dir, own, own,
			       f->set->role == CREDS_CLIENT ? "clientAuth" : "serverAuth");
	case SSL_AD_CERTIFICATE_REQUIRED:
		return err_set(e, ERR_AUTH,
			       "The server asks for a client certificate and we showed none: "
			       "%s/client-cert.pem and client-key.pem must be there",
			       dir);
	case SSL_AD_BAD_CERTIFICATE:
		if (cert) {
			tls_cert_hosts(cert, text, sizeof(text));
			tls_cert_date(X509_get0_notBefore(cert), date);
		}
		if (f->set->role == CREDS_SERVER)
			return err_set(
			    e, ERR_AUTH,
			    "The client refuses our %s/server-cert.pem: most often it dialled "
			    "a name that is not in it (it is for %s), or its clock is before %s",
			    dir, text, date);
		return err_set(
		    e, ERR_AUTH,
		    "The server refuses our %s/client-cert.pem: is its clock before %s, when "
		    "the certificate begins? The server's log has more",
		    dir, date);
	case SSL_AD_DECRYPT_ERROR:
		return err_set(e, ERR_AUTH,
			       "The %s cannot verify the signature made with our %s/%s-key.pem",
			       peer, dir, own);
	case SSL_AD_HANDSHAKE_FAILURE:
	case SSL_AD_MISSING_EXTENSION:
	case SSL_AD_UNKNOWN_PSK_IDENTITY:
		if (f->set->role != CREDS_CLIENT || f->done)
			return 0;
		return err_set(
		    e, ERR_AUTH,
		    "The server does not take certificates: it was started with --psk, so "
		    "give --psk here too, or --tls-creds there");
	default:
		return 0;
	}
}

static int explain_alert(struct err *e, SSL *ssl, const struct tls_facts *f, int alert)
{
	const char *peer = peer_name(f);
	int r;

	if (alert == SSL_AD_PROTOCOL_VERSION)
		return err_set(
		    e, ERR_PROTOCOL,
		    "The %s does not speak TLS 1.3, which adit needs: is this the port of adit?",
		    peer);
	r = f->set->kind == CREDS_PSK ? explain_alert_psk(e, f, alert)
				      : explain_alert_x509(e, ssl, f, alert);
	if (r)
		return r;
	return err_set(e, f->done ? ERR_PROTOCOL : ERR_AUTH,
		       "The %s ended the TLS connection with the alert \"%s\": its log may say why",
		       peer, SSL_alert_desc_string_long(alert));
}

/* What we refused in a handshake, by OpenSSL's reason. */
static int explain_reason(struct err *e, const struct tls_facts *f, int reason)
{
	const char *peer = peer_name(f), *text;

	switch (reason) {
	case SSL_R_BINDER_DOES_NOT_VERIFY:
		return err_set(
		    e, ERR_AUTH,
		    "The client has another key for the PSK identity \"%s\" than %s: both "
		    "sides need the same line",
		    f->identity, f->set->where);
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return err_set(e, ERR_AUTH,
			       "The client showed no certificate: it needs client-cert.pem and "
			       "client-key.pem from a CA in %s/ca-cert.pem",
			       f->set->where);
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_NO_PROTOCOLS_AVAILABLE:
	case SSL_R_WRONG_SSL_VERSION:
		return err_set(e, ERR_PROTOCOL,
			       "The %s does not speak TLS 1.3, which adit needs: is it an adit?",
			       peer);
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_NO_SUITABLE_GROUPS:
		return err_set(
		    e, ERR_PROTOCOL,
		    "The %s and we have no TLS 1.3 cipher or key exchange in common%s", peer,
		    f->set->kind == CREDS_PSK ? " (a PSK needs (EC)DHE and a cipher with SHA-256)"
					      : "");
	case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
	case SSL_R_BAD_RECORD_TYPE:
	case SSL_R_BAD_LENGTH:
		if (f->done)
			return err_set(e, ERR_PROTOCOL,
				       "A TLS record from the %s was damaged on its way, or forged",
				       peer);
		break;
	default:
		break;
	}
	text = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason));
	return err_set(e, ERR_PROTOCOL, "TLS with the %s failed: %s", peer,
		       text ? text : "unknown error");
}

static int explain_note(struct err *e, const struct tls_facts *f)
{
	switch (f->note) {
	case TLS_NOTE_CLIENT_HAS_PSK:
		return err_set(
		    e, ERR_AUTH,
		    "The client comes with a PSK, and this side takes certificates: give "
		    "--tls-creds there too, or --psk here");
	case TLS_NOTE_CLIENT_HAS_NO_PSK:
		return err_set(
		    e, ERR_AUTH,
		    "The client comes without a PSK, and this side takes nothing else: give "
		    "--psk there too, or --tls-creds here");
	case TLS_NOTE_UNKNOWN_IDENTITY:
		return err_set(e, ERR_AUTH,
			       "The client's PSK identity \"%s\" is not in %s: add its line there",
			       f->identity, f->set->where);
	case TLS_NOTE_PEER_UNNAMED:
		return err_set(
		    e, ERR_AUTH,
		    "The %s's certificate has no subject to name it by, or one of more than "
		    "%d bytes",
		    peer_name(f), TLS_CERT_NAME_MAX);
	case TLS_NOTE_NONE:
	case TLS_NOTE_PEER_CERT:
		break;
	}
	return 0;
}

/* The connection ended, and TLS had not said farewell. */
static int explain_end(struct err *e, const struct tls_facts *f, const struct tls_bio *io)
{
	int why = io->recv_errno ? io->recv_errno : io->out.reset_errno;
	const char *peer = peer_name(f);
	const char *how = why ? "reset" : "closed";

	if (why && why != ECONNRESET && why != EPIPE) {
		err_set_sys(e, why, "The connection to the %s broke", peer);
		if (e)
			e->code = ERR_CLOSED;
		return ERR_CLOSED;
	}
	if (f->done)
		return err_set(
		    e, ERR_CLOSED,
		    "The %s %s the connection without a farewell: its adit or its host has "
		    "gone, or something in between cut it",
		    peer, how);
	if (f->set->role == CREDS_CLIENT)
		return err_set(
		    e, ERR_CLOSED,
		    "The server %s the connection in the middle of the handshake%s: is this "
		    "the port of adit, and has the server room for one more? Its log may say "
		    "why",
		    how, io->received_bytes ? "" : " without a word");
	return err_set(
	    e, ERR_CLOSED,
	    "The client %s the connection in the middle of the handshake%s: it gave up, was "
	    "stopped, or only probed the port",
	    how, io->received_bytes ? "" : " without a word");
}

int tls_error_explain(struct err *e, SSL *ssl, const struct tls_facts *f, const struct tls_bio *io)
{
	unsigned long first = ERR_get_error();
	int lib = ERR_GET_LIB(first), reason = ERR_GET_REASON(first), r;

	ERR_clear_error();
	if (!f->done && f->note != TLS_NOTE_NONE && (r = explain_note(e, f)) != 0)
		return r;
	if (io->flooded && !f->done)
		return err_set(e, ERR_LIMIT,
			       "The %s sent more than %d TLS records in its handshake",
			       peer_name(f), TLS_BIO_EARLY_MAX);
	if (io->flooded)
		return err_set(e, ERR_LIMIT,
			       "The %s sent more than %d TLS records without data (KeyUpdate, for "
			       "one), which adit never does",
			       peer_name(f), TLS_BIO_IDLE_MAX);
	/* What OpenSSL's queue begins with may be what its verification stumbled over. */
	if (!f->done && f->note == TLS_NOTE_PEER_CERT)
		return explain_cert(e, f);
	if (first && lib == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET &&
	    reason <= SSL_AD_REASON_OFFSET + 255)
		return explain_alert(e, ssl, f, reason - SSL_AD_REASON_OFFSET);
	if (io->foreign)
		return sniff_explain(e, peer_name(f), 1, io->first, io->first_len);
	if (io->short_of_memory)
		return err_set(e, ERR_LIMIT, "No memory for the connection's buffers");
	if (io->eof || io->recv_errno)
		return explain_end(e, f, io);
	if (first && lib == ERR_LIB_SSL)
		return explain_reason(e, f, reason);
	return err_set(e, ERR_PROTOCOL, "TLS with the %s failed: %s", peer_name(f),
		       first ? ERR_reason_error_string(first) : "no reason given");
}
