/* The description as the destination reads it, and the choice of disks: see
 * vmdesc.h. Believes nothing about the strings but what the cookie's schema says. */
#include "control/vmdesc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static uint64_t num(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));

	return v > 0 ? (uint64_t)v : 0;
}

static bool flag(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static void strings(struct strvec *v, const json_t *array)
{
	size_t i;
	const json_t *item;

	json_array_foreach(array, i, item) strvec_push(v, json_string_value(item));
}

static void parse_disk(struct vmdesc_disk *k, const json_t *o)
{
	const json_t *q = json_object_get(o, "qcow2");

	k->name = str(o, "name");
	k->device = str(o, "device");
	k->qdev = str(o, "qdev");
	k->node = str(o, "node");
	k->format = str(o, "format");
	k->file = str(o, "file");
	k->file_id = str(o, "file_id");
	k->shared_with = str(o, "shared_with");
	k->size = num(o, "size");
	k->read_only = flag(o, "read_only");
	k->empty = flag(o, "empty");
	k->removable = flag(o, "removable");
	k->copy = flag(o, "copy");
	k->qcow2.known = q != NULL;
	k->qcow2.compat = str(q, "compat");
	k->qcow2.cluster_size = num(q, "cluster_size");
	k->qcow2.refcount_bits = num(q, "refcount_bits");
	k->qcow2.extended_l2 = flag(q, "extended_l2");
	k->qcow2.lazy_refcounts = flag(q, "lazy_refcounts");
}

int vmdesc_parse(struct vmdesc *d, json_t *msg, struct err *e)
{
	const json_t *vm = json_object_get(msg, "vm"), *disks = json_object_get(msg, "disks"),
		     *item;
	size_t i;

	memset(d, 0, sizeof(*d));
	d->msg = json_incref(msg);
	d->qemu = str(vm, "qemu");
	d->package = str(vm, "package");
	d->arch = str(vm, "arch");
	d->machine = str(vm, "machine");
	d->name = str(vm, "name");
	d->uuid = str(vm, "uuid");
	d->status = str(vm, "status");
	d->host = str(vm, "host");
	d->exe = str(vm, "exe");
	d->cwd = str(vm, "cwd");
	d->running = flag(vm, "running");
	d->memory = num(vm, "memory");
	d->cpus = num(vm, "cpus");
	strings(&d->argv, json_object_get(vm, "argv"));
	strings(&d->plugged, json_object_get(vm, "plugged"));
	strings(&d->unplugged, json_object_get(vm, "unplugged"));
	d->disk_count = json_array_size(disks);
	d->disks = calloc(d->disk_count + 1, sizeof(*d->disks));
	if (!d->disks || d->argv.failed || d->plugged.failed || d->unplugged.failed) {
		vmdesc_fini(d);
		return err_set_sys(e, ENOMEM, "the VM's description");
	}
	json_array_foreach(disks, i, item) parse_disk(&d->disks[i], item);
	return 0;
}

void vmdesc_fini(struct vmdesc *d)
{
	strvec_fini(&d->argv);
	strvec_fini(&d->plugged);
	strvec_fini(&d->unplugged);
	free(d->disks);
	json_decref(d->msg);
	memset(d, 0, sizeof(*d));
}

const struct vmdesc_disk *vmdesc_by_device(const struct vmdesc *d, const char *device)
{
	for (size_t i = 0; *device && i < d->disk_count; i++)
		if (strcmp(d->disks[i].device, device) == 0)
			return &d->disks[i];
	return NULL;
}

const struct vmdesc_disk *vmdesc_by_node(const struct vmdesc *d, const char *node)
{
	for (size_t i = 0; *node && i < d->disk_count; i++)
		if (strcmp(d->disks[i].node, node) == 0)
			return &d->disks[i];
	return NULL;
}

static bool is_called(const json_t *disk, const char *word, size_t len)
{
	static const char *const keys[] = {"name", "node", "device", "qdev"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const char *s = str(disk, keys[i]);

		if (strlen(s) == len && strncmp(s, word, len) == 0)
			return true;
	}
	return false;
}

static bool can_copy(const json_t *disk)
{
	return !flag(disk, "empty") && !flag(disk, "read_only") && !*str(disk, "shared_with");
}

int vmdesc_select(json_t *disks, const char *spec, struct err *e)
{
	bool all = strcmp(spec, "all") == 0, none = strcmp(spec, "none") == 0;
	json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk)
	    json_object_set_new(disk, "copy", json_boolean(all && can_copy(disk)));
	while (!all && !none && *spec) {
		size_t len = strcspn(spec, ",");
		bool found = false;

		json_array_foreach(disks, i, disk)
		{
			if (!is_called(disk, spec, len))
				continue;
			found = true;
			if (!can_copy(disk))
				return err_set(
				    e, ERR_USAGE,
				    "--disks %.*s: this drive is %s, it cannot be copied", (int)len,
				    spec,
				    flag(disk, "empty")	      ? "empty"
				    : flag(disk, "read_only") ? "read-only"
							      : "the same node as another");
			json_object_set_new(disk, "copy", json_true());
		}
		if (!found)
			return err_set(e, ERR_USAGE,
				       "--disks %.*s: the VM has no disk with this node name, "
				       "drive id or device id",
				       (int)len, spec);
		spec += len + (spec[len] == ',');
	}
	return 0;
}

const char *vmdesc_host(char *buf, size_t size)
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	buf[0] = 0;
	if (f) {
		if (fgets(buf, (int)size, f))
			buf[strcspn(buf, "\n")] = 0;
		fclose(f);
	}
	return buf;
}

bool vmdesc_is_here(const struct vmdesc *d)
{
	char here[64];

	vmdesc_host(here, sizeof(here));
	return *here && strcmp(here, d->host) == 0;
}

int vmdesc_file_id(const char *dir, const char *path, char *buf, size_t size)
{
	char full[8192];
	struct stat st;

	snprintf(full, sizeof(full), "%s%s%s", *path == '/' ? "" : dir, *path == '/' ? "" : "/",
		 path);
	if (stat(full, &st) < 0)
		return -1;
	snprintf(buf, size, "%llx:%llx", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	return 0;
}
