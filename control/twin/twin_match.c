/* A QEMU that waits beside the VM that is to come: see twin_match.h. Asks nothing itself. */
#include "control/twin/twin_match.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/host.h"
#include "control/vm.h"

/* The twin's drive for d: by the -drive id, else by the device in front of it. */
static const json_t *find_drive(const json_t *block, const struct vmdesc_disk *d)
{
	size_t i;
	const json_t *entry;

	json_array_foreach(block, i, entry)
	{
		const char *device = json_string_value(json_object_get(entry, "device"));
		const char *qdev = json_string_value(json_object_get(entry, "qdev"));

		if (*d->device ? device && strcmp(device, d->device) == 0
			       : *d->qdev && qdev && strcmp(qdev, d->qdev) == 0)
			return entry;
	}
	return NULL;
}

/* A node that no device uses yet has nothing but its name. */
static const json_t *find_node(const json_t *nodes, const struct vmdesc_disk *d)
{
	size_t i;
	const json_t *node;

	json_array_foreach(nodes, i, node)
	{
		const char *name = json_string_value(json_object_get(node, "node-name"));

		if (name && *d->node && strcmp(name, d->node) == 0)
			return node;
	}
	return NULL;
}

/* "dev:ino" of a file of pid's QEMU; "" when it is none that can be seen. */
static void file_id(pid_t pid, const char *file, char *id, size_t size)
{
	char proc[40], cwd[4096];
	ssize_t n;

	/* A relative name is one in QEMU's own folder. */
	snprintf(proc, sizeof(proc), "/proc/%d/cwd", (int)pid);
	n = readlink(proc, cwd, sizeof(cwd) - 1);
	cwd[n > 0 ? n : 0] = 0;
	if (!*file || vmdesc_file_id(cwd, file, id, size) < 0)
		*id = 0;
}

/* The source's own file must not be copied onto itself, and QEMU with -incoming does not
 * look at locks. (Nor can we, here: a QEMU that waits again after a job that failed may
 * hold them itself.) */
static int check_file(const struct vmdesc *vm, const struct vmdesc_disk *d, const char *id,
		      const char *file, struct err *e)
{
	if (*id && *d->file_id && strcmp(id, d->file_id) == 0 && vmdesc_is_here(vm))
		return err_set(e, ERR_REFUSED,
			       "%s is the very image that the source uses: a copy needs "
			       "another file",
			       file);
	return 0;
}

/* "b" of "/a/b", and of QEMU's "json:{... \"filename\": \"/a/b\"}" alike. */
static bool ends_in(const char *file, const char *name)
{
	const char *at = file, *found = NULL;
	size_t len = strlen(name);

	while ((at = strstr(at, name)) != NULL)
		found = at++;
	return found && (found[len] == 0 || found[len] == '"') &&
	       (found == file || found[-1] == '/' || found[-1] == '"');
}

/* Holds what is below the twin's drive to what is below d. */
static int match_backing(const struct vmdesc_disk *d, const json_t *inserted, struct err *e)
{
	const json_t *image = json_object_get(inserted, "image");
	const json_t *below = json_object_get(image, "backing-image");
	const struct vmdesc_backing *b = d->backing;
	const char *slash = d->backing_count ? strrchr(b->file, '/') : NULL;
	const char *name = slash ? slash + 1 : d->backing_count ? b->file : "";

	if (!below)
		return err_set(
		    e, ERR_QEMU,
		    "drive %s of the destination's QEMU has no backing file: start it "
		    "with a new overlay over %s (qemu-img create -b), or move the VM with "
		    "--copy-storage all",
		    d->name, name);
	if (!*name || !ends_in(json_text(below, "filename"), name))
		return err_set(
		    e, ERR_QEMU,
		    "drive %s of the destination's QEMU has the backing file %.200s, the "
		    "source's %s",
		    d->name, json_text(below, "filename"), name);
	if ((uint64_t)json_integer_value(json_object_get(below, "virtual-size")) != b->size ||
	    strcmp(json_text(below, "format"), b->format) != 0)
		return err_set(
		    e, ERR_QEMU,
		    "the backing file %s of the destination's QEMU is not the source's: "
		    "%s of %lld bytes, not %s of %" PRIu64,
		    name, json_text(below, "format"),
		    (long long)json_integer_value(json_object_get(below, "virtual-size")),
		    b->format, b->size);
	return 0;
}

static int no_drive(const struct vmdesc_disk *d, struct err *e)
{
	const bool idle = !*d->device && !*d->qdev;

	return err_set(e, ERR_QEMU,
		       "the destination's QEMU has no drive like %s (%s "
		       "%s): its configuration must be that of the source",
		       d->name, idle ? "node" : "device",
		       idle	    ? d->node
		       : *d->device ? d->device
				    : d->qdev);
}

/* What is encrypted at the source, or is to be here by QEMU's own words, must not be copied in
 * plaintext. (A format that knows no encryption ignores those words.) */
