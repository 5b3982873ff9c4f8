/*
 * A file that holds one text, and is made so that a new text can be written when there is no
 * room left on its file system: two slots of the same size, written in full when the file is
 * made, and then in place, in turn. The slot that is written is never the one that counts, so
 * that a write which is torn (a full disk, a reset) leaves the text that was there.
 *
 * Each slot is two lines of ASCII, filled up with spaces: what `less` and `jq` can read.
 *
 *   {"slots":2,"sequence":         7,"length":      1234,"check":"0123456789abcdef"}
 *   the text, LENGTH bytes
 *
 * The slot with the highest sequence of those whose check is good counts. The check is FNV-1a of
 * 64 bits over sequence, length and text: it is to tell a slot that was half written from a
 * whole one, in a folder that nobody else may write to, and not to withstand somebody.
 *
 * File systems that never overwrite (btrfs, ZFS, bcachefs) can be full for a write in place,
 * too: btrfs is asked not to do so for this file; else such a write fails, and may be tried
 * again.
 */
#ifndef ADIT_BASE_SLOTS_H
#define ADIT_BASE_SLOTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum { SLOTS_TEXT_MAX = 8 * 1024 * 1024 };

/* Embedded in its owner. */
struct slots {
	const char *path; /* borrowed; a file beside it, path.tmp, is used while it is made */
	int fd;
	dev_t dev;
	ino_t ino;
	size_t slot_bytes;
	unsigned newest; /* the slot that counts */
	uint64_t sequence;
};

/* Nothing is opened yet. path is borrowed. */
void slots_init(struct slots *s, const char *path);

/* Closes the file, which stays. */
void slots_fini(struct slots *s);

/* The text that counts, with a 0 behind it; the caller's to free. A file that has no slots is
 * given as it is. NULL with ERR_NONE where there is no file, with ERR_CONFIG where no slot is
 * whole, with ERR_SYSTEM. */
char *slots_read(const char *path, struct err *e);

/* Whether the file that is held is still the one at path; true where none is held. */
int slots_in_place(const struct slots *s);

/* text (len bytes, without a newline at its end, at most SLOTS_TEXT_MAX) is what counts from now
 * on, and durably so. In place where the file is there, as slots_in_place says, and has room
 * enough; else a new file takes its place, with room for a text that is half as long again and 4
 * KiB more. Its folder must be there. ERR_SYSTEM, ERR_SPACE: the text that was there counts, unless
 * only the disk refused to say that it has it; the same may be tried again. */
int slots_write(struct slots *s, const char *text, size_t len, struct err *e);

#endif
