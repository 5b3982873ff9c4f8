/* Text and numbers in JSON, of QEMU, of a record or of a peer, where none is as good as an empty
 * one. */
#ifndef ADIT_CONTROL_VM_JSON_TEXT_H
#define ADIT_CONTROL_VM_JSON_TEXT_H

#include <jansson.h>
#include <stdint.h>

/* The text at key in o (borrowed, o's), "" where there is none, or no object. */
const char *json_text(const json_t *o, const char *key);

/* The number at key in o, 0 where there is none, or one below 0. */
uint64_t json_number(const json_t *o, const char *key);

#endif
