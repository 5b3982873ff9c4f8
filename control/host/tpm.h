/* The socket by which a QEMU of this host has its TPM emulator (swtpm). */
#ifndef ADIT_CONTROL_HOST_TPM_H
#define ADIT_CONTROL_HOST_TPM_H

#include "base/err.h"

struct user;

/* A socket at path, u's where that is given, that listens before swtpm runs: QEMU need not wait for
 * it. The descriptor is the caller's, and close-on-exec; -1 with ERR_SYSTEM. */
int tpm_listen(const char *path, const struct user *u, struct err *e);

#endif
