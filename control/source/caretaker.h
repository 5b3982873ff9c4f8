/*
 * The caretaker: part of adit serve. It recovers the jobs of this host's source journal whose
 * process has died, when adit serve starts and every now and then after that, so that a
 * VM that stands still because adit migrate was killed does not wait for a person.
 */
#ifndef ADIT_CONTROL_SOURCE_CARETAKER_H
#define ADIT_CONTROL_SOURCE_CARETAKER_H

#include "base/err.h"

struct caretaker;
struct event_base;

/* state_dir is copied. NULL with ERR_SPACE. */
struct caretaker *caretaker_new(struct event_base *base, const char *state_dir, struct err *e);

/* What is under way stays in the journal. NULL is fine. */
void caretaker_free(struct caretaker *c);

#endif
