/* Users: see user.h. What a user may do is asked by becoming it, in a child: modes, groups, ACLs
 * and mounts are the kernel's to judge. */
#include "base/user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

int user_parse(struct user *u, const char *text, struct err *e)
{
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	const struct passwd *pw;
	const struct group *gr;
	struct user found = {.group_count = USER_GROUPS_MAX};

	if (len == 0 || len >= sizeof(found.name) || (colon && !colon[1]) ||
	    (colon && strlen(colon + 1) >= sizeof(found.group)))
		return err_set(e, ERR_CONFIG, "\"%.100s\": write USER or USER:GROUP", text);
	memcpy(found.name, text, len);
	pw = getpwnam(found.name);
	if (!pw)
		return err_set(e, ERR_CONFIG,
			       "there is no user %s on this host: make one (useradd --system %s), "
			       "or name another",
			       found.name, found.name);
	if (pw->pw_uid == 0)
		return err_set(e, ERR_CONFIG, "user %s is root: name one that is not", found.name);
	found.uid = pw->pw_uid;
	found.gid = pw->pw_gid;
	if (colon) {
		snprintf(found.group, sizeof(found.group), "%s", colon + 1);
		gr = getgrnam(found.group);
		if (!gr)
			return err_set(e, ERR_CONFIG, "there is no group %s on this host",
				       found.group);
		found.gid = gr->gr_gid;
	}
	if (getgrouplist(found.name, found.gid, found.groups, &found.group_count) < 0)
		return err_set(e, ERR_CONFIG, "user %s is in more than %d groups", found.name,
			       USER_GROUPS_MAX);
	for (int i = 0; i < found.group_count; i++)
		if (found.groups[i] == 0)
			return err_set(e, ERR_CONFIG,
				       "user %s is in the group root: name one that is not",
				       found.name);
	*u = found;
	return 0;
}

/* Those that came by way of an exec (inheritable, ambient) do not go with the IDs. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -1;
	return (int)syscall(SYS_capset, &head, none);
}

int user_become(const struct user *u)
{
	uid_t uids[3];
	gid_t gids[3];

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    setgroups((size_t)u->group_count, u->groups) < 0 ||
	    setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(u->uid, u->uid, u->uid) < 0 ||
	    drop_capabilities() < 0 || getresuid(&uids[0], &uids[1], &uids[2]) < 0 ||
	    getresgid(&gids[0], &gids[1], &gids[2]) < 0)
		return -1;
	for (int i = 0; i < 3; i++) {
		if (uids[i] == u->uid && gids[i] == u->gid)
			continue;
		errno = EPERM;
		return -1;
	}
	if (setuid(0) == 0 || setgid(0) == 0) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

/* ---- children that answer ---- */

/* A child that is u may be stopped by whoever else is, or wait for a file system of u's, and our
 * callers wait for it. */
enum { ANSWER_MS = 5000, DEATH_MS = 1000, ASTRAY_MAX = 8 };

/* Those that were killed and have not ended yet. */
static pid_t astray[ASTRAY_MAX];

/* Whether there is room for one more; reaps. */
static bool may_ask(void)
{
	bool room = false;

	for (int i = 0; i < ASTRAY_MAX; i++) {
		if (astray[i] > 0 && waitpid(astray[i], NULL, WNOHANG) != 0)
			astray[i] = 0;
		room = room || astray[i] == 0;
	}
	return room;
}

static bool ends_within(int pidfd, int ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	uint64_t now_ms = clock_ms(), until_ms = now_ms + (uint64_t)ms;
	int n;

	do {
		n = poll(&p, 1, (int)(until_ms - now_ms));
		now_ms = clock_ms();
	} while (n < 0 && errno == EINTR && now_ms < until_ms);
	return n > 0;
}

