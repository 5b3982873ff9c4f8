/*
 * What credentials are made of; for the TLS files only. A set is one reading of
 * the files and never changes afterwards: creds_reload makes a new one, and
 * connections keep the one that they began with.
 */
#ifndef ADIT_TUNNEL_CREDS_IMPL_H
#define ADIT_TUNNEL_CREDS_IMPL_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "tunnel/creds.h"

struct creds_once;
struct creds_psk;
struct creds_psk_key;

/* Owned by whoever holds a reference; freed with the last one. */
struct creds_set {
	atomic_uint refs;
	enum creds_kind kind;
	enum creds_role role;
	SSL_CTX *ctx;			 /* NULL for CREDS_NONE and CREDS_SSH */
	struct creds_psk *psk;		 /* CREDS_PSK: the file's keys */
	const struct creds_psk_key *own; /* CREDS_PSK, client: the key that it shows */
	struct creds_once *once;	 /* server: one-time keys, of its creds; or NULL */
	char *where;			 /* the file or the directory, for sentences */
};

/* The set now in force, with a reference for the caller. */
struct creds_set *creds_set_get(struct creds *c);

struct creds_set *creds_set_ref(struct creds_set *set);

/* Gives a reference back. NULL is fine. */
void creds_set_unref(struct creds_set *set);

/* A set with an SSL_CTX that has everything but credentials. ERR_SYSTEM. */
struct creds_set *creds_set_new(enum creds_kind kind, enum creds_role role, const char *where,
				struct err *e);

/* creds_psk.c, creds_x509.c: read the files into a new set; _make has one key (NULL: none)
 * that no file has. */
struct creds_set *creds_psk_load(enum creds_role role, const char *file, const char *identity,
				 struct err *e);
struct creds_set *creds_psk_make(enum creds_role role, const struct creds_psk_key *k,
				 struct err *e);
struct creds_set *creds_x509_load(enum creds_role role, const char *dir, struct err *e);

#endif
