/* See vmdesc_plugged.h. */
#include "control/vm/vmdesc_plugged.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/vm/json_text.h"
#include "control/vm/qargs.h"
#include "control/vm/qopts.h"
#include "control/vm/vmdesc_unplugged.h"

struct amending {
	json_t *argv;
	const struct vmdesc_nodes *nodes;
	const json_t *block;   /* query-block */
	const json_t *objects; /* `qom-list` of /objects */
	const char *info;      /* `info network` */
	json_t *words;	       /* what is put behind argv for the device at hand */
	json_t *made;	       /* names of nodes among the words, and those of the devices before */
};

/* The option of that rule in argv that has id (of key id_key), as an object with its id and its
 * type; NULL. */
static json_t *option(const json_t *argv, enum qargs_rule rule, const char *id_key, const char *id)
{
	struct qargs args = {0};
	struct err e = ERR_INIT;
	size_t count = json_array_size(argv);
	char **words = calloc(count + 1, sizeof(*words));
	json_t *found = NULL;

	for (size_t i = 0; words && i < count; i++)
		words[i] = (char *)json_string_value(json_array_get(argv, i));
	if (words && qargs_parse(&args, words, count, &e) == 0) {
		for (size_t i = 0; i < args.count && !found; i++) {
			const char *value = args.at[i].value;
			struct qopts o = {0};
			json_t *json;

			if (!args.at[i].option || args.at[i].option->rule != rule || !value)
				continue;
			json = *value == '{' ? json_loads(value, 0, NULL) : NULL;
			if (!json && qopts_parse(&o, value, "type") == 0 && qopts_get(&o, id_key))
				json = json_pack("{s:s,s:s*}", id_key, qopts_get(&o, id_key),
						 "type", qopts_get(&o, "type"));
			if (strcmp(json_text(json, id_key), id) == 0)
				found = json_incref(json);
			qopts_fini(&o);
			json_decref(json);
		}
	}
	qargs_fini(&args);
	free(words);
	return found;
}

static bool has(const json_t *argv, enum qargs_rule rule, const char *id_key, const char *id)
{
	json_t *found = option(argv, rule, id_key, id);

	json_decref(found);
	return found;
}

static void push(struct amending *a, const char *option, json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT);

	json_array_append_new(a->words, json_string(option));
	json_array_append_new(a->words, json_string(text ? text : ""));
	free(text);
	json_decref(value);
}

/* The node as a -blockdev's value; NULL: it is nothing that can be written so. Nodes with a name of
 * somebody's become options of their own, others stand within. */
static json_t *write_node(struct amending *a, const json_t *node, unsigned depth)
{
	const char *driver = json_text(node, "drv"), *name = json_text(node, "node-name");
	const json_t *cache = json_object_get(node, "cache"), *file;
	bool ro = json_is_true(json_object_get(node, "ro")), own = *name && *name != '#';
	json_t *o, *below;

	if (depth > 8)
		return NULL;
	o = json_pack("{s:s,s:b,s:{s:b,s:b}}", "driver", driver, "read-only", ro, "cache", "direct",
		      json_is_true(json_object_get(cache, "direct")), "no-flush",
		      json_is_true(json_object_get(cache, "no-flush")));
	if (own)
		json_object_set_new(o, "node-name", json_string(name));
	if (strcmp(json_text(node, "detect_zeroes"), "off") != 0)
		json_object_set(o, "detect-zeroes", json_object_get(node, "detect_zeroes"));
	/* What QEMU does not tell: nothing is lost by letting go of what the guest lets go of. */
	json_object_set_new(o, "discard", json_string("unmap"));
	if (vmdesc_nodes_is_protocol(driver)) {
		if (strcmp(driver, "file") != 0 && strcmp(driver, "host_device") != 0)
			goto fail;
		json_object_set(o, "filename", json_object_get(node, "file"));
	} else {
		if (vmdesc_nodes_is_filter(driver) ||
		    json_is_true(json_object_get(node, "encrypted")) ||
		    vmdesc_nodes_child(a->nodes, node, "data-file"))
			goto fail;
		file = vmdesc_nodes_child(a->nodes, node, "file");
		below = file ? write_node(a, file, depth + 1) : NULL;
		if (!below)
			goto fail;
		json_object_set_new(o, "file", below);
	}
	if (!own)
		return o;
	if (!json_object_get(a->made, name) && !has(a->argv, QARGS_BLOCKDEV, "node-name", name)) {
		json_object_set_new(a->made, name, json_true());
		push(a, "-blockdev", o);
	} else {
		json_decref(o);
	}
	return json_string(name);
fail:
	json_decref(o);
	return NULL;
}

