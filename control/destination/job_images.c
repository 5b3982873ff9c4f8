/*
 * The images that a launched twin has open, by name. A folder that was removed or moved under
 * a migration, or another file put in its place, goes unseen by QEMU, which writes on into
 * what it has open; and with its end all of that is gone. So it is looked at before the
 * decision. Nothing is put right here.
 */
#include "control/destination/job_i.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

void job_images_note(struct job *j)
{
	struct stat st;

	for (size_t i = 0; i < j->twin.image_count; i++) {
		struct twin_image *image = &j->twin.images[i];

		if (stat(image->path, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		image->dev = st.st_dev;
		image->ino = st.st_ino;
	}
}

int job_images_there(const struct job *j, struct err *e)
{
	struct stat st;

	for (size_t i = 0; i < j->twin.image_count; i++) {
		const struct twin_image *image = &j->twin.images[i];

		if (!image->ino)
			continue;
		if (stat(image->path, &st) < 0)
			return err_set(
			    e, ERR_REFUSED,
			    "the image %.300s, which was copied to the destination, is "
			    "not there any more (%s): with its QEMU the disk would be gone",
			    image->path, strerror(errno));
		if (st.st_dev != image->dev || st.st_ino != image->ino)
			return err_set(
			    e, ERR_REFUSED,
			    "another file is by now where the image %.300s was copied to on "
			    "the destination: with its QEMU the disk would be gone",
			    image->path);
	}
	return 0;
}
