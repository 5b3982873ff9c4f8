/* Commands: see command.h. A child of the program that was killed may keep its output open: what
 * ends the wait is the end of the program, and not that of its output. */
#include "base/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

enum { OUT, ERR, PIPES };
enum { CANNOT_RUN = 127 };

struct reading {
	int fd;
	char *buf;
	size_t size, len;
};

struct how {
	char *const *argv, *const *env;
	bool deaf;
};

static bool is_word_to_end(int sig)
{
	return sig == SIGTERM || sig == SIGINT || sig == SIGHUP;
}

static void run_child(const struct how *how, int out, int err)
{
	struct sigaction act = {.sa_handler = SIG_DFL}, ignore = {.sa_handler = SIG_IGN};
	char *const *argv = how->argv;
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	for (int sig = 1; sig < 32; sig++)
		sigaction(sig, how->deaf && is_word_to_end(sig) ? &ignore : &act, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	/* (first above all that they are to be) */
	null = fcntl(null, F_DUPFD, 3);
	out = fcntl(out, F_DUPFD, 3);
	err = fcntl(err, F_DUPFD, 3);
	if (dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 || chdir("/") < 0)
		_exit(CANNOT_RUN);
	if (syscall(SYS_close_range, 3u, ~0u, 0u) < 0)
		for (int i = 3; i < 65536; i++)
			close(i);
	if (how->env)
		execvpe(argv[0], argv, how->env);
	else
		execvp(argv[0], argv);
	err = errno;
	dprintf(2, "%s\n", strerror(err));
	_exit(CANNOT_RUN);
}

static bool has_room(const struct reading *r)
{
	return r->len < r->size - 1;
}

/* Reads once: what writes for ever is not to keep us from the clock. What there is no room for is
 * thrown away. As read returns it. */
static ssize_t take(struct reading *r)
{
	char rest[4096];
	bool room = has_room(r);
	ssize_t n =
	    read(r->fd, room ? r->buf + r->len : rest, room ? r->size - 1 - r->len : sizeof(rest));

	if (n > 0 && room)
		r->len += (size_t)n;
	return n;
}

/* What is left of one that has ended; a child of its may write on. */
static void take_rest(struct reading *r)
{
	while (has_room(r) && take(r) > 0)
		;
}

/* Until it has ended, or until_ms. */
static bool await(int pidfd, struct reading *pipes, uint64_t until_ms)
{
	struct pollfd p[PIPES + 1] = {
	    {pipes[OUT].fd, POLLIN, 0}, {pipes[ERR].fd, POLLIN, 0}, {pidfd, POLLIN, 0}};

	for (;;) {
		uint64_t now_ms = clock_ms();
		int n = poll(p, PIPES + 1, now_ms < until_ms ? (int)(until_ms - now_ms) : 0);
		bool ended = n > 0 && p[PIPES].revents;

		for (int i = 0; i < PIPES; i++)
			if (n > 0 && p[i].fd >= 0 && p[i].revents && take(&pipes[i]) == 0)
				p[i].fd = -1;
		for (int i = 0; i < PIPES && ended; i++)
			take_rest(&pipes[i]);
		if (ended)
			return true;
		if ((n < 0 && errno != EINTR) || clock_ms() >= until_ms)
			return false;
	}
}

static void first_line(char *text)
{
	size_t skip = strspn(text, "\r\n \t");

	memmove(text, text + skip, strlen(text + skip) + 1);
	text[strcspn(text, "\r\n")] = 0;
	err_printable(text);
}

static int say(const char *name, int status, unsigned limit_ms, bool ended, const char *line,
	       struct err *e)
{
	/* (SIGALRM: it had a limit of its own, and no other word) */
	if (!ended || (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM))
		return err_set(e, ERR_SYSTEM, "%s did not end within %u s", name, limit_ms / 1000);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_RUN)
		return err_set(e, ERR_SYSTEM, "%s cannot be run%s%s", name, *line ? ": " : "",
			       line);
	if (WIFSIGNALED(status) && !*line)
		return err_set(e, ERR_SYSTEM, "%s ended by signal %d (%s)", name, WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	if (WIFSIGNALED(status) || WEXITSTATUS(status) != 0) {
		if (!*line)
			return err_set(e, ERR_CLOSED, "%s ended with status %d", name,
				       WEXITSTATUS(status));
		/* Many name themselves. */
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			return err_set(e, ERR_CLOSED, "%s", line);
		return err_set(e, ERR_CLOSED, "%s: %s", name, line);
	}
	return 0;
}

/* 0; -1 with errno, and *pid where it runs all the same. */
static int start(const struct how *how, int pipes[PIPES][2], int *pidfd, pid_t *pid)
{
	for (int i = 0; i < PIPES; i++)
		if (pipe2(pipes[i], O_CLOEXEC | O_NONBLOCK) < 0)
			return -1;
	/* (only our ends are not to wait) */
	for (int i = 0; i < PIPES; i++)
		fcntl(pipes[i][1], F_SETFL, 0);
	*pid = fork();
	if (*pid == 0)
		run_child(how, pipes[OUT][1], pipes[ERR][1]);
	for (int i = 0; i < PIPES; i++)
		fd_close(&pipes[i][1]);
	if (*pid < 0)
		return -1;
	*pidfd = pidfd_open(*pid, 0);
	return *pidfd < 0 ? -1 : 0;
}

static void end_now(pid_t pid)
{
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL); /* it may have no session yet */
}

static int run(const struct how *how, unsigned limit_ms, struct command_said *said, struct err *e)
{
	int pipes[PIPES][2] = {{-1, -1}, {-1, -1}}, pidfd = -1, status = 0;
	struct reading from[PIPES];
	bool ended = false;
	pid_t pid = -1;

	memset(said, 0, sizeof(*said));
	said->status = -1;
	if (start(how, pipes, &pidfd, &pid) < 0) {
		err_set_sys(e, errno, "%s cannot be %s", how->argv[0], pid > 0 ? "watched" : "run");
	} else {
		from[OUT] = (struct reading){pipes[OUT][0], said->out, sizeof(said->out), 0};
		from[ERR] = (struct reading){pipes[ERR][0], said->err, sizeof(said->err), 0};
		ended = await(pidfd, from, clock_ms() + limit_ms);
	}
	if (pid > 0 && !ended)
		end_now(pid);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (ended && WIFEXITED(status))
		said->status = WEXITSTATUS(status);
	if (ended && WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM)
		said->signal = WTERMSIG(status);
	first_line(said->err);
	if (!err_is_set(e))
		say(how->argv[0], status, limit_ms, ended, said->err, e);
	for (int i = 0; i < PIPES; i++) {
		fd_close(&pipes[i][0]);
		fd_close(&pipes[i][1]);
	}
	fd_close(&pidfd);
	return e->code;
}

int command_run(char *const *argv, char *const *env, unsigned limit_ms, struct command_said *said,
		struct err *e)
{
	return run(&(struct how){.argv = argv, .env = env}, limit_ms, said, e);
}

int command_run_deaf(char *const *argv, char *const *env, unsigned limit_ms,
		     struct command_said *said, struct err *e)
{
	return run(&(struct how){.argv = argv, .env = env, .deaf = true}, limit_ms, said, e);
}
