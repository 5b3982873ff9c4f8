/* Processes of ours: real ones, on a real loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "control/host/guardian.h"
#include "control/host/proc.h"

enum { WAIT_MS = 30000 };

struct seen {
	struct event_base *base;
	int ends, status;
	int free_in_it;
};

static void on_exit_of(void *ctx, struct proc *p, int status)
{
	struct seen *s = ctx;

	s->ends++;
	s->status = status;
	if (s->free_in_it)
		proc_free(p);
	event_base_loopbreak(s->base);
}

static void wait_end(struct seen *s)
{
	uint64_t until_ms = clock_ms() + WAIT_MS;

	while (!s->ends && clock_ms() < until_ms) {
		event_base_loop(s->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		usleep(1000);
	}
	assert_int_equal(s->ends, 1);
}

static void turn(struct seen *s, unsigned ms)
{
	uint64_t until_ms = clock_ms() + ms;

	while (clock_ms() < until_ms) {
		event_base_loop(s->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		usleep(1000);
	}
}

static struct proc *shell(struct seen *s, const char *script, int log_fd, struct guardian *g)
{
	char *const argv[] = {"sh", "-c", (char *)(uintptr_t)script, NULL};
	struct err e = ERR_INIT;
	struct proc *p = proc_start(s->base, argv, log_fd, g, on_exit_of, s, &e);

	if (!p)
		fail_msg("%s", e.text);
	return p;
}

static void test_proc_tells_how_it_ended(void **state)
{
	struct seen s = {.base = event_base_new(), .free_in_it = 1};
	int log_fd = memfd_create("log", MFD_CLOEXEC);
	char line[64];

	(void)state;
	shell(&s, "echo one; echo 'two\twords' >&2; echo; exit 3", log_fd, NULL);
	wait_end(&s);
	assert_true(WIFEXITED(s.status));
	assert_int_equal(WEXITSTATUS(s.status), 3);
	assert_string_equal(proc_last_line(log_fd, line, sizeof(line)), "two?words");
	assert_string_equal(proc_last_line(log_fd, line, 4), "two");
	close(log_fd);
	assert_string_equal(proc_last_line(log_fd, line, sizeof(line)), "");
	event_base_free(s.base);
}

static void test_proc_says_what_cannot_be_started(void **state)
{
	struct seen s = {.base = event_base_new(), .free_in_it = 1};
	int log_fd = memfd_create("log", MFD_CLOEXEC);
	char *const argv[] = {"/nonexistent/program", NULL};
	struct err e = ERR_INIT;
	char line[128];

	(void)state;
	assert_non_null(proc_start(s.base, argv, log_fd, NULL, on_exit_of, &s, &e));
	wait_end(&s);
	assert_int_equal(WEXITSTATUS(s.status), 127);
	assert_non_null(strstr(proc_last_line(log_fd, line, sizeof(line)), "/nonexistent/program"));
	close(log_fd);
	event_base_free(s.base);
}

/* No descriptor, no signal that is ignored or blocked, no terminal. */
static void test_proc_inherits_nothing(void **state)
{
	struct seen s = {.base = event_base_new(), .free_in_it = 1};
	int log_fd = memfd_create("log", MFD_CLOEXEC), open_fd = dup(log_fd);
	char line[64];
	sigset_t usr1;

	(void)state;
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	shell(&s, "ls /proc/self/fd | wc -l", log_fd, NULL); /* 0 1 2, and ls' own */
	wait_end(&s);
	assert_string_equal(proc_last_line(log_fd, line, sizeof(line)), "4");
	s.ends = 0;
	shell(&s, "grep -E 'Sig(Blk|Ign)' /proc/self/status | grep -c '0000000000000000$'", log_fd,
	      NULL);
	wait_end(&s);
	assert_string_equal(proc_last_line(log_fd, line, sizeof(line)), "2");
	s.ends = 0;
	shell(&s, "set -- $(cat /proc/$$/stat); test $1 = $6 && cat && echo own", log_fd, NULL);
	wait_end(&s);
	assert_string_equal(proc_last_line(log_fd, line, sizeof(line)), "own");
	signal(SIGHUP, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &usr1, NULL);
	close(open_fd);
	close(log_fd);
	event_base_free(s.base);
}

static void test_proc_kills_and_reaps_silently(void **state)
{
	struct seen s = {.base = event_base_new()};
	int log_fd = memfd_create("log", MFD_CLOEXEC);
	struct proc *p = shell(&s, "sleep 100", log_fd, NULL);
	pid_t pid = proc_pid(p);

	(void)state;
	proc_kill(p);
	turn(&s, 300);
	assert_int_equal(s.ends, 0);
	assert_int_equal(kill(pid, 0), -1); /* no zombie either */
	proc_kill(NULL);
	proc_free(NULL);
	close(log_fd);
	event_base_free(s.base);
}

