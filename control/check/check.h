/*
 * Findings: what was looked at before a migration, and what was found. Each is a line for
 * a person, and an object for a program (docs/checks.md lists them all).
 */
#ifndef ADIT_CONTROL_CHECK_CHECK_H
#define ADIT_CONTROL_CHECK_CHECK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum check_level {
	CHECK_OK,
	CHECK_WARNING, /* the migration goes on, and somebody should know */
	CHECK_ERROR,   /* the migration is refused */
};

enum { CHECK_NAME_MAX = 64, CHECK_FINDINGS_MAX = 1000, CHECK_LINE_MAX = 2 * ERR_TEXT_MAX + 4 };

struct check_finding {
	char check[CHECK_NAME_MAX]; /* what was looked at: letters and '-' */
	enum check_level level;
	char text[ERR_TEXT_MAX]; /* one sentence that names the thing */
	char mend[ERR_TEXT_MAX]; /* what to do about it; "" when there is nothing to do */
};

/* Embedded; zeroed is empty. failed: memory was short, or there were too many. */
struct check {
	struct check_finding *at;
	size_t count, room;
	bool failed;
};

/* Appends a finding. mend may be NULL. What is too long is cut, at a character's end. */
void check_add(struct check *c, enum check_level level, const char *name, const char *mend,
	       const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* The same with a sentence that is there already, its mend within it. */
void check_add_err(struct check *c, enum check_level level, const char *name, const struct err *e);

/* Appends all of more. */
void check_append(struct check *c, const struct check *more);

/* Whether there is a finding of that name and at least that level. */
bool check_has(const struct check *c, const char *name, enum check_level level);

/* How many there are of that level. */
size_t check_count(const struct check *c, enum check_level level);

/* The first error as a sentence, "text: mend", in *e (ERR_REFUSED); 0 when there is none. A
 * list that is not whole (failed) is an error too. */
int check_refuse(const struct check *c, struct err *e);

/* "text: mend", or the text alone; buf of CHECK_LINE_MAX bytes. Returns buf. */
char *check_line(const struct check_finding *f, char *buf, size_t size);

const char *check_level_name(enum check_level level);

/* One finding as JSON, {"check","level","text","mend"}; all of them as an array, in the
 * shape of the cookie "checked". Owned by the caller; NULL when memory is short. */
json_t *check_finding_json(const struct check_finding *f);
json_t *check_to_json(const struct check *c);

/* Appends what an array of the cookie "checked" holds. ERR_PROTOCOL: a level is unknown. */
int check_from_json(struct check *c, const json_t *findings, struct err *e);

void check_fini(struct check *c);

#endif
