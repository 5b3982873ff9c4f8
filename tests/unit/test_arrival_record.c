/* What the destination tells from a record of its journal: no QEMU, real processes and files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/process.h"
#include "control/destination/arrival_i.h"

static char top[] = "/tmp/adit-record-XXXXXX";
static struct service here; /* without leftovers: what cannot be removed is tried once */

/* Of this boot, decided just now, its twin and guardian the process given. */
static json_t *record_of(pid_t pid, unsigned long long started)
{
	char boot[64];
	json_t *process =
	    json_pack("{s:I,s:I}", "pid", (json_int_t)pid, "started", (json_int_t)started);

	return json_pack("{s:s,s:s,s:b,s:I,s:O,s:o}", "state", "decided", "boot",
			 vmdesc_host(boot, sizeof(boot)), "run", 1, "decided_at",
			 (json_int_t)time(NULL), "twin", process, "guardian", process);
}

static void test_arrival_record_knows_a_process_by_number_start_and_boot(void **state)
{
	unsigned long long started = process_started(getpid());
	json_t *mine = record_of(getpid(), started), *other = record_of(getpid(), started + 1),
	       *unknown = record_of(0, 0);

	(void)state;
	assert_int_equal(arrival_record_twin(mine), ARRIVAL_TWIN_LIVES);
	assert_true(arrival_record_guarded(mine));
	assert_int_equal(arrival_record_twin(other), ARRIVAL_TWIN_GONE);
	assert_false(arrival_record_guarded(other));
	assert_int_equal(arrival_record_twin(unknown), ARRIVAL_TWIN_UNKNOWN);
	assert_false(arrival_record_guarded(unknown));
	json_object_set_new(mine, "boot", json_string("another"));
	assert_int_equal(arrival_record_twin(mine), ARRIVAL_TWIN_GONE);
	assert_false(arrival_record_guarded(mine));
	json_decref(mine);
	json_decref(other);
	json_decref(unknown);
}

/* A process that has died and was not reaped yet is dead. */
static void test_arrival_record_sees_through_a_zombie(void **state)
{
	int hold[2];
	char c;
	pid_t pid;
	json_t *record;

	(void)state;
	assert_int_equal(pipe(hold), 0);
	pid = fork();
	if (pid == 0) {
		close(hold[1]);
		_exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
	}
	record = record_of(pid, process_started(pid));
	assert_int_equal(arrival_record_twin(record), ARRIVAL_TWIN_LIVES);
	close(hold[1]);
	for (int i = 0; i < 500 && arrival_record_twin(record) == ARRIVAL_TWIN_LIVES; i++)
		usleep(10000);
	assert_int_equal(arrival_record_twin(record), ARRIVAL_TWIN_GONE);
	close(hold[0]);
	waitpid(pid, NULL, 0);
	json_decref(record);
}

