/*
 * A folder for the sockets of one process, closed to all others, that is gone when the process
 * is: at the latest when the next one of this user makes its own.
 */
#ifndef ADIT_CLI_COMMANDS_PRIVATE_DIR_H
#define ADIT_CLI_COMMANDS_PRIVATE_DIR_H

#include "base/err.h"

enum { PRIVATE_DIR_MAX = 80 };

/* The name within it that is not free. */
#define PRIVATE_DIR_LOCK ".lock"

/* Zeroed but for the descriptor: PRIVATE_DIR_INIT. */
struct private_dir {
	char path[PRIVATE_DIR_MAX];
	int lock; /* within it; held for as long as the process lives */
};

#define PRIVATE_DIR_INIT                                                                           \
	{                                                                                          \
		"", -1                                                                             \
	}

/* Removes what processes that were killed have left, and makes the folder, with mode 0700: in
 * /run for root (whose $XDG_RUNTIME_DIR goes with his last login), else in $XDG_RUNTIME_DIR;
 * where that cannot be, in $TMPDIR or /tmp. */
int private_dir_make(struct private_dir *d, struct err *e);

/* Removes the folder with what is in it. Nothing when it was not made. */
void private_dir_remove(struct private_dir *d);

#endif
