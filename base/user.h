/* A user of this host as whom programs of a peer's are run: who it is, what it may reach, and
 * becoming it. */
#ifndef ADIT_BASE_USER_H
#define ADIT_BASE_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

enum { USER_GROUPS_MAX = 64, USER_NAME_MAX = 64 };

/* Embedded; zeroed is nobody: the user who runs adit. */
struct user {
	char name[USER_NAME_MAX], group[USER_NAME_MAX]; /* group "" : the user's own */
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX]; /* supplementary, gid among them */
	int group_count;
};

/* Reads USER or USER:GROUP, by name, with the groups that it is in now. ERR_CONFIG: there is no
 * such one, or it is root. */
int user_parse(struct user *u, const char *text, struct err *e);

static inline bool user_is_given(const struct user *u)
{
	return u->name[0] != 0;
}

/* Makes this process, a child that is about to become another program, u's: its IDs and groups,
 * no capabilities, and none to be had (no_new_privs). For root only. 0, or -1 with errno; then it
 * is to end. */
int user_become(const struct user *u);

/* Whether u may reach path and access(2)'s mode of it (R_OK, W_OK, X_OK), found out by a child
 * that becomes u; 0 at once for one that is not given. ERR_REFUSED names the user, and the file,
 * or the folder on the way that does not let it pass. ERR_SYSTEM, after 5 s at most: it does not
 * answer. */
int user_check_path(const struct user *u, const char *path, int mode, struct err *e);

/* Calls fn in a child that is u (one that is not given: in one that is adit's own): what it
 * returned, an errno or 0, or the errno for which it could not be asked; ETIMEDOUT after 5 s. */
int user_ask(const struct user *u, int (*fn)(void));

#endif
