/* See libvirt_path.h. The shape is strict, so that a peer that may name an ID names no
 * other file with it. */
#include "proxy/libvirt_path.h"

#include <stdio.h>
#include <string.h>

static const char *const kind_names[LIBVIRT_PATH_KINDS] = {"ram", "disks"};

enum { TAIL_MAX = sizeof("/adit-12345678-disks.sock") - 1 };

const char *libvirt_path_kind_name(enum libvirt_path_kind kind)
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

void libvirt_path_format(struct addr *a, const char *dir, const char *id,
			 enum libvirt_path_kind kind)
{
	memset(a, 0, sizeof(*a));
	a->kind = ADDR_UNIX;
	snprintf(a->path, sizeof(a->path), "%s/adit-%s-%s.sock", dir, id, kind_names[kind]);
}
