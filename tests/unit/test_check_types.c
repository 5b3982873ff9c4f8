/* What a twin needs of its QEMU: which types are asked for, and what is made of the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/check/check_types.h"

static void line(struct twin *t, const char *const *words)
{
	memset(t, 0, sizeof(*t));
	for (; *words; words++)
		strvec_push(&t->argv, *words);
}

static const char *const words[] = {"/usr/bin/qemu",
				    "-machine",
				    "pc",
				    "-vga",
				    "qxl",
				    "-device",
				    "virtio-blk,drive=d,nomultifunction",
				    "-device",
				    "{\"driver\":\"e1000\",\"id\":\"n\",\"new\":{\"a\":1}}",
				    "-device",
				    "e1000,new.a=2,list[0]=3",
				    "-device",
				    "not/a name",
				    "-object",
				    "memory-backend-shm,id=r,size=1M",
				    "-netdev",
				    "type=user,id=u",
				    "-net",
				    "nic",
				    NULL};
static const char asked[] =
    "[\"device:qxl-vga\", \"device:virtio-blk\", \"device:virtio-blk-pci\", "
    "\"device:virtio-blk-ccw\", \"device:virtio-blk-device\", "
    "\"device:e1000\", \"object:memory-backend-shm\", \"netdev:user\"]";

static void test_check_types_asks_for_each_once(void **state)
{
	struct twin t;
	json_t *wanted, *q;
	char *text;

	(void)state;
	line(&t, words);
	wanted = check_types_of(&t);
	text = json_dumps(wanted, 0);
	assert_string_equal(text, asked);
	free(text);
	json_decref(wanted);
	q = check_types_question("object:iothread", 7);
	text = json_dumps(q, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, "{\"arguments\":{\"typename\":\"iothread\"},"
				  "\"execute\":\"qom-list-properties\",\"id\":7}");
	free(text);
	json_decref(q);
	twin_fini(&t);
}

/* The errors of QEMU that said that to asked. */
static size_t errors(const char *said, const char *why, char *text, size_t size)
{
	json_t *wanted = json_loads(asked, 0, NULL);
	json_t *types = check_types_read(said, strlen(said), wanted, why);
	struct check c = {0};
	struct twin t;
	size_t n;

	line(&t, words);
	check_types(&c, &t, types, "7.2.22");
	n = check_count(&c, CHECK_ERROR);
	*text = 0;
	for (size_t i = 0; i < c.count; i++)
		snprintf(text + strlen(text), size - strlen(text), "%s|", c.at[i].text);
	check_fini(&c);
	twin_fini(&t);
	json_decref(types);
	json_decref(wanted);
	return n;
}

#define NONE(id) "{\"error\":{\"class\":\"DeviceNotFound\",\"desc\":\"\"},\"id\":" #id "}\n"
#define HAS(id, ...) "{\"return\":[" __VA_ARGS__ "],\"id\":" #id "}\n"
#define NAME(name) "{\"name\":\"" name "\",\"type\":\"str\"}"
#define BLK NONE(1) HAS(2, NAME("drive") "," NAME("multifunction")) NONE(3) NONE(4)
#define SHM HAS(6, NAME("size"))
#define USER "{\"return\":\"types:\\r\\nuser\\r\\ntap\\r\\n\",\"id\":7}\n"

static void test_check_types_is_content_with_what_is_there(void **state)
{
	char text[2000];

	(void)state;
	assert_int_equal(
	    errors(HAS(0, NAME("x")) BLK HAS(5, NAME("new")) SHM USER, NULL, text, sizeof(text)),
	    0);
	assert_string_equal(text, "QEMU there has what each of 6 devices, objects and networks is "
				  "made of|");
	/* what cannot be asked is not known: it says nothing */
	assert_int_equal(errors("", NULL, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	assert_int_equal(errors("{\"error\":{\"class\":\"CommandNotFound\"},\"id\":0}\n"
				"{\"return\":7,\"id\":5}\n{\"return\":[],\"id\":99}\n"
				"{\"return\":\"unknown command\",\"id\":7}\n",
				NULL, text, sizeof(text)),
			 0);
}

static void test_check_types_names_what_is_missing(void **state)
{
	char text[2000];

	(void)state;
	assert_int_equal(errors(NONE(0) BLK NONE(5)
				    NONE(6) "{\"return\":\"types:\\r\\nuse\\r\\ntap\","
					    "\"id\":7}\n",
				NULL, text, sizeof(text)),
			 5);
	assert_string_equal(
	    text,
	    "-vga qxl-vga: QEMU 7.2.22 on the destination has none of that type|"
	    "-device e1000: QEMU 7.2.22 on the destination has none of that type|"
	    "-device e1000: QEMU 7.2.22 on the destination has none of that type|"
	    "-object memory-backend-shm: QEMU 7.2.22 on the destination has none of that type|"
	    "-netdev user: QEMU 7.2.22 on the destination has none of that type|");
	assert_int_equal(errors(NONE(1) NONE(2) NONE(3) NONE(4), NULL, text, sizeof(text)), 1);
	/* a property, in either spelling */
	assert_int_equal(
	    errors(HAS(5, NAME("mac")) HAS(6, NAME("share")), NULL, text, sizeof(text)), 3);
	assert_string_equal(
	    text,
	    "-device e1000: QEMU 7.2.22 on the destination knows no new of it|"
	    "-device e1000: QEMU 7.2.22 on the destination knows no new.a of it|"
	    "-object memory-backend-shm: QEMU 7.2.22 on the destination knows no size of it|");
	/* the first that it did not answer is what it ended with */
	assert_int_equal(errors(HAS(0) BLK, "missing object", text, sizeof(text)), 2);
	assert_non_null(strstr(text,
			       "-device e1000: QEMU 7.2.22 on the destination has none of that "
			       "type: missing object|"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_check_types_asks_for_each_once),
	    cmocka_unit_test(test_check_types_is_content_with_what_is_there),
	    cmocka_unit_test(test_check_types_names_what_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
