/* The log's lines: for people with time and level, for the journal with sd-daemon(3)'s prefix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static int file, saved;

/* Standard error is a file until restore. */
static void redirect(void)
{
	char path[] = "/tmp/adit-test-log-XXXXXX";

	file = mkstemp(path);
	assert_true(file >= 0);
	unlink(path);
	saved = dup(STDERR_FILENO);
	dup2(file, STDERR_FILENO);
}

static void restore(char *text, size_t size)
{
	ssize_t n = pread(file, text, size - 1, 0);

	dup2(saved, STDERR_FILENO);
	close(saved);
	close(file);
	assert_true(n >= 0);
	text[n] = '\0';
}

static void set_stream(unsigned long long more)
{
	char text[64];
	struct stat st;

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + more);
	setenv("JOURNAL_STREAM", text, 1);
}

static void test_log_knows_the_journal(void **state)
{
	char text[100];
	int same, other, junk, none;

	(void)state;
	redirect();
	set_stream(0);
	same = log_is_journal();
	set_stream(1);
	other = log_is_journal();
	setenv("JOURNAL_STREAM", "8:x", 1);
	junk = log_is_journal();
	unsetenv("JOURNAL_STREAM");
	none = log_is_journal();
	restore(text, sizeof(text));
	assert_true(same);
	assert_false(other); /* it was redirected since: a launcher's variable, our own file */
	assert_false(junk);
	assert_false(none);
}

static void test_log_journal_has_priorities_and_no_time(void **state)
{
	struct log_ctx ctx = {.peer = "psk:a", .job = "1f3a", .stream = 7};
	char text[1000];

	(void)state;
	log_set_level(LOG_LEVEL_DEBUG);
	redirect();
	log_set_journal(1);
	log_error(NULL, "one");
	log_warn(&ctx, "two\n<0>x");
	log_info(NULL, "three");
	log_debug(NULL, "four");
	log_set_journal(0);
	restore(text, sizeof(text));
	assert_string_equal(
	    text, "<3>one\n<4>peer=psk:a job=1f3a stream=7 two?<0>x\n<6>three\n<7>four\n");
}

static void test_log_has_time_and_level_else(void **state)
{
	char text[1000];
	int year, length = 0;

	(void)state;
	redirect();
	log_warn(NULL, "words");
	restore(text, sizeof(text));
	assert_string_equal(log_journal_prefix(LOG_LEVEL_ERROR), "");
	sscanf(text, "%4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ warning: words\n%n", &year, &length);
	assert_int_equal(length, strlen(text));
	assert_true(length > 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_log_knows_the_journal),
	    cmocka_unit_test(test_log_journal_has_priorities_and_no_time),
	    cmocka_unit_test(test_log_has_time_and_level_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
