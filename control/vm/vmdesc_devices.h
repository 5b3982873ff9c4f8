/* Which devices came or went after a QEMU was started. */
#ifndef ADIT_CONTROL_VM_VMDESC_DEVICES_H
#define ADIT_CONTROL_VM_VMDESC_DEVICES_H

#include <jansson.h>

#include "control/vm/qargs.h"

/* Holds the command line q to what `qom-list` gave of /machine/peripheral and
 * /machine/peripheral-anon, and sets vm's lists `plugged` and `unplugged`. Gives the
 * ids that are in both. */
json_t *vmdesc_compare_devices(json_t *vm, const struct qargs *q, const json_t *peripheral,
			       const json_t *anon);

#endif
