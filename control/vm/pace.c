/* Limits for a time: see pace.h. */
#include "control/vm/pace.h"
#include "control/vm/json_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 64 };
#define MOST ((json_int_t)1000000000000000) /* for QEMU */

/* ---- the writes ---- */

static json_int_t get(const json_t *o, const char *kind, const char *what)
{
	char key[64];

	snprintf(key, sizeof(key), "%s-%s", kind, what);
	return json_integer_value(json_object_get(o, key));
}

static void put(json_t *o, const char *kind, const char *what, json_int_t v)
{
	char key[64];

	snprintf(key, sizeof(key), "%s-%s", kind, what);
	if (v > 0)
		json_object_set_new(o, key, json_integer(v));
	else
		json_object_del(o, key);
}

/* QEMU takes a limit of the sum, or one of reads and one of writes. */
static void split(json_t *o, const char *kind)
{
	static const char *const parts[] = {"", "-max", "-max-length"};
	char from[24], to[24];

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(from, sizeof(from), "total%s", parts[i]);
		snprintf(to, sizeof(to), "read%s", parts[i]);
		put(o, kind, to, get(o, kind, from));
		put(o, kind, from, 0);
	}
}

/* With `iops-size` a big request counts as several: so many requests of that size are so many
 * bytes, which are a limit of their own from now on. what: reads, or writes. */
static void weigh_in_bytes(json_t *o, const char *what, json_int_t size)
{
	json_int_t ops = get(o, "iops", what), bytes = get(o, "bps", what);
	char max[24], length[24];

	if (!ops || ops > MOST / size || (bytes && bytes <= ops * size))
		return;
	snprintf(max, sizeof(max), "%s-max", what);
	snprintf(length, sizeof(length), "%s-max-length", what);
	ops = get(o, "iops", max) > MOST / size ? 0 : get(o, "iops", max);
	put(o, "bps", what, get(o, "iops", what) * size);
	put(o, "bps", max, ops * size);
	put(o, "bps", length, ops ? get(o, "iops", length) : 0);
}

/* Requests are held to fewer than by the limit that is there (of writes; 0: none), each whatever
 * its size is: small ones cost the line as much, and are not to be counted as a part of one. */
static void drop_size(json_t *o, json_int_t write)
{
	json_int_t size = json_integer_value(json_object_get(o, "iops-size"));
	json_int_t total = get(o, "bps", "total");

	if (size < 1)
		return;
	if (total || get(o, "bps", "total-max"))
		split(o, "bps");
	if (total)
		put(o, "bps", "write", total);
	put(o, "iops", "write", write);
	weigh_in_bytes(o, "read", size);
	weigh_in_bytes(o, "write", size);
	json_object_del(o, "iops-size");
}

static void lower(json_t *o, const char *kind, uint64_t to)
{
	json_int_t total = get(o, kind, "total"), total_max = get(o, kind, "total-max");
	json_int_t v = to > MOST ? MOST : (json_int_t)to, write;

	if (!to)
		return;
	if (total || total_max)
		split(o, kind);
	write = total ? total : get(o, kind, "write");
	if (strcmp(kind, "iops") == 0 && (!write || write > v))
		drop_size(o, write);
	put(o, kind, "write", write && write < v ? write : v);
	put(o, kind, "write-max", 0);
	put(o, kind, "write-max-length", 0);
}

json_t *pace_lower(const json_t *limits, uint64_t bytes, uint64_t ops)
{
	json_t *o = limits ? json_copy((json_t *)limits) : json_object();

	lower(o, "iops", ops); /* first: it may make a limit of bytes */
	lower(o, "bps", bytes);
	return o;
}

/* ---- the filters ---- */

const json_t *pace_group_limits(const json_t *vm, const char *id)
{
	const json_t *group, *limits;
	size_t i;

	json_array_foreach(json_object_get(vm, "throttle_groups"), i, group)
	{
		limits = json_object_get(group, "limits");
		if (strcmp(json_text(group, "id"), id) == 0)
			return json_object_size(limits) ? limits : NULL;
	}
	return NULL;
}

/* What follows the digits of a job; NULL where there are none. */
static const char *after_job(const char *group)
{
	enum { ID = 8 };

	if (strncmp(group, "adit-", 5) != 0 || strspn(group + 5, "0123456789abcdef") != ID)
		return NULL;
	return group + 5 + ID;
}

