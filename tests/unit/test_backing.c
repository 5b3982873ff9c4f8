/* What stands below an overlay on the destination, as honest and as lying headers tell it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/host/backing.h"

static char top[] = "/tmp/adit-backing-XXXXXX", dir[64], path[128];
static const char *dirs[] = {dir, NULL};

static void put(uint8_t *p, uint64_t v, unsigned len)
{
	while (len--) {
		p[len] = (uint8_t)v;
		v >>= 8;
	}
}

/* A qcow2 header at NAME: below and its format, "" for none. */
static void make(const char *name, unsigned version, const char *below, const char *format)
{
	uint8_t b[4096] = {0};
	unsigned at = version == 3 ? 104 : 72;
	char file[256];
	int fd;

	memcpy(b, "QFI\xfb", 4);
	put(b + 4, version, 4);
	put(b + 24, 1048576, 8);
	if (version == 3)
		put(b + 100, 104, 4);
	if (*format) {
		put(b + at, 0x11223344, 4); /* one that is not known comes first */
		put(b + at + 4, 3, 4);
		put(b + at + 16, 0xe2792aca, 4);
		put(b + at + 20, strlen(format), 4);
		memcpy(b + at + 24, format, strlen(format));
	}
	if (*below) {
		put(b + 8, 1024, 8);
		put(b + 16, strlen(below), 4);
		memcpy(b + 1024, below, strlen(below));
	}
	snprintf(file, sizeof(file), "%s/%s", dir, name);
	unlink(file);
	fd = open(file, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	assert_true(fd >= 0 && write(fd, b, sizeof(b)) == sizeof(b));
	close(fd);
}

/* Changes len bytes of base.qcow2 at an offset. */
static void poke(off_t at, uint64_t v, unsigned len)
{
	uint8_t b[8];
	int fd = open(path, O_WRONLY);

	put(b, v, len);
	assert_true(fd >= 0 && pwrite(fd, b, len, at) == (ssize_t)len);
	close(fd);
}

static const struct vmdesc_backing want = {"/src/base.qcow2", "qcow2", 1048576, 0, false};

static size_t taken(void)
{
	struct strvec chain = {0};
	struct err e = ERR_INIT;
	size_t n;

	if (backing_look(dirs, path, &want, &chain, &e) != 0)
		fail_msg("%s", e.text);
	n = chain.count;
	strvec_fini(&chain);
	return n;
}

static void refused(const char *part)
{
	struct strvec chain = {0};
	struct err e = ERR_INIT;

	assert_true(backing_look(dirs, path, &want, &chain, &e) < 0);
	if (!strstr(e.text, part))
		fail_msg("%s: %s", part, e.text);
	strvec_fini(&chain);
}

static void test_backing_takes_chains_within_the_folder(void **state)
{
	char name[200];

	(void)state;
	make("base.qcow2", 3, "", "");
	assert_int_equal(taken(), 1);
	make("base.qcow2", 2, "", "");
	assert_int_equal(taken(), 1);
	make("root.qcow2", 2, "", "");
	make("mid.qcow2", 2, "root.qcow2", "qcow2");
	make("base.qcow2", 3, "mid.qcow2", "qcow2");
	assert_int_equal(taken(), 3);
	snprintf(name, sizeof(name), "%s/mid.qcow2", dir);
	make("base.qcow2", 3, name, "qcow2");
	assert_int_equal(taken(), 3);
	make("base.qcow2", 3, "../images/mid.qcow2", "qcow2");
	assert_int_equal(taken(), 3);
}

static void test_backing_refuses_ways_out(void **state)
{
	char name[200];

	(void)state;
	make("base.qcow2", 3, "/etc/passwd", "raw");
	refused("/etc/passwd on the destination does not lie in an --images");
	make("base.qcow2", 3, "../outside", "raw");
	refused("--images");
	make("base.qcow2", 3, "nothing", "raw");
	refused("nothing");
	make("base.qcow2", 3, "json:{\"driver\":\"file\"}", "raw");
	refused("no plain path");
	make("base.qcow2", 3, "file:/etc/passwd", "raw");
	refused("no plain path");
	/* a link in the folder to what is outside of it */
	snprintf(name, sizeof(name), "%s/link", dir);
	assert_int_equal(symlink("../outside", name), 0);
	make("base.qcow2", 3, "link", "raw");
	refused("link on the destination does not lie in");
	/* what is raw to one may be another image to the next */
	make("mid.qcow2", 3, "/etc/passwd", "raw");
	make("base.qcow2", 3, "mid.qcow2", "raw");
	refused("of another format");
	make("base.qcow2", 3, "mid.qcow2", "");
	refused("does not name its format");
	make("base.qcow2", 3, "mid.qcow2", "vmdk");
	refused("only raw and qcow2");
	make("base.qcow2", 3, "base.qcow2", "qcow2");
	refused("more than 16");
}

static void test_backing_refuses_what_is_not_the_source_s(void **state)
{
	(void)state;
	make("base.qcow2", 3, "", "");
	poke(24, 2097152, 8);
	refused("2097152 bytes, not 1048576");
	make("base.qcow2", 3, "", "");
	poke(0, 0, 4);
	refused("no qcow2");
	make("base.qcow2", 3, "", "");
	poke(4, 9, 4);
	refused("no qcow2");
	make("base.qcow2", 3, "", "");
	poke(72, 4, 8);
	refused("data file");
}

static void test_backing_survives_damaged_headers(void **state)
{
	(void)state;
	make("base.qcow2", 3, "mid.qcow2", "qcow2");
	poke(8, INT64_MAX, 8);
	refused("damaged");
	poke(8, 4090, 8);
	refused("damaged"); /* behind the end */
	poke(8, 1024, 8);
	poke(16, 0xffffffff, 4);
	refused("damaged");
	poke(16, 0, 4);
	refused("damaged");
	poke(16, 12, 4);
	refused("damaged"); /* a zero byte in it */
	/* extensions without an end, or larger than anything */
	make("base.qcow2", 3, "mid.qcow2", "qcow2");
	poke(108, 0xffffffff, 4);
	refused("does not name its format");
	make("base.qcow2", 3, "mid.qcow2", "qcow2");
	poke(100, 0xffffffff, 4);
	refused("does not name its format");
	assert_int_equal(truncate(path, 40), 0);
	refused("no qcow2");
	assert_int_equal(truncate(path, 0), 0);
	refused("no qcow2");
	unlink(path);
	refused("base.qcow2");
	assert_int_equal(mkdir(path, 0700), 0);
	refused("not a file");
	rmdir(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused("not a file");
	unlink(path);
}

static void test_backing_sees_a_writer(void **state)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 101, .l_len = 1};
	int fd;

	(void)state;
	make("base.qcow2", 3, "", "");
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	refused("written to by another");
	close(fd);
	assert_int_equal(taken(), 1);
}

