/* What is kept of a VM that came to stay, and what is not taken for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "control/host.h"

static char state[] = "/tmp/adit-kept-XXXXXX";
static char vms[64], path[128];

#define GOOD                                                                                       \
	"{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/adit/vms/a_b-1234\","                         \
	"\"argv\":[\"/usr/bin/qemu\",\"-name\",\"a b\"]}"

static void write_file(const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

/* It is refused, in words that have part in them. */
static void refused(const char *name, const char *part)
{
	struct vm_kept k = {0};
	struct err e = ERR_INIT;

	assert_int_not_equal(vm_kept_read(&k, state, name, &e), 0);
	if (!strstr(e.text, part))
		fail_msg("\"%s\" is not in: %s", part, e.text);
	vm_kept_fini(&k);
}

static void test_kept_is_read(void **state_)
{
	struct vm_kept k = {0};
	struct err e = ERR_INIT;

	(void)state_;
	write_file(GOOD, 0600);
	assert_int_equal(vm_kept_read(&k, state, "a b", &e), 0);
	assert_string_equal(k.dir, "/run/adit/vms/a_b-1234");
	assert_int_equal(k.argv.count, 3);
	assert_string_equal(k.argv.at[2], "a b");
	assert_false(user_is_given(&k.user));
	vm_kept_fini(&k);
}

static void test_kept_is_refused(void **state_)
{
	static const char *const broken[] = {
	    "{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/x\",\"argv\":[\"/q\"]}",
	    "{\"adit\":1,\"name\":\"a b\",\"dir\":\"vms/x\",\"argv\":[\"/q\"]}",
	    "{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/vms/x\",\"argv\":[]}",
	    "{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/vms/x\",\"argv\":[\"qemu\"]}",
	    "{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/vms/x\",\"argv\":[\"/q\",1]}",
	    "{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/vms/x\"}",
	    "not JSON",
	    "",
	};

	(void)state_;
	unlink(path);
	refused("a b", "came here with --persistent");
	refused("../a b", "'/'");
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		write_file(broken[i], 0600);
		refused("a b", "not as adit wrote it");
	}
	write_file("{\"adit\":2}", 0600);
	refused("a b", "of another adit");
	write_file(GOOD, 0620);
	refused("a b", "others may write to it");
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	refused("a b", path);
	unlink(path);
	if (geteuid() != 0)
		return;
	write_file(GOOD, 0600);
	assert_int_equal(chown(path, 1, 1), 0);
	refused("a b", "another user's");
	unlink(path);
	/* Whoever has the number now is not whose images they are. */
	write_file("{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/vms/x\",\"argv\":[\"/q\"],"
		   "\"user\":{\"name\":\"nobody\",\"uid\":4711,\"gid\":4711}}",
		   0600);
	refused("a b", "was 4711");
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_kept_is_read),
					   cmocka_unit_test(test_kept_is_refused)};
	int r;

	if (!mkdtemp(state))
		return 1;
	snprintf(vms, sizeof(vms), "%s/vms", state);
	snprintf(path, sizeof(path), "%s/a b.json", vms);
	if (mkdir(vms, 0700) < 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	dir_remove(vms);
	rmdir(state);
	return r;
}
