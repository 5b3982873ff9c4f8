/*
 * The twin's TPM (swtpm), started before it and as the user who runs it. It ends with the twin: it
 * has one client, and ends when that goes. Its state comes with the twin's devices; the folder for
 * it is the guardian's until the decision, as the process is.
 */
#include "control/destination/arrival_i.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/user.h"
#include "control/host.h"

/* What was just made there, ours and empty: nothing that somebody has put in its place. */
static int give_state(const char *dir, const struct user *u, struct err *e)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	struct stat st;

	if (!d) {
		err_set_sys(e, errno, "the folder %s for the VM's TPM", dir);
		fd_close(&fd);
		return e->code;
	}
	errno = 0;
	do
		entry = readdir(d);
	while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	if (entry || errno || fstat(fd, &st) < 0 || st.st_uid != geteuid())
		err_set(e, ERR_REFUSED, "the folder %s for the VM's TPM is not the one just made",
			dir);
	else if (fchown(fd, u->uid, u->gid) < 0)
		err_set_sys(e, errno, "%s cannot be given to user %s (--launch-user)", dir,
			    u->name);
	closedir(d);
	return e->code;
}

int arrival_tpm_make_state(struct arrival *a, struct err *e)
{
	const struct user *u = &a->rights->launch_user;
	const char *dir = a->twin.tpm.dir;
	struct stat st;

	/* Another VM's, perhaps: nobody is told to remove it. */
	if (lstat(dir, &st) == 0)
		return err_set(e, ERR_REFUSED, "%s, where the VM's TPM is to be, is there already",
			       dir);
	if (guardian_add_dir(a->guardian, dir, e) < 0)
		return e->code;
	if (mkdir(dir, 0700) < 0) {
		err_set_sys(e, errno, "the folder %s for the VM's TPM cannot be made", dir);
		guardian_forget_dir(a->guardian, dir, NULL);
		return e->code;
	}
	return user_is_given(u) ? give_state(dir, u, e) : 0;
}

int arrival_tpm_start(struct arrival *a, struct err *e)
{
	char state[sizeof(a->twin.tpm.dir) + 20], ctrl[40];
	const char *argv[] = {a->twin.tpm.program,
			      "socket",
			      "--tpmstate",
			      state,
			      "--ctrl",
			      ctrl,
			      "--terminate",
			      a->twin.tpm.v12 ? NULL : "--tpm2",
			      NULL},
		   *const *from = argv;
	struct proc_io io = {.in = -1,
			     .out = a->qemu.log_fd,
			     .err = a->qemu.log_fd,
			     .user = &a->rights->launch_user,
			     .keep_count = 1,
			     .listens = true,
			     .no_core = true};
	struct proc *p;
	int fd;

	if (!a->twin.tpm.program)
		return 0;
	if (arrival_tpm_make_state(a, e) < 0 ||
	    (fd = tpm_listen(a->twin.tpm.socket, &a->rights->launch_user, e)) < 0)
		return e->code;
	io.keep = &fd;
	snprintf(state, sizeof(state), "dir=%s,mode=0600", a->twin.tpm.dir);
	snprintf(ctrl, sizeof(ctrl), "type=unixio,fd=%d", PROC_KEEP_FIRST);
	p = proc_start_io(a->service->base, (char *const *)(uintptr_t)from, &io, a->guardian, NULL,
			  NULL, e);
	close(fd);
	if (!p)
		return e->code;
	log_info(&a->about, "started %s, pid %d, for the VM's TPM", a->twin.tpm.program,
		 (int)proc_pid(p));
	proc_free(p); /* it lives as long as its client */
	return 0;
}
