/*
 * Images that are to have another format here than at the source, as their storage has it
 * ([storage NAME], format =). A copy holds what the guest sees, so that any of raw and qcow2 will
 * do; the options that open the image then name its format anew, and lose what only the old one
 * knows. Where more than the guest's bytes is in an image (a key, an image below it), or where no
 * option names its format, nothing is guessed: the plan is refused.
 */
#include "control/twin/twin_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_FORMAT "the VM's command line names no format of it"
#define NOT_RIGHT_ABOVE "its format is not right above its file"

void twin_formats(struct vmdesc *d, const struct rights *rights)
{
	for (size_t i = 0; i < d->disk_count; i++) {
		struct vmdesc_disk *k = &d->disks[i];
		const struct rights_storage *s =
		    *k->target ? twin_target_storage(rights, k->target) : NULL;

		/* What is only read is copied as the file that it is (media.h). */
		if (s && *s->format && *k->file && k->copy && !k->read_only &&
		    strcmp(s->format, vmdesc_image_format(k)) != 0)
			k->made = s->format;
	}
}

static int refuse(struct twin_plan *p, const struct vmdesc_disk *d, const char *why)
{
	return err_set(p->e, ERR_REFUSED,
		       "disk %s is to be %s there, as its storage has it, and %s: name another "
		       "storage, or none",
		       d->name, d->made, why);
}

/* Whether an option names it: else the device stands on the file's own node. */
static bool has_format(const struct vmdesc_disk *d)
{
	return *d->format && strcmp(d->format, "file") != 0 &&
	       strcmp(d->format, "host_device") != 0 && strcmp(d->format, "host_cdrom") != 0;
}

int twin_format_check(struct twin_plan *p)
{
	for (size_t i = 0; i < p->d->disk_count; i++) {
		const struct vmdesc_disk *d = &p->d->disks[i];

		if (!*d->made)
			continue;
		if (d->encryption.known)
			return refuse(p, d, "it is encrypted, which a copy keeps by its format");
		if (p->d->inc)
			return refuse(p, d,
				      "--copy-storage inc makes an image over another one, of the "
				      "format that it has");
		if (!has_format(d))
			return refuse(p, d, NO_FORMAT);
		if (strcmp(d->format, "raw") != 0 && strcmp(d->format, "qcow2") != 0 &&
		    strcmp(d->format, "qed") != 0)
			return refuse(p, d,
				      "an image of the format that it has (vpc, vdi, vhdx, ...) is "
				      "not made one of another");
	}
	return 0;
}

static bool is_filter(const char *driver)
{
	return strcmp(driver, "throttle") == 0 || strcmp(driver, "copy-on-read") == 0 ||
	       strcmp(driver, "preallocate") == 0;
}

/* What only qcow2 knows, or qed: the first part of the key, or all of it. */
static bool is_of_format(const char *key)
{
	static const char *const keys[] = {"lazy-refcounts",
					   "pass-discard-request",
					   "pass-discard-snapshot",
					   "pass-discard-other",
					   "discard-no-unref",
					   "overlap-check",
					   "cache-size",
					   "l2-cache-size",
					   "l2-cache-entry-size",
					   "refcount-cache-size",
					   "cache-clean-interval",
					   "encrypt",
					   "data-file",
					   "backing"};
	size_t len = strcspn(key, ".");

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strlen(keys[i]) == len && strncmp(key, keys[i], len) == 0)
			return true;
	return false;
}

/* Whether the file is right below the format's node. */
static bool is_right_above(const struct twin_plan *p, const json_t *node)
{
	const json_t *below = json_object_get(node, "file");
	const char *driver;

	if (json_is_string(below))
		below = json_object_get(p->nodes, json_string_value(below));
	driver = json_text(below, "driver");
	/* (of -drive, or with its file's name alone, it is) */
	return !*driver || strcmp(driver, "file") == 0 || strcmp(driver, "host_device") == 0;
}

/* The node of the disk's format in the option whose tree this is, with how deep it is; NULL: it is
 * another option's. */
