/* See vm_kept.h. */
#include "control/host/vm_kept.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "control/host/vm_kept_net.h"
#include "control/host/vm_kept_tpm.h"
#include "control/host/vms.h"
#include "control/talk.h"
#include "control/vm.h"

enum { FORMAT = 1, PATH_SIZE = 4096 };

static int broken(const char *path, const char *what, struct err *e)
{
	return err_set(e, ERR_CONFIG, "%s: %s: it is not as adit wrote it", path, what);
}

/* Nothing is at path: why. */
static int is_none(const char *path, const char *name, struct err *e)
{
	char moved[PATH_SIZE + 8];

	snprintf(moved, sizeof(moved), "%s.moved", path);
	if (access(moved, F_OK) < 0)
		return err_set(e, ERR_CLOSED,
			       "there is no %s: no VM \"%s\" came here with --persistent", path,
			       name);
	return err_set(
	    e, ERR_REFUSED,
	    "VM %s has moved away: what started it here is %s now, to be renamed back only "
	    "if the VM runs nowhere else",
	    name, moved);
}

/* The file at path as JSON; k has it open then. */
static json_t *load(struct vm_kept *k, const char *path, const char *name, struct stat *st,
		    struct err *e)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	json_t *o = NULL;

	if (fd < 0 && errno == ENOENT) {
		is_none(path, name, e);
	} else if (fd < 0 || fstat(fd, st) < 0) {
		err_set_sys(e, errno, "%s", path);
	} else if (!S_ISREG(st->st_mode) || st->st_uid != geteuid() || (st->st_mode & 022)) {
		err_set(e, ERR_CONFIG,
			"%s is another user's, or others may write to it: it is not used", path);
	} else if (!(o = json_loadfd(fd, 0, NULL))) {
		broken(path, "no JSON", e);
	} else if ((k->lock_fd = fcntl(fd, F_DUPFD, 3)) < 0) { /* that stays open over exec */
		err_set_sys(e, errno, "%s", path);
	}
	fd_close(&fd);
	return o;
}

static int read_argv(struct vm_kept *k, const char *path, struct err *e)
{
	const json_t *words = json_object_get(k->file, "argv"), *word;
	size_t i;

	json_array_foreach(words, i, word)
	{
		if (!json_is_string(word))
			return broken(path, "argv", e);
		strvec_push(&k->argv, json_string_value(word));
	}
	if (k->argv.count != json_array_size(words))
		return err_set(e, ERR_SPACE, "no memory for a command line");
	if (!k->argv.count || k->argv.at[0][0] != '/')
		return broken(path, "argv", e);
	return 0;
}

/* The user that it ran as, with the groups of now. */
static int read_user(struct vm_kept *k, const char *path, struct err *e)
{
	const json_t *user = json_object_get(k->file, "user");
	const char *name = json_text(user, "name");

	if (!user)
		return 0;
	if (geteuid() != 0)
		return err_set(e, ERR_REFUSED, "the VM runs as user %s: only root can start it",
			       name);
	if (user_parse(&k->user, name, e) < 0)
		return err_prefix(e, "%s", path);
	if (k->user.uid != json_number(user, "uid"))
		return err_set(e, ERR_CONFIG,
			       "%s: user %s was %llu and is %u now: its images are another's", path,
			       name, (unsigned long long)json_number(user, "uid"),
			       (unsigned)k->user.uid);
	k->user.gid = (gid_t)json_number(user, "gid");
	return 0;
}

int vm_kept_read(struct vm_kept *k, const char *state_dir, const char *name, struct err *e)
{
	char path[PATH_SIZE];
	struct stat st;
	int n;

	if (vmdesc_check_name(name, e) < 0)
		return e->code;
	n = snprintf(path, sizeof(path), "%s/vms/%s.json", state_dir, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_USAGE, "%s: the path is too long", state_dir);
	k->file = load(k, path, name, &st, e);
	if (err_is_set(e))
		return e->code;
	if (json_number(k->file, "adit") != FORMAT)
		return err_set(e, ERR_CONFIG, "%s is of another adit", path);
	k->name = json_text(k->file, "name");
	k->dir = json_text(k->file, "dir");
	if (k->dir[0] != '/' || !strstr(k->dir, "/vms/"))
		return broken(path, "dir", e);
	if (read_argv(k, path, e) < 0 || read_user(k, path, e) < 0)
		return e->code;
	return kept_check_settled(state_dir, name, st.st_mtime, e);
}

