/*
 * The guardian: a small process, forked for a job on the destination before
 * anything is made there, that undoes what was made if adit serve is gone before the
 * job was committed, `kill -9` included. It knows of a thing before it is made.
 */
#ifndef ADIT_CONTROL_HOST_GUARDIAN_H
#define ADIT_CONTROL_HOST_GUARDIAN_H

#include <sys/types.h>

#include "base/err.h"

struct event_base;
struct guardian;

/* Forks. The child keeps no descriptor but its end of the pipe, is in a session of its
 * own, and ignores the signals of a terminal. */
struct guardian *guardian_new(struct err *e);

/* A file to be unlinked. Tell it before the file is made, and only when it did not exist. The
 * folder that it is in is known by its inode: in another one, or behind a link in its place,
 * nothing is removed. */
int guardian_add_file(struct guardian *g, const char *path, struct err *e);

/* It has been made, and fd is it: what has that name later and is another file is left alone. */
int guardian_made_file(struct guardian *g, const char *path, int fd, struct err *e);

/* A folder to be removed with the sockets and plain files in it. Likewise. */
int guardian_add_dir(struct guardian *g, const char *path, struct err *e);

/* It was not made after all, and what has that name is somebody else's: it is left alone. g
 * may be NULL. */
int guardian_forget_file(struct guardian *g, const char *path, struct err *e);
int guardian_forget_dir(struct guardian *g, const char *path, struct err *e);

/* A program (absolute path) to be run with the word "undo" and file as its standard input: the
 * launch hook, before it is asked for a VM. 20 s at most. */
int guardian_add_hook(struct guardian *g, const char *program, const char *file, struct err *e);

/* A process to be killed (SIGKILL): pid, and the time at which it started, so that a
 * number that was given anew is left alone. */
int guardian_add_process(struct guardian *g, pid_t pid, struct err *e);

/* The job's record in the journal: settled (journal_settle) when all else is undone. So it is
 * told first, before the record is there; what a guardian did not live to undo, or could not, is
 * still listed in the record then. */
int guardian_add_record(struct guardian *g, const char *path, struct err *e);

/* Its process; another one may ask whether it still undoes something. */
pid_t guardian_pid(const struct guardian *g);

/* The job is settled: nothing is undone, the guardian ends. Frees g. NULL is fine. */
void guardian_commit(struct guardian *g);

/* It has undone everything; or it has not, or has died itself: then the record is still there. */
typedef void guardian_on_undone(void *ctx);

/* Undoes everything from now on; fn is called once, from the loop, and g is freed before it.
 * ERR_SPACE: it undoes, g is freed, and fn will not be called. */
int guardian_undo(struct guardian *g, struct event_base *base, guardian_on_undone *fn, void *ctx);

/* Frees g without a word to it: it undoes everything, and nobody waits for that. NULL is
 * fine. */
void guardian_leave(struct guardian *g);

#endif
