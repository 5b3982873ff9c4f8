/*
 * What others on this host may have already: a VM of that name, an image, a monitor. A twin that
 * waits holds no locks that would tell.
 */
#include "control/destination/job_i.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "proxy/rules.h"

bool job_claims(const struct job *j)
{
	return job_is(j, JOB_CLAIMS) || j->over.undoes & JOB_UNDO_GUARDIAN;
}

/* Whether both are one file: under one name, or by a link. */
static bool is_same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	return strcmp(a, b) == 0 || (stat(a, &sa) == 0 && stat(b, &sb) == 0 &&
				     sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino);
}

/* Whether other has path as an image, and it or the job is to write to it. */
static bool has_image(const struct job *other, const char *path, bool copy)
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

bool job_image_is_planned(const struct job *j, const char *path, bool copy)
{
	const struct job *other;

	TAILQ_FOREACH(other, &j->service->jobs, listed)
	if (other != j && job_claims(other) && has_image(other, path, copy))
		return true;
	return false;
}

int job_check_image(const struct job *j, const struct twin *plan, size_t at, struct err *e)
{
	const struct twin_image *image = &plan->images[at];

	for (size_t i = 0; i < at; i++)
		if ((image->disk->copy || plan->images[i].disk->copy) &&
		    is_same_file(image->path, plan->images[i].path))
			return err_set(
			    e, ERR_REFUSED,
			    "%.300s and %.300s on the destination are one file (a link), and the "
			    "disks %s and %s need an image each: remove one of them",
			    plan->images[i].path, image->path, plan->images[i].disk->name,
			    image->disk->name);
	if (job_image_is_planned(j, image->path, image->disk->copy))
		return err_set(e, ERR_REFUSED,
			       "%s is in use by another migration to the destination: wait for "
			       "that one",
			       image->path);
	return 0;
}

/* Two VMs of one name on a host are one VM by mistake, or will be mistaken for one. */
int job_check_name(const struct job *j, struct err *e)
{
	const struct job *other;
	char dir[4096];

	if (!*j->desc.name)
		return 0;
	TAILQ_FOREACH(other, &j->service->jobs, listed)
	if (other != j && !other->wish.dest_qmp && other->wish.described &&
	    !other->wish.only_check && job_is(other, JOB_CLAIMS) &&
	    strcmp(other->desc.name, j->desc.name) == 0)
		return err_set(
		    e, ERR_REFUSED,
		    "another migration is bringing a VM named \"%s\" to the destination: "
		    "wait for it, or give this one another name there with --rename",
		    j->desc.name);
	if (vms_find(j->service->config.run_dir, j->desc.name, dir, sizeof(dir)))
		return err_set(e, ERR_REFUSED,
			       "a VM named \"%s\" runs on the destination already (%s): give this "
			       "one another name there with --rename",
			       j->desc.name, dir);
	return 0;
}

/* A peer may have the monitors told that the operator has named, and no other socket. */
int job_check_dest_qmp(const struct job *j, struct err *e)
{
	struct addr a = {.kind = ADDR_UNIX};

	if (strlen(j->wish.dest_qmp) > ADDR_UNIX_MAX)
		return err_set(e, ERR_USAGE,
			       "--dest-qmp %.40s...: the path of a unix socket may have %d bytes",
			       j->wish.dest_qmp, ADDR_UNIX_MAX);
	snprintf(a.path, sizeof(a.path), "%s", j->wish.dest_qmp);
	if (!rules_match(&j->rights->dest_qmp, &a))
		return err_set(e, ERR_REFUSED,
			       "--dest-qmp %s is not allowed there: start the destination's adit "
			       "serve with --allow-dest-qmp (dest-qmp = in adit.conf) and a "
			       "pattern of that path",
			       j->wish.dest_qmp);
	return 0;
}
