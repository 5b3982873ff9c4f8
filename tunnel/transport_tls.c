/*
 * Transport `tls`: TLS 1.3 with OpenSSL, over buffers of its own (tls_bio.h). Does
 * no renegotiation, tickets, early data or compression, and nothing below 1.3. The
 * struct is owned by whoever holds the transport.
 *
 * An error is made into its sentence once, where it is met, and kept: data that
 * came before it is given out first, and every later call fails with it again.
 */
#include "tunnel/transport_tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tunnel/creds_impl.h"
#include "tunnel/creds_once.h"
#include "tunnel/tls_bio.h"
#include "tunnel/tls_error.h"

/* Above this much in the output buffer, reading waits for a flush: answers to what
 * the peer sends (KeyUpdate) must not pile up when it does not read. */
enum { ANSWERS_MAX = 2 * TRANSPORT_UNSENT_MAX };

/* Records a read: small ones are many, and others have a turn, too. */
enum { RECORDS_MAX = 64 };

struct transport_tls {
	struct transport t;
	struct creds_set *set;
	SSL *ssl;
	struct tls_bio io;
	struct tls_facts facts;
	char host[256];
	int counted; /* the record whose message comes next */
	int eof;     /* close_notify came */
	int told;    /* the end, or the failure, was returned */
	struct err failed;
};

static struct transport_tls *self(struct transport *t)
{
	return (struct transport_tls *)t;
}

static int fail(struct transport_tls *tls, struct err *e)
{
	if (e)
		*e = tls->failed;
	tls->told = 1;
	return TRANSPORT_FAILED;
}

/* A last word to a peer that does not speak TLS, or not yet: the alert
 * protocol_version in the clear, by which a plain adit knows what it has met. */
static void say_tls(struct transport_tls *tls)
{
	static const uint8_t alert[] = {0x15, 3, 3, 0, 2, 2, SSL_AD_PROTOCOL_VERSION};

	outbuf_append(&tls->io.out, alert, sizeof(alert));
}

/* The connection is broken: the sentence, and OpenSSL's alert out to the peer. */
static void break_down(struct transport_tls *tls)
{
	tls_error_explain(&tls->failed, tls->ssl, &tls->facts, &tls->io);
	if (tls->io.foreign && tls->set->role == CREDS_SERVER)
		say_tls(tls);
	outbuf_end(&tls->io.out);
	outbuf_flush(&tls->io.out, tls->t.fd, NULL);
	tls->t.unsent = tls->io.out.len;
}

/* The peer's subject, which rules are written for. That it is there and fits was
 * seen to when the certificate was verified. */
static int name_x509_peer(struct transport_tls *tls)
{
	char name[TLS_CERT_NAME_MAX + 1];
	X509 *cert = SSL_get0_peer_certificate(tls->ssl);

	if (!cert || SSL_get_verify_result(tls->ssl) != X509_V_OK ||
	    tls_cert_name(X509_get_subject_name(cert), name, sizeof(name)) < 0)
		return err_set(&tls->failed, ERR_AUTH, "The peer's certificate was not verified");
	snprintf(tls->t.peer, sizeof(tls->t.peer), "x509:%.*s", TLS_CERT_NAME_MAX,
		 name[0] ? name : tls->host);
	err_printable(tls->t.peer);
	return 0;
}

static int name_psk_peer(struct transport_tls *tls)
{
	const struct creds_set *set = tls->set;

	if (!SSL_session_reused(tls->ssl))
		return err_set(&tls->failed, ERR_AUTH,
			       "The %s did not use the PSK: it is not one that has the key",
			       set->role == CREDS_CLIENT ? "server" : "client");
	if (tls->facts.once) {
		if (!creds_once_take(set->once, tls->facts.identity, tls->t.peer))
			return err_set(&tls->failed, ERR_AUTH,
				       "The client came with a one-time key that was used already");
		return 0;
	}
	snprintf(tls->t.peer, sizeof(tls->t.peer), "psk:%s",
		 set->own ? set->own->identity : tls->facts.identity);
	return 0;
}

/* OpenSSL has finished: what is left to check, and who it is. */
static int finish(struct transport_tls *tls)
{
	int psk = tls->set->kind == CREDS_PSK || tls->facts.once;
	int r = psk ? name_psk_peer(tls) : name_x509_peer(tls);

	if (r)
		return r;
	snprintf(tls->t.cipher, sizeof(tls->t.cipher), "%s %s", SSL_get_version(tls->ssl),
		 SSL_get_cipher_name(tls->ssl));
	tls->facts.done = 1;
	return 0;
}

