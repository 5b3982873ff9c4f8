/* The drives of a VM, read from its QEMU. */
#ifndef ADIT_CONTROL_VMDESC_DISKS_H
#define ADIT_CONTROL_VMDESC_DISKS_H

#include <jansson.h>

#include "control/qargs.h"

/* The `disks` of a description (docs/cookies.md), a new array, from query-block and
 * query-named-block-nodes (flat). q may be empty where the command line is not known.
 * Names of files are relative to cwd. */
json_t *vmdesc_read_disks(const json_t *blocks, const json_t *nodes, const struct qargs *q,
			  const char *cwd);

/* QEMU names a node that no plain name can stand for by its options, "json:{...}": the
 * name of the file below it, or name itself. *format, of size bytes as *file, is the driver above
 * that file and below filters, "" when not known. */
void vmdesc_disks_resolve(const char *name, char *file, char *format, size_t size);

#endif
