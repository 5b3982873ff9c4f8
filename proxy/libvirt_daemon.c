/* Finds libvirt's daemon on this host: see libvirt_daemon.h. */
#include "proxy/libvirt_daemon.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"

/* The daemons' sockets, in the order in which they are asked. */
static const char *const daemons[] = {"/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"};

int libvirt_daemon_find(int *fd, const char **path, struct err *e)
{
	const char *seen = NULL;
	int why = 0;

	for (size_t i = 0; i < sizeof(daemons) / sizeof(daemons[0]); i++) {
		*path = daemons[i];
		*fd = fd_connect_unix(*path);
		if (*fd >= 0 || errno == EAGAIN)
			return 0;
		if (errno != ENOENT && !seen) {
			seen = daemons[i];
			why = errno;
		}
	}
	if (!seen)
		return err_set(
		    e, ERR_ADDRESS,
		    "no libvirt daemon runs there: neither %s nor %s is to be found; start "
		    "virtqemud or libvirtd",
		    daemons[0], daemons[1]);
	return err_set(e, ERR_ADDRESS, "the libvirt daemon there cannot be reached: %s: %s%s", seen,
		       strerror(why),
		       why == ECONNREFUSED ? " (nobody listens there; start virtqemud or libvirtd)"
		       : why == EACCES ? " (run the adit there as root, or in the group libvirt)"
				       : "");
}
