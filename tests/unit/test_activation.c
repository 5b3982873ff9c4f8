/* Sockets of a service manager: which are taken, and what is said of those that are not fit. */
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

#include "base/activation.h"

enum { FIRST = 3 };

/* Makes descriptor 3 + i a socket, as systemd would. */
static void hand_over(int i, int domain, int type, int listens)
{
	int fd = socket(domain, type, 0);

	assert_true(fd >= 0);
	if (listens && domain == AF_UNIX)
		assert_int_equal(
		    bind(fd, (struct sockaddr *)&(struct sockaddr_storage){.ss_family = AF_UNIX},
			 sizeof(sa_family_t)),
		    0);
	if (listens)
		assert_int_equal(listen(fd, 5), 0);
	if (fd != FIRST + i) {
		assert_int_equal(dup2(fd, FIRST + i), FIRST + i);
		close(fd);
	}
}

static void set(const char *count, const char *names, pid_t pid)
{
	char text[20];

	snprintf(text, sizeof(text), "%d", (int)pid);
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDS", count, 1);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
	else
		unsetenv("LISTEN_FDNAMES");
}

static void expect_clean(void)
{
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_FDNAMES"));
}

static int is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_activation_takes_sockets_by_family(void **state)
{
	struct activation a;
	struct err e = ERR_INIT;

	(void)state;
	hand_over(0, AF_INET, SOCK_STREAM, 1);
	hand_over(1, AF_UNIX, SOCK_STREAM, 1);
	hand_over(2, AF_INET6, SOCK_STREAM, 1);
	set("3", "adit:api", getpid());
	assert_int_equal(activation_take(&a, &e), 0);
	expect_clean();
	assert_int_equal(a.count, 3);
	assert_string_equal(a.at[0].name, "adit");
	assert_string_equal(a.at[1].name, "api");
	assert_string_equal(a.at[2].name, "unknown");
	assert_int_equal(fcntl(FIRST, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(FIRST, F_GETFL) & O_NONBLOCK);
	assert_int_equal(activation_claim(&a, 1), FIRST + 1);
	assert_int_equal(activation_claim(&a, 1), -1);
	assert_int_equal(activation_claim(&a, 0), FIRST);
	activation_fini(&a);
	assert_true(is_open(FIRST) && is_open(FIRST + 1));
	assert_false(is_open(FIRST + 2)); /* nobody claimed it */
	close(FIRST);
	close(FIRST + 1);
}

static void test_activation_leaves_those_of_others(void **state)
{
	static const char *const counts[] = {"", "0", "-1", "x", "1x"};
	struct activation a;
	struct err e = ERR_INIT;

	(void)state;
	hand_over(0, AF_INET, SOCK_STREAM, 1);
	set("1", NULL, getpid() + 1);
	assert_int_equal(activation_take(&a, &e), 0);
	assert_int_equal(a.count, 0);
	expect_clean();
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		set(counts[i], NULL, getpid());
		assert_int_equal(activation_take(&a, &e), 0);
		assert_int_equal(a.count, 0);
	}
	assert_int_equal(activation_take(&a, &e), 0);
	assert_int_equal(fcntl(FIRST, F_GETFD), 0);
	close(FIRST);
}

static void refuse(const char *count, const char *names, const char *words)
{
	struct activation a;
	struct err e = ERR_INIT;

	set(count, names, getpid());
	assert_true(activation_take(&a, &e) < 0);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" does not mention \"%s\"", e.text, words);
	assert_int_equal(a.count, 0);
	expect_clean();
}

static void test_activation_refuses_what_does_not_listen(void **state)
{
	(void)state;
	hand_over(0, AF_INET, SOCK_STREAM, 1);
	hand_over(1, AF_INET, SOCK_STREAM, 0);
	refuse("2", "adit:connection",
	       "the socket \"connection\" of the service manager: fd:4 is a socket that does not "
	       "listen");
	assert_false(is_open(FIRST));
	close(FIRST + 1);
	hand_over(0, AF_INET, SOCK_DGRAM, 0);
	refuse("1", "adit", "neither a unix nor a TCP stream socket");
	close(FIRST);
	refuse("1", "adit", "no such descriptor");
	refuse("17", "adit", "17 sockets, and 16 at most");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_activation_takes_sockets_by_family),
	    cmocka_unit_test(test_activation_leaves_those_of_others),
	    cmocka_unit_test(test_activation_refuses_what_does_not_listen),
	};
	for (int fd = FIRST; fd < FIRST + 5; fd++)
		close(fd); /* what a shell or ctest may have left open */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
