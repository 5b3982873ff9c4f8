/* libvirt's daemon on this host, which has one of two sockets: that of virtqemud, or libvirtd's. */
#ifndef ADIT_PROXY_LIBVIRT_DAEMON_H
#define ADIT_PROXY_LIBVIRT_DAEMON_H

#include "base/err.h"

/* Finds the daemon that answers: its connection to *fd, or -1 there when its backlog is
 * full; the path to *path. Non-zero when there is none, with *e. */
int libvirt_daemon_find(int *fd, const char **path, struct err *e);

#endif
