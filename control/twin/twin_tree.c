/*
 * -blockdev and its like as trees, whichever way they are written: what driver and what file is at
 * the bottom of one. Reads only.
 */
#include "control/twin/twin_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Puts value at "a.b.c" of o. Deeper than who reads it looks there is nothing: a peer's word may
 * have dots by the hundred thousand, and what frees the tree goes down in it. */
static void put(json_t *o, const char *key, const char *value)
{
	unsigned depth = 0;
	const char *dot;

	while ((dot = strchr(key, '.')) != NULL) {
		char *name = strndup(key, (size_t)(dot - key));
		json_t *below = name ? json_object_get(o, name) : NULL;

		if (name && !json_is_object(below)) {
			json_object_set_new(o, name, json_object());
			below = json_object_get(o, name);
		}
		free(name);
		if (!below || ++depth > TWIN_DEPTH_MAX)
			return;
		o = below;
		key = dot + 1;
	}
	json_object_set_new(o, key, json_string(value));
}

/* An option's value, be it JSON or key=value, as a tree; never NULL but for want of memory. */
json_t *twin_tree_read(const char *value, const char *implied)
{
	struct qopts o = {0};
	json_t *tree = *value == '{' ? json_loads(value, 0, NULL) : NULL;

	if (tree)
		return tree;
	tree = json_object();
	if (*value != '{' && qopts_parse(&o, value, implied) == 0)
		for (size_t i = 0; tree && i < o.count; i++)
			if (o.at[i].key)
				put(tree, o.at[i].key, o.at[i].value);
	qopts_fini(&o);
	return tree;
}

/* The file at the bottom of o, a node or the name of one; "" when it has none. */
const char *twin_tree_leaf(const struct twin_plan *p, const json_t *o)
{
	for (unsigned depth = 0; o && depth < TWIN_DEPTH_MAX; depth++) {
		if (json_is_string(o))
			o = json_object_get(p->nodes, json_string_value(o));
		if (*json_text(o, "filename"))
			return json_text(o, "filename");
		o = json_object_get(o, "file");
	}
	return "";
}

/* The driver that reads the image, below filters: "raw", "qcow2"; "file" where there is none. */
const char *twin_tree_format(const struct twin_plan *p, const json_t *o)
{
	const char *driver = "";

	for (unsigned depth = 0; o && depth < TWIN_DEPTH_MAX; depth++) {
		if (json_is_string(o))
			o = json_object_get(p->nodes, json_string_value(o));
		driver = json_text(o, "driver");
		if (strcmp(driver, "throttle") != 0 && strcmp(driver, "copy-on-read") != 0 &&
		    strcmp(driver, "preallocate") != 0)
			break;
		o = json_object_get(o, "file");
	}
	return driver;
}

static const char *plain(const char *path)
{
	return strncmp(path, "file:", 5) == 0 ? path + 5 : path;
}

bool twin_is_image_of(const struct vmdesc *d, const struct vmdesc_disk *disk, const char *path)
{
	char full[4096];

	path = plain(path);
	snprintf(full, sizeof(full), "%s%s%s", *path == '/' ? "" : d->cwd, *path == '/' ? "" : "/",
		 path);
	return strcmp(disk->file, path) == 0 || strcmp(disk->file, full) == 0;
}

const struct vmdesc_disk *twin_disk_of(const struct vmdesc *d, const char *path)
{
	for (size_t i = 0; i < d->disk_count; i++)
		if (twin_is_image_of(d, &d->disks[i], path))
			return &d->disks[i];
	return NULL;
}

bool twin_tree_is_copied(const struct twin_plan *p, const char *value)
{
	json_t *tree = twin_tree_read(value, "driver");
	const char *path = twin_tree_leaf(p, tree);
	const struct vmdesc_disk *d = *path ? twin_disk_of(p->d, path) : NULL;

	json_decref(tree);
	return d && d->copy;
}
