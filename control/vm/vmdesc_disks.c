/*
 * The drives of a VM, as QEMU on the source tells them: see vmdesc_disks.h. A drive is a
 * root of the block graph: what a device has, and -blockdev nodes that none has yet.
 */
#include "control/vm/vmdesc_disks.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "control/vm/pace.h"
#include "control/vm/qopts.h"
#include "control/vm/throttle.h"
#include "control/vm/vmdesc.h"
#include "control/vm/vmdesc_crypt.h"
#include "control/vm/vmdesc_nodes.h"
#include "control/vm/json_text.h"

static void set_str(json_t *o, const char *key, const char *s)
{
	if (s && *s)
		json_object_set_new(o, key, json_string(s));
}

static json_t *read_qcow2(const json_t *image)
{
	const json_t *data = json_object_get(json_object_get(image, "format-specific"), "data");
	static const struct {
		const char *from, *to;
	} keys[] = {{"compat", "compat"},
		    {"refcount-bits", "refcount_bits"},
		    {"compression-type", "compression_type"},
		    {"extended-l2", "extended_l2"},
		    {"lazy-refcounts", "lazy_refcounts"}};
	json_t *q = json_object(), *v;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if ((v = json_object_get(data, keys[i].from)))
			json_object_set(q, keys[i].to, v);
	if ((v = json_object_get(image, "cluster-size")))
		json_object_set(q, "cluster_size", v);
	return q;
}

/* The first node that has file as its image. */
static const json_t *node_of_file(const struct vmdesc_nodes *nodes, const char *file)
{
	const json_t *node;
	size_t i;

	json_array_foreach(nodes->list, i,
			   node) if (*file && !vmdesc_nodes_is_filter(json_text(node, "drv")) &&
				     !vmdesc_nodes_is_protocol(json_text(node, "drv")) &&
				     strcmp(json_text(node, "file"), file) == 0) return node;
	return NULL;
}

/* What is below image: nested in query-block's answer; what query-named-block-nodes says
 * only names it. Filters are no images. */
static const json_t *below(const json_t *image, const struct vmdesc_nodes *nodes)
{
	const json_t *next = json_object_get(image, "backing-image");

	while (next && vmdesc_nodes_is_filter(json_text(next, "format")))
		next = json_object_get(next, "backing-image");
	if (next || !*json_text(image, "backing-filename"))
		return next;
	next = node_of_file(nodes, json_text(image, "full-backing-filename"));
	if (!next)
		next = node_of_file(nodes, json_text(image, "backing-filename"));
	return json_object_get(next, "image");
}

/* The images below that of a drive, the nearest first; NULL when there is none. */
static json_t *read_backing(const json_t *image, const struct vmdesc_nodes *nodes)
{
	char file[4096], format[4096];
	json_t *chain = json_array(), *b;

	while (image && vmdesc_nodes_is_filter(json_text(image, "format")))
		image = json_object_get(image, "backing-image");
	while (image && json_array_size(chain) < 64 && (image = below(image, nodes))) {
		vmdesc_nodes_resolve(json_text(image, "filename"), file, format, sizeof(file));
		b = json_pack(
		    "{s:s,s:s,s:I}", "file", file, "format",
		    *format ? format : json_text(image, "format"), "size",
		    (json_int_t)json_integer_value(json_object_get(image, "virtual-size")));
		if (vmdesc_crypt_has(file, nodes->list))
			json_object_set_new(b, "encrypted", json_true());
		if (json_is_integer(json_object_get(image, "actual-size")))
			json_object_set(b, "allocated", json_object_get(image, "actual-size"));
		json_array_append_new(chain, b);
	}
	if (json_array_size(chain))
		return chain;
	json_decref(chain);
	return NULL;
}

static bool name_is_taken(const json_t *disks, const char *name)
{
	const json_t *d;
	size_t i;

	json_array_foreach(disks, i, d) if (strcmp(json_text(d, "name"), name) == 0) return true;
	return false;
}

/* A short name for people, NBD exports and streams. */
static void choose_name(const json_t *disks, const char *device, const char *node, const char *qdev,
			char *out, size_t size)
{
	static const char named[] = "/machine/peripheral/";
	char base[64];
	size_t i;

	if (*device) {
		snprintf(base, sizeof(base), "%s", device);
	} else if (*node && *node != '#') {
		snprintf(base, sizeof(base), "%s", node);
	} else if (strncmp(qdev, named, sizeof(named) - 1) == 0) {
		snprintf(base, sizeof(base), "%s", qdev + sizeof(named) - 1);
		base[strcspn(base, "/")] = 0;
	} else {
		snprintf(base, sizeof(base), "%s", *qdev && *qdev != '/' ? qdev : "disk");
	}
	if (base[0] == '.')
		base[0] = '_';
	for (i = 0; base[i]; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
			    base[i]))
			base[i] = '_';
	snprintf(out, size, "%s", base);
	for (i = 2; name_is_taken(disks, out); i++)
		snprintf(out, size, "%s-%zu", base, i);
}

