/* See vmdesc_plugged.h. */
#include "control/vm/vmdesc_plugged.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/qmp.h"
#include "control/vm/json_text.h"
#include "control/vm/qargs.h"
#include "control/vm/qopts.h"

/* ---- asking ---- */

struct asking {
	vmdesc_on_plugged *fn;
	void *ctx;
	void (*destroy)(void *ctx);
	json_t *devices;
};

static void asking_free(void *p)
{
	struct asking *a = p;

	if (a->ctx)
		a->destroy(a->ctx);
	json_decref(a->devices);
	free(a);
}

/* Of the batch that owns a. */
static void tell(struct asking *a, struct qmp_batch *b, const struct err *e)
{
	json_t *devices = err_is_set(e) ? NULL : json_incref(a->devices);
	vmdesc_on_plugged *fn = a->fn;
	void *ctx = a->ctx;

	a->ctx = NULL;
	qmp_batch_own_with(b, NULL, NULL);
	asking_free(a);
	fn(ctx, devices, e);
}

static void on_values(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct asking *a = ctx;
	const json_t *device, *p;
	unsigned at = 0;
	size_t i, k;

	(void)q;
	json_array_foreach(a->devices, i, device)
	{
		json_t *values = json_object_get(device, "values");

		json_array_foreach(json_object_get(device, "listed"), k, p)
		{
			json_t *value = qmp_batch_result(b, at++);

			if (value)
				json_object_set(values, json_text(p, "name"), value);
		}
	}
	tell(a, b, e);
}

static void on_lists(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct qmp_batch *next = qmp_batch_new();
	struct asking *a = ctx;
	json_t *device;
	const json_t *p;
	size_t i, k;

	if (err_is_set(e) || !next) {
		qmp_batch_free(next);
		tell(a, b, e);
		return;
	}
	json_array_foreach(a->devices, i, device)
	{
		json_t *listed = qmp_batch_result(b, 2 * (unsigned)i);
		const char *bus = json_string_value(qmp_batch_result(b, 2 * (unsigned)i + 1));
		char path[300];

		if (listed)
			json_object_set(device, "listed", listed);
		if (bus && strrchr(bus, '/'))
			json_object_set_new(device, "bus", json_string(strrchr(bus, '/') + 1));
		snprintf(path, sizeof(path), "/machine/peripheral/%s", json_text(device, "id"));
		json_array_foreach(listed, k, p) qmp_batch_add(
		    next, QMP_MAY, "qom-get",
		    json_pack("{s:s,s:s}", "path", path, "property", json_text(p, "name")));
	}
	qmp_batch_own_with(b, NULL, NULL);
	qmp_batch_own_with(next, a, asking_free);
	qmp_batch_run(next, q, on_values, a);
}

/* "virtio-blk-pci" of what is called id there; false: it is no device. */
static bool type_of(const json_t *peripheral, const char *id, char *type, size_t size)
{
	static const char child[] = "child<";
	const json_t *item;
	size_t i;

	json_array_foreach(peripheral, i, item)
	{
		const char *its = json_text(item, "type");

		if (strcmp(json_text(item, "name"), id) != 0 ||
		    strncmp(its, child, sizeof(child) - 1) != 0)
			continue;
		its += sizeof(child) - 1;
		snprintf(type, size, "%.*s", (int)strcspn(its, ">"), its);
		return true;
	}
	return false;
}

void vmdesc_plugged_ask(struct qmp *q, const json_t *plugged, const json_t *peripheral,
			vmdesc_on_plugged *fn, void *ctx, void (*destroy)(void *ctx))
{
	struct qmp_batch *b = qmp_batch_new();
	struct asking *a = calloc(1, sizeof(*a));
	struct err none = ERR_INIT;
	const json_t *id;
	char path[300], type[256];
	size_t i;

	if (!b || !a) {
		qmp_batch_free(b);
		free(a);
		fn(ctx, json_array(), &none);
		return;
	}
	*a = (struct asking){fn, ctx, destroy, json_array()};
	qmp_batch_own_with(b, a, asking_free);
	json_array_foreach(plugged, i, id)
	{
		if (!type_of(peripheral, json_string_value(id), type, sizeof(type)))
			continue;
		json_array_append_new(
		    a->devices, json_pack("{s:O,s:s,s:{}}", "id", id, "type", type, "values"));
		snprintf(path, sizeof(path), "/machine/peripheral/%s", json_string_value(id));
		qmp_batch_add(b, QMP_MAY, "device-list-properties",
			      json_pack("{s:s}", "typename", type));
		qmp_batch_add(b, QMP_MAY, "qom-get",
			      json_pack("{s:s,s:s}", "path", path, "property", "parent_bus"));
	}
	qmp_batch_run(b, q, on_lists, a);
}

/* ---- writing ---- */

struct amending {
	json_t *argv;
	const struct vmdesc_nodes *nodes;
	const json_t *block; /* query-block */
	const char *info;    /* `info network` */
	json_t *words;	     /* what is put behind argv for the device at hand */
	json_t *made;	     /* names of nodes among the words, and those of the devices before */
};

/* Whether an option of that rule in argv has id (of key id_key). */
static bool has(const json_t *argv, enum qargs_rule rule, const char *id_key, const char *id)
{
	struct qargs args = {0};
	struct err e = ERR_INIT;
	size_t count = json_array_size(argv);
	char **words = calloc(count + 1, sizeof(*words));
	bool found = false;

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
			if (json)
				found = strcmp(json_text(json, id_key), id) == 0;
			else if (qopts_parse(&o, value, NULL) == 0 && qopts_get(&o, id_key))
				found = strcmp(qopts_get(&o, id_key), id) == 0;
			qopts_fini(&o);
			json_decref(json);
		}
	}
	qargs_fini(&args);
	free(words);
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

