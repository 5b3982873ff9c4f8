/*
 * What a destination can say of a VM that may come, without making anything: it compares,
 * and looks at files. What QEMU there can do was asked before (check_probe.h).
 */
#ifndef ADIT_CONTROL_CHECK_CHECK_DESTINATION_H
#define ADIT_CONTROL_CHECK_CHECK_DESTINATION_H

#include <stdint.h>

#include "control/check/check.h"
#include "control/check/check_source.h"
#include "control/twin.h"
#include "control/vm.h"

/* All borrowed. */
struct check_there {
	const struct vmdesc *vm;
	struct check_wish wish;
	const char *compression; /* NULL: none */
	const json_t *qemu;	 /* check_probe's answers */
	bool waits;		 /* of one that waits; else of a binary that would be launched */
	const struct twin *plan; /* its images; NULL when it waits */
	const struct user *user; /* who runs the one that is launched */
	const struct rights *rights;		/* of whom it comes from */
	uint64_t memory_available, memory_most; /* bytes; most: with swap; 0: not known */
	const char *cpu_flags;			/* of this host */
};

/* Appends to c: qemu-version, architecture, accelerator, machine, cpu, memory, capabilities,
 * and for a plan images and disk-space, else waiting and drives. */
void check_destination(struct check *c, const struct check_there *t);

/* Reads /proc/meminfo: what can be had now, and all that there is, swap included; 0: not known. */
void check_memory(uint64_t *available, uint64_t *most);

#endif
