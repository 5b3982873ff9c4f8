/*
 * The source's side of adit run --libvirt: three sockets here, and what they are called in
 * libvirt's words. One leads to the daemon at the destination; the two of the migration
 * (libvirt_path.h) to those that the destination's QEMU makes under the same paths there.
 */
#ifndef ADIT_PROXY_LIBVIRT_CLIENT_H
#define ADIT_PROXY_LIBVIRT_CLIENT_H

#include "base/addr.h"
#include "base/err.h"

struct event_base;
struct libvirt_client;
struct session;

/* Chooses the ID, and with it the paths; nothing is made yet. The migration's sockets will be
 * in dir, the daemon's in private_dir (closed to all others). ERR_USAGE for a dir that
 * cannot be, ERR_CONFIG for one that is not there. */
struct libvirt_client *libvirt_client_new(struct event_base *base, const char *dir,
					  const char *private_dir, struct err *e);

/* What to tell libvirt: --desturi, --migrateuri, --disks-uri. Owned by c. */
const char *libvirt_client_daemon_uri(const struct libvirt_client *c);
const char *libvirt_client_migrate_uri(const struct libvirt_client *c);
const char *libvirt_client_disks_uri(const struct libvirt_client *c);

/* Listens on all three, once what killed processes have left is cleared up. Those of the migration
 * belong to whom dir belongs to, where we may say so (root), with mode 0600. ERR_ADDRESS. */
int libvirt_client_listen(struct libvirt_client *c, struct err *e);

/* Asks the destination for its side over s, which is ready, and accepts from then on. fn comes
 * once, from the loop: why->code is ERR_NONE, or what is in the way. */
typedef void libvirt_client_ready(void *ctx, const struct err *why);
int libvirt_client_start(struct libvirt_client *c, struct session *s, libvirt_client_ready *fn,
			 void *ctx, struct err *e);

/* As forward_is_leaving. */
int libvirt_client_is_leaving(const struct libvirt_client *c);

/* Closes all of it and removes the sockets; before the session is freed. NULL is fine. */
void libvirt_client_free(struct libvirt_client *c);

#endif