static json_t *node_of(json_t *tree, const struct vmdesc_disk *d, unsigned *depth)
{
	json_t *o = tree;

	for (*depth = 0; o && *depth < TWIN_DEPTH_MAX; ++*depth) {
		const char *driver = json_text(o, "driver");

		if (!*driver && *depth == 0)
			driver = json_text(o, "format"); /* of -drive */
		if (strcmp(driver, d->format) == 0)
			return o;
		if (!is_filter(driver))
			return NULL;
		o = json_object_get(o, "file");
		o = json_is_object(o) ? o : NULL;
	}
	return NULL;
}

static const struct vmdesc_disk *disk_of(const struct twin_plan *p, const char *text,
					 const struct vmdesc_disk *disk)
{
	json_t *tree = disk ? NULL : twin_tree_read(text, "driver");

	if (tree)
		disk = twin_disk_of(p->d, twin_tree_leaf(p, tree));
	json_decref(tree);
	return disk && *disk->made ? disk : NULL;
}

/* d's format has been written anew in one more option. */
static void wrote(struct twin_plan *p, const struct vmdesc_disk *d)
{
	strvec_pushf(&p->remade, "%zu", (size_t)(d - p->d->disks));
}

int twin_format_end(struct twin_plan *p)
{
	for (size_t i = 0; i < p->d->disk_count; i++) {
		const struct vmdesc_disk *d = &p->d->disks[i];
		size_t times = 0;
		char at[24];

		if (!*d->made)
			continue;
		snprintf(at, sizeof(at), "%zu", i);
		for (size_t k = 0; k < p->remade.count; k++)
			times += strcmp(p->remade.at[k], at) == 0;
		if (times != 1)
			return refuse(p, d, times ? NOT_RIGHT_ABOVE : NO_FORMAT);
	}
	return 0;
}

int twin_format_keys(struct twin_plan *p, struct qopts *o, const struct vmdesc_disk *disk,
		     const char *text)
{
	const struct vmdesc_disk *d = disk_of(p, text, disk);
	char *now = d ? qopts_text(o) : NULL;
	json_t *tree = now ? twin_tree_read(now, NULL) : NULL, *node;
	char prefix[TWIN_DEPTH_MAX * sizeof("file.") + 1] = "", key[sizeof(prefix) + 8];
	unsigned depth = 0;
	int r = d && !tree ? err_set(p->e, ERR_SPACE, "no memory for the command line") : 0;

	node = d ? node_of(tree, d, &depth) : NULL;
	if (node && !is_right_above(p, node))
		r = refuse(p, d, NOT_RIGHT_ABOVE);
	if (node && r == 0) {
		for (unsigned i = 0; i < depth; i++)
			strcat(prefix, "file.");
		for (size_t i = 0; i < o->count;) {
			char *name = o->at[i].key ? strdup(o->at[i].key) : NULL;

			if (!name || strncmp(name, prefix, strlen(prefix)) != 0 ||
			    !is_of_format(name + strlen(prefix)) || !qopts_remove(o, name))
				i++;
			free(name);
		}
		snprintf(key, sizeof(key), "%s%s", prefix,
			 *json_text(node, "driver") ? "driver" : "format");
		wrote(p, d);
		if (qopts_set(o, key, d->made) < 0)
			r = err_set(p->e, ERR_SPACE, "no memory for the command line");
	}
	json_decref(tree);
	free(now);
	return r;
}

int twin_format_json(struct twin_plan *p, json_t *o, const char *text)
{
	const struct vmdesc_disk *d = disk_of(p, text, NULL);
	json_t *node, *v;
	unsigned depth;
	const char *key;
	void *next;

	node = d ? node_of(o, d, &depth) : NULL;
	if (!node)
		return 0;
	if (!is_right_above(p, node))
		return refuse(p, d, NOT_RIGHT_ABOVE);
	json_object_foreach_safe(node, next, key, v) if (is_of_format(key))
	    json_object_del(node, key);
	wrote(p, d);
	if (json_object_set_new(node, "driver", json_string(d->made)) < 0)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	return 0;
}
