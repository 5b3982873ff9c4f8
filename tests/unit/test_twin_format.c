/* Images in a storage of the destination's, which may make another format of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test_twin_fixture.h"

/* The options that open an image name the format that it has here, and nothing of the old one. */
static void test_twin_writes_a_format_anew(void **state)
{
	static const struct {
		const char *from, *to, *option, *in, *out;
	} cases[] = {
	    {"raw", "qcow2", "-drive", "id=x,if=virtio,format=raw,file=/s/a.raw,discard=unmap",
	     "id=x,if=virtio,format=qcow2,file=/fast/a.qcow2,discard=unmap"},
	    {"raw", "qcow2", "-drive", "id=x,file=/s/a.raw",
	     "id=x,file=/fast/a.qcow2,format=qcow2"},
	    {"qcow2", "raw", "-drive", "file=/s/a.qcow2,if=virtio,id=x,l2-cache-size=1M",
	     "file=/fast/a.raw,if=virtio,id=x,format=raw"},
	    {"raw", "raw", "-drive", "id=x,offset=512,size=1M,file=/s/a.raw",
	     "id=x,file=/fast/a.raw,format=raw"},
	    /* never left to guessing, in none of the ways to name a file */
	    {"raw", "qcow2", "-drive", "id=x,file.driver=file,file.filename=/s/a.raw",
	     "id=x,file.driver=file,file.filename=/fast/a.qcow2,format=qcow2"},
	    {"raw", "raw", "-drive", "id=x,file.driver=file,file.filename=/s/a.raw",
	     "id=x,file.driver=file,file.filename=/fast/a.raw,format=raw"},
	    {"raw", "qcow2", "-drive", "id=x,format=raw,offset=512,size=1M,file=/s/a.raw",
	     "id=x,format=qcow2,file=/fast/a.qcow2"},
	    {"qcow2", "raw", "-drive",
	     "id=x,driver=qcow2,l2-cache-size=1M,overlap-check.template=none,file.driver=file,"
	     "file.filename=/s/a.qcow2,cache.direct=on",
	     "id=x,driver=raw,file.driver=file,file.filename=/fast/a.raw,cache.direct=on"},
	    {"qcow2", "raw", "-drive",
	     "id=x,file=json:{\"driver\":\"qcow2\",,\"lazy-refcounts\":true,,\"file\":{\"driver\":"
	     "\"file\",,\"filename\":\"/s/a.qcow2\"}}",
	     "id=x,file=json:{\"driver\":\"raw\",,\"file\":{\"driver\":\"file\",,\"filename\":\"/"
	     "fast/"
	     "a.raw\"}}"},
	    {"raw", "qcow2", "-blockdev",
	     "driver=raw,node-name=x,file.driver=file,file.filename=/s/a.raw",
	     "driver=qcow2,node-name=x,file.driver=file,file.filename=/fast/a.qcow2"},
	    {"qcow2", "raw", "-blockdev",
	     "driver=throttle,node-name=x,throttle-group=g,file.driver=qcow2,file.cache-size=1M,"
	     "file.file.driver=host_device,file.file.filename=/s/a.img",
	     "driver=throttle,node-name=x,throttle-group=g,file.driver=raw,"
	     "file.file.driver=file,file.file.filename=/fast/a.img"},
	    {"qcow2", "raw", "-blockdev",
	     "{\"driver\":\"qcow2\",\"node-name\":\"x\",\"backing\":null,\"discard\":\"unmap\","
	     "\"file\":{"
	     "\"driver\":\"file\",\"filename\":\"/s/a.qcow2\"}}",
	     "{\"driver\":\"raw\",\"node-name\":\"x\",\"discard\":\"unmap\",\"file\":{\"driver\":"
	     "\"file\","
	     "\"filename\":\"/fast/a.raw\"}}"},
	};
	const char *storage[] = {"fast=/fast", NULL};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plan p = {.storage = storage, .format = cases[i].to};
		const char *file = strstr(cases[i].in, "/s/a.");
		char path[32];

		snprintf(path, sizeof(path), "%.*s", (int)strcspn(file, ",\""), file);
		p.disks = json_pack("[o]", disk("x", path, cases[i].from));
		json_object_set_new(json_array_get(p.disks, 0), "target", json_string("fast:"));
		if (plan(&p, cases[i].option, cases[i].in) != 0)
			fail_msg("%s: %s", cases[i].in, p.e.text);
		assert_string_equal(value(&p, cases[i].option, 0), cases[i].out);
		assert_int_equal(p.t.image_count, 1);
		assert_string_equal(vmdesc_image_format(p.t.images[0].disk), cases[i].to);
		plan_fini(&p);
	}
}

