/* Descriptors over unix sockets (SCM_RIGHTS, unix(7)). */
#ifndef ADIT_PROXY_FDPASS_H
#define ADIT_PROXY_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

enum { FDPASS_MAX = 16 };

/* Sends up to len bytes (at least one) of data over the unix socket sock, and with
 * the first of them the count (0 to FDPASS_MAX) descriptors of fds, which stay the
 * caller's. Once it has returned more than 0 the descriptors are on their way:
 * what is left of data goes without them. Returns the bytes taken, or -1 with
 * errno (EAGAIN: nothing was sent). Raises no SIGPIPE. */
ssize_t fdpass_send(int sock, const void *data, size_t len, const int *fds, unsigned count);

/* Receives up to len bytes, and up to max descriptors into fds (close-on-exec, the
 * caller's from now on); *count is how many came. More than max: they are closed,
 * all of them, and it is -1 with EMSGSIZE. Returns the bytes, 0 at the end, or -1
 * with errno; *count is 0 then. */
ssize_t fdpass_receive(int sock, void *data, size_t len, int *fds, unsigned max, unsigned *count);

#endif
