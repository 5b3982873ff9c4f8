/* The block graph of a QEMU: see vmdesc_nodes.h. Reads answers only; asks nothing itself. */
#include "control/vm/vmdesc_nodes.h"
#include "control/vm/json_text.h"

#include <stdio.h>
#include <string.h>

bool vmdesc_nodes_is_filter(const char *drv)
{
	static const char *const filters[] = {"throttle",	   "copy-on-read", "preallocate",
					      "copy-before-write", "mirror_top",   "commit_top",
					      "backup-top",	   "blklogwrites", "compress"};

	for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++)
		if (strcmp(drv, filters[i]) == 0)
			return true;
	return false;
}

bool vmdesc_nodes_is_protocol(const char *drv)
{
	static const char *const protocols[] = {"file", "host_device", "host_cdrom", "nbd",
						"rbd",	"iscsi",       "ssh",	     "https",
						"http", "io_uring",    "nvme",	     "gluster"};

	for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++)
		if (strcmp(drv, protocols[i]) == 0)
			return true;
	return false;
}

void vmdesc_nodes_resolve(const char *name, char *file, char *format, size_t size)
{
	json_t *json = strncmp(name, "json:", 5) == 0 ? json_loads(name + 5, 0, NULL) : NULL;
	const json_t *o = json, *below;

	snprintf(file, size, "%s", json ? "" : name);
	format[0] = 0;
	for (unsigned depth = 0; o && depth < 16; depth++) {
		const char *driver = json_text(o, "driver");

		if (!*format && *driver && !vmdesc_nodes_is_filter(driver) &&
		    !vmdesc_nodes_is_protocol(driver))
			snprintf(format, size, "%s", driver);
		if (*json_text(o, "filename"))
			snprintf(file, size, "%s", json_text(o, "filename"));
		below = json_object_get(o, "file");
		if (json_is_string(below))
			snprintf(file, size, "%s", json_string_value(below));
		o = below;
	}
	json_decref(json);
}

const json_t *vmdesc_nodes_find(const struct vmdesc_nodes *n, const char *name)
{
	const json_t *node;
	size_t i;

	json_array_foreach(n->list, i, node) if (*name && strcmp(json_text(node, "node-name"),
								 name) == 0) return node;
	return NULL;
}

/* The graph's number of a node, -1 without; the name of a number. */
static json_int_t id_of(const json_t *graph, const char *name)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(graph, "nodes"), i,
			   o) if (strcmp(json_text(o, "type"), "block-driver") == 0 &&
				  strcmp(json_text(o, "name"), name) ==
				      0) return json_integer_value(json_object_get(o, "id"));
	return -1;
}

static const char *name_of(const json_t *graph, json_int_t id)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(graph, "nodes"), i,
			   o) if (json_integer_value(json_object_get(o, "id")) ==
				  id) return json_text(o, "name");
	return "";
}

const json_t *vmdesc_nodes_child(const struct vmdesc_nodes *n, const json_t *node,
				 const char *child)
{
	json_int_t id = id_of(n->graph, json_text(node, "node-name"));
	const json_t *edge;
	size_t i;

	json_array_foreach(
	    json_object_get(n->graph, "edges"), i,
	    edge) if (id >= 0 && json_integer_value(json_object_get(edge, "parent")) == id &&
		      strcmp(json_text(edge, "name"), child) ==
			  0) return vmdesc_nodes_find(n, name_of(n->graph,
								 json_integer_value(json_object_get(
								     edge, "child"))));
	return NULL;
}

/* What a block job puts in front of a node by itself. */
static bool is_of_block_job(const json_t *node)
{
	static const char *const drivers[] = {"mirror_top", "commit_top", "copy-on-read"};

	for (size_t i = 0; i < sizeof(drivers) / sizeof(*drivers); i++)
		if (strcmp(json_text(node, "drv"), drivers[i]) == 0)
			return true;
	return false;
}

/* Whether anything uses the node of that number: a device, a block job, another node. */
static bool is_used(const json_t *graph, json_int_t id)
{
	const json_t *edge;
	size_t i;

	json_array_foreach(json_object_get(graph, "edges"), i,
			   edge) if (json_integer_value(json_object_get(edge, "child")) ==
				     id) return true;
	return false;
}

bool vmdesc_nodes_is_lost(const struct vmdesc_nodes *n, const json_t *node)
{
	return is_of_block_job(node) &&
	       !is_used(n->graph, id_of(n->graph, json_text(node, "node-name")));
}

const json_t *vmdesc_nodes_above(const struct vmdesc_nodes *n, const char *name)
{
	json_int_t id = id_of(n->graph, name);
	const json_t *edge, *above;
	size_t i;

	json_array_foreach(json_object_get(n->graph, "edges"), i, edge)
	{
		if (id < 0 || json_integer_value(json_object_get(edge, "child")) != id)
			continue;
		above = vmdesc_nodes_find(
		    n, name_of(n->graph, json_integer_value(json_object_get(edge, "parent"))));
		if (above && (!is_of_block_job(above) || vmdesc_nodes_is_lost(n, above)))
			return above;
	}
	return NULL;
}

const json_t *vmdesc_nodes_image(const struct vmdesc_nodes *n, const json_t *node, const char *file)
{
	const json_t *at = node, *next, *other;
	char below[4096], format[4096];
	size_t i;

	for (unsigned depth = 0; depth < 16 && vmdesc_nodes_is_filter(json_text(at, "drv"));
	     depth++) {
		next = vmdesc_nodes_child(n, at, "file");
		if (!next)
			next = vmdesc_nodes_child(n, at, "backing");
		if (!next)
			break;
		at = next;
	}
	if (!vmdesc_nodes_is_filter(json_text(at, "drv")))
		return at;
	json_array_foreach(n->list, i, other)
	{
		if (vmdesc_nodes_is_filter(json_text(other, "drv")) ||
		    vmdesc_nodes_is_protocol(json_text(other, "drv")))
			continue;
		vmdesc_nodes_resolve(json_text(other, "file"), below, format, sizeof(below));
		if (*file && strcmp(below, file) == 0)
			return other;
	}
	return node;
}
