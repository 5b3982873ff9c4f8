/* Folders are removed with what is in them, and nothing that a link leads to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"

static char top[] = "/tmp/adit-dir-XXXXXX";
static char dir[64], in_dir[80], other[64], in_other[80];

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void make(const char *folder, const char *file)
{
	int fd;

	assert_int_equal(mkdir(folder, 0700), 0);
	fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void test_dir_remove_takes_what_is_in_it(void **state)
{
	(void)state;
	make(dir, in_dir);
	assert_int_equal(dir_remove(dir), 0);
	assert_false(is_there(dir));
	assert_int_equal(dir_remove(dir), 0);
	/* but no folder */
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mkdir(in_dir, 0700), 0);
	assert_int_equal(dir_remove(dir), -1);
	assert_true(is_there(in_dir));
	assert_int_equal(rmdir(in_dir), 0);
	assert_int_equal(dir_remove(dir), 0);
}

static void test_dir_remove_follows_no_link(void **state)
{
	(void)state;
	make(other, in_other);
	assert_int_equal(symlink(other, dir), 0);
	assert_int_equal(dir_remove(dir), -1);
	assert_true(is_there(in_other));
	assert_int_equal(unlink(dir), 0);
	assert_int_equal(dir_remove(other), 0);
}

static void test_dir_remove_at_takes_that_folder_only(void **state)
{
	const char *name;
	int parent = dir_open_parent(dir, &name);
	struct stat st;

	(void)state;
	assert_true(parent >= 0);
	assert_string_equal(name, "vm");
	make(dir, in_dir);
	make(other, in_other);
	assert_int_equal(stat(other, &st), 0);
	assert_int_equal(dir_remove_at(parent, name, &st), -1);
	assert_int_equal(errno, ESTALE);
	assert_true(is_there(in_dir));
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(dir_remove_at(parent, name, &st), 0);
	assert_false(is_there(dir));
	assert_int_equal(dir_remove(other), 0);
	close(parent);
	/* names of all kinds */
	parent = dir_open_parent("/tmp", &name);
	assert_string_equal(name, "tmp");
	close(parent);
	parent = dir_open_parent("here", &name);
	assert_true(parent >= 0);
	assert_string_equal(name, "here");
	close(parent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dir_remove_takes_what_is_in_it),
	    cmocka_unit_test(test_dir_remove_follows_no_link),
	    cmocka_unit_test(test_dir_remove_at_takes_that_folder_only),
	};
	int r;

	if (!mkdtemp(top))
		return 1;
	snprintf(dir, sizeof(dir), "%s/vm", top);
	snprintf(in_dir, sizeof(in_dir), "%s/vm/file", top);
	snprintf(other, sizeof(other), "%s/other", top);
	snprintf(in_other, sizeof(in_other), "%s/other/file", top);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(top);
	return r;
}