/* Waits for the child and reaps it: 0, or -1 with errno ETIMEDOUT; then it was killed. */
static int await(pid_t pid, int *status)
{
	int pidfd = pidfd_open(pid, 0), rc = -1;

	if (pidfd >= 0 && ends_within(pidfd, ANSWER_MS))
		rc = 0;
	else
		kill(pid, SIGKILL);
	if (rc < 0 && pidfd >= 0 && !ends_within(pidfd, DEATH_MS)) {
		for (int i = 0; i < ASTRAY_MAX; i++)
			if (astray[i] == 0) {
				astray[i] = pid;
				break;
			}
	} else {
		while (waitpid(pid, status, 0) < 0 && errno == EINTR)
			;
	}
	fd_close(&pidfd);
	if (rc < 0)
		errno = ETIMEDOUT;
	return rc;
}

/* What the child tells. */
struct answer {
	int error;
	bool became;
	size_t len; /* of the path up to what does not let it pass */
};

/* Which part of path cannot be entered; all of it when that is not the matter. */
static size_t find_barrier(const char *path)
{
	char part[PATH_MAX];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t len = (size_t)(slash - path);

		if (len >= sizeof(part))
			break;
		memcpy(part, path, len);
		part[len] = 0;
		if (access(part, X_OK) < 0)
			return len;
	}
	return strlen(path);
}

static struct answer answer_as(const struct user *u, const char *path, int mode)
{
	struct answer a = {.len = strlen(path)};

	if (user_become(u) < 0) {
		a.error = errno;
		return a;
	}
	a.became = true;
	if (access(path, mode) == 0)
		return a;
	a.error = errno;
	a.len = find_barrier(path);
	return a;
}

static const char *mode_words(int mode)
{
	if (mode & W_OK)
		return mode & R_OK ? "read and write it" : "write to it";
	return mode & R_OK ? "read it" : mode & X_OK ? "enter or run it" : "reach it";
}

int user_check_path(const struct user *u, const char *path, int mode, struct err *e)
{
	struct answer a = {0};
	int pipe_fds[2];
	int status;
	pid_t pid;

	if (!user_is_given(u))
		return 0;
	errno = EAGAIN;
	if (!may_ask() || pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set_sys(e, errno, "what user %s may do cannot be found out", u->name);
	pid = fork();
	if (pid == 0) {
		a = answer_as(u, path, mode);
		_exit(write(pipe_fds[1], &a, sizeof(a)) != sizeof(a));
	}
	fd_close(&pipe_fds[1]);
	if (pid < 0 || await(pid, &status) < 0 ||
	    read(pipe_fds[0], &a, sizeof(a)) != (ssize_t)sizeof(a)) {
		int error = errno;

		fd_close(&pipe_fds[0]);
		return err_set_sys(e, error, "what user %s may do cannot be found out", u->name);
	}
	fd_close(&pipe_fds[0]);
	if (!a.became)
		return err_set(e, ERR_REFUSED,
			       "adit serve cannot become user %s (--launch-user): %s%s", u->name,
			       strerror(a.error), geteuid() ? "; run it as root" : "");
	if (!a.error)
		return 0;
	if (a.len < strlen(path))
		return err_set(e, ERR_REFUSED,
			       "%s: user %s (--launch-user) may not enter the folder %.*s on the "
			       "way there: chmod o+x it, or choose another place",
			       path, u->name, (int)a.len, path);
	return err_set(e, ERR_REFUSED,
		       "%s: user %s (--launch-user) may not %s (%s): chown it, or give that user "
		       "the right",
		       path, u->name, mode_words(mode), strerror(a.error));
}

int user_ask(const struct user *u, int (*fn)(void))
{
	int status = 0;
	pid_t pid;

	if (!may_ask())
		return EAGAIN;
	pid = fork();
	if (pid < 0)
		return errno;
	if (pid == 0)
		_exit(user_is_given(u) && user_become(u) < 0 ? errno : fn());
	if (await(pid, &status) < 0)
		return ETIMEDOUT;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}
