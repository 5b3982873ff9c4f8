/*
 * Processes: see proc.h. The child waits, before it becomes the program, until the
 * parent has told the guardian of it: had the parent died in between, nobody would
 * know of it. Owned by the job; one that was let go of stays in the list of all until
 * it has ended and was reaped.
 */
#include "control/host/proc.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/user.h"
#include "control/host/guardian.h"

struct proc {
	LIST_ENTRY(proc) all;
	struct event *ev;
	int pidfd;
	pid_t pid;
	proc_on_exit *on_exit; /* NULL: let go of; only to be reaped */
	void *ctx;
};

static LIST_HEAD(, proc) all = LIST_HEAD_INITIALIZER(all);

static void destroy(struct proc *p)
{
	LIST_REMOVE(p, all);
	if (p->ev)
		event_free(p->ev);
	fd_close(&p->pidfd);
	free(p);
}

static void on_pidfd(evutil_socket_t fd, short what, void *arg)
{
	struct proc *p = arg;
	int status = 0;

	(void)fd;
	(void)what;
	if (waitpid(p->pid, &status, WNOHANG) == 0)
		return;
	event_del(p->ev);
	if (!p->on_exit) {
		destroy(p);
		return;
	}
	p->pid = 0;
	p->on_exit(p->ctx, p, status);
}

/* All above 2 but first to end - 1. */
static void close_but(int first, int end)
{
	if (syscall(SYS_close_range, 3u, (unsigned)first - 1, 0u) == 0 &&
	    syscall(SYS_close_range, (unsigned)end, ~0u, 0u) == 0)
		return;
	for (int i = 3; i < 65536; i++)
		if (i < first || i >= end)
			close(i);
}

static void run_child(char *const *argv, const struct proc_io *io, const int go[2])
{
	struct sigaction act = {.sa_handler = SIG_DFL};
	sigset_t none;
	char word;
	const int from[3] = {io->in, io->out, io->err};
	const int keeps = (int)io->keep_count, end = PROC_KEEP_FIRST + keeps;
	int go_fd, null = open("/dev/null", O_RDWR), to[3], keep[PROC_KEEP_MAX];

	for (int sig = 1; sig < 32; sig++)
		sigaction(sig, &act, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	/* A bare file name in its words is not to find what lies where we were started. */
	if (chdir("/") < 0)
		_exit(127);
	close(go[1]); /* the parent's alone: its end is to be seen here */
	/* First out of the way of all the numbers that they are to have. */
	for (int i = 0; i < 3; i++)
		to[i] = fcntl(from[i] >= 0 ? from[i] : null, F_DUPFD, end);
	for (int i = 0; i < keeps; i++)
		keep[i] = fcntl(io->keep[i], F_DUPFD, end);
	go_fd = fcntl(go[0], F_DUPFD_CLOEXEC, end);
	for (int i = 0; i < 3; i++)
		dup2(to[i], i);
	if (read(go_fd, &word, 1) != 1)
		_exit(127); /* nobody is left who knows of us */
	for (int i = 0; i < keeps; i++)
		if (dup2(keep[i], PROC_KEEP_FIRST + i) < 0)
			_exit(127);
	close_but(PROC_KEEP_FIRST, end);
	if (io->no_core)
		setrlimit(RLIMIT_CORE, &(struct rlimit){0});
	if (io->user && user_is_given(io->user) && user_become(io->user) < 0) {
		dprintf(2, "cannot become user %s: %s\n", io->user->name, strerror(errno));
		_exit(127);
	}
	if (io->listens)
		listen(PROC_KEEP_FIRST, 1);
	execvp(argv[0], argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

struct proc *proc_start(struct event_base *base, char *const *argv, int log_fd,
			struct guardian *guardian, proc_on_exit *on_exit, void *ctx, struct err *e)
{
	const struct proc_io io = {.in = -1, .out = log_fd, .err = log_fd};

	return proc_start_io(base, argv, &io, guardian, on_exit, ctx, e);
}

struct proc *proc_start_io(struct event_base *base, char *const *argv, const struct proc_io *io,
			   struct guardian *guardian, proc_on_exit *on_exit, void *ctx,
			   struct err *e)
{
	struct proc *p = calloc(1, sizeof(*p));
	int go[2] = {-1, -1};
	int told = 0;

	if (io->keep_count > PROC_KEEP_MAX) {
		err_set(e, ERR_INTERNAL, "%s: too many descriptors", argv[0]);
		free(p);
		return NULL;
	}
	if (!p || pipe2(go, O_CLOEXEC) < 0) {
		err_set_sys(e, errno, "%s cannot be started", argv[0]);
		free(p);
		return NULL;
	}
	LIST_INSERT_HEAD(&all, p, all);
	p->pidfd = -1;
	p->on_exit = on_exit;
	p->ctx = ctx;
	p->pid = fork();
	if (p->pid == 0)
		run_child(argv, io, go);
	close(go[0]);
	if (p->pid < 0) {
		err_set_sys(e, errno, "%s cannot be started", argv[0]);
		goto fail;
	}
	p->pidfd = pidfd_open(p->pid, 0);
	p->ev = p->pidfd < 0 ? NULL : event_new(base, p->pidfd, EV_READ | EV_PERSIST, on_pidfd, p);
	if (!p->ev || event_add(p->ev, NULL) < 0) {
		err_set_sys(e, errno, "%s cannot be watched", argv[0]);
		goto fail;
	}
	told = !guardian || guardian_add_process(guardian, p->pid, e) == 0;
	if (told && write(go[1], "g", 1) == 1) {
		close(go[1]);
		return p;
	}
	if (told)
		err_set_sys(e, errno, "%s cannot be started", argv[0]);
fail:
	fd_close(&go[1]); /* without its word the child ends */
	if (p->pid > 0)
		waitpid(p->pid, NULL, 0);
	destroy(p);
	return NULL;
}

void proc_hand_over(struct proc *p, proc_on_exit *on_exit, void *ctx)
{
	p->on_exit = on_exit;
	p->ctx = ctx;
}

pid_t proc_pid(const struct proc *p)
{
	return p->pid;
}

void proc_free(struct proc *p)
{
	if (!p)
		return;
	p->on_exit = NULL;
	if (!p->pid)
		destroy(p);
}

void proc_kill(struct proc *p)
{
	if (p && p->pid)
		kill(p->pid, SIGKILL);
	proc_free(p);
}

char *proc_last_line(int fd, char *buf, size_t size)
{
	char text[4096], *end, *start;
	off_t len = lseek(fd, 0, SEEK_END);
	off_t from = len > (off_t)sizeof(text) - 1 ? len - (off_t)sizeof(text) + 1 : 0;
	ssize_t n = len < 0 ? -1 : pread(fd, text, sizeof(text) - 1, from);

	*buf = 0;
	if (n <= 0)
		return buf;
	text[n] = 0;
	end = text + n;
	while (end > text && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
		*--end = 0;
	start = strrchr(text, '\n');
	snprintf(buf, size, "%s", start ? start + 1 : text);
	return err_printable(buf);
}
