/* What is kept of a VM that came to stay, and what is not taken for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
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

#include "base/dir.h"
#include "control/host.h"
#include "control/talk.h"

#define JOB "0123456789abcdef0123456789abcdef"

enum { WAIT_MS = 10000, OTHER_FD = 20 /* of QEMU's alone */ };

static char state[] = "/tmp/adit-kept-XXXXXX";
static char vms[64], path[128], run_dir[64], dir[96]; /* dir: of the VM "a b" when it can be run */

#define GOOD                                                                                       \
	"{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/adit/vms/a_b-1234\","                         \
	"\"argv\":[\"/usr/bin/qemu\",\"-name\",\"a b\"]}"

static void write_file(const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

/* It is refused, in words that have part in them. */
static void refused(const char *name, const char *part)
{
	struct vm_kept k = {0};
	struct err e = ERR_INIT;

	assert_int_not_equal(vm_kept_read(&k, state, name, &e), 0);
	if (!strstr(e.text, part))
		fail_msg("\"%s\" is not in: %s", part, e.text);
	vm_kept_fini(&k);
}

static void test_kept_is_read(void **state_)
{
	struct vm_kept k = {0};
	struct err e = ERR_INIT;

	(void)state_;
	write_file(GOOD, 0600);
	assert_int_equal(vm_kept_read(&k, state, "a b", &e), 0);
	assert_string_equal(k.dir, "/run/adit/vms/a_b-1234");
	assert_int_equal(k.argv.count, 3);
	assert_string_equal(k.argv.at[2], "a b");
	assert_false(user_is_given(&k.user));
	vm_kept_fini(&k);
}

static void test_kept_is_refused(void **state_)
{
	static const char *const broken[] = {
	    "{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/x\",\"argv\":[\"/q\"]}",
	    "{\"adit\":1,\"name\":\"a b\",\"dir\":\"vms/x\",\"argv\":[\"/q\"]}",
	    "{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/vms/x\",\"argv\":[]}",
	    "{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/vms/x\",\"argv\":[\"qemu\"]}",
	    "{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/vms/x\",\"argv\":[\"/q\",1]}",
	    "{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/vms/x\"}",
	    "not JSON",
	    "",
	};

	(void)state_;
	unlink(path);
	refused("a b", "came here with --persistent");
	refused("../a b", "'/'");
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		write_file(broken[i], 0600);
		refused("a b", "not as adit wrote it");
	}
	write_file("{\"adit\":2}", 0600);
	refused("a b", "of another adit");
	write_file(GOOD, 0620);
	refused("a b", "others may write to it");
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	refused("a b", path);
	unlink(path);
	if (geteuid() != 0)
		return;
	write_file(GOOD, 0600);
	assert_int_equal(chown(path, 1, 1), 0);
	refused("a b", "another user's");
	unlink(path);
	/* Whoever has the number now is not whose images they are. */
	write_file("{\"adit\":1,\"name\":\"a b\",\"dir\":\"/run/vms/x\",\"argv\":[\"/q\"],"
		   "\"user\":{\"name\":\"nobody\",\"uid\":4711,\"gid\":4711}}",
		   0600);
	refused("a b", "was 4711");
	unlink(path);
}

/* ---- it moves on ---- */

static void write_vm(const char *uuid)
{
	char text[512], script[160];
	FILE *f;

	snprintf(text, sizeof(text),
		 "{\"adit\":1,\"name\":\"a b\",\"uuid\":\"%s\",\"job\":\"" JOB "\",\"dir\":\"%s\","
		 "\"argv\":[\"/usr/bin/qemu\"]}",
		 uuid, dir);
	write_file(text, 0600);
	snprintf(script, sizeof(script), "%s/a b.sh", vms);
	f = fopen(script, "w");
	assert_non_null(f);
	fclose(f);
}

static int is_there(const char *name)
{
	char at[160];

	snprintf(at, sizeof(at), "%s/%s", vms, name);
	return access(at, F_OK) == 0;
}

/* Both files get their end (1) or stay (0). */
static void sets_aside(const struct kept_vm *vm, int expected)
{
	struct err e = ERR_INIT;
	char file[256], words[400];

	write_vm("uuid-1");
	assert_int_equal(kept_set_aside(state, vm, file, sizeof(file), &e), expected);
	assert_int_equal(is_there("a b.json"), !expected);
	assert_int_equal(is_there("a b.sh"), !expected);
	assert_int_equal(is_there("a b.json.moved"), expected);
	assert_int_equal(is_there("a b.sh.moved"), expected);
	if (expected) {
		snprintf(words, sizeof(words),
			 "VM a b has moved away: what started it here is %s now", file);
		refused("a b", words);
	}
	dir_remove(vms);
	assert_int_equal(mkdir(vms, 0700), 0);
}

