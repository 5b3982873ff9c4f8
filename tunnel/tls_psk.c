/*
 * External PSKs with (EC)DHE: see tls_psk.h. A server looks at the ClientHello
 * itself, before OpenSSL does, so that each way of not belonging together has an
 * alert of its own and the other end can say what is wrong:
 *
 *   unknown_psk_identity  the file has no such identity
 *   missing_extension     the client came without a PSK, and we take nothing else
 *   handshake_failure     the client came with a PSK, and we take certificates
 *   (a wrong key is OpenSSL's to find: illegal_parameter)
 *
 * Keys are bound to SHA-256, which is what external keys have by default, and so
 * only ciphersuites with SHA-256 can be used with them.
 */
#include "tunnel/tls_psk.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/wire.h"
#include "tunnel/creds_impl.h"
#include "tunnel/creds_once.h"
#include "tunnel/creds_psk.h"
#include "tunnel/tls_error.h"

#define PSK_CIPHERSUITES "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"

static const unsigned char suite_id[2] = {0x13, 0x01}; /* TLS_AES_128_GCM_SHA256 */

/* A session that stands for a key, or NULL. */
static SSL_SESSION *make_session(SSL *ssl, const struct creds_psk_key *k)
{
	const SSL_CIPHER *suite = SSL_CIPHER_find(ssl, suite_id);
	SSL_SESSION *session = SSL_SESSION_new();

	if (suite && session && SSL_SESSION_set1_master_key(session, k->key, k->key_len_bytes) &&
	    SSL_SESSION_set_cipher(session, suite) &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

static int on_client_session(SSL *ssl, const EVP_MD *md, const unsigned char **identity,
			     size_t *identity_len, SSL_SESSION **session)
{
	struct tls_facts *facts = SSL_get_app_data(ssl);
	const struct creds_psk_key *k = facts->set->own;

	*session = NULL;
	*identity = NULL;
	*identity_len = 0;
	if (md && !EVP_MD_is_a(md, "SHA256"))
		return 1; /* no PSK: the server has none for us, and we refuse it later */
	*session = make_session(ssl, k);
	if (!*session)
		return 0;
	*identity = (const unsigned char *)k->identity;
	*identity_len = k->identity_len;
	return 1;
}

/* The key of an identity, of those from the file or of the one-time ones (copied to *room;
 * wipe it), or NULL. */
static const struct creds_psk_key *find(const struct creds_set *set, const unsigned char *identity,
					size_t len, struct creds_psk_key *room)
{
	const struct creds_psk_key *k = set->psk ? creds_psk_find(set->psk, identity, len) : NULL;

	if (!k && set->once && creds_once_find(set->once, identity, len, room))
		k = room;
	return k;
}

static int on_server_session(SSL *ssl, const unsigned char *identity, size_t identity_len,
			     SSL_SESSION **session)
{
	struct tls_facts *facts = SSL_get_app_data(ssl);
	struct creds_psk_key room;
	const struct creds_psk_key *k = find(facts->set, identity, identity_len, &room);

	*session = NULL;
	if (!k)
		return 1;
	*session = make_session(ssl, k);
	facts->once = k == &room;
	snprintf(facts->identity, sizeof(facts->identity), "%s", k->identity);
	if (facts->once)
		OPENSSL_cleanse(&room, sizeof(room));
	return *session != NULL;
}

/* Whether the ClientHello offers TLS 1.3; one that does not has no PSK either, and
 * is left to OpenSSL to refuse. */
static int offers_tls13(SSL *ssl)
{
	const unsigned char *ext;
	size_t len;

	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &ext, &len))
		return 0;
	for (size_t i = 1; i + 1 < len; i += 2)
		if (wire_get16(ext + i) == TLS1_3_VERSION)
			return 1;
	return 0;
}

/* Whether the extension names an identity that we know; the first that it names is
 * noted. Format: u16 length of all, then each u16 length, bytes, u32 age. */
static int knows_one(struct tls_facts *facts, const unsigned char *ext, size_t len)
{
	size_t end, at = 2, id_len;
	struct creds_psk_key room;

	if (len < 2)
		return 0;
	end = (size_t)wire_get16(ext) + 2;
	if (end > len)
		return 0;
	while (end - at >= 2) {
		id_len = wire_get16(ext + at);
		at += 2;
		if (end - at < id_len + 4)
			return 0;
		if (at == 4) {
			snprintf(facts->identity, sizeof(facts->identity), "%.*s", (int)id_len,
				 (const char *)ext + at);
			err_printable(facts->identity);
		}
		if (find(facts->set, ext + at, id_len, &room)) {
			OPENSSL_cleanse(&room, sizeof(room));
			return 1;
		}
		at += id_len + 4;
	}
	return 0;
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls_facts *facts = SSL_get_app_data(ssl);
	const unsigned char *ext;
	size_t len;
	int has;

	(void)arg;
	if (!offers_tls13(ssl))
		return SSL_CLIENT_HELLO_SUCCESS;
	has = SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &ext, &len);
	if (facts->set->kind == CREDS_X509) {
		if (!has || knows_one(facts, ext, len))
			return SSL_CLIENT_HELLO_SUCCESS;
		facts->note = TLS_NOTE_CLIENT_HAS_PSK;
		*alert = SSL_AD_HANDSHAKE_FAILURE;
		return SSL_CLIENT_HELLO_ERROR;
	}
	if (!has) {
		facts->note = TLS_NOTE_CLIENT_HAS_NO_PSK;
		*alert = SSL_AD_MISSING_EXTENSION;
		return SSL_CLIENT_HELLO_ERROR;
	}
	if (!knows_one(facts, ext, len)) {
		facts->note = TLS_NOTE_UNKNOWN_IDENTITY;
		*alert = SSL_AD_UNKNOWN_PSK_IDENTITY;
		return SSL_CLIENT_HELLO_ERROR;
	}
	return SSL_CLIENT_HELLO_SUCCESS;
}

int tls_psk_setup(struct creds_set *set, struct err *e)
{
	if (!SSL_CTX_set_ciphersuites(set->ctx, PSK_CIPHERSUITES))
		return err_set(e, ERR_SYSTEM, "OpenSSL here lacks the ciphersuites %s",
			       PSK_CIPHERSUITES);
	if (set->role == CREDS_CLIENT) {
		/* Whatever certificate comes instead of the key is refused: none is trusted. */
		SSL_CTX_set_verify(set->ctx, SSL_VERIFY_PEER, tls_error_on_verify);
		SSL_CTX_set_psk_use_session_callback(set->ctx, on_client_session);
	} else {
		SSL_CTX_set_client_hello_cb(set->ctx, on_client_hello, NULL);
		SSL_CTX_set_psk_find_session_callback(set->ctx, on_server_session);
	}
	return 0;
}

void tls_psk_setup_x509_server(struct creds_set *set)
{
	static const unsigned char context[] = "adit";

	/* One-time keys; OpenSSL takes none beside certificates without a context. */
	SSL_CTX_set_session_id_context(set->ctx, context, sizeof(context) - 1);
	SSL_CTX_set_psk_find_session_callback(set->ctx, on_server_session);
	SSL_CTX_set_client_hello_cb(set->ctx, on_client_hello, NULL);
}
