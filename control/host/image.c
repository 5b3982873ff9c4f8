/* Images on the destination: see image.h. Opens and locks nothing for good. */
#include "control/host/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/size.h"
#include "control/host/proc.h"
#include "control/host/qcow2.h"

/* QEMU's image locking: a byte for each permission in use from 100, and for each that is
 * not shared from 200 (QEMU, block/file-posix.c). */
enum { QEMU_LOCKS_FROM = 100, QEMU_LOCKS_LEN = 200 };

static const char *const formats[] = {"raw", "qcow2", "qed", "vdi", "vpc", "vhdx", "luks"};

static bool format_known(const char *format)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(format, formats[i]) == 0)
			return true;
	return false;
}

/* Whether some process holds one of QEMU's locks on fd's file. */
static bool in_use(int fd)
{
	struct flock lock = {.l_type = F_WRLCK,
			     .l_whence = SEEK_SET,
			     .l_start = QEMU_LOCKS_FROM,
			     .l_len = QEMU_LOCKS_LEN};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int image_open(const char *path, int flags, struct stat *st)
{
	int at = open(path, O_PATH | O_CLOEXEC), fd = -1;
	char self[32];

	if (at < 0)
		return -1;
	if (fstat(at, st) == 0) {
		if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode)) {
			snprintf(self, sizeof(self), "/proc/self/fd/%d", at);
			fd = open(self, flags | O_CLOEXEC | O_NONBLOCK);
		} else {
			errno = ENOTBLK;
		}
	}
	fd_close(&at);
	return fd;
}

bool image_in_use_at(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	bool is = fd >= 0 && in_use(fd);

	fd_close(&fd);
	return is;
}

bool image_in_use(const char *path)
{
	struct stat st;
	int fd = image_open(path, O_RDONLY, &st);
	bool is = fd >= 0 && in_use(fd);

	fd_close(&fd);
	return is;
}

/* Whether fd's file, read as the format that it looks like, has QEMU open another one:
 * a backing file (qcow2, QED) or an external data file (qcow2). What it looks like
 * counts, not what the source says: a raw copy may be named as another format later. */
static bool refers_elsewhere(int fd)
{
	uint8_t head[24];
	struct qcow2 q;

	if (qcow2_read(fd, &q))
		return q.backing_at != 0 || q.data_file;
	if (pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	    memcmp(head, "QED", 4) == 0)
		return (head[16] & 1) != 0; /* little-endian features */
	return false;
}

/* Whether fd's file is encrypted as d's is at the source: what is copied to one that is not would
 * lie in plaintext. */
static bool encrypted_alike(int fd, const struct vmdesc_disk *d)
{
	uint8_t head[6];
	struct qcow2 q;
	bool qcow2 = qcow2_read(fd, &q) && q.len >= 36;

	if (strcmp(vmdesc_image_format(d), "luks") == 0)
		return pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
		       memcmp(head, "LUKS\xba\xbe", 6) == 0;
	if (d->encryption.known)
		return qcow2 && q.encryption == QCOW2_LUKS;
	return strcmp(vmdesc_image_format(d), "qcow2") != 0 || !qcow2 || !q.encryption;
}

static int look_missing(const char *path, const struct vmdesc_disk *d, struct err *e)
{
	if (!d->copy)
		return err_set(e, ERR_REFUSED,
			       "%s is missing on the destination: drive %s is %s, "
			       "so its image must be there%s",
			       path, d->name, d->read_only ? "read-only" : "not copied",
			       d->read_only && d->sum && *d->sum ? " (--copy-media on copies it)"
								 : "");
	if (!format_known(vmdesc_image_format(d)) ||
	    (strcmp(d->format, "luks") == 0 && !d->encryption.known))
		return err_set(e, ERR_REFUSED,
			       "%s is missing on the destination, and images of "
			       "format %s are not made: make it there, %" PRIu64 " bytes large",
			       path, d->format, d->size);
	return 0;
}

