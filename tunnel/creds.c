/*
 * Credentials: see creds.h. A creds holds the set now in force behind a lock;
 * sets are immutable and counted (creds_impl.h), so that a reload disturbs no
 * connection. Reads no file itself.
 */
#include "tunnel/creds.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "tunnel/creds_impl.h"
#include "tunnel/creds_once.h"
#include "tunnel/creds_psk.h"
#include "tunnel/transport.h"
#include "tunnel/transport_tls.h"

enum {
	SECURE_HEAP_SIZE = 1024 * 1024, /* for private keys: kept out of swap and dumps */
	SECURE_HEAP_MIN = 32,
	CERT_LIST_MAX = 64 * 1024, /* bytes of certificates that a peer may show */
};

struct creds {
	pthread_mutex_t lock; /* of set */
	struct creds_set *set;
	enum creds_kind kind;		     /* of every set that it will hold */
	char *identity;			     /* as asked for, or NULL */
	char *ssh_config_file, *ssh_command; /* CREDS_SSH; or NULL */
	struct creds_once *once;	     /* server: shared with every set */
};

static pthread_once_t secure_once = PTHREAD_ONCE_INIT;

/* Best effort: without it (no memory to lock), OpenSSL uses its ordinary heap. */
static void init_secure_heap(void)
{
	if (!CRYPTO_secure_malloc_initialized())
		CRYPTO_secure_malloc_init(SECURE_HEAP_SIZE, SECURE_HEAP_MIN);
}

/* TLS 1.3 and nothing that we have no use for. */
static int setup_ctx(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
				     SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* Writes come in whole and their buffer may move: our BIO never refuses. */
	SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
	SSL_CTX_clear_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ctx, CERT_LIST_MAX);
	/* The BIO reads ahead; OpenSSL's own would move the rest for every record. */
	SSL_CTX_set_read_ahead(ctx, 0);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
	       SSL_CTX_set_num_tickets(ctx, 0) && SSL_CTX_set_max_early_data(ctx, 0) &&
	       SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:"
					     "TLS_AES_256_GCM_SHA384");
}

struct creds_set *creds_set_new(enum creds_kind kind, enum creds_role role, const char *where,
				struct err *e)
{
	struct creds_set *set = calloc(1, sizeof(*set));

	if (!set)
		goto no_memory;
	atomic_init(&set->refs, 1);
	set->kind = kind;
	set->role = role;
	set->where = strdup(where ? where : "");
	if (!set->where)
		goto no_memory;
	if (kind == CREDS_NONE || kind == CREDS_SSH)
		return set;
	pthread_once(&secure_once, init_secure_heap);
	ERR_clear_error();
	set->ctx = SSL_CTX_new(role == CREDS_CLIENT ? TLS_client_method() : TLS_server_method());
	if (!set->ctx || !setup_ctx(set->ctx)) {
		err_set(e, ERR_SYSTEM, "OpenSSL cannot be set up for TLS 1.3: %s",
			ERR_reason_error_string(ERR_peek_last_error()));
		creds_set_unref(set);
		return NULL;
	}
	return set;
no_memory:
	err_set(e, ERR_SYSTEM, "No memory for credentials");
	creds_set_unref(set);
	return NULL;
}

struct creds_set *creds_set_ref(struct creds_set *set)
{
	atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	return set;
}

