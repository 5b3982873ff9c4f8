/*
 * The twin's images and files: what -drive and -blockdev name, -kernel, -bios. A
 * path of the source becomes the file of that name in one of the listed folders.
 */
#include "control/twin/twin_i.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/host.h"

/* What may stand behind an image: files, and filters before them. Not vmdk, whose
 * contents name any other files as its parts. */
static const char *const drivers[] = {
    "raw",  "qcow2",	   "qed",      "luks",	       "vdi",	  "vpc",      "vhdx",
    "file", "host_device", "throttle", "copy-on-read", "null-co", "null-aio", "preallocate",
};

/* Those of the source's own devices: a copy is a file. */
static bool is_host_driver(const char *driver)
{
	return strcmp(driver, "host_device") == 0 || strcmp(driver, "host_cdrom") == 0;
}

static bool driver_known(const char *driver)
{
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (strcmp(drivers[i], driver) == 0)
			return true;
	return false;
}

/* The file here that stands for b, below disk: its path goes to path. */
static int add_backing(struct twin_plan *p, const struct vmdesc_disk *disk,
		       const struct vmdesc_backing *b, char *path, size_t size)
{
	struct twin *t = p->t;
	struct twin_backing *more;

	if (backing_find(p->rights->images, disk, b, path, size, p->e) < 0)
		return p->e->code;
	more = realloc(t->backings, (t->backing_count + 1) * sizeof(*more));
	if (!more)
		return err_set(p->e, ERR_SPACE, "no memory for the images");
	t->backings = more;
	more[t->backing_count] = (struct twin_backing){.path = strdup(path), .from = b};
	if (!more[t->backing_count].path)
		return err_set(p->e, ERR_SPACE, "no memory for the images");
	t->backing_count++;
	return 0;
}

static int add_image(struct twin_plan *p, const char *path, const struct vmdesc_disk *disk)
{
	struct twin_image *more;
	struct twin *t = p->t;
	struct err *e = p->e;
	char backing[4096];
	bool over = p->d->inc && disk->copy && !disk->read_only;

	for (size_t i = 0; i < t->image_count; i++) {
		if (strcmp(t->images[i].path, path) != 0)
			continue;
		/* One file behind two drives; of a medium one of them is copied. */
		if (disk->copy && !t->images[i].disk->copy && t->images[i].disk->read_only)
			t->images[i].disk = disk;
		return 0;
	}
	if (over && !disk->backing_count)
		return err_set(e, ERR_REFUSED, "disk %s has no backing file (--copy-storage inc)",
			       disk->name);
	if (over && add_backing(p, disk, &disk->backing[0], backing, sizeof(backing)) < 0)
		return e->code;
	more = realloc(t->images, (t->image_count + 1) * sizeof(*more));
	if (!more)
		return err_set(e, ERR_SPACE, "no memory for the images");
	t->images = more;
	more[t->image_count] = (struct twin_image){
	    .path = strdup(path), .disk = disk, .backing = over ? strdup(backing) : NULL};
	if (!more[t->image_count].path || (over && !more[t->image_count].backing))
		return err_set(e, ERR_SPACE, "no memory for the images");
	t->image_count++;
	return 0;
}

static bool taken(const struct twin *t, const char *path, const struct vmdesc_disk *disk)
{
	for (size_t i = 0; i < t->image_count; i++)
		if (strcmp(t->images[i].path, path) == 0 &&
		    strcmp(t->images[i].disk->file, disk->file) != 0)
			return true;
	return false;
}

/* Where the image of disk is to be: where a file of that name is, else the first
 * folder. A name that another disk has got is told apart by the disk's. */
