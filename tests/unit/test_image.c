/* Images on the destination: real files, and locks that real processes hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/host/image.h"

enum { MIB = 1024 * 1024 };

static char top[] = "/tmp/adit-image-XXXXXX";
static char path[64];
static bool left_out;

static struct vmdesc_disk disk(const char *format)
{
	return (struct vmdesc_disk){.name = "d0",
				    .made = "",
				    .format = format,
				    .file = "/src/d0",
				    .file_id = "",
				    .size = MIB,
				    .copy = true,
				    .qcow2 = {.compat = ""}};
}

static void make(off_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static int fresh(void **state)
{
	(void)state;
	unlink(path);
	rmdir(path);
	return 0;
}

/* image_look's code, with a part of its sentence. */
static void look(const struct vmdesc_disk *d, bool same_host, int code, const char *part)
{
	struct err e = ERR_INIT;
	bool exists = false;

	assert_int_equal(image_look(path, d, same_host, &exists, &e), code);
	if (!strstr(e.text, part))
		fail_msg("%s", e.text);
	if (code == 0)
		assert_int_equal(exists, access(path, F_OK) == 0);
}

static void test_image_is_made_where_it_can_be(void **state)
{
	static const char *const known[] = {"raw", "qcow2", "qed",  "vdi",
					    "vpc", "vhdx",  "file", "host_device"};
	struct vmdesc_disk d = disk("raw");

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		d.format = known[i];
		look(&d, false, 0, "");
	}
	d.format = "luks";
	look(&d, false, ERR_REFUSED, "luks");
	d.format = "raw,backing_file=/etc/shadow";
	look(&d, false, ERR_REFUSED, "not made");
	d.format = "raw";
	d.copy = false;
	look(&d, false, ERR_REFUSED, "not copied");
	d.read_only = true;
	look(&d, false, ERR_REFUSED, "read-only");
}

static void test_image_is_a_file(void **state)
{
	struct vmdesc_disk d = disk("raw");

	(void)state;
	make(MIB);
	look(&d, false, 0, "");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	look(&d, false, ERR_REFUSED, "no image"); /* at once: it waits for no writer */
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	look(&d, false, ERR_REFUSED, "no image");
	d.read_only = true;
	look(&d, false, ERR_REFUSED, "no image");
	rmdir(path);
}

/* A link may lead to anything, and opening that may be all that it takes (a watchdog). A terminal
 * tells whether it was opened: once the last one closes it, its master is hung up on. */
static void test_image_that_is_a_device_is_not_opened(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	struct vmdesc_disk d = disk("raw");
	struct pollfd p = {.fd = master, .events = POLLIN};
	uint64_t size;

	(void)state;
	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	assert_int_equal(symlink(ptsname(master), path), 0);
	look(&d, false, ERR_REFUSED, "no image");
	d.read_only = true;
	look(&d, false, ERR_REFUSED, "no image");
	assert_false(image_virtual_size(path, &d, &size));
	assert_false(image_in_use(path));
	assert_int_equal(poll(&p, 1, 0), 0);
	/* (so it would tell) */
	close(open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC));
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_true(p.revents & POLLHUP);
	close(master);
}

static void test_image_is_not_the_sources_own(void **state)
{
	struct vmdesc_disk d = disk("raw");
	char id[64];

	(void)state;
	make(MIB);
	assert_int_equal(vmdesc_file_id("/", path, id, sizeof(id)), 0);
	d.file_id = id;
	look(&d, true, ERR_REFUSED, "very image");
	look(&d, false, 0, ""); /* another host's numbers mean nothing */
	d.copy = false;
	look(&d, true, 0, "");
}

