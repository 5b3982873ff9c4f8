/* The description as the destination reads it, and the choice of disks: see
 * vmdesc.h. Believes nothing about the strings but what the cookie's schema says. */
#include "control/vm/vmdesc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/vm/pace.h"
#include "control/vm/json_text.h"

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

static int parse_backing(struct vmdesc_disk *k, const json_t *chain)
{
	const json_t *o;
	size_t i;

	k->backing_count = json_array_size(chain);
	if (!k->backing_count)
		return 0;
	k->backing = calloc(k->backing_count, sizeof(*k->backing));
	if (!k->backing)
		return -1;
	json_array_foreach(chain, i, o)
	{
		k->backing[i].file = json_text(o, "file");
		k->backing[i].format = json_text(o, "format");
		k->backing[i].size = json_number(o, "size");
		k->backing[i].encrypted = flag(o, "encrypted");
		k->backing[i].allocated = json_number(o, "allocated");
	}
	return 0;
}

static void parse_encryption(struct vmdesc_disk *k, const json_t *o)
{
	k->encryption.known = o != NULL;
	k->encryption.format = json_text(o, "format");
	k->encryption.driver = json_text(o, "driver");
	k->encryption.secret = json_text(o, "secret");
	k->encryption.cipher_alg = json_text(o, "cipher_alg");
	k->encryption.cipher_mode = json_text(o, "cipher_mode");
	k->encryption.ivgen_alg = json_text(o, "ivgen_alg");
	k->encryption.ivgen_hash_alg = json_text(o, "ivgen_hash_alg");
	k->encryption.hash_alg = json_text(o, "hash_alg");
	k->encryption.slots = json_number(o, "slots");
	k->encryption.iters = json_number(o, "iters");
	k->encryption.detached = flag(o, "detached");
}

static int parse_disk(struct vmdesc_disk *k, const json_t *o)
{
	const json_t *q = json_object_get(o, "qcow2");

	k->name = json_text(o, "name");
	k->device = json_text(o, "device");
	k->qdev = json_text(o, "qdev");
	k->node = json_text(o, "node");
	k->image_node = *json_text(o, "image_node") ? json_text(o, "image_node") : k->node;
	k->format = json_text(o, "format");
	k->limits = json_object_get(o, "limits");
	k->limits_group = json_text(o, "limits_group");
	if (pace_parted_from(k->limits_group))
		k->limits_group = pace_parted_from(k->limits_group);
	k->file = json_text(o, "file");
	k->file_id = json_text(o, "file_id");
	k->shared_with = json_text(o, "shared_with");
	k->size = json_number(o, "size");
	k->allocated = json_number(o, "allocated");
	k->cluster_size = json_number(o, "cluster_size");
	k->snapshots = flag(o, "snapshots");
	k->read_only = flag(o, "read_only");
	k->empty = flag(o, "empty");
	k->removable = flag(o, "removable");
	k->copy = flag(o, "copy");
	k->sum = json_text(o, "sum");
	k->target = json_text(o, "target");
	k->made = "";
	k->qcow2.known = q != NULL;
	k->qcow2.compat = json_text(q, "compat");
	k->qcow2.cluster_size = json_number(q, "cluster_size");
	k->qcow2.compression_type = json_text(q, "compression_type");
	k->qcow2.refcount_bits = json_number(q, "refcount_bits");
	k->qcow2.extended_l2 = flag(q, "extended_l2");
	k->qcow2.lazy_refcounts = flag(q, "lazy_refcounts");
	parse_encryption(k, json_object_get(o, "encryption"));
	return parse_backing(k, json_object_get(o, "backing"));
}

static int parse_secrets(struct vmdesc *d, const json_t *secrets)
{
	const json_t *o;
	size_t i;

	d->secret_count = json_array_size(secrets);
	d->secrets = calloc(d->secret_count + 1, sizeof(*d->secrets));
	if (!d->secrets)
		return -1;
	json_array_foreach(secrets, i, o)
	{
		d->secrets[i].id = json_text(o, "id");
		d->secrets[i].format = *json_text(o, "format") ? json_text(o, "format") : "raw";
		d->secrets[i].keyid = json_text(o, "keyid");
		d->secrets[i].iv = json_text(o, "iv");
		d->secrets[i].problem = json_text(o, "problem");
	}
	return 0;
}