static void test_kept_is_set_aside_when_it_moves(void **state_)
{
	char by_link[160], link[64], monitor[160];
	time_t now = time(NULL) + 1;

	(void)state_;
	snprintf(link, sizeof(link), "%s/link", state);
	assert_int_equal(symlink(run_dir, link), 0);
	snprintf(by_link, sizeof(by_link), "unix:%s/vms/a_b-1/qmp.sock", link);
	snprintf(monitor, sizeof(monitor), "%s/qmp.sock", dir);
	sets_aside(&(struct kept_vm){"other", "uuid-2", by_link, "job", now},
		   0); /* no such folder */
	sets_aside(&(struct kept_vm){"other", "uuid-2", monitor, "job", now}, 1);
	assert_int_equal(mkdir(dir, 0700), 0);
	sets_aside(&(struct kept_vm){"other", "uuid-2", by_link, "job", now}, 1);
	sets_aside(&(struct kept_vm){"a b", "UUID-1", "/run/vm.qmp", "job", now}, 1);
	sets_aside(&(struct kept_vm){"a b", "uuid-2", "/run/vm.qmp", "job", now}, 0);
	sets_aside(&(struct kept_vm){"other", "uuid-1", "/run/vm.qmp", "job", now}, 0);
	sets_aside(&(struct kept_vm){"", "uuid-1", "qmp", "job", now}, 0);
	/* what that very job has brought here, and what came back later */
	sets_aside(&(struct kept_vm){"a b", "uuid-1", monitor, JOB, now}, 0);
	sets_aside(&(struct kept_vm){"a b", "uuid-1", monitor, "job", now - 60}, 0);
	rmdir(dir);
	unlink(link);
}

static void record_is(const char *word, const char *name, time_t written)
{
	struct err e = ERR_INIT;
	struct journal *j = journal_open(state, JOURNAL_SOURCE, JOB, &e);
	json_t *o = json_pack("{s:i,s:s,s:s,s:I,s:{s:s}}", "adit", COOKIE_VERSION, "job", JOB,
			      "state", word, "written", (json_int_t)written, "vm", "name", name);

	assert_non_null(j);
	assert_int_equal(journal_write(j, o, &e), 0);
	json_decref(o);
	journal_close(j);
}

static void test_kept_waits_for_a_job_that_may_have_moved_it(void **state_)
{
	struct vm_kept k = {0};
	struct err e = ERR_INIT;
	struct journal *j;

	(void)state_;
	write_vm("uuid-1");
	record_is("finish", "a b", time(NULL) + 1);
	refused("a b", "`adit recover 01234567`");
	record_is("ram", "a b", time(NULL) + 1);
	assert_int_equal(vm_kept_read(&k, state, "a b", &e), 0);
	vm_kept_fini(&k);
	record_is("finish", "other", time(NULL) + 1);
	assert_int_equal(vm_kept_read(&k, state, "a b", &e), 0);
	vm_kept_fini(&k);
	record_is("finish", "a b", time(NULL) - 60); /* it has come back since */
	assert_int_equal(vm_kept_read(&k, state, "a b", &e), 0);
	vm_kept_fini(&k);
	j = journal_open(state, JOURNAL_SOURCE, JOB, &e);
	journal_remove(j);
}

/* ---- it is started ---- */

/* In a process of its own, which might become the VM. */
static void not_run(const char *part)
{
	struct vm_kept k = {0};
	struct err e = ERR_INIT;
	char text[ERR_TEXT_MAX] = "";
	int told[2];
	pid_t pid;

	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (vm_kept_read(&k, state, "a b", &e) == 0)
			vm_kept_run(&k, &e);
		_exit(write(told[1], e.text, strlen(e.text)) < 0);
	}
	close(told[1]);
	if (read(told[0], text, sizeof(text) - 1) <= 0 || !strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text);
	close(told[0]);
	waitpid(pid, NULL, 0);
}

/* As adit start does, in a process of its own, whose output is *out's other end: all that has it
 * open has ended where that ends. */
static pid_t start(const char *json, int *out)
{
	struct vm_kept k = {0};
	struct err e = ERR_INIT;
	int pair[2];
	pid_t pid;

	write_file(json, 0600);
	assert_int_equal(pipe(pair), 0);
	pid = fork();
	if (pid == 0) {
		dup2(pair[1], 1);
		dup2(pair[1], OTHER_FD);
		close(pair[0]);
		close(pair[1]);
		if (vm_kept_read(&k, state, "a b", &e) == 0)
			vm_kept_run(&k, &e);
		_exit(1);
	}
	close(pair[1]);
	*out = pair[0];
	return pid;
}

