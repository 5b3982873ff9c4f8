/* What a peer may forward to: what patterns match, and above all what they do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "proxy/rules.h"

static int allowed(const char *pattern, const char *target)
{
	struct rules rules = {NULL};
	struct err e = ERR_INIT;
	struct addr a;
	int yes;

	assert_int_equal(rules_add(&rules, pattern, &e), 0);
	assert_int_equal(addr_parse(&a, target, &e), 0);
	yes = rules_match(&rules, &a);
	rules_fini(&rules);
	return yes;
}

static void test_rules_match_nothing_at_first(void **state)
{
	struct rules rules = {NULL};
	struct err e = ERR_INIT;
	struct addr a;

	(void)state;
	assert_int_equal(addr_parse(&a, "unix:/x", &e), 0);
	assert_false(rules_match(&rules, &a));
	rules_fini(&rules);
}

static void test_rules_match_what_they_name(void **state)
{
	static const char *const cases[][2] = {
	    {"unix:/run/vm/a.sock", "unix:/run/vm/a.sock"},
	    {"unix:/run/vm/*.sock", "unix:/run/vm/b.sock"},
	    {"unix:/run/*/a.sock", "unix:/run/vm/a.sock"},
	    {"unix:/run/vm/?", "unix:/run/vm/a"},
	    {"unix:/run/vm/[ab]", "unix:/run/vm/b"},
	    {"unix:/run/.hidden/*", "unix:/run/.hidden/x"},
	    {"tcp:10.0.0.1:80", "tcp:10.0.0.1:80"},
	    {"tcp:10.0.0.*:80", "tcp:10.0.0.9:80"},
	    {"tcp:10.0.0.1:*", "tcp:10.0.0.1:65535"},
	    {"tcp:*:80", "tcp:any.example:80"},
	    {"tcp:*:80", "tcp:[fe80::1]:80"},
	    {"tcp:[fe80::1]:80", "tcp:[fe80::1]:80"},
	    {"tcp:[fe80::1]:*", "tcp:[fe80::1]:443"},
	    {"tcp:host:80", "tcp:host:0080"},
	    {"tcp:vm[0-9]:80", "tcp:vm3:80"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!allowed(cases[i][0], cases[i][1]))
			fail_msg("%s does not allow %s", cases[i][0], cases[i][1]);
}

static void test_rules_match_nothing_else(void **state)
{
	static const char *const cases[][2] = {
	    {"unix:/run/vm/*", "unix:/run/vm/../../etc/x"},
	    {"unix:/run/vm/*", "unix:/run/vm/.."},
	    {"unix:/run/vm/*", "unix:/run/vm/."},
	    {"unix:/run/vm/*", "unix:/run/vm/sub/x"},
	    {"unix:/run/vm/*", "unix:/run/vm//x"},
	    {"unix:/run/vm/*", "unix:/run/vm/"},
	    {"unix:/run/vm/*", "unix:/run/vm"},
	    {"unix:/run/vm/*", "unix:/run/vm/.hidden"},
	    {"unix:/run/*/x", "unix:/run/../x"},
	    {"unix:/run/*/x", "unix:/run/./x"},
	    {"unix:/run/*/x", "unix:/run//x"},
	    {"unix:/run/[.][.]/x", "unix:/run/../x"},
	    {"unix:/run/?"
	     "?/x",
	     "unix:/run/../x"},
	    {"unix:/run/vm", "unix:/run/vm2"},
	    {"unix:/run/vm", "unix:/run/v"},
	    {"unix:/*", "unix:/"},
	    {"unix:/*", "tcp:host:80"},
	    {"tcp:*:*", "unix:/x"},
	    {"tcp:localhost:80", "tcp:127.0.0.1:80"},
	    {"tcp:127.0.0.1:80", "tcp:localhost:80"},
	    {"tcp:127.0.0.1:80", "tcp:127.1:80"},
	    {"tcp:host:80", "tcp:HOST:80"},
	    {"tcp:host:80", "tcp:host.:80"},
	    {"tcp:host:80", "tcp:host:8080"},
	    {"tcp:host:8*", "tcp:host:180"},
	    {"tcp:[::1]:80", "tcp:[0::1]:80"},
	    {"tcp:[::1]:80", "tcp:1:80"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (allowed(cases[i][0], cases[i][1]))
			fail_msg("%s allows %s", cases[i][0], cases[i][1]);
}

/* Even if somebody came to read a peer's words as a descriptor, no rule would let it through. */
static void test_rules_match_no_descriptor(void **state)
{
	static const char *const all[] = {"unix:/*", "tcp:*:*"};
	struct rules rules = {NULL};
	struct err e = ERR_INIT;
	struct addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_int_equal(rules_add(&rules, all[i], &e), 0);
	assert_int_equal(addr_parse_local(&a, "fd:3", &e), 0);
	assert_false(rules_match(&rules, &a));
	rules_fini(&rules);
}

static void test_rules_add_refuses_what_never_matches(void **state)
{
	static const char *const patterns[] = {
	    "",
	    "*",
	    "/run/x",
	    "unix:",
	    "unix:run/x",
	    "unix:/run/../x",
	    "unix:/",
	    "unix:/run//x",
	    "unix:/run/",
	    "unix:/./x",
	    "tcp:",
	    "tcp:host",
	    "tcp::80",
	    "tcp:host:",
	    "tcp:host:x",
	    "tcp:::1:80",
	    "tcp:[::1:80",
	    "job:1",
	    "fd:3",
	    "fd:*",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		struct rules rules = {NULL};
		struct err e = ERR_INIT;

		if (rules_add(&rules, patterns[i], &e) != ERR_USAGE)
			fail_msg("%s was taken", patterns[i]);
		assert_non_null(strstr(e.text, patterns[i]));
		assert_null(rules.first);
	}
}

static void test_rules_any_of_several(void **state)
{
	struct rules rules = {NULL};
	struct err e = ERR_INIT;
	struct addr a;

	(void)state;
	assert_int_equal(rules_add(&rules, "unix:/a", &e), 0);
	assert_int_equal(rules_add(&rules, "tcp:h:1", &e), 0);
	assert_int_equal(rules_add(&rules, "unix:/b", &e), 0);
	assert_int_equal(addr_parse(&a, "unix:/b", &e), 0);
	assert_true(rules_match(&rules, &a));
	assert_int_equal(addr_parse(&a, "tcp:h:1", &e), 0);
	assert_true(rules_match(&rules, &a));
	assert_int_equal(addr_parse(&a, "unix:/c", &e), 0);
	assert_false(rules_match(&rules, &a));
	rules_fini(&rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rules_match_nothing_at_first),
	    cmocka_unit_test(test_rules_match_what_they_name),
	    cmocka_unit_test(test_rules_match_nothing_else),
	    cmocka_unit_test(test_rules_match_no_descriptor),
	    cmocka_unit_test(test_rules_add_refuses_what_never_matches),
	    cmocka_unit_test(test_rules_any_of_several),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