static int parse_networks(struct vmdesc *d, const json_t *networks)
{
	const json_t *o;
	size_t i;

	d->net_count = json_array_size(networks);
	d->nets = calloc(d->net_count + 1, sizeof(*d->nets));
	if (!d->nets)
		return -1;
	json_array_foreach(networks, i, o)
	{
		d->nets[i].id = json_text(o, "id");
		d->nets[i].kind = json_text(o, "kind");
		d->nets[i].bridge = json_text(o, "bridge");
		d->nets[i].interface = json_text(o, "interface");
		d->nets[i].problem = json_text(o, "problem");
		d->nets[i].wanted = json_text(o, "wanted");
		d->nets[i].queues = json_number(o, "queues");
		d->nets[i].mtu = json_number(o, "mtu");
		d->nets[i].vhost = flag(o, "vhost");
		d->nets[i].no_vnet_hdr = flag(o, "no_vnet_hdr");
	}
	return 0;
}

int vmdesc_parse(struct vmdesc *d, json_t *msg, struct err *e)
{
	const json_t *vm = json_object_get(msg, "vm"), *disks = json_object_get(msg, "disks"),
		     *item;
	size_t i;

	memset(d, 0, sizeof(*d));
	d->msg = json_incref(msg);
	d->qemu = json_text(vm, "qemu");
	d->package = json_text(vm, "package");
	d->arch = json_text(vm, "arch");
	d->machine = json_text(vm, "machine");
	d->name = json_text(msg, "rename");
	d->renamed = *d->name;
	d->inc = strcmp(json_text(msg, "storage"), "inc") == 0;
	if (!d->renamed)
		d->name = json_text(vm, "name");
	d->uuid = json_text(vm, "uuid");
	d->throttle_groups = json_object_get(vm, "throttle_groups");
	d->status = json_text(vm, "status");
	d->host = json_text(vm, "host");
	d->exe = json_text(vm, "exe");
	d->cwd = json_text(vm, "cwd");
	d->accel = json_text(vm, "accel");
	d->cpu = json_text(vm, "cpu");
	d->cpu_flags = json_text(vm, "cpu_flags");
	d->running = flag(vm, "running");
	d->tpm12 = strcmp(json_text(vm, "tpm"), "1.2") == 0;
	d->memory = json_number(vm, "memory");
	d->cpus = json_number(vm, "cpus");
	d->fixed_memory = json_number(vm, "fixed_memory");
	d->virtio_mem = json_number(vm, "virtio_mem");
	strings(&d->argv, json_object_get(vm, "argv"));
	strings(&d->nodes, json_object_get(vm, "nodes"));
	d->nodes_known = json_object_get(vm, "nodes") != NULL;
	strings(&d->plugged, json_object_get(vm, "plugged"));
	strings(&d->unplugged, json_object_get(vm, "unplugged"));
	strings(&d->cpu_lacks, json_object_get(vm, "cpu_lacks"));
	d->disk_count = json_array_size(disks);
	d->disks = calloc(d->disk_count + 1, sizeof(*d->disks));
	if (parse_secrets(d, json_object_get(msg, "secrets")) < 0 ||
	    parse_networks(d, json_object_get(vm, "networks")) < 0 || !d->disks || d->argv.failed ||
	    d->nodes.failed || d->plugged.failed || d->unplugged.failed || d->cpu_lacks.failed) {
		vmdesc_fini(d);
		return err_set_sys(e, ENOMEM, "the VM's description");
	}
	json_array_foreach(disks, i, item) if (parse_disk(&d->disks[i], item) < 0)
	{
		vmdesc_fini(d);
		return err_set_sys(e, ENOMEM, "the VM's description");
	}
	return 0;
}

void vmdesc_fini(struct vmdesc *d)
{
	strvec_fini(&d->argv);
	strvec_fini(&d->nodes);
	strvec_fini(&d->plugged);
	strvec_fini(&d->unplugged);
	strvec_fini(&d->cpu_lacks);
	for (size_t i = 0; d->disks && i < d->disk_count; i++)
		free(d->disks[i].backing);
	free(d->disks);
	free(d->secrets);
	free(d->nets);
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

const struct vmdesc_secret *vmdesc_secret_by_id(const struct vmdesc *d, const char *id)
{
	for (size_t i = 0; *id && i < d->secret_count; i++)
		if (strcmp(d->secrets[i].id, id) == 0)
			return &d->secrets[i];
	return NULL;
}

const char *vmdesc_image_format(const struct vmdesc_disk *d)
{
	if (*d->made)
		return d->made;
	if (d->encryption.known && strcmp(d->encryption.driver, "luks") == 0)
		return "luks";
	/* the file's own node, and no other: how newer libvirt has a raw image */
	if (strcmp(d->format, "file") == 0 || strcmp(d->format, "host_device") == 0 ||
	    strcmp(d->format, "host_cdrom") == 0)
		return "raw";
	return d->format;
}

const struct vmdesc_disk *vmdesc_by_node(const struct vmdesc *d, const char *node)
{
	for (size_t i = 0; *node && i < d->disk_count; i++)
		if (strcmp(d->disks[i].node, node) == 0)
			return &d->disks[i];
	return NULL;
}

/* "id" of "/machine/peripheral/id/virtio-backend", as QEMU has it for some devices; the
 * whole of anything else. */
static const char *device_id(const char *qdev, size_t *len)
{
	static const char named[] = "/machine/peripheral/";

	if (strncmp(qdev, named, sizeof(named) - 1) == 0)
		qdev += sizeof(named) - 1;
	else if (*qdev == '/')
		qdev = "";
	*len = strcspn(qdev, "/");
	return qdev;
}

static bool is_word(const char *s, size_t s_len, const char *word, size_t len)
{
	return len && s_len == len && strncmp(s, word, len) == 0;
}

static bool is_called(const json_t *disk, const char *word, size_t len)
{
	static const char *const keys[] = {"name", "node", "device", "qdev"};
	const char *id;
	size_t id_len;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const char *s = json_text(disk, keys[i]);

		if (is_word(s, strlen(s), word, len))
			return true;
	}
	id = device_id(json_text(disk, "qdev"), &id_len);
	return is_word(id, id_len, word, len);
}

