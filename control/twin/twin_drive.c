/*
 * -drive, -hda and its like. The drive that such an option has made is known by its name, its id
 * or the one that QEMU gives to it; what is in it now may be something else than at the start,
 * or nothing.
 */
#include "control/twin/twin_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

/* How many drives of a kind a bus takes: QEMU's blockdev.c, and q35's own IDE. */
static unsigned places(const struct twin_plan *p, const char *type)
{
	if (strcmp(type, "ide") == 0)
		return strstr(p->d->machine, "q35") ? 1 : 2;
	return strcmp(type, "scsi") == 0 ? 7 : 0;
}

static bool is_taken(const struct twin_plan *p, const char *type, unsigned bus, unsigned unit)
{
	char place[64];

	snprintf(place, sizeof(place), "%.20s %u %u", type, bus, unit);
	return strvec_has(&p->places, place);
}

/* Where QEMU puts the drive of o (its drive_new()), and the name that it has then: its id, or one
 * by its place; "" when that is not known. */
static void name_drive(struct twin_plan *p, const struct qopts *o, char *name, size_t size)
{
	const char *id = qopts_get(o, "id"), *type = qopts_get(o, "if");
	const char *index = qopts_get(o, "index"), *media = qopts_get(o, "media"), *s;
	unsigned bus = 0, unit = 0, most;
	const char *what = "";
	bool pc = strcmp(p->d->arch, "x86_64") == 0 || strcmp(p->d->arch, "i386") == 0;

	snprintf(name, size, "%s", id ? id : "");
	if (!type && !pc)
		return; /* another machine has another kind where none is named */
	if (!type)
		type = "ide";
	most = places(p, type);
	bus = (s = qopts_get(o, "bus")) ? (unsigned)strtoul(s, NULL, 10) : 0;
	if ((s = qopts_get(o, "unit")) != NULL) {
		unit = (unsigned)strtoul(s, NULL, 10);
	} else if (index) {
		unit = (unsigned)strtoul(index, NULL, 10);
		bus = most ? unit / most : 0;
		unit = most ? unit % most : unit;
	} else {
		while (is_taken(p, type, bus, unit)) {
			unit++;
			if (most && unit >= most) {
				unit -= most;
				bus++;
			}
		}
	}
	strvec_pushf(&p->places, "%.20s %u %u", type, bus, unit);
	if (id)
		return;
	if (strcmp(type, "ide") == 0 || strcmp(type, "scsi") == 0)
		what = media && strcmp(media, "cdrom") == 0 ? "-cd" : "-hd";
	if (most)
		snprintf(name, size, "%.20s%u%s%u", type, bus, what, unit);
	else
		snprintf(name, size, "%.20s%s%u", type, what, unit);
}

/* ---- media ---- */

/* The path of the image: file=PATH, or what is at the bottom of file.driver=... or file=json:...,
 * in buf. NULL. */
static const char *image_of(const struct qopts *o, char *buf, size_t size)
{
	const char *file = qopts_get(o, "file");
	char format[4096];

	if (file && strncmp(file, "json:", 5) == 0 && size <= sizeof(format)) {
		vmdesc_nodes_resolve(file, buf, format, size);
		file = buf;
	}

	for (size_t i = 0; !file && i < o->count; i++) {
		const char *key = o->at[i].key, *dot = key ? strrchr(key, '.') : NULL;

		if (dot ? strcmp(dot, ".filename") == 0 && strncmp(key, "file.", 5) == 0
			: key && strcmp(key, "filename") == 0)
			file = o->at[i].value;
	}
	return file && *file ? file : NULL;
}

/* What QEMU takes of a drive without a medium; any other option has it look for one. */
static bool is_for_empty(const char *key)
{
	static const char *const keys[] = {
	    "id",     "if",	      "index",	       "bus",	"unit",
	    "media",  "readonly",     "read-only",     "aio",	"rerror",
	    "werror", "copy-on-read", "detect-zeroes", "group", "cache.writeback"};
	static const char *const prefixes[] = {"throttling.", "bps", "iops", "stats-"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(key, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/* The medium of a drive may be another than at the start: taken out, changed, put in. */
static int take_medium(struct twin_plan *p, struct qopts *o, const struct vmdesc_disk *disk,
		       const char *option, const char *value)
{
	char path[4096];
	const char *file = image_of(o, path, sizeof(path));

	if (disk->empty) {
		/* what is said of an image (its cache, its node's name) goes with it */
		qopts_keep(o, is_for_empty);
		return 0;
	}
	if (!file && twin_block_is_nothing(disk))
		return 0;
	if (file && (twin_is_image_of(p->d, disk, file) || !*disk->file))
		return 0;
	if (!disk->read_only && !disk->removable)
		return twin_refuse(p, option, value,
				   "its image is another than at the VM's start (a "
				   "snapshot?); " TWIN_ATTACH);
	qopts_remove_prefix(o, "file.");
	qopts_remove_prefix(o, "backing");
	qopts_remove(o, "driver");
	qopts_remove(o, "filename");
	if (qopts_set(o, "file", disk->file) < 0 ||
	    (*disk->format && qopts_set(o, "format", disk->format) < 0))
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	return 0;
}

static int add(struct twin_plan *p, struct qopts *o, const char *option, const char *value)
{
	const struct vmdesc_disk *disk;
	const char *file, *id = qopts_get(o, "id");
	char name[80], path[4096];
	bool guess;
	int r = 0;

	name_drive(p, o, name, sizeof(name));
	disk = vmdesc_by_device(p->d, name);
	file = image_of(o, path, sizeof(path));
	if (qopts_is_on(o, "snapshot"))
		return twin_refuse(p, option, value,
				   "its changes are in a temporary file that no "
				   "image keeps; " TWIN_ATTACH);
	if (disk)
		r = take_medium(p, o, disk, option, value);
	else if (id && *id && file)
		return twin_refuse(p, option, value,
				   "the running VM has no drive of that id any more; " TWIN_ATTACH);
	else if (file)
		disk = twin_disk_of(p->d, file);
	file = qopts_get(o, "file");
	guess = image_of(o, path, sizeof(path)) && (!file || strncmp(file, "json:", 5) != 0) &&
		!qopts_get(o, "format") && !qopts_get(o, "driver");
	twin_block_saw(p, disk);
	if (r == 0)
		r = twin_crypt_option(p, "drive", disk, value);
	/* Never left to guessing: a raw disk may hold what looks like another format. Said before
	 * the keys are rewritten, as it decides which of them stay. */
	if (r == 0 && disk && guess && *disk->format && qopts_set(o, "format", disk->format) < 0)
		r = err_set(p->e, ERR_SPACE, "no memory for the command line");
	if (r == 0)
		r = twin_rewrite_keys(p, "drive", o, disk, value);
	return r == 0 ? twin_add_options(p, "drive", o) : r;
}

int twin_drive(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	int r;

	if (qopts_parse(&o, value, NULL) < 0)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	r = add(p, &o, "drive", value);
	qopts_fini(&o);
	return r;
}

int twin_image_option(struct twin_plan *p, const struct qargs_item *it)
{
	const char *option = it->option ? it->option->name : "hda";
	const char *where = it->option ? it->option->text : "index=0,media=disk";
	struct qopts o = {0};
	int r;

	if (qopts_parse(&o, where, NULL) < 0 || qopts_set(&o, "file", it->value) < 0)
		r = err_set(p->e, ERR_SPACE, "no memory for the command line");
	else
		r = add(p, &o, option, it->value);
	qopts_fini(&o);
	return r;
}
