/* The journal: records that are whole or not there, locks, the host's id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/talk/journal.h"

#define JOB "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"

static char dir[64], state[128];

static bool read_only; /* the folder is: nothing in it can be removed */

int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path)
{
	if (!read_only || access(path, F_OK) < 0)
		return __real_unlink(path);
	errno = EROFS;
	return -1;
}

static int setup(void **s)
{
	struct err e = ERR_INIT;
	char given[128];

	(void)s;
	strcpy(dir, "/tmp/adit-journal.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(given, sizeof(given), "%s/a/b", dir);
	assert_int_equal(journal_prepare(given, state, sizeof(state), &e), 0);
	return 0;
}

static int teardown(void **s)
{
	char cmd[128];

	(void)s;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static json_t *record(const char *word)
{
	return json_pack("{s:i,s:s,s:s}", "adit", 1, "job", JOB, "state", word);
}

static void test_journal_reads_what_was_written_last(void **s)
{
	struct err e = ERR_INIT;
	struct journal *j = journal_open(state, JOURNAL_SOURCE, JOB, &e);
	json_t *r;

	(void)s;
	assert_non_null(j);
	assert_null(journal_read(j, &e));
	assert_int_equal(e.code, ERR_NONE);
	for (int i = 0; i < 2; i++) {
		r = record(i ? "finish" : "prepare");
		assert_int_equal(journal_write(j, r, &e), 0);
		json_decref(r);
	}
	journal_close(j);
	j = journal_open(state, JOURNAL_SOURCE, JOB, &e);
	r = journal_read(j, &e);
	assert_string_equal(json_string_value(json_object_get(r, "state")), "finish");
	json_decref(r);
	journal_remove(j);
	j = journal_open(state, JOURNAL_SOURCE, JOB, &e);
	assert_null(journal_read(j, &e));
	journal_close(j);
}

/* A record that cannot be removed when its job is settled is none from then on. */
static void test_journal_settles_what_cannot_be_removed(void **s)
{
	struct err e = ERR_INIT;
	struct strvec jobs = {0};
	struct journal *j = journal_open(state, JOURNAL_DESTINATION, JOB, &e);
	char path[256];
	json_t *r = record("confirmed");

	(void)s;
	assert_non_null(j);
	snprintf(path, sizeof(path), "%s", journal_path(j));
	assert_int_equal(journal_write(j, r, &e), 0);
	json_decref(r);
	read_only = true;
	assert_int_equal(journal_remove(j), -1);
	assert_int_equal(access(path, F_OK), 0);
	assert_null(journal_peek(state, JOURNAL_DESTINATION, JOB));
	j = journal_open(state, JOURNAL_DESTINATION, JOB, &e);
	assert_non_null(j);
	assert_null(journal_read(j, &e));
	assert_int_equal(e.code, ERR_NONE);
	journal_close(j);
	assert_int_equal(journal_list(state, JOURNAL_DESTINATION, &jobs, &e), 0);
	assert_int_equal(jobs.count, 0);
	assert_int_equal(access(path, F_OK), 0);
	read_only = false;
	assert_int_equal(journal_list(state, JOURNAL_DESTINATION, &jobs, &e), 0);
	assert_int_equal(jobs.count, 0);
	assert_int_not_equal(access(path, F_OK), 0);
	strvec_fini(&jobs);
}

static void test_journal_refuses_a_job_that_another_holds(void **s)
{
	struct err e = ERR_INIT;
	struct journal *j = journal_open(state, JOURNAL_SOURCE, JOB, &e), *k;
	int status;
	pid_t pid;

	(void)s;
	assert_non_null(j);
	assert_null(journal_open(state, JOURNAL_SOURCE, JOB, &e));
	assert_int_equal(e.code, ERR_REFUSED);
	/* another side, another job: no matter */
	k = journal_open(state, JOURNAL_DESTINATION, JOB, &e);
	assert_non_null(k);
	journal_close(k);
	journal_close(j);
	/* a holder that died holds nothing */
	pid = fork();
	if (pid == 0) {
		journal_open(state, JOURNAL_SOURCE, JOB, NULL);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	j = journal_open(state, JOURNAL_SOURCE, JOB, &e);
	assert_non_null(j);
	journal_close(j);
}

static void test_journal_lists_only_records_of_the_side(void **s)
{
	struct err e = ERR_INIT;
	struct strvec jobs = {0};
	struct journal *j = journal_open(state, JOURNAL_SOURCE, JOB, &e);
	struct journal *k = journal_open(state, JOURNAL_DESTINATION, OTHER, &e);
	json_t *r = record("prepare");
	char path[256];
	FILE *f;

	(void)s;
	assert_int_equal(journal_write(j, r, &e), 0);
	assert_int_equal(journal_write(k, r, &e), 0);
	snprintf(path, sizeof(path), "%s/journal/source-nonsense.json", state);
	f = fopen(path, "w");
	fclose(f);
	assert_int_equal(journal_list(state, JOURNAL_SOURCE, &jobs, &e), 0);
	assert_int_equal(jobs.count, 1);
	assert_string_equal(jobs.at[0], JOB);
	/* the lock of one that died is swept, that of a living one is not */
	snprintf(path, sizeof(path), "%s/journal/source-" OTHER ".json.lock", state);
	fclose(fopen(path, "w"));
	strvec_fini(&jobs);
	memset(&jobs, 0, sizeof(jobs));
	assert_int_equal(journal_list(state, JOURNAL_SOURCE, &jobs, &e), 0);
	assert_int_not_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/journal/source-" JOB ".json.lock", state);
	assert_int_equal(access(path, F_OK), 0);
	strvec_fini(&jobs);
	json_decref(r);
	journal_remove(j);
	journal_remove(k);
}

static void test_journal_names_a_record_that_cannot_be_read(void **s)
{
	static const char *const bad[] = {"", "{", "[]", "{\"adit\":1}",
					  "{\"adit\":2,\"state\":\"finish\"}"};
	char path[256];

	(void)s;
	snprintf(path, sizeof(path), "%s/journal/source-" JOB ".json", state);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err e = ERR_INIT;
		struct journal *j = journal_open(state, JOURNAL_SOURCE, JOB, &e);
		FILE *f = fopen(path, "w");

		fputs(bad[i], f);
		fclose(f);
		assert_null(journal_read(j, &e));
		assert_int_equal(e.code, ERR_CONFIG);
		assert_non_null(strstr(e.text, path));
		journal_remove(j);
	}
}

/* With a word of many letters. */
static json_t *long_record(const char *word, size_t len)
{
	json_t *r = record(word);
	char *text = malloc(len + 1);

	memset(text, 'x', len);
	text[len] = 0;
	json_object_set_new(r, "long", json_string(text));
	free(text);
	return r;
}

static void expect_state(struct journal *j, const char *word)
{
	struct err e = ERR_INIT;
	json_t *r = journal_read(j, &e);

	assert_string_equal(e.text, "");
	assert_string_equal(json_string_value(json_object_get(r, "state")), word);
	json_decref(r);
}

static int write_state(struct journal *j, const char *word, size_t len, struct err *e)
{
	json_t *r = long_record(word, len);
	int rc = journal_write(j, r, e);

	json_decref(r);
	return rc;
}

/* No file may be longer than bytes, as on a disk that is full. */
static void limit_files(size_t bytes)
{
	struct rlimit l;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &l);
	l.rlim_cur = bytes ? bytes : l.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void test_journal_needs_room_for_the_first_record_only(void **s)
{
	struct err e = ERR_INIT;
	struct journal *j = journal_open(state, JOURNAL_SOURCE, JOB, &e);
	char path[256];
	struct stat st;

	(void)s;
	limit_files(2000);
	assert_true(write_state(j, "prepare", 100, &e) < 0);
	assert_int_equal(e.code, ERR_SYSTEM);
	assert_non_null(strstr(e.text, state));
	assert_non_null(strstr(e.text, "make room"));
	assert_null(journal_read(j, NULL));
	limit_files(0);
	e = (struct err)ERR_INIT;
	assert_int_equal(write_state(j, "prepare", 100, &e), 0);
	snprintf(path, sizeof(path), "%s/journal/source-" JOB ".json", state);
	assert_int_equal(stat(path, &st), 0);
	/* it is there in full, and no hole */
	assert_true(st.st_blocks * 512 >= st.st_size);
	limit_files((size_t)st.st_size);
	for (int i = 0; i < 9; i++)
		assert_int_equal(write_state(j, i % 2 ? "finish" : "confirm", 3000, &e), 0);
	expect_state(j, "confirm");
	/* one that has outgrown its room is refused, and the old one stands */
	assert_true(write_state(j, "ended", 100000, &e) < 0);
	expect_state(j, "confirm");
	limit_files(0);
	e = (struct err)ERR_INIT;
	assert_int_equal(write_state(j, "ended", 100000, &e), 0);
	expect_state(j, "ended");
	journal_remove(j);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void test_journal_makes_a_folder_again_that_was_removed(void **s)
{
	char id[JOURNAL_HOST_ID_LEN + 1], again[JOURNAL_HOST_ID_LEN + 1], cmd[256];
	struct err e = ERR_INIT;
	struct journal *j = journal_open(state, JOURNAL_SOURCE, JOB, &e), *k;

	(void)s;
	assert_int_equal(journal_host_id(state, id, &e), 0);
	assert_int_equal(write_state(j, "prepare", 10, &e), 0);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", state);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(write_state(j, "finish", 10, &e), 0);
	expect_state(j, "finish");
	/* and it is still held */
	assert_null(journal_open(state, JOURNAL_SOURCE, JOB, &e));
	assert_int_equal(e.code, ERR_REFUSED);
	/* one that has lost its records is another host */
	assert_int_equal(journal_host_id(state, again, &e), 0);
	assert_string_not_equal(id, again);
	/* only the file is gone */
	snprintf(cmd, sizeof(cmd), "rm %s/journal/source-*.json", state);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(write_state(j, "confirm", 10, &e), 0);
	expect_state(j, "confirm");
	journal_remove(j);
	/* for a job that begins then, too */
	snprintf(cmd, sizeof(cmd), "rm -rf %s", state);
	assert_int_equal(system(cmd), 0);
	e = (struct err)ERR_INIT;
	k = journal_open(state, JOURNAL_SOURCE, OTHER, &e);
	assert_non_null(k);
	assert_int_equal(write_state(k, "prepare", 10, &e), 0);
	journal_remove(k);
	/* and so is one whose records alone have gone */
	assert_int_equal(journal_host_id(state, id, &e), 0);
	snprintf(cmd, sizeof(cmd), "rm -rf %s/journal", state);
	assert_int_equal(system(cmd), 0);
	k = journal_open(state, JOURNAL_SOURCE, OTHER, &e);
	assert_non_null(k);
	assert_int_equal(journal_host_id(state, again, &e), 0);
	assert_string_not_equal(id, again);
	journal_remove(k);
}

static void test_journal_says_that_it_cannot_be_made_again(void **s)
{
	struct err e = ERR_INIT;
	struct journal *j = journal_open(state, JOURNAL_SOURCE, JOB, &e);
	char cmd[256];
	FILE *f;

	(void)s;
	assert_int_equal(write_state(j, "prepare", 10, &e), 0);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", state);
	assert_int_equal(system(cmd), 0);
	f = fopen(state, "w"); /* a file in its place */
	fclose(f);
	assert_true(write_state(j, "finish", 10, &e) < 0);
	assert_non_null(strstr(e.text, state));
	unlink(state);
	e = (struct err)ERR_INIT;
	assert_int_equal(write_state(j, "finish", 10, &e), 0);
	expect_state(j, "finish");
	journal_remove(j);
}

static void test_journal_host_id_stays(void **s)
{
	char a[JOURNAL_HOST_ID_LEN + 1], b[JOURNAL_HOST_ID_LEN + 1];
	struct err e = ERR_INIT;

	(void)s;
	assert_int_equal(journal_host_id(state, a, &e), 0);
	assert_int_equal(journal_host_id(state, b, &e), 0);
	assert_string_equal(a, b);
	assert_int_equal(strlen(a), JOURNAL_HOST_ID_LEN);
}

static void test_journal_prepare_refuses_what_others_may_write(void **s)
{
	struct err e = ERR_INIT;
	char open_to_all[128], buf[256];

	(void)s;
	snprintf(open_to_all, sizeof(open_to_all), "%s/open", dir);
	assert_int_equal(mkdir(open_to_all, 0700), 0);
	assert_int_equal(chmod(open_to_all, 0777), 0);
	assert_true(journal_prepare(open_to_all, buf, sizeof(buf), &e) < 0);
	assert_int_equal(e.code, ERR_CONFIG);
	assert_true(journal_prepare("relative", buf, sizeof(buf), &e) < 0);
	assert_int_equal(e.code, ERR_USAGE);
	assert_true(journal_prepare("/dev/null/x", buf, sizeof(buf), &e) < 0);
	assert_int_equal(e.code, ERR_SYSTEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_journal_reads_what_was_written_last),
	    cmocka_unit_test(test_journal_settles_what_cannot_be_removed),
	    cmocka_unit_test(test_journal_refuses_a_job_that_another_holds),
	    cmocka_unit_test(test_journal_lists_only_records_of_the_side),
	    cmocka_unit_test(test_journal_names_a_record_that_cannot_be_read),
	    cmocka_unit_test(test_journal_needs_room_for_the_first_record_only),
	    cmocka_unit_test(test_journal_makes_a_folder_again_that_was_removed),
	    cmocka_unit_test(test_journal_says_that_it_cannot_be_made_again),
	    cmocka_unit_test(test_journal_host_id_stays),
	    cmocka_unit_test(test_journal_prepare_refuses_what_others_may_write),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