static int tls_flush(struct transport *t, struct err *e)
{
	struct transport_tls *tls = self(t);
	int r;

	if (err_is_set(&tls->failed))
		return fail(tls, e);
	r = outbuf_flush(&tls->io.out, t->fd, &tls->failed);
	t->unsent = tls->io.out.len;
	return r == TRANSPORT_FAILED ? fail(tls, e) : r;
}

static int do_handshake(struct transport *t, struct err *e)
{
	struct transport_tls *tls = self(t);
	int r, want = 0;

	if (err_is_set(&tls->failed))
		return fail(tls, e);
	if (!tls->facts.done) {
		tls_bio_turn(&tls->io);
		ERR_clear_error();
		r = SSL_do_handshake(tls->ssl);
		if (r == 1) {
			if (finish(tls) != 0) {
				outbuf_end(&tls->io.out);
				return fail(tls, e);
			}
		} else if (SSL_get_error(tls->ssl, r) == SSL_ERROR_WANT_READ) {
			want = TRANSPORT_WANT_READ;
		} else {
			break_down(tls);
			return fail(tls, e);
		}
	}
	r = tls_flush(t, e);
	return r != 0 ? r : want;
}

static int tls_handshake(struct transport *t, struct err *e)
{
	uint64_t begun_us = clock_cpu_us();
	int r = do_handshake(t, e);

	t->handshake_us += clock_cpu_us() - begun_us;
	return r;
}

/* OpenSSL has opened a record, or taken a message of a handshake's kind. Those with data are
 * counted when they are read. A message counts as the record that brought it; of several in one,
 * each. */
static void on_record(int write, int version, int type, const void *buf, size_t len, SSL *ssl,
		      void *arg)
{
	struct transport_tls *tls = arg;

	(void)version;
	(void)ssl;
	if (write)
		return;
	if (!tls->facts.done) {
		if (type == SSL3_RT_HEADER)
			tls_bio_count_early(&tls->io);
	} else if (type == SSL3_RT_INNER_CONTENT_TYPE && len == 1 &&
		   *(const uint8_t *)buf != SSL3_RT_APPLICATION_DATA) {
		tls->counted = 1;
		tls_bio_count(&tls->io, 0);
	} else if (type == SSL3_RT_HANDSHAKE) {
		if (!tls->counted)
			tls_bio_count(&tls->io, 0);
		tls->counted = 0;
	}
}

/* Fills buf as far as it goes without waiting. Bytes read; *end is 0, or why it
 * stopped before buf was full. */
static size_t read_some(struct transport_tls *tls, uint8_t *buf, size_t size, int *end)
{
	unsigned records = 0;
	size_t got = 0, n;

	*end = 0;
	while (got < size && records < RECORDS_MAX) {
		if (SSL_read_ex(tls->ssl, buf + got, size - got, &n)) {
			got += n;
			records++;
			tls_bio_count(&tls->io, n);
			continue;
		}
		switch (SSL_get_error(tls->ssl, 0)) {
		case SSL_ERROR_WANT_READ:
			*end = TRANSPORT_WANT_READ;
			return got;
		case SSL_ERROR_ZERO_RETURN:
			tls->eof = 1;
			*end = TRANSPORT_EOF;
			return got;
		default:
			break_down(tls);
			*end = TRANSPORT_FAILED;
			return got;
		}
	}
	return got;
}

static ssize_t tls_read(struct transport *t, uint8_t *buf, size_t size, struct err *e)
{
	struct transport_tls *tls = self(t);
	size_t before, got;
	int r, end;

	if (err_is_set(&tls->failed))
		return fail(tls, e);
	if (tls->eof) {
		tls->told = 1;
		return TRANSPORT_EOF;
	}
	if (size == 0)
		return 0;
	if (tls->io.out.len > ANSWERS_MAX && (r = tls_flush(t, e)) != 0)
		return r;
	before = tls->io.out.len;
	tls_bio_turn(&tls->io);
	ERR_clear_error();
	got = read_some(tls, buf, size, &end);
	t->unsent = tls->io.out.len;
	if (tls->io.out.len > before && end != TRANSPORT_FAILED) {
		outbuf_flush(&tls->io.out, t->fd, NULL);
		t->unsent = tls->io.out.len;
	}
	if (got)
		return (ssize_t)got;
	tls->told = end != TRANSPORT_WANT_READ;
	return end == TRANSPORT_FAILED ? fail(tls, e) : end;
}

static int tls_write(struct transport *t, const uint8_t *data, size_t len, struct err *e)
{
	struct transport_tls *tls = self(t);
	size_t n;

	if (err_is_set(&tls->failed))
		return fail(tls, e);
	if (len == 0)
		return 0;
	ERR_clear_error();
	if (!SSL_write_ex(tls->ssl, data, len, &n) || n != len) {
		break_down(tls);
		return fail(tls, e);
	}
	t->unsent = tls->io.out.len;
	return 0;
}