/* One that netdev_add made: which interface it has, and where that hangs, vmdesc_net.c reads. */
static bool write_netdev(struct amending *a, const char *id)
{
	static const char *const types[] = {"tap", "user"};
	unsigned n = 0, i;

	if (has(a->argv, QARGS_NET, "id", id))
		return true;
	for (i = 0; i < 2 && !(n = count_queues(a->info, id, types[i])); i++)
		;
	if (!n)
		return false;
	push(a, "-netdev",
	     n > 1 ? json_pack("{s:s,s:s,s:i}", "type", types[i], "id", id, "queues", (int)n)
		   : json_pack("{s:s,s:s}", "type", types[i], "id", id));
	return true;
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
	if (strcmp(name, "addr") == 0 && json_is_integer(value) && strcmp(type, "int32") == 0) {
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
	const json_t *size = json_object_get(json_object_get(device, "values"), "size");

	if (has(a->argv, QARGS_OBJECT, "id", id))
		return true;
	if (strcmp(json_text(device, "type"), "pc-dimm") != 0 || !json_is_integer(size))
		return false;
	push(a, "-object",
	     json_pack("{s:s,s:s,s:I}", "qom-type", "memory-backend-ram", "id", id, "size",
		       json_integer_value(size)));
	return true;
}

/* Its words into a->words; false: it cannot be written. */
static bool write_device(struct amending *a, const json_t *device)
{
	const char *type = json_text(device, "type"), *bus = json_text(device, "bus");
	const json_t *values = json_object_get(device, "values"), *p;
	json_t *o = json_pack("{s:s,s:O}", "driver", type, "id", json_object_get(device, "id"));
	bool good = json_array_size(json_object_get(device, "listed"));
	size_t i;

	if (*bus)
		json_object_set_new(o, "bus", json_string(bus));
	json_array_foreach(json_object_get(device, "listed"), i, p)
	{
		const char *name = json_text(p, "name");
		json_t *made;
		const json_t *value = value_of(p, values, &made);

		if (!value && strcmp(name, "drive") == 0 && *drive_of(a, json_text(device, "id")))
			value = made = json_string(drive_of(a, json_text(device, "id")));
		if (value && (!is_cpu(type) || is_place(name))) {
			json_object_set(o, name, (json_t *)value);
			if (json_is_string(value))
				good = good && write_named(a, name, json_string_value(value));
			if (strcmp(name, "memdev") == 0)
				good = good && write_memory(a, device, json_text(o, name));
		}
		json_decref(made);
	}
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

/* Takes -device with that id out of argv, and the -drive that went with it. */
static bool take_out(json_t *argv, const char *id, const json_t *block)
{
	for (size_t i = 1; i + 1 < json_array_size(argv); i++) {
		const char *word = json_string_value(json_array_get(argv, i)),
			   *value = json_string_value(json_array_get(argv, i + 1));
		struct qopts o = {0};
		const json_t *b;
		json_t *json;
		char drive[256];
		bool is;
		size_t k;

		if (strcmp(word, "-device") != 0 && strcmp(word, "--device") != 0)
			continue;
		json = *value == '{' ? json_loads(value, 0, NULL) : NULL;
		if (!json)
			qopts_parse(&o, value, "driver");
		is = strcmp(json		  ? json_text(json, "id")
			    : qopts_get(&o, "id") ? qopts_get(&o, "id")
						  : "",
			    id) == 0;
		snprintf(drive, sizeof(drive), "%s",
			 json			  ? json_text(json, "drive")
			 : qopts_get(&o, "drive") ? qopts_get(&o, "drive")
						  : "");
		qopts_fini(&o);
		json_decref(json);
		if (!is)
			continue;
		json_array_remove(argv, i + 1);
		json_array_remove(argv, i);
		json_array_foreach(block, k,
				   b) if (strcmp(json_text(b, "device"), drive) == 0) return true;
		for (i = 1; *drive && i + 1 < json_array_size(argv); i++) {
			const char *of;

			word = json_string_value(json_array_get(argv, i));
			if ((strcmp(word, "-drive") != 0 && strcmp(word, "--drive") != 0) ||
			    qopts_parse(&o, json_string_value(json_array_get(argv, i + 1)), NULL) <
				0)
				continue;
			of = qopts_get(&o, "id");
			is = of && strcmp(of, drive) == 0;
			qopts_fini(&o);
			if (!is)
				continue;
			json_array_remove(argv, i + 1);
			json_array_remove(argv, i);
			break;
		}
		return true;
	}
	return false;
}

void vmdesc_plugged_amend(json_t *vm, const json_t *devices, const json_t *block,
			  const struct vmdesc_nodes *nodes, const char *info)
{
	struct amending a = {.argv = json_object_get(vm, "argv"),
			     .nodes = nodes,
			     .block = block,
			     .info = info,
			     .words = json_array(),
			     .made = json_object()};
	json_t *plugged = json_object_get(vm, "plugged"),
	       *unplugged = json_object_get(vm, "unplugged"), *waiting = json_array();

	for (size_t i = json_array_size(unplugged); i > 0; i--)
		if (take_out(a.argv, json_string_value(json_array_get(unplugged, i - 1)), block))
			json_array_remove(unplugged, i - 1);
	json_array_extend(waiting, (json_t *)devices);
	write_devices(&a, waiting, plugged);
	json_decref(waiting);
	json_decref(a.words);
	json_decref(a.made);
}
