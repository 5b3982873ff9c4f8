/* The TPM of a VM that --persistent keeps, started again with it. */
#ifndef ADIT_CONTROL_HOST_VM_KEPT_TPM_H
#define ADIT_CONTROL_HOST_VM_KEPT_TPM_H

#include "base/err.h"

struct vm_kept;

/* Starts swtpm, where k has a TPM, as its user, on the socket in its folder, which listens from now
 * on. It has none of our descriptors, and ends with this process, whatever that is by then: also
 * where it comes to no QEMU. */
int vm_kept_start_tpm(const struct vm_kept *k, struct err *e);

#endif
