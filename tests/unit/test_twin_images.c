/* Which file of the folder of images each disk of the twin's gets, and what else it takes from
 * there. */
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

/* A disk behind a device, as the source's QEMU has it now. */
static json_t *attached(const char *qdev, const char *node, const char *file, bool removable)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:b,s:b,s:b,s:b}", "name", node, "qdev", qdev,
			 "node", node, "file", file, "format", "raw", "size", (json_int_t)1048576,
			 "read_only", removable, "empty", 0, "removable", removable, "copy",
			 !removable);
}

#define NODE(name, file)                                                                           \
	"-blockdev", "driver=file,node-name=" name "-file,filename=" file, "-blockdev",            \
	    "driver=raw,node-name=" name ",file=" name "-file"

/* Whatever a source says that its devices have, no disk goes into another one's image. */
static void test_twin_gives_each_disk_its_own_image(void **state)
{
	struct plan p = {0};

	(void)state;
	p.disks = json_pack("[o,o]", attached("dev0", "a", "/src/a.raw", false),
			    attached("dev1", "b", "/src/b.raw", false));
	assert_int_equal(plan(&p, NODE("a", "/src/a.raw"), NODE("b", "/src/b.raw"), "-device",
			      "scsi-hd,drive=a,id=dev0", "-device", "scsi-hd,drive=b,id=dev1"),
			 0);
	assert_int_equal(p.t.image_count, 2);
	plan_fini(&p);

	/* the devices have changed their disks */
	p.disks = json_pack("[o,o]", attached("dev1", "a", "/src/a.raw", false),
			    attached("dev0", "b", "/src/b.raw", false));
	assert_int_not_equal(plan(&p, NODE("a", "/src/a.raw"), NODE("b", "/src/b.raw"), "-device",
				  "scsi-hd,drive=a,id=dev0", "-device", "scsi-hd,drive=b,id=dev1"),
			     0);
	assert_non_null(strstr(p.e.text, "dev0 has another image"));
	plan_fini(&p);

	/* a disk that no option stands for */
	p.disks = json_pack("[o,o]", attached("dev0", "a", "/src/a.raw", false),
			    attached("dev1", "b", "/src/b.raw", false));
	assert_int_not_equal(
	    plan(&p, NODE("a", "/src/a.raw"), "-device", "scsi-hd,drive=a,id=dev0"), 0);
	assert_non_null(strstr(p.e.text, "b.raw"));
	plan_fini(&p);

	/* two nodes over one file */
	p.disks = json_pack("[o,o]", attached("dev0", "a", "/src/a.raw", false),
			    attached("dev1", "b", "/src/a.raw", false));
	assert_int_not_equal(plan(&p, NODE("a", "/src/a.raw"), NODE("b", "/src/a.raw"), "-device",
				  "scsi-hd,drive=a,id=dev0", "-device", "scsi-hd,drive=b,id=dev1"),
			     0);
	assert_non_null(strstr(p.e.text, "no image of its own"));
	plan_fini(&p);
}

/* A drive has the medium that it has now, by an option that QEMU reads. */
static void test_twin_follows_media(void **state)
{
	struct plan p = {0};
	char want[300];

	(void)state;
	p.no_nodes = true;
	p.disks = json_pack("[o]", attached("cd", "#block1", "/src/two.iso", true));
	assert_int_equal(plan(&p, NODE("cd0", "/src/one.iso"), "-device", "ide-cd,drive=cd0,id=cd"),
			 0);
	snprintf(want, sizeof(want), "\"filename\":\"%s/two.iso\"", twin_fixture_images);
	assert_non_null(strstr(p.t.argv.at[2], want));
	plan_fini(&p);
	/* QEMU takes no word on an image where a drive has none */
	p.disks = json_pack("[{s:s,s:s,s:i,s:b,s:b,s:b,s:b}]", "name", "cd0", "device", "cd0",
			    "size", 0, "read_only", 0, "empty", 1, "removable", 1, "copy", 0);
	assert_int_equal(plan(&p, "-drive",
			      "file=/src/one.iso,format=raw,if=none,id=cd0,media=cdrom,readonly=on,"
			      "cache=none,cache.direct=on,discard=unmap,node-name=n,aio=io_uring,"
			      "auto-read-only=on,detect-zeroes=on,bps=1000000,rerror=stop",
			      "-device", "ide-cd,drive=cd0"),
			 0);
	assert_string_equal(value(&p, "-drive", 0),
			    "if=none,id=cd0,media=cdrom,readonly=on,aio=io_uring,detect-zeroes=on,"
			    "bps=1000000,rerror=stop");
	plan_fini(&p);
}

