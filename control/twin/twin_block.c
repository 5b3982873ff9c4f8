/*
 * What stands behind the twin's drives. The command line says what was there at the VM's start;
 * what runs now the source has read of QEMU, and that is what is copied. So each -device is held
 * to what it has now: the same image, none any more (a medium that was ejected), another
 * medium, or what adit does not make whole, which is refused by name. -blockdev options that
 * nobody needs there are left out: a chain below an image that is copied whole, and nodes that
 * are no more. In the end every drive has its own image, or the plan is refused.
 */
#include "control/twin/twin_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODE_NAME_MAX = 31 };

static const char anon[] = "/machine/peripheral-anon/";

/* ---- devices ---- */

enum verdict {
	NO_DRIVE, /* it has none, now as then */
	SAME,
	EMPTY,	 /* its medium was taken out */
	MEDIUM,	 /* it has another one now */
	CHANGED, /* its image is another than at the start */
	GONE,	 /* the device itself is not there */
};

struct device {
	json_t *tree;
	const char *id, *drive; /* of tree */
	const struct vmdesc_disk *disk;
};

static bool is_named(const struct vmdesc_disk *d, const char *id)
{
	static const char named[] = "/machine/peripheral/";
	const char *at = d->qdev;
	size_t len = strlen(id);

	if (strcmp(at, id) == 0)
		return true;
	if (strncmp(at, named, sizeof(named) - 1) != 0)
		return false;
	at += sizeof(named) - 1;
	return strncmp(at, id, len) == 0 && (at[len] == 0 || at[len] == '/');
}

static bool is_anon(const struct vmdesc_disk *d)
{
	return strncmp(d->qdev, anon, sizeof(anon) - 1) == 0;
}

static bool has_drive(const struct vmdesc_disk *d, const char *drive)
{
	return strcmp(d->node, drive) == 0 || strcmp(d->device, drive) == 0;
}

/* Whether some -device without an id says that it has d's drive. */
static bool is_claimed(const struct twin_plan *p, const struct vmdesc_disk *d)
{
	bool is = false;

	for (size_t i = 0; i < p->args->count && !is; i++) {
		const struct qargs_item *it = &p->args->at[i];
		json_t *tree;

		if (!it->option || it->option->rule != QARGS_DEVICE)
			continue;
		tree = twin_tree_read(it->value, "driver");
		is = !*json_text(tree, "id") && *json_text(tree, "drive") &&
		     has_drive(d, json_text(tree, "drive"));
		json_decref(tree);
	}
	return is;
}

/* The drive of a device without an id, by what it had at the start. Where its medium was
 * changed it is the only one left over. */
static const struct vmdesc_disk *find_anon(const struct twin_plan *p, const char *drive)
{
	const struct vmdesc_disk *left = NULL;
	size_t count = 0;

	for (size_t i = 0; *drive && i < p->d->disk_count; i++)
		if ((is_anon(&p->d->disks[i]) || !*p->d->disks[i].qdev) &&
		    has_drive(&p->d->disks[i], drive))
			return &p->d->disks[i];
	for (size_t i = 0; *drive && i < p->d->disk_count; i++) {
		const struct vmdesc_disk *d = &p->d->disks[i];

		if (!is_anon(d) || !d->removable || is_claimed(p, d))
			continue;
		left = d;
		count++;
	}
	return count == 1 ? left : NULL;
}

static void read_device(const struct twin_plan *p, const char *value, struct device *dev)
{
	dev->tree = twin_tree_read(value, "driver");
	dev->id = json_text(dev->tree, "id");
	dev->drive = json_text(dev->tree, "drive");
	dev->disk = NULL;
	for (size_t i = 0; *dev->id && !dev->disk && i < p->d->disk_count; i++)
		if (is_named(&p->d->disks[i], dev->id))
			dev->disk = &p->d->disks[i];
	if (!*dev->id)
		dev->disk = find_anon(p, dev->drive);
}

static bool same_file(const struct twin_plan *p, const struct vmdesc_disk *d, const char *path)
{
	char full[4096];

	if (strcmp(d->file, path) == 0)
		return true;
	snprintf(full, sizeof(full), "%s/%s", p->d->cwd, path);
	return *path != '/' && strcmp(d->file, full) == 0;
}

bool twin_block_is_nothing(const struct vmdesc_disk *d)
{
	return strcmp(d->format, "null-co") == 0 || strcmp(d->format, "null-aio") == 0;
}

