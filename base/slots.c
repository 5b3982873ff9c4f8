/* See slots.h. Owned by whoever writes the text; readers need no struct. */
#include "base/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

enum { HEAD_LEN = 81, PATH_LEN = 1024, BLOCK = 4096, FILE_MAX = 64 * 1024 * 1024 };

#define HEAD "{\"slots\":2,\"sequence\":%10llu,\"length\":%10zu,\"check\":\"%016llx\"}\n"
#define MARK "{\"slots\":2,"

void slots_init(struct slots *s, const char *path)
{
	*s = (struct slots){.path = path, .fd = -1};
}

void slots_fini(struct slots *s)
{
	fd_close(&s->fd);
}

static uint64_t fnv(uint64_t h, const void *data, size_t len)
{
	for (const unsigned char *p = data; len; len--)
		h = (h ^ *p++) * 0x100000001b3u;
	return h;
}

static unsigned long long check_of(unsigned long long sequence, const char *text, size_t len)
{
	char head[48];
	int n = snprintf(head, sizeof(head), "%llu %zu ", sequence, len);

	return fnv(fnv(0xcbf29ce484222325u, head, (size_t)n), text, len);
}

/* ---- reading ---- */

/* The slot at `at`, of size bytes: its text, or NULL where it is not whole. */
static const char *slot_text(const char *at, size_t size, unsigned long long *sequence, size_t *len)
{
	char head[HEAD_LEN + 1];
	unsigned long long check;

	if (size < HEAD_LEN)
		return NULL;
	memcpy(head, at, HEAD_LEN);
	head[HEAD_LEN] = '\0';
	if (sscanf(head, "{\"slots\":2,\"sequence\":%llu,\"length\":%zu,\"check\":\"%llx\"}",
		   sequence, len, &check) != 3 ||
	    *len > size - HEAD_LEN || check_of(*sequence, at + HEAD_LEN, *len) != check)
		return NULL;
	return at + HEAD_LEN;
}

/* All of fd, with a 0 behind it. */
static char *read_all(int fd, size_t *len)
{
	struct stat st;
	char *text;

	if (fstat(fd, &st) < 0)
		return NULL;
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		errno = EFBIG;
		return NULL;
	}
	text = malloc((size_t)st.st_size + 1);
	for (*len = 0; text && *len < (size_t)st.st_size;) {
		ssize_t n = pread(fd, text + *len, (size_t)st.st_size - *len, (off_t)*len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(text);
			return NULL;
		}
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	if (text)
		text[*len] = '\0';
	return text;
}

/* Which of the slots in text counts, or -1: none is whole. */
static int find(const char *text, size_t size, unsigned long long *sequence, size_t *len)
{
	int best = -1;

	for (int i = 0; i < 2; i++) {
		unsigned long long n;
		size_t l;

		if (!slot_text(text + (size_t)i * (size / 2), size / 2, &n, &l) ||
		    (best >= 0 && n < *sequence))
			continue;
		best = i;
		*sequence = n;
		*len = l;
	}
	return best;
}

static bool has_mark(const char *text, size_t size)
{
	return size / 2 >= HEAD_LEN && (strncmp(text, MARK, strlen(MARK)) == 0 ||
					strncmp(text + size / 2, MARK, strlen(MARK)) == 0);
}

char *slots_read(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = errno, at;
	unsigned long long sequence;
	size_t size = 0, len;
	char *text;

	if (fd < 0) {
		if (error != ENOENT)
			err_set_sys(e, error, "%s cannot be read", path);
		return NULL;
	}
	text = read_all(fd, &size);
	error = errno;
	fd_close(&fd);
	if (!text) {
		err_set_sys(e, error, "%s cannot be read", path);
		return NULL;
	}
	at = find(text, size, &sequence, &len);
	if (at >= 0) {
		memmove(text, text + (size_t)at * (size / 2) + HEAD_LEN, len);
		text[len] = '\0';
	} else if (has_mark(text, size)) {
		err_set(e, ERR_CONFIG, "%s cannot be read: neither of its two copies is whole",
			path);
		free(text);
		return NULL;
	}
	return text;
}

/* ---- writing ---- */

static int write_all(int fd, const char *data, size_t len, off_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
		at += n;
	}
	return 0;
}

/* A slot with that text into buf. */
static void fill(char *buf, size_t slot_bytes, uint64_t sequence, const char *text, size_t len)
{
	char head[HEAD_LEN + 40];

	snprintf(head, sizeof(head), HEAD, (unsigned long long)sequence, len,
		 check_of(sequence, text, len));
	memset(buf, ' ', slot_bytes);
	memcpy(buf, head, HEAD_LEN);
	memcpy(buf + HEAD_LEN, text, len);
	buf[slot_bytes - 1] = '\n';
}

