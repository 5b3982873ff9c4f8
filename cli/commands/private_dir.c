/*
 * A folder for sockets: see private_dir.h. Each has a file ".lock", which its process
 * holds locked. A lock that is free belongs to one that was killed. Refuses to touch folders of
 * other users.
 */
#include "cli/commands/private_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"

#define PREFIX "adit-run."

enum { TRIES = 8 };

/* Removes path if it is a folder of ours whose process has gone. */
static void sweep_one(const char *path)
{
	char lock_path[4096 + 8];
	struct stat st;
	int lock;

	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return;
	snprintf(lock_path, sizeof(lock_path), "%s/" PRIVATE_DIR_LOCK, path);
	lock = open(lock_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (lock < 0)
		return; /* about to be made */
	if (flock(lock, LOCK_EX | LOCK_NB) == 0)
		dir_remove(path);
	close(lock);
}

static void sweep(const char *base)
{
	DIR *d = opendir(base);
	struct dirent *item;
	char path[4096];

	while (d && (item = readdir(d)) != NULL) {
		if (strncmp(item->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", base, item->d_name) < (int)sizeof(path))
			sweep_one(path);
	}
	if (d)
		closedir(d);
}

/* The folder in base. 0 or -1 with errno; EAGAIN: another's sweep has it. */
static int make_in(struct private_dir *d, const char *base)
{
	char lock_path[PRIVATE_DIR_MAX + 8];
	struct stat st;
	int saved;

	if (snprintf(d->path, sizeof(d->path), "%s/" PREFIX "XXXXXX", base) >=
	    (int)sizeof(d->path)) {
		d->path[0] = '\0';
		errno = ENAMETOOLONG;
		return -1;
	}
	sweep(base);
	if (!mkdtemp(d->path)) {
		d->path[0] = '\0';
		return -1;
	}
	snprintf(lock_path, sizeof(lock_path), "%s/" PRIVATE_DIR_LOCK, d->path);
	d->lock = open(lock_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	/* In between, a sweep of another's may have had it, and then it removes the folder. */
	if (d->lock >= 0 && flock(d->lock, LOCK_EX | LOCK_NB) == 0 && fstat(d->lock, &st) == 0 &&
	    st.st_nlink != 0)
		return 0;
	saved = d->lock >= 0 ? EAGAIN : errno;
	private_dir_remove(d);
	errno = saved;
	return -1;
}

/* $XDG_RUNTIME_DIR, unless it is somebody else's, as after su. */
static const char *runtime_dir(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	return dir && stat(dir, &st) == 0 && st.st_uid == geteuid() ? dir : NULL;
}

int private_dir_make(struct private_dir *d, struct err *e)
{
	const char *bases[] = {geteuid() == 0 ? "/run" : NULL, runtime_dir(), getenv("TMPDIR"),
			       "/tmp"};

	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		int tries = bases[i] && bases[i][0] == '/' ? TRIES : 0;

		for (errno = EAGAIN; tries > 0 && errno == EAGAIN; tries--)
			if (make_in(d, bases[i]) == 0)
				return 0;
	}
	return err_set_sys(e, errno, "no private folder for sockets can be made in /tmp");
}

void private_dir_remove(struct private_dir *d)
{
	if (!d->path[0])
		return;
	dir_remove(d->path);
	fd_close(&d->lock);
	d->path[0] = '\0';
}
