/*
 * The launch hook: where adit is not to start QEMU itself, the operator's program does.
 * It gets the VM's description as JSON and answers with the monitor of a QEMU that waits;
 * from then on the arrival is like one with --dest-qmp. docs/launch-hook.md is its contract.
 *
 * What undoes its work is the program itself, called with "undo": by the guardian, so that
 * it is called too when adit serve is gone.
 */
#include "control/destination/arrival_i.h"

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

static void hook_fail(struct arrival *a, const char *what, const char *said)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_REFUSED, "the destination's launch hook %s %s%s%s", a->rights->launch_hook,
		what, *said ? ": " : "", said);
	arrival_fail(a, &e);
}

/* The disks, of which it makes those that are copied: no medium, which it has itself
 * (arrival_media_leave). */
static json_t *describe_disks(const struct arrival *a)
{
	json_t *disks = json_deep_copy(json_object_get(a->desc.msg, "disks")), *disk;
	size_t i;

	json_array_foreach(disks, i, disk) if (i < a->desc.disk_count)
	    json_object_set_new(disk, "copy", json_boolean(a->desc.disks[i].copy));
	return disks;
}

/* What the hook is told; owned by the caller. */
static json_t *describe(const struct arrival *a)
{
	json_t *o = json_copy(json_object_get(a->desc.msg, "vm"));
	const json_t *storage = json_object_get(a->desc.msg, "storage");

	if (!o)
		return NULL;
	json_object_set_new(o, "adit", json_integer(COOKIE_VERSION));
	json_object_set_new(o, "job", json_string(a->id));
	json_object_set_new(o, "peer", json_string(a->peer));
	json_object_set_new(o, "name", json_string(a->desc.name));
	json_object_set_new(o, "dir", json_string(a->twin.dir));
	json_object_set_new(o, "storage",
			    json_string(storage ? json_string_value(storage) : "all"));
	json_object_set_new(o, "disks", describe_disks(a));
	return o;
}

/* The monitor's path out of {"qmp": "/path"}, to twin.qmp. */
static int take_answer(struct arrival *a)
{
	char text[ANSWER_MAX];
	ssize_t n = pread(a->prepare.hook.out, text, sizeof(text), 0);
	json_t *o = n > 0 ? json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *qmp = json_string_value(json_object_get(o, "qmp"));
	bool good = qmp && *qmp == '/' && strlen(qmp) <= ADDR_UNIX_MAX && !strpbrk(qmp, "\n\r");

	if (good)
		snprintf(a->twin.qmp, sizeof(a->twin.qmp), "%s", qmp);
	if (good) /* who asks again looks there */
		json_object_set_new(a->record, "qmp", json_string(qmp));
	json_decref(o);
	return good ? 0 : -1;
}

static void on_exit_of(void *ctx, struct proc *p, int status)
{
	struct arrival *a = ctx;
	char line[300];

	proc_free(p);
	a->prepare.hook.proc = NULL;
	if (a->state != ARRIVAL_PREPARING)
		return;
	arrival_no_deadline(a);
	proc_last_line(a->qemu.log_fd, line, sizeof(line));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		hook_fail(a, "does not start the VM", line);
	else if (take_answer(a) < 0)
		hook_fail(a, "has not answered with one line {\"qmp\": \"/path\"}", line);
	else {
		log_info(&a->about, "the launch hook has started a QEMU at %s", a->twin.qmp);
		arrival_twin_connect(a);
	}
}

void arrival_hook_due(struct arrival *a)
{
	char line[300];

	proc_last_line(a->qemu.log_fd, line, sizeof(line));
	hook_fail(a, "has not answered within 60 s", line);
}

static int open_files(struct arrival *a, char *description, size_t size, struct err *e)
{
	json_t *o = describe(a);
	char log[TWIN_DIR_MAX + 16];
	int r = -1;

	snprintf(description, size, "%s/hook.json", a->twin.dir);
	snprintf(log, sizeof(log), "%s/hook.log", a->twin.dir);
	a->prepare.hook.in = open(description, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	a->prepare.hook.out = memfd_create("launch-hook", MFD_CLOEXEC);
	a->qemu.log_fd = open(log, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
	if (a->prepare.hook.in >= 0 && a->prepare.hook.out >= 0 && a->qemu.log_fd >= 0 && o)
		r = json_dumpfd(o, a->prepare.hook.in, JSON_COMPACT);
	if (r == 0 && (write(a->prepare.hook.in, "\n", 1) != 1 ||
		       lseek(a->prepare.hook.in, 0, SEEK_SET) != 0))
		r = -1;
	json_decref(o);
	return r < 0 ? err_set_sys(e, errno, "%s cannot be written on the destination", description)
		     : 0;
}

void arrival_hook_start(struct arrival *a)
{
	const char *program = a->rights->launch_hook;
	char path[4096], word[] = "launch", description[TWIN_DIR_MAX + 16];
	char *const argv[] = {path, word, NULL};
	struct err e = ERR_INIT;
	struct proc_io io;

	snprintf(path, sizeof(path), "%s", program);
	if (arrival_check_name(a, &e) < 0 ||
	    twin_place(&a->twin, &a->desc, a->service->config.run_dir, a->id, &e) < 0 ||
	    arrival_record_begin(a, &e) < 0 || arrival_make_folder(a, &e) < 0 ||
	    open_files(a, description, sizeof(description), &e) < 0 ||
	    guardian_add_hook(a->guardian, program, description, &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	io = (struct proc_io){
	    .in = a->prepare.hook.in, .out = a->prepare.hook.out, .err = a->qemu.log_fd};
	a->prepare.hook.proc =
	    proc_start_io(a->service->base, argv, &io, a->guardian, on_exit_of, a, &e);
	if (!a->prepare.hook.proc) {
		err_prefix(&e, "the launch hook");
		arrival_fail(a, &e);
		return;
	}
	arrival_deadline(a, HOOK_MS);
}