static bool write_drive(struct amending *a, const char *drive)
{
	const json_t *node = vmdesc_nodes_find(a->nodes, drive);
	json_t *word;

	if (has(a->argv, QARGS_DRIVE, "id", drive))
		return true;
	word = node ? write_node(a, node, 0) : NULL;
	json_decref(word);
	return word;
}

/* The drive of what has none among its properties any more: usb-storage has handed it on to a disk
 * of its own. "" for none. */
static const char *drive_of(const struct amending *a, const char *id)
{
	const json_t *b;
	char within[300];
	size_t i;

	snprintf(within, sizeof(within), "/machine/peripheral/%s/", id);
	json_array_foreach(a->block, i, b)
	{
		const char *qdev = json_text(b, "qdev"), *name = json_text(b, "device");

		if (strcmp(qdev, id) == 0 || strncmp(qdev, within, strlen(within)) == 0)
			return *name ? name
				     : json_text(json_object_get(b, "inserted"), "node-name");
	}
	return "";
}

/* How often "ID: index=N,type=TYPE," stands in info: once a queue. */
static unsigned count_queues(const char *info, const char *id, const char *type)
{
	char end[64];
	unsigned n = 0;
	size_t len = strlen(id);

	for (const char *at = info; (at = strstr(at, id)) != NULL; at += len) {
		if (at > info && at[-1] != '\n' && at[-1] != ' ')
			continue;
		snprintf(end, sizeof(end), ": index=%u,type=%s,", n, type);
		n += strncmp(at + len, end, strlen(end)) == 0;
	}
	return n;
}

/* Whether what has id in argv as a network is what it is now: one may have been made anew. */
static bool is_same_netdev(const struct amending *a, const json_t *word, const char *id)
{
	const char *type = json_text(word, "type");
	char part[64];

	if (!*a->info)
		return true;
	snprintf(part, sizeof(part), "%s", strcmp(type, "bridge") == 0 ? "tap" : type);
	return count_queues(a->info, id, part);
}

/* A user network as it is told: "net=10.0.2.0,restrict=off". The mask is not, it is most probably
 * the usual one; false where it cannot be. */
static bool write_user(const struct amending *a, json_t *o, const char *id)
{
	char begin[300], net[64] = "", restricted[8] = "";
	const char *at;
	size_t len;

	snprintf(begin, sizeof(begin), "%s: index=0,type=user,", id);
	for (at = strstr(a->info, begin); at && at > a->info && at[-1] != '\n' && at[-1] != ' ';)
		at = strstr(at + 1, begin);
	if (!at ||
	    sscanf(at + strlen(begin), "net=%63[0-9.],restrict=%7[a-z]", net, restricted) != 2)
		return true;
	if (strcmp(restricted, "on") == 0)
		json_object_set_new(o, "restrict", json_true());
	len = strlen(net);
	if (strcmp(net, "10.0.2.0") == 0)
		return true;
	json_object_set_new(o, "net", json_sprintf("%s/24", net));
	return len > 2 && strcmp(net + len - 2, ".0") == 0;
}

