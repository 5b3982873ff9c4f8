/*
 * I/O limits of a VM's disks, as they are at run time: those of a drive (block_set_io_throttle) and
 * those of a throttle-group object, in one shape: QEMU's ThrottleLimits (`bps-total`,
 * `iops-read-max`, ...), of which what is 0 is left out.
 */
#ifndef ADIT_CONTROL_VM_THROTTLE_H
#define ADIT_CONTROL_VM_THROTTLE_H

#include <jansson.h>
#include <stdbool.h>

/* The limits of a drive, from the `inserted` of query-block; a new object, empty without any. */
json_t *throttle_of_drive(const json_t *inserted);

/* The same of what `qom-get limits` gave of a throttle-group; v may be NULL. */
json_t *throttle_of_group(const json_t *v);

/* The arguments of block_set_io_throttle that give limits to the drive with that device (the id of
 * -drive) or qdev; group may be "". Owned by the caller. */
json_t *throttle_drive_args(const json_t *limits, const char *device, const char *qdev,
			    const char *group);

/* The arguments of qom-set that give limits to the throttle-group object id. */
json_t *throttle_group_args(const json_t *limits, const char *id);

#endif
