/* What a peer may forward to: patterns of targets. Nothing matches that is not named. */
#ifndef ADIT_PROXY_RULES_H
#define ADIT_PROXY_RULES_H

#include "base/addr.h"
#include "base/err.h"

struct rule;

/* Embedded; zeroed has no rules and allows nothing. */
struct rules {
	struct rule *first;
};

/* Adds a pattern: unix:/path or tcp:HOST:PORT with shell wildcards (`*`, `?`,
 * `[...]`, fnmatch(3)).
 *   unix: `*` and `?` match neither '/' nor the '.' that begins a name.
 *   tcp:  HOST is compared as it is written, never looked up: localhost is not
 *         127.0.0.1. An IPv6 address stands in brackets, and without wildcards.
 * ERR_USAGE when it is neither, or could never match. */
int rules_add(struct rules *r, const char *pattern, struct err *e);

/* Whether one of the patterns matches. A unix path with an empty, `.` or `..`
 * component never does. */
int rules_match(const struct rules *r, const struct addr *a);

/* The first rule, and the one behind another; NULL behind the last. */
const struct rule *rules_next(const struct rules *r, const struct rule *before);

/* The pattern as it was given. */
const char *rule_text(const struct rule *rule);

void rules_fini(struct rules *r);

#endif
