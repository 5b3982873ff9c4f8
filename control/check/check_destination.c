/* The checks on the destination: see check_destination.h. Makes nothing, and opens images only
 * to look at their locks and heads. docs/checks.md lists what each says. */
#include "control/check/check_destination.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/size.h"
#include "base/user.h"
#include "control/check/check_pages.h"
#include "control/check/check_types.h"
#include "control/host.h"
#include "control/twin.h"
#include "control/vm.h"

/* ---- QEMU ---- */

/* Major and minor as one number; the third one never matters for a migration. */
static unsigned version(const char *text)
{
	unsigned major = 0, minor = 0;

	sscanf(text, "%u.%u", &major, &minor);
	return major * 1000 + minor;
}

static void check_version(struct check *c, const struct check_there *t)
{
	const char *there = json_text(t->qemu, "qemu"), *here = t->vm->qemu;

	if (version(there) < version(here))
		check_add(c, CHECK_WARNING, "qemu-version",
			  "install there a QEMU that is at least as new as the source's",
			  "QEMU %s on the destination is older than %s on the source: a migration "
			  "back to an older QEMU may fail at its end",
			  there, here);
	else
		check_add(c, CHECK_OK, "qemu-version", NULL,
			  "QEMU %s on the destination, %s on the source", there, here);
}

static void check_architecture(struct check *c, const struct check_there *t)
{
	const char *there = json_text(json_object_get(t->qemu, "target"), "arch");

	if (*there && strcmp(there, t->vm->arch) != 0)
		check_add(c, CHECK_ERROR, "architecture",
			  "let adit serve launch, or wait with, a QEMU for the same architecture",
			  "the destination's QEMU is for %s, the VM's for %s", there, t->vm->arch);
	else
		check_add(c, CHECK_OK, "architecture", NULL, "%s on both sides", t->vm->arch);
}

static void check_accelerator(struct check *c, const struct check_there *t)
{
	bool needs = strcmp(t->vm->accel, "kvm") == 0;
	bool has = json_is_true(json_object_get(t->qemu, "kvm"));

	if (!*t->vm->accel)
		check_add(c, CHECK_WARNING, "accelerator", NULL,
			  "what runs the VM at the source is not known");
	else if (needs && !has)
		check_add(c, CHECK_ERROR, "accelerator",
			  t->waits ? "start it with -accel kvm"
				   : "load the kvm module there, and let the user of QEMU "
				     "open /dev/kvm (group kvm)",
			  "the VM runs with KVM, and the destination's QEMU has none");
	else if (!needs && has && t->waits)
		check_add(c, CHECK_WARNING, "accelerator", "start it with -accel tcg",
			  "the VM runs with TCG, and the QEMU that waits with KVM: their CPUs "
			  "differ");
	else
		check_add(c, CHECK_OK, "accelerator", NULL, "%s on both sides", t->vm->accel);
}

/* Of a binary. One that waits has its machine already: twin_match compares. */
static void check_machine(struct check *c, const struct check_there *t)
{
	const json_t *machines = json_object_get(t->qemu, "machines");
	const json_t *most = json_object_get(machines, t->vm->machine);

	if (!machines || !*t->vm->machine)
		check_add(c, CHECK_WARNING, "machine", NULL,
			  "the machine types that the destination's QEMU has are not known");
	else if (!most)
		check_add(c, CHECK_ERROR, "machine",
			  "install there a QEMU that has it (QEMU drops types that are some years "
			  "old), or start the VM anew with a type that both have",
			  "machine type %s is not known to QEMU %s on the destination",
			  t->vm->machine, json_text(t->qemu, "qemu"));
	else if ((uint64_t)json_integer_value(most) < t->vm->cpus)
		check_add(
		    c, CHECK_ERROR, "machine", NULL,
		    "machine type %s has at most %lld CPUs on the destination, the VM %" PRIu64,
		    t->vm->machine, (long long)json_integer_value(most), t->vm->cpus);
	else
		check_add(c, CHECK_OK, "machine", NULL, "%s is known there", t->vm->machine);
}

/* ---- the CPU ---- */

