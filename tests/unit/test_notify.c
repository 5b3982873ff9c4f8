/* Word to the service manager: on a real socket, by path and in the abstract namespace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/notify.h"

/* A manager that listens at name (a path or @NAME), which notify_init is to find. */
static int manager(const char *name)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	size_t len = strlen(name);

	assert_true(fd >= 0);
	memcpy(un.sun_path, name, len);
	if (name[0] == '@')
		un.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&un,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void expect(int fd, const char *words)
{
	char text[2000];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, words);
}

static void test_notify_reaches_a_path(void **state)
{
	char dir[] = "/tmp/adit-test-notify-XXXXXX", path[100];
	struct notify n;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	fd = manager(path);
	notify_init(&n);
	assert_true(n.wanted);
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_int_equal(fcntl(n.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(notify_send(&n, "READY=1\nSTATUS=%d sessions\n", 3), 0);
	expect(fd, "READY=1\nSTATUS=3 sessions\n");
	notify_fini(&n);
	assert_int_equal(notify_send(&n, "READY=1\n"), 0);
	assert_int_equal(recv(fd, path, 1, 0), -1);
	close(fd);
	unlink(path);
	rmdir(dir);
}

static void test_notify_reaches_an_abstract_name(void **state)
{
	char name[64];
	struct notify n;
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@adit-test-notify-%d", (int)getpid());
	fd = manager(name);
	notify_init(&n);
	assert_int_equal(notify_send(&n, "WATCHDOG=1\n"), 0);
	expect(fd, "WATCHDOG=1\n");
	notify_fini(&n);
	close(fd);
}

static void test_notify_never_waits(void **state)
{
	char name[64];
	struct notify n;
	int fd, sent = 0;

	(void)state;
	snprintf(name, sizeof(name), "@adit-test-full-%d", (int)getpid());
	fd = manager(name);
	notify_init(&n);
	while (sent < 100000 && notify_send(&n, "STATUS=%d\n", sent) == 0)
		sent++;
	assert_true(sent > 0 && sent < 100000);
	expect(fd, "STATUS=0\n");
	assert_int_equal(notify_send(&n, "READY=1\n"), 0); /* there is room again */
	close(fd);
	assert_int_equal(notify_send(&n, "READY=1\n"), -1); /* it has gone */
	notify_fini(&n);
}

static void test_notify_without_a_manager(void **state)
{
	static const char *const names[] = {"", "@", "/", "relative", "vsock:2:1"};
	char longest[200];
	struct notify n;

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	notify_init(&n);
	assert_false(n.wanted);
	assert_int_equal(notify_send(&n, "READY=1\n"), 0);
	notify_fini(&n);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		notify_init(&n);
		assert_false(n.wanted);
		notify_fini(&n);
	}
	memset(longest, '/', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longest, 1);
	notify_init(&n);
	assert_false(n.wanted);
	notify_fini(&n);
}

static unsigned watchdog(const char *usec, const char *pid)
{
	struct notify n;

	setenv("NOTIFY_SOCKET", "@somewhere", 1);
	setenv("WATCHDOG_USEC", usec, 1);
	if (pid)
		setenv("WATCHDOG_PID", pid, 1);
	notify_init(&n);
	notify_fini(&n);
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
	return n.watchdog_ms;
}

static void test_notify_reads_the_watchdog(void **state)
{
	char self[20];

	(void)state;
	snprintf(self, sizeof(self), "%d", (int)getpid());
	assert_int_equal(watchdog("30000000", self), 30000);
	assert_int_equal(watchdog("30000000", NULL), 30000);
	assert_int_equal(watchdog("30000000", "1"), 0); /* another's */
	assert_int_equal(watchdog("", self), 0);
	assert_int_equal(watchdog("x", self), 0);
	assert_int_equal(watchdog("-5", self), 0);
	assert_int_equal(watchdog("99999999999999999999999", self), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_notify_reaches_a_path),
	    cmocka_unit_test(test_notify_reaches_an_abstract_name),
	    cmocka_unit_test(test_notify_never_waits),
	    cmocka_unit_test(test_notify_without_a_manager),
	    cmocka_unit_test(test_notify_reads_the_watchdog),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
