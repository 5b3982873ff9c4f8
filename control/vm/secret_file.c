/*
 * A file that QEMU names, opened as QEMU would: in its root and its working directory, and with the
 * rights of its user, which the kernel is left to judge (folders above, access lists). A QEMU that
 * its guest has taken over can name any file, and what is in this one goes to the destination.
 */
#include "control/vm/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

enum { GROUPS_MAX = 256, FLAGS = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK };

struct file_user {
	uid_t uid;
	gid_t gid, groups[GROUPS_MAX];
	int count;
};

static int read_groups(struct file_user *u, char *at)
{
	unsigned long group;
	char *end;

	for (u->count = 0; (group = strtoul(at, &end, 10)), end != at; at = end) {
		if (u->count == GROUPS_MAX)
			return -1;
		u->groups[u->count++] = (gid_t)group;
	}
	return 0;
}

static int user_of(pid_t pid, struct file_user *u)
{
	unsigned uid, gid, seen = 0;
	char path[64], line[8192];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Uid: %*u %u", &uid) == 1) {
			u->uid = uid;
			seen |= 1;
		} else if (sscanf(line, "Gid: %*u %u", &gid) == 1) {
			u->gid = gid;
			seen |= 2;
		} else if (strncmp(line, "Groups:", 7) == 0 && read_groups(u, line + 7) == 0) {
			seen |= 4;
		}
	}
	if (f)
		fclose(f);
	return seen == 7 ? 0 : -1;
}

/* This thread's groups; glibc's setgroups would change all threads'. -1 with errno. */
static int set_groups(const struct file_user *u)
{
	return (int)syscall(SYS_setgroups, (size_t)u->count, u->groups);
}

/* The rest of this thread's rights to files becomes that of u (setfsuid(2)). -1 with errno. */
static int become(const struct file_user *u)
{
	setfsgid(u->gid);
	setfsuid(u->uid);
	if (setfsuid((uid_t)-1) == (int)u->uid && setfsgid((gid_t)-1) == (int)u->gid)
		return 0;
	errno = EPERM;
	return -1;
}

/* Nothing may go on with another user's rights in the belief that they are its own. (The kernel
 * refuses none of this to one that could set its groups.) */
static void back(const struct file_user *own)
{
	setfsuid(own->uid);
	setfsgid(own->gid);
	if (set_groups(own) == 0 && setfsuid((uid_t)-1) == (int)own->uid &&
	    setfsgid((gid_t)-1) == (int)own->gid)
		return;
	log_error(NULL, "the rights of QEMU's user, taken on to open one of its files, cannot be "
			"given back: this process ends");
	abort();
}

/* dir, its own (-1: none), is where path begins. */
static int open_as(const struct file_user *u, int dir, const char *path, bool in_root, int flags)
{
	struct open_how how = {.flags = (unsigned)flags, .resolve = in_root ? RESOLVE_IN_ROOT : 0};
	struct file_user own = {.uid = geteuid(), .gid = getegid()};
	bool change = own.uid == 0 && u->uid != 0;
	int fd = -1, error;

	own.count = change ? getgroups(GROUPS_MAX, own.groups) : 0;
	if (own.count < 0 || (change && set_groups(u) < 0))
		return -1;
	if (!change || become(u) == 0)
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	error = errno;
	if (change)
		back(&own);
	errno = error;
	return fd;
}

/* The number of a descriptor, as QEMU names one of its own; NULL. */
static const char *descriptor(const char *file)
{
	static const char *const folders[] = {"/proc/self/fd/", "/dev/fd/"};

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		size_t len = strlen(folders[i]);
		const char *number = file + len;

		if (strncmp(file, folders[i], len) == 0 && *number &&
		    strspn(number, "0123456789") == strlen(number))
			return number;
	}
	return NULL;
}

/* Where file of process pid is, as a descriptor that opens nothing. */
static int find_there(pid_t pid, const struct file_user *u, const char *file)
{
	const char *number = descriptor(file);
	char path[64];
	int at, fd, error;

	if (number)
		snprintf(path, sizeof(path), "/proc/%ld/fd/%.20s", (long)pid, number);
	else
		snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid,
			 *file == '/' ? "root" : "cwd");
	at = open(path, O_PATH | O_CLOEXEC);
	if (at < 0 || number)
		return at;
	/* (below the working directory a link may lead to where it stands, and no further than its
	 * user) */
	fd = open_as(u, at, file, *file == '/', O_PATH | O_CLOEXEC);
	error = errno;
	close(at);
	errno = error;
	return fd;
}

int secret_file_open_plain(pid_t pid, const char *file)
{
	char path[64];
	struct file_user u;
	struct stat st;
	int at, fd = -1, error;

	if (user_of(pid, &u) < 0) {
		errno = ESRCH;
		return -1;
	}
	at = find_there(pid, &u, file);
	if (at < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
	if (fstat(at, &st) == 0 && S_ISREG(st.st_mode))
		fd = open_as(&u, AT_FDCWD, path, false, FLAGS);
	else
		errno = EISDIR;
	error = errno;
	close(at);
	errno = error;
	return fd;
}

int secret_file_open(pid_t pid, const char *file, struct err *e)
{
	struct stat st;
	int fd = secret_file_open_plain(pid, file);

	if (fd < 0 && errno == EACCES)
		err_set(e, ERR_REFUSED,
			"is in %s, which QEMU's own user may not read: give that user the right",
			file);
	else if (fd < 0 && errno != EISDIR)
		err_set(e, ERR_REFUSED,
			"is in %s, which cannot be read any more (%s): put it there again", file,
			strerror(errno));
	else if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > SECRET_MAX)
		err_set(e, ERR_REFUSED, "is in %s, which is no file of at most %d bytes", file,
			SECRET_MAX);
	else
		return fd;
	fd_close(&fd);
	return -1;
}
