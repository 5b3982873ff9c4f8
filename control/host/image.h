/*
 * A disk's image on the destination: is it there, is it free, is it large enough;
 * and the words of qemu-img that make one like the source's.
 */
#ifndef ADIT_CONTROL_HOST_IMAGE_H
#define ADIT_CONTROL_HOST_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/strvec.h"
#include "control/vm.h"

/* Opens what is at path, links followed, with flags (O_RDONLY or O_RDWR), and tells of it in *st: a
 * file or a block device. Nothing else is opened at all: who may write to the folder may have put
 * a link there, and with many a device that alone does something (a watchdog). Close-on-exec and
 * non-blocking. -1 with errno; ENOTBLK: it is something else. */
int image_open(const char *path, int flags, struct stat *st);

/* Looks at path for disk d. *exists says whether it is there. same_host: the source runs
 * on this host too. Refused: not a file, in use by another process (QEMU's locks, which
 * a QEMU with -incoming defer does not look at itself), the source's own file for a disk
 * that is copied, an image that has a backing file or a data file (it is the contents that
 * name those, and a peer may have written them), or missing where it cannot be made (read-only
 * media, disks that are not copied, formats that are not known). */
int image_look(const char *path, const struct vmdesc_disk *d, bool same_host, bool *exists,
	       struct err *e);

/* Whether a process holds QEMU's locks on path (with -incoming defer it does not yet). */
bool image_in_use(const char *path);
/* Likewise of the file name in the open folder dir; a link is not followed. */
bool image_in_use_at(int dir, const char *name);

/* Whether what is at path, which is to be overwritten, has the format of d's image. ERR_REFUSED. */
int image_check_format(const char *path, const struct vmdesc_disk *d, struct err *e);

/* Holds the virtual size of the image at path to d: at least as large, and equal for a
 * medium that is read-only. ERR_SPACE with both sizes. */
int image_check_size(const char *path, const struct vmdesc_disk *d, uint64_t virtual_size,
		     struct err *e);

/* Whether d's image lies inside of a LUKS one, so that its size is not the file's: only who has the
 * key finds it out. */
bool image_is_inside(const struct vmdesc_disk *d);

/* The virtual size of the image at path, which is of d's format, without running anything:
 * raw and qcow2 images only. false when it is not known. */
bool image_virtual_size(const char *path, const struct vmdesc_disk *d, uint64_t *size);

/* Whether the file system of path has less room than d may grow to; the note in *e. */
bool image_note_space(const char *path, const struct vmdesc_disk *d, struct err *e);

/* The words of qemu-img. */
void image_info_words(struct strvec *w, const char *path, const struct vmdesc_disk *d);
/* backing: what it is made over, as d->backing[0] at the source; NULL: nothing. vm: whose
 * secrets it may be encrypted with. full: its space is taken at once (not over a backing file). */
void image_create_words(struct strvec *w, const char *path, const struct vmdesc_disk *d,
			const char *backing, const struct vmdesc *vm, bool full);

/* Adds what makes each of d's secrets in QEMU or qemu-img ("-object" or "--object"), from the
 * descriptors that these inherit. */
void image_secret_words(struct strvec *w, const char *option, const struct vmdesc *d);

/* The bytes that a copy of d takes at least, as an image stays as sparse as it is: 0 where that is
 * not known. inc: of its top image alone. */
uint64_t image_least(const struct vmdesc_disk *d, bool inc);

/* Whether d takes all of its space at the source: preallocated, or written from end to end. Then
 * it does so on the destination too. */
bool image_is_full(const struct vmdesc_disk *d);

#endif
