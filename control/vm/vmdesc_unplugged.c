/* See vmdesc_unplugged.h. */
#include "control/vm/vmdesc_unplugged.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/vm/json_text.h"
#include "control/vm/qopts.h"

/* What a device's place on its bus is written with; nothing where no other takes it. */
static const struct kind {
	const char *driver; /* begins so */
	const char *keys[2];
} kinds[] = {
    {"usb-ehci", {"addr"}},    {"usb-", {"port"}},	{"scsi-", {"scsi-id", "lun"}},
    {"ide-", {"unit"}},	       {"floppy", {"unit"}},	{"virtserialport", {"nr"}},
    {"hda-", {"cad"}},	       {"virtconsole", {"nr"}}, {"nvme-ns", {"nsid"}},
    {"pc-dimm", {"slot"}},     {"nvdimm", {"slot"}},	{"isa-", {NULL}},
    {"pvpanic-pci", {"addr"}}, {"pvpanic", {NULL}},	{"vmgenid", {NULL}},
    {"vmcoreinfo", {NULL}},    {"loader", {NULL}},	{"tpm-", {NULL}},
    {"ipmi-", {NULL}},	       {"ib700", {NULL}},	{"", {"addr"}},
};

/* A -device among the words of argv. */
struct device {
	size_t at; /* of its value; JSON ones are made after all others */
	bool json, takes_out, held;
	char id[256], drive[256];
	const struct kind *kind;
	bool placed;
};

struct devices {
	struct device *all;
	size_t count;
	bool hub;		      /* there is a usb-hub */
	bool virtio_drive, usbdevice; /* which have a place of their own too, after all others */
};

/* The text at key, "yes" for what is no text; "" for none. */
static void read_key(const json_t *json, const struct qopts *o, const char *key, char *buf,
		     size_t size)
{
	const json_t *v = json_object_get(json, key);
	const char *text = json ? json_string_value(v) : qopts_get(o, key);

	snprintf(buf, size, "%s", text ? text : v ? "yes" : "");
}

static void read_device(struct device *d, size_t at, const char *value)
{
	json_t *json = *value == '{' ? json_loads(value, 0, NULL) : NULL;
	struct qopts o = {0};
	char text[256];

	if (!json)
		qopts_parse(&o, value, "driver");
	*d = (struct device){.at = at, .json = json, .kind = kinds};
	read_key(json, &o, "id", d->id, sizeof(d->id));
	read_key(json, &o, "drive", d->drive, sizeof(d->drive));
	read_key(json, &o, "driver", text, sizeof(text));
	while (strncmp(text, d->kind->driver, strlen(d->kind->driver)) != 0)
		d->kind++;
	if (d->kind->keys[0])
		read_key(json, &o, d->kind->keys[0], text, sizeof(text));
	d->placed = *text;
	qopts_fini(&o);
	json_decref(json);
}

static const char *word_at(const json_t *argv, size_t i)
{
	const char *s = json_string_value(json_array_get(argv, i));

	return s ? s : "";
}

static bool is_option(const char *word, const char *name)
{
	return strcmp(word + (word[0] == '-' && word[1] == '-'), name) == 0;
}

static void read_devices(struct devices *d, const json_t *argv)
{
	size_t count = json_array_size(argv);

	*d = (struct devices){.all = calloc(count + 1, sizeof(*d->all))};
	for (size_t i = 1; d->all && i + 1 < count; i++) {
		const char *value = word_at(argv, i + 1);
		struct qopts o = {0};

		if (is_option(word_at(argv, i), "-device")) {
			read_device(&d->all[d->count++], i + 1, value);
			d->hub = d->hub || strstr(value, "usb-hub");
		}
		d->usbdevice = d->usbdevice || is_option(word_at(argv, i), "-usbdevice");
		if (!is_option(word_at(argv, i), "-drive") || qopts_parse(&o, value, NULL) < 0)
			continue;
		d->virtio_drive = d->virtio_drive || (qopts_get(&o, "if") &&
						      strcmp(qopts_get(&o, "if"), "virtio") == 0);
		qopts_fini(&o);
	}
}

static bool is_placed_by(const struct device *d, const char *key)
{
	return key && d->kind->keys[0] && strcmp(d->kind->keys[0], key) == 0;
}

/* Whether QEMU makes b after a, on a bus of that kind: without a, b would move up. */
static bool moves_up(const struct device *a, const struct device *b)
{
	if (!is_placed_by(a, b->kind->keys[0]))
		return false;
	return a->json == b->json ? b->at > a->at : b->json;
}

/* Whether where it is has been told, as a number or a path of ports ("1", "2.3"): one with a hub
 * that QEMU has put there by itself cannot be written. */
static bool is_told(const struct device *d, const json_t *place, bool hub)
{
	for (size_t k = 0; k < 2 && d->kind->keys[k]; k++) {
		const json_t *v = json_object_get(place, d->kind->keys[k]);
		const char *path = json_string_value(v);

		if (*d->id && path && (hub || !strchr(path, '.')))
			continue;

		if (!*d->id || !json_is_integer(v) || json_integer_value(v) < 0)
			return false;
	}
	return true;
}

