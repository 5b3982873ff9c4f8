/* What every subcommand says in the same words: help, misuse, failure. */
#ifndef ADIT_CLI_COMMON_USAGE_H
#define ADIT_CLI_COMMON_USAGE_H

#include "base/err.h"
#include "base/log.h"

/* Beside EXIT_SUCCESS and EXIT_FAILURE: docs/man/adit.1 has them all. */
enum {
	EXIT_USAGE = 2,
	EXIT_UNKNOWN = 3, /* nobody knows: the VM stands still here, and may run there */
};

/* Values of long options that have no letter; each command's own begin at
 * OPTION_OWN, those of creds_options.h at OPTION_CREDS, of migrate_options.h at
 * OPTION_MIGRATE and of serve_api.h at OPTION_SERVE_API. */
enum {
	OPTION_CREDS = 0x1000,
	OPTION_MIGRATE = 0x1800,
	OPTION_SERVE_API = 0x1c00,
	OPTION_OWN = 0x2000,
};

/* "adit COMMAND: WORDS; see adit COMMAND --help" on standard error; EXIT_USAGE. */
int usage_error(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "adit COMMAND: e's sentence" on standard error. EXIT_USAGE for ERR_USAGE (and
 * then with the way to the help), else 1. */
int usage_fail(const char *command, const struct err *e);

/* Writes help to standard output. 0, or 1 when that failed. */
int usage_help(const char *text);

/* What --log-level names: error, warning, info, debug. ERR_USAGE. */
int usage_parse_log_level(enum log_level *level, const char *text, struct err *e);

/* Sets the log's level to what --log-level names: error, warning, info, debug. ERR_USAGE. */
int usage_take_log_level(const char *text, struct err *e);

#endif
