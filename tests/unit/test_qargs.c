/* The table of QEMU's options, held also to what the QEMU that is here says it has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "control/vm/qargs.h"

static bool left_out;

static int parse(struct qargs *q, struct err *e, size_t argc, const char *const *argv)
{
	return qargs_parse(q, (char *const *)(uintptr_t)argv, argc, e);
}

static void test_qargs_takes_options_and_bare_words(void **state)
{
	static const char *const argv[] = {"qemu",     "-m",	  "32",	       "--nodefaults",
					   "disk.img", "-append", "-S -qmp x", "-S"};
	struct err e = ERR_INIT;
	struct qargs q;

	(void)state;
	assert_int_equal(parse(&q, &e, 8, argv), 0);
	assert_int_equal(q.count, 5);
	assert_string_equal(q.at[0].option->name, "m");
	assert_string_equal(q.at[0].value, "32");
	assert_string_equal(q.at[1].option->name, "nodefaults");
	assert_null(q.at[1].value);
	assert_null(q.at[2].option);
	assert_string_equal(q.at[2].value, "disk.img");
	assert_string_equal(q.at[3].value, "-S -qmp x"); /* a value may look like options */
	assert_string_equal(q.at[4].option->name, "S");
	qargs_fini(&q);
	qargs_fini(&q);
}

static void test_qargs_refuses_what_it_does_not_know(void **state)
{
	static const char *const unknown[] = {"qemu", "-from-the-future", "1"};
	static const char *const cut[] = {"qemu", "-m"};
	static const char *const dashes[] = {"qemu", "---m", "1"};
	static const char *const dash[] = {"qemu", "-"};
	struct err e = ERR_INIT;
	struct qargs q;

	(void)state;
	assert_int_equal(parse(&q, &e, 3, unknown), ERR_REFUSED);
	assert_non_null(strstr(e.text, "-from-the-future"));
	assert_int_equal(parse(&q, &e, 2, cut), ERR_REFUSED);
	assert_non_null(strstr(e.text, "-m without"));
	assert_int_equal(parse(&q, &e, 3, dashes), ERR_REFUSED);
	assert_int_equal(parse(&q, &e, 2, dash), ERR_REFUSED);
	assert_int_equal(parse(&q, &e, 0, unknown), 0); /* not even a program */
	qargs_fini(&q);
	assert_int_equal(parse(&q, &e, 1, unknown), 0);
	qargs_fini(&q);
}

/* Every line "-name value" of qemu -help is an option with a value in the table too, if
 * it is there. What the table lacks is refused, which is safe; a value that it does not
 * know of would be taken for an option, and shift all that follows. */
/* What is done with an option's keys takes as long as the square of how many these are. */
static void test_qargs_refuses_more_keys_than_any_vm_has(void **state)
{
	static const struct {
		const char *option, *first, *key;
		unsigned keys;
		bool taken;
	} cases[] = {
	    {"-drive", "id=d", ",k=1", 999, true},
	    {"-drive", "id=d", ",k=1", 1000, false},
	    {"-device", "x", ",,y", 5000, true}, /* a comma in a value */
	    {"-device", "x", ",", 5000, true},
	    {"-device", "x", ",a", 1000, false},
	    {"-blockdev", "{\"a\":1", ",\"k\":1", 5000, true},
	    {"-append", "x", ",a", 5000, true}, /* the guest's matter */
	};
	static char text[64 * 1024];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *argv[] = {"qemu", cases[i].option, text};
		size_t len = strlen(cases[i].first), key = strlen(cases[i].key);
		struct err e = ERR_INIT;
		struct qargs q;

		strcpy(text, cases[i].first);
		for (unsigned n = 0; n < cases[i].keys; n++, len += key)
			strcpy(text + len, cases[i].key);
		assert_int_equal(parse(&q, &e, 3, argv), cases[i].taken ? 0 : ERR_REFUSED);
		if (cases[i].taken)
			qargs_fini(&q);
		else
			assert_non_null(strstr(e.text, "more than 1000 keys"));
	}
}

static void test_qargs_agrees_with_the_qemu_that_is_here(void **state)
{
	FILE *f = popen("qemu-system-x86_64 -help 2>/dev/null", "re");
	char line[512];
	unsigned seen = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char name[64], after[2] = "";
		const char *argv[] = {"qemu", NULL, "value"};
		struct err e = ERR_INIT;
		struct qargs q;
		char option[70];
		bool has_value;

		if (sscanf(line, "-%63[a-zA-Z0-9_-] %1[^ \n]", name, after) < 1)
			continue;
		if (strstr(line, " or -") || !strcmp(name, "h") || !strcmp(name, "version"))
			continue;
		/* "-name      text" has no value, "-name value  text" has one */
		has_value = line[strlen(name) + 1] == ' ' && line[strlen(name) + 2] != ' ' &&
			    line[strlen(name) + 2] != '\n';
		snprintf(option, sizeof(option), "-%s", name);
		argv[1] = option;
		if (parse(&q, &e, 3, argv) < 0)
			continue;
		seen++;
		/* (A longer name reaches to the column of the text.) */
		if (has_value && strlen(name) < 14 && !q.at[0].option->has_value)
			fail_msg("-%s takes a value: %s", name, line);
		if (q.at[0].option->has_value)
			assert_int_equal(q.count, 1);
		qargs_fini(&q);
	}
	if (pclose(f) != 0 || !seen) {
		left_out = true;
		skip();
	}
	assert_true(seen > 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_qargs_takes_options_and_bare_words),
	    cmocka_unit_test(test_qargs_refuses_more_keys_than_any_vm_has),
	    cmocka_unit_test(test_qargs_refuses_what_it_does_not_know),
	    cmocka_unit_test(test_qargs_agrees_with_the_qemu_that_is_here),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	if (left_out && r == 0)
		puts("SKIP: no qemu-system-x86_64 to hold the table of options to");
	return r;
}
