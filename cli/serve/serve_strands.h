/*
 * How the channels of one session meet: sshd starts an adit serve --stdio for each, and all
 * but the first hand their descriptors to the first, by a unix socket without a file whose
 * name only the peer and these processes know.
 */
#ifndef ADIT_CLI_SERVE_SERVE_STRANDS_H
#define ADIT_CLI_SERVE_SERVE_STRANDS_H

#include "base/err.h"
#include "tunnel/transport_strands.h"

struct event_base;
struct serve_strands;

enum { SERVE_STRANDS_TOKEN_MAX = 40 };

/* The first: waits for count - 1 others. token (SERVE_STRANDS_TOKEN_MAX bytes) is for the
 * peer. on_all gets the descriptors of all, its own (first) in front; they are the callee's.
 * Not called after _free. ERR_SYSTEM. */
struct serve_strands *
serve_strands_new(struct event_base *base, unsigned count, struct transport_strand first,
		  char *token, void (*on_all)(void *ctx, const struct transport_strand *at),
		  void *ctx, struct err *e);
/* Closes what was not given to on_all; lets the others end. NULL is fine. */
void serve_strands_free(struct serve_strands *s);

/* Another: finds the first by the words behind "join" (TOKEN NUMBER). Its socket, which tells by
 * its end that the session is over, or -1 with ERR_REFUSED. */
int serve_strands_find(const char *words, unsigned *number, struct err *e);

/* And hands it the descriptors, which stay the caller's. 0 or ERR_SYSTEM. */
int serve_strands_give(int sock, unsigned number, struct transport_strand at, struct err *e);

#endif
