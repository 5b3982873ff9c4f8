/*
 * A VM that --persistent keeps: how it is started again, by what the destination wrote of it
 * (STATE/vms/NAME.json).
 */
#ifndef ADIT_CONTROL_HOST_VM_KEPT_H
#define ADIT_CONTROL_HOST_VM_KEPT_H

#include <jansson.h>

#include "base/err.h"
#include "base/strvec.h"
#include "base/user.h"

/* Embedded; zeroed. */
struct vm_kept {
	json_t *file;		/* what the rest is borrowed from */
	int lock_fd;		/* that file; 0: not open */
	const char *name, *dir; /* dir: its private folder, for its sockets */
	struct strvec argv;
	struct user user; /* whose it is to be; not given: ours */
};

/* Reads what state_dir has of name, which is refused where it is another user's, or others may
 * write to it: whoever can write there has the VM run what they like; and where the VM has moved
 * away, or may have (ERR_REFUSED). ERR_CLOSED when there is none. */
int vm_kept_read(struct vm_kept *k, const char *state_dir, const char *name, struct err *e);
void vm_kept_fini(struct vm_kept *k);

/* Becomes that VM: locks its file until QEMU ends, makes its folder anew, leaves in it who it is
 * (vms_record), and runs QEMU in place of this program, as its user. Returns only with *e: it runs
 * already (ERR_REFUSED), or cannot be run. */
int vm_kept_run(struct vm_kept *k, struct err *e);

#endif
