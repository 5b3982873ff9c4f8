/*
 * Credentials: who we are and whom we trust (DESIGN, Trust). One object serves
 * many connections; it is read from disk by creds_load_* and again by
 * creds_reload.
 */
#ifndef ADIT_TUNNEL_CREDS_H
#define ADIT_TUNNEL_CREDS_H

#include <stddef.h>

#include "base/err.h"

struct creds;
struct transport;

struct creds_psk_key;

enum creds_kind { CREDS_NONE, CREDS_PSK, CREDS_X509, CREDS_SSH };
enum creds_role { CREDS_CLIENT, CREDS_SERVER };

/* No authentication and no encryption: transport tcp, --insecure only. */
struct creds *creds_new_insecure(enum creds_role role);

/* A client that leaves the proof to ssh. config_file is read instead of ssh's own; command
 * is what sshd runs there; NULL: as transport_ssh.h says. Both copied. */
struct creds *creds_new_ssh(const char *config_file, const char *command, struct err *e);
const char *creds_ssh_config_file(const struct creds *c); /* NULL */
const char *creds_ssh_command(const struct creds *c);	  /* NULL */

/* One key that no file has (copied). NULL, on a server: none but one-time keys. */
struct creds *creds_new_psk(enum creds_role role, const struct creds_psk_key *k, struct err *e);

/* A server (not an insecure one) takes this key once, within half a minute, beside its own
 * credentials, from whoever is to be called peer. ERR_LIMIT, ERR_USAGE. */
int creds_take_once(struct creds *c, const struct creds_psk_key *k, const char *peer,
		    struct err *e);

/* A file of GnuTLS' psktool: lines `identity:hexkey`. A server knows all its
 * lines. A client uses the one whose identity is given, or the only one when
 * identity is NULL or empty (several and no identity: ERR_CONFIG that names
 * them). A file readable by others than its owner (mode & 077) is an ERR_CONFIG
 * with the mend. Keys of 16 to 64 bytes. ERR_CONFIG names file and line. */
struct creds *creds_load_psk(enum creds_role role, const char *file, const char *identity,
			     struct err *e);

/* A directory as QEMU and libvirt lay it out: ca-cert.pem, ca-crl.pem (optional)
 * and server-cert.pem + server-key.pem or client-cert.pem + client-key.pem.
 * An expired or not yet valid certificate of our own, a key that does not fit,
 * or a file that is missing is ERR_CONFIG that names it. */
struct creds *creds_load_x509(enum creds_role role, const char *dir, struct err *e);

/* Reads the same files again; on error the old ones stay in force. */
int creds_reload(struct creds *c, struct err *e);

/* The i-th identity of a file of keys in buf (of 128 bytes): 1; 0: there are no more, or no keys.
 */
int creds_identity(struct creds *c, size_t i, char *buf, size_t size);

enum creds_kind creds_kind(const struct creds *c);

/* Connections hold their own references; this gives back the caller's. */
void creds_free(struct creds *c);

/* A transport over the connected socket fd (owned from now on, also on error),
 * TLS or tcp as the credentials say. host: the name or address that the client
 * dialled, checked against the server's certificate (NULL on a server). */
struct transport *creds_transport(struct creds *c, int fd, const char *host, struct err *e);

#endif