static bool has_word(const char *words, const char *word, size_t len)
{
	for (; *words; words += strcspn(words, " ")) {
		words += strspn(words, " ");
		if (strcspn(words, " ") == len && strncmp(words, word, len) == 0)
			return true;
	}
	return false;
}

static void add_word(char *list, size_t size, const char *word, size_t len)
{
	size_t n = strlen(list);

	if (n + len + 3 < size)
		snprintf(list + n, size - n, "%s%.*s", n ? ", " : "", (int)len, word);
}

/* The source host's flags that this one lacks. */
static void check_host_cpu(struct check *c, const struct check_there *t)
{
	const char *at = t->vm->cpu_flags;
	char missing[300] = "";

	for (at += strspn(at, " "); *at; at += strspn(at, " ")) {
		size_t len = strcspn(at, " ");

		if (!has_word(t->cpu_flags, at, len))
			add_word(missing, sizeof(missing), at, len);
		at += len;
	}
	if (*missing)
		check_add(c, CHECK_WARNING, "cpu",
			  "start the VM with a named CPU model that both hosts have, or move it to "
			  "a host with the same CPU",
			  "the guest has the source host's CPU (-cpu %s), and the destination's "
			  "lacks %s: a guest that uses one of them crashes",
			  t->vm->cpu, missing);
	else
		check_add(c, CHECK_OK, "cpu", NULL,
			  "-cpu %s: every flag of the source host's CPU is there", t->vm->cpu);
}

static bool in_list(const struct strvec *list, const char *word)
{
	return strvec_has(list, word) != 0;
}

static void check_model(struct check *c, const struct check_there *t, const json_t *lacks)
{
	const bool kvm = strcmp(t->vm->accel, "kvm") == 0;
	const json_t *item;
	char missing[300] = "";
	size_t i;

	json_array_foreach(lacks, i, item)
	{
		const char *word = json_string_value(item);

		/* What the source lacks too the guest does not have. */
		if (word && !in_list(&t->vm->cpu_lacks, word))
			add_word(missing, sizeof(missing), word, strlen(word));
	}
	if (!*missing)
		check_add(c, CHECK_OK, "cpu", NULL, "%s can be run there", t->vm->cpu);
	else
		check_add(
		    c, kvm ? CHECK_ERROR : CHECK_WARNING, "cpu",
		    "start the VM with a CPU model that both hosts have, or move it to a host "
		    "with a CPU that has them",
		    "CPU model %s lacks features on the destination that it has on the "
		    "source: %s",
		    t->vm->cpu, missing);
}

static void check_cpu(struct check *c, const struct check_there *t)
{
	const json_t *lacks = json_object_get(json_object_get(t->qemu, "cpus"), t->vm->cpu);
	const char *type = json_text(t->qemu, "cpu");
	size_t len = strlen(t->vm->cpu);

	if (!*t->vm->cpu)
		check_add(c, CHECK_WARNING, "cpu", NULL, "the VM's CPU model is not known");
	else if (!lacks)
		check_add(c, CHECK_ERROR, "cpu",
			  "install there a QEMU that is at least as new as the source's",
			  "CPU model %s is not known to QEMU %s on the destination", t->vm->cpu,
			  json_text(t->qemu, "qemu"));
	/* the type is the model's name with the architecture behind it */
	else if (t->waits && *type && (strncmp(type, t->vm->cpu, len) != 0 || type[len] != '-'))
		check_add(c, CHECK_WARNING, "cpu", "start it with the same -cpu as the VM",
			  "the QEMU that waits has CPUs of type %s, the VM %s", type, t->vm->cpu);
	else if (*t->vm->cpu_flags && vmdesc_cpu_is_host(t->vm->cpu))
		check_host_cpu(c, t);
	else if (vmdesc_cpu_is_host(t->vm->cpu) &&
		 version(json_text(t->qemu, "qemu")) != version(t->vm->qemu))
		check_add(c, CHECK_WARNING, "cpu", "start the VM with a named CPU model",
			  "-cpu %s is another CPU in each version of QEMU: %s on the source, %s on "
			  "the destination",
			  t->vm->cpu, t->vm->qemu, json_text(t->qemu, "qemu"));
	else
		check_model(c, t, lacks);
}