static void make_file(const char *name, char *path, size_t size)
{
	int fd;

	snprintf(path, size, "%s/%s", top, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void test_arrival_record_keeps_what_a_vm_did_here(void **state)
{
	json_t *record = record_of(1, 1);
	struct err e = ERR_INIT;
	char image[128];

	(void)state;
	make_file("image", image, sizeof(image));
	json_object_set_new(record, "images", json_pack("[s,s]", "/nowhere/at/all", image));
	assert_true(arrival_record_may_drop(record, &e));

	/* Written to long after the decision. */
	json_object_set_new(record, "decided_at", json_integer(time(NULL) - 3600));
	assert_false(arrival_record_may_drop(record, &e));
	assert_non_null(strstr(e.text, image));
	json_object_set_new(record, "run", json_false());
	assert_true(arrival_record_may_drop(record, &e));

	json_object_set_new(record, "run", json_true());
	json_object_set_new(record, "decided_at", json_integer(time(NULL)));
	json_object_set_new(record, "shared", json_true());
	assert_false(arrival_record_may_drop(record, &e));
	json_object_set_new(record, "shared", json_false());
	json_object_set_new(record, "postcopy", json_true());
	assert_false(arrival_record_may_drop(record, &e));
	/* All of its RAM had come by then. */
	json_object_set_new(record, "state", json_string("confirmed"));
	assert_true(arrival_record_may_drop(record, &e));
	unlink(image);
	json_decref(record);
}

static void test_arrival_record_cleans_what_is_listed_only(void **state)
{
	char listed[128], other[128], dir[128], in_dir[160];
	json_t *record = record_of(1, 1);

	(void)state;
	make_file("listed", listed, sizeof(listed));
	make_file("other", other, sizeof(other));
	snprintf(dir, sizeof(dir), "%s/vm", top);
	assert_int_equal(mkdir(dir, 0700), 0);
	make_file("vm/qemu.log", in_dir, sizeof(in_dir));
	json_object_set_new(record, "made",
			    json_pack("[o,o,s,s]", json_sprintf("F%s", listed),
				      json_sprintf("D%s", dir), "F/nowhere/at/all", ""));
	arrival_record_clean(&here, record);
	assert_int_not_equal(access(listed, F_OK), 0);
	assert_int_not_equal(access(dir, F_OK), 0);
	assert_int_equal(access(other, F_OK), 0);
	arrival_record_clean(&here, record); /* once more does no harm */
	unlink(other);
	json_decref(record);
}

/* A manager makes the monitor's socket, hands it to QEMU, and ends. */
static void test_arrival_record_sees_who_inherited_the_monitor(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX}, odd = sa;
	int hold[2], told[2], fd, other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	json_t *record;
	pid_t manager, heir;
	char c;

	(void)state;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/qmp.sock", top);
	snprintf(odd.sun_path, sizeof(odd.sun_path), "%s/odd.sock", top);
	assert_int_equal(pipe(hold), 0);
	assert_int_equal(pipe(told), 0);
	manager = fork();
	if (manager == 0) {
		close(hold[1]);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 4) < 0)
			_exit(1);
		heir = fork();
		if (heir == 0)
			_exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
		close(fd);
		if (write(told[1], &heir, sizeof(heir)) != sizeof(heir))
			_exit(1);
		_exit(read(hold[0], &c, 1) == 1 ? 0 : 1);
	}
	assert_int_equal(read(told[0], &heir, sizeof(heir)), sizeof(heir));
	record = record_of(manager, process_started(manager));
	json_object_set_new(record, "qmp", json_string(sa.sun_path));
	json_object_set_new(record, "launched", json_false());
	assert_int_equal(arrival_record_twin(record), ARRIVAL_TWIN_LIVES);
	kill(manager, SIGKILL);
	waitpid(manager, NULL, 0);
	assert_int_equal(arrival_record_twin(record), ARRIVAL_TWIN_UNKNOWN);
	/* One that adit has started is its own child. */
	json_object_set_new(record, "launched", json_true());
	assert_int_equal(arrival_record_twin(record), ARRIVAL_TWIN_GONE);
	json_object_set_new(record, "launched", json_false());
	/* What cannot be told by asking is not taken for an end. */
	assert_return_code(bind(other, (struct sockaddr *)&odd, sizeof(odd)), errno);
	json_object_set_new(record, "qmp", json_string(odd.sun_path));
	assert_int_equal(arrival_record_twin(record), ARRIVAL_TWIN_UNKNOWN);
	json_object_set_new(record, "qmp", json_string(sa.sun_path));
	close(other);
	unlink(odd.sun_path);
	kill(heir, SIGKILL);
	for (int i = 0; i < 500 && arrival_record_twin(record) == ARRIVAL_TWIN_UNKNOWN; i++)
		usleep(10000);
	assert_int_equal(arrival_record_twin(record), ARRIVAL_TWIN_GONE);
	json_decref(record);
	unlink(sa.sun_path);
	for (int i = 0; i < 2; i++) {
		close(hold[i]);
		close(told[i]);
	}
}

/* A twin that has gone is still known by its number when its source has been heard once more. */
static void test_arrival_record_written_again_knows_the_same_twin(void **state)
{
	static const char id[] = "0123456789abcdef0123456789abcdef";
	struct service service = {.config.state_dir = top};
	struct arrival a = {.service = &service};
	json_t *record = record_of(getpid(), process_started(getpid()) + 1);
	char dir[512];
	struct err e = ERR_INIT;

	(void)state;
	snprintf(a.id, sizeof(a.id), "%s", id);
	json_object_set_new(record, "adit", json_integer(COOKIE_VERSION));
	json_object_set_new(record, "job", json_string(id));
	assert_int_equal(journal_prepare(top, dir, sizeof(dir), &e), 0);
	a.journal = journal_open(top, JOURNAL_DESTINATION, id, &e);
	assert_non_null(a.journal);
	assert_int_equal(journal_write(a.journal, record, &e), 0);
	assert_true(arrival_record_read(&a, &e));
	arrival_record_take(&a);
	assert_int_equal(arrival_record_write(&a, "confirmed", &e), 0);
	assert_true(arrival_record_read(&a, &e));
	assert_true(arrival_record_is(a.record, "confirmed"));
	assert_int_equal(arrival_record_twin(a.record), ARRIVAL_TWIN_GONE);
	assert_true(json_is_true(json_object_get(a.record, "run")));
	arrival_record_remove(&a);
	json_decref(record);
	snprintf(dir, sizeof(dir), "%s/journal", top);
	assert_int_equal(rmdir(dir), 0);
}

