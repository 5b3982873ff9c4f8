/* A text in two slots: torn writes, bad checks, a full disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/slots.h"

static char dir[64], path[128];

static int setup(void **s)
{
	(void)s;
	strcpy(dir, "/tmp/adit-slots.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	return 0;
}

static int teardown(void **s)
{
	char cmd[128];

	(void)s;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static void put(struct slots *f, const char *text)
{
	struct err e = ERR_INIT;

	if (slots_write(f, text, strlen(text), &e) < 0)
		fail_msg("%s", e.text);
}

static void expect(const char *text)
{
	struct err e = ERR_INIT;
	char *is = slots_read(path, &e);

	if (!is)
		fail_msg("nothing but: %s", e.text);
	assert_string_equal(is, text);
	free(is);
}

static char *load(size_t *len)
{
	FILE *f = fopen(path, "r");
	char *data = malloc(1 << 20);

	*len = fread(data, 1, 1 << 20, f);
	fclose(f);
	return data;
}

static void store(const char *data, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

static void test_slots_give_what_was_written_last(void **s)
{
	struct slots f, g;
	char word[32], *big;
	struct err e = ERR_INIT;
	struct stat st;

	(void)s;
	assert_null(slots_read(path, &e));
	assert_int_equal(e.code, ERR_NONE);
	slots_init(&f, path);
	for (int i = 0; i < 25; i++) {
		snprintf(word, sizeof(word), "%.*s", i, "abcdefghijklmnopqrstuvwxyz");
		put(&f, word);
		expect(word);
	}
	slots_fini(&f);
	/* another process goes on with it */
	slots_init(&g, path);
	put(&g, "one");
	put(&g, "two");
	expect("two");
	/* one that needs more room */
	big = calloc(1, 50001);
	memset(big, 'x', 50000);
	put(&g, big);
	expect(big);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 2 * 50000);
	assert_int_equal(st.st_mode & 0777, 0600);
	put(&g, "small");
	expect("small");
	free(big);
	slots_fini(&g);
	unlink(path);
}

/* A write is torn behind every byte of it, and before every byte: what was there counts. */
static void test_slots_torn_write_leaves_the_text_that_was_there(void **s)
{
	char *before, *after, *torn;
	size_t len, len2, slot, first = 0, last = 0;
	struct slots f;

	(void)s;
	slots_init(&f, path);
	put(&f, "the first");
	put(&f, "the second");
	before = load(&len);
	put(&f, "the third, of another length");
	after = load(&len2);
	assert_int_equal(len, len2);
	slot = len / 2;
	/* what differs is in one slot only, and not in the one that counted */
	for (size_t i = 0; i < len; i++) {
		if (before[i] == after[i])
			continue;
		first = first ? first : i;
		last = i;
	}
	assert_true(last < slot);
	torn = malloc(len);
	for (size_t k = 0; k <= slot; k++) {
		memcpy(torn, before, len);
		memcpy(torn, after, k);
		store(torn, len);
		expect(k > last ? "the third, of another length" : "the second");
		memcpy(torn, after, len);
		memcpy(torn, before, k);
		store(torn, len);
		expect(k > first ? "the second" : "the third, of another length");
	}
	/* and it goes on from there, into the slot that is torn */
	memcpy(torn, before, len);
	memcpy(torn, after, last);
	store(torn, len);
	slots_fini(&f);
	slots_init(&f, path);
	put(&f, "the fourth");
	expect("the fourth");
	free(before);
	free(after);
	free(torn);
	slots_fini(&f);
	unlink(path);
}

static void test_slots_refuses_a_file_without_a_whole_slot(void **s)
{
	struct err e = ERR_INIT;
	struct slots f;
	size_t len;
	char *data, *p;

	(void)s;
	slots_init(&f, path);
	put(&f, "the first");
	put(&f, "the second");
	data = load(&len);
	/* each byte of the newer one's head and text */
	for (size_t i = len / 2; i < len / 2 + 81 + 10; i++) {
		data[i] ^= 1;
		store(data, len);
		p = slots_read(path, &e);
		/* (a space in front of a number is one of those that say nothing) */
		assert_true(strcmp(p, "the first") == 0 || strcmp(p, "the second") == 0);
		if (i >= len / 2 + 81)
			assert_string_equal(p, "the first");
		free(p);
		data[i] ^= 1;
	}
	data[81] ^= 1;
	data[len / 2 + 81] ^= 1;
	store(data, len);
	assert_null(slots_read(path, &e));
	assert_int_equal(e.code, ERR_CONFIG);
	assert_non_null(strstr(e.text, path));
	/* cut off: the second slot has gone, and with it where the slots are */
	store(data, len / 2);
	e = (struct err)ERR_INIT;
	assert_null(slots_read(path, &e));
	assert_int_equal(e.code, ERR_CONFIG);
	slots_fini(&f);
	/* it is no use: a new text takes its place */
	slots_init(&f, path);
	put(&f, "new");
	expect("new");
	slots_fini(&f);
	free(data);
	unlink(path);
}

static void test_slots_reads_a_file_without_slots_as_it_is(void **s)
{
	struct slots f;

	(void)s;
	store("{\"adit\":1}\n", 11);
	expect("{\"adit\":1}\n");
	slots_init(&f, path);
	put(&f, "new");
	expect("new");
	slots_fini(&f);
	unlink(path);
}

/* On a file system of 64 KiB that somebody else has filled. */
static void on_full_disk(void)
{
	struct err e = ERR_INIT;
	char other[128], *big = calloc(1, 60001);
	struct slots f;
	int fd;

	slots_init(&f, path);
	put(&f, "the first");
	snprintf(other, sizeof(other), "%s/other", dir);
	fd = open(other, O_WRONLY | O_CREAT, 0600);
	while (write(fd, big, 4096) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	for (int i = 0; i < 20; i++) {
		put(&f, i % 2 ? "odd" : "even");
		expect(i % 2 ? "odd" : "even");
	}
	memset(big, 'x', 60000);
	assert_true(slots_write(&f, big, 60000, &e) < 0);
	assert_int_equal(e.code, ERR_SYSTEM);
	expect("odd");
	/* the file is gone, and somebody has filled its place */
	slots_fini(&f);
	unlink(path);
	while (write(fd, big, 4096) > 0)
		;
	e = (struct err)ERR_INIT;
	assert_true(slots_write(&f, "there is no room for it", 23, &e) < 0);
	assert_int_equal(access(path, F_OK), -1);
	close(fd);
	unlink(other);
	/* tried again, with room */
	put(&f, "now");
	expect("now");
	slots_fini(&f);
	free(big);
}

static void test_slots_need_no_room_on_a_full_disk(void **s)
{
	(void)s;
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", dir, "tmpfs", 0, "size=64k") < 0) {
		print_message("SKIP: no file system can be mounted here\n");
		skip();
	}
	on_full_disk();
	assert_int_equal(umount(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_slots_give_what_was_written_last),
	    cmocka_unit_test(test_slots_torn_write_leaves_the_text_that_was_there),
	    cmocka_unit_test(test_slots_refuses_a_file_without_a_whole_slot),
	    cmocka_unit_test(test_slots_reads_a_file_without_slots_as_it_is),
	    cmocka_unit_test(test_slots_need_no_room_on_a_full_disk),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
