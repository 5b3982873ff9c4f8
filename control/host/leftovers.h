/*
 * Files and folders of adit serve's own making that are to go. What cannot be removed at once,
 * as its folder can only be read for a while, is tried again until it can, or adit serve ends.
 */
#ifndef ADIT_CONTROL_HOST_LEFTOVERS_H
#define ADIT_CONTROL_HOST_LEFTOVERS_H

#include "base/err.h"

struct event_base;
struct leftovers;

/* base is borrowed and outlives it. NULL with ERR_SPACE. */
struct leftovers *leftovers_new(struct event_base *base, struct err *e);

/* Removes a folder with the sockets and plain files in it, or a file, now or as soon as that can be
 * done. What has that name by then and is another one, or is in another folder, or an image that
 * somebody uses, is left alone; no link is followed but in the way to that folder. (Whoever may
 * write to that folder can put a file of it in the place of another in the very moment.) Nothing
 * there: nothing is done. l may be NULL: once only. */
void leftovers_dir(struct leftovers *l, const char *path);
void leftovers_file(struct leftovers *l, const char *path);
/* Likewise a record of the journal, with its lock (journal_settle). */
void leftovers_record(struct leftovers *l, const char *path);

/* That name is needed again: it is not removed any more. l may be NULL. */
void leftovers_forget(struct leftovers *l, const char *path);

/* Tries once more, and tells of what stays. NULL is fine. */
void leftovers_free(struct leftovers *l);

#endif