/* Node by node, in either order; and of a drive whose image came at run time. */
static void test_twin_writes_a_format_anew_in_the_option_that_has_it(void **state)
{
	const char *storage[] = {"fast=/fast", NULL};
	struct plan p = {.storage = storage, .format = "qcow2"};

	(void)state;
	p.disks = json_pack("[o]", disk("x", "/s/a.raw", "raw"));
	json_object_set_new(json_array_get(p.disks, 0), "target", json_string("/fast/b.img"));
	assert_int_equal(plan(&p, "-blockdev", "driver=raw,node-name=x,file=x-file", "-blockdev",
			      "driver=host_device,node-name=x-file,filename=/s/a.raw"),
			 0);
	assert_string_equal(value(&p, "-blockdev", 0), "driver=qcow2,node-name=x,file=x-file");
	assert_string_equal(value(&p, "-blockdev", 1),
			    "driver=file,node-name=x-file,filename=/fast/b.img");
	plan_fini(&p);
	p = (struct plan){.storage = storage, .format = "qcow2"};
	p.disks = json_pack("[o]", disk("floppy0", "/s/b.raw", "raw"));
	json_object_set_new(json_array_get(p.disks, 0), "target", json_string("fast:"));
	json_object_set_new(json_array_get(p.disks, 0), "removable", json_true());
	assert_int_equal(plan(&p, "-drive", "if=floppy,index=0,format=raw,file=/s/a.raw"), 0);
	assert_string_equal(value(&p, "-drive", 0),
			    "if=floppy,index=0,format=qcow2,file=/fast/b.qcow2");
	plan_fini(&p);
}

/* What a copy of the guest's bytes would lose, or no option tells, is refused by name. */
static void test_twin_refuses_a_format_that_cannot_be(void **state)
{
	static const struct {
		const char *from, *to, *blockdev, *part;
		bool inc, encrypted;
	} cases[] = {
	    {"file", "qcow2", "driver=file,node-name=x,filename=/s/a", "names no format", false,
	     false},
	    {"file", "raw", "driver=file,node-name=x,filename=/s/a", NULL, false, false},
	    {"vpc", "raw", "driver=vpc,node-name=x,file.driver=file,file.filename=/s/a",
	     "vpc, vdi, vhdx, ...) is not made one of another", false, false},
	    /* what the option says is another one than the source says, and would stay */
	    {"qed", "raw", "driver=qcow2,node-name=x,file.driver=file,file.filename=/s/a",
	     "names no format", false, false},
	    {"qcow2", "raw",
	     "driver=qcow2,node-name=x,file.driver=raw,file.file.driver=file,"
	     "file.file.filename=/s/a",
	     "not right above", false, false},
	    {"qcow2", "raw", "driver=qcow2,node-name=x,file.driver=file,file.filename=/s/a",
	     "--copy-storage inc", true, false},
	    {"qcow2", "raw",
	     "driver=qcow2,node-name=x,encrypt.key-secret=k,file.driver=file,file.filename=/s/a",
	     "encrypted", false, true},
	};
	const char *storage[] = {"fast=/fast", NULL};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plan p = {.storage = storage, .format = cases[i].to, .inc = cases[i].inc};
		json_t *d = disk("x", "/s/a", cases[i].from);

		json_object_set_new(d, "target", json_string("fast:"));
		if (cases[i].encrypted) {
			json_object_set_new(d, "encryption",
					    json_pack("{s:s,s:s,s:s}", "format", "luks", "driver",
						      "qcow2", "secret", "k"));
			p.secrets = json_pack("[{s:s}]", "id", "k");
		}
		p.disks = json_pack("[o]", d);
		assert_int_equal(plan(&p, "-blockdev", cases[i].blockdev),
				 cases[i].part ? ERR_REFUSED : 0);
		if (cases[i].part)
			assert_non_null(strstr(p.e.text, cases[i].part));
		plan_fini(&p);
	}
}

/* In a storage that is no folder of images of the peer's, what is there may be another's. */
static void test_twin_writes_over_images_in_their_folders_only(void **state)
{
	char path[PATH_MAX], slash[PATH_MAX];
	const char *here[] = {"/elsewhere", slash, NULL}, *elsewhere[] = {"/elsewhere", NULL};
	char *folder = twin_fixture_images;
	struct rights_storage storage = {.name = "fast", .folder = folder};
	struct rights r = {.images = elsewhere, .storage = &storage, .storage_count = 1};
	struct vmdesc_disk d = {.name = "x", .format = "raw", .made = "", .copy = true};
	struct twin_image image = {.path = path, .disk = &d};
	struct err e = ERR_INIT;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/a.raw", folder);
	snprintf(slash, sizeof(slash), "%s/", folder);
	f = fopen(path, "w");
	assert_non_null(f);
	r.overwrite_images = true;
	assert_int_equal(twin_check_overwrite(&image, &r, &e), ERR_REFUSED);
	assert_non_null(strstr(e.text, "may be another peer's: give disk x another name"));
	r.images = here;
	memset(&e, 0, sizeof(e));
	assert_int_equal(twin_check_overwrite(&image, &r, &e), 0);
	fputs("QFI\xfb", f);
	fclose(f);
	assert_int_equal(twin_check_overwrite(&image, &r, &e), ERR_REFUSED);
	assert_non_null(strstr(e.text, "is a qcow2 image"));
	r.overwrite_images = false;
	assert_int_equal(twin_check_overwrite(&image, &r, &e), ERR_REFUSED);
	assert_non_null(strstr(e.text, "--overwrite-images"));
	/* what is only opened is held to its sum */
	memset(&e, 0, sizeof(e));
	d.copy = false;
	r.images = elsewhere;
	assert_int_equal(twin_check_overwrite(&image, &r, &e), 0);
	unlink(path);
}

