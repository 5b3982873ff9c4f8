/*
 * Media on the destination: what a drive that is only read has at the source is either here
 * already, and is the same by its sum; or the source lets it be copied, and it is made like any
 * disk. One that is here is never written to: other VMs may read it.
 */
#include "control/destination/arrival_i.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/check.h"
#include "control/host.h"
#include "control/vm.h"

void arrival_media_leave(struct arrival *a)
{
	for (size_t i = 0; i < a->desc.disk_count; i++)
		a->desc.disks[i].copy = a->desc.disks[i].copy && !a->desc.disks[i].read_only;
}

struct media_sums *arrival_media_read(struct arrival *a, const struct twin *plan,
				      media_sums_on_end *on_end)
{
	struct media_sums *s = NULL;

	for (size_t i = 0; i < plan->image_count; i++) {
		const struct twin_image *image = &plan->images[i];

		if (!image->disk->read_only || !*image->disk->sum)
			continue;
		if (!s)
			s = media_sums_new(a->service->base, getpid(), on_end, a);
		if (s)
			media_sums_add(s, image->path);
	}
	for (size_t i = 0; i < plan->firmware_count; i++) {
		if (!*plan->firmware[i].disk->sum)
			continue;
		if (!s)
			s = media_sums_new(a->service->base, getpid(), on_end, a);
		if (s)
			media_sums_add(s, plan->firmware[i].path);
	}
	if (s)
		media_sums_start(s, a->peer);
	return s;
}

/* One of another size is told by its size (check_destination.c). Where the source has named the
 * place, what cannot be compared is not used either, and no size is believed. */
static bool differs(const struct twin_image *image, const char *sum)
{
	uint64_t size;

	if (!*image->disk->sum || strcmp(sum, image->disk->sum) == 0)
		return false;
	return *image->disk->target ||
	       (*sum && image_virtual_size(image->path, image->disk, &size) &&
		size == image->disk->size);
}

/* What is in a storage may be another peer's disk. The sum of a large file is one of its ends, and
 * these may be told without having it. */
static bool is_untold(const struct arrival *a, const struct twin_image *image)
{
	struct stat st;

	return twin_is_in_storage(image->path, a->rights) &&
	       (stat(image->path, &st) < 0 || !S_ISREG(st.st_mode) ||
		(uint64_t)st.st_size > MEDIA_SMALL);
}

static bool has_image(const struct twin *plan, const struct vmdesc_disk *d)
{
	for (size_t i = 0; i < plan->image_count; i++)
		if (plan->images[i].disk == d)
			return true;
	return false;
}

/* Each host has its own. The guest brings along the one that it runs, as RAM; QEMU takes that where
 * it is of one size, and the next one that is started anew has the destination's. */
static void judge_firmware(const struct twin_firmware *f, const struct media_sums *sums,
			   struct check *found)
{
	const char *sum = media_sums_of(sums, f->path);
	struct stat st;

	if (stat(f->path, &st) < 0)
		check_add(found, CHECK_ERROR, "firmware", "install its package there",
			  "the firmware %s is not on the destination", f->path);
	else if (S_ISREG(st.st_mode) && f->disk->size &&
		 ((uint64_t)st.st_size + 511) / 512 != (f->disk->size + 511) / 512)
		check_add(found, CHECK_ERROR, "firmware",
			  "install the same version of its package on both hosts",
			  "the firmware %s has %lld bytes on the destination, and the VM's %llu, "
			  "which QEMU does not take",
			  f->path, (long long)st.st_size, (unsigned long long)f->disk->size);
	else if (*sum && *f->disk->sum && strcmp(sum, f->disk->sum) != 0)
		check_add(found, CHECK_WARNING, "firmware",
			  "install the same version of its package on both hosts",
			  "the firmware %s is another version on the destination: the guest goes "
			  "on with the one that it has, until its QEMU is started anew",
			  f->path);
	else
		check_add(found, CHECK_OK, "firmware", NULL, "the firmware %s is there", f->path);
}

void arrival_media_judge(struct arrival *a, const struct twin *plan, const struct media_sums *sums,
			 struct check *found)
{
	for (size_t i = 0; i < plan->image_count; i++) {
		const struct twin_image *image = &plan->images[i];

		if (!image->disk->read_only || access(image->path, F_OK) < 0)
			continue;
		a->desc.disks[image->disk - a->desc.disks].copy = false;
		if (is_untold(a, image))
			check_add(found, CHECK_ERROR, "images",
				  "put it into a folder for images there (images =)",
				  "%s on the destination is in a storage, where it may be another "
				  "peer's, and too large (64 MiB at most) to be known by its sum",
				  image->path);
		else if (differs(image, media_sums_of(sums, image->path)))
			check_add(found, CHECK_ERROR, "images",
				  "remove it there, give this one another name there with "
				  "--target, or eject the medium",
				  "%s on the destination is another image than drive %s has here%s",
				  image->path, image->disk->name,
				  *image->disk->target ? "" : ", of the same name and size");
	}
	for (size_t i = 0; i < plan->firmware_count; i++)
		judge_firmware(&plan->firmware[i], sums, found);
	for (size_t i = 0; i < a->desc.disk_count; i++) {
		struct vmdesc_disk *d = &a->desc.disks[i];

		if (d->read_only && !has_image(plan, d))
			d->copy = false;
	}
}