/* ---- memory ---- */

void check_memory(uint64_t *available, uint64_t *most)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib, total = 0, swap = 0;
	char line[256];

	*available = *most = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			*available = kib * 1024;
		else if (sscanf(line, "MemTotal: %llu", &kib) == 1)
			total = kib;
		else if (sscanf(line, "SwapTotal: %llu", &kib) == 1)
			swap = kib;
	}
	if (f)
		fclose(f);
	*most = (total + swap) * 1024;
}

static void check_room(struct check *c, const struct check_there *t)
{
	char need[24], have[24];

	size_format(t->vm->memory, need, sizeof(need));
	size_format(t->memory_available, have, sizeof(have));
	if (!t->memory_most)
		check_add(c, CHECK_WARNING, "memory", NULL,
			  "how much memory the destination has is not known");
	else if (t->vm->memory > t->memory_most)
		check_add(c, CHECK_ERROR, "memory", "move it to a host with more memory",
			  "the VM has %s of RAM, the destination %s in all, swap included", need,
			  size_format(t->memory_most, have, sizeof(have)));
	else if (t->vm->memory > t->memory_available)
		check_add(c, CHECK_WARNING, "memory",
			  "make room there, or the destination will swap or kill processes",
			  "the VM has %s of RAM, and the destination has %s available", need, have);
	else
		check_add(c, CHECK_OK, "memory", NULL, "%s of RAM, %s available there", need, have);
}

/* ---- capabilities ---- */

static void check_compression(struct check *c, const struct check_there *t)
{
	const json_t *known = json_object_get(t->qemu, "compression"), *item;
	size_t i;

	if (!t->compression)
		return;
	json_array_foreach(known, i,
			   item) if (strcmp(json_string_value(item), t->compression) == 0) return;
	check_add(c, known ? CHECK_ERROR : CHECK_WARNING, "capabilities",
		  "choose another --compression, or install there a QEMU that was built with it",
		  "QEMU %s on the destination cannot compress multifd with %s",
		  json_text(t->qemu, "qemu"), t->compression);
}

static int open_userfault(void)
{
	long fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	return fd < 0 ? errno : 0; /* the child's end closes it */
}

/* Postcopy's page faults come over a userfaultfd; who may have one is the kernel's to say. Its
 * owner here is the one that a launched QEMU gets. */
static void check_userfault(struct check *c, const struct check_there *t)
{
	int error;

	if (!t->wish.postcopy || t->waits)
		return;
	error = user_ask(t->user, open_userfault);
	if (!error)
		return;
	if (error != ENOSYS)
		check_add(c, CHECK_ERROR, "capabilities",
			  user_is_given(t->user)
			      ? "sysctl -w vm.unprivileged_userfaultfd=1 there, or start adit "
				"serve without --launch-user"
			      : "sysctl -w vm.unprivileged_userfaultfd=1 there, or run adit serve "
				"as root",
			  "--postcopy needs userfaultfd on the destination: %s", strerror(error));
	else
		check_add(c, CHECK_ERROR, "capabilities", "leave --postcopy out",
			  "--postcopy needs userfaultfd, which the destination's kernel has not");
}

/* ---- images ---- */

/* How much of each file system is wanted; images on one count together. */
struct room {
	dev_t dev;
	uint64_t least, most, free;
	char path[4096];
};

static void add_room(struct room *rooms, size_t *count, const char *path,
		     const struct vmdesc_disk *d, bool inc)
{
	char dir[4096];
	const char *slash = strrchr(path, '/');
	struct stat st;
	struct statvfs fs;
	uint64_t has = 0, least = image_least(d, inc);
	size_t i;

	if (stat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return;
		has = (uint64_t)st.st_blocks * 512;
	}
	snprintf(dir, sizeof(dir), "%.*s", slash && slash != path ? (int)(slash - path) : 1,
		 slash ? path : ".");
	if (stat(dir, &st) < 0 || statvfs(dir, &fs) < 0)
		return;
	for (i = 0; i < *count && rooms[i].dev != st.st_dev; i++)
		;
	if (i == *count) {
		rooms[(*count)++] =
		    (struct room){.dev = st.st_dev, .free = (uint64_t)fs.f_bavail * fs.f_frsize};
		snprintf(rooms[i].path, sizeof(rooms[i].path), "%s", path);
	}
	rooms[i].least += least > has ? least - has : 0;
	rooms[i].most += d->size > has ? d->size - has : 0;
}

