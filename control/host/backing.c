/* Backing files on the destination: see backing.h. Opens for reading only, and keeps
 * nothing open. */
#include "control/host/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "control/host/image.h"
#include "control/host/qcow2.h"

enum { DEPTH_MAX = 16, NAME_MAX_LEN = 1023, EXTENSIONS_MAX = 64 };

/* The bytes that QEMU locks while it may write to an image, and while it may resize it:
 * see image.c. */
enum { WRITE_AT = 101, RESIZE_AT = 103 };

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int backing_find(const char *const *dirs, const struct vmdesc_disk *d,
		 const struct vmdesc_backing *b, char *path, size_t size, struct err *e)
{
	const char *name = base_of(b->file);

	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strlen(name) > 200 ||
	    strpbrk(name, "\n\r"))
		return err_set(e, ERR_REFUSED, "disk %s: \"%.120s\" is not the path of a file",
			       d->name, b->file);
	for (; dirs && *dirs; dirs++) {
		snprintf(path, size, "%s/%s", *dirs, name);
		if (access(path, F_OK) == 0)
			return 0;
	}
	return err_set(e, ERR_REFUSED,
		       "the backing file %s of disk %s is not in the destination's --images "
		       "folder: copy it there, or move the VM with --copy-storage all",
		       name, d->name);
}

/* Whether somebody holds one of QEMU's locks for writing on fd's file. */
static bool has_writer(int fd)
{
	static const int bytes[] = {WRITE_AT, RESIZE_AT};

	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		struct flock lock = {
		    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = bytes[i], .l_len = 1};

		if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
			return true;
	}
	return false;
}

/* Whether path, all links followed, lies right in one of dirs. */
static bool is_within(const char *const *dirs, const char *path)
{
	char *real = realpath(path, NULL), *dir, *slash;
	bool is = false;

	slash = real ? strrchr(real, '/') : NULL;
	if (slash)
		*slash = 0;
	for (; slash && dirs && *dirs && !is; dirs++) {
		dir = realpath(*dirs, NULL);
		is = dir && strcmp(dir, *real ? real : "/") == 0;
		free(dir);
	}
	free(real);
	return is;
}

/* One image of the chain, as its header tells. */
struct header {
	uint64_t size;
	char below[NAME_MAX_LEN + 1]; /* "" : nothing */
	char below_format[32];
};

/* The name of the backing file's format is an extension of the header. */
static void read_format(int fd, uint64_t at, struct header *h)
{
	uint8_t head[8];

	for (unsigned i = 0; i < EXTENSIONS_MAX; i++) {
		uint64_t type, len;

		if (pread(fd, head, sizeof(head), (off_t)at) != sizeof(head))
			return;
		type = qcow2_number(head, 4);
		len = qcow2_number(head + 4, 4);
		if (type == 0)
			return;
		if (type == 0xe2792aca && len < sizeof(h->below_format)) {
			if (pread(fd, h->below_format, len, (off_t)at + 8) != (ssize_t)len)
				len = 0;
			h->below_format[len] = 0;
			return;
		}
		at += 8 + ((len + 7) & ~UINT64_C(7));
	}
}

static int read_qcow2(int fd, const char *path, struct header *h, struct err *e)
{
	struct qcow2 q;
	uint64_t at, len;

	if (!qcow2_read(fd, &q) || q.len < 72 || q.version < 2 || q.version > 3)
		return err_set(e, ERR_REFUSED,
			       "the backing file %s on the destination is no qcow2 image, as the "
			       "source's is",
			       path);
	if (q.data_file)
		return err_set(
		    e, ERR_REFUSED,
		    "the backing file %s on the destination has a data file, and that may "
		    "be any file of the host: make it an image of its own (qemu-img "
		    "convert)",
		    path);
	at = q.backing_at;
	len = q.backing_len;
	h->size = q.size;
	if (!at)
		return 0;
	if (len == 0 || len > NAME_MAX_LEN || at > INT64_MAX - len ||
	    pread(fd, h->below, len, (off_t)at) != (ssize_t)len || memchr(h->below, 0, len))
		return err_set(e, ERR_REFUSED, "the header of %s on the destination is damaged",
			       path);
	h->below[len] = 0;
	read_format(fd, q.version == 3 ? q.header_len : 72, h);
	return 0;
}

