/*
 * The file that a secret of QEMU's is read from.
 */
#ifndef ADIT_CONTROL_VM_SECRET_FILE_H
#define ADIT_CONTROL_VM_SECRET_FILE_H

#include <sys/types.h>

#include "base/err.h"

/* The most bytes that a secret may have. */
enum { SECRET_MAX = 16384 };

/* Opens file, as process pid names it: a link in its root leads to no file outside of that. One
 * that its user may not read is not read for it, by whatever the kernel judges. A descriptor, or -1
 * with ERR_REFUSED: the end of a sentence that begins with the secret. */
int secret_file_open(pid_t pid, const char *file, struct err *e);

#endif
