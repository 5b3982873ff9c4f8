/* The drives of a VM, read from its QEMU. */
#ifndef ADIT_CONTROL_VM_VMDESC_DISKS_H
#define ADIT_CONTROL_VM_VMDESC_DISKS_H

#include <jansson.h>

#include "control/vm/qargs.h"
#include "control/vm/vmdesc_nodes.h"

/* The `disks` of a description (docs/cookies.md), a new array, from query-block and
 * the block graph. q may be empty where the command line is not known.
 * Names of files are relative to cwd. */
json_t *vmdesc_read_disks(const json_t *blocks, const struct vmdesc_nodes *nodes,
			  const struct qargs *q, const char *cwd);

#endif
