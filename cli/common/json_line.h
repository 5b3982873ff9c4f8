/* What a program reads of a command: JSON on standard output, a line each, at once. */
#ifndef ADIT_CLI_COMMON_JSON_LINE_H
#define ADIT_CLI_COMMON_JSON_LINE_H

#include <jansson.h>

/* Prints v; "null" where that is NULL, or memory is short. */
void json_line(const json_t *v);

/* Prints o, and frees it. NULL prints nothing. */
void json_line_take(json_t *o);

#endif
