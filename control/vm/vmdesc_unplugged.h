/* What was plugged out of a VM, taken out of its command line. */
#ifndef ADIT_CONTROL_VM_VMDESC_UNPLUGGED_H
#define ADIT_CONTROL_VM_VMDESC_UNPLUGGED_H

#include <jansson.h>

/* Takes each device of vm's list `unplugged` out of vm's argv, with the -drive that went with it,
 * and out of the list. QEMU gives what has no place in its words the next one that is free, so
 * those behind it are written with theirs. places: {ID: {addr, scsi-id, lun, nr}}, as far as QEMU
 * tells; a device stays in the list where one behind it would move. block: query-block. */
void vmdesc_take_out(json_t *vm, const json_t *places, const json_t *block);

#endif