static int place(struct twin_plan *p, const char *source, const struct vmdesc_disk *disk, char *out,
		 size_t size)
{
	const char *name = twin_base_name(p, source);
	const char *const *dirs = p->rights->images;
	const char *dir = dirs ? dirs[0] : NULL;

	if (!name)
		return p->e->code;
	/* A source may call a drive empty whose image it names all the same. */
	if (!dir)
		return err_set(p->e, ERR_REFUSED,
			       "there is no folder for the VM's images: start "
			       "the destination's adit serve with --images DIR (images = in "
			       "adit.conf)");
	if (*disk->target && twin_target(p, disk, source, false, out, size) < 0)
		return p->e->code;
	if (*disk->target && taken(p->t, out, disk) &&
	    twin_target(p, disk, source, true, out, size) < 0)
		return p->e->code;
	for (int again = 0; !*disk->target && again < 2; again++) {
		for (; *dirs; dirs++) {
			snprintf(out, size, "%s/%s%s%s", *dirs, again ? disk->name : "",
				 again ? "-" : "", name);
			if (access(out, F_OK) == 0)
				dir = *dirs;
		}
		snprintf(out, size, "%s/%s%s%s", dir, again ? disk->name : "", again ? "-" : "",
			 name);
		if (!taken(p->t, out, disk))
			break;
		dirs = p->rights->images;
	}
	if (taken(p->t, out, disk))
		return err_set(p->e, ERR_REFUSED,
			       "the image of drive %s would be %.200s, which is "
			       "another drive's already; %s",
			       disk->name, out,
			       *disk->target ? "give it a name of its own (--target)"
					     : TWIN_ATTACH);
	return add_image(p, out, disk);
}

/* Storage that is not a file: "nbd://...", "rbd:...", "json:...". */
static bool is_remote(const char *path)
{
	return path[strcspn(path, ":/")] == ':';
}

/* What stands below a disk that is copied without it, by the path of its image; NULL. */
static const struct vmdesc_backing *backing_of(const struct vmdesc *d, const char *path,
					       const struct vmdesc_disk **disk)
{
	char full[4096];

	snprintf(full, sizeof(full), "%s%s%s", *path == '/' ? "" : d->cwd, *path == '/' ? "" : "/",
		 path);
	for (size_t i = 0; d->inc && i < d->disk_count; i++)
		for (size_t k = 0; d->disks[i].copy && k < d->disks[i].backing_count; k++) {
			*disk = &d->disks[i];
			if (strcmp(d->disks[i].backing[k].file, path) == 0 ||
			    strcmp(d->disks[i].backing[k].file, full) == 0)
				return &d->disks[i].backing[k];
		}
	return NULL;
}

static int add_firmware(struct twin_plan *p, const char *path, const struct vmdesc_disk *disk)
{
	struct twin_firmware *grown =
	    realloc(p->t->firmware, (p->t->firmware_count + 1) * sizeof(*p->t->firmware));

	if (grown)
		p->t->firmware = grown;
	if (!grown || !(grown[p->t->firmware_count].path = strdup(path)))
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	grown[p->t->firmware_count++].disk = disk;
	return 0;
}

/* Rewrites the path of an image, which option names. disk: whose it is; NULL: found by
 * the path. *below says that it is a backing file's, which is to be read only. */
static int move(struct twin_plan *p, const char *option, const char *path,
		const struct vmdesc_disk *disk, char *out, size_t size, bool *below)
{
	const struct vmdesc_backing *backing;

	if (strncmp(path, "file:", 5) == 0)
		path += 5;
	if (is_remote(path))
		return twin_refuse(p, option, path,
				   "storage that is not a file is reached from "
				   "each host; " TWIN_ATTACH);
	*below = false;
	if (!disk)
		disk = twin_disk_of(p->d, path);
	if (!disk && (backing = backing_of(p->d, path, &disk)) != NULL) {
		*below = true;
		return add_backing(p, disk, backing, out, size);
	}
	if (!disk)
		return twin_refuse(p, option, path,
				   "no drive of the running VM has this image any "
				   "more; " TWIN_ATTACH);
	if (disk->read_only && twin_is_firmware(path)) {
		snprintf(out, size, "%s", path);
		return add_firmware(p, path, disk);
	}
	return place(p, path, disk, out, size);
}

int twin_image_path(struct twin_plan *p, const char *option, const struct vmdesc_disk *disk,
		    char *out, size_t size)
{
	bool below;

	return move(p, option, disk->file, disk, out, size, &below);
}

static bool is_filename(const char *key)
{
	size_t len = strlen(key);

	return strcmp(key, "filename") == 0 || (len > 9 && !strcmp(key + len - 9, ".filename"));
}

