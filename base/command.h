/* Another program, run to its end and waited for: for answers that come at once, from a place that
 * may wait for them. */
#ifndef ADIT_BASE_COMMAND_H
#define ADIT_BASE_COMMAND_H

#include "base/err.h"

/* The beginning of what it said, each ended by NUL, without what no terminal should get. */
struct command_said {
	int status;	/* that it ended with; -1: otherwise */
	int signal;	/* that ended it, of somebody else's; 0: none did */
	char out[1024]; /* as it was, with its newlines */
	char err[256];	/* the first line of it that is not empty */
};

/* Runs argv[0], a path, or a name looked up in PATH, as our own user, in a session of its own and
 * in /, with env for its environment (NULL: ours), nothing to read, and no descriptor of ours. It
 * is killed, with what it started in its session's group, after limit_ms. Safe after fork. 0;
 * ERR_SYSTEM, ERR_CLOSED: it could not be run, ended otherwise than with status 0, or did not end
 * in time; the text names argv[0], and says what it said first on its standard error. */
int command_run(char *const *argv, char *const *env, unsigned limit_ms, struct command_said *said,
		struct err *e);

/* Likewise; but SIGTERM, SIGINT and SIGHUP do nothing to it, nor to what it starts: for what is to
 * be put in order where systemd tells all processes of a service to end. */
int command_run_deaf(char *const *argv, char *const *env, unsigned limit_ms,
		     struct command_said *said, struct err *e);

#endif
