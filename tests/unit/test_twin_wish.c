/* What a job asks of the twin beside what the source has: another name, and overlays over
 * backing files that are there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test_twin_fixture.h"

/* A disk over /src/base.qcow2 over /src/root.raw. */
static json_t *overlay(const char *name, const char *file)
{
	json_t *d = disk(name, file, "qcow2");

	json_object_set_new(d, "backing",
			    json_pack("[{s:s,s:s,s:I},{s:s,s:s,s:I}]", "file", "/src/base.qcow2",
				      "format", "qcow2", "size", (json_int_t)1048576, "file",
				      "/src/root.raw", "format", "raw", "size",
				      (json_int_t)1048576));
	return d;
}

static void test_twin_makes_overlays(void **state)
{
	char base[64], root[64], top[64], want[300];
	struct plan p = {.inc = true};

	(void)state;
	snprintf(base, sizeof(base), "%s/base.qcow2", twin_fixture_images);
	snprintf(root, sizeof(root), "%s/root.raw", twin_fixture_images);
	snprintf(top, sizeof(top), "%s/top.qcow2", twin_fixture_images);
	p.disks = json_pack("[o]", overlay("d0", "/src/top.qcow2"));
	assert_int_equal(plan(&p, "-hda", "/src/top.qcow2"), ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "base.qcow2 of disk d0"));
	plan_fini(&p);
	close(open(base, O_CREAT | O_WRONLY, 0600));
	close(open(root, O_CREAT | O_WRONLY, 0600));

	p.inc = true;
	p.disks = json_pack("[o]", overlay("d0", "/src/top.qcow2"));
	assert_int_equal(plan(&p, "-drive", "file=/src/top.qcow2,id=d0,backing.file.filename=/x"),
			 0);
	snprintf(want, sizeof(want), "file=%s,id=d0,format=qcow2", top);
	assert_string_equal(value(&p, "-drive", 0), want);
	assert_int_equal(p.t.image_count, 1);
	assert_string_equal(p.t.images[0].backing, base);
	assert_int_equal(p.t.backing_count, 1);
	plan_fini(&p);

	/* nodes of its own for what is below are only read */
	p.inc = true;
	p.disks = json_pack("[o]", overlay("d0", "/src/top.qcow2"));
	assert_int_equal(
	    plan(&p, "-blockdev",
		 "driver=raw,node-name=r,file.driver=file,file.filename=/src/root.raw", "-blockdev",
		 "{\"driver\":\"file\",\"node-name\":\"bf\",\"filename\":\"/src/base.qcow2\"}",
		 "-blockdev", "driver=qcow2,node-name=b,file=bf,backing=r,read-only=off",
		 "-blockdev",
		 "{\"driver\":\"qcow2\",\"node-name\":\"d0\",\"backing\":\"b\",\"file\":"
		 "{\"driver\":\"file\",\"filename\":\"/src/top.qcow2\"}}"),
	    0);
	assert_non_null(strstr(value(&p, "-blockdev", 0), root));
	assert_non_null(strstr(value(&p, "-blockdev", 0), "read-only=on"));
	assert_non_null(strstr(value(&p, "-blockdev", 1), base));
	assert_non_null(strstr(value(&p, "-blockdev", 1), "\"read-only\":true"));
	assert_non_null(strstr(value(&p, "-blockdev", 2), "backing=r,read-only=on"));
	assert_non_null(strstr(value(&p, "-blockdev", 3), "\"backing\":\"b\""));
	assert_null(strstr(value(&p, "-blockdev", 3), "read-only"));
	/* all of them are to be looked at */
	assert_int_equal(p.t.backing_count, 3);
	plan_fini(&p);

	/* inline */
	p.inc = true;
	p.disks = json_pack("[o]", overlay("d0", "/src/top.qcow2"));
	assert_int_equal(
	    plan(&p, "-blockdev",
		 "driver=qcow2,node-name=d0,file.driver=file,file.filename=/src/"
		 "top.qcow2,backing.driver=qcow2,backing.file.driver=file,backing.file."
		 "filename=/src/base.qcow2"),
	    0);
	assert_non_null(strstr(value(&p, "-blockdev", 0), base));
	assert_null(strstr(value(&p, "-blockdev", 0), "read-only"));
	plan_fini(&p);

	/* without inc what is below is no drive's image, as ever; and a lie is seen */
	p.disks = json_pack("[o]", overlay("d0", "/src/top.qcow2"));
	assert_int_equal(plan(&p, "-blockdev", "driver=file,node-name=bf,filename=/src/base.qcow2"),
			 ERR_REFUSED);
	plan_fini(&p);
	p.inc = true;
	p.disks = json_pack("[o]", disk("d0", "/src/top.qcow2", "qcow2"));
	assert_int_equal(plan(&p, "-hda", "/src/top.qcow2"), ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "no backing file"));
	plan_fini(&p);
	unlink(base);
	unlink(root);
}

static void test_twin_is_renamed(void **state)
{
	static const char *const names[][2] = {
	    {"guest=a,debug-threads=on", "guest=new,, one,debug-threads=on"},
	    {"a,process=x", "guest=new,, one,process=x"},
	    {"debug-threads=on", "debug-threads=on,guest=new,, one"},
	};
	struct plan p = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		p.rename = "new, one";
		assert_int_equal(plan(&p, "-name", names[i][0]), 0);
		assert_string_equal(value(&p, "-name", 0), names[i][1]);
		assert_null(value(&p, "-name", 1));
		assert_string_equal(p.t.dir, "/run/t/vms/new__one-01234567");
		plan_fini(&p);
	}
	/* one that had none */
	p.rename = "new";
	assert_int_equal(plan(&p, "-m", "64"), 0);
	assert_string_equal(value(&p, "-name", 0), "guest=new");
	plan_fini(&p);
	p.rename = "../new";
	assert_int_equal(plan(&p, "-m", "64"), ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "'/'"));
	plan_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_twin_makes_overlays),
	    cmocka_unit_test(test_twin_is_renamed),
	};

	return cmocka_run_group_tests(tests, twin_fixture_set_up, twin_fixture_tear_down);
}
