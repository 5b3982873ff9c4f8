/*
 * Whether a QEMU that waits for a VM is like the source's, as far as it can be seen
 * beforehand: what differs would fail only at the end, after all the disks have been copied.
 */
#ifndef ADIT_CONTROL_TWIN_MATCH_H
#define ADIT_CONTROL_TWIN_MATCH_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "control/vmdesc.h"

/* What it answered; NULL where it did not. Borrowed. */
struct twin_answers {
	const json_t *block, *nodes; /* query-block, query-named-block-nodes */
	const json_t *memory, *cpus; /* query-memory-size-summary, query-cpus-fast */
	const json_t *machine;	     /* `qom-get` of the machine's type */
	const json_t *target, *name; /* query-target, query-name */
	pid_t pid;		     /* of its process */
};

/* Holds name, architecture, machine type, RAM and CPUs to d. ERR_QEMU names what differs. */
int twin_match(const struct vmdesc *d, const struct twin_answers *a, struct err *e);

struct twin_drive {
	const char *node, *file; /* the answers' own; file may be NULL */
	uint64_t size;		 /* bytes */
};

/* Finds the drive that stands for the disk d of vm, and holds it to that. ERR_QEMU,
 * ERR_SPACE (too small), ERR_REFUSED (the source's own file). */
int twin_match_drive(const struct vmdesc *vm, const struct vmdesc_disk *d,
		     const struct twin_answers *a, struct twin_drive *out, struct err *e);

#endif