static int tls_pending(const struct transport *t)
{
	const struct transport_tls *tls = (const struct transport_tls *)t;

	if (tls->eof || err_is_set(&tls->failed))
		return !tls->told;
	return tls->io.in_len > 0 || SSL_pending(tls->ssl) > 0;
}

/* Not even opened: that is what costs. */
static ssize_t tls_forget(struct transport *t, uint8_t *buf, size_t size)
{
	struct transport_tls *tls = self(t);

	tls->io.in_len = 0;
	return transport_socket_forget(t->fd, buf, size);
}

static void tls_shutdown(struct transport *t)
{
	struct transport_tls *tls = self(t);

	if (err_is_set(&tls->failed))
		return;
	ERR_clear_error();
	if (tls->facts.done)
		SSL_shutdown(tls->ssl);
	ERR_clear_error();
	outbuf_end(&tls->io.out);
	t->unsent = tls->io.out.len;
}

static void tls_free(struct transport *t)
{
	struct transport_tls *tls = self(t);

	SSL_free(tls->ssl);
	transport_socket_close(t->fd, tls->io.out.ending);
	tls_bio_fini(&tls->io);
	creds_set_unref(tls->set);
	free(tls);
}

static const struct transport_ops tls_ops = {
    .name = "tls",
    .handshake = tls_handshake,
    .read = tls_read,
    .write = tls_write,
    .flush = tls_flush,
    .pending = tls_pending,
    .forget = tls_forget,
    .shutdown = tls_shutdown,
    .free = tls_free,
};

/* Has OpenSSL check the certificate's names for host (RFC 6125): its alternative names, and never
 * the common name, which OpenSSL would take where there are none. */
static int expect_host(struct transport_tls *tls, struct err *e)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
	unsigned char address[16];
	size_t len = strlen(tls->host);
	char *zone;

	if (len > 1 && tls->host[len - 1] == '.')
		tls->host[len - 1] = '\0'; /* certificates have no root's dot */
	if (!tls->host[0])
		return err_set(e, ERR_USAGE,
			       "No host name to check the server's certificate against");
	zone = strchr(tls->host, ':') ? strchr(tls->host, '%') : NULL;
	if (zone)
		*zone = '\0'; /* fe80::1%eth0: the zone is this host's affair */
	if (inet_pton(AF_INET, tls->host, address) == 1 ||
	    inet_pton(AF_INET6, tls->host, address) == 1) {
		if (X509_VERIFY_PARAM_set1_ip_asc(param, tls->host))
			return 0;
	} else {
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
							   X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
		if (X509_VERIFY_PARAM_set1_host(param, tls->host, 0) &&
		    SSL_set_tlsext_host_name(tls->ssl, tls->host))
			return 0;
	}
	return err_set(e, ERR_USAGE, "\"%s\" is not a host name", tls->host);
}

static int set_up(struct transport_tls *tls, const char *host, struct err *e)
{
	BIO *bio;

	if (host && strlen(host) >= sizeof(tls->host))
		return err_set(e, ERR_USAGE, "The host name is longer than %zu bytes",
			       sizeof(tls->host) - 1);
	snprintf(tls->host, sizeof(tls->host), "%s", host ? host : "");
	tls->facts.set = tls->set;
	tls->facts.host = tls->host;
	tls->io.fd = tls->t.fd;
	tls->ssl = SSL_new(tls->set->ctx);
	bio = tls->ssl ? tls_bio_new(&tls->io) : NULL;
	if (!bio)
		return err_set(e, ERR_SYSTEM, "No memory for a TLS connection");
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_app_data(tls->ssl, &tls->facts);
	SSL_set_msg_callback(tls->ssl, on_record);
	SSL_set_msg_callback_arg(tls->ssl, tls);
	if (tls->set->role == CREDS_SERVER) {
		SSL_set_accept_state(tls->ssl);
		return 0;
	}
	SSL_set_connect_state(tls->ssl);
	return tls->set->kind == CREDS_X509 ? expect_host(tls, e) : 0;
}

struct transport *transport_tls_new(struct creds_set *set, int fd, const char *host, struct err *e)
{
	struct transport_tls *tls = calloc(1, sizeof(*tls));

	if (!tls) {
		transport_socket_close(fd, 0);
		err_set(e, ERR_SYSTEM, "No memory for a TLS connection");
		return NULL;
	}
	tls->t.ops = &tls_ops;
	tls->t.fd = tls->t.fd_out = fd;
	tls->set = creds_set_ref(set);
	if (transport_socket_init(fd, e) < 0 || set_up(tls, host, e) < 0) {
		tls_free(&tls->t);
		return NULL;
	}
	return &tls->t;
}
