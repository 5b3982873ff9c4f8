/* What was plugged in, as QEMU tells it: see vmdesc_plugged.h. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/qmp.h"
#include "control/vm/json_text.h"
#include "control/vm/vmdesc_plugged.h"

/* With which a device says where on its bus it is. (Where a USB device has its port from QEMU, it
 * does not: the monitor does.) */
static const char *const place_keys[] = {"addr", "scsi-id", "lun", "nr", "nsid"};
enum { PLACE_KEYS = sizeof(place_keys) / sizeof(place_keys[0]) };

struct asking {
	vmdesc_on_plugged *fn;
	void *ctx;
	void (*destroy)(void *ctx);
	json_t *vm, *kept, *peripheral;
	json_t *devices, *objects, *places, *usb;
};

static void asking_free(void *p)
{
	struct asking *a = p;

	if (a->ctx)
		a->destroy(a->ctx);
	json_decref(a->vm);
	json_decref(a->kept);
	json_decref(a->peripheral);
	json_decref(a->devices);
	json_decref(a->objects);
	json_decref(a->places);
	json_decref(a->usb);
	free(a);
}

/* Of the batch that owns a. */
static void tell(struct asking *a, struct qmp_batch *b, const struct err *e)
{
	json_t *asked = err_is_set(e) ? NULL
				      : json_pack("{s:O,s:O*,s:O}", "devices", a->devices,
						  "objects", a->objects, "places", a->places);
	vmdesc_on_plugged *fn = a->fn;
	void *ctx = a->ctx;

	a->ctx = NULL;
	qmp_batch_own_with(b, NULL, NULL);
	asking_free(a);
	fn(ctx, asked, e);
}

/* The port of the USB device id, of "  Device 0.1, Port 2, ..., ID: id" in `info usb`; "" for none.
 */
static void port_of(const json_t *usb, const char *id, char *buf, size_t size)
{
	const char *line = json_string_value(usb), *port, *its;
	char end[300];
	size_t len;

	*buf = 0;
	snprintf(end, sizeof(end), ", ID: %s", id);
	for (; line && *line; line += len, line += strspn(line, "\r\n")) {
		len = strcspn(line, "\r\n");
		port = strstr(line, ", Port ");
		its = len > strlen(end) ? line + len - strlen(end) : line;
		if (port && port < its && strncmp(its, end, strlen(end)) == 0)
			snprintf(buf, size, "%.*s", (int)strcspn(port + 7, ",\r\n"), port + 7);
	}
}

static void on_values(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct asking *a = ctx;
	const json_t *device, *p;
	unsigned at = 0;
	char port[64];
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
		port_of(a->usb, json_text(device, "id"), port, sizeof(port));
		if (*port)
			json_object_set_new(values, "port", json_string(port));
	}
	tell(a, b, e);
}

