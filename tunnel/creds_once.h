/*
 * One-time keys: pre-shared keys that a server takes once, for a short while, beside the
 * credentials that it has from files. For ssh+tls://, where ssh has carried the key.
 */
#ifndef ADIT_TUNNEL_CREDS_ONCE_H
#define ADIT_TUNNEL_CREDS_ONCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tunnel/creds_psk.h"

enum { CREDS_ONCE_MAX = 64, CREDS_ONCE_MS = 30000, CREDS_ONCE_PEER_MAX = 255 };

/* Keys that wait to be used. Shared by a creds and its sets; safe to use from threads. */
struct creds_once;

/* NULL when memory is short. */
struct creds_once *creds_once_new(void);
struct creds_once *creds_once_ref(struct creds_once *o);
/* Wipes and frees with the last reference. NULL is fine. */
void creds_once_unref(struct creds_once *o);

/* Adds k (copied), which stands for peer for CREDS_ONCE_MS. ERR_LIMIT when CREDS_ONCE_MAX
 * wait already, ERR_USAGE when one of that identity does. */
int creds_once_add(struct creds_once *o, const struct creds_psk_key *k, const char *peer,
		   struct err *e);

/* Copies the key of an identity that waits still to *k: 1, or 0 when there is none. */
int creds_once_find(struct creds_once *o, const uint8_t *identity, size_t identity_len,
		    struct creds_psk_key *k);

/* Uses it up: 1 and whom it stands for, or 0 when somebody else was first. peer has room
 * for CREDS_ONCE_PEER_MAX + 1 bytes. */
int creds_once_take(struct creds_once *o, const char *identity, char *peer);

#endif
