/* Users: who one is, becoming one, and what one may reach. Most needs root and the user nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/user.h"

static struct user nobody;
static int patience_ms = -1; /* at most, for a test */

int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	assert_in_range(timeout_ms, 1, 5000); /* nobody is waited for without end */
	return __real_poll(fds, count,
			   patience_ms < 0 || timeout_ms < patience_ms ? timeout_ms : patience_ms);
}

static int zero(void)
{
	return 0;
}

#define NEED_ROOT()                                                                                \
	do {                                                                                       \
		if (geteuid() != 0 || user_ask(&nobody, zero) != 0) {                              \
			print_message("SKIP: not root\n");                                         \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

static int find_nobody(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	return user_parse(&nobody, "nobody", &e);
}

static void test_user_parse_finds_user_and_group(void **state)
{
	const struct passwd *pw = getpwnam("nobody");
	struct err e = ERR_INIT;
	struct user u = {.uid = 7};
	bool has = false;

	(void)state;
	assert_false(user_is_given(&u));
	assert_int_equal(user_parse(&u, "nobody", &e), 0);
	assert_true(user_is_given(&u));
	assert_int_equal(u.uid, pw->pw_uid);
	assert_int_equal(u.gid, pw->pw_gid);
	assert_string_equal(u.group, "");
	assert_int_equal(user_parse(&u, "nobody:daemon", &e), 0);
	assert_string_equal(u.name, "nobody");
	assert_string_equal(u.group, "daemon");
	assert_int_not_equal(u.gid, pw->pw_gid);
	for (int i = 0; i < u.group_count; i++)
		has = has || u.groups[i] == u.gid;
	assert_true(has);
}

static void test_user_parse_refuses_by_name(void **state)
{
	static const struct {
		const char *text, *word;
	} cases[] = {
	    {"no-such-user", "no user no-such-user"},
	    {"nobody:no-such-group", "no group no-such-group"},
	    {"root", "is root"},
	    {"root:daemon", "is root"},
	    {"nobody:root", "group root"},
	    {"", "USER:GROUP"},
	    {":daemon", "USER:GROUP"},
	    {"nobody:", "USER:GROUP"},
	    {"0", "no user 0"},
	};
	char longer[200];
	struct err e;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct user u = {0};

		e = (struct err)ERR_INIT;
		assert_int_not_equal(user_parse(&u, cases[i].text, &e), 0);
		if (!strstr(e.text, cases[i].word))
			fail_msg("%s: %s", cases[i].text, e.text);
		assert_false(user_is_given(&u));
	}
	e = (struct err)ERR_INIT;
	assert_int_not_equal(user_parse(&(struct user){0}, longer, &e), 0);
}

/* In a child: 0 when it is nobody's and nothing more. */
static int is_bare(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	gid_t groups[USER_GROUPS_MAX];

	if (syscall(SYS_capget, &head, caps) < 0)
		return 1;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if (caps[i].effective || caps[i].permitted || caps[i].inheritable)
			return 2;
	if (getuid() != nobody.uid || geteuid() != nobody.uid || getgid() != nobody.gid)
		return 3;
	if (getgroups(USER_GROUPS_MAX, groups) != nobody.group_count ||
	    memcmp(groups, nobody.groups, (size_t)nobody.group_count * sizeof(groups[0])) != 0)
		return 4;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 5;
	return setuid(0) == 0 || setgid(0) == 0 ? 6 : 0;
}

static void test_user_become_leaves_nothing(void **state)
{
	(void)state;
	NEED_ROOT();
	assert_int_equal(user_ask(&nobody, is_bare), 0);
	assert_int_equal(geteuid(), 0);
}

static int no_entry(void)
{
	return ENOENT;
}

static void test_user_ask_tells_what_it_returned(void **state)
{
	const struct user none = {0};

	(void)state;
	assert_int_equal(user_ask(&none, no_entry), ENOENT);
	assert_int_equal(user_ask(&none, zero), 0);
}

static int stop(void)
{
	return raise(SIGSTOP);
}

/* Whoever else is that user may stop the child. */
static void test_user_ask_waits_for_nobody_for_long(void **state)
{
	const struct user none = {0};

	(void)state;
	patience_ms = 50;
	for (int i = 0; i < 10; i++)
		assert_int_equal(user_ask(&none, stop), ETIMEDOUT);
	patience_ms = -1;
	assert_int_equal(user_ask(&none, zero), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* none is left */
}

/* One who is nobody cannot become daemon. */
static int become_another(void)
{
	struct user u = {0};
	struct err e = ERR_INIT;

	if (user_parse(&u, "daemon", &e) < 0)
		return 1;
	if (user_become(&u) == 0)
		return 2;
	e = (struct err)ERR_INIT;
	return user_check_path(&u, "/", X_OK, &e) < 0 && strstr(e.text, "cannot become user daemon")
		   ? 0
		   : 3;
}

static void test_user_become_needs_root(void **state)
{
	(void)state;
	NEED_ROOT();
	assert_int_equal(user_ask(&nobody, become_another), 0);
}

static void test_user_check_path_names_what_stops_it(void **state)
{
	char dir[] = "/tmp/adit-user.XXXXXX", inner[64], path[80], passed[96];
	const struct user none = {0};
	struct err e = ERR_INIT;
	int fd;

	(void)state;
	NEED_ROOT();
	assert_non_null(mkdtemp(dir));
	snprintf(inner, sizeof(inner), "%s/inner", dir);
	snprintf(path, sizeof(path), "%s/file", inner);
	assert_int_equal(mkdir(inner, 0755), 0);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0600), 0);

	/* the folder above lets nobody pass */
	assert_int_equal(user_check_path(&none, path, R_OK, &e), 0);
	assert_int_not_equal(user_check_path(&nobody, path, R_OK, &e), 0);
	assert_int_equal(e.code, ERR_REFUSED);
	snprintf(passed, sizeof(passed), "the folder %s on the way", dir);
	assert_non_null(strstr(e.text, passed));
	assert_non_null(strstr(e.text, "user nobody"));

	assert_int_equal(chmod(dir, 0711), 0);
	e = (struct err)ERR_INIT;
	assert_int_not_equal(user_check_path(&nobody, path, R_OK, &e), 0);
	assert_non_null(strstr(e.text, path));
	assert_non_null(strstr(e.text, "may not read it"));
	assert_int_equal(fchmod(fd, 0604), 0);
	e = (struct err)ERR_INIT;
	assert_int_equal(user_check_path(&nobody, path, R_OK, &e), 0);
	assert_int_not_equal(user_check_path(&nobody, path, R_OK | W_OK, &e), 0);
	assert_non_null(strstr(e.text, "read and write"));
	assert_int_equal(fchown(fd, nobody.uid, nobody.gid), 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	e = (struct err)ERR_INIT;
	assert_int_equal(user_check_path(&nobody, path, R_OK | W_OK, &e), 0);

	close(fd);
	unlink(path);
	rmdir(inner);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_user_parse_finds_user_and_group),
	    cmocka_unit_test(test_user_parse_refuses_by_name),
	    cmocka_unit_test(test_user_become_leaves_nothing),
	    cmocka_unit_test(test_user_ask_tells_what_it_returned),
	    cmocka_unit_test(test_user_ask_waits_for_nobody_for_long),
	    cmocka_unit_test(test_user_become_needs_root),
	    cmocka_unit_test(test_user_check_path_names_what_stops_it),
	};

	return cmocka_run_group_tests(tests, find_nobody, NULL);
}
