/*
 * The checks on the destination, first in every Prepare and alone in a talk that begins with
 * CHECK. Rights come first; then QEMU is asked what it can do, which takes a moment; then all
 * is judged. Nothing is made. An error refuses the job, a warning goes to the source as a note
 * of PREPARED.
 */
#include "control/destination/arrival_i.h"

#include <stdlib.h>
#include <string.h>

#include "control/check.h"
#include "control/host.h"
#include "control/vm.h"

/* Owned by its arrival, while the checks run. */
struct arrival_check {
	struct check found;
	struct check_probe *probe;
	struct proc_text *switches; /* Open vSwitch's bridges, while they are asked for */
	struct media_sums *sums;    /* of media that are here */
	const char *binary;	    /* that would be launched, while those are read; the rights' */
	struct twin plan;	    /* not the arrival's: nobody else is to see it */
	bool planned;
};

void arrival_check_drop(struct arrival *a)
{
	struct arrival_check *k = a->prepare.check;

	if (!k)
		return;
	a->prepare.check = NULL;
	check_probe_free(k->probe);
	proc_text_free(k->switches);
	media_sums_free(k->sums);
	check_fini(&k->found);
	twin_fini(&k->plan);
	free(k);
}

static void say_checked(struct arrival *a, const struct check *found)
{
	const size_t errors = check_count(found, CHECK_ERROR);
	const size_t warnings = check_count(found, CHECK_WARNING);
	struct err e = ERR_INIT;
	json_t *msg = cookie_new(COOKIE_CHECKED, a->id);

	json_object_set_new(msg, "findings", check_to_json(found));
	if (talk_send(a->talk, msg, &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	log_info(&a->about, "checked: %zu error%s, %zu warning%s", errors, errors == 1 ? "" : "s",
		 warnings, warnings == 1 ? "" : "s");
	arrival_over(a);
}

/* The findings are the caller's from now on. */
static void go_on(struct arrival *a, struct check *found)
{
	struct err e = ERR_INIT;
	char line[CHECK_LINE_MAX];

	if (a->wish.only_check) {
		say_checked(a, found);
		return;
	}
	if (check_refuse(found, &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	for (size_t i = 0; i < found->count; i++)
		/* Prepare tells of these itself, with what came of them. */
		if (found->at[i].level == CHECK_WARNING &&
		    strcmp(found->at[i].check, "launch") != 0 &&
		    strcmp(found->at[i].check, "images") != 0 &&
		    strcmp(found->at[i].check, "disk-space") != 0)
			strvec_push(&a->twin.notes, check_line(&found->at[i], line, sizeof(line)));
	arrival_begin(a);
}

static void end(struct arrival *a)
{
	struct check found = a->prepare.check->found;

	memset(&a->prepare.check->found, 0, sizeof(found));
	arrival_check_drop(a);
	go_on(a, &found);
	check_fini(&found);
}

/* ---- what QEMU can do ---- */

static struct check_wish wish_of(const struct arrival *a)
{
	return (struct check_wish){
	    .multifd = a->ram.multifd > 0, .xbzrle = a->ram.xbzrle, .postcopy = a->ram.postcopy};
}

static void on_probed(void *ctx, const json_t *answers, const struct err *why)
{
	struct arrival *a = ctx;
	struct arrival_check *k = a->prepare.check;
	char flags[16384];
	struct check_there t = {
	    .vm = &a->desc,
	    .wish = wish_of(a),
	    .compression = a->ram.compression,
	    .qemu = answers,
	    .waits = !a->wish.launched,
	    .plan = k->planned ? &k->plan : NULL,
	    .user = &a->rights->launch_user,
	    .rights = a->rights,
	    .cpu_flags = vmdesc_cpu_flags(flags, sizeof(flags)),
	};
	struct err e = *why;

	if (answers) {
		check_memory(&t.memory_available, &t.memory_most);
		check_destination(&k->found, &t);
	} else if (a->wish.launched) {
		/* A wrapper, perhaps, that starts QEMU in its own way: the twin will show. */
		check_add_err(&k->found, CHECK_WARNING, "qemu-version", &e);
	} else {
		err_prefix(&e, "the destination");
		check_add_err(&k->found, CHECK_ERROR, "waiting", &e);
	}
	end(a);
}

/* ---- rights ---- */

static bool may_take(struct arrival *a, struct check *c)
{
	struct err e = ERR_INIT;

	if (arrival_check_dest_qmp(a, &e) < 0) {
		check_add_err(c, CHECK_ERROR, "right-dest-qmp", &e);
		return false;
	}
	check_add(c, CHECK_OK, "right-dest-qmp", NULL, "--dest-qmp %s is allowed there",
		  a->wish.dest_qmp);
	return true;
}

/* The binary that may be launched for the VM, NULL when none may. */
static const char *may_launch(struct arrival *a, struct check *c)
{
	const char *binary = NULL;
	struct err e = ERR_INIT;

	if (!a->rights->launch)
		check_add(c, CHECK_ERROR, "right-launch",
			  "start the destination's adit serve with --allow-launch and the QEMU "
			  "binary (launch = in adit.conf), or start a QEMU there yourself and use "
			  "--dest-qmp",
			  "VMs are not launched there");
	else if (*a->desc.exe && !(binary = twin_binary(&a->desc, a->rights, &e)))
		check_add_err(c, CHECK_ERROR, "right-launch", &e);
	if (binary)
		check_add(c, CHECK_OK, "right-launch", NULL, "%s may be launched there", binary);
	return binary;
}

static bool may_use_images(const struct arrival *a, struct check *c)
{
	const char *const *dirs = a->rights->images;
	bool needs = false;

	for (size_t i = 0; i < a->desc.disk_count; i++)
		needs = needs || !a->desc.disks[i].empty;
	if (dirs && dirs[0])
		check_add(c, CHECK_OK, "right-images", NULL, "images may be in %s there", dirs[0]);
	else if (needs)
		check_add(c, CHECK_ERROR, "right-images",
			  "start the destination's adit serve with --images DIR (images = in "
			  "adit.conf)",
			  "there is no folder for the VM's images");
	return !needs || (dirs && dirs[0]);
}

/* Nobody but adit keeps to adit's names: a QEMU that libvirt has started may be the same VM. */
static void check_names(const struct arrival *a, struct check *c)
{
	const struct vmdesc *d = &a->desc;
	const char *uuid = strspn(d->uuid, "0-") == strlen(d->uuid) ? "" : d->uuid;
	/* The source itself, where both are one host. */
	size_t known = vmdesc_is_here(d) && (*uuid || !d->renamed);
	struct err e = ERR_INIT;
	pid_t pid = 0;

	if (arrival_check_name(a, &e) < 0 || arrival_keep_check(a, &e) < 0)
		check_add_err(c, CHECK_ERROR, "names", &e);
	else if (check_names_count(d->name, uuid, &pid) > known)
		check_add(c, CHECK_WARNING, "names",
			  "see that it is not the same VM, or give this one another name there "
			  "with --rename",
			  "a QEMU that adit did not launch has the name \"%s\" or its UUID on the "
			  "destination (pid %d)",
			  d->name, (int)pid);
	else
		check_add(c, CHECK_OK, "names", NULL, "no VM there is named \"%s\"", d->name);
}

/* Whether the command line can be made for this host, and who else wants its images. */
static void plan(struct arrival *a)
{
	struct arrival_check *k = a->prepare.check;
	struct err e = ERR_INIT;

	check_names(a, &k->found);
	if (!a->desc.argv.count)
		return; /* the source knows why */
	err_set(&e, ERR_NONE, "%s", "");
	if (twin_plan(&k->plan, &a->desc, a->rights, a->service->config.run_dir, a->id, &e) < 0) {
		check_add_err(&k->found, CHECK_ERROR, "launch", &e);
		return;
	}
	k->planned = true;
	for (size_t i = 0; i < k->plan.backing_count; i++) {
		const struct twin_backing *below = &k->plan.backings[i];

		if (backing_look(a->rights->images, below->path, below->from, &k->plan.chain, &e) <
		    0)
			check_add_err(&k->found, CHECK_ERROR, "images", &e);
		else
			check_add(&k->found, CHECK_OK, "images", NULL, "%s is there", below->path);
	}
	if (twin_check_user(&k->plan, &a->rights->launch_user, &e) < 0)
		check_add_err(&k->found, CHECK_ERROR, "launch-user", &e);
	else if (user_is_given(&a->rights->launch_user))
		check_add(&k->found, CHECK_OK, "launch-user", NULL,
			  "it is started as user %s there, who may reach its files",
			  a->rights->launch_user.name);
	check_add(&k->found, CHECK_OK, "launch", NULL,
		  "its command line can be made for the destination");
	for (size_t i = 0; i < k->plan.notes.count; i++)
		check_add(&k->found, CHECK_WARNING, "launch", NULL, "%s", k->plan.notes.at[i]);
}

/* The binary that would be launched is asked what it can do. */
static void probe(struct arrival *a)
{
	struct arrival_check *k = a->prepare.check;
	struct err e = ERR_INIT;

	if (k->binary)
		k->probe = check_probe_binary(a->service->base, k->binary, &a->rights->launch_user,
					      strcmp(a->desc.accel, "kvm") == 0, k->plan.spice,
					      k->planned ? check_types_of(&k->plan) : NULL,
					      &a->service->probes, on_probed, a, &e);
	if (err_is_set(&e))
		check_add_err(&k->found, CHECK_ERROR, "right-launch", &e);
	if (!k->probe)
		end(a);
}

/* Which images are copied is known by then. */
static void judge_images(struct arrival *a)
{
	struct arrival_check *k = a->prepare.check;

	arrival_media_judge(a, &k->plan, k->sums, &k->found);
	for (size_t i = 0; i < k->plan.image_count; i++) {
		struct err e = ERR_INIT;

		if (arrival_check_image(a, &k->plan, i, &e) < 0)
			check_add_err(&k->found, CHECK_ERROR, "images", &e);
	}
}

static void on_summed(void *ctx, struct media_sums *sums)
{
	struct arrival *a = ctx;

	(void)sums;
	judge_images(a);
	probe(a);
}

static void check_media(struct arrival *a)
{
	struct arrival_check *k = a->prepare.check;

	if (k->planned)
		k->sums = arrival_media_read(a, &k->plan, on_summed);
	if (k->sums)
		return;
	if (k->planned)
		judge_images(a);
	probe(a);
}

static void on_switches(void *ctx, const char *text, size_t len, const struct err *why)
{
	struct arrival *a = ctx;
	struct arrival_check *k = a->prepare.check;
	const struct arrival_switch there = {text, len, *why};

	arrival_net_check(&k->plan, &there, &k->found);
	check_media(a);
}

static void check_launch(struct arrival *a)
{
	struct arrival_check *k = a->prepare.check;
	struct arrival_switch there = {0};

	arrival_secrets_check(a, &k->found);
	k->binary = may_launch(a, &k->found);
	if (may_use_images(a, &k->found) && k->binary)
		plan(a);
	if (k->planned && arrival_net_asks(&k->plan))
		k->switches = proc_text_start(a->service->base, netport_list, NETPORT_LIST_MS,
					      on_switches, a, &there.why);
	if (k->switches)
		return;
	if (k->planned)
		arrival_net_check(&k->plan, &there, &k->found);
	check_media(a);
}

void arrival_check_start(struct arrival *a)
{
	struct arrival_check *k = a->prepare.check = calloc(1, sizeof(*k));
	struct err e = ERR_INIT;

	if (!k) {
		err_set(&e, ERR_SPACE, "no memory for a job");
		arrival_fail(a, &e);
		return;
	}
	/* What others start has its own media. */
	if (!a->wish.launched || a->prepare.hook.used)
		arrival_media_leave(a);
	else
		twin_formats(&a->desc, a->rights);
	for (size_t i = 0; a->prepare.hook.used && i < a->desc.disk_count; i++) {
		const struct vmdesc_disk *d = &a->desc.disks[i];
		size_t len = strlen(d->target);

		/* (a storage alone may have come by either) */
		if (len)
			check_add(&k->found, CHECK_ERROR, "launch",
				  "leave it out; the hook chooses the images",
				  "%s %s: a launch hook starts the VM there",
				  d->target[len - 1] == ':' ? "--storage or --target" : "--target",
				  d->name);
	}
	check_add(&k->found, CHECK_OK, "right-migrate", NULL, "%s may bring VMs there", a->peer);
	if (a->prepare.hook.used) {
		/* What it starts is asked when it is there. */
		check_add(&k->found, CHECK_OK, "right-launch", NULL,
			  "the launch hook there starts the VM");
		if (arrival_check_name(a, &e) < 0)
			check_add_err(&k->found, CHECK_ERROR, "names", &e);
		arrival_secrets_check(a, &k->found);
	} else if (!a->wish.launched) {
		if (may_take(a, &k->found))
			k->probe = check_probe_monitor(a->service->base, a->wish.dest_qmp,
						       on_probed, a, &e);
		if (err_is_set(&e))
			check_add_err(&k->found, CHECK_ERROR, "waiting", &e);
	} else {
		check_launch(a);
		return;
	}
	if (!k->probe)
		end(a);
}