static void test_proc_may_be_freed_after_its_end(void **state)
{
	struct seen s = {.base = event_base_new()};
	int log_fd = memfd_create("log", MFD_CLOEXEC);
	struct proc *p = shell(&s, "exit 0", log_fd, NULL);

	(void)state;
	wait_end(&s);
	proc_kill(p); /* its number may be another's by now: it is not used */
	close(log_fd);
	event_base_free(s.base);
}

static void test_proc_is_handed_over(void **state)
{
	struct seen first = {.base = event_base_new()}, second = {.free_in_it = 1};
	int log_fd = memfd_create("log", MFD_CLOEXEC);

	(void)state;
	second.base = first.base;
	proc_hand_over(shell(&first, "sleep 0.1; kill -TERM $$", log_fd, NULL), on_exit_of,
		       &second);
	wait_end(&second);
	assert_int_equal(first.ends, 0);
	assert_true(WIFSIGNALED(second.status) && WTERMSIG(second.status) == SIGTERM);
	close(log_fd);
	event_base_free(first.base);
}

static void test_proc_dies_with_its_guardian_undone(void **state)
{
	struct seen s = {.base = event_base_new(), .free_in_it = 1};
	int log_fd = memfd_create("log", MFD_CLOEXEC);
	struct err e = ERR_INIT;
	struct guardian *g = guardian_new(&e);

	(void)state;
	shell(&s, "sleep 100", log_fd, g);
	guardian_leave(g);
	wait_end(&s);
	assert_true(WIFSIGNALED(s.status));
	close(log_fd);
	event_base_free(s.base);
}

/* A process that no guardian knows of is not started; and nobody waits for ever. */
static void test_proc_does_not_start_without_its_guardian(void **state)
{
	struct seen s = {.base = event_base_new(), .free_in_it = 1};
	int log_fd = memfd_create("log", MFD_CLOEXEC);
	char *const argv[] = {"sh", "-c", "echo ran", NULL};
	struct err e = ERR_INIT;
	struct guardian *g = guardian_new(&e);
	char line[32];

	(void)state;
	assert_non_null(g);
	kill(guardian_pid(g), SIGKILL);
	usleep(100000);
	alarm(10);
	assert_null(proc_start(s.base, argv, log_fd, g, on_exit_of, &s, &e));
	alarm(0);
	assert_true(err_is_set(&e));
	turn(&s, 100);
	assert_int_equal(s.ends, 0);
	assert_string_equal(proc_last_line(log_fd, line, sizeof(line)), "");
	guardian_commit(g);
	close(log_fd);
	event_base_free(s.base);
}

/* A socket that listens before the program runs is the program's to whoever asks it. */
static void test_proc_is_who_listens(void **state)
{
	struct seen s = {.base = event_base_new()};
	char path[] = "/tmp/adit-proc-XXXXXX", *argv[] = {"sleep", "30", NULL};
	struct addr addr = {.kind = ADDR_UNIX};
	struct proc_io io = {.in = -1, .out = -1, .err = -1, .keep_count = 1, .listens = true};
	struct err e = ERR_INIT;
	uint64_t until_ms = clock_ms() + WAIT_MS;
	struct proc *p;
	char comm[40], name[32] = "";
	int fd;
	pid_t pid = 0;

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(addr.path, sizeof(addr.path), "%s/sock", path);
	fd = fd_listen(&addr, 1, &e);
	assert_true(fd >= 0);
	io.keep = &fd;
	p = proc_start_io(s.base, argv, &io, NULL, on_exit_of, &s, &e);
	assert_non_null(p);
	close(fd);
	/* Once it is the program. (Who connects before stays in the queue, which is short.) */
	snprintf(comm, sizeof(comm), "/proc/%d/comm", (int)proc_pid(p));
	while (strcmp(name, "sleep\n") != 0 && clock_ms() < until_ms) {
		FILE *f = fopen(comm, "r");

		if (f && !fgets(name, sizeof(name), f))
			*name = 0;
		if (f)
			fclose(f);
		usleep(1000);
	}
	fd = fd_connect_unix(addr.path);
	assert_true(fd >= 0 && fd_peer(fd, NULL, &pid) == 0);
	close(fd);
	assert_int_equal(pid, proc_pid(p));
	proc_kill(p);
	turn(&s, 100);
	event_base_free(s.base);
	unlink(addr.path);
	rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_proc_tells_how_it_ended),
	    cmocka_unit_test(test_proc_says_what_cannot_be_started),
	    cmocka_unit_test(test_proc_inherits_nothing),
	    cmocka_unit_test(test_proc_kills_and_reaps_silently),
	    cmocka_unit_test(test_proc_may_be_freed_after_its_end),
	    cmocka_unit_test(test_proc_is_handed_over),
	    cmocka_unit_test(test_proc_dies_with_its_guardian_undone),
	    cmocka_unit_test(test_proc_does_not_start_without_its_guardian),
	    cmocka_unit_test(test_proc_is_who_listens),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
