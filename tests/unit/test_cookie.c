/* The cookies' schema: what is taken, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/talk/cookie.h"

#define JOB "0123456789abcdef0123456789abcdef"

static json_t *make_begin(void)
{
	json_t *m = cookie_new(COOKIE_BEGIN, JOB);

	json_object_set_new(m, "vm",
			    json_pack("{s:s,s:s,s:s,s:s,s:b,s:I,s:i}", "qemu", "7.2.22", "arch",
				      "x86_64", "machine", "pc-i440fx-7.2", "status", "running",
				      "running", 1, "memory", (json_int_t)1 << 30, "cpus", 1));
	json_object_set_new(m, "disks",
			    json_pack("[{s:s,s:I,s:b,s:b,s:b,s:b}]", "name", "d0", "size",
				      (json_int_t)1 << 20, "read_only", 0, "empty", 0, "removable",
				      0, "copy", 1));
	return m;
}

/* Checks m as a line from `from`; frees m. */
static int check(json_t *m, enum cookie_side from, struct err *e)
{
	char *text = json_dumps(m, JSON_COMPACT);
	enum cookie_kind kind;
	json_t *got;
	int r;

	memset(e, 0, sizeof(*e));
	assert_non_null(text);
	r = cookie_read(text, strlen(text), from, &kind, &got, e);
	json_decref(got);
	json_decref(m);
	free(text);
	return r;
}

#define REFUSED(m, from, words)                                                                    \
	do {                                                                                       \
		struct err err_;                                                                   \
		assert_true(check(m, from, &err_) < 0);                                            \
		assert_int_equal(err_.code, ERR_PROTOCOL);                                         \
		if (!strstr(err_.text, words))                                                     \
			fail_msg("\"%s\" has no \"%s\"", err_.text, words);                        \
	} while (0)

static void test_cookie_takes_what_it_makes(void **state)
{
	struct err e, why = ERR_INIT, back = ERR_INIT;
	json_t *m;

	(void)state;
	assert_int_equal(check(make_begin(), COOKIE_SOURCE, &e), 0);
	assert_int_equal(check(cookie_new(COOKIE_DISKS_DONE, JOB), COOKIE_SOURCE, &e), 0);
	assert_int_equal(check(cookie_new(COOKIE_DISKS_CLOSED, JOB), COOKIE_DESTINATION, &e), 0);
	assert_int_equal(check(cookie_new(COOKIE_CONFIRMED, JOB), COOKIE_DESTINATION, &e), 0);
	err_set(&why, ERR_SPACE, "no room for \"x\"");
	m = cookie_new_abort(JOB, &why);
	cookie_get_abort(m, &back);
	assert_int_equal(back.code, ERR_SPACE);
	assert_string_equal(back.text, why.text);
	assert_int_equal(check(json_incref(m), COOKIE_SOURCE, &e), 0);
	assert_int_equal(check(m, COOKIE_DESTINATION, &e), 0);
}

static void test_cookie_refuses_another_version(void **state)
{
	json_t *m = make_begin();

	(void)state;
	json_object_set_new(m, "adit", json_integer(7));
	/* whatever else a later version holds */
	json_object_set_new(m, "kind", json_integer(3));
	REFUSED(m, COOKIE_SOURCE, "version 7");
	m = make_begin();
	json_object_set_new(m, "adit", json_integer(7));
	REFUSED(m, COOKIE_SOURCE, "adit version 1");
	m = make_begin();
	json_object_del(m, "adit");
	REFUSED(m, COOKIE_SOURCE, "adit is missing");
	m = make_begin();
	json_object_set_new(m, "adit", json_string("1"));
	REFUSED(m, COOKIE_SOURCE, "adit is missing");
}

static void test_cookie_refuses_the_wrong_side(void **state)
{
	(void)state;
	REFUSED(make_begin(), COOKIE_DESTINATION, "not for this side");
	REFUSED(cookie_new(COOKIE_CONFIRMED, JOB), COOKIE_SOURCE, "not for this side");
	REFUSED(cookie_new(COOKIE_DISKS_DONE, JOB), COOKIE_DESTINATION, "not for this side");
}

static void test_cookie_refuses_a_head_that_does_not_fit(void **state)
{
	static const char *const jobs[] = {"", "0123", "0123456789ABCDEF0123456789abcdef",
					   "../../../../../../../../etc/xyz", JOB "0"};
	json_t *m = make_begin();

	(void)state;
	json_object_set_new(m, "phase", json_string("finish"));
	REFUSED(m, COOKIE_SOURCE, "does not fit");
	m = make_begin();
	json_object_set_new(m, "kind", json_string("beg"));
	REFUSED(m, COOKIE_SOURCE, "kind is unknown");
	for (size_t i = 0; i < sizeof(jobs) / sizeof(*jobs); i++) {
		m = make_begin();
		json_object_set_new(m, "job", json_string(jobs[i]));
		REFUSED(m, COOKIE_SOURCE, "job is not");
	}
}

