/*
 * The launch hook: where adit is not to start QEMU itself, the operator's program does.
 * It gets the VM's description as JSON and answers with the monitor of a QEMU that waits;
 * from then on the job is like one with --dest-qmp. docs/launch-hook.md is its contract.
 *
 * What undoes its work is the program itself, called with "undo": by the guardian, so that
 * it is called too when adit serve is gone.
 */
#include "control/destination/job_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/fd.h"

enum { HOOK_MS = 60000, ANSWER_MAX = 65536 };

static void hook_fail(struct job *j, const char *what, const char *said)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_REFUSED, "the destination's launch hook %s %s%s%s", j->rights->launch_hook,
		what, *said ? ": " : "", said);
	job_fail(j, &e);
}

/* What the hook is told; owned by the caller. */
static json_t *describe(const struct job *j)
{
	json_t *o = json_copy(json_object_get(j->desc.msg, "vm"));
	const json_t *storage = json_object_get(j->desc.msg, "storage");

	if (!o)
		return NULL;
	json_object_set_new(o, "adit", json_integer(COOKIE_VERSION));
	json_object_set_new(o, "job", json_string(j->id));
	json_object_set_new(o, "peer", json_string(j->peer));
	json_object_set_new(o, "name", json_string(j->desc.name));
	json_object_set_new(o, "dir", json_string(j->twin.dir));
	json_object_set_new(o, "storage",
			    json_string(storage ? json_string_value(storage) : "all"));
	json_object_set(o, "disks", json_object_get(j->desc.msg, "disks"));
	return o;
}

/* The monitor's path out of {"qmp": "/path"}, to twin.qmp. */
static int take_answer(struct job *j)
{
	char text[ANSWER_MAX];
	ssize_t n = pread(j->prepare.hook.out, text, sizeof(text), 0);
	json_t *o = n > 0 ? json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *qmp = json_string_value(json_object_get(o, "qmp"));
	bool good = qmp && *qmp == '/' && strlen(qmp) <= ADDR_UNIX_MAX && !strpbrk(qmp, "\n\r");

	if (good)
		snprintf(j->twin.qmp, sizeof(j->twin.qmp), "%s", qmp);
	if (good) /* who asks again looks there */
		json_object_set_new(j->record, "qmp", json_string(qmp));
	json_decref(o);
	return good ? 0 : -1;
}

static void on_exit_of(void *ctx, struct proc *p, int status)
{
	struct job *j = ctx;
	char line[300];

	proc_free(p);
	j->prepare.hook.proc = NULL;
	if (j->state != JOB_PREPARING)
		return;
	job_no_deadline(j);
	proc_last_line(j->qemu.log_fd, line, sizeof(line));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		hook_fail(j, "does not start the VM", line);
	else if (take_answer(j) < 0)
		hook_fail(j, "has not answered with one line {\"qmp\": \"/path\"}", line);
	else {
		log_info(&j->about, "the launch hook has started a QEMU at %s", j->twin.qmp);
		job_twin_connect(j);
	}
}

void job_hook_due(struct job *j)
{
	char line[300];

	proc_last_line(j->qemu.log_fd, line, sizeof(line));
	hook_fail(j, "has not answered within 60 s", line);
}

static int open_files(struct job *j, char *description, size_t size, struct err *e)
{
	json_t *o = describe(j);
	char log[TWIN_DIR_MAX + 16];
	int r = -1;

	snprintf(description, size, "%s/hook.json", j->twin.dir);
	snprintf(log, sizeof(log), "%s/hook.log", j->twin.dir);
	j->prepare.hook.in = open(description, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	j->prepare.hook.out = memfd_create("launch-hook", MFD_CLOEXEC);
	j->qemu.log_fd = open(log, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
	if (j->prepare.hook.in >= 0 && j->prepare.hook.out >= 0 && j->qemu.log_fd >= 0 && o)
		r = json_dumpfd(o, j->prepare.hook.in, JSON_COMPACT);
	if (r == 0 && (write(j->prepare.hook.in, "\n", 1) != 1 ||
		       lseek(j->prepare.hook.in, 0, SEEK_SET) != 0))
		r = -1;
	json_decref(o);
	return r < 0 ? err_set_sys(e, errno, "%s cannot be written on the destination", description)
		     : 0;
}

void job_hook_start(struct job *j)
{
	const char *program = j->rights->launch_hook;
	char path[4096], word[] = "launch", description[TWIN_DIR_MAX + 16];
	char *const argv[] = {path, word, NULL};
	struct err e = ERR_INIT;
	struct proc_io io;

	snprintf(path, sizeof(path), "%s", program);
	if (job_check_name(j, &e) < 0 ||
	    twin_place(&j->twin, &j->desc, j->service->config.run_dir, j->id, &e) < 0 ||
	    job_record_begin(j, &e) < 0 || job_make_folder(j, &e) < 0 ||
	    open_files(j, description, sizeof(description), &e) < 0 ||
	    guardian_add_hook(j->guardian, program, description, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	io = (struct proc_io){
	    .in = j->prepare.hook.in, .out = j->prepare.hook.out, .err = j->qemu.log_fd};
	j->prepare.hook.proc =
	    proc_start_io(j->service->base, argv, &io, j->guardian, on_exit_of, j, &e);
	if (!j->prepare.hook.proc) {
		err_prefix(&e, "the launch hook");
		job_fail(j, &e);
		return;
	}
	job_deadline(j, HOOK_MS);
}