void creds_set_unref(struct creds_set *set)
{
	if (!set || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(set->ctx);
	creds_psk_free(set->psk);
	creds_once_unref(set->once);
	free(set->where);
	free(set);
}

/* Takes the reference to set, and frees it when there is no memory or it is NULL. */
static struct creds *creds_new(struct creds_set *set, const char *identity, struct err *e)
{
	struct creds *c;

	if (!set)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		goto no_memory;
	if (identity && !(c->identity = strdup(identity)))
		goto no_memory;
	if (set->ctx && set->role == CREDS_SERVER && !(c->once = creds_once_new()))
		goto no_memory;
	set->once = creds_once_ref(c->once);
	pthread_mutex_init(&c->lock, NULL);
	c->set = set;
	c->kind = set->kind;
	return c;
no_memory:
	err_set(e, ERR_SYSTEM, "No memory for credentials");
	if (c)
		free(c->identity);
	free(c);
	creds_set_unref(set);
	return NULL;
}

struct creds *creds_new_insecure(enum creds_role role)
{
	return creds_new(creds_set_new(CREDS_NONE, role, NULL, NULL), NULL, NULL);
}

struct creds *creds_new_ssh(const char *config_file, const char *command, struct err *e)
{
	struct creds *c = creds_new(creds_set_new(CREDS_SSH, CREDS_CLIENT, NULL, e), NULL, e);

	if (!c)
		return NULL;
	if ((config_file && !(c->ssh_config_file = strdup(config_file))) ||
	    (command && !(c->ssh_command = strdup(command)))) {
		err_set(e, ERR_SYSTEM, "No memory for credentials");
		creds_free(c);
		return NULL;
	}
	return c;
}

const char *creds_ssh_config_file(const struct creds *c)
{
	return c->ssh_config_file;
}

const char *creds_ssh_command(const struct creds *c)
{
	return c->ssh_command;
}

struct creds *creds_new_psk(enum creds_role role, const struct creds_psk_key *k, struct err *e)
{
	return creds_new(creds_psk_make(role, k, e), NULL, e);
}

int creds_take_once(struct creds *c, const struct creds_psk_key *k, const char *peer, struct err *e)
{
	if (!c->once)
		return err_set(e, ERR_REFUSED, "without TLS there are no keys");
	return creds_once_add(c->once, k, peer, e);
}

struct creds *creds_load_psk(enum creds_role role, const char *file, const char *identity,
			     struct err *e)
{
	return creds_new(creds_psk_load(role, file, identity, e), identity, e);
}

struct creds *creds_load_x509(enum creds_role role, const char *dir, struct err *e)
{
	return creds_new(creds_x509_load(role, dir, e), NULL, e);
}

struct creds_set *creds_set_get(struct creds *c)
{
	struct creds_set *set;

	pthread_mutex_lock(&c->lock);
	set = creds_set_ref(c->set);
	pthread_mutex_unlock(&c->lock);
	return set;
}

int creds_reload(struct creds *c, struct err *e)
{
	struct creds_set *old = creds_set_get(c), *set = NULL;
	struct err why = ERR_INIT;

	if (old->kind == CREDS_PSK)
		set = creds_psk_load(old->role, old->where, c->identity, &why);
	else if (old->kind == CREDS_X509)
		set = creds_x509_load(old->role, old->where, &why);
	else
		set = creds_set_ref(old);
	if (set && set != old)
		set->once = creds_once_ref(c->once);
	creds_set_unref(old);
	if (!set) {
		if (e)
			*e = why;
		return why.code;
	}
	pthread_mutex_lock(&c->lock);
	old = c->set;
	c->set = set;
	pthread_mutex_unlock(&c->lock);
	creds_set_unref(old);
	return 0;
}

enum creds_kind creds_kind(const struct creds *c)
{
	return c->kind;
}

void creds_free(struct creds *c)
{
	if (!c)
		return;
	creds_set_unref(c->set);
	pthread_mutex_destroy(&c->lock);
	creds_once_unref(c->once);
	free(c->ssh_config_file);
	free(c->ssh_command);
	free(c->identity);
	free(c);
}

/* "tcp:10.0.0.1:4711" of the far end. A server's peers come from another port each time, and are
 * one peer all the same: "tcp:10.0.0.1", "tcp:fd00::1", as sections of a configuration name them,
 * where a bracket would end the section. */
static void peer_address(int fd, enum creds_role role, char *buf, size_t size)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	char text[320] = "unknown", *host = text, *end;

	if (getpeername(fd, (struct sockaddr *)&sa, &len) == 0)
		addr_format_sockaddr((struct sockaddr *)&sa, len, text, sizeof(text));
	end = strrchr(text, ':');
	if (role == CREDS_SERVER && sa.ss_family != AF_UNIX && end) {
		if (*host == '[' && end > host && end[-1] == ']') {
			host++;
			end--;
		}
		*end = '\0';
	}
	snprintf(buf, size, "tcp:%s", host);
}

struct transport *creds_transport(struct creds *c, int fd, const char *host, struct err *e)
{
	struct creds_set *set = creds_set_get(c);
	struct transport *t;
	char peer[336];

	if (set->kind == CREDS_SSH) { /* sessions know */
		close(fd);
		t = NULL;
		err_set(e, ERR_INTERNAL, "ssh is not TLS");
	} else if (set->kind == CREDS_NONE) {
		peer_address(fd, set->role, peer, sizeof(peer));
		t = transport_tcp_new(fd, peer, e);
	} else {
		t = transport_tls_new(set, fd, host, e);
	}
	creds_set_unref(set);
	return t;
}