static void judge_room(struct check *c, const struct room *r)
{
	char least[24], most[24], have[24];

	size_format(r->least, least, sizeof(least));
	size_format(r->most, most, sizeof(most));
	size_format(r->free, have, sizeof(have));
	if (r->least > r->free)
		check_add(c, CHECK_ERROR, "disk-space", "make room there",
			  "no space on the destination for %s and what is beside it: at least %s "
			  "are needed, %s are free",
			  r->path, least, have);
	else if (r->most > r->free)
		check_add(
		    c, CHECK_WARNING, "disk-space",
		    "make room there before the guest fills its disks",
		    "%s and what is beside it may grow by %s, and its file system has %s free",
		    r->path, most, have);
	else
		check_add(c, CHECK_OK, "disk-space", NULL, "%s needed at most for %s, %s free",
			  most, r->path, have);
}

static void check_rooms(struct check *c, const struct check_there *t)
{
	struct room *rooms = calloc(t->plan->image_count + 1, sizeof(*rooms));
	size_t count = 0;

	if (!rooms) {
		c->failed = true;
		return;
	}
	for (size_t i = 0; i < t->plan->image_count; i++)
		if (t->plan->images[i].disk->copy)
			add_room(rooms, &count, t->plan->images[i].path, t->plan->images[i].disk,
				 t->vm->inc);
	for (size_t i = 0; i < count; i++)
		judge_room(c, &rooms[i]);
	free(rooms);
}

/* Whether an image that is there will do: what it is first, as its size is read by that. */
static int check_existing(const struct twin_image *image, const struct rights *rights,
			  struct err *e)
{
	uint64_t size;

	if (image->disk->copy && image_check_format(image->path, image->disk, e) < 0)
		return e->code;
	if (image_virtual_size(image->path, image->disk, &size) &&
	    image_check_size(image->path, image->disk, size, e) < 0)
		return e->code;
	return twin_check_overwrite(image, rights, e);
}

static void check_images(struct check *c, const struct check_there *t)
{
	bool same_host = vmdesc_is_here(t->vm);

	for (size_t i = 0; i < t->plan->image_count; i++) {
		const struct twin_image *image = &t->plan->images[i];
		struct err e = ERR_INIT;
		bool exists;

		if (image_look(image->path, image->disk, same_host, &exists, &e) < 0)
			check_add_err(c, CHECK_ERROR, "images", &e);
		else if (exists && image->backing)
			check_add(c, CHECK_ERROR, "images", "remove it or move it away",
				  "%s is there already on the destination, and --copy-storage inc "
				  "makes it anew",
				  image->path);
		else if (exists && check_existing(image, t->rights, &e) < 0)
			check_add_err(c, CHECK_ERROR, "images", &e);
		else if (exists && image->disk->copy)
			check_add(c, CHECK_WARNING, "images", NULL,
				  "%s is there already and is overwritten%s%s", image->path,
				  *image->disk->made ? ", as " : "", image->disk->made);
		else
			check_add(c, CHECK_OK, "images", NULL, "%s %s%s%s%s%s", image->path,
				  exists ? "is there" : "is free to be made",
				  exists ? "" : " for drive ", exists ? "" : image->disk->name,
				  *image->disk->made ? ", as " : "", image->disk->made);
	}
	check_rooms(c, t);
}

/* ---- one that waits ---- */

