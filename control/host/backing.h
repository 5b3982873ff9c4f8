/*
 * Backing files on the destination: what stands below an overlay that is made for
 * --copy-storage inc. Their contents name further files, and a peer may have written
 * them, so the chain is read here, header by header, before QEMU sees any of it.
 */
#ifndef ADIT_CONTROL_HOST_BACKING_H
#define ADIT_CONTROL_HOST_BACKING_H

#include "base/err.h"
#include "base/strvec.h"
#include "control/vm.h"

/* The folder of dirs (NULL at the end) that has a file of the same last name as what the
 * source has below disk d: its path goes to path. ERR_REFUSED when none has. */
int backing_find(const char *const *dirs, const struct vmdesc_disk *d,
		 const struct vmdesc_backing *b, char *path, size_t size, struct err *e);

/* Holds the image at path to b, and everything below it to the rules: raw or qcow2, each
 * with its format named by the one above; only files that lie in one of dirs, also behind
 * links; no data files; nobody writes to them now. The paths, as QEMU will open them, are
 * appended to chain. ERR_REFUSED names the file and the mend. */
int backing_look(const char *const *dirs, const char *path, const struct vmdesc_backing *b,
		 struct strvec *chain, struct err *e);

#endif
