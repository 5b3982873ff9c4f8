/*
 * Addresses as users write them.
 *
 *   endpoint     unix:/path | tcp:HOST:PORT
 *   local        an endpoint, or fd:N, a listening socket that this process was started with
 *   listen       HOST:PORT, [v6]:PORT, :PORT (all addresses), PORT left out: 16516; or fd:N
 *   host         HOST[:PORT], [v6][:PORT]
 *   destination  SCHEME://[IDENTITY@]HOST[:PORT], SCHEME tls, tcp, ssh or ssh+tls
 */
#ifndef ADIT_BASE_ADDR_H
#define ADIT_BASE_ADDR_H

#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

enum { ADDR_PORT_DEFAULT = 16516, ADDR_HOST_MAX = 256, ADDR_UNIX_MAX = 107 };

enum addr_kind {
	ADDR_UNIX,
	ADDR_TCP,
	ADDR_FD, /* only where addr_parse_local or addr_parse_listen has read it */
};

/* An endpoint's address. */
struct addr {
	enum addr_kind kind;
	char path[ADDR_UNIX_MAX + 1]; /* ADDR_UNIX */
	char host[ADDR_HOST_MAX];     /* ADDR_TCP, without brackets */
	uint16_t port;		      /* ADDR_TCP */
	int fd;			      /* ADDR_FD, owned by nobody */
};

/* A destination, the far adit. */
struct addr_dest {
	char scheme[16];
	char identity[128]; /* before '@', or empty; with ssh the user */
	char host[ADDR_HOST_MAX];
	uint16_t port; /* with ssh sshd's, 0: as ssh's configuration says */
};

/* Reads an endpoint's address. ERR_USAGE with the mend when it is malformed or
 * a path is longer than a sun_path holds. Never kind ADDR_FD: what a peer says is read by
 * this, and a peer has no descriptors of ours to name. */
int addr_parse(struct addr *a, const char *text, struct err *e);

/* The same for an address of this process's own, where it listens: fd:N too (ADDR_FD).
 * fd_listen looks whether N is what it should be. ERR_USAGE. */
int addr_parse_local(struct addr *a, const char *text, struct err *e);

/* Writes a as addr_parse reads it. buf of at least 320 bytes; returns buf. */
char *addr_format(const struct addr *a, char *buf, size_t size);

/* Reads HOST:PORT or fd:N, as --listen takes it, into a (kind ADDR_TCP or ADDR_FD). An empty
 * host stands for every address. ERR_USAGE. */
int addr_parse_listen(struct addr *a, const char *text, struct err *e);

/* Reads HOST[:PORT], as --dest-address takes it, into a (kind ADDR_TCP); port is what it is
 * where none is written. ERR_USAGE. */
int addr_parse_host(struct addr *a, const char *text, uint16_t port, struct err *e);

/* Reads a destination. The scheme is not checked beyond its form. ERR_USAGE. */
int addr_parse_dest(struct addr_dest *d, const char *text, struct err *e);

enum { ADDR_RESOLVED_MAX = 8 };

struct addr_resolved {
	unsigned count;
	struct {
		struct sockaddr_storage sa;
		socklen_t len;
	} at[ADDR_RESOLVED_MAX];
};

/* Resolves a to socket addresses, in getaddrinfo's order (blocking for names,
 * at once for literals and unix paths). passive: for bind. ERR_ADDRESS; also for a
 * descriptor, which has none. */
int addr_resolve(const struct addr *a, int passive, struct addr_resolved *out, struct err *e);

/* "host:port" or "unix:path" of a socket address, for logs and names. An IPv4 address is one
 * however it came (::ffff:10.0.0.1). Returns buf. */
char *addr_format_sockaddr(const struct sockaddr *sa, socklen_t len, char *buf, size_t size);

#endif
