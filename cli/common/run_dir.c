/* See run_dir.h. */
#include "cli/common/run_dir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

int run_dir_find(const char *given, char *buf, size_t size, struct err *e)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	if (given && *given)
		n = snprintf(buf, size, "%s", given);
	else if (geteuid() == 0)
		n = snprintf(buf, size, RUN_DIR_ROOT);
	else if (runtime && runtime[0] == '/')
		n = snprintf(buf, size, "%s/adit", runtime);
	else
		return err_set(e, ERR_USAGE,
			       "no place for sockets: there is no XDG_RUNTIME_DIR, give "
			       "--run-dir DIR");
	if (n < 0 || (size_t)n >= size)
		return err_set(e, ERR_USAGE, "--run-dir %s: the path is too long",
			       given && *given ? given : runtime);
	if (buf[0] != '/')
		return err_set(e, ERR_USAGE, "--run-dir %s: give an absolute path", buf);
	return 0;
}

int run_dir_look(const char *given, char *buf, size_t size, struct err *e)
{
	struct stat st;
	int rc = run_dir_find(given, buf, size, e);

	if (rc < 0)
		return rc;
	if (stat(buf, &st) < 0 && errno == ENOENT && !(given && *given))
		return 0;
	if (stat(buf, &st) < 0)
		return err_set_sys(
		    e, errno, "--run-dir %s (the folder that adit serve was given is meant)", buf);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_CONFIG, "--run-dir %s: not a directory", buf);
	if (access(buf, R_OK | X_OK) < 0)
		return err_set_sys(e, errno, "--run-dir %s cannot be read", buf);
	return 0;
}

static int make(const char *path, struct err *e)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(e, ERR_SYSTEM, "--run-dir %s cannot be made: %s%s", path,
			       strerror(errno), errno == ENOENT ? " (make its parent first)" : "");
	if (lstat(path, &st) < 0)
		return err_set_sys(e, errno, "--run-dir %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_CONFIG, "--run-dir %s: not a directory", path);
	/* (0711: run_dir_let_pass) */
	if (st.st_uid != geteuid() || (st.st_mode & 066))
		return err_set(
		    e, ERR_CONFIG,
		    "--run-dir %s: must belong to the user who runs adit, with mode 0700 "
		    "or 0711 (chmod 0700 it, or choose another)",
		    path);
	return 0;
}

int run_dir_prepare(const char *given, char *buf, size_t size, struct err *e)
{
	int rc = run_dir_find(given, buf, size, e);

	return rc < 0 ? rc : make(buf, e);
}

int run_dir_let_pass(const char *run_dir, struct err *e)
{
	return chmod(run_dir, 0711) < 0 ? err_set_sys(e, errno, "chmod 0711 %s", run_dir) : 0;
}

/* Whether path is a socket whose owner has gone. */
static int is_stale(const char *path)
{
	int fd = fd_connect_unix(path);

	if (fd < 0)
		return errno == ECONNREFUSED;
	close(fd);
	return 0;
}

int run_dir_jobs(const char *run_dir, int to_make, char *buf, size_t size, struct err *e)
{
	int n = snprintf(buf, size, "%s/jobs", run_dir);
	struct dirent *item;
	char path[4096];
	DIR *d;

	if (n < 0 || (size_t)n >= size)
		return err_set(e, ERR_USAGE, "--run-dir %s: the path is too long", run_dir);
	if (to_make) {
		int rc = make(buf, e);

		if (rc < 0)
			return rc;
	}
	d = opendir(buf);
	if (!d)
		return to_make || errno != ENOENT ? err_set_sys(e, errno, "%s", buf) : 0;
	while ((item = readdir(d))) {
		size_t len = strlen(item->d_name);

		if (len <= 5 || strcmp(item->d_name + len - 5, ".sock") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", buf, item->d_name);
		if (is_stale(path))
			unlink(path);
	}
	closedir(d);
	return 0;
}
