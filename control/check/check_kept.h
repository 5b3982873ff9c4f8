/*
 * What of an image is not in the bytes that the guest sees, and so is in no copy of them:
 * internal snapshots, dirty bitmaps, other files, marks. No I/O.
 */
#ifndef ADIT_CONTROL_CHECK_CHECK_KEPT_H
#define ADIT_CONTROL_CHECK_CHECK_KEPT_H

#include "control/check/check.h"
#include "control/vm.h"
#include "control/wish.h"

/* Appends to c what would be lost of the images that are copied. Checks: snapshots (an error
 * unless config->drop_snapshots), image, bitmaps. */
void check_kept(struct check *c, const struct vmdesc_report *r,
		const struct migrate_config *config);

#endif
