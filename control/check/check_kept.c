/* What a copy of a disk does not take along: see check_kept.h. What can be made the same is:
 * image.c. The rest is named here, so that nothing vanishes without a word. */
#include "control/check/check_kept.h"

#include <stdio.h>
#include <string.h>

#include "control/vm.h"

enum { DEPTH_MAX = 64 };

static bool flag(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

/* The node of disk that has the image. */
static const json_t *image_node(const struct vmdesc_nodes *n, const json_t *disk)
{
	const char *name = json_text(disk, "image_node");

	return vmdesc_nodes_find(n, *name ? name : json_text(disk, "node"));
}

/* ---- internal snapshots ---- */

static void list_names(const json_t *snapshots, char *buf, size_t size)
{
	size_t i, at = 0;
	const json_t *s;

	buf[0] = 0;
	json_array_foreach(snapshots, i, s)
	{
		int n = snprintf(buf + at, size - at, "%s%s", at ? ", " : "", json_text(s, "name"));

		if (n < 0 || (size_t)n >= size - at) {
			snprintf(buf + size - 4, 4, "...");
			return;
		}
		at += (size_t)n;
	}
}

static void check_snapshots(struct check *c, const json_t *disk, const json_t *image, bool drop)
{
	const json_t *snapshots = json_object_get(image, "snapshots");
	char names[160];

	if (!json_array_size(snapshots))
		return;
	list_names(snapshots, names, sizeof(names));
	if (drop)
		check_add(
		    c, CHECK_WARNING, "snapshots", NULL,
		    "internal snapshots of disk %s are dropped (--drop-snapshots), and stay in "
		    "the source's image only: %s",
		    json_text(disk, "name"), names);
	else
		check_add(c, CHECK_ERROR, "snapshots",
			  "--drop-snapshots leaves them behind in the source's image; or delete "
			  "them before (delvm in its monitor)",
			  "disk %s has internal snapshots, which no copy takes along: %s",
			  json_text(disk, "name"), names);
}

/* ---- what else the image has ---- */

static void check_image(struct check *c, const json_t *disk, const json_t *image, bool inc)
{
	const json_t *data = json_object_get(json_object_get(image, "format-specific"), "data");
	const char *name = json_text(disk, "name");
	const json_t *backing = json_array_get(json_object_get(disk, "backing"), 0);

	if (*json_text(data, "data-file"))
		check_add(
		    c, CHECK_WARNING, "image", NULL,
		    "disk %s has its data in another file here (%.200s); on the destination it "
		    "is in the image itself",
		    name, json_text(data, "data-file"));
	if (flag(data, "corrupt"))
		check_add(c, CHECK_WARNING, "image", "qemu-img check -r all, with the VM off",
			  "the image of disk %s is marked as corrupt, and its copy is not", name);
	if (backing && !inc)
		check_add(
		    c, CHECK_WARNING, "image",
		    "--copy-storage inc keeps it, where the destination has the backing file",
		    "disk %s is an image over %.200s here; its copy holds all of it, and has no "
		    "backing file",
		    name, json_text(backing, "file"));
	if (strcmp(json_text(disk, "format"), "qed") == 0)
		check_add(
		    c, CHECK_WARNING, "image", NULL,
		    "the image of disk %s is made with the table size that qemu-img has: QEMU "
		    "does not tell that of a qed image",
		    name);
}

/* ---- dirty bitmaps ---- */

/* Whether the node's contents go over by a copy: it is the image of a disk that is copied, or
 * above or below it and not there already. */
static bool is_copied(const struct vmdesc_nodes *n, const json_t *disks, const char *name, bool inc)
{
	const json_t *disk, *at;
	size_t i;

	json_array_foreach(disks, i, disk)
	{
		if (!flag(disk, "copy"))
			continue;
		if (strcmp(json_text(disk, "node"), name) == 0 ||
		    strcmp(json_text(disk, "image_node"), name) == 0)
			return true;
		at = inc ? NULL : image_node(n, disk);
		for (unsigned depth = 0; at && depth < DEPTH_MAX; depth++) {
			if (strcmp(json_text(at, "node-name"), name) == 0)
				return true;
			at = vmdesc_nodes_child(
			    n, at,
			    vmdesc_nodes_is_filter(json_text(at, "drv")) ? "file" : "backing");
		}
	}
	return false;
}

/* Neither a mirror nor a migration without a capability of its own takes bitmaps along; one
 * that is stored in an image that both see stays where it is. */
static void check_bitmaps(struct check *c, const struct vmdesc_nodes *n, const json_t *disks,
			  bool inc)
{
	size_t i, k, found = 0;
	json_t *node, *bitmap;

	json_array_foreach(n->list, i, node)
	{
		json_array_foreach(json_object_get(node, "dirty-bitmaps"), k, bitmap)
		{
			const char *name = json_text(bitmap, "name");
			bool stays = flag(bitmap, "persistent") &&
				     !is_copied(n, disks, json_text(node, "node-name"), inc);

			if (!*name || stays)
				continue;
			found++;
			check_add(c, CHECK_WARNING, "bitmaps",
				  "let the first backup on the destination be a full one",
				  "the dirty bitmap %s of node %s will be lost", name,
				  json_text(node, "node-name"));
		}
	}
	if (!found)
		check_add(c, CHECK_OK, "bitmaps", NULL, "no dirty bitmap would be lost");
}

/* ---- I/O limits ---- */

/* Whether the command line makes an object of that id, as far as can be seen: as `id=ID`, or in
 * JSON. */
static bool is_on_command_line(const json_t *argv, const char *id)
{
	char plain[300], quoted[300];
	const json_t *word;
	size_t i, n;

	n = (size_t)snprintf(plain, sizeof(plain), "id=%.255s", id);
	snprintf(quoted, sizeof(quoted), "\"%.255s\"", id);
	json_array_foreach(argv, i, word)
	{
		const char *text = json_string_value(word);
		const char *at = strstr(text, plain);

		if ((at && (!at[n] || at[n] == ',')) || strstr(text, quoted))
			return true;
	}
	return !json_array_size(argv);
}

/* Limits are set on the destination as they are now (arrival_limits.c); an object that came at run
 * time is not there. */
static void check_groups(struct check *c, const json_t *vm)
{
	const json_t *group;
	size_t i;

	json_array_foreach(json_object_get(vm, "throttle_groups"), i, group)
	{
		const char *id = json_text(group, "id");

		if (json_object_size(json_object_get(group, "limits")) &&
		    !is_on_command_line(json_object_get(vm, "argv"), id))
			check_add(
			    c, CHECK_WARNING, "limits",
			    "set them there again, or start the QEMU there yourself with that "
			    "group (--dest-qmp)",
			    "the throttle group %.200s is not on the VM's command line: its I/O "
			    "limits will be lost",
			    id);
	}
}

/* A mirror reads at the root of a disk's nodes: QEMU lets none begin below a filter. Where the
 * filter's limits can be the device's meanwhile (migrate_pace.c), nothing is held up. filters:
 * pace_filters'. */
static void check_filters(struct check *c, const struct vmdesc_nodes *n, const json_t *vm,
			  const json_t *disk, const json_t *filters)
{
	const json_t *at = vmdesc_nodes_find(n, json_text(disk, "node"));
	char group[256];

	if (json_object_get(filters, json_text(disk, "name")))
		return;
	for (unsigned depth = 0; at && depth < DEPTH_MAX;
	     depth++, at = vmdesc_nodes_child(n, at, "file")) {
		if (strcmp(json_text(at, "drv"), "throttle") != 0)
			continue;
		pace_group_of(at, group, sizeof(group));
		if (!*group || pace_group_limits(vm, group))
			check_add(
			    c, CHECK_WARNING, "limits",
			    "raise the group's limits for the time of the copy (qom-set), on "
			    "both sides afterwards as they were; or give the limits to the "
			    "device instead (block_set_io_throttle), which the copy passes by",
			    "disk %s is behind a throttle filter (group %.200s), whose limits "
			    "cannot be its device's meanwhile: they hold up the copy too, and "
			    "the guest gets what the copy leaves",
			    json_text(disk, "name"), *group ? group : "not known");
	}
}

/* A device that had limits and was not parted from its group is in that still, where nothing tells
 * the pace from what somebody has set. */
static void check_parted(struct check *c, const struct vmdesc_report *r, const json_t *disk,
			 const char *group, const char *from)
{
	const json_t *other;
	bool known = false;
	size_t i;

	json_array_foreach(r->disks, i, other) known |=
	    strcmp(json_text(other, "limits_group"), from) == 0;
	check_add(
	    c, CHECK_WARNING, "limits",
	    "`adit recover` puts it back where its record is still there; or set its limits "
	    "yourself, in that group (block_set_io_throttle)",
	    known ? "drive %s was parted from its group of I/O limits for a time by an earlier "
		    "migration of adit's, which could not put it back (group %.200s): the "
		    "destination's gets the limits of group %.200s"
		  : "drive %s was parted from its group of I/O limits for a time by an earlier "
		    "migration of adit's, which could not put it back (group %.200s): the "
		    "destination's gets the limits that it has, in group %.200s, and the pace of "
		    "that migration may be among them",
	    json_text(disk, "name"), group, from);
}

/* A device in such a group had none of its own, or was parted from its own. */
static void check_left(struct check *c, const struct vmdesc_report *r, const json_t *disk)
{
	const char *group = json_text(disk, "limits_group"), *from = pace_parted_from(group);
	bool filter = strlen(group) > strlen("adit-01234567-");

	if (from)
		check_parted(c, r, disk, group, from);
	if (!pace_is_group(group))
		return;
	check_add(c, CHECK_WARNING, "limits",
		  filter
		      ? "`adit recover` takes them back where its record is still there; or take "
			"them away yourself (block_set_io_throttle), and give the throttle group "
			"its own again (qom-set)"
		      : "`adit recover` takes them back where its record is still there; or set "
			"them yourself (block_set_io_throttle)",
		  "drive %s has I/O limits that an earlier migration of adit's set for a time and "
		  "could not take back (group %.200s): they are not set on the destination",
		  json_text(disk, "name"), group);
}

void check_kept(struct check *c, const struct vmdesc_report *r, const struct migrate_config *config)
{
	const struct vmdesc_nodes n = {r->nodes, r->graph};
	const bool inc = config->storage == MIGRATE_STORAGE_INC;
	json_t *filters = pace_filters(&n, r->vm, r->disks);
	size_t i, copied = 0;
	json_t *disk;

	json_array_foreach(r->disks, i, disk)
	{
		const json_t *image = json_object_get(image_node(&n, disk), "image");

		check_left(c, r, disk);
		if (!flag(disk, "copy"))
			continue;
		copied++;
		check_snapshots(c, disk, image, config->drop_snapshots);
		check_image(c, disk, image, inc);
		check_filters(c, &n, r->vm, disk, filters);
	}
	if (copied && !check_has(c, "snapshots", CHECK_WARNING))
		check_add(c, CHECK_OK, "snapshots", NULL, "no internal snapshot would be lost");
	check_groups(c, r->vm);
	check_bitmaps(c, &n, r->disks, inc);
	json_decref(filters);
}