/* Whether its image is called so: the whole path, or the last part of it. */
static bool has_image(const json_t *disk, const char *word, size_t len)
{
	const char *file = json_text(disk, "file"), *slash = strrchr(file, '/');
	const char *base = slash ? slash + 1 : file;

	return is_word(file, strlen(file), word, len) || is_word(base, strlen(base), word, len);
}

/* The disk that word names. More than one has the same image's name: NULL, as with none. */
static json_t *find_disk(const json_t *disks, const char *word, size_t len)
{
	json_t *disk, *found = NULL;
	size_t i;

	json_array_foreach(disks, i, disk) if (is_called(disk, word, len)) return disk;
	json_array_foreach(disks, i, disk)
	{
		if (!has_image(disk, word, len))
			continue;
		if (found)
			return NULL;
		found = disk;
	}
	return found;
}

/* "a, b (node b0, device dev1)" of all disks, as far as there is room. */
static void list_disks(const json_t *disks, char *buf, size_t size)
{
	const json_t *disk;
	size_t i, at = 0;

	buf[0] = 0;
	json_array_foreach(disks, i, disk)
	{
		const char *name = json_text(disk, "name"), *node = json_text(disk, "node"), *id;
		size_t id_len;
		int n;

		id = device_id(json_text(disk, "qdev"), &id_len);
		if (*node == '#' || strcmp(node, name) == 0)
			node = "";
		if (is_word(id, id_len, name, strlen(name)) || !id_len)
			id_len = 0;
		n = snprintf(buf + at, size - at, "%s%s%s%s%s%s%s%.*s%s", at ? ", " : "", name,
			     *node || id_len ? " (" : "", *node ? "node " : "", node,
			     *node && id_len ? ", " : "", id_len ? "device " : "", (int)id_len, id,
			     *node || id_len ? ")" : "");
		if (n < 0 || (size_t)n >= size - at) {
			snprintf(buf + at, size - at, "%s", at ? ", ..." : "...");
			return;
		}
		at += (size_t)n;
	}
}

static bool can_copy(const json_t *disk)
{
	return !flag(disk, "empty") && !flag(disk, "read_only") && !*json_text(disk, "shared_with");
}

static int select_one(const json_t *disks, const char *word, size_t len, struct err *e)
{
	json_t *disk = find_disk(disks, word, len);
	char all[300];

	if (!disk) {
		list_disks(disks, all, sizeof(all));
		return err_set(e, ERR_USAGE,
			       "--disks %.*s: the VM has no such disk; it has %s (an image's file "
			       "name will do where only one has it)",
			       len > 100 ? 100 : (int)len, word, *all ? all : "none");
	}
	if (!can_copy(disk))
		return err_set(e, ERR_USAGE, "--disks %.*s: this drive is %s, it cannot be copied",
			       len > 100 ? 100 : (int)len, word,
			       flag(disk, "empty")	 ? "empty"
			       : flag(disk, "read_only") ? "read-only"
							 : "the same node as another");
	json_object_set_new(disk, "copy", json_true());
	return 0;
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

		if (select_one(disks, spec, len, e) < 0)
			return e->code;
		spec += len + (spec[len] == ',');
	}
	return 0;
}