static bool is_driver(const char *key)
{
	size_t len = strlen(key);

	return strcmp(key, "driver") == 0 || (len > 7 && !strcmp(key + len - 7, ".driver"));
}

/* What would open an image that is locked. */
static const char *const lock_keys[] = {"locking", "file.locking", "force-share",
					"file.force-share"};

static bool is_lock_key(const char *key)
{
	return strcmp(key, "locking") == 0 || strcmp(key, "force-share") == 0;
}

/* What of a raw node says that its image is a part of the file: the copy is that part alone. */
static bool is_part_key(const char *key)
{
	return strcmp(key, "offset") == 0 || strcmp(key, "size") == 0;
}

/* Whether that is of a medium that is copied: it is written to once, whatever its size is; past
 * the page cache that would have to be a multiple of what the file system wants. */
static bool is_copied_medium(const struct twin_plan *p, const char *text,
			     const struct vmdesc_disk *disk)
{
	json_t *tree = disk ? NULL : twin_tree_read(text, "driver");

	if (tree)
		disk = twin_disk_of(p->d, twin_tree_leaf(p, tree));
	json_decref(tree);
	return disk && disk->copy && disk->read_only;
}

/* ---- key=value ---- */

static bool ends_with(const char *key, const char *with)
{
	size_t len = strlen(key), n = strlen(with);

	return len >= n && strcmp(key + len - n, with) == 0 &&
	       (len == n || key[len - n - 1] == '.');
}

/* Through the page cache, and with what goes with that. */
static void remove_direct(struct qopts *o)
{
	static const char *const direct[] = {"cache", "cache.direct", "aio"};
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < o->count && !again; i++)
			for (size_t k = 0; k < 3 && !again; k++)
				if (o->at[i].key && ends_with(o->at[i].key, direct[k])) {
					char *key = strdup(o->at[i].key);

					again = key && qopts_remove(o, key);
					free(key);
				}
	}
}

static void remove_part(struct qopts *o)
{
	for (size_t i = 0; i < o->count;) {
		const char *key = o->at[i].key, *dot = key ? strrchr(key, '.') : NULL, *driver;
		char *name = key ? malloc(strlen(key) + sizeof("driver")) : NULL;
		bool part = name && is_part_key(dot ? dot + 1 : key);

		if (part) {
			sprintf(name, "%.*sdriver", dot ? (int)(dot + 1 - key) : 0, key);
			driver = qopts_get(o, name);
			if (!driver && !dot)
				driver = qopts_get(o, "format"); /* of -drive */
			part = driver && strcmp(driver, "raw") == 0;
			strcpy(name, key); /* (the key goes with what it is of) */
		}
		if (!part || !qopts_remove(o, name))
			i++;
		free(name);
	}
}

/* An option in JSON, and what is done with the image that it has: found once, as a source may have
 * any number of keys that ask for it. */
struct json_option {
	const char *name, *text;
	bool copied, medium;
};

static struct json_option json_option(const struct twin_plan *p, const char *name, const char *text)
{
	return (struct json_option){.name = name,
				    .text = text,
				    .copied = twin_tree_is_copied(p, text),
				    .medium = is_copied_medium(p, text, NULL)};
}

static int rewrite_json(struct twin_plan *p, const struct json_option *of, json_t *o,
			unsigned depth, bool *read_only);

/* "json:{...}" where a path may stand. */
static int rewrite_pseudo(struct twin_plan *p, const char *option, const struct qopts *all,
			  char **value)
{
	const struct json_option of = json_option(p, option, *value + 5);
	json_t *o = json_loads(of.text, JSON_REJECT_DUPLICATES, NULL);
	char *text = NULL, *whole = NULL;
	bool read_only;
	int r;

	if (!json_is_object(o)) {
		json_decref(o);
		return twin_refuse(p, option, *value, "it is not a JSON object");
	}
	r = rewrite_json(p, &of, o, 0, &read_only);
	/* Never left to guessing, as with a path (twin_drive.c). */
	if (r == 0 && !*json_text(o, "driver") && !qopts_get(all, "format") &&
	    !qopts_get(all, "driver"))
		r = twin_refuse(p, option, *value, "it does not say the image's format (driver)");
	if (r == 0)
		r = twin_format_json(p, o, *value + 5);
	if (r == 0) {
		text = json_dumps(o, JSON_COMPACT);
		whole = text ? malloc(strlen(text) + 6) : NULL;
	}
	if (whole) {
		sprintf(whole, "json:%s", text);
		free(*value);
		*value = whole;
	} else if (r == 0) {
		r = err_set(p->e, ERR_SPACE, "no memory for the command line");
	}
	free(text);
	json_decref(o);
	return r;
}