/* What is said there next: a byte, or 0: it ends. */
static int said(int out)
{
	struct pollfd p = {.fd = out, .events = POLLIN};
	char c = 0;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	return read(out, &c, 1) == 1 ? c : 0;
}

static void test_kept_is_started_once(void **state_)
{
	char json[512], record[128];
	int out;
	pid_t pid;

	(void)state_;
	snprintf(json, sizeof(json),
		 "{\"adit\":1,\"name\":\"a b\",\"dir\":\"%s\",\"argv\":[\"/bin/sh\",\"-c\","
		 "\"printf u; exec sleep 30\"]}",
		 dir);
	pid = start(json, &out);
	assert_int_equal(said(out), 'u');
	not_run("runs already, in");
	/* before another one has left word of itself */
	snprintf(record, sizeof(record), "%s/vm.json", dir);
	assert_int_equal(unlink(record), 0);
	not_run("is being started by another adit start");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(out);
	pid = start(json, &out);
	assert_int_equal(said(out), 'u');
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(out);
	dir_remove(dir);
}

/* One that its script has started leaves nothing in its folder but sockets. */
static void test_kept_is_not_started_where_its_monitor_answers(void **state_)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state_;
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(to.sun_path, sizeof(to.sun_path), "%s/qmp.sock", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(fd, 1), 0);
	write_vm("uuid-1");
	not_run("its monitor");
	assert_int_equal(access(to.sun_path, F_OK), 0);
	close(fd);
	dir_remove(dir);
}

static void test_kept_tpm_ends_with_what_started_it(void **state_)
{
	char json[768], tpm[256];
	int out;
	pid_t pid;

	(void)state_;
	snprintf(
	    tpm, sizeof(tpm),
	    "\"tpm\":[\"/bin/sh\",\"-c\",\"[ -S /proc/self/fd/3 ] && [ ! -e /proc/self/fd/20 ] && "
	    "printf t; exec sleep 30\",\"--daemon\",\"type=unixio,path=%s/swtpm.sock\"]",
	    dir);
	/* a QEMU that cannot be run */
	snprintf(json, sizeof(json),
		 "{\"adit\":1,\"name\":\"a b\",\"dir\":\"%s\",%s,\"argv\":[\"/nowhere/qemu\"]}",
		 dir, tpm);
	pid = start(json, &out);
	waitpid(pid, NULL, 0);
	while (said(out))
		;
	close(out);
	/* and one that ends */
	snprintf(json, sizeof(json),
		 "{\"adit\":1,\"name\":\"a b\",\"dir\":\"%s\",%s,\"argv\":[\"/bin/sleep\",\"30\"]}",
		 dir, tpm);
	pid = start(json, &out);
	assert_int_equal(said(out), 't');
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(said(out), 0);
	close(out);
	dir_remove(dir);
	/* a TPM that cannot be run */
	snprintf(json, sizeof(json),
		 "{\"adit\":1,\"name\":\"a b\",\"dir\":\"%s\",\"argv\":[\"/bin/sleep\",\"30\"],"
		 "\"tpm\":[\"/nowhere/swtpm\",\"type=unixio,path=%s/swtpm.sock\"]}",
		 dir, dir);
	write_file(json, 0600);
	not_run("/nowhere/swtpm, which is its TPM");
	dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kept_is_read),
	    cmocka_unit_test(test_kept_is_refused),
	    cmocka_unit_test(test_kept_is_set_aside_when_it_moves),
	    cmocka_unit_test(test_kept_waits_for_a_job_that_may_have_moved_it),
	    cmocka_unit_test(test_kept_is_started_once),
	    cmocka_unit_test(test_kept_is_not_started_where_its_monitor_answers),
	    cmocka_unit_test(test_kept_tpm_ends_with_what_started_it),
	};
	char sub[128];
	struct err e = ERR_INIT;
	int r;

	if (!mkdtemp(state))
		return 1;
	snprintf(vms, sizeof(vms), "%s/vms", state);
	snprintf(path, sizeof(path), "%s/a b.json", vms);
	snprintf(run_dir, sizeof(run_dir), "%s/run", state);
	snprintf(dir, sizeof(dir), "%s/vms/a_b-1", run_dir);
	snprintf(sub, sizeof(sub), "%s/vms", run_dir);
	if (mkdir(vms, 0700) < 0 || mkdir(run_dir, 0700) < 0 || mkdir(sub, 0700) < 0 ||
	    journal_prepare(state, sub, sizeof(sub), &e) < 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	dir_remove(vms);
	snprintf(sub, sizeof(sub), "%s/vms", run_dir);
	dir_remove(sub);
	dir_remove(run_dir);
	snprintf(sub, sizeof(sub), "%s/journal", state);
	dir_remove(sub);
	rmdir(state);
	return r;
}
