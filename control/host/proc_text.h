/* A program that is asked something, on the loop: what it prints. */
#ifndef ADIT_CONTROL_HOST_PROC_TEXT_H
#define ADIT_CONTROL_HOST_PROC_TEXT_H

#include <stddef.h>

#include "base/err.h"

struct event_base;
struct proc_text;

/* It has ended well, and this is what it printed, len bytes, not ended by NUL and gone with the
 * proc_text; or *why is set (it ended otherwise, with the last line of its standard error, or not
 * in time), and len is 0. Once, from the loop; not after proc_text_free. */
typedef void proc_text_done(void *ctx, const char *text, size_t len, const struct err *why);

/* Starts argv[0] as proc_start does, as our own user. It is killed after limit_ms. What is beyond
 * 64 MiB is an error. NULL with *e. */
struct proc_text *proc_text_start(struct event_base *base, const char *const *argv,
				  unsigned limit_ms, proc_text_done *fn, void *ctx, struct err *e);

/* Kills it where it still runs. NULL is fine. */
void proc_text_free(struct proc_text *t);

#endif
