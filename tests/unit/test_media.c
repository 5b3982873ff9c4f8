/* Which media are copied, and the sums by which those that are there are told from others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/vm.h"

static char top[] = "/tmp/adit-media-XXXXXX";

static json_t *drive(const char *file, const char *format, uint64_t size, bool read_only)
{
	return json_pack("{s:s,s:s,s:I,s:b,s:b}", "file", file, "format", format, "size",
			 (json_int_t)size, "read_only", read_only, "copy", 0);
}

/* "c--c": which of the drives are marked. */
static const char *marks(json_t *disks, enum media_copy how, char *buf)
{
	size_t i;
	json_t *disk;

	media_select(disks, how);
	json_array_foreach(disks, i, disk) buf[i] =
	    json_is_true(json_object_get(disk, "copy")) ? 'c' : '-';
	buf[json_array_size(disks)] = 0;
	json_decref(disks);
	return buf;
}

static json_t *some(void)
{
	json_t *v = json_pack(
	    "[o,o,o,o,o,o,o]", drive("/a.iso", "raw", 512, true), drive("/a.iso", "raw", 512, true),
	    drive("/b.iso", "raw", MEDIA_SMALL, true),
	    drive("/c.iso", "raw", MEDIA_SMALL + 1, true), drive("/d.qcow2", "qcow2", 512, true),
	    drive("/e.raw", "raw", 512, false), drive("/dev/sr0", "host_device", 512, true));

	json_object_set_new(json_array_get(v, 6), "encryption", json_object());
	return v;
}

static void test_media_copied_are_small_raw_and_once_each(void **state)
{
	char buf[16];

	(void)state;
	assert_string_equal(marks(some(), MEDIA_COPY_AUTO, buf), "c-c----");
	assert_string_equal(marks(some(), MEDIA_COPY_ON, buf), "c-cc---");
	assert_string_equal(marks(some(), MEDIA_COPY_OFF, buf), "-------");
}

static void on_end(void *ctx, struct media_sums *s)
{
	(void)s;
	event_base_loopbreak(ctx);
}

/* The sum of a file of that size, all zero but for a byte at that place. */
static void sum(uint64_t size, uint64_t at, char out[65])
{
	struct event_base *base = event_base_new();
	struct media_sums *s = media_sums_new(base, getpid(), on_end, base);
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/m", top);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, "x", at < size, (off_t)at), at < size);
	close(fd);
	media_sums_add(s, path);
	media_sums_add(s, path);
	media_sums_start(s, "");
	event_base_dispatch(base);
	snprintf(out, 65, "%s", media_sums_of(s, path));
	assert_string_equal(media_sums_of(s, "/other"), "");
	media_sums_free(s);
	event_base_free(base);
	unlink(path);
}

static void test_media_sums_are_of_whole_sectors(void **state)
{
	char a[65], b[65];

	(void)state;
	sum(0, 0, a);
	assert_string_equal(a, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sum(512, 512, a); /* sha256sum of as many zeroes */
	assert_string_equal(a, "076a27c79e5ace2a3d47f9dd2e83e4ff6ea8872b3c2218f66c92b89b55f36560");
	sum(3, 512, b);
	assert_string_equal(a, b);
	sum(512, 3, b);
	assert_string_not_equal(a, b);
	sum(1024, 1024, b);
	assert_string_not_equal(a, b);
}

static void test_media_sums_of_large_files_are_of_their_ends(void **state)
{
	const uint64_t size = MEDIA_SMALL + 1000, end = (uint64_t)4 << 20;
	char none[65], with[65];

	(void)state;
	/* all of a small one */
	sum(MEDIA_SMALL, MEDIA_SMALL, none);
	sum(MEDIA_SMALL, MEDIA_SMALL / 2, with);
	assert_string_not_equal(none, with);
	sum(size, size, none);
	sum(size, end - 1, with);
	assert_string_not_equal(none, with);
	sum(size, end, with);
	assert_string_equal(none, with);
	sum(size, size - 1, with);
	assert_string_not_equal(none, with);
	sum(size, size - end, with);
	assert_string_not_equal(none, with);
}

/* What is no regular file has none; and it is not opened even for a moment, which would be an order
 * to a watchdog, or a tape. */
static void test_media_sums_pass_over_what_is_no_file(void **state)
{
	struct event_base *base = event_base_new();
	struct media_sums *s = media_sums_new(base, getpid(), on_end, base);
	char path[64], seen[sizeof(struct inotify_event) + 256];
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	json_t *disks;

	(void)state;
	snprintf(path, sizeof(path), "%s/pipe", top);
	disks = json_pack("[o]", drive(path, "raw", 512, true));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(watch >= 0 && inotify_add_watch(watch, path, IN_OPEN) >= 0);
	media_sums_add_disks(s, disks);
	media_sums_add(s, top);
	media_sums_add(s, "/nonexistent/file");
	media_sums_start(s, "");
	event_base_dispatch(base);
	media_sums_put(s, disks);
	assert_null(json_object_get(json_array_get(disks, 0), "sum"));
	assert_int_equal(read(watch, seen, sizeof(seen)), -1);
	assert_int_equal(errno, EAGAIN);
	json_decref(disks);
	media_sums_free(s);
	event_base_free(base);
	close(watch);
	unlink(path);
}

/* As process pid would read it; "" where it cannot. */
static void sum_of(pid_t pid, const char *path, char out[65])
{
	struct event_base *base = event_base_new();
	struct media_sums *s = media_sums_new(base, pid, on_end, base);

	media_sums_add(s, path);
	media_sums_start(s, "");
	event_base_dispatch(base);
	snprintf(out, 65, "%s", media_sums_of(s, path));
	media_sums_free(s);
	event_base_free(base);
}

static pid_t start_as_nobody(void)
{
	int ready[2];
	char ok = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0 &&
		    prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && write(ready[1], "y", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &ok, 1), 1);
	close(ready[0]);
	return pid;
}

