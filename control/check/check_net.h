/*
 * The VM's networks, as the source has them. No I/O.
 */
#ifndef ADIT_CONTROL_CHECK_CHECK_NET_H
#define ADIT_CONTROL_CHECK_CHECK_NET_H

#include "control/check/check.h"
#include "control/vm.h"
#include "control/wish.h"

/* Appends to c where each of the VM's taps hangs, and what of its port does not go over. What it is
 * to be there is the destination's to say. Check: networks. */
void check_net(struct check *c, const struct vmdesc_report *r, const struct migrate_config *config);

#endif
