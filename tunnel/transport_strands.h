/*
 * Transport `strands`: the far end of `ssh` over several channels, each with a pair of
 * descriptors from sshd (strands.h says how they share the bytes).
 */
#ifndef ADIT_TUNNEL_TRANSPORT_STRANDS_H
#define ADIT_TUNNEL_TRANSPORT_STRANDS_H

#include "tunnel/strands.h"
#include "tunnel/transport.h"

/* The two descriptors of a channel. */
struct transport_strand {
	int in, out;
};

/* The transport over count (2 to STRANDS_MAX) pairs, owned from now on, also on error; the
 * greeting is behind each. peer as for transport_stdio_new. ERR_SYSTEM. */
struct transport *transport_strands_new(const struct transport_strand *at, unsigned count,
					const char *peer, struct err *e);

#endif
