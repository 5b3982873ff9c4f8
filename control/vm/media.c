/* Media: see media.h. */
#include "control/vm/media.h"

#include <stdint.h>
#include <string.h>

#include "control/vm/json_text.h"

/* ---- which ---- */

/* As its bytes stand in the file: what else there is (a format of its own, a key, an image below)
 * is not in a copy of what the guest sees. */
static bool is_plain(const json_t *disk)
{
	const char *format = json_text(disk, "format");

	return json_is_true(json_object_get(disk, "read_only")) &&
	       !json_is_true(json_object_get(disk, "empty")) && *json_text(disk, "file") &&
	       !json_object_get(disk, "backing") && !json_object_get(disk, "encryption") &&
	       (strcmp(format, "raw") == 0 || strcmp(format, "file") == 0 ||
		strcmp(format, "host_device") == 0 || strcmp(format, "host_cdrom") == 0);
}

void media_select(json_t *disks, enum media_copy how)
{
	json_t *disk, *other;
	size_t i, k;

	json_array_foreach(disks, i, disk)
	{
		const uint64_t size = json_number(disk, "size");
		bool copy = how != MEDIA_COPY_OFF && is_plain(disk) && size &&
			    (how == MEDIA_COPY_ON || size <= MEDIA_SMALL) &&
			    !*json_text(disk, "shared_with");

		json_array_foreach(disks, k, other)
		{
			if (k >= i)
				break;
			copy = copy && strcmp(json_text(other, "file"), json_text(disk, "file"));
		}
		if (copy)
			json_object_set_new(disk, "copy", json_true());
	}
}

/* ---- of a description ---- */

void media_sums_add_disks(struct media_sums *s, const json_t *disks)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk) if (is_plain(disk))
	    media_sums_add(s, json_text(disk, "file"));
}

void media_sums_put(const struct media_sums *s, json_t *disks)
{
	json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk)
	{
		const char *sum = media_sums_of(s, json_text(disk, "file"));

		if (is_plain(disk) && *sum)
			json_object_set_new(disk, "sum", json_string(sum));
	}
}
