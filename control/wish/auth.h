/*
 * Where a side's credentials are: named, not held, so that a job can say in its journal
 * or in a program's request which ones it uses. At most one of the three is given.
 */
#ifndef ADIT_CONTROL_WISH_AUTH_H
#define ADIT_CONTROL_WISH_AUTH_H

#include <jansson.h>
#include <stdbool.h>

#include "base/addr.h"
#include "base/err.h"
#include "tunnel/creds.h"

/* Zeroed: none given. The strings are borrowed. */
struct auth {
	const char *psk;	   /* a file of psktool's format */
	const char *identity;	   /* a client's: which of its keys, where DEST names none; NULL */
	const char *tls_creds;	   /* a folder of X.509 files */
	const char *identity_hint; /* the same, if that file has it; else the only one is used */
	bool insecure;
	const char *ssh_config;	 /* ssh://: read instead of ssh's own configuration */
	const char *ssh_command; /* ssh://: what is run there instead of adit serve --stdio */
};

/* Whether one of psk, tls_creds and insecure is. */
bool auth_given(const struct auth *a);

/* Whether ssh proves who is who on the way to dest, as a user writes it, so that no
 * credentials of adit's own go with it. */
bool auth_is_ssh(const char *dest);

/* A server's credentials. NULL with ERR_USAGE when none was given, or what
 * creds_load_* says. */
struct creds *auth_load_server(const struct auth *a, struct err *e);

/* Whether a client's fit dest, its scheme and its identity: ERR_USAGE. No file is looked at. */
int auth_check_client(const struct auth *a, const struct addr_dest *dest, struct err *e);

/* A client's, for dest, as auth_check_client has them; its identity is the key's that is used. NULL
 * with ERR_USAGE, ERR_CONFIG or what creds_load_* says. */
struct creds *auth_load_client(const struct auth *a, const struct addr_dest *dest, struct err *e);

/* {"psk":FILE} (and "identity", "identity_hint"), {"tls_creds":DIR} or {"insecure":true}; or what
 * ssh is told,
 * {"ssh_config":FILE,"ssh_command":TEXT}, both optional; and back (a borrows from v). */
json_t *auth_to_json(const struct auth *a);
int auth_from_json(struct auth *a, const json_t *v, struct err *e);

#endif