/* One that netdev_add made: which interface it has, and where that hangs, vmdesc_net.c reads. */
static bool write_netdev(struct amending *a, const char *id)
{
	static const char *const types[] = {"tap", "user"};
	json_t *o, *word = option(a->argv, QARGS_NET, "id", id);
	unsigned n = 0, i;
	bool good;

	if (word) {
		good = is_same_netdev(a, word, id);
		json_decref(word);
		return good;
	}
	for (i = 0; i < 2 && !(n = count_queues(a->info, id, types[i])); i++)
		;
	if (!n)
		return false;
	o = json_pack("{s:s,s:s}", "type", types[i], "id", id);
	if (n > 1)
		json_object_set_new(o, "queues", json_integer(n));
	good = i == 0 || write_user(a, o, id);
	push(a, "-netdev", o);
	return good;
}

/* What a property names has to be there. */
static bool write_named(struct amending *a, const char *property, const char *name)
{
	if (strcmp(property, "drive") == 0)
		return write_drive(a, name);
	if (strcmp(property, "netdev") == 0)
		return write_netdev(a, name);
	if (strcmp(property, "chardev") == 0)
		return has(a->argv, QARGS_CHARDEV, "id", name);
	return true;
}

/* The value of property p as -device takes it (borrowed or *made, which the caller frees); NULL
 * where it has its default, or is not to be set. */
static const json_t *value_of(const json_t *p, const json_t *values, json_t **made)
{
	const char *name = json_text(p, "name"), *type = json_text(p, "type");
	const json_t *value = json_object_get(values, name),
		     *usual = json_object_get(p, "default-value");
	const char *text = json_string_value(value);
	bool is_link = strncmp(type, "link<", 5) == 0;

	*made = NULL;
	/* (A number that does not fit into 63 bits comes as a real.) */
	if (json_is_number(value) && json_is_number(usual) &&
	    json_number_value(value) == json_number_value(usual))
		return NULL;
	if (!value || json_is_real(value) || strncmp(type, "child<", 6) == 0 ||
	    (usual && json_equal((json_t *)value, (json_t *)usual)))
		return NULL;
	/* A slot ("int32", later "str"), not where RAM begins ("uint64"). */
	if (strcmp(name, "addr") == 0 && json_is_integer(value) && strcmp(type, "uint64") != 0) {
		int devfn = (int)json_integer_value(value);

		if (devfn >= 0)
			*made = json_sprintf("%x.%x", devfn >> 3, devfn & 7);
		return *made;
	}
	if (text) {
		if (!*text)
			return NULL;
		if (is_link && strrchr(text, '/'))
			*made = json_string(strrchr(text, '/') + 1);
		return *made ? *made : value;
	}
	if (usual)
		return value;
	/* Without a default it may be one that nobody can set. */
	if (strcmp(name, "bootindex") == 0 && json_integer_value(value) >= 0)
		return value;
	return strcmp(name, "requested-size") == 0 ? value : NULL;
}

/* A CPU is told by its place; what it can do is the machine's. */
static bool is_cpu(const char *type)
{
	size_t len = strlen(type);

	return len > 4 && strcmp(type + len - 4, "-cpu") == 0;
}

static bool is_place(const char *name)
{
	static const char *const places[] = {"socket-id",  "die-id",  "module-id",
					     "cluster-id", "core-id", "thread-id",
					     "node-id",	   "book-id", "drawer-id"};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (strcmp(places[i], name) == 0)
			return true;
	return false;
}

/* RAM that was made for it. */
static bool write_memory(struct amending *a, const json_t *device, const char *id)
{
	const json_t *size = json_object_get(json_object_get(device, "values"), "size"), *o;
	bool is_ram = false;
	size_t i;

	if (has(a->argv, QARGS_OBJECT, "id", id))
		return true;
	json_array_foreach(a->objects, i, o) is_ram =
	    is_ram || (strcmp(json_text(o, "name"), id) == 0 &&
		       strcmp(json_text(o, "type"), "child<memory-backend-ram>") == 0);
	if (!is_ram || strcmp(json_text(device, "type"), "pc-dimm") != 0 || !json_is_integer(size))
		return false;
	push(a, "-object",
	     json_pack("{s:s,s:s,s:I}", "qom-type", "memory-backend-ram", "id", id, "size",
		       json_integer_value(size)));
	return true;
}

/* A port behind a hub is there where that is among the words, and not where QEMU has put it there
 * by itself. */
