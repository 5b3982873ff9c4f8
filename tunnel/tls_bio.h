/*
 * The BIO between OpenSSL and a socket. OpenSSL writes a record at a time; here
 * they gather in an output buffer, for one large send. OpenSSL reads five bytes
 * and then a record; here they come from a large chunk, got with one recv.
 */
#ifndef ADIT_TUNNEL_TLS_BIO_H
#define ADIT_TUNNEL_TLS_BIO_H

#include <openssl/bio.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tunnel/outbuf.h"
#include "tunnel/sniff.h"

enum {
	/* The chunk asked of the kernel. Measured: smaller costs system calls, larger
	 * falls out of the cache between the kernel's copy and OpenSSL's. */
	TLS_BIO_IN_SIZE = 64 * 1024,
	TLS_BIO_TURN_READS = 8, /* chunks a turn, so that one peer cannot hold a thread */
};

/* Embedded in the transport, which owns it and outlives the BIO. */
struct tls_bio {
	int fd;
	struct outbuf out;
	uint8_t *in;
	size_t in_head, in_len;
	uint64_t received_bytes;
	uint8_t first[SNIFF_LEN_MAX]; /* the connection's first bytes, to tell what it is */
	size_t first_len;
	unsigned turn_reads; /* system calls left in this turn */
	int dry;	     /* the last recv emptied the socket */
	int eof;
	int foreign;	/* what came first is not TLS */
	int recv_errno; /* a recv failed */
	int short_of_memory;
};

/* A BIO over io, or NULL when memory is short. */
BIO *tls_bio_new(struct tls_bio *io);

/* Starts a turn: the socket may be asked again. */
void tls_bio_turn(struct tls_bio *io);

void tls_bio_fini(struct tls_bio *io);

#endif
