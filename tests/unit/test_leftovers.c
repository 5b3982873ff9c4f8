/* What cannot be removed at once is removed as soon as it can, and nothing else in its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/host/leftovers.h"

static char top[] = "/tmp/adit-leftovers-XXXXXX";
static char dir[64], in_dir[80], file[64];
static struct event_base *base;

static bool read_only; /* no file can be removed */

int __real_unlinkat(int at, const char *path, int flags);
int __wrap_unlinkat(int at, const char *path, int flags);
int __wrap_unlinkat(int at, const char *path, int flags)
{
	if (!read_only)
		return __real_unlinkat(at, path, flags);
	errno = EROFS;
	return -1;
}

int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path)
{
	if (!read_only)
		return __real_unlink(path);
	errno = EROFS;
	return -1;
}

static void touch(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* For longer than it takes to try again, or until path has gone. */
static void turn(const char *path)
{
	uint64_t until_ms = clock_ms() + (path ? 5000 : 1200);

	while (clock_ms() < until_ms && (!path || is_there(path))) {
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		usleep(1000);
	}
}

static void test_leftovers_removes_at_once(void **state)
{
	struct err e = ERR_INIT;
	struct leftovers *l = leftovers_new(base, &e);

	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(in_dir, sizeof(in_dir), "%s/plain", dir);
	touch(in_dir, "");
	touch(file, "x");
	leftovers_dir(l, dir);
	leftovers_file(l, file);
	leftovers_file(l, "/nowhere/at/all");
	assert_false(is_there(dir));
	assert_false(is_there(file));
	/* without one: once */
	touch(file, "x");
	leftovers_file(NULL, file);
	assert_false(is_there(file));
	leftovers_free(l);
}

static void test_leftovers_tries_again(void **state)
{
	struct err e = ERR_INIT;
	struct leftovers *l = leftovers_new(base, &e);

	(void)state;
	snprintf(in_dir, sizeof(in_dir), "%s/folder", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mkdir(in_dir, 0700), 0);
	touch(file, "x");
	read_only = true;
	leftovers_dir(l, dir);
	leftovers_file(l, file);
	turn(NULL);
	assert_true(is_there(dir) && is_there(file));
	read_only = false;
	assert_int_equal(rmdir(in_dir), 0);
	turn(dir);
	turn(file);
	assert_false(is_there(dir) || is_there(file));
	leftovers_free(l);
}

/* With its lock. */
static void test_leftovers_settles_a_record_as_soon_as_it_can(void **state)
{
	char lock[80];
	struct err e = ERR_INIT;
	struct leftovers *l = leftovers_new(base, &e);

	(void)state;
	snprintf(lock, sizeof(lock), "%s.lock", file);
	touch(file, "{}");
	touch(lock, "");
	read_only = true;
	leftovers_record(l, file);
	turn(NULL);
	assert_true(is_there(file));
	read_only = false;
	turn(file);
	assert_false(is_there(file));
	assert_false(is_there(lock));
	leftovers_free(l);
}

static void on_line(void *ctx, enum log_level level, const char *line)
{
	if (strstr(line, "is left"))
		*(enum log_level *)ctx = level;
}

static void test_leftovers_leaves_what_is_another_ones(void **state)
{
	enum log_level said = LOG_LEVEL_DEBUG;
	struct err e = ERR_INIT;
	struct leftovers *l = leftovers_new(base, &e);

	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mkdir(in_dir, 0700), 0);
	touch(file, "x");
	read_only = true;
	leftovers_file(l, file);
	leftovers_dir(l, dir);
	read_only = false;
	/* written to since, or made anew */
	usleep(20000);
	touch(file, "y");
	/* needed again */
	log_set_sink(on_line, &said);
	leftovers_forget(l, dir);
	assert_int_equal(rmdir(in_dir), 0);
	turn(NULL);
	log_set_sink(NULL, NULL);
	assert_int_equal(said, LOG_LEVEL_WARN); /* an image of a VM, perhaps */
	assert_true(is_there(file) && is_there(dir));
	leftovers_free(l);
	assert_true(is_there(file) && is_there(dir));
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* A folder is renamed, and a link to another one put in its place, in which that very file is too:
 * nothing is removed there. */
static void test_leftovers_stays_in_its_folder(void **state)
{
	char in[64], in_file[80], elsewhere[64], there[80], moved[64], moved_file[80];
	struct err e = ERR_INIT;
	struct leftovers *l = leftovers_new(base, &e);

	(void)state;
	snprintf(in, sizeof(in), "%s/images", top);
	snprintf(in_file, sizeof(in_file), "%s/images/a", top);
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", top);
	snprintf(there, sizeof(there), "%s/elsewhere/a", top);
	snprintf(moved, sizeof(moved), "%s/moved", top);
	snprintf(moved_file, sizeof(moved_file), "%s/moved/a", top);
	assert_int_equal(mkdir(in, 0700), 0);
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	touch(in_file, "x");
	assert_int_equal(link(in_file, there), 0);
	read_only = true;
	leftovers_file(l, in_file);
	read_only = false;
	assert_int_equal(rename(in, moved), 0);
	assert_int_equal(symlink(elsewhere, in), 0);
	turn(NULL);
	assert_true(is_there(there));
	leftovers_free(l);
	assert_true(is_there(there));
	assert_int_equal(unlink(there), 0);
	assert_int_equal(unlink(moved_file), 0);
	assert_int_equal(unlink(in), 0);
	assert_int_equal(rmdir(moved), 0);
	assert_int_equal(rmdir(elsewhere), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_leftovers_removes_at_once),
	    cmocka_unit_test(test_leftovers_tries_again),
	    cmocka_unit_test(test_leftovers_settles_a_record_as_soon_as_it_can),
	    cmocka_unit_test(test_leftovers_leaves_what_is_another_ones),
	    cmocka_unit_test(test_leftovers_stays_in_its_folder),
	};
	int r;

	if (!mkdtemp(top))
		return 1;
	snprintf(dir, sizeof(dir), "%s/vm", top);
	snprintf(file, sizeof(file), "%s/image", top);
	base = event_base_new();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	event_base_free(base);
	rmdir(top);
	return r;
}
