/*
 * What carries bytes between two adits, as a table of operations stacked on a
 * socket: `tls`, `tcp` and `ssh`; and ssh's far end: `stdio`, over the two descriptors
 * that sshd gives a program, and `strands`, over several such channels. Non-blocking; knows no
 * event loop: the link asks what to wait for.
 *
 * Writing never takes part of a buffer: bytes go (encrypted) into the
 * transport's own output buffer, and flush moves that to the kernel
 * with as few system calls as it can. The link stops giving bytes when
 * unsent is above TRANSPORT_UNSENT_MAX, so that what has priority
 * waits behind little.
 */
#ifndef ADIT_TUNNEL_TRANSPORT_H
#define ADIT_TUNNEL_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum {
	TRANSPORT_UNSENT_MAX = 256 * 1024,    /* bytes in the output buffer before the link stops */
	TRANSPORT_NOTSENT_LOWAT = 128 * 1024, /* TCP_NOTSENT_LOWAT: unsent bytes in the kernel */
};

/* Results of handshake, read and flush beside 0 and counts. */
enum {
	TRANSPORT_WANT_READ = -1,  /* call again when the socket is readable */
	TRANSPORT_WANT_WRITE = -2, /* call again when the socket is writable */
	TRANSPORT_FAILED = -3,	   /* broken: *e says why */
	TRANSPORT_EOF = -4,	   /* the peer has ended in an orderly way (read only) */
};

struct transport;

struct transport_ops {
	const char *name;
	/* Goes on with the handshake: 0 done, WANT_READ, WANT_WRITE or FAILED with
	 * one sentence that says what is wrong and how to mend it. */
	int (*handshake)(struct transport *t, struct err *e);
	/* Reads up to size bytes: a count, WANT_READ, EOF or FAILED. It fills buf
	 * when there is enough; a count below size means that the socket was dry (or
	 * that a turn's share was had): wait until it is readable (level-triggered),
	 * unless pending says otherwise. May queue an answer of the transport's own,
	 * which it also flushes as far as it can: look at unsent afterwards. WANT_WRITE
	 * when such answers pile up: flush first. A connection that ends without the
	 * transport's own farewell is FAILED with ERR_CLOSED (bare tcp has none but
	 * FIN). What failed once fails again with the same sentence. */
	ssize_t (*read)(struct transport *t, uint8_t *buf, size_t size, struct err *e);
	/* Takes all len bytes into the output buffer: 0 or FAILED. */
	int (*write)(struct transport *t, const uint8_t *data, size_t len, struct err *e);
	/* Sends what is in the output buffer: 0 all gone, WANT_WRITE or FAILED. A
	 * connection that the peer has reset is told by read, not here, behind what
	 * the peer had said before: what is written to it until then is dropped. 0 with
	 * unsent bytes: they wait for words of the peer (ssh's window), and go when read
	 * has heard them. */
	int (*flush)(struct transport *t, struct err *e);
	/* Whether read would give bytes, or an end, that the socket does not show as
	 * readable. Ask after the handshake too: the peer's first bytes may have come
	 * with its last flight. */
	int (*pending)(const struct transport *t);
	/* For who has ended sending and wants nothing more: as read, but what was sent is not
	 * looked at, and what buf holds then means nothing. NULL: read does it. */
	ssize_t (*forget)(struct transport *t, uint8_t *buf, size_t size);
	/* Queues the farewell (TLS close_notify, then the end of the sending side); flush
	 * sends it. */
	void (*shutdown)(struct transport *t);
	void (*free)(struct transport *t); /* closes the socket */
};

/* The head of every transport; the implementation's own struct begins with it. */
struct transport {
	const struct transport_ops *ops;
	int fd;		       /* to read, and to write unless fd_out says otherwise */
	int fd_out;	       /* to write; the same as fd where it is one socket */
	const char *doing;     /* what the handshake waits for, for a sentence; NULL; static */
	size_t unsent;	       /* bytes in the output buffer */
	uint64_t handshake_us; /* of the processor, that the handshake took (tls) */
	char peer[256];	       /* who it is, once the handshake is done: psk:IDENTITY,
				  x509:SUBJECT (RFC 2253), tcp:ADDRESS, ssh:USER@HOST; printable */
	char cipher[64];       /* "TLSv1.3 TLS_AES_128_GCM_SHA256", or "none" */
};

/* Transport `tcp`: bare bytes; owns fd. peer as given ("tcp:10.0.0.1:4711"). */
struct transport *transport_tcp_new(int fd, const char *peer, struct err *e);

/* For the implementations over a socket: non-blocking, TCP_NODELAY and
 * TCP_NOTSENT_LOWAT (where it is TCP). 0 or ERR_SYSTEM. */
int transport_socket_init(int fd, struct err *e);

/* forget, of a TCP socket. */
ssize_t transport_socket_forget(int fd, uint8_t *buf, size_t size);

/* Closes fd. linger: a last word was sent, which a reset must not overtake. */
void transport_socket_close(int fd, int linger);

static inline void transport_free(struct transport *t)
{
	if (t)
		t->ops->free(t);
}

#endif