int image_look(const char *path, const struct vmdesc_disk *d, bool same_host, bool *exists,
	       struct err *e)
{
	struct stat st;
	int fd = image_open(path, d->read_only ? O_RDONLY : O_RDWR, &st);
	char id[64];

	*exists = fd >= 0;
	if (fd < 0 && errno == ENOENT)
		return look_missing(path, d, e);
	if (fd < 0 && errno == ENOTBLK)
		return err_set(e, ERR_REFUSED,
			       "%s on the destination is no image: neither a file nor a "
			       "block device",
			       path);
	if (fd < 0)
		return err_set_sys(e, errno, "%s cannot be opened on the destination", path);
	if (d->copy && same_host && vmdesc_file_id("/", path, id, sizeof(id)) == 0 &&
	    strcmp(id, d->file_id) == 0)
		err_set(e, ERR_REFUSED,
			"%s is the very image that the source uses: give the "
			"destination another --images folder",
			path);
	else if (refers_elsewhere(fd))
		err_set(e, ERR_REFUSED,
			"%s on the destination has a backing file or a data file, and "
			"that may be any file of the host: start the VM there yourself and use "
			"--dest-qmp, or make it an image of its own (qemu-img convert)",
			path);
	else if (d->copy && !encrypted_alike(fd, d))
		err_set(e, ERR_REFUSED,
			"%s on the destination is %s, and disk %s of the VM is%s: remove it, and "
			"adit makes it anew",
			path, d->encryption.known ? "not encrypted" : "encrypted", d->name,
			d->encryption.known ? "" : " not");
	else if (d->copy && in_use(fd))
		err_set(e, ERR_REFUSED, "%s is in use by another process on the destination", path);
	fd_close(&fd);
	return e->code;
}

