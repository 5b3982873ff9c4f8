/* The journal: records that are whole or not there, locks, the host's id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/journal.h"

#define JOB "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"

static char dir[64], state[128];

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

static void test_journal_keeps_the_old_record_when_writing_fails(void **s)
{
	struct err e = ERR_INIT;
	struct journal *j = journal_open(state, JOURNAL_SOURCE, JOB, &e);
	json_t *r = record("prepare");
	char tmp[256];

	(void)s;
	assert_int_equal(journal_write(j, r, &e), 0);
	json_decref(r);
	/* a folder where the new file is to be made */
	snprintf(tmp, sizeof(tmp), "%s/journal/source-" JOB ".json.tmp", state);
	assert_int_equal(mkdir(tmp, 0700), 0);
	r = record("finish");
	assert_true(journal_write(j, r, &e) < 0);
	assert_int_equal(e.code, ERR_SYSTEM);
	json_decref(r);
	r = journal_read(j, &e);
	assert_string_equal(json_string_value(json_object_get(r, "state")), "prepare");
	json_decref(r);
	rmdir(tmp);
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
	    cmocka_unit_test(test_journal_refuses_a_job_that_another_holds),
	    cmocka_unit_test(test_journal_lists_only_records_of_the_side),
	    cmocka_unit_test(test_journal_names_a_record_that_cannot_be_read),
	    cmocka_unit_test(test_journal_keeps_the_old_record_when_writing_fails),
	    cmocka_unit_test(test_journal_host_id_stays),
	    cmocka_unit_test(test_journal_prepare_refuses_what_others_may_write),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
