/*
 * The guardian: see guardian.h. The parent writes records into a pipe, each a letter
 * and a text ended by NUL, and the child keeps them until the pipe closes: with C
 * (commit) before it, it just ends; without, it undoes all, the last first, but for
 * what a K (keep) took back.
 *
 * The child is forked from a process with open sockets and secrets: the first thing
 * that it does is to close all descriptors but the pipe. It uses only what is safe
 * after fork in a process with threads (open, read, kill, unlink, ...); its own memory
 * is fixed, and that of readdir comes from glibc's malloc, which fork leaves whole in
 * the child.
 */
#include "control/host/guardian.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/process.h"
#include "control/talk.h"

enum {
	RECORDS_MAX = 512 * 1024, /* bytes of all records of a job */
	GONE_MS = 3000,		  /* how long the child waits for a process that it has killed */
	HOOK_MS = 20000,	  /* and for the launch hook to undo */
};

struct guardian {
	int fd;		  /* our end: records go in */
	int done;	  /* reads EOF when the child has ended */
	pid_t pid;	  /* of the intermediate's child; not ours to wait for */
	struct event *ev; /* once it undoes: done */
	guardian_on_undone *fn;
	void *ctx;
};

/* ---- the child ---- */

static char records[RECORDS_MAX];

static void kill_process(const char *text)
{
	unsigned long long when = 0;
	int pid = 0;
	uint64_t until_ms = clock_ms() + GONE_MS;

	if (sscanf(text, "%d %llu", &pid, &when) != 2 || pid <= 1 || when == 0 ||
	    process_started(pid) != when)
		return;
	kill(pid, SIGKILL);
	/* What it has open is in use until it is really gone. */
	while (process_started(pid) == when && clock_ms() < until_ms)
		usleep(10000);
}

/* "PROGRAM\nFILE": PROGRAM undo, with FILE as its standard input. */
static void run_hook(const char *text)
{
	struct sigaction act = {.sa_handler = SIG_DFL};
	const char *file = strchr(text, '\n');
	char program[4096];
	char *argv[] = {program, (char[]){"undo"}, NULL};
	pid_t pid;

	if (!file || (size_t)(file - text) >= sizeof(program))
		return;
	memcpy(program, text, (size_t)(file - text));
	program[file - text] = 0;
	pid = fork();
	if (pid == 0) {
		int in = open(file + 1, O_RDONLY);

		setsid();
		for (int sig = 1; sig < 32; sig++)
			sigaction(sig, &act, NULL);
		if (in < 0 || dup2(in, 0) < 0)
			_exit(127);
		/* Whoever waits for the guardian's end is not to wait for what this starts. */
		if (syscall(SYS_close_range, 3u, ~0u, 0u) < 0)
			for (int i = 3; i < 65536; i++)
				close(i);
		execv(program, argv);
		_exit(127);
	}
	for (int i = 0; pid > 0 && i < HOOK_MS / 10; i++) {
		if (waitpid(pid, NULL, WNOHANG) != 0)
			return;
		usleep(10000);
	}
	if (pid > 0 && kill(pid, SIGKILL) == 0)
		waitpid(pid, NULL, 0);
}

/* Whether all that is listed has gone: its record in the journal stays for what has not. */
static bool all_gone = true;

/* An inode: "DEVICE:INODE "; 0:0: not known. Returns what follows. */
static const char *read_id(const char *text, unsigned long long *dev, unsigned long long *ino)
{
	char *end;

	*dev = strtoull(text, &end, 10);
	*ino = *end == ':' ? strtoull(end + 1, &end, 10) : 0;
	return *end == ' ' ? end + 1 : end;
}

static bool is_it(const struct stat *st, unsigned long long dev, unsigned long long ino)
{
	return (!dev && !ino) || (st->st_dev == dev && st->st_ino == ino);
}

/* Whether name in the open folder is the file that was made at path: what an I among the records
 * from at on tells of it. Without one there was none before, and it is what was made. */
static bool is_made(int parent, const char *name, const char *path, size_t at, size_t len)
{
	unsigned long long dev = 0, ino = 0;
	struct stat st;

	for (; at < len; at += strlen(records + at) + 1)
		if (records[at] == 'I' && strcmp(read_id(records + at + 1, &dev, &ino), path) == 0)
			return fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			       is_it(&st, dev, ino);
	return true;
}

/* "DEVICE:INODE PATH", of the folder that path is in: where another one, or a link, is in its
 * place, nothing there is the job's. True when nothing is left. */
