/* Encrypted images and secrets of the twin, from sources that tell of them, and from some that do
 * not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/host/image.h"
#include "control/vm/secret_file.h"
#include "control/vm/secret_source.h"
#include "test_twin_fixture.h"

/* A VM with one disk, d0. */
struct source {
	json_t *crypt;	 /* of the disk, stolen; NULL: the source says nothing */
	json_t *secrets; /* stolen; NULL: s0, handed over */
	const char *format;
	bool shared, inc, below;
	struct plan plan;
};

static json_t *crypt_of(const char *driver)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s}", "format", "luks", "driver", driver, "secret",
			 "s0", "cipher_alg", "aes-256", "hash_alg", "sha256");
}

static int plan_source(struct source *p, const char *const *words)
{
	json_t *d = disk("d0", "/src/x.img", p->format ? p->format : "qcow2");

	if (p->shared)
		json_object_set_new(d, "copy", json_false());
	if (p->crypt)
		json_object_set_new(d, "encryption", p->crypt);
	if (p->below)
		json_object_set_new(d, "backing",
				    json_pack("[{s:s,s:s,s:i,s:b}]", "file", "/src/base", "format",
					      "qcow2", "size", 1048576, "encrypted", 1));
	p->plan = (struct plan){
	    .inc = p->inc,
	    .disks = json_pack("[o]", d),
	    .secrets = p->secrets ? p->secrets : json_pack("[{s:s}]", "id", "s0"),
	};
	return plan_words(&p->plan, words);
}

#define plan_of(p, ...) plan_source(p, (const char *const[]){__VA_ARGS__, NULL})

static void end(struct source *p)
{
	plan_fini(&p->plan);
	memset(p, 0, sizeof(*p));
}

static void refuses(struct source *p, const char *option, const char *value, const char *part)
{
	if (plan_of(p, option, value) == 0)
		fail_msg("%s %s was taken", option, value);
	if (p->plan.e.code != ERR_REFUSED || !strstr(p->plan.e.text, part))
		fail_msg("%s %s: %s", option, value, p->plan.e.text);
	end(p);
}

#define DRIVE "file=/src/x.img,format=qcow2,if=none,id=d0,encrypt.key-secret=s0"
#define NODES "driver=luks,node-name=d0,key-secret=s0,file.driver=file,file.filename=/src/x.img"

static void test_twin_crypt_is_not_left_to_the_source(void **state)
{
	static const char *const silent[][2] = {
	    {"-drive", DRIVE},
	    {"-drive", "file=/src/x.img,if=none,id=d0,format=luks,key-secret=s0"},
	    {"-drive", "file=/src/x.img,if=none,id=d0,encrypt.format=luks"},
	    {"-drive", "file=/src/x.img,if=none,id=d0,driver=luks"},
	    {"-blockdev", NODES},
	    {"-blockdev", "driver=luks,node-name=l,file=f"},
	    {"-blockdev", "driver=qcow2,node-name=d0,file=f,encrypt.format=luks"},
	    {"-blockdev", "{\"driver\":\"qcow2\",\"node-name\":\"d0\",\"file\":\"f\",\"encrypt\":{"
			  "\"format\":\"luks\",\"key-secret\":\"s0\"}}"},
	    {"-blockdev", "{\"driver\":\"raw\",\"node-name\":\"d0\",\"file\":{\"driver\":\"luks\","
			  "\"key-secret\":\"s0\",\"file\":\"f\"}}"},
	};
	struct source p = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++)
		refuses(&p, silent[i][0], silent[i][1], "its copy would not be");
	p.below = true;
	refuses(&p, "-drive", "file=/src/x.img,format=qcow2,if=none,id=d0", "stands on");
	/* a name is no format */
	p = (struct source){0};
	if (plan_of(&p, "-drive", "file=/src/x.img,format=qcow2,if=none,id=d0,serial=luks") != 0)
		fail_msg("%s", p.plan.e.text);
	end(&p);
}

static void test_twin_crypt_takes_what_is_described(void **state)
{
	struct source p = {.crypt = crypt_of("qcow2")};
	struct strvec w = {0};

	(void)state;
	if (plan_of(&p, "-object", "secret,id=s0", "-drive", DRIVE) != 0)
		fail_msg("%s", p.plan.e.text);
	assert_string_equal(p.plan.t.argv.at[1], "-object");
	assert_string_equal(p.plan.t.argv.at[2], "secret,id=s0,format=raw,file=/proc/self/fd/10");
	assert_string_equal(p.plan.t.argv.at[3], "-drive");
	image_create_words(&w, "/i/x.img", &p.plan.d.disks[0], NULL, &p.plan.d, false);
	assert_true(strvec_has(&w, "secret,id=s0,format=raw,file=/proc/self/fd/10"));
	assert_true(strvec_has(&w, "encrypt.format=luks,encrypt.key-secret=s0,encrypt.cipher-alg="
				   "aes-256,encrypt.hash-alg=sha256"));
	strvec_fini(&w);
	end(&p);
	p = (struct source){.crypt = crypt_of("luks"), .format = "luks"};
	if (plan_of(&p, "-blockdev", NODES) != 0)
		fail_msg("%s", p.plan.e.text);
	image_create_words(&w, "/i/x.img", &p.plan.d.disks[0], NULL, &p.plan.d, false);
	assert_true(strvec_has(&w, "luks"));
	assert_true(strvec_has(&w, "key-secret=s0,cipher-alg=aes-256,hash-alg=sha256"));
	strvec_fini(&w);
	end(&p);
	/* both hosts see it: nothing is copied */
	p.shared = true;
	if (plan_of(&p, "-drive", DRIVE) != 0)
		fail_msg("%s", p.plan.e.text);
	end(&p);
}

