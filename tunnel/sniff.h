/* Recognises what answers at a port when it is not what was expected there. */
#ifndef ADIT_TUNNEL_SNIFF_H
#define ADIT_TUNNEL_SNIFF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum sniff {
	SNIFF_UNKNOWN,
	SNIFF_TLS,
	SNIFF_ADIT, /* adit's own frames, unencrypted */
	SNIFF_SSH,
	SNIFF_HTTP,
	SNIFF_TEXT, /* some other protocol of lines */
};

enum { SNIFF_LEN_MAX = 64 }; /* more than this is not looked at */

/* What the first len (at least 1) bytes of a connection belong to. */
enum sniff sniff(const uint8_t *first, size_t len);

/* ERR_PROTOCOL with a sentence for a peer ("server" or "client") that began with
 * these bytes. tls: whether TLS was expected of it, rather than bare frames. */
int sniff_explain(struct err *e, const char *peer, int tls, const uint8_t *first, size_t len);

#endif