/* Whether d is still what the -blockdev drive says. */
static bool is_same(const struct twin_plan *p, const struct vmdesc_disk *d, const char *drive)
{
	const json_t *node = json_object_get(p->nodes, drive);

	if (twin_block_is_nothing(d))
		return strcmp(d->node, drive) == 0 &&
		       strcmp(d->format, twin_tree_format(p, node)) == 0;
	return same_file(p, d, twin_tree_leaf(p, node)) &&
	       (strcmp(d->node, drive) == 0 || strcmp(d->format, twin_tree_format(p, node)) == 0);
}

static enum verdict judge(const struct twin_plan *p, const struct device *dev)
{
	const struct vmdesc_disk *d = dev->disk;
	bool is_node = *dev->drive && json_object_get(p->nodes, dev->drive);

	if (!*dev->drive && (!d || d->empty))
		return NO_DRIVE;
	if (!d)
		return GONE;
	/* what -drive has made keeps its name: twin_drive sees to its image */
	if (*dev->drive && !is_node)
		return strcmp(d->device, dev->drive) == 0 ? SAME : CHANGED;
	if (d->empty)
		return d->removable ? EMPTY : CHANGED;
	if (is_node && is_same(p, d, dev->drive))
		return SAME;
	return d->removable ? MEDIUM : CHANGED;
}

static int refuse_changed(struct twin_plan *p, const struct device *dev)
{
	const struct vmdesc_disk *d = dev->disk;
	const char *was = twin_tree_leaf(p, json_object_get(p->nodes, dev->drive));

	if (d->empty || !*d->file)
		return err_set(p->e, ERR_REFUSED,
			       "device %s has another drive than at the VM's start: " TWIN_ATTACH,
			       dev->id);
	return err_set(
	    p->e, ERR_REFUSED,
	    "device %s has another image than at the VM's start (%.300s, and not %.300s: "
	    "a snapshot, or a disk that was plugged in?), so the command line does not "
	    "make it whole: " TWIN_ATTACH,
	    *dev->id ? dev->id : d->name, d->file, *was ? was : dev->drive);
}

/* ---- nodes ---- */

static void need_all(struct twin_plan *p, const json_t *o, unsigned depth);

static void need(struct twin_plan *p, const char *node, unsigned depth)
{
	const json_t *o = json_object_get(p->nodes, node);

	if (!o || json_object_get(p->needed, node))
		return;
	json_object_set_new(p->needed, node, json_true());
	need_all(p, o, depth + 1);
}

/* A copy that holds everything needs nothing below it. */
static bool is_below(const struct twin_plan *p, const char *key)
{
	return strcmp(key, "backing") == 0 && !p->d->inc;
}

static void need_all(struct twin_plan *p, const json_t *o, unsigned depth)
{
	const char *key;
	json_t *v;

	if (depth > TWIN_DEPTH_MAX)
		return;
	json_object_foreach((json_t *)o, key, v)
	{
		if (is_below(p, key) || strcmp(key, "node-name") == 0)
			continue;
		if (json_is_string(v))
			need(p, json_string_value(v), depth);
		else
			need_all(p, v, depth + 1);
	}
}

static void refer(json_t *referred, const json_t *o, unsigned depth)
{
	const char *key;
	json_t *v;

	if (depth > TWIN_DEPTH_MAX)
		return;
	json_object_foreach((json_t *)o, key, v)
	{
		if (json_is_string(v) && strcmp(key, "node-name") != 0)
			json_object_set_new(referred, json_string_value(v), json_true());
		else
			refer(referred, v, depth + 1);
	}
}

static bool lives(const struct twin_plan *p, const char *node)
{
	return !p->d->nodes_known || strvec_has(&p->d->nodes, node);
}

static bool is_there(const struct twin_plan *p, const struct vmdesc_disk *d)
{
	const char *slash = strrchr(d->file, '/');
	char path[8192];

	for (const char *const *dir = p->rights->images; dir && *dir; dir++) {
		snprintf(path, sizeof(path), "%s/%s", *dir, slash ? slash + 1 : d->file);
		if (access(path, F_OK) == 0)
			return true;
	}
	return twin_is_firmware(d->file);
}

/* Nodes that nothing refers to. One that no device has, and that is only read, was a medium
 * perhaps: it is not worth to fail for. */
static void need_roots(struct twin_plan *p)
{
	json_t *referred = json_object(), *v;
	const char *node;

	json_object_foreach(p->nodes, node, v) refer(referred, v, 0);
	json_object_foreach(p->nodes, node, v)
	{
		const struct vmdesc_disk *d = vmdesc_by_node(p->d, node);

		if (json_object_get(referred, node) || !lives(p, node))
			continue;
		if (d && d->read_only && !*d->device && !*d->qdev && !is_there(p, d))
			strvec_pushf(
			    &p->t->notes,
			    "node %s, which no device has, is left out: its image %.300s is "
			    "not there",
			    node, d->file);
		else
			need(p, node, 0);
	}
	json_decref(referred);
}

