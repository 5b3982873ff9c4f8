/* Descriptors over unix sockets: they arrive, close-on-exec, and none is leaked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "proxy/fdpass.h"

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_fdpass_carries_descriptors(void **state)
{
	int sv[2], pipefd[2], got[4];
	unsigned count = 0;
	char buf[8];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(pipe(pipefd), 0);
	assert_int_equal(fdpass_send(sv[0], "abc", 3, pipefd, 2), 3);
	assert_int_equal(fdpass_receive(sv[1], buf, sizeof(buf), got, 4, &count), 3);
	assert_memory_equal(buf, "abc", 3);
	assert_int_equal(count, 2);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(got[1], "x", 1), 1);
	assert_int_equal(read(pipefd[0], buf, 1), 1);
	for (int i = 0; i < 2; i++) {
		fd_close(&sv[i]);
		fd_close(&pipefd[i]);
		fd_close(&got[i]);
	}
}

static void test_fdpass_closes_what_was_not_wanted(void **state)
{
	int sv[2], got[1], before;
	unsigned count = 9;
	char buf[8];
	int some[3] = {0, 1, 2};

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	before = count_fds();
	assert_int_equal(fdpass_send(sv[0], "abc", 3, some, 3), 3);
	assert_int_equal(fdpass_receive(sv[1], buf, sizeof(buf), got, 1, &count), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(count, 0);
	assert_int_equal(count_fds(), before);
	fd_close(&sv[0]);
	fd_close(&sv[1]);
}

static void test_fdpass_without_descriptors(void **state)
{
	int sv[2];
	unsigned count = 9;
	char buf[8];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	assert_int_equal(fdpass_receive(sv[1], buf, sizeof(buf), NULL, 0, &count), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fdpass_send(sv[0], "abc", 3, NULL, 0), 3);
	assert_int_equal(fdpass_receive(sv[1], buf, sizeof(buf), NULL, 0, &count), 3);
	assert_int_equal(count, 0);
	fd_close(&sv[0]);
	assert_int_equal(fdpass_receive(sv[1], buf, sizeof(buf), NULL, 0, &count), 0);
	assert_int_equal(fdpass_send(sv[1], "abc", 3, NULL, 0), -1);
	assert_int_equal(errno, EPIPE);
	fd_close(&sv[1]);
}

static void test_fdpass_refuses_too_many(void **state)
{
	int many[FDPASS_MAX + 1] = {0};

	(void)state;
	assert_int_equal(fdpass_send(0, "x", 1, many, FDPASS_MAX + 1), -1);
	assert_int_equal(errno, EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fdpass_carries_descriptors),
	    cmocka_unit_test(test_fdpass_closes_what_was_not_wanted),
	    cmocka_unit_test(test_fdpass_without_descriptors),
	    cmocka_unit_test(test_fdpass_refuses_too_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