static int match_encryption(const struct vmdesc_disk *d, const json_t *in, const char *file,
			    const struct twin_answers *a, struct err *e)
{
	char name[4096], format[4096];

	vmdesc_nodes_resolve(file, name, format, sizeof(name));
	if (json_is_true(json_object_get(in, "encrypted")) || vmdesc_crypt_has(name, a->nodes))
		return 0;
	if (!d->encryption.known && !strstr(file, "key-secret"))
		return 0;
	return err_set(
	    e, ERR_REFUSED,
	    "drive %s of the destination's QEMU is not encrypted, and the VM's is: start "
	    "it with an image that is (qemu-img create -o encrypt.format=luks, or -f luks)",
	    d->name);
}

/* What the copy is written to, and how: below the filters that stand before the image, which
 * are the guest's. */
static void read_image(const struct twin_answers *a, struct twin_drive *out)
{
	const struct vmdesc_nodes n = {a->nodes, a->graph};
	const json_t *root = vmdesc_nodes_find(&n, out->node), *node, *below, *image;
	char file[4096], format[4096];

	vmdesc_nodes_resolve(json_text(root, "file"), file, format, sizeof(file));
	node = root ? vmdesc_nodes_image(&n, root, file) : NULL;
	image = json_object_get(node, "image");
	if (*json_text(node, "node-name"))
		out->image_node = json_text(node, "node-name");
	out->sparse = json_integer_value(json_object_get(image, "actual-size")) <
		      json_integer_value(json_object_get(image, "virtual-size"));
	out->direct = json_is_true(json_object_get(json_object_get(node, "cache"), "direct"));
	/* Newer libvirt has the device over the file's node, with none of the format. */
	below = strcmp(json_text(node, "drv"), "raw") == 0 ? vmdesc_nodes_child(&n, node, "file")
							   : node;
	/* One with an offset or the like has no plain name. */
	if (strcmp(json_text(below, "drv"), "file") == 0 &&
	    strcmp(json_text(node, "file"), json_text(below, "file")) == 0 &&
	    strncmp(json_text(below, "file"), "json:", 5) != 0)
		out->raw_file = json_text(below, "file");
}

int twin_match_drive(const struct vmdesc *vm, const struct vmdesc_disk *d,
		     const struct twin_answers *a, struct twin_drive *out, struct err *e)
{
	const bool idle = !*d->device && !*d->qdev;
	const json_t *entry = idle ? find_node(a->nodes, d) : find_drive(a->block, d);
	const json_t *in = idle ? entry : json_object_get(entry, "inserted");
	const json_t *image = json_object_get(in, "image");
	const char *node = json_string_value(json_object_get(in, "node-name"));
	const char *file = json_string_value(json_object_get(image, "filename"));
	uint64_t size = json_number(image, "virtual-size");
	char plain[4096], format[4096];

	if (!entry)
		return no_drive(d, e);
	if (!node)
		return err_set(e, ERR_QEMU, "drive %s of the destination's QEMU is empty", d->name);
	if (json_is_true(json_object_get(in, "ro")) && !d->read_only)
		return err_set(e, ERR_QEMU, "drive %s of the destination's QEMU is read-only",
			       d->name);
	if (image_check_size(file ? file : node, d, size, e) < 0)
		return e->code;
	*out = (struct twin_drive){.node = node, .file = file, .size = size, .image_node = node};
	vmdesc_nodes_resolve(json_text(in, "file"), plain, format, sizeof(plain));
	file_id(a->pid, plain, out->file_id, sizeof(out->file_id));
	if (file && check_file(vm, d, out->file_id, file, e) < 0)
		return e->code;
	if (match_encryption(d, in, file ? file : "", a, e) < 0)
		return e->code;
	if (vm->inc && !d->read_only && match_backing(d, in, e) < 0)
		return e->code;
	read_image(a, out);
	/* A node of ours is written to, over the same file. */
	if (d->read_only && !out->raw_file)
		return err_set(e, ERR_QEMU,
			       "drive %s of the destination's QEMU is read-only, and not over a "
			       "file as it is: put its image there before",
			       d->name);
	return 0;
}

int twin_match_apart(const struct vmdesc_disk *d, const struct twin_drive *drive,
		     const struct vmdesc_disk *other, const char *node, const char *file_id,
		     struct err *e)
{
	const char *file = drive->file ? drive->file : drive->node;

	if (strcmp(drive->image_node, node) != 0 &&
	    (!*file_id || strcmp(drive->file_id, file_id) != 0))
		return 0;
	return err_set(e, ERR_REFUSED,
		       "disks %s and %s would both be copied into %.300s on the destination: each "
		       "needs an image of its own",
		       other->name, d->name, file);
}

static const char *base(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash ? slash + 1 : file;
}