static json_t *with(json_t *o, const char *key, const char *value)
{
	json_object_set_new(o, key, json_string(value));
	return o;
}

static void test_twin_crypt_refuses_what_it_cannot_make(void **state)
{
	struct source p = {0};

	(void)state;
	p.crypt = with(crypt_of("qcow2"), "format", "aes");
	refuses(&p, "-drive", DRIVE, "not with LUKS");
	p.crypt = with(crypt_of("qcow2"), "secret", "s1");
	refuses(&p, "-drive", DRIVE, "with which secret");
	p.crypt = with(crypt_of("qcow2"), "cipher_alg", "aes-256,backing_file=/etc/shadow");
	refuses(&p, "-drive", DRIVE, "does not know");
	p.crypt = with(crypt_of("qcow2"), "hash_alg", "x=y");
	refuses(&p, "-drive", DRIVE, "does not know");
	p.crypt = crypt_of("luks"); /* the disk is qcow2 */
	refuses(&p, "-drive", DRIVE, "inside of an encrypted one");
	p.crypt = crypt_of("luks");
	json_object_set_new(p.crypt, "detached", json_true());
	refuses(&p, "-drive", DRIVE, "header");
	p = (struct source){.crypt = crypt_of("qcow2"), .below = true, .inc = true};
	refuses(&p, "-drive", DRIVE, "stands on");
	p.crypt = crypt_of("qcow2");
	refuses(&p, "-drive", "file=/src/x.img,format=qcow2,if=none,id=d0,encrypt.key-secret=other",
		"other");
}

static void test_twin_crypt_secrets_are_handed_over(void **state)
{
	struct source p = {0};

	(void)state;
	refuses(&p, "-object", "secret,id=s0,data=geheim", "command line");
	refuses(&p, "-object", "{\"qom-type\":\"secret\",\"id\":\"s0\",\"data\":\"geheim\"}",
		"command line");
	refuses(&p, "-object", "secret,id=s0,file=/etc/shadow", "file of the source host");
	refuses(&p, "-object", "secret,id=s1", "not handed it over");
	refuses(&p, "-object", "secret_keyring,id=s0,serial=7", "source host");
	p.secrets = json_pack("[{s:s},{s:s}]", "id", "s0", "id", "s0");
	refuses(&p, "-m", "32", "two secrets");
	p.secrets = json_pack("[{s:s,s:s}]", "id", "s0", "format", "raw,file=/etc/shadow");
	refuses(&p, "-m", "32", "format");
	p.secrets = json_pack("[{s:s,s:s}]", "id", "s0", "iv", "AA,file=/etc/shadow");
	refuses(&p, "-m", "32", "iv");
	p.secrets = json_pack("[{s:s,s:s}]", "id", "s0", "keyid", "s1");
	refuses(&p, "-m", "32", "encrypted with s1");
	p.secrets = json_pack("[{s:s,s:s},{s:s,s:s,s:s}]", "id", "m", "format", "base64", "id",
			      "s0", "keyid", "m", "iv", "AAA=");
	if (plan_of(&p, "-object", "secret,id=m", "-object", "secret,id=s0", "-drive",
		    "file=/src/x.img,format=qcow2,if=none,id=d0") != 0)
		fail_msg("%s", p.plan.e.text);
	assert_string_equal(p.plan.t.argv.at[2], "secret,id=m,format=base64,file=/proc/self/fd/10");
	assert_string_equal(p.plan.t.argv.at[4],
			    "secret,id=s0,format=raw,file=/proc/self/fd/11,keyid=m,iv=AAA=");
	end(&p);
}

static void test_secret_scrub_leaves_names_alone(void **state)
{
	json_t *argv =
	    json_pack("[s,s,s,s,s,s,s,s,s]", "qemu", "-object", "secret,id=s0,data=geheim,,x",
		      "--object", "{\"qom-type\":\"secret\",\"id\":\"s1\",\"data\":\"geheim\"}",
		      "-object", "iothread,id=secret", "-object", "qom-type=secret,file=/x,id=s2");
	json_t *secrets = json_array();
	char *text;

	(void)state;
	secret_scrub(argv, secrets);
	text = json_dumps(argv, JSON_COMPACT);
	assert_string_equal(text, "[\"qemu\",\"-object\",\"secret,id=s0\",\"--object\","
				  "\"secret,id=s1\",\"-object\",\"iothread,id=secret\",\"-object\","
				  "\"secret,id=s2\"]");
	free(text);
	text = json_dumps(secrets, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, "[{\"id\":\"s0\",\"type\":\"secret\"},{\"id\":\"s1\",\"type\":"
				  "\"secret\"},{\"id\":\"s2\",\"type\":\"secret\"}]");
	free(text);
	json_decref(argv);
	json_decref(secrets);
}

