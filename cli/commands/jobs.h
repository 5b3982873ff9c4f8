/* The jobs of this host's adits, for the commands that look at them and steer them: those of
 * adit serve (RUN_DIR/api.sock) and of each adit migrate (RUN_DIR/jobs/JOB.sock). */
#ifndef ADIT_CLI_COMMANDS_JOBS_H
#define ADIT_CLI_COMMANDS_JOBS_H

#include <getopt.h>
#include <jansson.h>

#include "base/addr.h"
#include "base/err.h"
#include "cli/common/usage.h"

/* Options that all these commands take. */
enum { JOBS_OPTION_API = OPTION_SERVE_API, JOBS_OPTION_RUN_DIR, JOBS_OPTION_JSON };

#define JOBS_OPTIONS_LONG                                                                          \
	{"api", required_argument, NULL, JOBS_OPTION_API},                                         \
	    {"run-dir", required_argument, NULL, JOBS_OPTION_RUN_DIR},                             \
	    {"json", no_argument, NULL, JOBS_OPTION_JSON},                                         \
	{                                                                                          \
		"help", no_argument, NULL, 'h'                                                     \
	}

#define JOBS_OPTIONS_HELP                                                                          \
	"  --api SOCKET        of this adit only, by its API's socket\n"                           \
	"  --run-dir DIR       where sockets of adits are looked for: /run/adit for root, else\n"  \
	"                      $XDG_RUNTIME_DIR/adit\n"

struct jobs_options {
	const char *api, *run_dir;
	int json;
};

/* For struct options. */
extern const char *const jobs_options_apart[];

/* Takes what options_next returned: 1 when it was one of ours (without the help), else 0; ERR_USAGE
 * when the value cannot be one. */
int jobs_options_take(struct jobs_options *o, int option, const char *value, struct err *e);

struct job_seen {
	char socket[ADDR_UNIX_MAX + 1];
	json_t *task; /* owned */
};

struct jobs {
	struct job_seen *at;
	size_t count;
	struct err silent; /* one of several adits is there, and does not tell its jobs */
};

/* All of them, the oldest first. ERR_CLOSED when --api names one that does not answer,
 * ERR_SYSTEM or ERR_CONFIG when --run-dir names what is no folder or cannot be read. */
int jobs_read(struct jobs *j, const struct jobs_options *o, struct err *e);
void jobs_fini(struct jobs *j);

/* The one whose id begins with id; with id NULL the only one that runs, or the only one.
 * NULL with ERR_CLOSED when there is none, ERR_USAGE when there are several. */
const struct job_seen *jobs_find(const struct jobs *j, const char *id, struct err *e);

/* A text of the task, "" when it is not there; a number likewise. */
const char *jobs_text(const json_t *task, const char *key);
json_int_t jobs_number(const json_t *o, const char *key);

#endif