/* One that is not copied: there, too, it is to be what it is here. */
static void check_other(struct check *c, const struct check_there *t, const struct twin_answers *a,
			const struct vmdesc_disk *d)
{
	char note[TWIN_NOTE_MAX] = "";
	struct err e = ERR_INIT;

	if (twin_match_other(t->vm, d, a, note, &e) < 0)
		check_add_err(c, CHECK_ERROR, "drives", &e);
	else if (*note)
		check_add(c, CHECK_WARNING, "drives", "see that it is the same", "%s", note);
}

static void check_drives(struct check *c, const struct check_there *t, const struct twin_answers *a)
{
	struct twin_drive *drives = calloc(t->vm->disk_count + 1, sizeof(*drives));

	if (!drives) {
		c->failed = true;
		return;
	}
	for (size_t i = 0; i < t->vm->disk_count; i++) {
		const struct vmdesc_disk *d = &t->vm->disks[i];
		struct err e = ERR_INIT;

		if (!d->copy) {
			check_other(c, t, a, d);
			continue;
		}
		twin_match_drive(t->vm, d, a, &drives[i], &e);
		for (size_t k = 0; k < i && !err_is_set(&e); k++)
			if (drives[k].node)
				twin_match_apart(d, &drives[i], &t->vm->disks[k], drives[k].node,
						 drives[k].file_id, &e);
		if (err_is_set(&e))
			check_add_err(c, CHECK_ERROR, "drives", &e);
		else
			check_add(c, CHECK_OK, "drives", NULL, "drive %s is there: %s", d->name,
				  drives[i].file ? drives[i].file : drives[i].node);
	}
	free(drives);
}

static void check_waiting(struct check *c, const struct check_there *t)
{
	const struct twin_answers a = {
	    .block = json_object_get(t->qemu, "block"),
	    .nodes = json_object_get(t->qemu, "nodes"),
	    .graph = json_object_get(t->qemu, "graph"),
	    .memory = json_object_get(t->qemu, "memory"),
	    .memory_devices = json_object_get(t->qemu, "memory_devices"),
	    .cpus = json_object_get(t->qemu, "cpu_list"),
	    .machine = json_object_get(t->qemu, "machine"),
	    .target = json_object_get(t->qemu, "target"),
	    .name = json_object_get(t->qemu, "name"),
	    .pid = (pid_t)json_integer_value(json_object_get(t->qemu, "pid")),
	};
	struct err e = ERR_INIT;

	if (twin_match(t->vm, &a, &e) < 0)
		check_add_err(c, CHECK_ERROR, "waiting", &e);
	else
		check_add(c, CHECK_OK, "waiting", NULL,
			  "the QEMU there waits for a VM, and is like the source's");
	check_drives(c, t, &a);
}

void check_destination(struct check *c, const struct check_there *t)
{
	const char *status = json_text(t->qemu, "status");

	if (t->waits && strcmp(status, "inmigrate") != 0) {
		check_add(c, CHECK_ERROR, "waiting", "start it with -incoming defer",
			  "the QEMU on the destination does not wait for a VM (state %s)",
			  *status ? status : "unknown");
		return; /* nothing else was asked */
	}
	check_version(c, t);
	check_architecture(c, t);
	check_accelerator(c, t);
	if (!t->waits)
		check_machine(c, t);
	check_cpu(c, t);
	check_room(c, t);
	check_capabilities(c, &t->wish, json_object_get(t->qemu, "capabilities"),
			   json_text(t->qemu, "qemu"), "on the destination");
	check_compression(c, t);
	check_userfault(c, t);
	if (t->waits)
		check_waiting(c, t);
	else if (t->plan)
		check_images(c, t);
	if (t->plan)
		check_pages(c, t->plan);
	if (t->plan)
		check_types(c, t->plan, json_object_get(t->qemu, "types"),
			    json_text(t->qemu, "qemu"));
	if (t->plan && t->plan->spice && json_is_false(json_object_get(t->qemu, "spice")))
		check_add(c, CHECK_ERROR, "spice",
			  "install there what QEMU has for it (Debian: qemu-system-modules-spice), "
			  "or start the VM without -spice",
			  "the VM has SPICE, and QEMU %s on the destination has not",
			  json_text(t->qemu, "qemu"));
}
