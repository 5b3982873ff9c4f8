/* The folders of the arrival's sockets: the twin's own, that of NBD and that of RAM. */
#include "control/destination/arrival_i.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/user.h"

int service_keep_run_dir(const struct service *s, const struct rights *rights, struct err *e)
{
	char path[512];

	if (access(s->config.run_dir, F_OK) == 0 || errno != ENOENT)
		return 0; /* what is wrong with it shows when it is used */
	snprintf(path, sizeof(path), "%s", s->config.run_dir);
	for (char *at = path + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(path, 0755); /* (where it cannot be, the last one cannot either) */
		*at = '/';
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set_sys(
		    e, errno,
		    "the folder %s for sockets was removed on the destination, and cannot "
		    "be made again",
		    path);
	/* (The twin's user passes: cli/common/run_dir.h.) */
	if (user_is_given(&rights->launch_user) && chmod(path, 0711) < 0)
		return err_set_sys(e, errno, "chmod 0711 %s", path);
	log_warn(
	    NULL,
	    "the folder %s for sockets had been removed: it is made again; what listened in it "
	    "(the API, one-time keys) is not reached until adit serve is started anew",
	    path);
	return 0;
}

void arrival_name_nbd(const struct service *s, const char *job, char *buf, size_t size)
{
	snprintf(buf, size, "%.100s/job-%.8s", s->config.run_dir, job);
}

void arrival_ram_name(const struct service *s, const char *job, char *buf, size_t size)
{
	snprintf(buf, size, "%.100s/ram-%.8s", s->config.run_dir, job);
}

int arrival_make_folder(struct arrival *a, struct err *e)
{
	const struct user *u = &a->rights->launch_user;
	char parent[sizeof(a->twin.dir)];
	struct stat st;
	char *slash;

	if (service_keep_run_dir(a->service, a->rights, e) < 0)
		return e->code;
	snprintf(parent, sizeof(parent), "%s", a->twin.dir);
	slash = strrchr(parent, '/');
	if (slash && slash != parent) {
		*slash = 0;
		if (mkdir(parent, 0700) < 0 && errno != EEXIST)
			return err_set_sys(e, errno, "the folder %s cannot be made", parent);
		/* It may pass, and see nothing: each VM's folder is closed. */
		if (user_is_given(u) && chmod(parent, 0711) < 0)
			return err_set_sys(e, errno, "chmod 0711 %s", parent);
		if (user_check_path(u, parent, X_OK, e) < 0)
			return e->code;
	}
	/* The source chooses the job's id: it may be the folder of a VM that runs here. Then nobody
	 * is told to remove it. */
	if (lstat(a->twin.dir, &st) == 0)
		return err_set(e, ERR_REFUSED, "the folder %s is there already", a->twin.dir);
	if (guardian_add_dir(a->guardian, a->twin.dir, e) < 0)
		return e->code;
	if (mkdir(a->twin.dir, 0700) < 0) {
		err_set_sys(e, errno, "the folder %s cannot be made", a->twin.dir);
		guardian_forget_dir(a->guardian, a->twin.dir, NULL);
		return e->code;
	}
	a->twin.dir_made = true;
	return 0;
}
