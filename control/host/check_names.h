/* QEMUs of this host by their command lines, whoever started them. */
#ifndef ADIT_CONTROL_HOST_CHECK_NAMES_H
#define ADIT_CONTROL_HOST_CHECK_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Whether a command line (words with a zero byte behind each) is that of a QEMU with this name
 * (-name) or UUID (-uuid); either may be "". */
bool check_names_match(const char *cmdline, size_t len, const char *name, const char *uuid);

/* Goes over /proc; how many such processes there are, and the number of the first. What may not
 * be read is left out. */
size_t check_names_count(const char *name, const char *uuid, pid_t *first);

#endif