int twin_rewrite_keys(struct twin_plan *p, const char *option, struct qopts *o,
		      const struct vmdesc_disk *disk, const char *text)
{
	const bool drive = strcmp(option, "drive") == 0;
	const char *node = qopts_get(o, "node-name");
	bool read_only = node && strvec_has(&p->below, node), below;
	char path[4096];

	for (size_t i = 0; i < o->count; i++) {
		const char *key = o->at[i].key;
		char *value;

		/* A copy that holds everything has nothing below it; an overlay that is made
		 * names its backing file itself. */
		if (!key || ((drive || !p->d->inc) && strncmp(key, "backing.", 8) == 0))
			continue;
		if (is_driver(key) && is_host_driver(o->at[i].value))
			memcpy(o->at[i].value, "file", sizeof("file"));
		if (is_driver(key) && !driver_known(o->at[i].value))
			return twin_refuse(p, option, text,
					   "storage of this kind is not moved by "
					   "adit; " TWIN_ATTACH);
		if (strcmp(key, "format") == 0 && !driver_known(o->at[i].value))
			return twin_refuse(p, option, text,
					   "an image of this format is not moved "
					   "by adit; " TWIN_ATTACH);
		if (!is_filename(key) && strcmp(key, "file") != 0)
			continue;
		if (strcmp(key, "file") == 0 && strncmp(o->at[i].value, "json:", 5) == 0) {
			if (rewrite_pseudo(p, option, o, &o->at[i].value) < 0)
				return p->e->code;
			continue;
		}
		/* "file" of -blockdev is a node; of -drive a path, or empty. */
		if (strcmp(key, "file") == 0 &&
		    (strcmp(option, "blockdev") == 0 || !*o->at[i].value))
			continue;
		if (move(p, option, o->at[i].value, strncmp(key, "backing.", 8) == 0 ? NULL : disk,
			 path, sizeof(path), &below) < 0)
			return p->e->code;
		read_only = read_only || (below && strncmp(key, "backing.", 8) != 0);
		value = strdup(path);
		if (!value)
			return err_set(p->e, ERR_SPACE, "no memory for the command line");
		free(o->at[i].value);
		o->at[i].value = value;
	}
	if (drive ? disk && disk->copy : twin_tree_is_copied(p, text))
		remove_part(o);
	if (is_copied_medium(p, text, disk))
		remove_direct(o);
	if (twin_format_keys(p, o, disk, text) < 0)
		return p->e->code;
	/* An image that another QEMU writes to is not to be opened beside it. */
	for (size_t i = 0; i < sizeof(lock_keys) / sizeof(lock_keys[0]); i++)
		qopts_remove(o, lock_keys[i]);
	if (read_only && qopts_set(o, "read-only", "on") < 0)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	if (p->d->inc && !drive)
		return 0;
	/* The copy holds everything: no backing file is needed. */
	qopts_remove_prefix(o, "backing.");
	if (p->d->inc)
		qopts_remove(o, "backing");
	else if (qopts_get(o, "backing"))
		qopts_set(o, "backing", "");
	return 0;
}

int twin_add_options(struct twin_plan *p, const char *option, const struct qopts *o)
{
	char *text = qopts_text(o);

	if (!text)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	twin_add(p, option, text);
	free(text);
	return 0;
}

/* ---- JSON ---- */