/* What -machine pflash0=NODE and its like refer to. */
static void need_words(struct twin_plan *p, const char *value)
{
	json_t *tree = twin_tree_read(value, NULL), *v;
	const char *key;

	json_object_foreach(tree, key, v) if (json_is_string(v)) need(p, json_string_value(v), 0);
	json_decref(tree);
}

int twin_block_read(struct twin_plan *p)
{
	p->nodes = json_object();
	p->needed = json_object();
	p->seen = calloc(p->d->disk_count + 1, sizeof(*p->seen));
	if (!p->nodes || !p->needed || !p->seen)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	for (size_t i = 0; i < p->args->count; i++) {
		const struct qargs_item *it = &p->args->at[i];
		json_t *tree;

		if (!it->option || it->option->rule != QARGS_BLOCKDEV)
			continue;
		tree = twin_tree_read(it->value, "driver");
		json_object_set_new(p->nodes, json_text(tree, "node-name"), tree);
	}
	need_roots(p);
	for (size_t i = 0; i < p->args->count; i++) {
		const struct qargs_item *it = &p->args->at[i];
		enum verdict verdict;
		struct device dev;

		if (it->option && it->option->rule == QARGS_MACHINE)
			need_words(p, it->value);
		if (!it->option || it->option->rule != QARGS_DEVICE)
			continue;
		read_device(p, it->value, &dev);
		verdict = judge(p, &dev);
		if (verdict == SAME)
			need(p, dev.drive, 0);
		if (verdict == CHANGED) /* no option before it says it as well */
			refuse_changed(p, &dev);
		json_decref(dev.tree);
		if (verdict == CHANGED)
			return p->e->code;
	}
	return 0;
}

void twin_block_fini(struct twin_plan *p)
{
	json_decref(p->nodes);
	json_decref(p->needed);
	free(p->seen);
	p->nodes = p->needed = NULL;
	p->seen = NULL;
}

bool twin_block_left_out(const struct twin_plan *p, const char *value)
{
	json_t *tree = twin_tree_read(value, "driver");
	const char *node = json_text(tree, "node-name");
	bool is = *node && !json_object_get(p->needed, node);

	json_decref(tree);
	return is;
}

void twin_block_saw(struct twin_plan *p, const struct vmdesc_disk *d)
{
	if (d)
		p->seen[d - p->d->disks] = true;
}

/* ---- media ---- */

static const char *format_of(const struct vmdesc_disk *d)
{
	return *d->made ? d->made : *d->format ? d->format : "raw";
}

/* A -blockdev for what d has now; its node's name goes to node. */
static int add_medium(struct twin_plan *p, const struct vmdesc_disk *d, char *node, size_t size)
{
	bool bare = strcmp(d->format, "file") == 0;
	char path[4096], *text;
	json_t *file, *o;

	if (twin_image_path(p, "blockdev", d, path, sizeof(path)) < 0)
		return p->e->code;
	/* The name that it has, where somebody gave it one. */
	snprintf(node, size, "%s", *d->node && *d->node != '#' ? d->node : "medium-");
	if (strcmp(node, "medium-") == 0)
		snprintf(node + strlen(node), size - strlen(node), "%s", d->name);
	for (unsigned i = 2; json_object_get(p->needed, node); i++)
		snprintf(node, size, "medium%u", i);
	json_object_set_new(p->needed, node, json_true());
	file = json_pack("{s:s,s:s}", "driver", "file", "filename", path);
	o = bare ? json_incref(file) : json_pack("{s:s,s:O}", "driver", format_of(d), "file", file);
	json_object_set_new(o, "node-name", json_string(node));
	json_object_set_new(o, "read-only", json_boolean(d->read_only));
	text = o && file ? json_dumps(o, JSON_COMPACT) : NULL;
	if (text)
		twin_add(p, "blockdev", text);
	else
		err_set(p->e, ERR_SPACE, "no memory for the command line");
	free(text);
	json_decref(o);
	json_decref(file);
	return p->e->code;
}

/* The option with another drive, or without one (""). */
static char *with_drive(const char *value, const char *drive)
{
	struct qopts o = {0};
	char *text = NULL;
	json_t *json;

	if (*value == '{') {
		json = json_loads(value, 0, NULL);
		if (*drive)
			json_object_set_new(json, "drive", json_string(drive));
		else
			json_object_del(json, "drive");
		text = json_dumps(json, JSON_COMPACT);
		json_decref(json);
	} else if (qopts_parse(&o, value, "driver") == 0) {
		if (!*drive)
			qopts_remove(&o, "drive");
		if (!*drive || qopts_set(&o, "drive", drive) == 0)
			text = qopts_text(&o);
	}
	qopts_fini(&o);
	return text;
}

