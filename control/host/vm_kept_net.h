/* The networks of a VM that --persistent keeps, made anew for its next start. */
#ifndef ADIT_CONTROL_HOST_VM_KEPT_NET_H
#define ADIT_CONTROL_HOST_VM_KEPT_NET_H

#include "base/err.h"

struct vm_kept;

/* Makes the taps that its file lists (none is fine), puts them where they belong, and rewrites the
 * words of its argv that name them: QEMU gets their descriptors, which are open from now on and
 * stay so over exec. */
int vm_kept_open_networks(struct vm_kept *k, struct err *e);

#endif
