/*
 * What came and went after a QEMU was started, put into its command line: as if it had been there
 * from the start. A device is written as -device with each property that is not its default,
 * in the place that it has; the block nodes that it needs as -blockdev, RAM behind it as -object.
 * What cannot be written so stays in the list `plugged`.
 */
#ifndef ADIT_CONTROL_VM_VMDESC_PLUGGED_H
#define ADIT_CONTROL_VM_VMDESC_PLUGGED_H

#include <jansson.h>

#include "base/err.h"
#include "control/vm/vmdesc_nodes.h"

struct qmp;

/* Asks q what the devices are whose ids are in vm's list `plugged`. kept: ids that are in the
 * command line and there: one that was plugged in all the same, under the id of another, is put
 * into vm's lists `plugged` and `unplugged`. peripheral: `qom-list` of /machine/peripheral. fn gets
 * (to take over) {devices, objects, places}: a list of {id, type, bus, listed, values}, with
 * `device-list-properties` and the value of each; `qom-list` of /objects; and of each kept one
 * {addr, scsi-id, lun, nr, nsid, port}; all as far as QEMU tells. Or NULL and why. Where the
 * connection is given up before, destroy has ctx instead. */
typedef void vmdesc_on_plugged(void *ctx, json_t *asked, const struct err *e);
void vmdesc_plugged_ask(struct qmp *q, json_t *vm, json_t *kept, json_t *peripheral,
			vmdesc_on_plugged *fn, void *ctx, void (*destroy)(void *ctx));

/* Amends vm's argv, plugged and unplugged. block: query-block; info: `info network`. */
void vmdesc_plugged_amend(json_t *vm, const json_t *asked, const json_t *block,
			  const struct vmdesc_nodes *nodes, const char *info);

#endif