/* Whether fd's file begins as an image of that format does. */
static bool begins_as(int fd, const char *format)
{
	uint8_t head[4];

	if (pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return false;
	if (strcmp(format, "qcow2") == 0)
		return qcow2_begins(head);
	return strcmp(format, "qed") == 0 && memcmp(head, "QED", sizeof(head)) == 0;
}

int image_check_format(const char *path, const struct vmdesc_disk *d, struct err *e)
{
	const char *format = vmdesc_image_format(d), *is = NULL;
	struct stat st;
	int fd = image_open(path, O_RDONLY, &st);

	if (fd < 0)
		return err_set_sys(e, errno, "%s cannot be opened on the destination", path);
	/* A raw image that is a file is as large as that, so that of another format would do, and
	 * have what is behind the disk's end stay. */
	if (strcmp(format, "qcow2") == 0 || strcmp(format, "qed") == 0)
		is = begins_as(fd, format) ? NULL : format;
	else if (strcmp(format, "raw") == 0 && S_ISREG(st.st_mode))
		is = begins_as(fd, "qcow2") ? "qcow2" : begins_as(fd, "qed") ? "qed" : NULL;
	fd_close(&fd);
	if (!is)
		return 0;
	return err_set(e, ERR_REFUSED,
		       "%s on the destination is %s %s image, and drive %s is to be %s there: "
		       "remove it, or name another (--target)",
		       path, is == format ? "no" : "a", is, d->name, format);
}

int image_check_size(const char *path, const struct vmdesc_disk *d, uint64_t virtual_size,
		     struct err *e)
{
	if (d->copy && virtual_size < d->size)
		return err_set(e, ERR_SPACE,
			       "%s on the destination is too small: %" PRIu64
			       " bytes, disk %s has %" PRIu64 "; make it larger (qemu-img resize) "
			       "or remove it",
			       path, virtual_size, d->name, d->size);
	if (!d->copy && d->size && virtual_size != d->size)
		return err_set(e, ERR_REFUSED,
			       "%s on the destination is not what drive %s has: "
			       "%" PRIu64 " bytes, not %" PRIu64,
			       path, d->name, virtual_size, d->size);
	return 0;
}

bool image_is_inside(const struct vmdesc_disk *d)
{
	return d->encryption.known && strcmp(d->encryption.driver, "luks") == 0 &&
	       strcmp(d->format, "luks") != 0 && strcmp(d->format, "raw") != 0;
}

bool image_virtual_size(const char *path, const struct vmdesc_disk *d, uint64_t *size)
{
	struct stat st;
	int fd = image_open(path, O_RDONLY, &st);
	bool raw = strcmp(vmdesc_image_format(d), "raw") == 0;
	struct qcow2 q;
	off_t end;
	bool known = false;

	if (fd < 0)
		return false;
	end = raw ? lseek(fd, 0, SEEK_END) : -1; /* of a block device too */
	if (end >= 0) {
		/* in whole sectors, as QEMU has it */
		*size = ((uint64_t)end + 511) / 512 * 512;
		known = true;
	} else if (strcmp(vmdesc_image_format(d), "qcow2") == 0 && qcow2_read(fd, &q) &&
		   q.len >= 32) {
		*size = q.size;
		known = true;
	}
	fd_close(&fd);
	return known;
}

bool image_note_space(const char *path, const struct vmdesc_disk *d, struct err *e)
{
	struct statvfs fs;
	uint64_t free_bytes;
	char a[24], b[24];

	if (statvfs(path, &fs) < 0)
		return false;
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (free_bytes >= d->size)
		return false;
	err_set(e, ERR_SPACE, "%s may grow to %s, and its file system has %s left", path,
		size_format(d->size, a, sizeof(a)), size_format(free_bytes, b, sizeof(b)));
	return true;
}

void image_info_words(struct strvec *w, const char *path, const struct vmdesc_disk *d)
{
	strvec_push(w, "qemu-img");
	strvec_push(w, "info");
	strvec_push(w, "-U"); /* whether it is free was seen to */
	strvec_push(w, "--output=json");
	/* Never guessed: a raw disk's contents may look like another format. */
	if (format_known(vmdesc_image_format(d))) {
		strvec_push(w, "-f");
		strvec_push(w, vmdesc_image_format(d));
	}
	strvec_push(w, "--");
	strvec_push(w, path);
}

/* Appends ",PREFIXkey=value" to options. */
static void add_option(char *options, size_t size, const char *prefix, const char *key,
		       const char *value)
{
	size_t n = strlen(options);

	if (*value)
		snprintf(options + n, size - n, "%s%s%s=%s", n ? "," : "", prefix, key, value);
}

/* By how much work the key slot is to be opened. QEMU measures how much fits into a time: 2 s where
 * nothing is said. Who has chosen less, as a random key needs none, waits for it at each start. The
 * half million a second is what a slow processor does, so that it becomes no less than it was. */
static void add_work(char *options, size_t size, const char *prefix, uint64_t iters)
{
	const uint64_t ms = iters / 500;
	char text[24];

	if (!iters || ms >= 2000)
		return;
	snprintf(text, sizeof(text), "%" PRIu64, ms < 10 ? 10 : ms);
	add_option(options, size, prefix, "iter-time", text);
}

/* twin_crypt_check has seen that these words hold nothing but letters, digits and '-'. */
static void add_encryption(char *options, size_t size, const struct vmdesc_disk *d)
{
	const char *prefix = strcmp(d->encryption.driver, "luks") == 0 ? "" : "encrypt.";

	if (*prefix)
		add_option(options, size, prefix, "format", "luks");
	add_option(options, size, prefix, "key-secret", d->encryption.secret);
	add_option(options, size, prefix, "cipher-alg", d->encryption.cipher_alg);
	add_option(options, size, prefix, "cipher-mode", d->encryption.cipher_mode);
	add_option(options, size, prefix, "ivgen-alg", d->encryption.ivgen_alg);
	add_option(options, size, prefix, "ivgen-hash-alg", d->encryption.ivgen_hash_alg);
	add_option(options, size, prefix, "hash-alg", d->encryption.hash_alg);
	add_work(options, size, prefix, d->encryption.iters);
}

uint64_t image_least(const struct vmdesc_disk *d, bool inc)
{
	uint64_t least = d->snapshots ? 0 : d->allocated;

	/* What is below it goes into the copy; how much of that is covered is not known. */
	for (size_t i = 0; !inc && i < d->backing_count; i++)
		if (d->backing[i].allocated > least)
			least = d->backing[i].allocated;
	return least;
}

bool image_is_full(const struct vmdesc_disk *d)
{
	return d->size && d->allocated >= d->size && !d->snapshots;
}

/* Appends ",option"; what does not fit is left out, and the image is then made without. */
static void add(char *options, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void add(char *options, size_t size, const char *fmt, ...)
{
	size_t n = strlen(options);
	va_list ap;

	if (n && n + 1 < size)
		options[n++] = ',';
	va_start(ap, fmt);
	vsnprintf(options + n, size - n, fmt, ap);
	va_end(ap);
}

static void add_qcow2(char *options, size_t size, const struct vmdesc_disk *d)
{
	const bool v3 = strcmp(d->qcow2.compat, "0.10") != 0;

	add(options, size, "compat=%s", v3 ? "1.1" : "0.10");
	if (d->qcow2.cluster_size)
		add(options, size, "cluster_size=%" PRIu64, d->qcow2.cluster_size);
	if (v3 && d->qcow2.refcount_bits)
		add(options, size, "refcount_bits=%" PRIu64, d->qcow2.refcount_bits);
	if (v3)
		add(options, size, "extended_l2=%s,lazy_refcounts=%s",
		    d->qcow2.extended_l2 ? "on" : "off", d->qcow2.lazy_refcounts ? "on" : "off");
	if (v3 && strcmp(d->qcow2.compression_type, "zstd") == 0)
		add(options, size, "compression_type=zstd");
}

/* What makes an image like the source's: all that QEMU tells of that, and that qemu-img takes.
 * (With a VDI, VHDX, VPC or VMDK image that it may write QEMU migrates no VM.) */
static void add_options(char *options, size_t size, const struct vmdesc_disk *d, bool full)
{
	const char *format = vmdesc_image_format(d);

	if (strcmp(format, "qcow2") == 0 && d->qcow2.known)
		add_qcow2(options, size, d);
	if (full && (strcmp(format, "qcow2") == 0 || strcmp(format, "raw") == 0))
		add(options, size, "preallocation=falloc");
	if (strcmp(format, "qed") == 0 && d->cluster_size)
		add(options, size, "cluster_size=%" PRIu64, d->cluster_size);
}

void image_secret_words(struct strvec *w, const char *option, const struct vmdesc *d)
{
	for (size_t i = 0; i < d->secret_count; i++) {
		const struct vmdesc_secret *s = &d->secrets[i];

		strvec_push(w, option);
		strvec_pushf(w, "secret,id=%s,format=%s,file=/proc/self/fd/%zu%s%s%s%s", s->id,
			     s->format, PROC_KEEP_FIRST + i, *s->keyid ? ",keyid=" : "", s->keyid,
			     *s->iv ? ",iv=" : "", s->iv);
	}
}

void image_create_words(struct strvec *w, const char *path, const struct vmdesc_disk *d,
			const char *backing, const struct vmdesc *vm, bool full)
{
	char options[2048] = "";

	strvec_push(w, "qemu-img");
	strvec_push(w, "create");
	strvec_push(w, "-q");
	if (d->encryption.known && vm)
		image_secret_words(w, "--object", vm);
	strvec_push(w, "-f");
	strvec_push(w, vmdesc_image_format(d));
	add_options(options, sizeof(options), d, full && !backing);
	if (d->encryption.known)
		add_encryption(options, sizeof(options), d);
	if (*options) {
		strvec_push(w, "-o");
		strvec_push(w, options);
	}
	if (backing) {
		strvec_push(w, "-u"); /* it was looked at, and is not to be opened here */
		strvec_push(w, "-b");
		strvec_push(w, backing);
		strvec_push(w, "-F");
		strvec_push(w, d->backing[0].format);
	}
	strvec_push(w, "--");
	strvec_push(w, path);
	strvec_pushf(w, "%" PRIu64, d->size);
}
