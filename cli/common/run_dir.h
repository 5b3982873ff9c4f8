/* The folder for sockets of this user's adits: adit serve's and each adit migrate's. */
#ifndef ADIT_CLI_COMMON_RUN_DIR_H
#define ADIT_CLI_COMMON_RUN_DIR_H

#include <stddef.h>

#include "base/err.h"

#define RUN_DIR_ROOT "/run/adit" /* root's, when nobody says otherwise */

/* Its path to buf: given (may be NULL or ""), else /run/adit for root, else
 * $XDG_RUNTIME_DIR/adit. ERR_USAGE when there is none, or it is too long or not absolute. */
int run_dir_find(const char *given, char *buf, size_t size, struct err *e);

/* The same, and it is there: made with mode 0700 when missing, else it must be the user's
 * own and closed to all others (ERR_CONFIG), but that they may pass through it. */
int run_dir_prepare(const char *given, char *buf, size_t size, struct err *e);

/* The same for who only looks into it: nothing is made. 0, also where none was given and
 * adit's own has never been made; ERR_SYSTEM or ERR_CONFIG when the one that was given is not
 * there, is no folder, or cannot be read. */
int run_dir_look(const char *given, char *buf, size_t size, struct err *e);

/* Lets other users pass through it (mode 0711), to folders that are theirs; what else is in it
 * has modes of its own. */
int run_dir_let_pass(const char *run_dir, struct err *e);

/* RUN_DIR/jobs, where each adit migrate has its socket JOB.sock. Made where make is set.
 * Sockets that nobody answers on are removed. */
int run_dir_jobs(const char *run_dir, int make, char *buf, size_t size, struct err *e);

#endif
