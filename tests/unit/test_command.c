/* Programs that are run to their end: what they say, how they end, and that they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/command.h"

static struct command_said said;

/* What a program writes is there before it is asked for. */
static bool writer_is_faster;
ssize_t __real_read(int fd, void *buf, size_t size);
ssize_t __wrap_read(int fd, void *buf, size_t size);

ssize_t __wrap_read(int fd, void *buf, size_t size)
{
	if (writer_is_faster)
		poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 1000);
	return __real_read(fd, buf, size);
}

static int sh(const char *script, unsigned limit_ms, struct err *e)
{
	const char *const words[] = {"sh", "-c", script, "sh", "a b", NULL};

	*e = (struct err)ERR_INIT;
	return command_run((char *const *)(uintptr_t)words, NULL, limit_ms, &said, e);
}

static void test_what_it_says_is_kept(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(sh("echo \"$1\"; echo more; echo no >&2; pwd", 10000, &e), 0);
	assert_string_equal(said.out, "a b\nmore\n/\n");
	assert_string_equal(said.err, "no");
	assert_int_equal(said.status, 0);
	/* more than there is room for does not hold it up */
	assert_int_equal(
	    sh("i=0; while [ $i -lt 9000 ]; do i=$((i+1)); echo 0123456789; done", 60000, &e), 0);
	assert_int_equal(strlen(said.out), sizeof(said.out) - 1);
	/* nor does a child that keeps the output open */
	assert_int_equal(sh("sleep 60 & echo here", 30000, &e), 0);
	assert_string_equal(said.out, "here\n");
}

static void test_why_it_fails_is_told(void **state)
{
	const char *const none[] = {"/none/such", NULL};
	struct err e;

	(void)state;
	assert_int_equal(sh("printf '\\n  first\\033[0m\\nsecond\\n' >&2; exit 3", 10000, &e),
			 ERR_CLOSED);
	assert_int_equal(said.status, 3);
	assert_string_equal(e.text, "sh: first?[0m");
	assert_int_equal(sh("echo sh: by itself >&2; exit 1", 10000, &e), ERR_CLOSED);
	assert_string_equal(e.text, "sh: by itself");
	assert_int_equal(sh("exit 2", 10000, &e), ERR_CLOSED);
	assert_string_equal(e.text, "sh ended with status 2");
	assert_int_equal(sh("kill -TERM $$", 10000, &e), ERR_SYSTEM);
	assert_non_null(strstr(e.text, "signal 15"));
	assert_int_equal(said.status, -1);
	e = (struct err)ERR_INIT;
	assert_int_equal(command_run((char *const *)(uintptr_t)none, NULL, 10000, &said, &e),
			 ERR_SYSTEM);
	assert_string_equal(e.text, "/none/such cannot be run: No such file or directory");
}

static void test_it_and_what_it_started_end_in_time(void **state)
{
	char path[] = "/tmp/adit-command-XXXXXX", script[200];
	struct stat st;
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(rmdir(path), 0);
	snprintf(script, sizeof(script), "(sleep 2; mkdir %s) & sleep 60", path);
	assert_int_equal(sh(script, 300, &e), ERR_SYSTEM);
	assert_string_equal(e.text, "sh did not end within 0 s");
	sleep(3);
	assert_int_equal(stat(path, &st), -1);
	rmdir(path);
	/* nor is one that writes for ever waited for, whoever of it does */
	writer_is_faster = true;
	assert_int_equal(sh("yes >&2", 300, &e), ERR_SYSTEM);
	writer_is_faster = false;
	assert_string_equal(e.text, "sh did not end within 0 s");
	assert_int_equal(sh("yes & echo here; kill -STOP $$", 300, &e), ERR_SYSTEM);
	assert_int_equal(sh("timeout 5 yes & exit 3", 30000, &e), ERR_CLOSED);
	assert_int_equal(said.status, 3);
	assert_int_equal(sh("kill -ALRM $$", 10000, &e), ERR_SYSTEM);
	assert_string_equal(e.text, "sh did not end within 10 s");
}

/* pidfd_open is not there for what this process starts. */
static void test_what_cannot_be_watched_is_told(void **state)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof(code) / sizeof(code[0]), code};
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct err e;

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
			_exit(77);
		sh("sleep 60", 30000, &e);
		_exit(strcmp(e.text, "sh cannot be watched: Function not implemented") != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void test_it_has_the_environment_given_and_no_descriptor(void **state)
{
	const char *const words[] = {"/bin/sh", "-c",
				     "echo $A$HOME; ls /proc/self/fd | tr -d '\\n'", NULL};
	const char *const env[] = {"A=b", "PATH=/usr/bin:/bin", NULL};
	struct err e = ERR_INIT;
	int other = dup(0);

	(void)state;
	assert_int_equal(command_run((char *const *)(uintptr_t)words, (char *const *)(uintptr_t)env,
				     10000, &said, &e),
			 0);
	/* (3 is the folder that ls reads) */
	assert_string_equal(said.out, "b\n0123");
	close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_it_says_is_kept),
	    cmocka_unit_test(test_why_it_fails_is_told),
	    cmocka_unit_test(test_it_and_what_it_started_end_in_time),
	    cmocka_unit_test(test_what_cannot_be_watched_is_told),
	    cmocka_unit_test(test_it_has_the_environment_given_and_no_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