static void test_media_sums_are_of_what_qemu_may_read(void **state)
{
	char path[64], out[65];
	pid_t pid;
	int fd;

	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof(path), "%s/m", top);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(chmod(top, 0755), 0);
	sum_of(getpid(), path, out);
	assert_int_equal(strlen(out), 64);
	pid = start_as_nobody();
	sum_of(pid, path, out);
	assert_string_equal(out, "");
	assert_int_equal(chmod(path, 0644), 0);
	sum_of(pid, path, out);
	assert_int_equal(strlen(out), 64);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
}

/* Whether the file is read for its sum, which has to be that one, if any. */
static bool is_read(const char *path, const char *sum)
{
	char out[65], seen[16 * (sizeof(struct inotify_event) + 16)];
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	bool is;

	assert_true(watch >= 0 && inotify_add_watch(watch, path, IN_ACCESS) >= 0);
	sum_of(getpid(), path, out);
	is = read(watch, seen, sizeof(seen)) > 0;
	close(watch);
	if (sum)
		assert_string_equal(out, sum);
	return is;
}

/* What is the same is not read again. */
static void test_media_sums_are_remembered(void **state)
{
	static const char zero[] =
	    "076a27c79e5ace2a3d47f9dd2e83e4ff6ea8872b3c2218f66c92b89b55f36560";
	char path[64];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/m", top);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 512), 0);
	assert_true(is_read(path, zero));
	assert_true(is_read(path, zero)); /* it may have been changed since, in the same moment */
	sleep(3);
	assert_true(is_read(path, zero));
	assert_false(is_read(path, zero));
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	assert_true(is_read(path, NULL));
	close(fd);
	unlink(path);
}

struct order {
	struct event_base *base;
	char text[8];
	size_t count;
};

static void on_end_of(void *ctx, struct media_sums *s)
{
	struct order *o = ((void **)ctx)[0];
	const char *name = ((void **)ctx)[1];

	(void)s;
	o->text[o->count++] = *name;
	if (o->count == 3)
		event_base_loopbreak(o->base);
}

/* A peer that asks twice waits for itself, and nobody else for it. */
static void test_media_sums_are_one_at_a_time_of_each_peer(void **state)
{
	struct order o = {.base = event_base_new()};
	void *ctx[3][2] = {{&o, (void *)"1"}, {&o, (void *)"2"}, {&o, (void *)"b"}};
	struct media_sums *s[3];
	char path[3][64];
	int fd;

	(void)state;
	for (int i = 0; i < 3; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/%d", top, i);
		fd = open(path[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, i < 2 ? 1 << 20 : 9 << 17), 0);
		close(fd);
		s[i] = media_sums_new(o.base, getpid(), on_end_of, ctx[i]);
		media_sums_add(s[i], path[i]);
		media_sums_start(s[i], i < 2 ? "a" : "b");
	}
	event_base_dispatch(o.base);
	assert_string_equal(o.text, "1b2");
	for (int i = 0; i < 3; i++) {
		media_sums_free(s[i]);
		unlink(path[i]);
	}
	event_base_free(o.base);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(top) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_media_copied_are_small_raw_and_once_each),
	    cmocka_unit_test(test_media_sums_are_of_whole_sectors),
	    cmocka_unit_test(test_media_sums_of_large_files_are_of_their_ends),
	    cmocka_unit_test(test_media_sums_pass_over_what_is_no_file),
	    cmocka_unit_test(test_media_sums_are_of_what_qemu_may_read),
	    cmocka_unit_test(test_media_sums_are_remembered),
	    cmocka_unit_test(test_media_sums_are_one_at_a_time_of_each_peer),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
