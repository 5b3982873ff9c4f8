/* Transport `tls`: TLS 1.3 over a socket, with OpenSSL. */
#ifndef ADIT_TUNNEL_TRANSPORT_TLS_H
#define ADIT_TUNNEL_TRANSPORT_TLS_H

#include "tunnel/transport.h"

struct creds_set;

/* A transport over the connected socket fd (owned from now on, also on error) with
 * the credentials of set (it takes a reference of its own). host: the name or
 * address that a client dialled; an X.509 client must give it. ERR_SYSTEM,
 * ERR_USAGE. */
struct transport *transport_tls_new(struct creds_set *set, int fd, const char *host, struct err *e);

#endif
