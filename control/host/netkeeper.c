/*
 * The keeper: see netkeeper.h. It does what it does by itself and one after the other, so that no
 * attaching that was on its way when adit was killed comes behind the detaching. Like the guardian
 * it is forked from a process with open sockets and secrets, closes all descriptors first, and uses
 * only what is safe then.
 *
 * What it cannot detach is tried again for ten minutes, and said to syslog: adit may be gone by
 * then. SIGTERM leaves it one more try, so that a service that ends does not wait for it.
 *
 * Names come again (a VM that is kept has the same taps each time): there is one keeper of a name
 * at a time, so that none detaches what the next has attached.
 */
#include "control/host/netkeeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "control/host/tap.h"

enum {
	ANSWER_MAX = 600,
	LOOK_MS = 10000, /* between looks at the interface, whatever the kernel tells */
	SOON_MS = 1000,	 /* the same where the kernel tells nothing, or did not say */
	TRY_MS = 1000,	 /* before the second try to detach; then twice as long each time */
	TRIES = 10,
	NAME_MS = 8000, /* for the keeper before us to detach; what then attaches has its own */
	NAME_LOOK_MS = 50,
};

#define DIR "/run/adit"

static const char attached[] = "attached";

/* Held from before the attaching until after the detaching. */
struct name {
	int dir, fd; /* -1: none */
	char file[40];
};

/* ---- the child ---- */

enum presence { IS_THERE, HAS_GONE, UNKNOWN };

/* (the kernel may have had no memory for the question, or we no descriptor) */
static enum presence look(const char *interface, unsigned index)
{
	unsigned now = if_nametoindex(interface);

	if (now)
		return now == index ? IS_THERE : HAS_GONE;
	return errno == ENODEV ? HAS_GONE : UNKNOWN;
}

/* The kernel tells of each change of an interface; a look now and then makes up for what it had no
 * room to tell. */
static void await_end(const char *interface, unsigned index)
{
	struct sockaddr_nl links = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	enum presence it;
	char ignored[8192];

	if (fd >= 0 && bind(fd, (struct sockaddr *)&links, sizeof(links)) < 0)
		p.fd = -1;
	while ((it = look(interface, index)) != HAS_GONE) {
		poll(&p, 1, p.fd < 0 || it == UNKNOWN ? SOON_MS : LOOK_MS);
		while (p.fd >= 0 && (recv(fd, ignored, sizeof(ignored), 0) > 0 || errno == ENOBUFS))
			;
	}
	fd_close(&fd);
}

/* Whether a folder is ours, and nobody else's to write to. */
static bool is_ours(int dir)
{
	struct stat st;

	return dir >= 0 && fstat(dir, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid()) &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Locks the file of that name in dir, which goes when it is let go of; so what was locked may have
 * gone meanwhile. -1 with errno; EWOULDBLOCK: another has it. */
static int take_name(int dir, const char *name)
{
	struct stat st, now;

	for (;;) {
		int fd = openat(dir, name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
				0600);

		if (fd < 0)
			return -1;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			close(fd);
			errno = EWOULDBLOCK;
			return -1;
		}
		if (fstat(fd, &st) == 0 && fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_dev == now.st_dev && st.st_ino == now.st_ino)
			return fd;
		close(fd);
	}
}

/* Waits for the keeper of the interface of that name before. e: it has not ended its work. */
static void await_name(struct name *n, const char *interface, struct err *e)
{
	uint64_t until_ms = clock_ms() + NAME_MS;

	snprintf(n->file, sizeof(n->file), "net-%s.lock", interface);
	mkdir(DIR, 0700);
	n->dir = open(DIR, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	/* (without a folder of ours there is no lock, and the VM has its network all the same) */
	while (is_ours(n->dir)) {
		n->fd = take_name(n->dir, n->file);
		if (n->fd >= 0 || errno != EWOULDBLOCK)
			return;
		if (clock_ms() >= until_ms) {
			err_set(e, ERR_TIMEOUT,
				"the keeper of the interface %s before has not ended its work "
				"within %d s (see syslog)",
				interface, NAME_MS / 1000);
			return;
		}
		poll(NULL, 0, NAME_LOOK_MS);
	}
}

static void let_name_go(struct name *n)
{
	if (n->fd >= 0)
		unlinkat(n->dir, n->file, 0);
	fd_close(&n->fd);
	fd_close(&n->dir);
}

static void tell_syslog(const struct netport *p, const char *what, const struct err *e)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char line[1024], where[400];
	int len = snprintf(line, sizeof(line),
			   "<%d>adit: port %s of VM %.64s (job %s) cannot be taken from %s (%s): "
			   "%.300s",
			   LOG_DAEMON | LOG_ERR, p->interface, p->vm, p->job,
			   netport_text(p, where, sizeof(where)), what, e->text);

	if (fd >= 0)
		sendto(fd, line, (size_t)len, MSG_NOSIGNAL, (struct sockaddr *)&at, sizeof(at));
	fd_close(&fd);
}

