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
	/* Records without application data (KeyUpdate, tickets, alerts, empty ones): so many in
	 * a row, and one more for so many bytes of data. Each costs us more than it does the peer,
	 * and OpenSSL comes back from none of them. */
	TLS_BIO_IDLE_MAX = 32,
	TLS_BIO_IDLE_BYTES = 64 * 1024,
	/* Records of a handshake: a long chain of certificates in pieces of 512 bytes is a few
	 * dozen; a byte a record, before anybody has proved anything, would be a hundred thousand.
	 */
	TLS_BIO_EARLY_MAX = 256,
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
	/* Records without data that the peer may still send (tls_bio_count). */
	unsigned idle_left;
	uint64_t idle_paid; /* bytes of data on the way to one more */
	unsigned early;	    /* records of the handshake that came */
	int flooded;	    /* it had none left, and sent another; or too many early ones */
};

/* A BIO over io, or NULL when memory is short. */
BIO *tls_bio_new(struct tls_bio *io);

/* Starts a turn: the socket may be asked again. */
void tls_bio_turn(struct tls_bio *io);

/* Counts a record that came in once the handshake was over: of data bytes of application
 * data, 0 where it has none. Too many without end the connection: io reads no more. */
void tls_bio_count(struct tls_bio *io, size_t data);

/* Counts one of the handshake. */
void tls_bio_count_early(struct tls_bio *io);

void tls_bio_fini(struct tls_bio *io);

#endif