static void test_backing_is_found_by_its_last_name(void **state)
{
	const char *two[] = {"/nonexistent", dir, NULL};
	struct vmdesc_disk d = {.name = "disk0"};
	struct vmdesc_backing b = want;
	struct err e = ERR_INIT;
	char found[256];

	(void)state;
	make("base.qcow2", 3, "", "");
	assert_int_equal(backing_find(two, &d, &b, found, sizeof(found), &e), 0);
	assert_string_equal(found, path);
	b.file = "/src/other";
	assert_int_equal(backing_find(two, &d, &b, found, sizeof(found), &e), ERR_REFUSED);
	assert_non_null(strstr(e.text, "other"));
	b.file = "/src/..";
	assert_int_equal(backing_find(two, &d, &b, found, sizeof(found), &e), ERR_REFUSED);
	b.file = "";
	assert_int_equal(backing_find(two, &d, &b, found, sizeof(found), &e), ERR_REFUSED);
	assert_int_equal(backing_find(NULL, &d, &want, found, sizeof(found), &e), ERR_REFUSED);
}

static int set_up(void **state)
{
	char outside[128];
	int fd;

	(void)state;
	if (!mkdtemp(top))
		return -1;
	snprintf(dir, sizeof(dir), "%s/images", top);
	snprintf(path, sizeof(path), "%s/base.qcow2", dir);
	snprintf(outside, sizeof(outside), "%s/outside", top);
	fd = open(outside, O_CREAT | O_WRONLY, 0600);
	close(fd);
	return mkdir(dir, 0700);
}

static int tear_down(void **state)
{
	char command[200];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_backing_takes_chains_within_the_folder),
	    cmocka_unit_test(test_backing_refuses_ways_out),
	    cmocka_unit_test(test_backing_refuses_what_is_not_the_source_s),
	    cmocka_unit_test(test_backing_survives_damaged_headers),
	    cmocka_unit_test(test_backing_sees_a_writer),
	    cmocka_unit_test(test_backing_is_found_by_its_last_name),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
