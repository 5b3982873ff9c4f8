/*
 * NBD's hello (fixed newstyle, up to the transmission), as bytes in and bytes out, no I/O: the
 * client's half, which learns what a server says of one export, and the server's half, which
 * says the same to another client.
 *
 * The two belong together: what follows the hello is to be carried between that server and that
 * client untouched, so the second may agree to nothing that the first has not agreed to.
 */
#ifndef ADIT_PROXY_NBD_H
#define ADIT_PROXY_NBD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	NBD_NAME_MAX = 255,  /* of an export */
	NBD_BODY_MAX = 8192, /* of one option or reply: names and texts are 4096 at most */
	NBD_OUT_MAX = 2048,
};

/* What a server has said. Sizes in bytes. */
struct nbd_export {
	char name[NBD_NAME_MAX + 1];
	uint16_t hello_flags; /* of its greeting */
	uint16_t flags;	      /* of the export */
	uint64_t size;
	bool has_blocks; /* it told the next three */
	uint32_t block_min, block_preferred, block_max;
	bool structured;  /* its replies are, from now on */
	bool has_context; /* "base:allocation", by that number */
	uint32_t context;
};

/* Bytes to be sent, from off up to len. */
struct nbd_out {
	uint8_t data[NBD_OUT_MAX];
	size_t len, off;
};

/* One half of a hello. Its fields but out, export and done are nbd.c's. */
struct nbd_hello {
	struct nbd_out out;
	struct nbd_export export;
	bool done; /* the hello is over: what follows is the transmission */
	unsigned state, option;
	uint32_t type, body_len;
	size_t have;
	bool structured, has_export;
	uint8_t in[NBD_BODY_MAX];
};

/* The client's half: for an export of that name (1 to NBD_NAME_MAX bytes). */
void nbd_client_begin(struct nbd_hello *h, const char *name);
/* Takes what the server has sent, up to the end of the hello and no byte of what follows. Returns
 * how many bytes that was, or -1 with e: it speaks something else, or has no such export. What is
 * to be sent is in h->out. With h->done h->export is what it said. */
long nbd_client_input(struct nbd_hello *h, const uint8_t *data, size_t len, struct err *e);

/* The server's half, for the export that a server told of. */
void nbd_server_begin(struct nbd_hello *h, const struct nbd_export *export);
/* Likewise. -1 also for a client that wants to speak in a way in which that server does not. */
long nbd_server_input(struct nbd_hello *h, const uint8_t *data, size_t len, struct err *e);

#endif
