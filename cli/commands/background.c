/*
 * Leaving the terminal: see background.h. The child stays in the terminal's
 * process group until it is ready, so that Ctrl-C ends both; what it writes to
 * standard error until then is seen by whoever started it.
 */
#include "cli/commands/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* The parent: waits until the child is ready or gone. */
static void __attribute__((noreturn)) wait_for_child(pid_t child, int fd)
{
	int status;
	ssize_t n;
	char c;

	do
		n = read(fd, &c, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(EXIT_SUCCESS);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			_exit(EXIT_FAILURE);
	/* 0 means that it was told to end before it was ready. */
	_exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

int background_fork(struct background *b, struct err *e)
{
	int pipefd[2];
	pid_t child;

	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return err_set_sys(e, errno, "--background: no pipe");
	child = fork();
	if (child < 0) {
		err_set_sys(e, errno, "--background: no process");
		close(pipefd[0]);
		close(pipefd[1]);
		return e->code;
	}
	if (child > 0) {
		close(pipefd[1]);
		wait_for_child(child, pipefd[0]);
	}
	close(pipefd[0]);
	b->ready_fd = pipefd[1];
	return 0;
}

int background_write_pid(struct background *b, const char *file, struct err *e)
{
	char text[32];
	int n;

	b->pid_fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (b->pid_fd < 0)
		return err_set_sys(e, errno, "--pid-file %s", file);
	if (flock(b->pid_fd, LOCK_EX | LOCK_NB) < 0) {
		fd_close(&b->pid_fd);
		return err_set(e, ERR_CONFIG,
			       "--pid-file %s: a running adit has it; end that one, or choose "
			       "another file",
			       file);
	}
	n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(b->pid_fd, 0) < 0 || write(b->pid_fd, text, (size_t)n) != n) {
		err_set_sys(e, errno, "--pid-file %s", file);
		fd_close(&b->pid_fd);
		return e->code;
	}
	/* Absolute, since the directory changes; if that cannot be had, it stays. */
	b->pid_file = realpath(file, NULL);
	return 0;
}

void background_ready(struct background *b)
{
	struct stat st;
	int null;

	if (b->ready_fd < 0)
		return;
	setsid();
	/* No file system is kept from being unmounted. */
	if (chdir("/") < 0)
		errno = 0;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		if (fstat(STDERR_FILENO, &st) < 0 || !S_ISREG(st.st_mode))
			dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	/* If the parent has gone meanwhile, nobody waits for the word. */
	if (write(b->ready_fd, "", 1) < 0)
		errno = 0;
	fd_close(&b->ready_fd);
}

void background_fini(struct background *b)
{
	if (b->pid_file)
		unlink(b->pid_file);
	free(b->pid_file);
	b->pid_file = NULL;
	fd_close(&b->pid_fd);
	fd_close(&b->ready_fd);
}