/* What is copied once is not written past the page cache: QEMU 10.0.13 wants whole blocks of the
 * file system then, which a medium need not have. A disk keeps what it has. */
static void test_twin_copies_media_through_the_page_cache(void **state)
{
	for (int medium = 0; medium < 2; medium++) {
		struct plan p = {0};
		json_t *d = attached("cd", "m", "/src/m.iso", medium);

		(void)state;
		json_object_set_new(d, "device", json_string("m"));
		json_object_set_new(d, "copy", json_true());
		p.disks = json_pack("[O]", d);
		assert_int_equal(plan(&p, "-drive",
				      "file=/src/m.iso,format=raw,if=none,id=m,cache=none,"
				      "aio=native,file.aio=native,file.cache.direct=on",
				      "-device", "ide-hd,drive=m,id=cd"),
				 0);
		assert_int_equal(!strstr(value(&p, "-drive", 0), "cache"), medium);
		assert_int_equal(!strstr(value(&p, "-drive", 0), "aio=native"), medium);
		plan_fini(&p);
		p = (struct plan){.disks = json_pack("[o]", d)};
		assert_int_equal(
		    plan(&p, "-blockdev",
			 "{\"driver\":\"raw\",\"node-name\":\"m\",\"file\":{\"driver\":"
			 "\"file\",\"filename\":\"/src/m.iso\",\"aio\":\"native\","
			 "\"cache\":{\"direct\":true}}}",
			 "-device", "ide-hd,drive=m,id=cd"),
		    0);
		assert_int_equal(!strstr(value(&p, "-blockdev", 0), "direct"), medium);
		assert_int_equal(!strstr(value(&p, "-blockdev", 0), "native"), medium);
		plan_fini(&p);
	}
}

/* The image that an option was given lies in the folder, and nothing names the source's. */
static void check_image(struct plan *p, size_t i, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", twin_fixture_images, name);
	assert_true(p->t.image_count > i);
	assert_string_equal(p->t.images[i].path, path);
	for (size_t k = 0; k < p->t.argv.count; k++)
		assert_null(strstr(p->t.argv.at[k], "/src/"));
}

