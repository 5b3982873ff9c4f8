/*
 * What a drive that is only read has in it: an ISO, a floppy's image, a disk that is read-only. It
 * has to be on the destination too, and be the same; a small one that is missing there is copied.
 * Whether two are the same is told by their sums.
 */
#ifndef ADIT_CONTROL_VM_MEDIA_H
#define ADIT_CONTROL_VM_MEDIA_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

/* Of --copy-media. */
enum media_copy {
	MEDIA_COPY_AUTO, /* where it is small */
	MEDIA_COPY_ON,
	MEDIA_COPY_OFF,
};

#define MEDIA_SMALL ((uint64_t)64 << 20)

/* Marks (`copy`) those of disks, a description's (docs/cookies.md), that are copied where they are
 * missing there: raw images that are only read, each file once. */
void media_select(json_t *disks, enum media_copy how);

/*
 * The sums of files, read a piece at a time with pauses in between, so that nobody has to wait for
 * them, and no file again that is the same as when it was read:
 * SHA-256 over all of a file up to MEDIA_SMALL, of a larger one over its first and last 4 MiB; with
 * zeroes up to a whole sector, as QEMU shows it and a copy has them.
 */
struct media_sums;

/* All are known. sums may be freed within. */
typedef void media_sums_on_end(void *ctx, struct media_sums *sums);

/* pid: the QEMU that names the files, which are opened as it would (secret_file.h). NULL when
 * memory is short. */
struct media_sums *media_sums_new(struct event_base *base, pid_t pid, media_sums_on_end *on_end,
				  void *ctx);
void media_sums_free(struct media_sums *s);

/* One more to read, before the start. Copies path; twice the same is once. */
void media_sums_add(struct media_sums *s, const char *path);

/* on_end is called later, never within, also where nothing is to be read. who, which stays as long
 * as s, is the peer that this is for: one file of its at a time is read. */
void media_sums_start(struct media_sums *s, const char *who);

/* 64 hexadecimal digits; "" of one that is no regular file, or cannot be read, or was not added. */
const char *media_sums_of(const struct media_sums *s, const char *path);

/* Those of the drives of disks for which there is one to be made are added to s; and once they are
 * known put into disks (`sum`). */
void media_sums_add_disks(struct media_sums *s, const json_t *disks);
void media_sums_put(const struct media_sums *s, json_t *disks);

#endif
