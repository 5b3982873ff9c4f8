/* HostKeyAlias out of ssh's configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tunnel/ssh_alias.h"

static char folder[] = "/tmp/adit-test-alias-XXXXXX", file[64], other[64];

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* want NULL: none. */
static void expect(const char *host, const char *want)
{
	char alias[32] = "";

	assert_int_equal(ssh_alias_find(file, host, alias, sizeof(alias)), want != NULL);
	assert_string_equal(alias, want ? want : "");
}

static void test_ssh_alias_takes_the_first_that_matches(void **state)
{
	(void)state;
	put(file, "# HostKeyAlias no\n"
		  "Host web* !web9 db\n"
		  "\tPort 2222\n"
		  "  hostkeyalias = one # why\n"
		  "Host \"quoted\"\n"
		  "HostKeyAlias=\"two\"\n"
		  "Host *\n"
		  "HostKeyAlias rest\n");
	expect("web1", "one");
	expect("WEB1", "one");
	expect("db", "one");
	expect("web9", "rest");
	expect("quoted", "two");
	put(file, "Host a\nHostKeyAlias one\n");
	expect("b", NULL);
	put(file, "HostKeyAlias\nHostKeyAlias top\nHost *\nHostKeyAlias rest");
	expect("b", "top");
	put(file, "HostKeyAlias this-name-is-longer-than-there-is-room-for\n");
	expect("b", NULL);
	unlink(file);
	expect("b", NULL);
}

static void test_ssh_alias_takes_match_all_only(void **state)
{
	(void)state;
	put(file, "Match host a\nHostKeyAlias one\nMatch exec \"touch /nowhere\"\n"
		  "HostKeyAlias two\nMatch all\nHostKeyAlias three\n");
	expect("a", "three");
}

static void test_ssh_alias_follows_include(void **state)
{
	char text[256];

	(void)state;
	put(other, "Host a\nHostKeyAlias one\n");
	snprintf(text, sizeof(text), "Host b\nInclude %s/oth*\nHost *\nInclude /nowhere %s\n",
		 folder, other);
	put(file, text);
	expect("a", "one");
	expect("b", NULL);
	/* what includes itself */
	snprintf(text, sizeof(text), "Include %s\nHostKeyAlias late\n", file);
	put(file, text);
	expect("a", "late");
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(file, sizeof(file), "%s/config", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(file);
	unlink(other);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ssh_alias_takes_the_first_that_matches),
	    cmocka_unit_test(test_ssh_alias_takes_match_all_only),
	    cmocka_unit_test(test_ssh_alias_follows_include),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