static void test_twin_puts_images_into_the_folder(void **state)
{
	struct plan p = {0};
	const char *nested = "{\"driver\":\"copy-on-read\",\"node-name\":\"top\",\"file\":"
			     "{\"driver\":\"qcow2\",\"backing\":\"base\",\"file\":{\"driver\":"
			     "\"file\",\"filename\":\"/src/deep/x.qcow2\"}}}";

	(void)state;
	p.disks = json_pack("[o]", disk("d", "/src/../etc/../src/x.raw", "raw"));
	assert_int_equal(plan(&p, "-drive", "file=/src/../etc/../src/x.raw,id=d"), 0);
	check_image(&p, 0, "x.raw");
	plan_fini(&p);

	p.disks = json_pack("[o]", disk("d", "/src/x.raw", "raw"));
	assert_int_equal(plan(&p, "-drive", "driver=file,filename=/src/x.raw,if=none,id=d"), 0);
	check_image(&p, 0, "x.raw");
	plan_fini(&p);

	p.disks = json_pack("[o]", disk("d", "/src/a,b=c.raw", "raw"));
	assert_int_equal(plan(&p, "-drive", "id=d,file=/src/a,,b=c.raw,serial=1,,2"), 0);
	check_image(&p, 0, "a,b=c.raw");
	assert_non_null(strstr(value(&p, "-drive", 0), "/a,,b=c.raw,serial=1,,2"));
	plan_fini(&p);

	p.disks = json_pack("[o]", disk("top", "/src/deep/x.qcow2", "qcow2"));
	assert_int_equal(plan(&p, "-blockdev", nested), 0);
	check_image(&p, 0, "x.qcow2");
	assert_non_null(strstr(value(&p, "-blockdev", 0), "\"backing\":null"));
	plan_fini(&p);

	p.cwd = "/src"; /* a relative name */
	p.disks = json_pack("[o]", disk("d", "x.raw", "raw"));
	assert_int_equal(plan(&p, "-hda", "x.raw"), 0);
	check_image(&p, 0, "x.raw");
	assert_non_null(strstr(value(&p, "-drive", 0), "media=disk"));
	assert_non_null(strstr(value(&p, "-drive", 0), "format=raw"));
	plan_fini(&p);

	p.disks = json_pack("[o]", disk("d", "/src/x.raw", "raw"));
	assert_int_equal(plan(&p, "/src/x.raw"), 0); /* a bare name is -hda's */
	check_image(&p, 0, "x.raw");
	plan_fini(&p);

	p.disks = json_pack("[o]", disk("d", "/src/x\ny.raw", "raw"));
	assert_int_equal(plan(&p, "-drive", "file=/src/x\ny.raw,id=d"), ERR_REFUSED);
	assert_null(strchr(p.e.text, '\n'));
	plan_fini(&p);

	p.disks = json_pack("[o]", disk("d", "/src/..", "raw"));
	assert_int_equal(plan(&p, "-drive", "file=/src/..,id=d"), ERR_REFUSED);
	plan_fini(&p);
}

/* Also in a storage, where a format may make one name of two. */
static void test_twin_tells_images_of_one_name_apart_in_a_storage(void **state)
{
	static const struct {
		const char *format, *second, *second_format, *target, *out;
	} cases[] = {
	    {NULL, "/src/b/x.raw", "raw", "fast:", "/fast/d1-x.raw"},
	    {"qcow2", "/src/b/x.raw", "raw", "fast:", "/fast/d1-x.qcow2"},
	    {"qcow2", "/src/x.qcow2", "qcow2", "fast:", "/fast/d1-x.qcow2"},
	    /* a name that was given is that, or nothing */
	    {NULL, "/src/b/x.raw", "raw", "fast:x.raw", NULL},
	    {NULL, "/src/b/x.raw", "raw", "/fast/x.raw", NULL},
	};
	const char *storage[] = {"fast=/fast", NULL};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plan p = {.storage = storage, .format = cases[i].format};
		char second[64];

		snprintf(second, sizeof(second), "file=%s,format=%s,id=d1", cases[i].second,
			 cases[i].second_format);
		p.disks = json_pack("[oo]", disk("d0", "/src/a/x.raw", "raw"),
				    disk("d1", cases[i].second, cases[i].second_format));
		json_object_set_new(json_array_get(p.disks, 0), "target", json_string("fast:"));
		json_object_set_new(json_array_get(p.disks, 1), "target",
				    json_string(cases[i].target));
		assert_int_equal(
		    plan(&p, "-drive", "file=/src/a/x.raw,format=raw,id=d0", "-drive", second),
		    cases[i].out ? 0 : ERR_REFUSED);
		if (cases[i].out) {
			assert_int_equal(p.t.image_count, 2);
			assert_string_equal(p.t.images[1].path, cases[i].out);
			assert_non_null(strstr(value(&p, "-drive", 1), cases[i].out));
		} else {
			assert_non_null(strstr(p.e.text, "--target"));
		}
		plan_fini(&p);
	}
}

