/* The log's lines: for people with time and level, for the journal with sd-daemon(3)'s prefix. */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/log_rate.h"

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

/* What the far end of fd has for us, until it would wait. */
static size_t drain(int fd, char *buf, size_t size)
{
	size_t used = 0;
	ssize_t n;

	while (used < size - 1 && (n = read(fd, buf + used, size - 1 - used)) > 0)
		used += (size_t)n;
	buf[used] = '\0';
	return used;
}

/* Lines to fds[1], which nobody reads; then fds[0] is read, and one line more is written. */
static void write_to_deaf(int fds[2])
{
	static char text[1 << 20];
	unsigned long missing = 0, lines = 0;
	int flags = fcntl(fds[1], F_GETFL);
	char *told;

	log_set_level(LOG_LEVEL_DEBUG);
	saved = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	alarm(30); /* a log that waits is ended by it */
	for (int i = 0; i < 5000; i++)
		log_warn(NULL, "line %d of very many that nobody reads, and that are as long as %s",
			 i, "lines of a log are");
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL), flags);
	drain(fds[0], text, sizeof(text));
	log_warn(NULL, "one more");
	alarm(0);
	for (char *p = text; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	drain(fds[0], text, sizeof(text));
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[0]);
	log_set_level(LOG_LEVEL_INFO);
	assert_true(lines > 10);
	told = strstr(text, "warning: ");
	assert_non_null(told);
	assert_int_equal(sscanf(told, "warning: %lu lines are missing here", &missing), 1);
	assert_int_equal(missing + lines, 5000);
	assert_non_null(strstr(text, "warning: one more\n"));
}

static void test_log_does_not_wait_for_a_pipe(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	write_to_deaf(fds);
}

static void test_log_does_not_wait_for_a_socket(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	write_to_deaf(fds);
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void test_log_counts_what_is_too_much(void **state)
{
	static char text[1 << 20];
	struct log_ctx bad = {.peer = "psk:bad", .stream = 7}, good = {.peer = "psk:good"};
	unsigned written, told;

	(void)state;
	redirect();
	for (unsigned i = 0; i < 20000; i++)
		log_warn(&bad, "refused: %u", i);
	log_info(&bad, "refused: %s", "of another level");
	log_warn(&bad, "not so: %u", 1);
	log_warn(&good, "refused: %u", 1);
	log_tell_left_out(0);
	log_tell_left_out(1);
	log_tell_left_out(1);
	restore(text, sizeof(text));
	written = count(text, "peer=psk:bad stream=7 refused: ") - 1;
	assert_in_range(written, 20, 500);
	assert_int_equal(count(text, "were left out"), 1);
	assert_int_equal(
	    sscanf(strstr(text, "were left out") - 40, "%*[^=]=psk:bad %u more", &told), 1);
	/* one a second goes through meanwhile, and tells of those before it */
	if (!strstr(text, "left out)"))
		assert_int_equal(told + written, 20000);
	assert_non_null(strstr(text, "of another level\n"));
	assert_non_null(strstr(text, "not so: 1\n"));
	assert_non_null(strstr(text, "peer=psk:good refused: 1\n"));
}

static void test_log_has_a_bound_for_all_kinds(void **state)
{
	static char text[4 << 20];
	char peer[40], reason[1000];
	struct log_ctx ctx = {.peer = peer};

	(void)state;
	memset(reason, 'x', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	redirect();
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(peer, sizeof(peer), "psk:%u", i);
		log_warn(&ctx, "ended: %s", reason);
	}
	log_tell_left_out(1);
	restore(text, sizeof(text));
	assert_in_range(strlen(text), 100000, 1000000);
	assert_non_null(strstr(text, "left out: lines of many kinds\n"));
}

/* A peer that may migrate fills the log with lines about its jobs, errors among them: an error
 * about another one's VM, and what is about nobody, is there all the same. */
static void test_log_keeps_room_for_what_is_urgent(void **state)
{
	static char text[4 << 20];
	char reason[1000], *told, *line;
	struct log_ctx bad = {.peer = "psk:filler", .job = "1f3a"};
	struct log_ctx good = {.peer = "psk:other", .job = "2b4c"};

	(void)state;
	memset(reason, 'x', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	redirect();
	for (unsigned i = 0; i < 2000; i++) {
		log_info(&bad, "began: %s", reason);
		log_warn(&bad, "ended: %s", reason);
		log_error(&bad, "failed: %s", reason);
		log_error(&bad, "undone: %s", reason);
	}
	log_error(&good, "its disk is full");
	log_warn(NULL, "about nobody");
	log_tell_left_out(1);
	restore(text, sizeof(text));
	assert_in_range(strlen(text), 1000, 1000000);
	assert_non_null(strstr(text, "peer=psk:other job=2b4c its disk is full\n"));
	assert_non_null(strstr(text, "about nobody\n"));
	/* and what was left out says whose it was */
	told = strstr(text, " more like this one were left out: ");
	assert_non_null(told);
	for (line = told; line > text && line[-1] != '\n'; line--)
		;
	*told = '\0';
	assert_non_null(strstr(line, "peer=psk:filler job=1f3a "));
}

/* A line of 1000 bytes; whether it may be written. */
static bool rated(enum log_level level, const struct log_ctx *ctx, const char *fmt, uint64_t now_ms)
{
	struct log_rate_left left;
	struct log_rate_kind *k = log_rate_find(level, ctx, fmt, now_ms, &left);
	unsigned long more;
	bool first = false, ok = log_rate_pass(k, now_ms, &more, &first);

	if (ok)
		log_rate_written(k, 1000);
	else if (first)
		log_rate_keep(k, ctx, fmt);
	return ok;
}

/* What was left out of another peer's lines is told while the flood goes on. The clock is ours, and
 * later than that of the tests before. */
static void test_log_tells_of_others_beside_a_flood(void **state)
{
	struct log_ctx bad = {.peer = "psk:filler", .job = "1f3a"};
	struct log_ctx good = {.peer = "psk:other", .job = "2b4c"};
	uint64_t now_ms = clock_ms() + 1000000;
	struct log_rate_left left;
	unsigned told = 0;

	(void)state;
	for (unsigned i = 0; i < 200; i++, now_ms += 100) {
		/* at first what has gathered, and then what comes anew */
		for (unsigned n = 0; n < (i ? 10 : 600); n++) {
			rated(LOG_LEVEL_INFO, &bad, "began", now_ms);
			rated(LOG_LEVEL_WARN, &bad, "ended", now_ms);
		}
		if (i == 0)
			assert_false(rated(LOG_LEVEL_WARN, &good, "not urgent", now_ms));
		while (i % 10 == 0 && log_rate_next(&left, now_ms, false)) {
			told += strcmp(left.peer, good.peer) == 0;
			assert_string_equal(left.job, good.job);
		}
	}
	assert_int_equal(told, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_log_knows_the_journal),
	    cmocka_unit_test(test_log_journal_has_priorities_and_no_time),
	    cmocka_unit_test(test_log_has_time_and_level_else),
	    cmocka_unit_test(test_log_does_not_wait_for_a_pipe),
	    cmocka_unit_test(test_log_does_not_wait_for_a_socket),
	    cmocka_unit_test(test_log_counts_what_is_too_much),
	    cmocka_unit_test(test_log_has_a_bound_for_all_kinds),
	    cmocka_unit_test(test_log_keeps_room_for_what_is_urgent),
	    cmocka_unit_test(test_log_tells_of_others_beside_a_flood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
