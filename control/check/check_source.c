/* The checks on the source: see check_source.h. docs/checks.md lists what each says. */
#include "control/check/check_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "control/check/check_crypt.h"
#include "control/check/check_kept.h"
#include "control/check/check_net.h"
#include "control/vm.h"

static bool is_one_of(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

/* ---- the VM ---- */

static void check_state(struct check *c, const struct vmdesc_report *r)
{
	static const char *const busy[] = {
	    "setup",	   "active",	      "pre-switchover",	 "device",	     "cancelling",
	    "wait-unplug", "postcopy-active", "postcopy-paused", "postcopy-recover", NULL};
	static const char *const elsewhere[] = {"inmigrate", "postmigrate", "finish-migrate", NULL};
	const char *migration = json_text(r->migrate, "status"),
		   *status = json_text(r->vm, "status");

	if (is_one_of(migration, busy))
		check_add(c, CHECK_ERROR, "state", "wait for that, or cancel it in its monitor",
			  "the VM is being migrated already (state %s)", migration);
	else if (is_one_of(status, elsewhere))
		check_add(c, CHECK_ERROR, "state", NULL,
			  "the VM is in state %s: it does not run here", status);
	else if (strcmp(status, "suspended") == 0)
		/* Until QEMU 9 it is woken as its migration ends, but for its CPUs: it hangs there.
		 */
		check_add(c, CHECK_ERROR, "state", "wake it (system_wakeup in its monitor)",
			  "the guest sleeps (S3, state suspended), and what sleeps does not move");
	else if (!vmdesc_is_cleared(r->yank))
		check_add(c, CHECK_ERROR, "state",
			  "try again in a moment; where query-yank in its monitor goes on listing "
			  "it, yank it there",
			  "QEMU has not cleared away yet the VM's last migration (%s), and another "
			  "one may end the VM",
			  *migration ? migration : "no state");
	else if (json_is_true(json_object_get(r->vm, "running")))
		check_add(c, CHECK_OK, "state", NULL, "the VM runs");
	else
		check_add(c, CHECK_OK, "state", NULL,
			  "the VM is in state %s, and will be so on the destination", status);
}

static void check_command_line(struct check *c, const struct vmdesc_report *r,
			       const struct migrate_config *config)
{
	struct err e = r->argv_err;

	if (config->dest_qmp)
		return;
	if (err_is_set(&e)) {
		err_prefix(&e, "the VM cannot be launched on the destination (start it there "
			       "yourself and use --dest-qmp)");
		check_add_err(c, CHECK_ERROR, "command-line", &e);
	} else {
		check_add(c, CHECK_OK, "command-line", NULL,
			  "QEMU's command line can be read, %zu words",
			  json_array_size(json_object_get(r->vm, "argv")));
	}
}

static void check_block_jobs(struct check *c, const struct vmdesc_report *r)
{
	size_t i, found = 0;
	json_t *block_job;

	json_array_foreach(r->block_jobs, i, block_job)
	{
		const char *id = json_text(block_job, "device");

		/* A block job that adit left behind is cleared away in Begin. */
		if (strncmp(id, "adit-", 5) == 0)
			continue;
		found++;
		check_add(c, CHECK_ERROR, "block-jobs",
			  "wait for its end, or cancel it with the monitor's block-job-cancel",
			  "block job %s (%s) is running on the VM", id,
			  json_text(block_job, "type"));
	}
	if (!found)
		check_add(c, CHECK_OK, "block-jobs", NULL, "no block job is running");
}

/* ---- devices ---- */

/* Devices by the beginning of their types, and what ties each to this host. */
static const struct {
	const char *type, *what;
} tied[] = {
    {"vfio-", "passes a device of this host through (VFIO)"},
    {"usb-host", "passes a USB device of this host through"},
    {"vhost-user-", "is served by another process of this host (vhost-user)"},
    {"vhost-scsi", "is served by this host's kernel (vhost-scsi)"},
    {"vhost-vsock", "has its address and its connections on this host (vsock)"},
    {"virtio-9p", "shares a folder of this host (virtfs)"},
    {"ivshmem", "shares memory with others on this host"},
    {"scsi-block", "passes a disk of this host through"},
    {"scsi-generic", "passes a SCSI device of this host through"},
    {"ccid-card-passthru", "passes a smart card of this host through"},
    {"ccid-card-emulated", "passes a smart card of this host through"},
    {"xen-pci-passthrough", "passes a device of this host through"},
};

/* "vfio-pci" of "child<vfio-pci>"; false for what is no device. */
static bool device_type(const json_t *item, char *buf, size_t size)
{
	const char *type = json_text(item, "type");

	if (strncmp(type, "child<", 6) != 0)
		return false;
	snprintf(buf, size, "%.*s", (int)strcspn(type + 6, ">"), type + 6);
	return true;
}

static void check_devices(struct check *c, const struct vmdesc_report *r,
			  const struct migrate_config *config)
{
	size_t i, k, found = 0;
	json_t *item;
	char type[128];

	json_array_foreach(r->devices, i, item)
	{
		if (!device_type(item, type, sizeof(type)))
			continue;
		for (k = 0; k < sizeof(tied) / sizeof(tied[0]); k++)
			if (strncmp(type, tied[k].type, strlen(tied[k].type)) == 0)
				break;
		if (k == sizeof(tied) / sizeof(tied[0]))
			continue;
		found++;
		/* A QEMU that somebody made for it may have its own. For one that adit is to
		 * launch the destination refuses the option; what QEMU cannot migrate at all it
		 * says under blockers. */
		check_add(c, CHECK_WARNING, "host-devices",
			  config->dest_qmp
			      ? "the QEMU that waits must have one of its own there, as like it "
				"as can be"
			      : "unplug it before (device_del), or start the VM there yourself, "
				"with a device like it, and use --dest-qmp",
			  "device %s (%s) %s", json_text(item, "name"), type, tied[k].what);
	}
	if (!found)
		check_add(c, CHECK_OK, "host-devices", NULL, "no device is tied to this host");
}

/* QEMU's own reasons, since 6.0. */
static void check_blockers(struct check *c, const struct vmdesc_report *r)
{
	const json_t *reasons = json_object_get(r->migrate, "blocked-reasons"), *reason;
	size_t i;

	json_array_foreach(reasons, i, reason)
	{
		const char *text = json_string_value(reason);

		check_add(c, CHECK_ERROR, "blockers",
			  "unplug the device or close what it names, or start the VM without it",
			  "QEMU cannot migrate this VM: %s", text ? text : "");
	}
	if (!json_array_size(reasons))
		check_add(c, CHECK_OK, "blockers", NULL, "QEMU knows no reason against it");
}

/* ---- disks ---- */

static void check_disks(struct check *c, const struct vmdesc_report *r)
{
	size_t i, copied = 0;
	uint64_t size = 0;
	json_t *disk;
	char text[24];

	json_array_foreach(r->disks, i, disk)
	{
		/* (a medium is copied only where the destination has none) */
		if (!json_is_true(json_object_get(disk, "copy")) ||
		    json_is_true(json_object_get(disk, "read_only")))
			continue;
		copied++;
		size += (uint64_t)json_integer_value(json_object_get(disk, "size"));
	}
	check_add(c, CHECK_OK, "disks", NULL, "%zu of %zu drives %s copied, %s together", copied,
		  json_array_size(r->disks), copied == 1 ? "is" : "are",
		  size_format(size, text, sizeof(text)));
}

/* Two nodes over one file would be two images there, each without what the other one wrote. */
static void check_own_images(struct check *c, const struct vmdesc_report *r)
{
	json_t *disk, *other;
	size_t i, k;

	json_array_foreach(r->disks, i, disk) json_array_foreach(r->disks, k, other)
	{
		if (k >= i)
			break;
		if (!json_is_true(json_object_get(disk, "copy")) ||
		    !json_is_true(json_object_get(other, "copy")) || !*json_text(disk, "file_id") ||
		    strcmp(json_text(disk, "file_id"), json_text(other, "file_id")) != 0)
			continue;
		check_add(c, CHECK_ERROR, "disks",
			  "let one node have it, or leave one of them out with --disks",
			  "disks %s and %s are one image here (%.300s), and their copies would be "
			  "two",
			  json_text(other, "name"), json_text(disk, "name"),
			  json_text(disk, "file"));
	}
}

/* A backup that runs has put its filter there, and takes it away: check_block_jobs has told it. */
static bool is_of_backup(const struct vmdesc_report *r, const json_t *node)
{
	const char *drv = json_text(node, "drv");
	const json_t *block_job;
	size_t i;

	if (strcmp(drv, "copy-before-write") != 0 && strcmp(drv, "backup-top") != 0)
		return false;
	json_array_foreach(r->block_jobs, i, block_job)
	{
		if (strcmp(json_text(block_job, "type"), "backup") == 0)
			return true;
	}
	return false;
}

/* QEMU copies a disk from the topmost of its nodes only. */
static void check_roots(struct check *c, const struct vmdesc_report *r)
{
	const struct vmdesc_nodes n = {r->nodes, r->graph};
	const json_t *disk, *above;
	size_t i;

	json_array_foreach(r->disks, i, disk)
	{
		if (!json_is_true(json_object_get(disk, "copy")))
			continue;
		above = vmdesc_nodes_above(&n, json_text(disk, "node"));
		if (!above || is_of_backup(r, above))
			continue;
		if (vmdesc_nodes_is_lost(&n, above))
			check_add(
			    c, CHECK_ERROR, "disks",
			    "shut the VM down and start its QEMU anew, or leave the disk out "
			    "with --disks",
			    "QEMU has kept a node of an earlier copy at disk %s (%s, %s), and "
			    "does not copy the disk any more",
			    json_text(disk, "name"), json_text(above, "node-name"),
			    json_text(above, "drv"));
		else
			check_add(c, CHECK_ERROR, "disks",
				  "take that away, or leave the disk out with --disks",
				  "node %s (%s) stands on disk %s, and QEMU copies a disk from its "
				  "topmost node only",
				  json_text(above, "node-name"), json_text(above, "drv"),
				  json_text(disk, "name"));
	}
}

/* ---- capabilities ---- */

void check_capabilities(struct check *c, const struct check_wish *wish, const json_t *caps,
			const char *qemu, const char *where)
{
	const struct {
		bool wanted;
		const char *name, *option, *since;
	} table[] = {
	    {true, "events", NULL, "2.4"},
	    {true, "return-path", NULL, "2.12"},
	    {true, "pause-before-switchover", NULL, "2.11"},
	    {wish->multifd, "multifd", "--multifd", "4.0"},
	    {wish->xbzrle, "xbzrle", "--xbzrle", "1.2"},
	    {wish->auto_converge, "auto-converge", "--auto-converge", "1.6"},
	    {wish->postcopy, "postcopy-ram", "--postcopy", "2.6"},
	    {wish->preempt, "postcopy-preempt", "--postcopy", "7.1"},
	};
	size_t wanted = 0, lacking = 0;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		wanted += table[i].wanted;
		if (!table[i].wanted || capabilities_know(caps, table[i].name))
			continue;
		lacking++;
		check_add(c, CHECK_ERROR, "capabilities", NULL,
			  "QEMU %s %s has no %s%s%s: QEMU has it since %s", qemu, where,
			  table[i].name, table[i].option ? ", which is needed for " : "",
			  table[i].option ? table[i].option : "", table[i].since);
	}
	if (!lacking)
		check_add(c, CHECK_OK, "capabilities", NULL,
			  "QEMU %s %s has all %zu capabilities that are needed", qemu, where,
			  wanted);
}

void check_source(struct check *c, const struct vmdesc_report *r,
		  const struct migrate_config *config)
{
	const struct check_wish wish = {.multifd = config->multifd > 0,
					.xbzrle = config->xbzrle,
					.auto_converge = config->auto_converge,
					.postcopy = config->postcopy};
	const char *name = json_text(r->vm, "name");

	check_add(c, CHECK_OK, "monitor", NULL, "QEMU %s answers: %s, %s, %s",
		  json_text(r->vm, "qemu"), *name ? name : "a VM without a name",
		  json_text(r->vm, "machine"),
		  *json_text(r->vm, "accel") ? json_text(r->vm, "accel") : "accelerator not known");
	check_state(c, r);
	check_command_line(c, r, config);
	check_block_jobs(c, r);
	check_blockers(c, r);
	check_devices(c, r, config);
	check_disks(c, r);
	check_own_images(c, r);
	check_roots(c, r);
	check_crypt(c, r, config);
	check_kept(c, r, config);
	check_net(c, r, config);
	check_capabilities(c, &wish, r->capabilities, json_text(r->vm, "qemu"), "here");
}
