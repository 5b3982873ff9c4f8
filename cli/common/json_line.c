/* See json_line.h. */
#include "cli/common/json_line.h"

#include <stdio.h>
#include <stdlib.h>

void json_line(const json_t *v)
{
	char *text = v ? json_dumps(v, JSON_COMPACT) : NULL;

	puts(text ? text : "null");
	fflush(stdout);
	free(text);
}

void json_line_take(json_t *o)
{
	if (o)
		json_line(o);
	json_decref(o);
}
