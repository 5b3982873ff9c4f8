/*
 * Configuration files of QEMU's (-readconfig FILE), written out as options, so that a VM with one
 * has a command line that is all of it.
 */
#ifndef ADIT_CONTROL_VM_READCONFIG_H
#define ADIT_CONTROL_VM_READCONFIG_H

#include <jansson.h>
#include <sys/types.h>

#include "base/err.h"

/* Replaces each -readconfig of the process pid in argv by the options that its file stands for.
 * The file is read as QEMU's own user. ERR_REFUSED: it is not there any more, was changed after
 * the VM's start, or has what no option of the command line says. */
int readconfig_expand(json_t *argv, pid_t pid, struct err *e);

/* The options of one file's text, appended to out; name is for the message. Cuts text up. */
int readconfig_parse(char *text, const char *name, json_t *out, struct err *e);

#endif
