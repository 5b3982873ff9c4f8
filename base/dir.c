/* See dir.h. */
#include "base/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* Takes fd. */
static void empty(int fd)
{
	DIR *d = fdopendir(fd);
	struct dirent *entry;

	if (!d) {
		fd_close(&fd);
		return;
	}
	while ((entry = readdir(d)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(fd, entry->d_name, 0);
	closedir(d);
}

int dir_remove_at(int parent, const char *name, const struct stat *is)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && is &&
	    (fstat(fd, &st) < 0 || st.st_dev != is->st_dev || st.st_ino != is->st_ino)) {
		fd_close(&fd);
		errno = ESTALE;
		return -1;
	}
	if (fd >= 0)
		empty(fd);
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -1 : 0;
}

int dir_open_parent(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (len >= sizeof(dir)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(dir, path, len);
	dir[len] = 0;
	*name = slash ? slash + 1 : path;
	return open(len ? dir : slash ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int dir_remove(const char *path)
{
	const char *name;
	int parent = dir_open_parent(path, &name), r;

	if (parent < 0)
		return errno == ENOENT ? 0 : -1;
	r = dir_remove_at(parent, name, NULL);
	fd_close(&parent);
	return r;
}