int twin_block_device(struct twin_plan *p, const char *value, char **out)
{
	char node[NODE_NAME_MAX + 1] = "";
	enum verdict verdict;
	struct device dev;

	*out = NULL;
	read_device(p, value, &dev);
	verdict = judge(p, &dev);
	switch (verdict) {
	case NO_DRIVE:
		break;
	case SAME:
		if (json_object_get(p->nodes, dev.drive))
			twin_block_saw(p, dev.disk);
		break;
	case EMPTY:
	case MEDIUM:
		twin_block_saw(p, dev.disk);
		if (verdict == MEDIUM && add_medium(p, dev.disk, node, sizeof(node)) < 0)
			break;
		*out = with_drive(value, node);
		if (!*out)
			err_set(p->e, ERR_SPACE, "no memory for the command line");
		break;
	case CHANGED:
		refuse_changed(p, &dev);
		break;
	case GONE:
		twin_refuse(p, "device", value,
			    "no drive of the running VM is that device's any more; " TWIN_ATTACH);
		break;
	}
	json_decref(dev.tree);
	return p->e->code;
}

/* A drive that QEMU has made by itself, by the name that it gave: what it has now is
 * written as an option of its own. */
static int add_default(struct twin_plan *p, const struct vmdesc_disk *d, bool *added)
{
	struct qopts o = {0};
	unsigned bus = 0, unit = 0;
	char where[80], path[4096], *text = NULL;
	int end = 0;

	if (sscanf(d->device, "ide%u-cd%u%n", &bus, &unit, &end) == 2 && !d->device[end])
		snprintf(where, sizeof(where), "if=ide,bus=%u,unit=%u,media=cdrom", bus, unit);
	else if (sscanf(d->device, "floppy%u%n", &unit, &end) == 1 && !d->device[end])
		snprintf(where, sizeof(where), "if=floppy,index=%u%s", unit,
			 d->read_only ? ",readonly=on" : "");
	else
		return 0;
	*added = true;
	if (twin_image_path(p, "drive", d, path, sizeof(path)) < 0)
		return p->e->code;
	if (qopts_parse(&o, where, NULL) == 0 && qopts_set(&o, "file", path) == 0 &&
	    qopts_set(&o, "format", format_of(d)) == 0)
		text = qopts_text(&o);
	if (text)
		twin_add(p, "drive", text);
	else
		err_set(p->e, ERR_SPACE, "no memory for the command line");
	free(text);
	qopts_fini(&o);
	return p->e->code;
}

/* ---- in the end ---- */

/* Every drive that has something is behind an option that was taken. */
static int check_drive(struct twin_plan *p, const struct vmdesc_disk *d)
{
	bool added = false;

	/* -machine pflash0=NODE, say */
	if (json_object_get(p->needed, d->node) && is_same(p, d, d->node))
		return 0;
	if (add_default(p, d, &added) < 0 || added)
		return p->e->code;
	return err_set(p->e, ERR_REFUSED,
		       "drive %s has the image %.300s, which the VM's command line does not name "
		       "(plugged in after the VM was started?): " TWIN_ATTACH,
		       d->name, d->file);
}

/* What is copied needs an image that is nobody else's. */
static int check_images(struct twin_plan *p, const struct vmdesc_disk *d)
{
	size_t own = 0;

	for (size_t i = 0; i < p->t->image_count; i++)
		own += p->t->images[i].disk == d;
	/* (of firmware each host has its own) */
	if (own == 1 || (own == 0 && (twin_block_is_nothing(d) || d->read_only)))
		return 0;
	return err_set(p->e, ERR_REFUSED,
		       own ? "drive %s would be copied into one of %zu images (its own was changed "
			     "while the VM ran?): " TWIN_ATTACH
			   : "drive %s is to be copied, and no image of its own is planned for it "
			     "(%zu): " TWIN_ATTACH,
		       d->name, own);
}

int twin_block_end(struct twin_plan *p)
{
	for (size_t i = 0; i < p->d->disk_count; i++) {
		const struct vmdesc_disk *d = &p->d->disks[i];

		if (!d->empty && !p->seen[i] && (*d->device || *d->qdev) && check_drive(p, d) < 0)
			return p->e->code;
		if (d->copy && check_images(p, d) < 0)
			return p->e->code;
	}
	return 0;
}
