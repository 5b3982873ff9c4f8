/* The sockets of a libvirt migration: which IDs and folders are taken, and what is cleared up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "proxy/libvirt_path.h"

static char dir[64];

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/adit-libvirt-path.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	dir_remove(dir);
	return 0;
}

static void test_libvirt_path_takes_ids_of_one_shape(void **state)
{
	static const char *const bad[] = {"",	      "0123456",   "012345678", "0123456g",
					  "0123456A", "../../..a", "1234/678",	"1234567 ",
					  "-1234567", "0x123456",  "%2e%2e%2f"};

	(void)state;
	assert_true(libvirt_path_is_id("0123abef", 8));
	assert_true(libvirt_path_is_id("00000000/more", 8));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (libvirt_path_is_id(bad[i], strlen(bad[i])))
			fail_msg("\"%s\" is taken for an ID", bad[i]);
}

static void test_libvirt_path_takes_plain_folders(void **state)
{
	static const char *const bad[] = {"",	   "/",	   "relative", "/a/",  "/a//b", "/a/./b",
					  "/a/..", "/..",  "/a b",     "/a?b", "/a#b",	"/a%20",
					  "/a,b",  "/a:b", "/a\nb",    "/a&b"};
	char longest[ADDR_UNIX_MAX + 2];
	struct err e = ERR_INIT;
	struct addr a;

	(void)state;
	assert_int_equal(libvirt_path_check_dir(LIBVIRT_PATH_DIR, &e), 0);
	assert_int_equal(libvirt_path_check_dir("/a.b/..c/d-_+9", &e), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (libvirt_path_check_dir(bad[i], &e) != ERR_USAGE)
			fail_msg("\"%s\" is taken for a folder", bad[i]);

	/* the longest that is taken has sockets whose paths are not cut */
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	for (size_t len = sizeof(longest) - 1;; len--) {
		longest[len] = '\0';
		if (libvirt_path_check_dir(longest, &e) == 0)
			break;
	}
	libvirt_path_format(&a, longest, "01234567", LIBVIRT_PATH_DISKS);
	assert_int_equal(strlen(a.path), ADDR_UNIX_MAX);
	assert_string_equal(a.path + strlen(longest), "/adit-01234567-disks.sock");
	libvirt_path_format(&a, "/d", "01234567", LIBVIRT_PATH_RAM);
	assert_string_equal(a.path, "/d/adit-01234567-ram.sock");
}

static void make_socket(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof(sun.sun_path));
	strcpy(sun.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd);
}

static int exists(const char *name)
{
	char path[200];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return lstat(path, &st) == 0;
}

static void make(const char *id, const char *tail, int is_socket)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/adit-%s%s", dir, id, tail);
	if (is_socket) {
		make_socket(path);
	} else {
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		assert_true(fd >= 0);
		close(fd);
	}
}

static void test_libvirt_path_release_removes_sockets_and_lock(void **state)
{
	struct err e = ERR_INIT;
	int lock = libvirt_path_claim(dir, "0000000a", &e);

	(void)state;
	assert_true(lock >= 0);
	assert_true(exists("adit-0000000a.lock"));
	make("0000000a", "-ram.sock", 1);
	make("0000000a", "-disks.sock", 0); /* no socket: not QEMU's */
	make("0000000b", "-ram.sock", 1);   /* nobody's business here */
	libvirt_path_release(dir, "0000000a", &lock);
	assert_int_equal(lock, -1);
	assert_false(exists("adit-0000000a.lock"));
	assert_false(exists("adit-0000000a-ram.sock"));
	assert_true(exists("adit-0000000a-disks.sock"));
	assert_true(exists("adit-0000000b-ram.sock"));
	libvirt_path_release(dir, "0000000b", &lock); /* nothing was claimed */
	assert_true(exists("adit-0000000b-ram.sock"));
}

static void test_libvirt_path_claim_clears_up_after_the_dead_only(void **state)
{
	struct err e = ERR_INIT;
	int alive = libvirt_path_claim(dir, "00000001", &e), lock;

	(void)state;
	assert_true(alive >= 0);
	make("00000001", "-ram.sock", 1);
	make("00000002", ".lock", 0); /* its process was killed */
	make("00000002", "-ram.sock", 1);
	make("00000002", "-disks.sock", 1);
	make("nonsense", ".lock", 0);
	lock = libvirt_path_claim(dir, "00000003", &e);
	assert_true(lock >= 0);
	assert_true(exists("adit-00000001.lock"));
	assert_true(exists("adit-00000001-ram.sock"));
	assert_false(exists("adit-00000002.lock"));
	assert_false(exists("adit-00000002-ram.sock"));
	assert_false(exists("adit-00000002-disks.sock"));
	assert_true(exists("adit-nonsense.lock"));
	/* one that is claimed is not claimed again */
	assert_int_equal(libvirt_path_claim(dir, "00000001", &e), ERR_REFUSED);
	libvirt_path_release(dir, "00000003", &lock);
	libvirt_path_release(dir, "00000001", &alive);
	assert_false(exists("adit-00000001-ram.sock"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_libvirt_path_takes_ids_of_one_shape),
	    cmocka_unit_test(test_libvirt_path_takes_plain_folders),
	    cmocka_unit_test_setup_teardown(test_libvirt_path_release_removes_sockets_and_lock,
					    set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_libvirt_path_claim_clears_up_after_the_dead_only,
					    set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
