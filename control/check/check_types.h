/*
 * What the command line of a twin names that a QEMU may not have: types of devices (which may be in
 * modules that are not installed there), objects and networks, and what is set of each. QEMU is
 * asked for exactly these, as to load all of its modules is more than some can do.
 */
#ifndef ADIT_CONTROL_CHECK_CHECK_TYPES_H
#define ADIT_CONTROL_CHECK_CHECK_TYPES_H

#include <jansson.h>
#include <stddef.h>

#include "control/check/check.h"
#include "control/twin.h"

/* What to ask for, an array of words like "device:qxl-vga", each once; owned by the caller. */
json_t *check_types_of(const struct twin *t);

/* The question of the word of that kind, as a command of QMP with id; owned by the caller. */
json_t *check_types_question(const char *word, size_t id);

/* What QEMU said (JSON objects, a line each) to the questions for wanted, whose ids are their
 * places in it: an object of {"device:qxl-vga": [names of its properties], or false: QEMU has it
 * not}. What was not answered is not in it, but the first such: that is {"...": "why"} where why is
 * not NULL, with which QEMU ended. Owned by the caller. */
json_t *check_types_read(const char *text, size_t len, const json_t *wanted, const char *why);

/* Appends "devices" for each that QEMU (of that version) has not, or one for all of them. */
void check_types(struct check *c, const struct twin *t, const json_t *types, const char *version);

#endif
