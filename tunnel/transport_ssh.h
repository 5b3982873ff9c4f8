/*
 * Transport `ssh`: a channel in a connection to an sshd that is there already, in which
 * sshd runs `adit serve --stdio`. With libssh; nothing but exec is asked of sshd.
 */
#ifndef ADIT_TUNNEL_TRANSPORT_SSH_H
#define ADIT_TUNNEL_TRANSPORT_SSH_H

#include "base/addr.h"
#include "tunnel/transport.h"

#define TRANSPORT_SSH_COMMAND "adit serve --stdio"

/* Borrowed for the call. */
struct transport_ssh_config {
	const char *config_file; /* read instead of ~/.ssh/config and /etc/ssh/ssh_config; NULL */
	const char *command;	 /* what sshd is to run; NULL: TRANSPORT_SSH_COMMAND */
	const char *request;	 /* what the far adit is asked for, behind the greeting */
};

/* Sets a variable of the environment by which libssh leaves jump hosts to ssh, once. While there is
 * one thread only: others may read the environment. transport_ssh_new does it where it has not been
 * done. */
void transport_ssh_prepare(void);

/* Reads ssh's configuration for d (identity: the user; port 0: as the configuration says,
 * else 22). Nothing is connected yet, and no other call than the two below, and free, is
 * legal before transport_ssh_begin. ERR_CONFIG, ERR_SYSTEM. */
struct transport *transport_ssh_new(const struct addr_dest *d, const struct transport_ssh_config *c,
				    struct err *e);

/* Where to connect to (HostName and Port of the configuration): 1, or 0 when a
 * ProxyCommand or ProxyJump connects; *a is the host's in both cases. */
int transport_ssh_address(const struct transport *t, struct addr *a);

/* Begins over the connected socket fd, owned from now on also on error; -1: the
 * ProxyCommand is started. From here on it is a transport like the others; the handshake
 * takes in the host key, the user's keys, and the far adit's greeting. */
int transport_ssh_begin(struct transport *t, int fd, struct err *e);

/* What the far adit answered to the request, once the handshake is done. */
const char *transport_ssh_answer(const struct transport *t);

#endif
