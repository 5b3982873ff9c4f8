/* --background and --pid-file: a program that has proved to work leaves the terminal. */
#ifndef ADIT_CLI_COMMANDS_BACKGROUND_H
#define ADIT_CLI_COMMANDS_BACKGROUND_H

#include "base/err.h"

/* Zeroed but for the descriptors, which are -1: BACKGROUND_INIT. */
struct background {
	int ready_fd;	/* the child's end of the pipe that the parent waits on */
	int pid_fd;	/* the pid file, locked */
	char *pid_file; /* absolute; removed at the end */
};

#define BACKGROUND_INIT                                                                            \
	{                                                                                          \
		-1, -1, NULL                                                                       \
	}

/* Forks. In the child it returns 0 and the child goes on, still at the terminal,
 * where it says what goes wrong. The parent does not return: it exits with 0 once
 * the child calls background_ready, or with the child's status, or 1. Call it
 * before there are threads, an event loop or anything else that a fork breaks. */
int background_fork(struct background *b, struct err *e);

/* Makes, locks and fills the pid file. ERR_CONFIG when another running process
 * holds it. */
int background_write_pid(struct background *b, const char *file, struct err *e);

/* All is well: lets the parent go, begins a session of its own in the directory /, and
 * puts /dev/null in the place of standard input and output, and of standard error unless that is a
 * plain file. Nothing for a process that was not forked. */
void background_ready(struct background *b);

/* Removes the pid file. */
void background_fini(struct background *b);

#endif
