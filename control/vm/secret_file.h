/*
 * The file that a secret of QEMU's, or a medium, is read from.
 */
#ifndef ADIT_CONTROL_VM_SECRET_FILE_H
#define ADIT_CONTROL_VM_SECRET_FILE_H

#include <sys/types.h>

#include "base/err.h"

/* The most bytes that a secret may have. */
enum { SECRET_MAX = 16384 };

/* Opens file, a regular one, as process pid names it: a link in its root leads to no file outside
 * of that. One that its user may not read is not read for it, by whatever the kernel judges. What
 * else has that name is not opened even for a moment: of some devices that is an order. A
 * descriptor, or -1 with errno, EISDIR for what is no regular file. */
int secret_file_open_plain(pid_t pid, const char *file);

/* The same, of a secret: -1 with ERR_REFUSED, the end of a sentence that begins with it. */
int secret_file_open(pid_t pid, const char *file, struct err *e);

#endif