bool pace_is_group(const char *group)
{
	const char *rest = after_job(group);

	return rest && (!*rest || *rest == '-');
}

const char *pace_parted_from(const char *group)
{
	const char *rest = after_job(group);

	return rest && rest[0] == '+' && rest[1] ? rest + 1 : NULL;
}

char *pace_group_of(const json_t *node, char *buf, size_t size)
{
	const char *name = json_text(node, "file");
	json_t *o = NULL;

	buf[0] = 0;
	if (strcmp(json_text(node, "drv"), "throttle") != 0)
		return buf;
	if (strncmp(name, "json:", 5) == 0)
		o = json_loads(name + 5, 0, NULL);
	snprintf(buf, size, "%s", json_text(o, "throttle-group"));
	json_decref(o);
	return buf;
}

/* The one group whose filters are above disk's image, and how many filters those are; 0 where there
 * is none, or another one too. */
static unsigned group_of_disk(const struct vmdesc_nodes *nodes, const json_t *vm,
			      const json_t *disk, char *group, size_t size)
{
	const json_t *at = vmdesc_nodes_find(nodes, json_text(disk, "node"));
	char other[256];
	unsigned n = 0;

	group[0] = 0;
	for (unsigned depth = 0; at && depth < DEPTH_MAX; depth++) {
		if (*pace_group_of(at, other, sizeof(other)) && pace_group_limits(vm, other)) {
			if (n && strcmp(group, other) != 0)
				return 0;
			snprintf(group, size, "%s", other);
			n++;
		}
		at = vmdesc_nodes_child(nodes, at, "file");
	}
	return n;
}

static bool can_be_told(const json_t *disk, const json_t *disks)
{
	const json_t *other;
	size_t i;

	if (!json_is_true(json_object_get(disk, "copy")) ||
	    (!*json_text(disk, "device") && !*json_text(disk, "qdev")) ||
	    json_object_size(json_object_get(disk, "limits")))
		return false;
	/* Two devices before one node: what the other one writes is not seen. */
	json_array_foreach(disks, i, other) if (other != disk &&
						strcmp(json_text(other, "node"),
						       json_text(disk, "node")) == 0) return false;
	return true;
}

/* Whether a device, or a filter that QEMU does not tell the group of, may be in it too. */
static bool is_taken(const struct vmdesc_nodes *nodes, const json_t *disks, const char *group)
{
	const json_t *o;
	char buf[256];
	size_t i;

	json_array_foreach(disks, i, o)
	{
		const char *own = json_text(o, "limits_group"), *from = pace_parted_from(own);

		if (strcmp(from ? from : own, group) == 0)
			return true;
	}
	json_array_foreach(nodes->list, i, o) if (strcmp(json_text(o, "drv"), "throttle") == 0 &&
						  !*pace_group_of(o, buf, sizeof(buf))) return true;
	return false;
}

static unsigned filters_of_group(const struct vmdesc_nodes *nodes, const char *group)
{
	const json_t *node;
	char buf[256];
	unsigned n = 0;
	size_t i;

	json_array_foreach(nodes->list, i, node) n +=
	    strcmp(pace_group_of(node, buf, sizeof(buf)), group) == 0;
	return n;
}

json_t *pace_filters(const struct vmdesc_nodes *nodes, const json_t *vm, const json_t *disks)
{
	json_t *out = json_object(), *seen = json_object();
	const json_t *disk;
	char group[256];
	const char *name;
	json_t *v;
	void *next;
	size_t i;

	json_array_foreach(disks, i, disk)
	{
		unsigned n = group_of_disk(nodes, vm, disk, group, sizeof(group));

		if (!n || !can_be_told(disk, disks) || is_taken(nodes, disks, group))
			continue;
		json_object_set_new(out, json_text(disk, "name"), json_string(group));
		json_object_set_new(
		    seen, group,
		    json_integer(json_integer_value(json_object_get(seen, group)) + n));
	}
	json_object_foreach_safe(out, next, name, v)
	{
		const char *id = json_string_value(v);

		/* Raised, it would let somebody else go faster as well. */
		if (json_integer_value(json_object_get(seen, id)) !=
		    (json_int_t)filters_of_group(nodes, id))
			json_object_del(out, name);
	}
	json_decref(seen);
	return out;
}
