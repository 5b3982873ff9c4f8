/* A VM's RAM in QEMU's own words: what it has for good, and what comes and goes. No I/O. */
#ifndef ADIT_CONTROL_VM_VMDESC_MEMORY_H
#define ADIT_CONTROL_VM_VMDESC_MEMORY_H

#include <jansson.h>
#include <stdint.h>

/* Bytes of RAM that the VM has whatever its guest does: base memory and DIMMs. summary and
 * devices: the answers of query-memory-size-summary and query-memory-devices, the latter may be
 * NULL. *elastic is what virtio-mem devices may have at most: how much of it is plugged moves
 * with their state. */
uint64_t vmdesc_memory_fixed(const json_t *summary, const json_t *devices, uint64_t *elastic);

#endif