static void test_cookie_refuses_fields_that_are_wrong(void **state)
{
	static const char *const names[] = {"", ".", "..", "../x", "a/b", "a b", ".hidden", "a,b"};
	char *big = malloc(9000);
	json_t *m = make_begin(), *vm, *disk;

	(void)state;
	json_object_set_new(json_object_get(m, "vm"), "memory", json_string("much"));
	REFUSED(m, COOKIE_SOURCE, "vm.memory is not an integer");
	m = make_begin();
	json_object_set_new(json_object_get(m, "vm"), "memory", json_integer(-1));
	REFUSED(m, COOKIE_SOURCE, "vm.memory is out of range");
	m = make_begin();
	json_object_set_new(json_object_get(m, "vm"), "running", json_integer(1));
	REFUSED(m, COOKIE_SOURCE, "vm.running is not true or false");
	m = make_begin();
	json_object_del(json_object_get(m, "vm"), "machine");
	REFUSED(m, COOKIE_SOURCE, "vm.machine is missing");
	m = make_begin();
	json_object_set_new(json_object_get(m, "vm"), "shell", json_string("rm"));
	REFUSED(m, COOKIE_SOURCE, "vm.shell is unknown");
	m = make_begin();
	json_object_set_new(m, "more", json_true());
	REFUSED(m, COOKIE_SOURCE, "more is unknown");
	m = make_begin();
	json_object_set_new(json_object_get(m, "vm"), "name", json_string("a\nb"));
	REFUSED(m, COOKIE_SOURCE, "control character");
	m = make_begin();
	disk = json_array_get(json_object_get(m, "disks"), 0);
	json_object_set_new(disk, "size", json_real(1.5));
	REFUSED(m, COOKIE_SOURCE, "disks.size is not an integer");
	/* a disk's name becomes a part of a file's name there */
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		m = make_begin();
		disk = json_array_get(json_object_get(m, "disks"), 0);
		json_object_set_new(disk, "name", json_string(names[i]));
		REFUSED(m, COOKIE_SOURCE, "disks.name is not a plain name");
	}
	m = make_begin();
	json_object_set_new(m, "disks", json_object());
	REFUSED(m, COOKIE_SOURCE, "disks is not an array");
	m = make_begin();
	for (int i = 0; i < COOKIE_DISKS_MAX; i++) {
		vm = json_object_get(m, "disks");
		json_array_append_new(vm, json_deep_copy(json_array_get(vm, 0)));
	}
	REFUSED(m, COOKIE_SOURCE, "too many");
	memset(big, 'x', 8999);
	big[8999] = 0;
	m = make_begin();
	json_object_set_new(m, "dest_qmp", json_string(big));
	REFUSED(m, COOKIE_SOURCE, "dest_qmp is too long");
	free(big);
}

static void test_cookie_refuses_what_is_not_one(void **state)
{
	static const char *const lines[] = {
	    "",
	    "{",
	    "[]",
	    "null",
	    "{}",
	    "\xff\xfe",
	    "{\"adit\":1}",
	    "{\"adit\":1,\"adit\":1}",
	    "{\"adit\":1,\"kind\":null,\"phase\":[]}",
	};
	enum cookie_kind kind;
	struct err e;
	json_t *m;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		memset(&e, 0, sizeof(e));
		assert_true(cookie_read(lines[i], strlen(lines[i]), COOKIE_SOURCE, &kind, &m, &e) <
			    0);
		assert_int_equal(e.code, ERR_PROTOCOL);
		assert_null(m);
	}
	memset(&e, 0, sizeof(e));
	assert_true(cookie_read("{}", COOKIE_MAX + 1, COOKIE_SOURCE, &kind, &m, &e) < 0);
	assert_int_equal(e.code, ERR_LIMIT);
	/* nested beyond all reason */
	{
		size_t n = 200000;
		char *deep = malloc(n);

		memset(deep, '[', n);
		assert_true(cookie_read(deep, n, COOKIE_SOURCE, &kind, &m, &e) < 0);
		free(deep);
	}
}

static void test_cookie_makes_job_ids(void **state)
{
	char a[COOKIE_JOB_LEN + 1], b[COOKIE_JOB_LEN + 1];
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(cookie_make_job(a, &e), 0);
	assert_int_equal(cookie_make_job(b, &e), 0);
	assert_true(cookie_is_job(a));
	assert_string_not_equal(a, b);
	assert_false(cookie_is_job(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cookie_takes_what_it_makes),
	    cmocka_unit_test(test_cookie_refuses_another_version),
	    cmocka_unit_test(test_cookie_refuses_the_wrong_side),
	    cmocka_unit_test(test_cookie_refuses_a_head_that_does_not_fit),
	    cmocka_unit_test(test_cookie_refuses_fields_that_are_wrong),
	    cmocka_unit_test(test_cookie_refuses_what_is_not_one),
	    cmocka_unit_test(test_cookie_makes_job_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