static int read_raw(int fd, const char *path, const struct stat *st, struct header *h,
		    struct err *e)
{
	char magic[4] = "";

	/* Where a format is guessed, contents that look like another one are believed. */
	if (pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
	    (qcow2_begins(magic) || memcmp(magic, "QED", 4) == 0))
		return err_set(e, ERR_REFUSED,
			       "the backing file %s on the destination is to be raw, and its "
			       "contents are those of another format",
			       path);
	h->size = ((uint64_t)st->st_size + 511) & ~UINT64_C(511); /* as QEMU counts it */
	return 0;
}

/* Looks at one image of the chain. */
static int look_at_image(const char *const *dirs, const char *path, const char *format,
			 struct header *h, struct err *e)
{
	struct stat st;
	int fd = -1;

	memset(h, 0, sizeof(*h));
	if (!is_within(dirs, path))
		return err_set(e, access(path, F_OK) == 0 ? ERR_REFUSED : ERR_SYSTEM,
			       "the backing file %s on the destination does not lie in an --images "
			       "folder: copy it there",
			       path);
	fd = image_open(path, O_RDONLY, &st);
	if (fd < 0 && errno != ENOTBLK)
		return err_set_sys(e, errno,
				   "the backing file %s cannot be opened on the destination", path);
	if (fd < 0 || !S_ISREG(st.st_mode))
		err_set(e, ERR_REFUSED, "the backing file %s on the destination is not a file",
			path);
	else if (has_writer(fd))
		err_set(e, ERR_REFUSED,
			"the backing file %s on the destination is being written to by another "
			"process",
			path);
	else if (strcmp(format, "qcow2") == 0)
		read_qcow2(fd, path, h, e);
	else if (strcmp(format, "raw") == 0)
		read_raw(fd, path, &st, h, e);
	else if (*format)
		err_set(e, ERR_REFUSED,
			"the backing file %s is of format %s: only raw and qcow2 are taken", path,
			format);
	else
		err_set(e, ERR_REFUSED,
			"what has the backing file %s does not name its format: say it with "
			"qemu-img rebase -u -F",
			path);
	fd_close(&fd);
	return e->code;
}

/* The path of what an image at path calls below it, as QEMU makes it up. */
static int next(const char *path, const struct header *h, char *out, size_t size, struct err *e)
{
	size_t dir = (size_t)(base_of(path) - path);

	if (h->below[strcspn(h->below, ":/")] == ':')
		return err_set(e, ERR_REFUSED,
			       "%s on the destination has a backing file that is no plain path",
			       path);
	if (h->below[0] == '/')
		dir = 0;
	if ((size_t)snprintf(out, size, "%.*s%s", (int)dir, path, h->below) >= size)
		return err_set(e, ERR_REFUSED, "the backing file of %s has too long a path", path);
	return 0;
}

int backing_look(const char *const *dirs, const char *path, const struct vmdesc_backing *b,
		 struct strvec *chain, struct err *e)
{
	char at[PATH_MAX], below[PATH_MAX], format[32];
	struct header h;

	snprintf(at, sizeof(at), "%s", path);
	snprintf(format, sizeof(format), "%s", b->format);
	for (unsigned depth = 0;; depth++) {
		if (depth == DEPTH_MAX)
			return err_set(
			    e, ERR_REFUSED,
			    "more than %d backing files stand behind %s on the destination",
			    DEPTH_MAX, path);
		if (look_at_image(dirs, at, format, &h, e) < 0)
			return e->code;
		if (depth == 0 && h.size != b->size)
			return err_set(
			    e, ERR_REFUSED,
			    "the backing file %s on the destination is not the source's: "
			    "%" PRIu64 " bytes, not %" PRIu64,
			    path, h.size, b->size);
		strvec_push(chain, at);
		if (!h.below[0])
			break;
		if (next(at, &h, below, sizeof(below), e) < 0)
			return e->code;
		snprintf(at, sizeof(at), "%s", below);
		snprintf(format, sizeof(format), "%s", h.below_format);
	}
	return chain->failed ? err_set(e, ERR_SPACE, "no memory for the backing files") : 0;
}
