/* A growing list of strings, ended by NULL: argument vectors and notes. */
#ifndef ADIT_BASE_STRVEC_H
#define ADIT_BASE_STRVEC_H

#include <stddef.h>

/* Embedded; zeroed is empty. failed is set when memory was short once. */
struct strvec {
	char **at; /* count strings and a NULL; NULL itself while empty */
	size_t count;
	int failed;
};

/* Append a copy of s, or a formatted string. */
void strvec_push(struct strvec *v, const char *s);
void strvec_pushf(struct strvec *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Whether s is in it. */
int strvec_has(const struct strvec *v, const char *s);

void strvec_fini(struct strvec *v);

#endif