static void test_twin_tells_images_of_one_name_apart(void **state)
{
	struct plan p = {0};

	(void)state;
	p.disks =
	    json_pack("[oo]", disk("d0", "/src/a/x.raw", "raw"), disk("d1", "/src/b/x.raw", "raw"));
	assert_int_equal(
	    plan(&p, "-drive", "file=/src/a/x.raw,id=d0", "-drive", "file=/src/b/x.raw,id=d1"), 0);
	check_image(&p, 0, "x.raw");
	check_image(&p, 1, "d1-x.raw");
	assert_non_null(strstr(value(&p, "-drive", 1), "/d1-x.raw"));
	plan_fini(&p);

	/* the name that would tell them apart is another's */
	p.disks = json_pack("[ooo]", disk("d0", "/src/a/d2-x.raw", "raw"),
			    disk("d1", "/src/b/x.raw", "raw"), disk("d2", "/src/c/x.raw", "raw"));
	assert_int_equal(plan(&p, "-drive", "file=/src/a/d2-x.raw,id=d0", "-drive",
			      "file=/src/b/x.raw,id=d1", "-drive", "file=/src/c/x.raw,id=d2"),
			 ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "d2-x.raw"));
	plan_fini(&p);

	p.disks = json_pack("[ooo]", disk("n", "/src/a/x.raw", "raw"),
			    disk("n", "/src/b/x.raw", "raw"), disk("n", "/src/c/x.raw", "raw"));
	assert_int_equal(
	    plan(&p, "-hda", "/src/a/x.raw", "-hdb", "/src/b/x.raw", "-hdc", "/src/c/x.raw"),
	    ERR_REFUSED);
	plan_fini(&p);
}

static void test_twin_needs_a_folder_for_images(void **state)
{
	struct plan p = {0};
	json_t *d = disk("d", "/src/x.raw", "raw");

	(void)state;
	p.no_images = true;
	p.disks = json_pack("[O]", d);
	assert_int_equal(plan(&p, "-hda", "/src/x.raw"), ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "--images"));
	plan_fini(&p);
	/* called empty, and named all the same */
	json_object_set_new(d, "empty", json_true());
	p.no_images = true;
	p.disks = json_pack("[O]", d);
	assert_int_equal(plan(&p, "-hda", "/src/x.raw"), ERR_REFUSED);
	plan_fini(&p);
	p.no_images = true;
	assert_int_equal(plan(&p, "-kernel", "/boot/k"), ERR_REFUSED);
	plan_fini(&p);
	p.no_images = true;
	assert_int_equal(plan(&p, "-m", "32"), 0);
	plan_fini(&p);
	json_decref(d);
}

static void test_twin_takes_what_the_guest_boots_from_the_folder(void **state)
{
	struct plan p = {0};
	char path[256];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/vmlinuz", twin_fixture_images);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(plan(&p, "-kernel", "/boot/../root/vmlinuz"), 0);
	assert_string_equal(value(&p, "-kernel", 0), path);
	plan_fini(&p);
	unlink(path);
}

/* The copy of a part of a file is that part alone; of a file that is not copied it stays one. */
static void test_twin_has_the_part_that_is_copied(void **state)
{
	static const char *const parts[] = {
	    "driver=raw,node-name=a,offset=512,size=512,file.driver=file,file.filename=/src/a.raw",
	    "{\"driver\":\"raw\",\"node-name\":\"a\",\"offset\":512,\"file\":{\"driver\":\"file\","
	    "\"filename\":\"/src/a.raw\"}}"};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct plan p = {0};

		p.disks = json_pack("[o]", attached("dev0", "a", "/src/a.raw", i >= 2));
		assert_int_equal(plan(&p, "-blockdev", parts[i % 2], "-device",
				      "virtio-blk-pci,drive=a,id=dev0"),
				 0);
		assert_int_equal(strstr(value(&p, "-blockdev", 0), "offset") != NULL, i >= 2);
		plan_fini(&p);
	}
}

/* file=json:... is held to what any -blockdev is: no file but the drive's, no driver that is not
 * known, no name within a name, and no format that is left to guessing. */
