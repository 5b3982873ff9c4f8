/*
 * The images that a launched twin has open, by name. A folder that was removed or moved under
 * a migration, or another file put in its place, goes unseen by QEMU, which writes on into
 * what it has open; and with its end all of that is gone. So it is looked at before the
 * decision. Nothing is put right here.
 */
#include "control/destination/arrival_i.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

void arrival_images_note(struct arrival *a)
{
	struct stat st;

	for (size_t i = 0; i < a->twin.image_count; i++) {
		struct twin_image *image = &a->twin.images[i];

		if (stat(image->path, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		image->dev = st.st_dev;
		image->ino = st.st_ino;
	}
}

int arrival_images_there(const struct arrival *a, struct err *e)
{
	struct stat st;

	for (size_t i = 0; i < a->twin.image_count; i++) {
		const struct twin_image *image = &a->twin.images[i];

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
