/* Text in JSON, from QEMU or out of a record, where none is as good as an empty one. */
#ifndef ADIT_CONTROL_VM_JSON_TEXT_H
#define ADIT_CONTROL_VM_JSON_TEXT_H

#include <jansson.h>

/* The text at key in o (borrowed, o's), "" where there is none, or no object. */
const char *json_text(const json_t *o, const char *key);

#endif