static void test_twin_takes_json_in_place_of_a_path(void **state)
{
	static const struct {
		const char *drive, *part;
	} bad[] = {
	    {"id=x,file=json:{\"driver\":\"raw\",,\"file\":{\"driver\":\"file\",,\"filename\":"
	     "\"/src/x.raw\"},,\"file.filename\":\"/etc/shadow\"}",
	     "has a dot"},
	    {"id=x,file=json:{\"file\":{\"driver\":\"file\",,\"filename\":\"/src/x.raw\"}}",
	     "format"},
	    {"id=x,file=json:{\"driver\":\"raw\",,\"file\":{\"driver\":\"file\",,\"filename\":"
	     "\"/etc/shadow\"}}",
	     "image"},
	    {"id=x,file=json:{\"driver\":\"raw\",,\"file\":{\"driver\":\"ssh\",,\"filename\":"
	     "\"/src/x.raw\"}}",
	     "this kind"},
	    {"id=x,file=json:[]", ""},
	};
	struct plan p = {0};

	(void)state;
	p.disks = json_pack("[o]", disk("x", "/src/x.raw", "raw"));
	assert_int_equal(plan(&p, "-drive",
			      "id=x,file=json:{\"driver\":\"raw\",,\"file\":{\"driver\":\"file\",,"
			      "\"filename\":\"/src/x.raw\"}}"),
			 0);
	assert_non_null(strstr(value(&p, "-drive", 0), twin_fixture_images));
	assert_null(strstr(value(&p, "-drive", 0), "/src"));
	plan_fini(&p);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		p = (struct plan){0};
		p.disks = json_pack("[o]", disk("x", "/src/x.raw", "raw"));
		assert_int_equal(plan(&p, "-drive", bad[i].drive), ERR_REFUSED);
		assert_non_null(strstr(p.e.text, bad[i].part));
		plan_fini(&p);
	}
}

static const struct {
	const char *target, *at; /* NULL: refused */
} targets[] = {
    {"fast:", "FAST/a.raw"},
    {"fast:web.raw", "FAST/web.raw"},
    {"web.raw", "IMAGES/web.raw"},
    {"FAST/web.raw", "FAST/web.raw"},
    {"FAST//web.raw", "FAST/web.raw"},
    {"REAL/web.raw", "LINK/web.raw"},
    {"LINK/web.raw", "LINK/web.raw"},
    /* what leads there, but is not what the rights have: nobody looks */
    {"FAST/./web.raw", NULL},
    {"OTHER/web.raw", NULL},
    {"IMAGES/web.raw", "IMAGES/web.raw"},
    {"big:web.raw", NULL},
    {"Fast:web.raw", NULL},
    {"fas:web.raw", NULL},
    {"fast=:web.raw", NULL},
    {" fast:web.raw", NULL},
    {":web.raw", NULL},
    {"fast:/web.raw", NULL},
    {"fast:../web.raw", NULL},
    {"fast:..", NULL},
    {"fast:.", NULL},
    {"fast:sub/web.raw", NULL},
    {"../web.raw", NULL},
    {"..", NULL},
    {"sub/web.raw", NULL},
    {"/etc/web.raw", NULL},
    {"/web.raw", NULL},
    {"FAST/..", NULL},
    {"FAST/", NULL},
    {"FAST/../web.raw", NULL},
    {"FAST/sub/web.raw", NULL},
    {"FASTER/web.raw", NULL},
    {"file:/etc/passwd", NULL},
    {"nbd://host/web.raw", NULL},
};