/* *read_only: o is, or is right above, a backing file. */
static int rewrite_json(struct twin_plan *p, const struct json_option *of, json_t *o,
			unsigned depth, bool *read_only)
{
	const char *key, *node = json_string_value(json_object_get(o, "node-name"));
	bool is_below = node && strvec_has(&p->below, node), under;
	json_t *v;
	void *next;
	char path[4096];

	if (depth > 16)
		return twin_refuse(p, of->name, of->text, "it is nested too deeply");
	json_object_foreach_safe(o, next, key, v)
	{
		const char *s = json_string_value(v);

		/* In json:... QEMU takes that for one within another. */
		if (strchr(key, '.'))
			return twin_refuse(p, of->name, of->text, "a name in it has a dot");
		if (is_lock_key(key) ||
		    (is_part_key(key) && strcmp(json_text(o, "driver"), "raw") == 0 &&
		     of->copied)) {
			json_object_del(o, key);
		} else if ((strcmp(key, "direct") == 0 || strcmp(key, "aio") == 0) && of->medium) {
			json_object_del(o, key);
		} else if (strcmp(key, "backing") == 0 && !p->d->inc) {
			json_object_set_new(o, key, json_null());
		} else if (json_is_object(v)) {
			if (rewrite_json(p, of, v, depth + 1, &under) < 0)
				return p->e->code;
			is_below = is_below || (under && strcmp(key, "backing") != 0);
		} else if (s && strcmp(key, "driver") == 0 && is_host_driver(s)) {
			json_object_set_new(o, key, json_string("file"));
		} else if (s && strcmp(key, "driver") == 0 && !driver_known(s)) {
			return twin_refuse(p, of->name, of->text,
					   "storage of this kind is not moved "
					   "by adit; " TWIN_ATTACH);
		} else if (s && strcmp(key, "filename") == 0) {
			if (move(p, of->name, s, NULL, path, sizeof(path), &under) < 0)
				return p->e->code;
			is_below = is_below || under;
			json_object_set_new(o, key, json_string(path));
		}
	}
	if (is_below)
		json_object_set_new(o, "read-only", json_true());
	*read_only = is_below;
	return 0;
}

int twin_find_below(struct twin_plan *p)
{
	for (size_t i = 0; p->d->inc && i < p->args->count; i++) {
		const struct qargs_item *it = &p->args->at[i];
		const char *node = NULL;
		struct qopts o = {0};
		json_t *json = NULL;

		if (!it->option || it->option->rule != QARGS_BLOCKDEV)
			continue;
		if (*it->value == '{') {
			json = json_loads(it->value, 0, NULL);
			node = json_string_value(json_object_get(json, "backing"));
		} else if (qopts_parse(&o, it->value, "driver") < 0) {
			return err_set(p->e, ERR_SPACE, "no memory for the command line");
		} else {
			node = qopts_get(&o, "backing");
		}
		if (node && *node)
			strvec_push(&p->below, node);
		json_decref(json);
		qopts_fini(&o);
	}
	return 0;
}

static int blockdev_json(struct twin_plan *p, const char *value)
{
	const struct json_option of = json_option(p, "blockdev", value);
	json_t *o = json_loads(value, JSON_REJECT_DUPLICATES, NULL);
	char *text = NULL;
	bool read_only;
	int r;

	if (!json_is_object(o)) {
		json_decref(o);
		return twin_refuse(p, "blockdev", value, "it is not a JSON object");
	}
	r = rewrite_json(p, &of, o, 0, &read_only);
	if (r == 0)
		r = twin_format_json(p, o, value);
	if (r == 0 && !(text = json_dumps(o, JSON_COMPACT)))
		r = err_set(p->e, ERR_SPACE, "no memory for the command line");
	if (r == 0)
		twin_add(p, "blockdev", text);
	free(text);
	json_decref(o);
	return r;
}

int twin_blockdev(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	int r;

	if (twin_crypt_option(p, "blockdev", NULL, value) < 0)
		return p->e->code;
	if (*value == '{')
		return blockdev_json(p, value);
	if (qopts_parse(&o, value, "driver") < 0)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	r = twin_rewrite_keys(p, "blockdev", &o, NULL, value);
	if (r == 0)
		r = twin_add_options(p, "blockdev", &o);
	qopts_fini(&o);
	return r;
}
