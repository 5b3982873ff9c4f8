/*
 * A command's options, one after the other: getopt_long, and what it does not see. Refused are, in
 * one line each: an option that there is not (with the one that may have been meant), one without
 * its value, with an empty one or with another option in its place, one that was given two values,
 * and two that contradict each other. What says the same again may stand there twice, but
 * for credentials (creds_options.h), which are given once.
 */
#ifndef ADIT_CLI_COMMON_OPTIONS_H
#define ADIT_CLI_COMMON_OPTIONS_H

#include <getopt.h>

#include "base/err.h"

enum { OPTIONS_MAX = 64 };

enum {
	OPTIONS_END = -1,
	OPTIONS_WRONG = -2, /* it has been told of: the exit status is EXIT_USAGE */
};

/* Owned by the command, zeroed but for the first part, for its parsing. */
struct options {
	const char *command; /* for the messages */
	int argc;
	char **argv;
	const char *shorts;	    /* as getopt_long takes them, with ":" in front */
	const struct option *longs; /* at most OPTIONS_MAX */
	const char *const *many;    /* names of those that may be repeated, and NULL; or NULL */
	const char *const *apart;   /* names in pairs that cannot go together, and NULL; or NULL */
	const char *rest; /* what words behind "--" are, where there may be such; or NULL */

	int index; /* of the one that has come, in longs; -1: it has no name */
	const char
	    *given[OPTIONS_MAX]; /* the last value of each; "" without one; NULL: not there */
};

/* The next one: what getopt_long returns, with its value in optarg; OPTIONS_END or OPTIONS_WRONG.
 */
int options_next(struct options *o);

/* All of them: help is printed at -h (--help), take has each other one, with its value; ERR_USAGE
 * from it is told. -1 to go on, else the exit status. */
int options_take(struct options *o, const char *help,
		 int (*take)(void *ctx, int c, const char *value, struct err *e), void *ctx);

/* The value of the option with that name; "" if it takes none, NULL if it was not given. */
const char *options_given(const struct options *o, const char *name);

#endif