static void test_secret_file_is_one_that_qemu_may_read(void **state)
{
	char path[64];
	struct err e = ERR_INIT;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/secret", twin_fixture_images);
	assert_int_equal(secret_file_open(getpid(), path, &e), -1);
	assert_non_null(strstr(e.text, "cannot be read any more"));
	assert_int_equal(secret_file_open(getpid(), twin_fixture_images, &e), -1);
	assert_non_null(strstr(e.text, "no file"));
	fd = memfd_create("x", 0);
	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	close(secret_file_open(getpid(), path, &e));
	assert_int_equal(ftruncate(fd, SECRET_MAX + 1), 0);
	assert_int_equal(secret_file_open(getpid(), path, &e), -1);
	close(fd);
}

/* A process whose root is dir, and its user that one, or -1. */
static pid_t start_in(const char *dir, uid_t uid)
{
	char ok = 0;
	int ready[2];
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		ok = chroot(dir) == 0 && chdir("/") == 0 &&
		     (!uid || (setgroups(0, NULL) == 0 && setgid(uid) == 0 && setuid(uid) == 0)) &&
		     write(ready[1], "y", 1) == 1;
		if (ok)
			pause();
		_exit(0);
	}
	close(ready[1]);
	ok = read(ready[0], &ok, 1) == 1;
	close(ready[0]);
	return ok ? pid : -1;
}

/* Where QEMU is in a container, a link there is one in the container. */
static void test_secret_file_is_one_of_qemus_root(void **state)
{
	char path[100], key[8] = "";
	struct err e = ERR_INIT;
	pid_t pid;
	FILE *f;
	int fd;

	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof(path), "%s/adit-key", twin_fixture_images);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("there", f);
	fclose(f);
	snprintf(path, sizeof(path), "%s/link", twin_fixture_images);
	assert_int_equal(symlink("/adit-key", path), 0);
	pid = start_in(twin_fixture_images, 0);
	assert_true(pid > 0);
	fd = secret_file_open(pid, "/link", &e);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
	snprintf(path, sizeof(path), "%s/adit-key", twin_fixture_images);
	unlink(path);
	assert_int_equal(e.code, 0);
	assert_int_equal(read(fd, key, sizeof(key)), 5);
	assert_string_equal(key, "there");
	close(fd);
}

/* A QEMU that its guest has taken over names what its user cannot reach, by any way. */
static void test_secret_file_is_one_that_the_kernel_lets_qemu_read(void **state)
{
	static const struct {
		const char *file;
		int error;
	} names[] = {{"/open", 0},
		     {"open", 0},
		     {"/closed/key", 1},
		     {"closed/key", 1},
		     {"/proc/self/root/closed/key", 1},
		     {"/dev/fd/0/closed/key", 1}};
	char dir[100], path[120];
	struct err e;
	pid_t pid;
	FILE *f;
	int fd;

	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(dir, sizeof(dir), "%s/root", twin_fixture_images);
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(chmod(twin_fixture_images, 0755), 0);
	snprintf(path, sizeof(path), "%s/closed", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, i ? "closed/key" : "open");
		f = fopen(path, "w");
		assert_non_null(f);
		fputs("key", f);
		fclose(f);
		assert_int_equal(chmod(path, 0644), 0);
	}
	pid = start_in(dir, 65534);
	assert_true(pid > 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		e = (struct err)ERR_INIT;
		fd = secret_file_open(pid, names[i].file, &e);
		if ((fd < 0) != names[i].error)
			fail_msg("%s: %s", names[i].file, fd < 0 ? e.text : "was read");
		if (fd >= 0)
			close(fd);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(geteuid(), 0);
	assert_int_equal(setfsuid((uid_t)-1), 0); /* whose this thread's rights are again */
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, i ? "closed/key" : "open");
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/closed", dir);
	rmdir(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_twin_crypt_is_not_left_to_the_source),
	    cmocka_unit_test(test_twin_crypt_takes_what_is_described),
	    cmocka_unit_test(test_twin_crypt_refuses_what_it_cannot_make),
	    cmocka_unit_test(test_twin_crypt_secrets_are_handed_over),
	    cmocka_unit_test(test_secret_scrub_leaves_names_alone),
	    cmocka_unit_test(test_secret_file_is_one_that_qemu_may_read),
	    cmocka_unit_test(test_secret_file_is_one_of_qemus_root),
	    cmocka_unit_test(test_secret_file_is_one_that_the_kernel_lets_qemu_read),
	};

	return cmocka_run_group_tests(tests, twin_fixture_set_up, twin_fixture_tear_down);
}