static void on_lists(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct qmp_batch *next = qmp_batch_new();
	struct asking *a = ctx;
	json_t *device;
	const json_t *p, *id;
	char path[300];
	unsigned place = 2 + 2 * (unsigned)json_array_size(a->devices);
	size_t i, k;

	if (err_is_set(e) || !next) {
		qmp_batch_free(next);
		tell(a, b, e);
		return;
	}
	a->objects = json_incref(qmp_batch_result(b, 0));
	a->usb = json_incref(qmp_batch_result(b, 1));
	json_array_foreach(a->kept, i, id)
	{
		json_t *its = json_object();

		for (k = 0; k < PLACE_KEYS; k++)
			if (qmp_batch_result(b, place + (unsigned)k))
				json_object_set(its, place_keys[k],
						qmp_batch_result(b, place + (unsigned)k));
		port_of(a->usb, json_string_value(id), path, sizeof(path));
		if (*path)
			json_object_set_new(its, "port", json_string(path));
		json_object_set_new(a->places, json_string_value(id), its);
		place += PLACE_KEYS;
	}
	json_array_foreach(a->devices, i, device)
	{
		json_t *listed = qmp_batch_result(b, 2 + 2 * (unsigned)i);
		const char *bus = json_string_value(qmp_batch_result(b, 3 + 2 * (unsigned)i));

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

static void get(struct qmp_batch *b, const char *id, const char *property)
{
	char path[300];

	snprintf(path, sizeof(path), "/machine/peripheral/%s", id);
	qmp_batch_add(b, QMP_MAY, "qom-get",
		      json_pack("{s:s,s:s}", "path", path, "property", property));
}

/* A device that was plugged in under the id of one that had been there from the start is not what
 * the command line says. */
static void note_replaced(struct asking *a, const struct qmp_batch *b)
{
	json_t *plugged = json_object_get(a->vm, "plugged"),
	       *unplugged = json_object_get(a->vm, "unplugged"), *kept = json_array();
	json_t *id;
	size_t i;

	json_array_foreach(a->kept, i, id)
	{
		if (!json_is_true(qmp_batch_result(b, (unsigned)i))) {
			json_array_append(kept, id);
			continue;
		}
		json_array_append(plugged, id);
		json_array_append(unplugged, id);
	}
	json_decref(a->kept);
	a->kept = kept;
}

static void on_kept(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct qmp_batch *next = qmp_batch_new();
	struct asking *a = ctx;
	const json_t *id;
	char type[256];
	size_t i;

	if (!err_is_set(e))
		note_replaced(a, b);
	/* (as mostly: nothing came or went) */
	if (err_is_set(e) || !next ||
	    !(json_array_size(json_object_get(a->vm, "plugged")) ||
	      json_array_size(json_object_get(a->vm, "unplugged")))) {
		qmp_batch_free(next);
		tell(a, b, e);
		return;
	}
	qmp_batch_add(next, QMP_MAY, "qom-list", json_pack("{s:s}", "path", "/objects"));
	qmp_batch_add(next, QMP_MAY, "human-monitor-command",
		      json_pack("{s:s}", "command-line", "info usb"));
	json_array_foreach(json_object_get(a->vm, "plugged"), i, id)
	{
		if (!type_of(a->peripheral, json_string_value(id), type, sizeof(type)))
			continue;
		json_array_append_new(
		    a->devices, json_pack("{s:O,s:s,s:{}}", "id", id, "type", type, "values"));
		qmp_batch_add(next, QMP_MAY, "device-list-properties",
			      json_pack("{s:s}", "typename", type));
		get(next, json_string_value(id), "parent_bus");
	}
	if (!json_array_size(json_object_get(a->vm, "unplugged")))
		json_array_clear(a->kept);
	json_array_foreach(a->kept, i, id) for (size_t k = 0; k < PLACE_KEYS; k++)
	    get(next, json_string_value(id), place_keys[k]);
	qmp_batch_own_with(b, NULL, NULL);
	qmp_batch_own_with(next, a, asking_free);
	qmp_batch_run(next, q, on_lists, a);
}

void vmdesc_plugged_ask(struct qmp *q, json_t *vm, json_t *kept, json_t *peripheral,
			vmdesc_on_plugged *fn, void *ctx, void (*destroy)(void *ctx))
{
	struct qmp_batch *b = qmp_batch_new();
	struct asking *a = calloc(1, sizeof(*a));
	struct err none = ERR_INIT;
	const json_t *id;
	size_t i;

	if (!b || !a) {
		qmp_batch_free(b);
		free(a);
		fn(ctx, json_object(), &none);
		return;
	}
	*a = (struct asking){.fn = fn,
			     .ctx = ctx,
			     .destroy = destroy,
			     .vm = json_incref(vm),
			     .kept = json_incref(kept),
			     .peripheral = json_incref(peripheral),
			     .devices = json_array(),
			     .places = json_object()};
	qmp_batch_own_with(b, a, asking_free);
	json_array_foreach(kept, i, id) get(b, json_string_value(id), "hotplugged");
	qmp_batch_run(b, q, on_kept, a);
}