static bool remove_path(char kind, const char *text, size_t at, size_t len)
{
	unsigned long long dev, ino;
	const char *path = read_id(text, &dev, &ino), *name;
	int parent = dir_open_parent(path, &name);
	struct stat st;
	bool gone;

	if (parent < 0)
		return errno == ENOENT || errno == ENOTDIR;
	if (fstat(parent, &st) < 0)
		gone = false;
	else if (!is_it(&st, dev, ino))
		gone = true;
	else if (kind == 'D')
		gone = dir_remove_at(parent, name, NULL) == 0;
	else
		gone = !is_made(parent, name, path, at, len) || unlinkat(parent, name, 0) == 0 ||
		       errno == ENOENT;
	fd_close(&parent);
	return gone;
}

/* The record that begins there, and those after it, to len. */
static void undo_one(size_t start, size_t at, size_t len)
{
	const char *record = records + start;

	if (record[0] == 'P')
		kill_process(record + 1);
	else if (record[0] == 'F' || record[0] == 'D')
		all_gone = remove_path(record[0], record + 1, at, len) && all_gone;
	else if (record[0] == 'H')
		run_hook(record + 1);
	else if (record[0] == 'J' && all_gone)
		journal_settle(record + 1);
}

/* Whether a later record, from at on, takes this one back: "K", its kind and its path. */
static bool is_forgotten(const char *record, size_t at, size_t len)
{
	unsigned long long dev, ino;

	if (record[0] != 'F' && record[0] != 'D')
		return false;
	for (; at < len; at += strlen(records + at) + 1)
		if (records[at] == 'K' && records[at + 1] == record[0] &&
		    strcmp(records + at + 2, read_id(record + 1, &dev, &ino)) == 0)
			return true;
	return false;
}

/* From the last to the first: a process before the files that it has open. */
static void undo_all(size_t len)
{
	size_t end = len;

	while (end > 0) {
		size_t start = end - 1; /* at the NUL of the last record */

		while (start > 0 && records[start - 1] != 0)
			start--;
		if (!is_forgotten(records + start, end, len))
			undo_one(start, end, len);
		end = start;
	}
}

