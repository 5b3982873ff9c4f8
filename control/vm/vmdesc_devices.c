/*
 * What was plugged in and out since the start: see vmdesc_devices.h. Devices with an id
 * are compared by it. Those without are counted; which of them is the surplus one is
 * guessed by the driver, for the message.
 */
#include "control/vm/vmdesc_devices.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "control/vm/qopts.h"
#include "control/vm/json_text.h"

static const char child[] = "child<";

static bool is_device(const json_t *item)
{
	return strncmp(json_text(item, "type"), child, sizeof(child) - 1) == 0;
}

/* The id and the driver in a -device value, which may be JSON; "" when absent. */
static void read_device(const char *value, char *id, char *driver, size_t size)
{
	struct qopts o = {0};
	json_t *json = NULL;
	const char *s;

	if (*value == '{')
		json = json_loads(value, 0, NULL);
	else
		qopts_parse(&o, value, "driver");
	s = json ? json_text(json, "id") : qopts_get(&o, "id");
	snprintf(id, size, "%s", s ? s : "");
	s = json ? json_text(json, "driver") : qopts_get(&o, "driver");
	snprintf(driver, size, "%s", s ? s : "");
	qopts_fini(&o);
	json_decref(json);
}

static bool is_virtio_drive(const char *value)
{
	struct qopts o;
	const char *s;
	bool is;

	if (qopts_parse(&o, value, NULL) < 0)
		return false;
	s = qopts_get(&o, "if");
	is = s && strcmp(s, "virtio") == 0;
	qopts_fini(&o);
	return is;
}

/* The ids in the command line (as keys), and the drivers of devices without one. */
static void list_expected(const struct qargs *q, json_t *ids, json_t *drivers)
{
	for (size_t i = 0; i < q->count; i++) {
		const struct qargs_option *o = q->at[i].option;
		char id[256], driver[256];

		if (!o)
			continue;
		if (o->rule == QARGS_DEVICE) {
			read_device(q->at[i].value, id, driver, sizeof(id));
			if (*id)
				json_object_set_new(ids, id, json_true());
			else
				json_array_append_new(drivers, json_string(driver));
		} else if (o->rule == QARGS_DRIVE && is_virtio_drive(q->at[i].value)) {
			json_array_append_new(drivers, json_string("virtio-blk"));
		} else if (!strcmp(o->name, "debugcon")) {
			json_object_set_new(ids, "debugcon", json_true()); /* QEMU's name for it */
		} else if (o->rule == QARGS_USBDEVICE || !strcmp(o->name, "virtfs")) {
			json_array_append_new(drivers, json_string(""));
		}
	}
}

/* Takes one of drivers that stands for type ("child<virtio-blk-pci>"; an alias is the
 * beginning of the whole name) off the list. */
static bool take_driver(json_t *drivers, const char *type)
{
	const json_t *item;
	size_t i;

	json_array_foreach(drivers, i, item)
	{
		const char *driver = json_string_value(item);

		if (driver && *driver && strncmp(type, driver, strlen(driver)) == 0) {
			json_array_remove(drivers, i);
			return true;
		}
	}
	return false;
}

static void compare_unnamed(const json_t *anon, json_t *drivers, json_t *plugged)
{
	size_t expected = json_array_size(drivers), count = 0, surplus, i;
	const json_t *item;

	json_array_foreach(anon, i, item) count += is_device(item);
	surplus = count > expected ? count - expected : 0;
	json_array_foreach(anon, i, item)
	{
		const char *type = json_text(item, "type") + (sizeof(child) - 1);

		if (!surplus || !is_device(item) || take_driver(drivers, type))
			continue;
		json_array_append_new(plugged, json_sprintf("%.*s", (int)strcspn(type, ">"), type));
		surplus--;
	}
	/* The same driver twice, say: that there is one too many is known all the same. */
	for (; surplus; surplus--)
		json_array_append_new(plugged, json_string("(without an id)"));
}

json_t *vmdesc_compare_devices(json_t *vm, const struct qargs *q, const json_t *peripheral,
			       const json_t *anon)
{
	json_t *ids = json_object(), *drivers = json_array();
	json_t *plugged = json_array(), *unplugged = json_array(), *kept = json_array();
	const json_t *item;
	const char *key;
	json_t *there;
	size_t i;

	list_expected(q, ids, drivers);
	json_array_foreach(peripheral, i, item)
	{
		const char *id = json_text(item, "name");

		if (!is_device(item))
			continue;
		if (json_object_get(ids, id)) {
			json_object_set_new(ids, id, json_false());
			json_array_append_new(kept, json_string(id));
		} else {
			json_array_append_new(plugged, json_string(id));
		}
	}
	json_object_foreach(ids, key, there) if (json_is_true(there))
	    json_array_append_new(unplugged, json_string(key));
	compare_unnamed(anon, drivers, plugged);
	json_object_set_new(vm, "plugged", plugged);
	json_object_set_new(vm, "unplugged", unplugged);
	json_decref(ids);
	json_decref(drivers);
	return kept;
}
