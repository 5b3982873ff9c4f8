/* See libvirt_path.h. The shape is strict, so that a peer that may name an ID names no
 * other file with it. */
#include "proxy/libvirt_path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

static const char *const kind_names[LIBVIRT_PATH_KINDS] = {"ram", "disks"};

enum { TAIL_MAX = sizeof("/adit-12345678-disks.sock") - 1 };

enum { TRIES = 4, TRY_NS = 5 * 1000 * 1000 }; /* the caller's loop stands still meanwhile */

const char *libvirt_path_kind_name(int kind)
{
	return kind_names[kind];
}

int libvirt_path_is_id(const char *id, size_t len)
{
	return len == LIBVIRT_PATH_ID_MAX - 1 && strspn(id, "0123456789abcdef") >= len;
}

int libvirt_path_check_dir(const char *dir, struct err *e)
{
	const char *p = dir;

	if (*dir != '/')
		return err_set(e, ERR_USAGE, "%s: give an absolute path", dir);
	if (strlen(dir) + TAIL_MAX > ADDR_UNIX_MAX)
		return err_set(e, ERR_USAGE,
			       "%.40s...: longer than %d bytes, so that no socket in it has a path "
			       "that is short enough",
			       dir, ADDR_UNIX_MAX - TAIL_MAX);
	if (dir[strspn(dir, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+")])
		return err_set(
		    e, ERR_USAGE,
		    "%s: only letters, digits and ._-+ can stand in a URI of libvirt's as they are",
		    dir);
	while (*p) {
		size_t len = strcspn(++p, "/");

		if (len == 0 || strncmp(p, ".", len) == 0 || strncmp(p, "..", len) == 0)
			return err_set(
			    e, ERR_USAGE,
			    "%s: write it without \"//\", \".\", \"..\" and a slash at its end",
			    dir);
		p += len;
	}
	return 0;
}

void libvirt_path_format(struct addr *a, const char *dir, const char *id, int kind)
{
	memset(a, 0, sizeof(*a));
	a->kind = ADDR_UNIX;
	snprintf(a->path, sizeof(a->path), "%s/adit-%s-%s.sock", dir, id, kind_names[kind]);
}

int libvirt_path_check_place(const char *dir, const char *id, struct err *e)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return err_set(e, ERR_ADDRESS,
			       "%.90s: %s: is libvirt's QEMU driver installed there?", dir,
			       strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_ADDRESS, "%.90s is no directory there", dir);
	if (access(dir, W_OK | X_OK) < 0)
		return err_set(e, ERR_ADDRESS, "%.90s: %s: run the adit there as root", dir,
			       strerror(errno));
	for (int kind = 0; kind < LIBVIRT_PATH_KINDS; kind++) {
		struct addr a;

		libvirt_path_format(&a, dir, id, kind);
		if (lstat(a.path, &st) == 0)
			return err_set(e, ERR_REFUSED,
				       "%s is there already: both hosts seem to share that folder, "
				       "but each needs its own (--libvirt-dir)",
				       a.path);
	}
	return 0;
}

static void format_lock(char *path, size_t size, const char *dir, const char *id)
{
	snprintf(path, size, "%s/adit-%s.lock", dir, id);
}

/* The sockets, and no other file that has their names; then the lock. */
static void remove_all(const char *dir, const char *id)
{
	char lock[ADDR_UNIX_MAX + 8];
	struct stat st;

	for (int kind = 0; kind < LIBVIRT_PATH_KINDS; kind++) {
		struct addr a;

		libvirt_path_format(&a, dir, id, kind);
		if (lstat(a.path, &st) == 0 && S_ISSOCK(st.st_mode))
			unlink(a.path);
	}
	format_lock(lock, sizeof(lock), dir, id);
	unlink(lock);
}

/* What killed processes have left: those whose lock is free. */
static void sweep(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *item;
	char path[ADDR_UNIX_MAX + 8], id[LIBVIRT_PATH_ID_MAX];
	int lock;

	while (d && (item = readdir(d)) != NULL) {
		if (strncmp(item->d_name, "adit-", 5) != 0 ||
		    !libvirt_path_is_id(item->d_name + 5, strcspn(item->d_name + 5, ".")) ||
		    strcmp(item->d_name + 5 + sizeof(id) - 1, ".lock") != 0)
			continue;
		memcpy(id, item->d_name + 5, sizeof(id) - 1);
		id[sizeof(id) - 1] = '\0';
		format_lock(path, sizeof(path), dir, id);
		lock = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (lock < 0)
			continue;
		if (flock(lock, LOCK_EX | LOCK_NB) == 0)
			remove_all(dir, id);
		close(lock);
	}
	if (d)
		closedir(d);
}

int libvirt_path_claim(const char *dir, const char *id, struct err *e)
{
	char path[ADDR_UNIX_MAX + 8];
	struct stat st;
	int lock, tries = TRIES;

	sweep(dir);
	format_lock(path, sizeof(path), dir, id);
	/* Somebody's sweep may come before the lock, and remove it: then once more. Or it is about
	 * to remove the file of one that was killed. */
	do {
		lock = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (lock < 0 && errno == EEXIST && --tries > 0) {
			nanosleep(&(struct timespec){.tv_nsec = TRY_NS}, NULL);
			continue;
		}
		if (lock < 0 && errno == EEXIST)
			return err_set(e, ERR_REFUSED, "%s is there already: another stands for it",
				       path);
		if (lock < 0)
			return err_set(e, ERR_ADDRESS, "%s cannot be made: %s%s", path,
				       strerror(errno),
				       errno == EACCES ? ": run adit as root" : "");
		if (flock(lock, LOCK_EX | LOCK_NB) < 0 || fstat(lock, &st) < 0 || st.st_nlink == 0)
			fd_close(&lock);
	} while (lock < 0);
	return lock;
}

void libvirt_path_release(const char *dir, const char *id, int *lock)
{
	if (*lock < 0)
		return;
	remove_all(dir, id);
	fd_close(lock);
}