static int sync_folder(const char *path)
{
	char dir[PATH_LEN];
	int fd, r;

	snprintf(dir, sizeof(dir), "%s", path);
	if (!strrchr(dir, '/'))
		return 0;
	*strrchr(dir, '/') = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	r = fsync(fd);
	fd_close(&fd);
	return r;
}

static void hold(struct slots *s, int fd, size_t slot_bytes, unsigned newest, uint64_t sequence)
{
	struct stat st = {0};

	fd_close(&s->fd);
	fstat(fd, &st);
	*s = (struct slots){s->path, fd, st.st_dev, st.st_ino, slot_bytes, newest, sequence};
}

/* Takes up a file that is there, where it has slots. */
static void take_up(struct slots *s)
{
	int fd = open(s->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), at;
	unsigned long long sequence;
	size_t size = 0, len;
	char *text;

	if (fd < 0)
		return;
	text = read_all(fd, &size);
	at = text ? find(text, size, &sequence, &len) : -1;
	free(text);
	if (at >= 0)
		hold(s, fd, size / 2, (unsigned)at, sequence);
	else
		fd_close(&fd);
}

/* A new file in the place of whatever is there. */
static int make(struct slots *s, const char *text, size_t len, struct err *e)
{
	size_t slot_bytes = (HEAD_LEN + len + len / 2 + 2 * BLOCK) / BLOCK * BLOCK;
	char *buf = malloc(2 * slot_bytes), tmp[PATH_LEN];
	int fd = -1, error, flags = 0;

	if (!buf)
		return err_set(e, ERR_SPACE, "no memory for %s", s->path);
	if (snprintf(tmp, sizeof(tmp), "%s.tmp", s->path) >= (int)sizeof(tmp)) {
		free(buf);
		return err_set(e, ERR_LIMIT, "the path %s is too long", s->path);
	}
	memset(buf, ' ', 2 * slot_bytes);
	buf[2 * slot_bytes - 1] = '\n';
	fill(buf, slot_bytes, s->sequence + 1, text, len);
	unlink(tmp); /* of a process that was killed */
	fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* Only of an empty file btrfs takes that; the others have nothing to do with it. */
	if (fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && !(flags & FS_NOCOW_FL)) {
		flags |= FS_NOCOW_FL;
		(void)!ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	if (fd < 0 ||
	    (fallocate(fd, 0, 0, (off_t)(2 * slot_bytes)) < 0 && errno != EOPNOTSUPP &&
	     errno != ENOSYS) ||
	    write_all(fd, buf, 2 * slot_bytes, 0) < 0 || fsync(fd) < 0 ||
	    rename(tmp, s->path) < 0 || sync_folder(s->path) < 0) {
		error = errno;
		if (fd >= 0)
			unlink(tmp);
		fd_close(&fd);
		free(buf);
		return err_set_sys(e, error, "%s cannot be written", s->path);
	}
	free(buf);
	hold(s, fd, slot_bytes, 0, s->sequence + 1);
	return 0;
}

static int write_in_place(struct slots *s, const char *text, size_t len, struct err *e)
{
	unsigned at = 1 - s->newest;
	char *buf = malloc(s->slot_bytes);
	int rc, error;

	if (!buf)
		return err_set(e, ERR_SPACE, "no memory for %s", s->path);
	fill(buf, s->slot_bytes, s->sequence + 1, text, len);
	rc = write_all(s->fd, buf, s->slot_bytes, (off_t)(at * s->slot_bytes));
	if (rc == 0)
		rc = fsync(s->fd);
	error = errno;
	free(buf);
	if (rc < 0)
		return err_set_sys(e, error, "%s cannot be written", s->path);
	s->newest = at;
	s->sequence++;
	return 0;
}

int slots_in_place(const struct slots *s)
{
	struct stat st;

	return s->fd < 0 ||
	       (lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino);
}

int slots_write(struct slots *s, const char *text, size_t len, struct err *e)
{
	if (len > SLOTS_TEXT_MAX)
		return err_set(e, ERR_LIMIT, "%s would be longer than %d bytes", s->path,
			       SLOTS_TEXT_MAX);
	if (!slots_in_place(s))
		fd_close(&s->fd);
	if (s->fd < 0)
		take_up(s);
	if (s->fd < 0 || len + HEAD_LEN + 1 > s->slot_bytes)
		return make(s, text, len, e);
	return write_in_place(s, text, len, e);
}
