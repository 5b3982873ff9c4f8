/*
 * What can be seen on the source before a migration, in what vmdesc_read gave. No I/O.
 */
#ifndef ADIT_CONTROL_CHECK_CHECK_SOURCE_H
#define ADIT_CONTROL_CHECK_CHECK_SOURCE_H

#include "control/check/check.h"
#include "control/vm.h"
#include "control/wish.h"

/* Appends to c what the report r says of a migration as config wants it; vmdesc_select has
 * chosen the disks. Checks: monitor, state, command-line, block-jobs, blockers, host-devices,
 * snapshots, image, bitmaps, encryption, limits, networks, capabilities, disks. */
void check_source(struct check *c, const struct vmdesc_report *r,
		  const struct migrate_config *config);

/* The capabilities that a migration needs beside the usual ones, and how they are called. */
struct check_wish {
	bool multifd, xbzrle, auto_converge, postcopy, preempt;
};

/* Appends what of wish is not among caps (query-migrate-capabilities of the QEMU `qemu`, a
 * version; where: "here" or "on the destination"), or that all is. */
void check_capabilities(struct check *c, const struct check_wish *wish, const json_t *caps,
			const char *qemu, const char *where);

#endif