/* Writes where it is into its words. */
static void write_place(json_t *argv, const struct device *d, const json_t *place)
{
	const char *value = word_at(argv, d->at);
	json_t *json = d->json ? json_loads(value, 0, NULL) : NULL;
	struct qopts o = {0};
	char *text, number[32];

	if (!json)
		qopts_parse(&o, value, "driver");
	for (size_t k = 0; k < 2 && d->kind->keys[k]; k++) {
		const char *key = d->kind->keys[k];
		long long n = json_integer_value(json_object_get(place, key));
		bool is_addr = strcmp(key, "addr") == 0;
		const json_t *v = json_object_get(place, key);

		if (json_is_string(v))
			snprintf(number, sizeof(number), "%s", json_string_value(v));
		else if (is_addr)
			snprintf(number, sizeof(number), "%llx.%llx", n >> 3, n & 7);
		else
			snprintf(number, sizeof(number), "%lld", n);
		if (json)
			json_object_set_new(json, key,
					    is_addr || json_is_string(v) ? json_string(number)
									 : json_integer(n));
		else
			qopts_set(&o, key, number);
	}
	text = json ? json_dumps(json, JSON_COMPACT) : qopts_text(&o);
	if (text)
		json_array_set_new(argv, d->at, json_string(text));
	free(text);
	qopts_fini(&o);
	json_decref(json);
}

/* What is behind one that goes, on a bus of its kind, keeps its place; where that is not known the
 * one that goes is held. */
static void keep_places(const struct devices *d, json_t *argv, const json_t *places)
{
	for (size_t i = 0; i < d->count; i++) {
		struct device *gone = &d->all[i];

		if (!gone->takes_out)
			continue;
		gone->held = (d->virtio_drive && !gone->json && is_placed_by(gone, "addr")) ||
			     (d->usbdevice && is_placed_by(gone, "port"));
		for (size_t k = 0; k < d->count; k++) {
			const struct device *other = &d->all[k];

			if (!other->takes_out && !other->placed && moves_up(gone, other) &&
			    !is_told(other, json_object_get(places, other->id), d->hub))
				gone->held = true;
		}
		for (size_t k = 0; !gone->held && k < d->count; k++) {
			struct device *other = &d->all[k];

			if (other->takes_out || other->placed || !moves_up(gone, other))
				continue;
			write_place(argv, other, json_object_get(places, other->id));
			other->placed = true;
		}
	}
}

/* The -drive that went with its device. */
static void take_out_drive(json_t *argv, const char *drive, const json_t *block)
{
	const json_t *b;
	size_t i;

	json_array_foreach(block, i, b) if (strcmp(json_text(b, "device"), drive) == 0) return;
	for (i = 1; *drive && i + 1 < json_array_size(argv); i++) {
		struct qopts o = {0};
		const char *id;
		bool is;

		if (!is_option(word_at(argv, i), "-drive") ||
		    qopts_parse(&o, word_at(argv, i + 1), NULL) < 0)
			continue;
		id = qopts_get(&o, "id");
		is = id && strcmp(id, drive) == 0;
		qopts_fini(&o);
		if (!is)
			continue;
		json_array_remove(argv, i + 1);
		json_array_remove(argv, i);
		return;
	}
}

static bool has_text(const json_t *list, const char *text, size_t *at)
{
	for (*at = 0; *at < json_array_size(list); ++*at)
		if (strcmp(word_at(list, *at), text) == 0)
			return true;
	return false;
}

void vmdesc_take_out(json_t *vm, const json_t *places, const json_t *block)
{
	json_t *argv = json_object_get(vm, "argv"), *unplugged = json_object_get(vm, "unplugged");
	struct devices d;
	size_t at;

	read_devices(&d, argv);
	for (size_t i = 0; i < d.count; i++) {
		const json_t *place = json_object_get(places, d.all[i].id);

		d.all[i].takes_out = *d.all[i].id && has_text(unplugged, d.all[i].id, &at);
		/* (one that says nothing of an address is on no such bus) */
		if (place && is_placed_by(&d.all[i], "addr") && !json_object_get(place, "addr"))
			d.all[i].placed = true;
	}
	keep_places(&d, argv, places);
	/* (the last first: places of words before it stay) */
	for (size_t i = d.count; i > 0; i--) {
		const struct device *gone = &d.all[i - 1];

		if (!gone->takes_out || gone->held || !has_text(unplugged, gone->id, &at))
			continue;
		json_array_remove(unplugged, at);
		json_array_remove(argv, gone->at);
		json_array_remove(argv, gone->at - 1);
	}
	for (size_t i = 0; i < d.count; i++)
		if (d.all[i].takes_out && !d.all[i].held)
			take_out_drive(argv, d.all[i].drive, block);
	free(d.all);
}
