/* The PSK side of TLS 1.3 (RFC 8446, 4.2.11): OpenSSL's callbacks. */
#ifndef ADIT_TUNNEL_TLS_PSK_H
#define ADIT_TUNNEL_TLS_PSK_H

#include "base/err.h"

struct creds_set;

/* Gives set->ctx its callbacks and ciphersuites: every CREDS_PSK set. ERR_SYSTEM. */
int tls_psk_setup(struct creds_set *set, struct err *e);

/* Makes a CREDS_X509 server notice a client that comes with a PSK. */
void tls_psk_setup_x509_server(struct creds_set *set);

#endif
