/* Lists of strings: see strvec.h. */
#include "base/strvec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take(struct strvec *v, char *s)
{
	char **at = s ? realloc(v->at, (v->count + 2) * sizeof(*at)) : NULL;

	if (!at) {
		free(s);
		v->failed = 1;
		return;
	}
	v->at = at;
	at[v->count++] = s;
	at[v->count] = NULL;
}

void strvec_push(struct strvec *v, const char *s)
{
	take(v, strdup(s));
}

void strvec_pushf(struct strvec *v, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	take(v, s);
}

int strvec_has(const struct strvec *v, const char *s)
{
	for (size_t i = 0; i < v->count; i++)
		if (strcmp(v->at[i], s) == 0)
			return 1;
	return 0;
}

void strvec_fini(struct strvec *v)
{
	for (size_t i = 0; i < v->count; i++)
		free(v->at[i]);
	free(v->at);
	memset(v, 0, sizeof(*v));
}