/* Whether SIGTERM came in that time, or before. */
static bool is_told_to_end(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	return sigtimedwait(&term, NULL, &t) == SIGTERM;
}

/* Where the name is ours an interface that has it again is not attached yet, but waits for us. Once
 * only: what cannot be detached now is not to keep the next from its network. */
static void detach(const struct netport *p, struct name *name)
{
	unsigned wait_ms = TRY_MS;
	bool is_last = false;

	for (int i = 1; name->fd >= 0 || if_nametoindex(p->interface) == 0; i++) {
		struct err e = ERR_INIT;
		bool again;

		if (netport_detach(p, &again, &e) == 0)
			return;
		let_name_go(name);
		again = again && i < TRIES && !is_last;
		if (i == 1 || !again)
			tell_syslog(p, again ? "the first try" : "the last try", &e);
		if (!again)
			return;
		is_last = is_told_to_end(wait_ms);
		wait_ms *= 2;
	}
	/* (one of that name is there again: the VM was started anew, and has a keeper of its own)
	 */
}

static void keep(const struct netport *p, unsigned index, int fd)
{
	struct name name = {.dir = -1, .fd = -1};
	struct err e = ERR_INIT;
	char text[ANSWER_MAX];
	bool is_next;

	await_name(&name, p->interface, &e);
	is_next = !err_is_set(&e);
	if (is_next && netport_attach(p, &e) == 0 && p->kind == NETPORT_SCRIPT)
		tap_raise(p->interface, &e);
	if (err_is_set(&e))
		snprintf(text, sizeof(text), "%.599s", e.text);
	else
		snprintf(text, sizeof(text), "%s", attached);
	/* (nobody may be left who wants to know) */
	if (write(fd, text, strlen(text)) < 0)
		text[0] = 0;
	fd_close(&fd);
	if (is_next) {
		await_end(p->interface, index);
		detach(p, &name);
	}
	let_name_go(&name);
}

static void run_child(const struct netport *p, unsigned index, int fd)
{
	static const int ignored[] = {SIGINT, SIGHUP, SIGPIPE, SIGQUIT};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, act = {.sa_handler = SIG_DFL};
	int null = open("/dev/null", O_RDWR);
	sigset_t term;

	setsid();
	for (int sig = 1; sig < 32; sig++)
		sigaction(sig, &act, NULL);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		sigaction(ignored[i], &ignore, NULL);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM); /* (is_told_to_end) */
	sigprocmask(SIG_SETMASK, &term, NULL);
	prctl(PR_SET_NAME, "adit-netkeeper");
	/* It stays for as long as the VM does: no file system is to be held by it. */
	if (chdir("/") < 0)
		_exit(1);
	fd = fcntl(fd, F_DUPFD, 10);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	fd = dup3(fd, 3, O_CLOEXEC);
	if (syscall(SYS_close_range, 4u, ~0u, 0u) < 0)
		for (int i = 4; i < 65536; i++)
			close(i);
	keep(p, index, fd);
	_exit(0);
}

/* ---- the parent ---- */

int netkeeper_start(const struct netport *p, struct err *e)
{
	unsigned index = if_nametoindex(p->interface);
	int pipes[2] = {-1, -1};
	pid_t pid;

	if (!index || pipe2(pipes, O_CLOEXEC) < 0) {
		err_set_sys(e, errno, "the interface %s", p->interface);
		return -1;
	}
	/* Forked twice, so that nobody has to wait for it. */
	pid = fork();
	if (pid == 0) {
		if (fork() == 0)
			run_child(p, index, pipes[1]);
		_exit(0);
	}
	if (pid < 0)
		err_set_sys(e, errno, "the keeper of the interface %s cannot be started",
			    p->interface);
	else
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	fd_close(&pipes[1]);
	if (pid < 0)
		fd_close(&pipes[0]);
	else
		fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	return pipes[0];
}

int netkeeper_answer(int fd, const struct netport *p, struct err *e)
{
	char text[ANSWER_MAX], where[400];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = 0;
	if (strcmp(text, attached) == 0)
		return 0;
	return err_set(e, ERR_REFUSED, "%s cannot be put in %s on the destination: %s",
		       p->interface, netport_text(p, where, sizeof(where)),
		       n > 0 ? err_printable(text) : "its keeper has died");
}

int netkeeper_await(int fd, const struct netport *p, struct err *e)
{
	struct pollfd at = {.fd = fd, .events = POLLIN};

	if (poll(&at, 1, NETKEEPER_ANSWER_MS) > 0)
		netkeeper_answer(fd, p, e);
	else
		err_set(e, ERR_SYSTEM, "the keeper of the interface %s does not answer",
			p->interface);
	fd_close(&fd);
	return e->code;
}