/* One option says it, or QEMU would open one format in the other. */
static void test_twin_refuses_a_format_that_is_said_twice(void **state)
{
	const char *storage[] = {"fast=/fast", NULL};
	struct plan p = {.storage = storage, .format = "qcow2"};

	(void)state;
	p.disks = json_pack("[o]", disk("x", "/s/a", "raw"));
	json_object_set_new(json_array_get(p.disks, 0), "target", json_string("fast:"));
	assert_int_equal(plan(&p, "-drive",
			      "id=x,format=raw,file=json:{\"driver\":\"raw\",,\"file\":{\"driver\":"
			      "\"file\",,\"filename\":\"/s/a\"}}"),
			 ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "not right above its file"));
	plan_fini(&p);
}

static const char *target_of(const json_t *disks, size_t i)
{
	return json_string_value(json_object_get(json_array_get(disks, i), "target"));
}

static void test_vmdesc_puts_disks_into_storages(void **state)
{
	static const struct {
		const char *spec, *part;
	} bad[] = {{"", "--storage"},	       {"a", "NODE=NAME"},
		   {"a=", "NODE=NAME"},	       {"a=fast:", "NODE=NAME"},
		   {"a=../x", "NODE=NAME"},    {"a=fast,", "NODE=NAME"},
		   {"=", "NODE=NAME"},	       {"=fast,=big", "one storage for all disks"},
		   {"x=fast", "no such disk"}, {"a=fast,a=big", "named twice"},
		   {"c=fast", "empty"}};
	struct err e;
	json_t *disks;

	(void)state;
	for (size_t i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++) {
		disks = json_pack("[{s:s,s:b},{s:s,s:b},{s:s,s:b,s:b},{s:s,s:b,s:b},{s:s,s:b}]",
				  "name", "a", "copy", 1, "name", "b", "copy", 1, "name", "c",
				  "copy", 0, "empty", 1, "name", "d", "copy", 1, "read_only", 1,
				  "name", "e", "copy", 0);
		assert_non_null(disks);
		memset(&e, 0, sizeof(e));
		if (i < sizeof(bad) / sizeof(bad[0])) {
			assert_int_equal(vmdesc_storage(disks, bad[i].spec, &e), ERR_USAGE);
			assert_non_null(strstr(e.text, bad[i].part));
		} else {
			/* in any order; what is named has its own */
			assert_int_equal(vmdesc_target(disks, "b=/x", &e), 0);
			assert_int_equal(vmdesc_storage(disks, "=big,e=fast", &e), 0);
			assert_string_equal(target_of(disks, 0), "big:");
			assert_string_equal(target_of(disks, 1), "/x");
			assert_null(target_of(disks, 2));
			assert_null(target_of(disks, 3)); /* a medium stays where media are */
			assert_string_equal(target_of(disks, 4), "fast:");
		}
		json_decref(disks);
	}
	disks = json_pack("[{s:s,s:b}]", "name", "a", "copy", 0);
	assert_int_equal(vmdesc_storage(disks, "=big", &e), ERR_USAGE);
	assert_non_null(strstr(e.text, "no disk of the VM is copied: leave it out"));
	json_decref(disks);
	/* the words alone */
	assert_int_equal(vmdesc_storage(NULL, "x=fast,=big", &e), 0);
	assert_int_equal(vmdesc_storage(NULL, "x=fa/st", &e), ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_twin_writes_a_format_anew),
	    cmocka_unit_test(test_twin_writes_a_format_anew_in_the_option_that_has_it),
	    cmocka_unit_test(test_twin_refuses_a_format_that_cannot_be),
	    cmocka_unit_test(test_twin_refuses_a_format_that_is_said_twice),
	    cmocka_unit_test(test_twin_writes_over_images_in_their_folders_only),
	    cmocka_unit_test(test_vmdesc_puts_disks_into_storages),
	};

	return cmocka_run_group_tests(tests, twin_fixture_set_up, twin_fixture_tear_down);
}
