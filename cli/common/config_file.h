/*
 * Reads a configuration file: sections, keys and values, as libinih splits them, and says
 * of each error in which line it is. What they mean is config.h's.
 */
#ifndef ADIT_CLI_COMMON_CONFIG_FILE_H
#define ADIT_CLI_COMMON_CONFIG_FILE_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/err.h"

/* Where it is looked for when nobody says otherwise. */
#define CONFIG_FILE_DEFAULT "/etc/adit/adit.conf"

/* Both return 0 or an error, which ends the reading; line is where it stands. */
struct config_file_ops {
	/* What is between the brackets, which may be anything. */
	int (*on_section)(void *ctx, const char *name, unsigned line, struct err *e);
	/* In the last section, "" being the one before the first. A value over several lines
	 * comes as several with the same key. */
	int (*on_key)(void *ctx, const char *key, const char *value, unsigned line, struct err *e);
};

/* name is the file's in errors, "NAME:LINE: ...". 0 or ERR_CONFIG (ERR_SPACE). */
int config_file_parse(FILE *f, const char *name, const struct config_file_ops *ops, void *ctx,
		      struct err *e);

/* Whether a file that adit goes by or runs can be written to by another user than its owner: by
 * everybody, or by a group that is neither root's nor this process's. */
bool config_file_is_loose(const struct stat *st);

/* Opens path and parses it. It must belong to root or to the user who runs adit, and not be
 * loose: it says which programs are run. ERR_CONFIG, ERR_SYSTEM. */
int config_file_read(const char *path, const struct config_file_ops *ops, void *ctx, struct err *e);

#endif
