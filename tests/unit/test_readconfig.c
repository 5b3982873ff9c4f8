/* A file of -readconfig, written out as options. */
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

#include "control/vm/readconfig.h"

static const char *word(const json_t *a, size_t i)
{
	const char *s = json_string_value(json_array_get(a, i));

	return s ? s : "";
}

static void test_readconfig_parse_writes_sections_out(void **state)
{
	char text[] =
	    "# QEMU\r\n[device \"ehci\"]\n  driver = \"ich9-usb-ehci1\"\n\tmultifunction = "
	    "\"on\"\n\n"
	    "[memory]\nsize = \"1G\"\n[smp-opts]\n  cpus = \"2\"\n[global]\n driver = \"a\"\n"
	    " property = \"b\"\n value = \"\"\n[machine]\n";
	struct err e = ERR_INIT;
	json_t *out = json_array();

	(void)state;
	assert_int_equal(readconfig_parse(text, "f", out, &e), 0);
	assert_int_equal(json_array_size(out), 10);
	assert_string_equal(word(out, 0), "-device");
	assert_string_equal(word(out, 1), "id=ehci,driver=ich9-usb-ehci1,multifunction=on");
	assert_string_equal(word(out, 2), "-m");
	assert_string_equal(word(out, 3), "size=1G");
	assert_string_equal(word(out, 4), "-smp");
	assert_string_equal(word(out, 6), "-global");
	assert_string_equal(word(out, 7), "driver=a,property=b,value=");
	assert_string_equal(word(out, 9), "");
	json_decref(out);
}

static void test_readconfig_parse_keeps_commas_and_bounds(void **state)
{
	char text[] = "[device \"a,b\"]\n driver = \"x,addr=9\"\n";
	struct err e = ERR_INIT;
	json_t *out = json_array();

	(void)state;
	assert_int_equal(readconfig_parse(text, "f", out, &e), 0);
	assert_string_equal(word(out, 1), "id=a,,b,driver=x,,addr=9");
	json_decref(out);
}

static void test_readconfig_parse_shows_no_line(void **state)
{
	static const char *const all[] = {"root:geheim:1\n", "[geheim]\n", "[device]\n geheim\n",
					  "[device]\n[\n", " a = \"geheim\"\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct err e = ERR_INIT;
		json_t *out = json_array();
		char text[100];

		snprintf(text, sizeof(text), "%s", all[i]);
		assert_int_equal(readconfig_parse(text, "/etc/f", out, &e), ERR_REFUSED);
		assert_null(strstr(e.text, "geheim"));
		assert_non_null(strstr(e.text, "/etc/f"));
		json_decref(out);
	}
}

static void test_readconfig_expand_refuses_what_is_not_there(void **state)
{
	json_t *argv =
	    json_pack("[s,s,s,s,s]", "qemu", "-m", "32", "-readconfig", "/nonexistent/adit");
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(readconfig_expand(argv, getpid(), &e), ERR_REFUSED);
	assert_non_null(strstr(e.text, "/nonexistent/adit"));
	assert_int_equal(json_array_size(argv), 5);
	json_decref(argv);
	argv = json_pack("[s,s,s]", "-readconfig", "-m", "32");
	e = (struct err)ERR_INIT;
	assert_int_equal(readconfig_expand(argv, getpid(), &e), 0);
	assert_int_equal(json_array_size(argv), 3);
	json_decref(argv);
}

/* A file that was put in the place of another has the time of change that it was given. */
static void test_readconfig_expand_refuses_what_was_replaced(void **state)
{
	const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
	char path[] = "/tmp/adit-readconfig-XXXXXX";
	json_t *argv = json_pack("[s,s,s]", "qemu", "-readconfig", path);
	struct err e = ERR_INIT;
	int fd;

	(void)state;
	sleep(3); /* (times of processes and files are in seconds) */
	fd = mkstemp(path);
	assert_true(fd >= 0);
	json_array_set_new(argv, 2, json_string(path));
	assert_int_equal(futimens(fd, old), 0);
	close(fd);
	assert_int_equal(readconfig_expand(argv, getpid(), &e), ERR_REFUSED);
	unlink(path);
	assert_non_null(strstr(e.text, "was changed after"));
	json_decref(argv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_readconfig_parse_writes_sections_out),
	    cmocka_unit_test(test_readconfig_parse_keeps_commas_and_bounds),
	    cmocka_unit_test(test_readconfig_parse_shows_no_line),
	    cmocka_unit_test(test_readconfig_expand_refuses_what_is_not_there),
	    cmocka_unit_test(test_readconfig_expand_refuses_what_was_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
