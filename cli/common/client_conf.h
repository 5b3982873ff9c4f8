/*
 * The section [client] of adit.conf: who this host is to others, where neither an option nor the
 * environment says so.
 */
#ifndef ADIT_CLI_COMMON_CLIENT_CONF_H
#define ADIT_CLI_COMMON_CLIENT_CONF_H

#include "base/err.h"
#include "control/wish.h"

/* Zeroed: nothing is said. */
struct client_conf {
	char psk[512], tls_creds[512]; /* a file, a folder: one of them, or neither */
	char identity[128];	       /* of the keys in the file that is used */
};

/* Takes the value of "psk", "tls-creds" or "identity". ERR_USAGE. */
int client_conf_take(struct client_conf *c, const char *key, const char *value, struct err *e);

/* Reads that section of file, and of the other ones no more than where they end. One that is not
 * there, or that this user may not read, says nothing. ERR_CONFIG, ERR_SYSTEM. */
int client_conf_read(struct client_conf *c, const char *file, struct err *e);

/* What is said, in place of what *a has not: credentials if it has none, then the identity of those
 * in a file of keys. Borrowed. */
void client_conf_fill(const struct client_conf *c, struct auth *a);

#endif
