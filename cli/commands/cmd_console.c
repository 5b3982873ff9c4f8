/* adit console: the serial console of a VM that adit launched on this host. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/strvec.h"
#include "cli/commands.h"
#include "cli/commands/vms_here.h"
#include "cli/common/options.h"
#include "control/vm.h"

static const char help[] =
    "usage: adit console NAME [CHARDEV] [--run-dir DIR]\n"
    "\n"
    "Joins this terminal with the serial console of the VM called NAME, which adit launched\n"
    "on this host; Ctrl-] ends that. CHARDEV is another of its sockets: serial1, monitor, or\n"
    "the id of a -chardev; adit vms NAME lists them. One terminal at a time: a second one\n"
    "waits in silence.\n"
    "\n" VMS_HELP_RUN_DIR "  -h, --help          this text\n";

enum { ESCAPE = 0x1d /* Ctrl-], as of telnet and virsh */, BUFFER = 4096 };

static struct termios before;
static int is_raw;

static void cook(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	is_raw = 0;
}

static void on_signal(int sig)
{
	cook();
	_exit(128 + sig);
}

static void make_raw(void)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return;
	t = before;
	cfmakeraw(&t);
	is_raw = 1;
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);
	signal(SIGINT, on_signal);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &t);
}

/* What CHARDEV may be in dir, to names: its sockets and logs but the monitor of adit's own; the
 * part of the file's name before .sock or .log, without "chardev-". */
static void list(const char *dir, const char *suffix, struct strvec *names)
{
	DIR *d = opendir(dir);
	struct dirent *item;

	while (d && (item = readdir(d))) {
		const char *name = item->d_name, *dot = strrchr(name, '.');

		if (!dot || strcmp(dot, suffix) != 0 || strcmp(name, "qmp.sock") == 0 ||
		    strcmp(name, "vnc.sock") == 0 || strcmp(name, "qemu.log") == 0)
			continue;
		if (strncmp(name, "chardev-", 8) == 0)
			name += 8;
		strvec_pushf(names, "%.*s", (int)(dot - name), name);
	}
	if (d)
		closedir(d);
}

static const char *first_with(const struct strvec *names, const char *part)
{
	for (size_t i = 0; i < names->count; i++)
		if (strstr(names->at[i], part))
			return names->at[i];
	return NULL;
}

/* The one that is meant; NULL with *e. */
static const char *choose(const char *vm, const char *dir, const char *wanted,
			  const struct strvec *socks, struct err *e)
{
	const char *found = NULL;
	struct strvec logs = {0};

	for (size_t i = 0; i < socks->count; i++)
		if (strcmp(socks->at[i], wanted ? wanted : "serial0") == 0)
			return socks->at[i];
	if (!wanted && !(found = first_with(socks, "serial")))
		found = first_with(socks, "console");
	if (found)
		return found;
	list(dir, ".log", &logs);
	found = first_with(&logs, wanted ? wanted : "serial");
	if (found)
		err_set(e, ERR_REFUSED, "%s of VM %s writes to a file: tail -f %s/*%s.log", found,
			vm, dir, found);
	else if (wanted)
		err_set(e, ERR_REFUSED, "VM %s has no socket \"%s\"; adit vms %s lists what it has",
			vm, wanted, vm);
	else
		err_set(e, ERR_REFUSED,
			"VM %s has no serial console; adit vms %s lists what it has", vm, vm);
	strvec_fini(&logs);
	return NULL;
}

/* A connection to it, which is to be the VM's own: the folder may be another user's. -1 with *e. */
static int join(const char *dir, const char *name, pid_t pid, struct err *e)
{
	static const char *const before_name[] = {"", "chardev-"};
	char path[4096];
	pid_t its;
	int fd = -1;

	for (size_t i = 0; i < 2 && fd < 0; i++) {
		snprintf(path, sizeof(path), "%s/%s%s.sock", dir, before_name[i], name);
		fd = fd_connect_unix(path);
		if (fd < 0 && errno != ENOENT)
			break;
	}
	if (fd < 0)
		return err_set_sys(e, errno, "%s", path);
	if (fd_peer(fd, NULL, &its) < 0 || its != pid) {
		close(fd);
		return err_set(e, ERR_REFUSED, "%s is not a socket of process %d", path, (int)pid);
	}
	return fd;
}

/* As much as there is, from one to the other. Bytes, 0 at the end, -1 for nothing now. */
static ssize_t pass(int from, int to, int escape)
{
	char buf[BUFFER];
	ssize_t n = read(from, buf, sizeof(buf));
	char *end;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -1 : 0;
	if (escape && n > 0 && (end = memchr(buf, ESCAPE, (size_t)n))) {
		fd_write_all(to, buf, (size_t)(end - buf));
		return 0;
	}
	if (n > 0 && fd_write_all(to, buf, (size_t)n) < 0)
		return 0;
	return n;
}

/* Until the escape is typed, or one of the two ends; at the end of what is no terminal the VM is
 * still heard. */
static void talk(int fd)
{
	struct pollfd at[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
			       {.fd = fd, .events = POLLIN}};

	while (poll(at, 2, -1) >= 0 || errno == EINTR) {
		if (at[1].revents && pass(fd, STDOUT_FILENO, 0) == 0)
			return;
		if (at[0].revents && pass(STDIN_FILENO, fd, is_raw) == 0) {
			if (is_raw)
				return;
			at[0].fd = -1;
		}
	}
}

static int console(const char *run_dir, const char *name, const char *wanted, struct err *e)
{
	json_t *all = vms_here(run_dir, e), *vm = all ? vms_here_find(all, name, e) : NULL;
	struct strvec socks = {0};
	const char *chosen = NULL;
	int fd = -1;

	if (vm) {
		list(json_text(vm, "dir"), ".sock", &socks);
		chosen = choose(name, json_text(vm, "dir"), wanted, &socks, e);
	}
	if (chosen)
		fd = join(json_text(vm, "dir"), chosen, (pid_t)json_number(vm, "pid"), e);
	if (fd >= 0) {
		int flags = fcntl(fd, F_GETFL);

		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK); /* both sides are waited for by poll */
		if (isatty(STDIN_FILENO)) {
			fprintf(stderr, "%s of VM %s; Ctrl-] ends\r\n", chosen, name);
			make_raw();
		}
		talk(fd);
		cook();
		close(fd);
	}
	strvec_fini(&socks);
	json_decref(all);
	return fd < 0 ? e->code : 0;
}

struct words {
	const char *run_dir;
};

static int take(void *ctx, int c, const char *value, struct err *e)
{
	struct words *w = ctx;

	(void)c;
	(void)e;
	w->run_dir = value;
	return 0;
}

int cmd_console(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"run-dir", required_argument, NULL, VMS_OPTION_RUN_DIR},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0}};
	struct options o = {
	    .command = "console", .argc = argc, .argv = argv, .shorts = ":h", .longs = longs};
	struct err e = ERR_INIT;
	struct words w = {0};
	const char *name;
	int status = options_take(&o, help, take, &w);

	if (status >= 0)
		return status;
	name = optind < argc ? argv[optind++] : NULL;
	if (!name || !*name)
		return usage_error("console", "NAME is missing; adit vms lists them");
	if (optind + 1 < argc)
		return usage_error("console", "NAME and one CHARDEV, not also \"%s\"",
				   argv[optind + 1]);
	if (console(w.run_dir, name, optind < argc ? argv[optind] : NULL, &e) < 0)
		return usage_fail("console", &e);
	return EXIT_SUCCESS;
}
