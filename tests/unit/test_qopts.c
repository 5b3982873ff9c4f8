/* QEMU's option strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "control/vm/qopts.h"

static void test_qopts_writes_what_it_reads(void **state)
{
	static const char *const same[] = {
	    "",
	    "a=b",
	    "a=b,c=d",
	    "a=,b=",
	    "file=/a,,b,,,,c,format=raw",
	    "flag,a=b,other",
	    "a=b=c,,d=e",
	    "a=b,a=c",
	    ",,x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		struct qopts o;
		char *text;

		assert_int_equal(qopts_parse(&o, same[i], NULL), 0);
		text = qopts_text(&o);
		if (i < sizeof(same) / sizeof(same[0]) - 1)
			assert_string_equal(text, same[i]);
		free(text);
		qopts_fini(&o);
	}
}

static void test_qopts_undoubles_commas(void **state)
{
	struct qopts o;

	(void)state;
	assert_int_equal(qopts_parse(&o, "file=/a,,b,format=raw,tail=x,,", NULL), 0);
	assert_string_equal(qopts_get(&o, "file"), "/a,b");
	assert_string_equal(qopts_get(&o, "format"), "raw");
	assert_string_equal(qopts_get(&o, "tail"), "x,");
	assert_int_equal(o.count, 3);
	qopts_fini(&o);
	/* three: a doubled one, and one that ends the value */
	assert_int_equal(qopts_parse(&o, "a=x,,,b=y", NULL), 0);
	assert_string_equal(qopts_get(&o, "a"), "x,");
	assert_string_equal(qopts_get(&o, "b"), "y");
	qopts_fini(&o);
}

static void test_qopts_implies_a_key_for_the_first_word_only(void **state)
{
	struct qopts o;
	char *text;

	(void)state;
	assert_int_equal(qopts_parse(&o, "e1000,mac=1,x", "driver"), 0);
	assert_string_equal(qopts_get(&o, "driver"), "e1000");
	assert_string_equal(o.at[2].value, "x");
	assert_null(o.at[2].key);
	text = qopts_text(&o);
	assert_string_equal(text, "driver=e1000,mac=1,x");
	free(text);
	qopts_fini(&o);
	assert_int_equal(qopts_parse(&o, "mac=1,e1000", "driver"), 0);
	assert_null(qopts_get(&o, "driver"));
	qopts_fini(&o);
	assert_int_equal(qopts_parse(&o, "", "driver"), 0);
	assert_null(qopts_get(&o, "driver"));
	qopts_fini(&o);
}

static void test_qopts_gives_the_last_value(void **state)
{
	struct qopts o;

	(void)state;
	assert_int_equal(qopts_parse(&o, "e1000,driver=vfio-pci", "driver"), 0);
	assert_string_equal(qopts_get(&o, "driver"), "vfio-pci");
	qopts_fini(&o);
}

static void test_qopts_knows_what_is_on(void **state)
{
	static const struct {
		const char *text;
		bool on;
	} all[] = {
	    {"server", true},
	    {"server=on", true},
	    {"server=yes", true},
	    {"server=y", true},
	    {"server=true", true},
	    {"server=off", false},
	    {"server=no", false},
	    {"server=", false},
	    {"servers", false},
	    {"x=server", false},
	    {"", false},
	    {"server=on,server=off", false},
	    {"server=off,server", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct qopts o;

		assert_int_equal(qopts_parse(&o, all[i].text, NULL), 0);
		if (qopts_is_on(&o, "server") != all[i].on)
			fail_msg("%s", all[i].text);
		qopts_fini(&o);
	}
}

static void check_text(struct qopts *o, const char *want)
{
	char *text = qopts_text(o);

	assert_string_equal(text, want);
	free(text);
}

static void test_qopts_sets_and_removes_every_occurrence(void **state)
{
	struct qopts o;

	(void)state;
	assert_int_equal(qopts_parse(&o, "a=1,b=2,a=3,wait,c=4", NULL), 0);
	assert_int_equal(qopts_set(&o, "a", "x,y=z"), 0);
	check_text(&o, "a=x,,y=z,b=2,wait,c=4");
	assert_int_equal(qopts_set(&o, "wait", "off"), 0);
	check_text(&o, "a=x,,y=z,b=2,wait=off,c=4");
	assert_int_equal(qopts_set(&o, "new", ""), 0);
	check_text(&o, "a=x,,y=z,b=2,wait=off,c=4,new=");
	assert_int_equal(qopts_remove(&o, "b"), 1);
	assert_int_equal(qopts_remove(&o, "b"), 0);
	check_text(&o, "a=x,,y=z,wait=off,c=4,new=");
	qopts_fini(&o);
	assert_int_equal(qopts_parse(&o, "backing.file=a,backing.driver=b,backing=c,x", NULL), 0);
	assert_int_equal(qopts_remove_prefix(&o, "backing."), 2);
	check_text(&o, "backing=c,x");
	qopts_fini(&o);
	qopts_fini(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_qopts_writes_what_it_reads),
	    cmocka_unit_test(test_qopts_undoubles_commas),
	    cmocka_unit_test(test_qopts_implies_a_key_for_the_first_word_only),
	    cmocka_unit_test(test_qopts_gives_the_last_value),
	    cmocka_unit_test(test_qopts_knows_what_is_on),
	    cmocka_unit_test(test_qopts_sets_and_removes_every_occurrence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