static void add_disk(json_t *disks, const json_t *info, const json_t *inserted,
		     const struct vmdesc_nodes *nodes, const char *cwd)
{
	const char *node = json_text(inserted, "node-name"), *device = json_text(info, "device");
	const char *qdev = json_text(info, "qdev");
	char name[96], id[64], file[4096], format[4096];
	const json_t *top, *image, *other;
	json_t *d, *backing, *limits;
	size_t i;

	vmdesc_nodes_resolve(json_text(inserted, "file"), file, format, sizeof(file));
	top = inserted ? vmdesc_nodes_image(nodes, inserted, file) : NULL;
	image = json_object_get(top, "image");

	choose_name(disks, device, node, qdev, name, sizeof(name));
	d = json_pack("{s:s,s:I,s:b,s:b,s:b,s:b}", "name", name, "size",
		      (json_int_t)json_integer_value(json_object_get(image, "virtual-size")),
		      "read_only", inserted && json_is_true(json_object_get(inserted, "ro")),
		      "empty", !inserted, "removable",
		      json_is_true(json_object_get(info, "removable")), "copy", 0);
	if (!d)
		return;
	set_str(d, "device", device);
	set_str(d, "qdev", qdev);
	set_str(d, "node", node);
	if (top && top != inserted && strcmp(json_text(top, "node-name"), node) != 0)
		set_str(d, "image_node", json_text(top, "node-name"));
	limits = throttle_of_drive(inserted);
	/* What an earlier migration has left is not the VM's own: a device in such a group had no
	 * limits. The group alone is told (check_kept.c). One that was parted from its group had:
	 * its limits stay, a pace among them perhaps (take_old_limits). */
	if (json_object_size(limits)) {
		if (!pace_is_group(json_text(inserted, "group")))
			json_object_set(d, "limits", limits);
		set_str(d, "limits_group", json_text(inserted, "group"));
	}
	json_decref(limits);
	set_str(d, "format", *format ? format : json_text(image, "format"));
	set_str(d, "file", file);
	if ((backing = read_backing(json_object_get(inserted, "image"), nodes)))
		json_object_set_new(d, "backing", backing);
	if (*file && vmdesc_file_id(cwd, file, id, sizeof(id)) == 0)
		set_str(d, "file_id", id);
	if (json_is_integer(json_object_get(image, "actual-size")))
		json_object_set(d, "allocated", json_object_get(image, "actual-size"));
	if (json_array_size(json_object_get(image, "snapshots")))
		json_object_set_new(d, "snapshots", json_true());
	if (strcmp(json_text(image, "format"), "qcow2") == 0)
		json_object_set_new(d, "qcow2", read_qcow2(image));
	else if (json_is_integer(json_object_get(image, "cluster-size")))
		json_object_set(d, "cluster_size", json_object_get(image, "cluster-size"));
	vmdesc_read_crypt(d, inserted, file, nodes->list);
	json_array_foreach(disks, i, other) if (*node &&
						strcmp(json_text(other, "node"), node) == 0 &&
						!*json_text(other, "shared_with"))
	    set_str(d, "shared_with", json_text(other, "name"));
	json_array_append_new(disks, d);
}

/* Every string in o but the names of nodes: among them are the nodes that it refers to. */
static void add_references(json_t *used, const json_t *o, unsigned depth)
{
	const char *key;
	json_t *v;
	size_t i;

	if (depth > 16)
		return;
	json_array_foreach(o, i, v) add_references(used, v, depth + 1);
	json_object_foreach((json_t *)o, key, v)
	{
		if (json_is_string(v) && strcmp(key, "node-name") != 0)
			json_object_set_new(used, json_string_value(v), json_true());
		else
			add_references(used, v, depth + 1);
	}
}

/* A -blockdev's own node goes to roots, those that it refers to go to used. */
static void read_blockdev(const char *value, json_t *roots, json_t *used)
{
	json_t *json = NULL;
	struct qopts o = {0};
	const char *name;

	if (*value == '{') {
		json = json_loads(value, 0, NULL);
		add_references(used, json, 0);
		name = json_text(json, "node-name");
	} else {
		qopts_parse(&o, value, "driver");
		for (size_t i = 0; i < o.count; i++)
			if (o.at[i].key && strcmp(o.at[i].key, "node-name") != 0)
				json_object_set_new(used, o.at[i].value, json_true());
		name = qopts_get(&o, "node-name");
	}
	if (name && *name)
		json_object_set_new(roots, name, json_true());
	qopts_fini(&o);
	json_decref(json);
}

/* A -blockdev that no device uses now: a later device_add may want its contents. */
static void add_idle_nodes(json_t *disks, const struct qargs *q, const struct vmdesc_nodes *nodes,
			   const char *cwd)
{
	json_t *roots = json_object(), *used = json_object();
	const json_t *node, *d;
	size_t i;

	for (i = 0; i < q->count; i++)
		if (q->at[i].option && q->at[i].option->rule == QARGS_BLOCKDEV)
			read_blockdev(q->at[i].value, roots, used);
	json_array_foreach(disks, i, d)
	    json_object_set_new(used, json_text(d, "node"), json_true());
	json_array_foreach(nodes->list, i, node)
	{
		const char *name = json_text(node, "node-name");

		if (json_object_get(roots, name) && !json_object_get(used, name))
			add_disk(disks, NULL, node, nodes, cwd);
	}
	json_decref(roots);
	json_decref(used);
}

/* Of a device that an earlier migration has parted from its group and left there: where another one
 * is in that group still, its limits are what they all had. */
static void take_old_limits(json_t *disks)
{
	const json_t *other;
	json_t *disk;
	size_t i, k;

	json_array_foreach(disks, i, disk)
	{
		const char *from = pace_parted_from(json_text(disk, "limits_group"));

		json_array_foreach(disks, k,
				   other) if (from &&
					      strcmp(json_text(other, "limits_group"), from) == 0)
		    json_object_set(disk, "limits", json_object_get(other, "limits"));
	}
}

json_t *vmdesc_read_disks(const json_t *blocks, const struct vmdesc_nodes *nodes,
			  const struct qargs *q, const char *cwd)
{
	json_t *disks = json_array();
	const json_t *info;
	size_t i;

	json_array_foreach(blocks, i, info)
	    add_disk(disks, info, json_object_get(info, "inserted"), nodes, cwd);
	add_idle_nodes(disks, q, nodes, cwd);
	take_old_limits(disks);
	return disks;
}
