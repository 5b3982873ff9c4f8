/*
 * Transport `stdio`: the far end of `ssh`, over the two descriptors that a program gets
 * from sshd. ssh has encrypted, and has proved who the peer is.
 */
#ifndef ADIT_TUNNEL_TRANSPORT_STDIO_H
#define ADIT_TUNNEL_TRANSPORT_STDIO_H

#include "tunnel/transport.h"

/* What the two ends say before the first frame, each a line: docs/protocol.md, 1.2. */
#define TRANSPORT_STDIO_GREETING "ADIT-SSH 1 "

enum { TRANSPORT_STDIO_LINE_MAX = 512 }; /* with its newline */

/* The transport over in and out (owned from now on, also on error), each a socket or a
 * pipe; they may be the same socket under two numbers. The greeting is behind them. peer:
 * who it is ("ssh:anna@10.0.0.1"). ERR_SYSTEM. */
struct transport *transport_stdio_new(int in, int out, const char *peer, struct err *e);

#endif