/* A TPM whose twin did not come to be its client; its socket is as arrival_tpm.c makes it. */
static void test_arrival_record_cleans_a_tpm_without_a_client(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	json_t *record = record_of(1, 1);
	char dir[128], c;
	int up[2], status;
	pid_t pid;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/vm", top);
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.80s/swtpm.sock", dir);
	assert_int_equal(pipe(up), 0);
	pid = fork();
	if (pid == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		alarm(20);
		if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 1) == 0 &&
		    write(up[1], "u", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	assert_int_equal(read(up[0], &c, 1), 1);
	json_object_set_new(record, "launched", json_true());
	json_object_set_new(record, "dir", json_string(dir));
	json_object_set_new(record, "made", json_pack("[o]", json_sprintf("D%s", dir)));
	arrival_record_clean(&here, record);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_not_equal(access(dir, F_OK), 0);
	close(up[0]);
	close(up[1]);
	json_decref(record);
}

static void test_arrival_tpm_takes_no_folder_that_is_there(void **state)
{
	struct rights rights = {0};
	struct arrival a = {.rights = &rights};
	struct err e = ERR_INIT;

	(void)state;
	snprintf(a.twin.tpm.dir, sizeof(a.twin.tpm.dir), "%s/vm.tpm", top);
	assert_int_equal(mkdir(a.twin.tpm.dir, 0700), 0);
	/* (there is no guardian that could be told to remove it) */
	assert_int_equal(arrival_tpm_make_state(&a, &e), ERR_REFUSED);
	assert_non_null(strstr(e.text, "is there already"));
	rmdir(a.twin.tpm.dir);
}

static void test_arrival_keeps_no_vm_over_another_peers(void **state)
{
	struct service service = {.config.state_dir = top};
	struct arrival a = {
	    .service = &service, .peer = "one", .wish.persistent = true, .desc.name = "db"};
	static const char *const others[] = {
	    "{\"adit\":1,\"name\":\"db\",\"peer\":\"two\"}",
	    "{\"adit\":1,\"name\":\"db\"}",
	    "no JSON",
	};
	struct err e = ERR_INIT;
	char dir[64], path[128];
	FILE *f;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/vms", top);
	snprintf(path, sizeof(path), "%s/db.json", dir);
	assert_int_equal(arrival_keep_check(&a, &e), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(arrival_keep_check(&a, &e), 0);
	for (size_t i = 0; i <= sizeof(others) / sizeof(others[0]); i++) {
		bool its = i == sizeof(others) / sizeof(others[0]);

		f = fopen(path, "w");
		assert_non_null(f);
		fputs(its ? "{\"peer\":\"one\"}" : others[i], f);
		fclose(f);
		assert_int_equal(arrival_keep_check(&a, &e), its ? 0 : ERR_REFUSED);
	}
	a.peer[0] = 't';
	assert_int_equal(arrival_keep_check(&a, &e), ERR_REFUSED);
	a.wish.persistent = false;
	assert_int_equal(arrival_keep_check(&a, &e), 0);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_arrival_record_knows_a_process_by_number_start_and_boot),
	    cmocka_unit_test(test_arrival_record_sees_through_a_zombie),
	    cmocka_unit_test(test_arrival_record_sees_who_inherited_the_monitor),
	    cmocka_unit_test(test_arrival_record_keeps_what_a_vm_did_here),
	    cmocka_unit_test(test_arrival_record_cleans_what_is_listed_only),
	    cmocka_unit_test(test_arrival_record_written_again_knows_the_same_twin),
	    cmocka_unit_test(test_arrival_record_cleans_a_tpm_without_a_client),
	    cmocka_unit_test(test_arrival_tpm_takes_no_folder_that_is_there),
	    cmocka_unit_test(test_arrival_keeps_no_vm_over_another_peers),
	};
	int r;

	if (!mkdtemp(top))
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(top);
	return r;
}
