/* See run_child.h. No signal reaches the child before it is COMMAND: until then its handlers
 * would be ours. */
#include "cli/commands/run_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/common/inherited.h"

/* The child: reports why there is no COMMAND through the pipe, which exec closes. */
static void __attribute__((noreturn)) become(char *const *argv, char *const *envp, int report)
{
	int why;

	inherited_restore();
	execvpe(argv[0], argv, envp);
	why = errno;
	if (write(report, &why, sizeof(why)) < 0)
		_exit(RUN_CHILD_NOT_RUN);
	_exit(RUN_CHILD_NOT_FOUND);
}

pid_t run_child_start(char *const *argv, char *const *envp, int *status, struct err *e)
{
	int report[2], why = 0;
	sigset_t all, before;
	ssize_t n;
	pid_t pid;

	*status = EXIT_FAILURE;
	if (pipe2(report, O_CLOEXEC) < 0)
		return err_set_sys(e, errno, "no pipe"), -1;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		become(argv, envp, report[1]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	fd_close(&report[1]);
	if (pid < 0) {
		err_set_sys(e, errno, "no process");
		fd_close(&report[0]);
		return -1;
	}
	do
		n = read(report[0], &why, sizeof(why));
	while (n < 0 && errno == EINTR);
	fd_close(&report[0]);
	if (n != sizeof(why))
		return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	*status = why == ENOENT ? RUN_CHILD_NOT_FOUND : RUN_CHILD_NOT_RUN;
	if (why == ENOENT && !strchr(argv[0], '/'))
		err_set(e, ERR_CONFIG, "%s: not found", argv[0]);
	else
		err_set_sys(e, why, "%s", argv[0]);
	return -1;
}

int run_child_status(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