/* A child that holds a lock on a byte of the file until it is killed. */
static pid_t lock_byte(off_t byte, short type)
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct flock l = {
		    .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
		int fd = open(path, O_RDWR);

		if (fd < 0 || fcntl(fd, F_OFD_SETLK, &l) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_image_that_is_locked_is_in_use(void **state)
{
	static const off_t bytes[] = {100, 101, 103, 200, 201, 299};
	struct vmdesc_disk d = disk("raw");
	pid_t pid;

	(void)state;
	make(MIB);
	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		pid = lock_byte(bytes[i], F_RDLCK);
		look(&d, false, ERR_REFUSED, "in use");
		d.copy = false; /* shared storage: the source itself holds it */
		look(&d, false, 0, "");
		d.copy = true;
		end(pid);
		look(&d, false, 0, "");
	}
	pid = lock_byte(99, F_WRLCK); /* none of QEMU's */
	look(&d, false, 0, "");
	end(pid);
}

/* Two processes joined to us by pipes: qemu-io, which opens the image and waits. */
static pid_t qemu_io(int *in)
{
	int to[2], from[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		dup2(from[1], 2);
		execlp("qemu-io", "qemu-io", "-f", "raw", path, NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	*in = to[1];
	if (write(*in, "length\n", 7) != 7 || read(from[0], &c, 1) != 1) {
		end(pid);
		pid = 0;
	}
	close(from[0]);
	return pid;
}

static void test_image_that_a_qemu_has_open_is_in_use(void **state)
{
	struct vmdesc_disk d = disk("raw");
	int in = -1;
	pid_t pid;

	(void)state;
	if (system("command -v qemu-io >/dev/null 2>&1") != 0) {
		left_out = true;
		skip();
	}
	make(MIB);
	pid = qemu_io(&in);
	assert_true(pid > 0);
	look(&d, false, ERR_REFUSED, "in use");
	end(pid);
	close(in);
	look(&d, false, 0, "");
}

static void test_image_size_is_checked(void **state)
{
	struct vmdesc_disk d = disk("raw");
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(image_check_size(path, &d, MIB, &e), 0);
	assert_int_equal(image_check_size(path, &d, MIB + 512, &e), 0);
	assert_int_equal(image_check_size(path, &d, MIB - 1, &e), ERR_SPACE);
	assert_non_null(strstr(e.text, "1048575"));
	assert_non_null(strstr(e.text, "1048576"));
	assert_non_null(strstr(e.text, path));
	d.copy = false;
	e = (struct err)ERR_INIT;
	assert_int_equal(image_check_size(path, &d, MIB, &e), 0);
	assert_int_equal(image_check_size(path, &d, MIB + 512, &e), ERR_REFUSED);
}

static void test_image_tells_of_too_little_space(void **state)
{
	struct vmdesc_disk d = disk("raw");
	struct err e = ERR_INIT;

	(void)state;
	assert_false(image_note_space(top, &d, &e));
	d.size = (uint64_t)1 << 60;
	assert_true(image_note_space(top, &d, &e));
	assert_non_null(strstr(e.text, top));
	assert_false(image_note_space("/nonexistent", &d, &e));
}

static int run(struct strvec *w)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		dup2(open("/dev/null", O_WRONLY), 1);
		execvp(w->at[0], w->at);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	strvec_fini(w);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The real qemu-img takes the words, and what it makes is what the source has. */
static void test_image_words_are_qemu_imgs(void **state)
{
	struct vmdesc_disk d = disk("qcow2");
	struct strvec w = {0};
	char command[512];

	(void)state;
	d.qcow2.known = true;
	d.qcow2.compat = "1.1";
	d.qcow2.compression_type = "zstd";
	d.qcow2.cluster_size = 131072;
	d.qcow2.refcount_bits = 32;
	d.qcow2.lazy_refcounts = true;
	image_create_words(&w, path, &d, NULL, NULL, false);
	if (system("command -v qemu-img >/dev/null 2>&1") != 0) {
		strvec_fini(&w);
		left_out = true;
		skip();
	}
	assert_int_equal(run(&w), 0);
	snprintf(
	    command, sizeof(command),
	    "qemu-img info --output=json %s | tr -d ' \\n' | grep -q '\"cluster-size\":131072.*"
	    "\"refcount-bits\":32' && qemu-img info %s | grep -q 'lazy refcounts: true' && "
	    "qemu-img info %s | grep -q 'compression type: zstd'",
	    path, path, path);
	assert_int_equal(system(command), 0);
	image_info_words(&w, path, &d);
	assert_int_equal(run(&w), 0);
	d.qcow2.compat = "0.10"; /* has none of the newer features */
	d.qcow2.cluster_size = 65536;
	d.qcow2.refcount_bits = 16;
	unlink(path);
	image_create_words(&w, path, &d, NULL, NULL, false);
	assert_int_equal(run(&w), 0);
	d.format = "raw"; /* the contents do not decide */
	image_info_words(&w, path, &d);
	assert_true(strvec_has(&w, "raw"));
	strvec_fini(&w);
	/* a node of the file alone, as newer libvirt has of a raw image */
	d.format = "file";
	d.qcow2.known = false;
	unlink(path);
	image_create_words(&w, path, &d, NULL, NULL, false);
	assert_true(strvec_has(&w, "raw"));
	assert_int_equal(run(&w), 0);
	image_info_words(&w, path, &d);
	assert_true(strvec_has(&w, "raw"));
	assert_int_equal(run(&w), 0);
	/* what its storage has made of another format: the old one's options are not the new one's
	 */
	d.format = "qcow2";
	d.qcow2.known = true;
	d.made = "raw";
	unlink(path);
	image_create_words(&w, path, &d, NULL, NULL, false);
	assert_true(strvec_has(&w, "raw") && !strvec_has(&w, "-o"));
	assert_int_equal(run(&w), 0);
	d.format = "raw";
	d.qcow2.known = false;
	d.made = "qcow2";
	unlink(path);
	image_create_words(&w, path, &d, NULL, NULL, true);
	assert_true(strvec_has(&w, "qcow2") && strvec_has(&w, "preallocation=falloc"));
	assert_int_equal(run(&w), 0);
	image_info_words(&w, path, &d);
	assert_int_equal(run(&w), 0);
}

/* What is there and is to be overwritten is opened as the format that is made, or not at all. */
static void test_image_of_another_format_is_not_written_over(void **state)
{
	static const struct {
		const char *head, *format, *part; /* NULL: it may be */
	} cases[] = {
	    {"", "raw", NULL},
	    {"QFI", "raw", NULL},
	    {"LUKS\xba\xbe", "raw", NULL}, /* a guest's own, perhaps */
	    {"QFI\xfb", "qcow2", NULL},
	    {"QED", "qed", NULL},
	    {"QFI\xfb", "raw", "is a qcow2 image, and drive d0 is to be raw there: remove it"},
	    {"QFI\xfb", "file", "is a qcow2 image"},
	    {"QED", "raw", "is a qed image"},
	    {"", "qcow2", "is no qcow2 image, and drive d0 is to be qcow2 there"},
	    {"QED", "qcow2", "is no qcow2 image"},
	    {"QFI\xfb", "qed", "is no qed image"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vmdesc_disk d = disk(cases[i].format);
		struct err e = ERR_INIT;
		FILE *f;

		make(MIB);
		f = fopen(path, "r+");
		assert_non_null(f);
		assert_true(fputs(cases[i].head, f) >= 0);
		fclose(f);
		assert_int_equal(image_check_format(path, &d, &e), cases[i].part ? ERR_REFUSED : 0);
		if (cases[i].part && !strstr(e.text, cases[i].part))
			fail_msg("%s", e.text);
		if (strcmp(d.format, "file") == 0)
			continue;
		/* what the storage makes of it counts */
		d.made = d.format;
		d.format = "qcow2";
		assert_int_equal(image_check_format(path, &d, &e), cases[i].part ? ERR_REFUSED : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_image_is_made_where_it_can_be, fresh),
	    cmocka_unit_test_setup(test_image_is_a_file, fresh),
	    cmocka_unit_test_setup(test_image_that_is_a_device_is_not_opened, fresh),
	    cmocka_unit_test_setup(test_image_is_not_the_sources_own, fresh),
	    cmocka_unit_test_setup(test_image_that_is_locked_is_in_use, fresh),
	    cmocka_unit_test_setup(test_image_that_a_qemu_has_open_is_in_use, fresh),
	    cmocka_unit_test_setup(test_image_of_another_format_is_not_written_over, fresh),
	    cmocka_unit_test_setup(test_image_size_is_checked, fresh),
	    cmocka_unit_test_setup(test_image_tells_of_too_little_space, fresh),
	    cmocka_unit_test_setup(test_image_words_are_qemu_imgs, fresh),
	};
	int r;

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(top))
		return 1;
	snprintf(path, sizeof(path), "%s/-x,y.img", top);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	fresh(NULL);
	rmdir(top);
	if (left_out && r == 0)
		puts("SKIP: no qemu-io or qemu-img");
	return r;
}
