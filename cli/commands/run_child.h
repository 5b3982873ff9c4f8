/* adit run's COMMAND: a child in the same process group, at the same terminal, with the same
 * descriptors. */
#ifndef ADIT_CLI_COMMANDS_RUN_CHILD_H
#define ADIT_CLI_COMMANDS_RUN_CHILD_H

#include <sys/types.h>

#include "base/err.h"

/* What a shell ends with for a command that cannot be run, or is not to be found. */
enum { RUN_CHILD_NOT_RUN = 126, RUN_CHILD_NOT_FOUND = 127 };

/* Starts argv[0], sought as a shell does, with what we had ourselves when we were started
 * (inherited.h). Its process id; or -1 with *e and, in *status, what to exit with. */
pid_t run_child_start(char *const *argv, char *const *envp, int *status, struct err *e);

/* What a shell makes of waitpid's status: the exit status, or 128 and the signal. */
int run_child_status(int wait_status);

#endif