/* What is one node behind two devices here is to be one there, as it is copied once. */
static int match_shared(const struct vmdesc *vm, const struct vmdesc_disk *d,
			const struct twin_answers *a, const json_t *in, struct err *e)
{
	for (size_t i = 0; i < vm->disk_count; i++) {
		const struct vmdesc_disk *other = &vm->disks[i];
		const json_t *there;

		if (strcmp(other->name, d->shared_with) != 0)
			continue;
		there = json_object_get(find_drive(a->block, other), "inserted");
		if (strcmp(json_text(there, "node-name"), json_text(in, "node-name")) != 0)
			return err_set(e, ERR_REFUSED,
				       "drives %s and %s have one image here, and two on the "
				       "destination's QEMU: its configuration must be that of the "
				       "source",
				       other->name, d->name);
	}
	return 0;
}

int twin_match_other(const struct vmdesc *vm, const struct vmdesc_disk *d,
		     const struct twin_answers *a, char *note, struct err *e)
{
	const json_t *entry = find_drive(a->block, d), *in = json_object_get(entry, "inserted");
	const json_t *image = json_object_get(in, "image");
	char plain[4096], format[4096];

	if ((!*d->device && !*d->qdev) || (!entry && d->empty))
		return 0; /* a node that no device has, or no drive on either side */
	if (!entry)
		return no_drive(d, e);
	vmdesc_nodes_resolve(json_text(in, "file"), plain, format, sizeof(plain));
	if (d->empty && in)
		return err_set(e, ERR_REFUSED,
			       "drive %s of the destination's QEMU has a medium (%.300s), and the "
			       "VM's is empty: eject it there",
			       d->name, plain);
	if (!d->empty && !in)
		return err_set(e, ERR_REFUSED,
			       "drive %s of the destination's QEMU is empty, and the VM's has a "
			       "medium (%.300s): put it in there",
			       d->name, d->file);
	if (d->empty)
		return 0;
	if (d->size && image_check_size(plain, d, json_number(image, "virtual-size"), e) < 0)
		return e->code;
	if (*d->shared_with)
		return match_shared(vm, d, a, in, e);
	if (note && *d->file && strcmp(base(plain), base(d->file)) != 0)
		snprintf(note, TWIN_NOTE_MAX,
			 "drive %s, which is not copied, has %.150s on the destination, and %.150s "
			 "here",
			 d->name, plain, d->file);
	return 0;
}

/* How much of "pc-q35-7.2-machine", the QOM type, is the machine's name. */
static int machine_len(const char *type)
{
	size_t len = strlen(type);

	return (int)(len > 8 && strcmp(type + len - 8, "-machine") == 0 ? len - 8 : len);
}

static bool same_machine(const char *a, const char *b)
{
	int len = machine_len(a);

	return len == machine_len(b) && memcmp(a, b, (size_t)len) == 0;
}

int twin_match(const struct vmdesc *d, const struct twin_answers *a, struct err *e)
{
	const char *machine = json_string_value(a->machine);
	const char *arch = json_string_value(json_object_get(a->target, "arch"));
	const char *name = json_string_value(json_object_get(a->name, "name"));
	size_t cpus = json_array_size(a->cpus);
	uint64_t elastic, bytes = vmdesc_memory_fixed(a->memory, a->memory_devices, &elastic);
	/* What is plugged into virtio-mem comes with its state. */
	uint64_t wanted = d->fixed_memory ? d->fixed_memory : d->memory;

	if (d->renamed && strcmp(name ? name : "", d->name) != 0)
		return err_set(e, ERR_QEMU,
			       "the destination's QEMU is named \"%s\", not \"%s\" (--rename): "
			       "start it with -name guest=%s",
			       name ? name : "", d->name, d->name);
	if (arch && strcmp(arch, d->arch) != 0)
		return err_set(e, ERR_QEMU, "the destination's QEMU is for %s, the VM's for %s",
			       arch, d->arch);
	if (machine && !same_machine(machine, d->machine))
		return err_set(e, ERR_QEMU,
			       "the destination's QEMU has machine type %.*s, the VM %.*s: "
			       "start it with -machine %.*s",
			       machine_len(machine), machine, machine_len(d->machine), d->machine,
			       machine_len(d->machine), d->machine);
	if (a->memory && bytes != wanted)
		return err_set(e, ERR_QEMU,
			       "the destination's QEMU has %llu MiB of RAM, the VM "
			       "%llu: its configuration must be that of the source",
			       (unsigned long long)(bytes >> 20),
			       (unsigned long long)(wanted >> 20));
	if (a->memory_devices && d->fixed_memory && elastic != d->virtio_mem)
		return err_set(
		    e, ERR_QEMU,
		    "the virtio-mem devices of the destination's QEMU may have %llu MiB, "
		    "the VM's %llu: its configuration must be that of the source",
		    (unsigned long long)(elastic >> 20), (unsigned long long)(d->virtio_mem >> 20));
	if (cpus && cpus != d->cpus)
		return err_set(e, ERR_QEMU,
			       "the destination's QEMU has %zu CPUs, the VM %llu: its "
			       "configuration must be that of the source",
			       cpus, (unsigned long long)d->cpus);
	return 0;
}
