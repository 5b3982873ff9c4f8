/* The guardian: real processes, files and sockets, and parents that are killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/host/guardian.h"
#include "control/talk/journal.h"

enum { GONE_MS = 20000, STAYS_MS = 300 };

/* In memory: a disk that others write to may take longer for an fsync than GONE_MS. */
static char top[32];
static bool left_out;
static char file[64], dir[64], sock[80], log_path[80];

static void touch(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0)
		_exit(90);
	close(fd);
}

/* A file, and a folder with a socket and a log in it. */
static void make_all(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	touch(file);
	if (mkdir(dir, 0700) < 0)
		_exit(91);
	touch(log_path);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", sock);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		_exit(92);
	close(fd);
}

/* A process that does nothing, in a session of its own; not our child. */
static pid_t sleeper(void)
{
	int p[2];
	pid_t pid, first;

	if (pipe(p) < 0)
		_exit(93);
	first = fork();
	if (first == 0) {
		pid = fork();
		if (pid == 0) {
			setsid();
			close(p[0]);
			close(p[1]);
			close(0);
			close(1);
			close(2);
			for (;;)
				pause();
		}
		if (write(p[1], &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
			_exit(94);
		_exit(0);
	}
	waitpid(first, NULL, 0);
	if (read(p[0], &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
		_exit(95);
	close(p[0]);
	close(p[1]);
	return pid;
}

static bool lives(pid_t pid)
{
	char path[40], text[512];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = 0;
	return n && !strstr(text, ") Z"); /* nobody may reap it in a container */
}

static bool all_gone(void)
{
	return access(file, F_OK) != 0 && access(dir, F_OK) != 0;
}

static bool wait_gone(pid_t pid)
{
	uint64_t until_ms = clock_ms() + GONE_MS;

	while (clock_ms() < until_ms) {
		if (all_gone() && (!pid || !lives(pid)))
			return true;
		usleep(10000);
	}
	return false;
}

static struct guardian *guard_all(pid_t pid)
{
	struct err e = ERR_INIT;
	struct guardian *g = guardian_new(&e);

	if (!g || guardian_add_file(g, file, &e) < 0 || guardian_add_dir(g, dir, &e) < 0 ||
	    (pid && guardian_add_process(g, pid, &e) < 0))
		_exit(96);
	return g;
}

static void on_undone(void *ctx)
{
	*(bool *)ctx = true;
}

/* On a loop, as adit serve does it; returns when it is done. */
static void undo(struct guardian *g)
{
	struct event_base *base = event_base_new();
	uint64_t until_ms = clock_ms() + GONE_MS;
	bool done = false;

	assert_int_equal(guardian_undo(g, base, on_undone, &done), 0);
	while (!done && clock_ms() < until_ms) {
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		usleep(1000);
	}
	assert_true(done);
	event_base_free(base);
}

/* Runs fn in a child that ends by SIGKILL. Returns the process that it made. */
static pid_t killed_parent(void (*fn)(pid_t))
{
	pid_t sleeping = sleeper(), child = fork();
	int status = 0;

	if (child == 0) {
		fn(sleeping);
		kill(getpid(), SIGKILL);
		pause();
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	return sleeping;
}

static void clean(pid_t pid)
{
	if (pid)
		kill(pid, SIGKILL);
	unlink(file);
	unlink(sock);
	unlink(log_path);
	rmdir(dir);
}

static void guard_and_make(pid_t pid)
{
	guard_all(pid);
	make_all();
}

static void test_guardian_undoes_all_when_its_parent_is_killed(void **state)
{
	pid_t pid = killed_parent(guard_and_make);

	(void)state;
	if (!wait_gone(pid)) {
		clean(pid);
		fail_msg("something was left");
	}
}

static void guard_only(pid_t pid)
{
	guard_all(pid);
}

/* It was told, and nothing had been made yet. */
static void test_guardian_takes_what_was_never_made(void **state)
{
	pid_t pid = killed_parent(guard_only);

	(void)state;
	assert_true(wait_gone(pid));
}

static void guard_and_commit(pid_t pid)
{
	struct guardian *g = guard_all(pid);

	make_all();
	guardian_commit(g);
}

static void test_guardian_undoes_nothing_after_commit(void **state)
{
	pid_t pid = killed_parent(guard_and_commit);

	(void)state;
	usleep(STAYS_MS * 1000);
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(access(sock, F_OK), 0);
	assert_int_equal(access(log_path, F_OK), 0);
	assert_true(lives(pid));
	clean(pid);
	guardian_commit(NULL);
}

static void test_guardian_undoes_on_demand(void **state)
{
	pid_t pid = sleeper();
	struct guardian *g = guard_all(pid);

	(void)state;
	make_all();
	undo(g);
	assert_true(all_gone()); /* when it returns it is done */
	assert_false(lives(pid));
	guardian_leave(NULL);
}

/* Takes a record and its lock, as a job does; the paths go to path and lock. */
static struct journal *make_record(char *path, char *lock, size_t size)
{
	json_t *record = json_pack("{s:i,s:s}", "adit", 1, "state", "preparing");
	struct err e = ERR_INIT;
	char state_dir[64];
	struct journal *j;

	if (journal_prepare(top, state_dir, sizeof(state_dir), &e) < 0)
		_exit(97);
	j = journal_open(top, JOURNAL_DESTINATION, "0123456789abcdef0123456789abcdef", &e);
	if (!j || journal_write(j, record, &e) < 0)
		_exit(98);
	json_decref(record);
	snprintf(path, size, "%s", journal_path(j));
	snprintf(lock, size, "%s.lock", path);
	return j;
}

/* Whoever finds no record may be sure that nothing else is left. */
static void test_guardian_settles_the_record_last(void **state)
{
	struct err e = ERR_INIT;
	struct guardian *g = guardian_new(&e);
	char path[256], lock[256];
	struct journal *j = make_record(path, lock, sizeof(path));

	(void)state;
	assert_non_null(g);
	assert_int_equal(guardian_add_record(g, path, &e), 0);
	assert_int_equal(guardian_add_file(g, file, &e), 0);
	assert_int_equal(guardian_add_dir(g, dir, &e), 0);
	make_all();
	undo(g);
	assert_true(all_gone());
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(access(lock, F_OK), 0); /* its holder lives */
	journal_remove(j);
	assert_int_not_equal(access(lock, F_OK), 0);
}

/* What it cannot remove is still listed. */
static void test_guardian_keeps_the_record_of_what_stays(void **state)
{
	struct err e = ERR_INIT;
	struct guardian *g = guardian_new(&e);
	char path[256], lock[256], stays[256];
	struct journal *j = make_record(path, lock, sizeof(path));

	(void)state;
	assert_non_null(g);
	assert_int_equal(guardian_add_record(g, path, &e), 0);
	assert_int_equal(guardian_add_file(g, file, &e), 0);
	assert_int_equal(guardian_add_dir(g, dir, &e), 0);
	make_all();
	snprintf(stays, sizeof(stays), "%s/folder", dir);
	assert_int_equal(mkdir(stays, 0700), 0);
	undo(g);
	assert_int_not_equal(access(file, F_OK), 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(rmdir(stays), 0);
	assert_int_equal(rmdir(dir), 0);
	journal_remove(j);
}

static char record_path[256], record_lock[256];

static void guard_record(pid_t pid)
{
	struct err e = ERR_INIT;
	struct guardian *g = guardian_new(&e);

	make_record(record_path, record_lock, sizeof(record_path));
	if (!g || guardian_add_record(g, record_path, &e) < 0 ||
	    guardian_add_file(g, file, &e) < 0 || guardian_add_dir(g, dir, &e) < 0 ||
	    guardian_add_process(g, pid, &e) < 0)
		_exit(99);
	make_all();
}

static void test_guardian_settles_the_record_of_a_killed_parent(void **state)
{
	uint64_t until_ms = clock_ms() + GONE_MS;
	pid_t pid;

	(void)state;
	/* (The child that is killed makes them again, by the same names.) */
	journal_remove(make_record(record_path, record_lock, sizeof(record_path)));
	pid = killed_parent(guard_record);
	while (access(record_lock, F_OK) == 0 && clock_ms() < until_ms) {
		/* As long as there is a record something else may be left, not the reverse. */
		if (access(record_path, F_OK) != 0)
			assert_true(all_gone() && !lives(pid));
		usleep(1000);
	}
	assert_int_not_equal(access(record_path, F_OK), 0);
	assert_int_not_equal(access(record_lock, F_OK), 0);
	assert_true(wait_gone(pid));
}

static void test_guardian_leaves_a_pid_given_anew_alone(void **state)
{
	struct err e = ERR_INIT;
	struct guardian *g = guardian_new(&e);
	pid_t first = fork(), again;
	FILE *f;

	(void)state;
	if (first == 0)
		for (;;)
			pause();
	assert_non_null(g);
	assert_int_equal(guardian_add_process(g, first, &e), 0);
	kill(first, SIGKILL);
	waitpid(first, NULL, 0);
	usleep(20000); /* a tick of the clock that start times are told in */
	/* The kernel gives the same number next where it can be asked to. */
	f = fopen("/proc/sys/kernel/ns_last_pid", "we");
	again = 0;
	for (int i = 0; f && i < 50 && again != first; i++) {
		rewind(f);
		fprintf(f, "%d", (int)first - 1);
		fflush(f);
		again = fork();
		if (again == 0) {
			/* the guardian is to see the end of its pipe */
			for (int fd = 3; fd < 256; fd++)
				close(fd);
			for (;;)
				pause();
		}
		if (again != first) {
			kill(again, SIGKILL);
			waitpid(again, NULL, 0);
		}
	}
	if (f)
		fclose(f);
	undo(g);
	if (again != first) {
		left_out = true;
		skip();
	}
	usleep(100000);
	assert_true(lives(again));
	kill(again, SIGKILL);
	waitpid(again, NULL, 0);
}

static void test_guardian_passes_over_a_process_that_has_gone(void **state)
{
	struct guardian *g;
	pid_t pid = sleeper();
	uint64_t begun_ms;

	(void)state;
	kill(pid, SIGKILL);
	while (lives(pid))
		usleep(1000);
	g = guard_all(pid);
	make_all();
	begun_ms = clock_ms();
	undo(g);
	assert_true(all_gone());
	assert_true(clock_ms() - begun_ms < 1000);
}

/* What turned out to have been there before is taken back; its like is not. */
static void test_guardian_leaves_what_was_taken_back(void **state)
{
	struct err e = ERR_INIT;
	struct guardian *g = guard_all(0);
	char longer[80];

	(void)state;
	snprintf(longer, sizeof(longer), "%s-2", file);
	make_all();
	touch(longer);
	assert_int_equal(guardian_add_file(g, longer, &e), 0);
	assert_int_equal(guardian_forget_file(g, file, &e), 0);
	assert_int_equal(guardian_forget_dir(g, dir, &e), 0);
	undo(g);
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(access(sock, F_OK), 0);
	assert_int_not_equal(access(longer, F_OK), 0);
	clean(0);
}

/* The folder is renamed, and a link to another one put in its place; or the file is another one by
 * now. */
static void test_guardian_removes_nothing_behind_a_link(void **state)
{
	char in[64], in_file[80], elsewhere[64], there[80], moved[80];
	struct err e = ERR_INIT;
	int fd;

	(void)state;
	snprintf(in, sizeof(in), "%s/images", top);
	snprintf(in_file, sizeof(in_file), "%s/images/a", top);
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", top);
	snprintf(there, sizeof(there), "%s/elsewhere/a", top);
	snprintf(moved, sizeof(moved), "%s/moved", top);
	for (int link_to = 0; link_to < 2; link_to++) {
		struct guardian *g = guardian_new(&e);

		assert_non_null(g);
		assert_int_equal(mkdir(in, 0700), 0);
		assert_int_equal(mkdir(elsewhere, 0700), 0);
		touch(there);
		assert_int_equal(guardian_add_file(g, in_file, &e), 0);
		fd = open(in_file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_int_equal(guardian_made_file(g, in_file, fd, &e), 0);
		close(fd);
		if (link_to) {
			assert_int_equal(unlink(in_file), 0);
			assert_int_equal(rename(in, moved), 0);
			assert_int_equal(symlink(elsewhere, in), 0);
		} else {
			assert_int_equal(rename(there, in_file), 0);
		}
		undo(g);
		assert_int_equal(access(link_to ? there : in_file, F_OK), 0);
		assert_int_equal(unlink(link_to ? there : in_file), 0);
		assert_int_equal(link_to ? unlink(in) : rmdir(in), 0);
		assert_int_equal(rmdir(elsewhere), 0);
		if (link_to)
			assert_int_equal(rmdir(moved), 0);
	}
}

static void test_guardian_refuses_paths_that_are_too_long(void **state)
{
	struct err e = ERR_INIT;
	struct guardian *g = guardian_new(&e);
	char path[5000];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(guardian_add_file(g, path, &e), ERR_LIMIT);
	undo(g);
}

static void test_guardian_keeps_many_records(void **state)
{
	struct err e = ERR_INIT;
	struct guardian *g = guardian_new(&e);
	char path[128];

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(path, sizeof(path), "%s/many-%d", top, i);
		assert_int_equal(guardian_add_file(g, path, &e), 0);
		touch(path);
	}
	undo(g);
	for (int i = 0; i < 500; i++) {
		snprintf(path, sizeof(path), "%s/many-%d", top, i);
		assert_int_not_equal(access(path, F_OK), 0);
	}
}

/* It holds no descriptor of its parent's: a socket's end is seen at once. */
static void test_guardian_holds_no_descriptor(void **state)
{
	struct err e = ERR_INIT;
	struct guardian *g;
	int pair[2];
	char c;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	g = guardian_new(&e);
	assert_non_null(g);
	usleep(100000);
	close(pair[0]);
	assert_int_equal(recv(pair[1], &c, 1, MSG_DONTWAIT), 0);
	close(pair[1]);
	guardian_commit(g);
}

static void guard_and_hang_up(pid_t pid)
{
	guard_all(pid);
	make_all();
	kill(0, SIGTERM); /* the whole group, as a terminal would */
}

static void test_guardian_outlives_its_parents_group(void **state)
{
	pid_t pid = sleeper(), child;
	int status;

	(void)state;
	child = fork();
	if (child == 0) {
		setpgid(0, 0);
		guard_and_hang_up(pid);
		pause();
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!wait_gone(pid)) {
		clean(pid);
		fail_msg("something was left");
	}
}

/* Names of its own for each test: a guardian may still be at work when its test ends. */
static int name_all(void **state)
{
	static int n;

	(void)state;
	n++;
	snprintf(file, sizeof(file), "%s/image-%d.raw", top, n);
	snprintf(dir, sizeof(dir), "%s/vm-%d", top, n);
	snprintf(sock, sizeof(sock), "%s/qmp.sock", dir);
	snprintf(log_path, sizeof(log_path), "%s/qemu.log", dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_guardian_undoes_all_when_its_parent_is_killed, name_all),
	    cmocka_unit_test_setup(test_guardian_takes_what_was_never_made, name_all),
	    cmocka_unit_test_setup(test_guardian_undoes_nothing_after_commit, name_all),
	    cmocka_unit_test_setup(test_guardian_undoes_on_demand, name_all),
	    cmocka_unit_test_setup(test_guardian_settles_the_record_last, name_all),
	    cmocka_unit_test_setup(test_guardian_keeps_the_record_of_what_stays, name_all),
	    cmocka_unit_test_setup(test_guardian_settles_the_record_of_a_killed_parent, name_all),
	    cmocka_unit_test_setup(test_guardian_leaves_a_pid_given_anew_alone, name_all),
	    cmocka_unit_test_setup(test_guardian_passes_over_a_process_that_has_gone, name_all),
	    cmocka_unit_test_setup(test_guardian_leaves_what_was_taken_back, name_all),
	    cmocka_unit_test_setup(test_guardian_removes_nothing_behind_a_link, name_all),
	    cmocka_unit_test_setup(test_guardian_refuses_paths_that_are_too_long, name_all),
	    cmocka_unit_test_setup(test_guardian_keeps_many_records, name_all),
	    cmocka_unit_test_setup(test_guardian_holds_no_descriptor, name_all),
	    cmocka_unit_test_setup(test_guardian_outlives_its_parents_group, name_all),
	};
	int r;

	signal(SIGPIPE, SIG_IGN);
	snprintf(top, sizeof(top), "%s/adit-guardian-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(top))
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(top);
	if (left_out && r == 0)
		puts("SKIP: a process number cannot be had again here (it takes root)");
	return r;
}