static bool has_port(const struct amending *a, const char *port)
{
	const json_t *word;
	size_t i;

	if (!strchr(port, '.'))
		return true;
	json_array_foreach(a->argv, i,
			   word) if (strstr(json_string_value(word), "usb-hub")) return true;
	return false;
}

/* Its words into a->words; false: it cannot be written. */
static bool write_device(struct amending *a, const json_t *device)
{
	const char *type = json_text(device, "type"), *bus = json_text(device, "bus");
	const json_t *values = json_object_get(device, "values"), *p;
	json_t *o = json_pack("{s:s,s:O}", "driver", type, "id", json_object_get(device, "id"));
	bool good = json_array_size(json_object_get(device, "listed")), is_nic = false;
	const json_t *rom = json_object_get(values, "romfile");
	size_t i;

	if (*bus)
		json_object_set_new(o, "bus", json_string(bus));
	json_array_foreach(json_object_get(device, "listed"), i, p)
	{
		const char *name = json_text(p, "name");
		json_t *made;
		const json_t *value = value_of(p, values, &made);

		is_nic = is_nic || strcmp(name, "netdev") == 0;
		if (!value && strcmp(name, "drive") == 0 && *drive_of(a, json_text(device, "id")))
			value = made = json_string(drive_of(a, json_text(device, "id")));
		if (value && (!is_cpu(type) || is_place(name))) {
			json_object_set(o, name, (json_t *)value);
			if (json_is_string(value))
				good = good && write_named(a, name, json_string_value(value));
			if (strcmp(name, "port") == 0 && json_is_string(value))
				good = good && has_port(a, json_string_value(value));
			if (strcmp(name, "memdev") == 0)
				good = good && write_memory(a, device, json_text(o, name));
		}
		json_decref(made);
	}
	/* (of a NIC none is its own: that the class has one by itself is not among what it tells)
	 */
	if (is_nic && rom && !*json_text(values, "romfile"))
		json_object_set(o, "romfile", (json_t *)(uintptr_t)rom);
	push(a, "-device", o);
	return good;
}

/* Whether its bus is made by one of those that wait. */
static bool waits_for_bus(const json_t *device, const json_t *waiting)
{
	const char *bus = json_text(device, "bus");
	const json_t *other;
	size_t i;

	json_array_foreach(waiting, i, other)
	{
		const char *id = json_text(other, "id");
		size_t len = strlen(id);

		if (other != device && strncmp(bus, id, len) == 0 && (!bus[len] || bus[len] == '.'))
			return true;
	}
	return false;
}

static void drop(json_t *list, const char *text)
{
	for (size_t i = json_array_size(list); i > 0; i--)
		if (strcmp(json_string_value(json_array_get(list, i - 1)), text) == 0)
			json_array_remove(list, i - 1);
}

/* Each after what makes its bus. */
static void write_devices(struct amending *a, json_t *waiting, json_t *plugged)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < json_array_size(waiting); i++) {
			const json_t *device = json_array_get(waiting, i);

			if (waits_for_bus(device, waiting))
				continue;
			json_array_clear(a->words);
			if (write_device(a, device)) {
				json_array_extend(a->argv, a->words);
				drop(plugged, json_text(device, "id"));
			}
			json_array_remove(waiting, i);
			more = true;
			break;
		}
	}
}

void vmdesc_plugged_amend(json_t *vm, const json_t *asked, const json_t *block,
			  const struct vmdesc_nodes *nodes, const char *info)
{
	struct amending a = {.argv = json_object_get(vm, "argv"),
			     .nodes = nodes,
			     .block = block,
			     .objects = json_object_get(asked, "objects"),
			     .info = info,
			     .words = json_array(),
			     .made = json_object()};
	json_t *waiting = json_array();

	vmdesc_take_out(vm, json_object_get(asked, "places"), block);
	json_array_extend(waiting, json_object_get(asked, "devices"));
	write_devices(&a, waiting, json_object_get(vm, "plugged"));
	json_decref(waiting);
	json_decref(a.words);
	json_decref(a.made);
}
