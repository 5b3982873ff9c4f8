/* The networks of a VM that --persistent keeps, made anew for its next start. */
#ifndef ADIT_CONTROL_HOST_VM_KEPT_NET_H
#define ADIT_CONTROL_HOST_VM_KEPT_NET_H

#include <jansson.h>

#include "base/err.h"
#include "base/strvec.h"

/* Makes the taps that networks lists (NULL: none), puts them in their bridges, and rewrites the
 * words of argv that name them: QEMU gets their descriptors, which are open from now on and stay so
 * over exec. */
int vm_kept_open_networks(const json_t *networks, struct strvec *argv, struct err *e);

#endif