static void child(int fd)
{
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(records) - 1) {
		n = read(fd, records + len, sizeof(records) - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	/* A record that was cut by the parent's death is no record. */
	while (len > 0 && records[len - 1] != 0)
		len--;
	if (len >= 2 && records[len - 2] == 'C' && (len == 2 || records[len - 3] == 0))
		return;
	undo_all(len);
}

/* Moves fd and done out of the way and closes every other descriptor. */
static void close_others(int *fd, int *done)
{
	int null = open("/dev/null", O_RDWR);

	for (int i = 0; i < 3; i++)
		dup2(null, i);
	*fd = dup2(*fd, 3) == 3 ? 3 : *fd;
	*done = dup2(*done, 4) == 4 ? 4 : *done;
	if (syscall(SYS_close_range, 5u, ~0u, 0u) < 0)
		for (int i = 5; i < 65536; i++)
			close(i);
}

static void run_child(int fd, int done)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	pid_t self = getpid();
	sigset_t none;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	sigaction(SIGTERM, &ignore, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	prctl(PR_SET_NAME, "adit-guardian");
	/* Above both pipes' present numbers, so that dup2 does not close one of them. */
	fd = fcntl(fd, F_DUPFD, 10);
	done = fcntl(done, F_DUPFD, 10);
	close_others(&fd, &done);
	/* From here on what ends the parent, or its whole group, does not end us. */
	if (write(done, &self, sizeof(self)) != sizeof(self))
		_exit(1);
	child(fd);
	_exit(0);
}

/* ---- the parent ---- */

struct guardian *guardian_new(struct err *e)
{
	struct guardian *g = calloc(1, sizeof(*g));
	int down[2] = {-1, -1}, up[2] = {-1, -1};
	ssize_t n;
	pid_t pid;

	if (!g || pipe2(down, O_CLOEXEC) < 0 || pipe2(up, O_CLOEXEC) < 0) {
		err_set_sys(e, errno, "the guardian of the job cannot be started");
		goto fail;
	}
	/* Forked twice, so that nobody has to wait for it. */
	pid = fork();
	if (pid < 0) {
		err_set_sys(e, errno, "the guardian of the job cannot be started");
		goto fail;
	}
	if (pid == 0) {
		if (fork() == 0)
			run_child(down[0], up[1]);
		_exit(0);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	fd_close(&down[0]);
	fd_close(&up[1]);
	/* Nothing is made before it stands on its own feet. */
	while ((n = read(up[0], &g->pid, sizeof(g->pid))) < 0 && errno == EINTR)
		;
	if (n != sizeof(g->pid)) {
		err_set(e, ERR_SYSTEM, "the guardian of the job did not start");
		goto fail;
	}
	g->fd = down[1];
	g->done = up[0];
	return g;
fail:
	for (int i = 0; i < 2; i++) {
		fd_close(&down[i]);
		fd_close(&up[i]);
	}
	free(g);
	return NULL;
}

/* Pipes take up to PIPE_BUF bytes at once or not at all; a path is within that. */
static int tell(struct guardian *g, char kind, const char *text, struct err *e)
{
	char record[4096];
	int len = snprintf(record, sizeof(record), "%c%s", kind, text);

	if (len < 0 || (size_t)len >= sizeof(record) - (kind != 'K'))
		return err_set(e, ERR_LIMIT, "the path %.60s... is too long", text);
	if (write(g->fd, record, (size_t)len + 1) != len + 1)
		return err_set_sys(e, errno, "the guardian of the job does not answer");
	return 0;
}

static int tell_path(struct guardian *g, char kind, const struct stat *st, const char *path,
		     struct err *e)
{
	char text[4096];
	int len = snprintf(text, sizeof(text), "%llu:%llu %s", (unsigned long long)st->st_dev,
			   (unsigned long long)st->st_ino, path);

	if (len < 0 || (size_t)len >= sizeof(text))
		return err_set(e, ERR_LIMIT, "the path %.60s... is too long", path);
	return tell(g, kind, text, e);
}

/* With the folder that it is in; where there is none nothing can be made. */
static int add(struct guardian *g, char kind, const char *path, struct err *e)
{
	struct stat st = {0};
	const char *name;
	int parent = dir_open_parent(path, &name);

	if (parent >= 0 && fstat(parent, &st) < 0)
		st.st_dev = st.st_ino = 0;
	fd_close(&parent);
	return tell_path(g, kind, &st, path, e);
}

int guardian_add_file(struct guardian *g, const char *path, struct err *e)
{
	return add(g, 'F', path, e);
}

int guardian_made_file(struct guardian *g, const char *path, int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set_sys(e, errno, "%s cannot be looked at", path);
	return tell_path(g, 'I', &st, path, e);
}

int guardian_add_dir(struct guardian *g, const char *path, struct err *e)
{
	return add(g, 'D', path, e);
}

/* Takes the record of kind and path back. */
static int forget(struct guardian *g, char kind, const char *path, struct err *e)
{
	char text[4096];

	if (!g)
		return 0;
	snprintf(text, sizeof(text), "%c%s", kind, path);
	return tell(g, 'K', text, e);
}

int guardian_forget_file(struct guardian *g, const char *path, struct err *e)
{
	return forget(g, 'F', path, e);
}

int guardian_forget_dir(struct guardian *g, const char *path, struct err *e)
{
	return forget(g, 'D', path, e);
}

int guardian_add_hook(struct guardian *g, const char *program, const char *file, struct err *e)
{
	char text[4096];

	snprintf(text, sizeof(text), "%s\n%s", program, file);
	return tell(g, 'H', text, e);
}

int guardian_add_process(struct guardian *g, pid_t pid, struct err *e)
{
	char text[64];

	snprintf(text, sizeof(text), "%d %llu", (int)pid, process_started(pid));
	return tell(g, 'P', text, e);
}

int guardian_add_record(struct guardian *g, const char *path, struct err *e)
{
	return tell(g, 'J', path, e);
}

pid_t guardian_pid(const struct guardian *g)
{
	return g->pid;
}

static void destroy(struct guardian *g)
{
	if (g->ev)
		event_free(g->ev);
	fd_close(&g->fd);
	fd_close(&g->done);
	free(g);
}

void guardian_commit(struct guardian *g)
{
	if (!g)
		return;
	tell(g, 'C', "", NULL);
	destroy(g);
}

static void on_done(evutil_socket_t fd, short what, void *ctx)
{
	struct guardian *g = ctx;
	guardian_on_undone *fn = g->fn;
	void *fn_ctx = g->ctx;

	(void)fd;
	(void)what;
	destroy(g);
	fn(fn_ctx);
}

int guardian_undo(struct guardian *g, struct event_base *base, guardian_on_undone *fn, void *ctx)
{
	fd_close(&g->fd); /* the word for it */
	g->fn = fn;
	g->ctx = ctx;
	/* Nothing more is written there but the end. */
	g->ev = event_new(base, g->done, EV_READ, on_done, g);
	if (g->ev && event_add(g->ev, NULL) == 0)
		return 0;
	destroy(g);
	return ERR_SPACE;
}

void guardian_leave(struct guardian *g)
{
	if (g)
		destroy(g);
}
