/*
 * Taps of VMs: an interface of this host that QEMU has open, and what it hangs in. It lives as long
 * as somebody has one of its descriptors, so that it goes with its QEMU, however that ends.
 */
#ifndef ADIT_CONTROL_HOST_TAP_H
#define ADIT_CONTROL_HOST_TAP_H

#include <net/if.h>
#include <stdbool.h>

#include "base/err.h"

/* What a bridge here is to a VM that comes. */
struct tap_bridge {
	unsigned mtu;
	bool up;
	unsigned listen_ms; /* so long a new port is not heard (spanning tree); 0: at once */
};

/* Whether that is a bridge of this host. ERR_REFUSED: it is none, or is not there. */
int tap_look(const char *bridge, struct tap_bridge *out, struct err *e);

/* Whether adit may make taps here. ERR_REFUSED with the mend. */
int tap_may(struct err *e);

/* What a tap that is to be in bridge ("": in none that is known) has of the MTU wanted (0: any): no
 * less than the bridge, which would take on the least of its ports', for this host too. */
unsigned tap_mtu(unsigned wanted, const char *bridge);

/* Makes the interface name (which is nobody's yet), with a descriptor for each queue in fds; down,
 * and in no bridge. mtu 0: as it is. On an error nothing is left. */
int tap_open(const char *name, unsigned queues, bool vnet_hdr, unsigned mtu, int *fds,
	     struct err *e);

/* Whether the kernel may carry the VM's packets itself here (vhost-net); and a descriptor for each
 * queue. */
bool tap_has_vhost(void);
int tap_open_vhost(unsigned queues, int *fds, struct err *e);

/* Sets it up, where it hangs. ERR_REFUSED, ERR_SYSTEM. */
int tap_raise(const char *name, struct err *e);

/* Puts it in the bridge, and up. ERR_REFUSED, ERR_SYSTEM. */
int tap_attach(const char *name, const char *bridge, struct err *e);

#endif
