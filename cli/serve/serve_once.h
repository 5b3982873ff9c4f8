/*
 * How a one-time key gets from the adit serve --stdio that ssh has started to the adit
 * serve that has the port: over RUN_DIR/once.sock between processes of one user (or from
 * root's), over a socket without a file from those of others.
 */
#ifndef ADIT_CLI_SERVE_SERVE_ONCE_H
#define ADIT_CLI_SERVE_SERVE_ONCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct creds;
struct event_base;
struct serve_once;

/* Whether peer, of another user, may bring keys: a section of the configuration is its own. */
typedef bool serve_once_known(void *ctx, const char *peer);

/* Takes keys for creds, which is borrowed, as its sessions are accepted on port. known NULL:
 * nobody else may. ERR_ADDRESS when the socket cannot be made (another adit serve has it). */
struct serve_once *serve_once_new(struct event_base *base, const char *run_dir, struct creds *creds,
				  uint16_t port, serve_once_known *known, void *ctx, struct err *e);
/* Takes them for other credentials from now on. */
void serve_once_set_creds(struct serve_once *o, struct creds *creds);
/* Removes the socket. NULL is fine. */
void serve_once_free(struct serve_once *o);

/* What a peer is called that sshd has let in as uid, from that address: ssh:USER@ADDRESS.
 * That of a key which another user brought has "local" for an address, as nobody has proved
 * it. */
enum { SERVE_ONCE_PEER_MAX = 256 };
void serve_once_name_peer(char *peer, size_t size, uid_t uid, const char *address);

/* The other end: words are the key's identity and hexadecimal, address where it came from. Returns
 * the port, 0 when no adit serve runs with that folder, ERR_REFUSED with its
 * words, ERR_TIMEOUT. Blocks for some seconds at most. */
int serve_once_hand_over(const char *run_dir, const char *words, const char *address,
			 struct err *e);

#endif
