/*
 * Limits for a time, of a VM's disks: what is to be set so that the guest writes no faster than
 * the line carries, and so that a throttle filter holds up the guest as before but not the copy.
 * Only words; asks and sets nothing itself (migrate_pace.c does).
 */
#ifndef ADIT_CONTROL_VM_PACE_H
#define ADIT_CONTROL_VM_PACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/vm/vmdesc_nodes.h"

/* The limits (throttle.h; NULL: none) with writes held to bytes and ops a second too, of both the
 * lower one, and without a burst of writes where they are held. Reads keep what they had: a limit
 * of the sum is the reads' from then on. A new object. */
json_t *pace_lower(const json_t *limits, uint64_t bytes, uint64_t ops);

/* The throttle filters whose limits can be the device's while the disk is copied: an object, the
 * id of a throttle group by the name of the disk. A group is among them when each filter that uses
 * it is above the image of a disk that is copied (`copy`), whose device can be told limits and
 * has none of its own, and when no device is in a group of that name. vm and disks: as
 * vmdesc_read gives them. A new object, empty without any. */
json_t *pace_filters(const struct vmdesc_nodes *nodes, const json_t *vm, const json_t *disks);

/* The limits of the throttle group id in vm, borrowed; NULL without any. */
const json_t *pace_group_limits(const json_t *vm, const char *id);

/* Whether group, of a device's limits, is one that a migration makes for a time (migrate_pace.c)
 * for devices that had none: `adit-`, eight digits of the job, and perhaps `-` and a throttle
 * group's id. When a VM is read there is none of its own job's yet: an earlier one could not take
 * its limits back. */
bool pace_is_group(const char *group);

/* Likewise for devices that had limits: `adit-`, eight digits, `+` and the name of the group that
 * they were in. That name, within group; NULL of any other group. */
const char *pace_parted_from(const char *group);

/* The throttle group of a filter's node, into buf: "" of another node, or where QEMU does not tell.
 * Returns buf. */
char *pace_group_of(const json_t *node, char *buf, size_t size);

#endif