/* Puts the disk that the first len bytes of spec name to target (stolen). */
static int place_disk(json_t *disks, const char *option, const char *spec, size_t len,
		      json_t *target, struct err *e)
{
	json_t *disk = find_disk(disks, spec, len);
	bool empty = flag(disk, "empty");
	char all[300];

	if (disk && !empty && !json_object_get(disk, "target")) {
		json_object_set_new(disk, "target", target);
		return 0;
	}
	json_decref(target);
	if (disk)
		return err_set(e, ERR_USAGE, "%s %.*s: this drive is %s", option,
			       len > 100 ? 100 : (int)len, spec, empty ? "empty" : "named twice");
	list_disks(disks, all, sizeof(all));
	return err_set(e, ERR_USAGE, "%s %.*s: the VM has no such disk; it has %s", option,
		       len > 100 ? 100 : (int)len, spec, *all ? all : "none");
}

static int target_one(json_t *disks, const char *spec, size_t len, struct err *e)
{
	const char *equals = memchr(spec, '=', len);
	size_t name = equals ? (size_t)(equals - spec) : 0, rest = equals ? len - name - 1 : 0;

	if (!name || !rest)
		return err_set(e, ERR_USAGE,
			       "--target \"%.*s\": NODE=PLACE,...: a disk, and STORAGE:NAME or a "
			       "name or a path of an image there",
			       len > 100 ? 100 : (int)len, spec);
	return place_disk(disks, "--target", spec, name, json_stringn(equals + 1, rest), e);
}

int vmdesc_target(json_t *disks, const char *spec, struct err *e)
{
	for (const char *at = spec; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (target_one(disks, at, strcspn(at, ","), e) < 0)
			return e->code;
	return 0;
}

static json_t *storage_target(const char *storage, size_t len)
{
	return json_sprintf("%.*s:", (int)len, storage);
}

static int storage_one(json_t *disks, const char *spec, size_t len, struct err *e)
{
	const char *equals = memchr(spec, '=', len), *storage = equals ? equals + 1 : "";
	size_t name = equals ? (size_t)(equals - spec) : 0, rest = equals ? len - name - 1 : 0;

	if (!rest || strspn(storage, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789._-") < rest)
		return err_set(e, ERR_USAGE,
			       "--storage \"%.*s\": NODE=NAME,... or =NAME: a disk (none: all that "
			       "are copied), and the name of a storage of the destination's",
			       len > 100 ? 100 : (int)len, spec);
	if (!disks || !name)
		return 0;
	return place_disk(disks, "--storage", spec, name, storage_target(storage, rest), e);
}

/* What every disk gets that no other word has named. */
static int storage_rest(json_t *disks, const char *spec, size_t len, struct err *e)
{
	json_t *disk;
	size_t i, found = 0;

	json_array_foreach(disks, i, disk)
	{
		if (!flag(disk, "copy") || flag(disk, "read_only"))
			continue;
		found++;
		if (!json_object_get(disk, "target"))
			json_object_set_new(disk, "target", storage_target(spec + 1, len - 1));
	}
	return found ? 0
		     : err_set(e, ERR_USAGE,
			       "--storage %.*s: no disk of the VM is copied: leave it out, or have "
			       "disks copied (--disks, --copy-storage)",
			       len > 100 ? 100 : (int)len, spec);
}

int vmdesc_storage(json_t *disks, const char *spec, struct err *e)
{
	const char *rest = NULL;

	for (const char *at = spec; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		if (storage_one(disks, at, strcspn(at, ","), e) < 0)
			return e->code;
		if (*at == '=' && rest)
			return err_set(e, ERR_USAGE,
				       "--storage \"%.100s\": one storage for all disks, not two",
				       spec);
		rest = *at == '=' ? at : rest;
	}
	return rest && disks ? storage_rest(disks, rest, strcspn(rest, ","), e) : 0;
}

int vmdesc_check_inc(const json_t *disks, struct err *e)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk)
	{
		if (!flag(disk, "copy"))
			continue;
		if (!json_array_size(json_object_get(disk, "backing")))
			return err_set(e, ERR_USAGE,
				       "--copy-storage inc: disk %s has no backing file: use "
				       "--copy-storage all, or name the other disks with --disks",
				       json_text(disk, "name"));
		if (strcmp(json_text(disk, "format"), "qcow2") != 0)
			return err_set(e, ERR_USAGE,
				       "--copy-storage inc: disk %s is of format %s; only a qcow2 "
				       "image over a backing file can be copied so",
				       json_text(disk, "name"), json_text(disk, "format"));
	}
	return 0;
}

int vmdesc_check_name(const char *name, struct err *e)
{
	if (!*name || strlen(name) > 200)
		return err_set(e, ERR_USAGE, "a VM's name has 1 to 200 bytes");
	for (const char *p = name; *p; p++)
		if (*p == '/' || (unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(e, ERR_USAGE, "a VM's name has no %s in it",
				       *p == '/' ? "'/'" : "newline or other control character");
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