void vm_kept_fini(struct vm_kept *k)
{
	strvec_fini(&k->argv);
	json_decref(k->file);
	if (k->lock_fd > 0)
		close(k->lock_fd);
	*k = (struct vm_kept){0};
}

/* The folder that adit serve had, to buf: of RUN/vms/NAME-JOB it is RUN. */
static void run_dir_of(const char *dir, char *buf, size_t size)
{
	const char *vms = dir, *next;

	while ((next = strstr(vms + 1, "/vms/")))
		vms = next;
	snprintf(buf, size, "%.*s", (int)(vms - dir), dir);
}

/* Makes what is above the last part of path, where it is not there, which after a reboot it is
 * not. */
static int make_above(const char *path, struct err *e)
{
	char part[PATH_SIZE];

	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(part, 0777) < 0 && errno != EEXIST)
			return err_set_sys(e, errno, "%s cannot be made", part);
		*slash = '/';
	}
	return 0;
}

static int make_dir(struct vm_kept *k, struct err *e)
{
	int fd;

	/* (That user is to pass through them.) */
	umask(user_is_given(&k->user) ? 066 : 077);
	if (make_above(k->dir, e) < 0)
		return e->code;
	umask(077);
	/* What a VM that ended has left there. */
	if (dir_remove(k->dir) < 0)
		return err_set_sys(e, errno, "%s cannot be made anew", k->dir);
	if (mkdir(k->dir, 0700) < 0)
		return err_set_sys(e, errno, "%s cannot be made", k->dir);
	if (vms_record(k->dir, k->name, getpid(), e) < 0)
		return e->code;
	if (!user_is_given(&k->user))
		return 0;
	fd = open(k->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, k->user.uid, k->user.gid) < 0)
		err_set_sys(e, errno, "%s cannot be given to user %s", k->dir, k->user.name);
	fd_close(&fd);
	return e->code;
}

/* Until it ends, whoever starts it too is refused: the file's descriptor goes with it. */
static int lock(const struct vm_kept *k, const char *run_dir, struct err *e)
{
	bool held = flock(k->lock_fd, LOCK_EX | LOCK_NB) < 0;
	char dir[PATH_SIZE];

	if (held && errno != EWOULDBLOCK)
		return err_set_sys(e, errno, "what is kept of VM %s cannot be locked", k->name);
	if (vms_find(run_dir, k->name, dir, sizeof(dir)))
		return err_set(e, ERR_REFUSED, "VM %s runs already, in %s", k->name, dir);
	/* (its script leaves no word of itself but the lock) */
	if (vms_answer(k->dir))
		return err_set(e, ERR_REFUSED, "VM %s runs already: its monitor in %s answers",
			       k->name, k->dir);
	if (held)
		return err_set(e, ERR_REFUSED,
			       "VM %s is being started by another adit start, or by "
			       "its script",
			       k->name);
	return 0;
}

int vm_kept_run(struct vm_kept *k, struct err *e)
{
	char run_dir[PATH_SIZE];

	run_dir_of(k->dir, run_dir, sizeof(run_dir));
	if (lock(k, run_dir, e) < 0 || make_dir(k, e) < 0)
		return e->code;
	signal(SIGPIPE, SIG_DFL);
	if (chdir("/") < 0)
		return err_set_sys(e, errno, "/");
	if (vm_kept_open_networks(k, e) < 0 || vm_kept_start_tpm(k, e) < 0)
		return e->code;
	if (user_is_given(&k->user) && user_become(&k->user) < 0)
		return err_set_sys(e, errno, "cannot become user %s", k->user.name);
	execv(k->argv.at[0], k->argv.at);
	return err_set_sys(e, errno, "%s cannot be run", k->argv.at[0]);
}
