/*
 * adit serve --stdio: what sshd starts for a peer that has logged in. One session, over
 * standard input and output; or one on the listening port, for a peer that has brought a
 * one-time key this way (ssh+tls://), be it here or in the adit serve that runs already.
 */
#ifndef ADIT_CLI_SERVE_SERVE_STDIO_H
#define ADIT_CLI_SERVE_SERVE_STDIO_H

#include <stddef.h>

#include "base/addr.h"
#include "base/err.h"

struct event_base;
struct router;
struct serve_stdio;

struct serve_stdio_config {
	struct event_base *base;
	struct router *router;
	const struct addr *listen; /* where a peer with a key is waited for */
	/* Of the adit serve that may run already; empty, or tried one after the other. */
	const char *run_dir, *host_run_dir;
	int rights_given; /* by the command: a key is not handed to that one */
};

/* What its peer is called: ssh:USER@ADDRESS, of the user whom it runs as. */
enum { SERVE_STDIO_PEER_MAX = 256 };
void serve_stdio_name_peer(char *peer, size_t size);

/* Takes standard input and output away from the program: from here on they are /dev/null
 * and standard error. The loop is broken when all is over. config is copied, what it
 * points to borrowed. ERR_USAGE when they are neither pipes nor sockets. */
struct serve_stdio *serve_stdio_new(const struct serve_stdio_config *config, struct err *e);

/* The program's exit status, once the loop was broken. */
int serve_stdio_status(const struct serve_stdio *v);

/* NULL is fine. */
void serve_stdio_free(struct serve_stdio *v);

#endif