/* What a source wishes is in a folder of its rights, as they have it, or is refused. */
static void test_twin_target_stays_in_what_the_rights_name(void **state)
{
	char fast[] = "/tmp/adit-fast-XXXXXX", real[] = "/tmp/adit-real-XXXXXX", link[64],
	     other[64], word[64], linked[80], text[300], want[300];
	const char *storage[] = {word, linked, NULL};
	const struct {
		const char *word, *is;
	} names[] = {{"LINK", link},
		     {"OTHER", other},
		     {"FAST", fast},
		     {"REAL", real},
		     {"IMAGES", twin_fixture_images}};

	(void)state;
	assert_non_null(mkdtemp(fast));
	snprintf(word, sizeof(word), "fast=%s", fast);
	assert_non_null(mkdtemp(real));
	snprintf(link, sizeof(link), "%s-link", real);
	snprintf(other, sizeof(other), "%s-other", real);
	snprintf(linked, sizeof(linked), "linked=%s", link);
	assert_int_equal(symlink(real, link), 0);
	assert_int_equal(symlink(fast, other), 0);
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		struct plan p = {.storage = storage};
		const char *at[] = {targets[i].target, targets[i].at};
		char *to[] = {text, want};

		for (size_t k = 0; k < 2; k++) {
			snprintf(to[k], sizeof(text), "%s", at[k] ? at[k] : "");
			for (size_t n = 0; at[k] && n < sizeof(names) / sizeof(names[0]); n++) {
				size_t len = strlen(names[n].word);

				if (strncmp(at[k], names[n].word, len) == 0) {
					snprintf(to[k], sizeof(text), "%s%s", names[n].is,
						 at[k] + len);
					break;
				}
			}
		}
		p.disks = json_pack("[o]", disk("x", "/src/a.raw", "raw"));
		json_object_set_new(json_array_get(p.disks, 0), "target", json_string(text));
		assert_int_equal(plan(&p, "-drive", "id=x,format=raw,file=/src/a.raw"),
				 targets[i].at ? 0 : ERR_REFUSED);
		if (targets[i].at)
			assert_string_equal(p.t.images[0].path, want);
		else
			assert_non_null(strstr(p.e.text, text[strlen(text) - 1] == ':'
							     ? "--storage x="
							     : "--target x="));
		plan_fini(&p);
	}
	unlink(link);
	unlink(other);
	rmdir(real);
	rmdir(fast);
}

/* What is in a storage already may be another peer's. */
static void test_twin_target_gives_nobody_what_is_in_a_storage(void **state)
{
	static const struct {
		const char *target, *sum;
		bool copy, read_only, good;
	} cases[] = {
	    {"fast:b.raw", NULL, true, false, true},
	    {"fast:b.raw", NULL, false, false, false},
	    {"fast:b.raw", "ab", false, false, false},
	    {"/srv/fast/b.raw", NULL, false, false, false},
	    {"fast:b.raw", NULL, false, true, false},
	    /* (a medium that is there is not copied) */
	    {"fast:b.raw", NULL, true, true, false},
	    {"fast:b.raw", "ab", true, true, true},
	    {"fast:b.raw", "ab", false, true, true},
	    {"b.raw", NULL, false, false, true},
	};
	const char *storage[] = {"fast=/srv/fast", NULL};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plan p = {.storage = storage};
		json_t *d = disk("x", "/src/a.raw", "raw");

		json_object_set_new(d, "target", json_string(cases[i].target));
		json_object_set_new(d, "copy", json_boolean(cases[i].copy));
		json_object_set_new(d, "read_only", json_boolean(cases[i].read_only));
		if (cases[i].sum)
			json_object_set_new(d, "sum", json_string(cases[i].sum));
		p.disks = json_pack("[o]", d);
		assert_int_equal(plan(&p, "-drive", "id=x,format=raw,file=/src/a.raw"),
				 cases[i].good ? 0 : ERR_REFUSED);
		if (!cases[i].good)
			assert_non_null(strstr(p.e.text, "in a storage"));
		plan_fini(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_twin_gives_each_disk_its_own_image),
	    cmocka_unit_test(test_twin_follows_media),
	    cmocka_unit_test(test_twin_copies_media_through_the_page_cache),
	    cmocka_unit_test(test_twin_puts_images_into_the_folder),
	    cmocka_unit_test(test_twin_tells_images_of_one_name_apart),
	    cmocka_unit_test(test_twin_tells_images_of_one_name_apart_in_a_storage),
	    cmocka_unit_test(test_twin_has_the_part_that_is_copied),
	    cmocka_unit_test(test_twin_takes_json_in_place_of_a_path),
	    cmocka_unit_test(test_twin_target_stays_in_what_the_rights_name),
	    cmocka_unit_test(test_twin_target_gives_nobody_what_is_in_a_storage),
	    cmocka_unit_test(test_twin_needs_a_folder_for_images),
	    cmocka_unit_test(test_twin_takes_what_the_guest_boots_from_the_folder),
	};

	return cmocka_run_group_tests(tests, twin_fixture_set_up, twin_fixture_tear_down);
}
