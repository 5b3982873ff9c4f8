/*
 * What others on this host may have already: a VM of that name, an image, a monitor. A twin that
 * waits holds no locks that would tell.
 */
#include "control/destination/arrival_i.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "proxy/rules.h"

bool arrival_claims(const struct arrival *a)
{
	return arrival_is(a, ARRIVAL_CLAIMS) || a->over.undoes & ARRIVAL_UNDO_GUARDIAN;
}

static bool is_one(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The folder that path is in, and what path is called there; NULL: there is none. */
static const char *look_at_folder(const char *path, struct stat *st)
{
	const char *name;
	int dir = dir_open_parent(path, &name);
	bool is = dir >= 0 && fstat(dir, st) == 0;

	fd_close(&dir);
	return is ? name : NULL;
}

/* Whether both are one file: under one name, or by a link; or will be, by one name in a folder that
 * has two itself. */
static bool is_same_file(const char *a, const char *b)
{
	const char *name_a, *name_b;
	bool is_a, is_b;
	struct stat sa, sb;

	if (strcmp(a, b) == 0)
		return true;
	is_a = stat(a, &sa) == 0;
	is_b = stat(b, &sb) == 0;
	if (is_a || is_b)
		return is_a && is_b && is_one(&sa, &sb);
	name_a = look_at_folder(a, &sa);
	name_b = look_at_folder(b, &sb);
	return name_a && name_b && strcmp(name_a, name_b) == 0 && is_one(&sa, &sb);
}

/* Whether other has path as an image, and it or the arrival is to write to it. */
static bool has_image(const struct arrival *other, const char *path, bool copy)
{
	char id[64];

	for (size_t i = 0; i < other->twin.image_count; i++)
		if ((copy || other->twin.images[i].disk->copy) &&
		    is_same_file(other->twin.images[i].path, path))
			return true;
	if (vmdesc_file_id("/", path, id, sizeof(id)) < 0)
		return false;
	for (size_t i = 0; i < other->disk_count; i++)
		if (strcmp(other->disks[i].file_id, id) == 0)
			return true;
	return false;
}

bool arrival_image_is_planned(const struct arrival *a, const char *path, bool copy)
{
	const struct arrival *other;

	TAILQ_FOREACH(other, &a->service->arrivals, listed)
	if (other != a && arrival_claims(other) && has_image(other, path, copy))
		return true;
	return false;
}

int arrival_check_image(const struct arrival *a, const struct twin *plan, size_t at, struct err *e)
{
	const struct twin_image *image = &plan->images[at];

	for (size_t i = 0; i < at; i++)
		if ((image->disk->copy || plan->images[i].disk->copy) &&
		    is_same_file(image->path, plan->images[i].path))
			return err_set(
			    e, ERR_REFUSED,
			    "%.300s and %.300s on the destination are one file (a link), and the "
			    "disks %s and %s need an image each: %s",
			    plan->images[i].path, image->path, plan->images[i].disk->name,
			    image->disk->name,
			    access(image->path, F_OK) == 0
				? "remove one of them"
				: "give one of them a name of its own (--target)");
	if (arrival_image_is_planned(a, image->path, image->disk->copy))
		return err_set(e, ERR_REFUSED,
			       "%s is in use by another migration to the destination: wait for "
			       "that one",
			       image->path);
	return 0;
}

/* Two VMs of one name on a host are one VM by mistake, or will be mistaken for one. */
int arrival_check_name(const struct arrival *a, struct err *e)
{
	const struct arrival *other;
	char dir[4096];

	if (!*a->desc.name)
		return 0;
	TAILQ_FOREACH(other, &a->service->arrivals, listed)
	if (other != a && !other->wish.dest_qmp && other->wish.described &&
	    !other->wish.only_check && arrival_is(other, ARRIVAL_CLAIMS) &&
	    strcmp(other->desc.name, a->desc.name) == 0)
		return err_set(
		    e, ERR_REFUSED,
		    "another migration is bringing a VM named \"%s\" to the destination: "
		    "wait for it, or give this one another name there with --rename",
		    a->desc.name);
	if (vms_find(a->service->config.run_dir, a->desc.name, dir, sizeof(dir)))
		return err_set(e, ERR_REFUSED,
			       "a VM named \"%s\" runs on the destination already (%s): give this "
			       "one another name there with --rename",
			       a->desc.name, dir);
	return 0;
}

/* A peer may have the monitors told that the operator has named, and no other socket. */
int arrival_check_dest_qmp(const struct arrival *a, struct err *e)
{
	struct addr addr = {.kind = ADDR_UNIX};

	if (strlen(a->wish.dest_qmp) > ADDR_UNIX_MAX)
		return err_set(e, ERR_USAGE,
			       "--dest-qmp %.40s...: the path of a unix socket may have %d bytes",
			       a->wish.dest_qmp, ADDR_UNIX_MAX);
	snprintf(addr.path, sizeof(addr.path), "%s", a->wish.dest_qmp);
	if (!rules_match(&a->rights->dest_qmp, &addr))
		return err_set(e, ERR_REFUSED,
			       "--dest-qmp %s is not allowed there: start the destination's adit "
			       "serve with --allow-dest-qmp (dest-qmp = in adit.conf) and a "
			       "pattern of that path",
			       a->wish.dest_qmp);
	return 0;
}
