/*
 * The destination's service "libvirt": lets a peer that may reach the libvirt daemon of this
 * host, and the two sockets that the QEMU of a migration makes here (libvirt_path.h).
 *
 *   libvirt              the daemon: virtqemud's socket where it answers, else libvirtd's
 *   libvirt/hold/ID/DIR  a migration's sockets in the folder /DIR are wanted. The answer is
 *                        the line "ok SOCKET", the daemon's socket. For as long as the stream
 *                        lives they can be connected to; then they are removed
 *   libvirt/ram/ID       one of them, held by the same session
 *   libvirt/disks/ID     the other
 */
#ifndef ADIT_PROXY_LIBVIRT_SERVICE_H
#define ADIT_PROXY_LIBVIRT_SERVICE_H

#include <stdbool.h>

#include "base/err.h"

struct event_base;
struct libvirt_service;
struct router;
struct session;

/* Registers with router, which must outlive it. A session whose rights do not have libvirt is
 * refused. dir (borrowed) is where the migrations' sockets may be; NULL: LIBVIRT_PATH_DIR. */
struct libvirt_service *libvirt_service_new(struct event_base *base, struct router *router,
					    const char *dir, struct err *e);

/* Migrations that are under way: from their first byte until the connections to the daemon have
 * ended or half a minute has passed, since behind the last byte of RAM comes the talk that decides
 * where the VM runs. What is held may be held for longer. */
unsigned libvirt_service_jobs(const struct libvirt_service *v);
bool libvirt_service_has_session(const struct libvirt_service *v, const struct session *s);

/* No new migration from now on, also where one was announced; those that are under way go on. */
void libvirt_service_drain(struct libvirt_service *v);

/* Ends what it carries, and removes the sockets that are held. NULL is fine. */
void libvirt_service_free(struct libvirt_service *v);

#endif
