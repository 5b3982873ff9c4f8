/*
 * See vms_found.h.
 *
 * A look lists the sockets anew, and asks all of them at once; what does not answer in
 * time is told of as such. A QEMU with two monitors in the folders is one VM: processes
 * tell them apart. The entries belong to the struct vms_found.
 */
#include "control/api/vms_found.h"

#include <dirent.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/log.h"
#include "control/api/task.h"
#include "control/api/tasks.h"
#include "control/qmp.h"
#include "control/vm.h"

struct vms_found_vm {
	TAILQ_ENTRY(vms_found_vm) link;
	struct vms_found *all;
	struct qmp *q; /* while it is asked */
	char path[ADDR_UNIX_MAX + 1];
	char base[256]; /* its name, where the guest has none */
	pid_t pid;
	json_t *vm, *disks;
	bool asked;	/* in this look */
	struct err why; /* it is no VM that can be had */
};

TAILQ_HEAD(vm_list, vms_found_vm);
TAILQ_HEAD(waiter_list, vms_found_waiter);

struct vms_found {
	struct event_base *base;
	const char *const *dirs;
	const struct tasks *tasks;
	struct vm_list list; /* by path */
	struct waiter_list waiters;
	struct event *done, *late;
	unsigned waiting; /* sockets that have not answered */
	bool looking;
};

static void vm_free(struct vms_found_vm *vm)
{
	qmp_free(vm->q);
	json_decref(vm->vm);
	json_decref(vm->disks);
	free(vm);
}

static void settle(struct vms_found_vm *vm)
{
	struct vms_found *v = vm->all;

	qmp_free(vm->q);
	vm->q = NULL;
	if (--v->waiting == 0)
		event_active(v->done, EV_TIMEOUT, 1);
}

static void on_read(void *ctx, struct vmdesc_report *r, const struct err *e)
{
	struct vms_found_vm *vm = ctx;

	if (r) {
		json_decref(vm->vm);
		json_decref(vm->disks);
		vm->vm = json_incref(r->vm);
		vm->disks = json_incref(r->disks);
		vmdesc_report_fini(r);
		vm->pid = qmp_peer_pid(vm->q);
	} else {
		vm->why = *e;
	}
	if (vm->q)
		settle(vm);
}

static void on_ready(void *ctx, struct qmp *q)
{
	vmdesc_read(q, on_read, ctx);
}

static void on_qmp_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct vms_found_vm *vm = ctx;

	(void)q;
	if (!vm->q)
		return;
	vm->why = *why;
	settle(vm);
}

static const struct qmp_ops qmp_ops = {.on_ready = on_ready, .on_end = on_qmp_end};

static void ask(struct vms_found *v, struct vms_found_vm *vm)
{
	vm->asked = true;
	if (tasks_of_qmp(v->tasks, vm->path))
		return;
	vm->why = (struct err)ERR_INIT;
	vm->q = qmp_connect(v->base, vm->path, VMS_FOUND_GREETING_MS, &qmp_ops, vm, &vm->why);
	if (vm->q)
		v->waiting++;
}

static struct vms_found_vm *entry(struct vms_found *v, const char *path, const char *base)
{
	struct vms_found_vm *vm, *next;
	size_t len = strlen(base);

	TAILQ_FOREACH(next, &v->list, link)
	{
		int order = strcmp(next->path, path);

		if (order == 0)
			return next;
		if (order > 0)
			break;
	}
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return NULL;
	vm->all = v;
	memcpy(vm->path, path, strlen(path) + 1); /* look_in saw to its length */
	if (len > 5 && strcmp(base + len - 5, ".sock") == 0)
		len -= 5;
	snprintf(vm->base, sizeof(vm->base), "%.*s", (int)len, base);
	if (next)
		TAILQ_INSERT_BEFORE(next, vm, link);
	else
		TAILQ_INSERT_TAIL(&v->list, vm, link);
	return vm;
}

static void look_in(struct vms_found *v, const char *dir, unsigned *count)
{
	DIR *d = opendir(dir);
	struct dirent *item;

	if (!d) {
		log_warn(NULL, "the folder of VMs %s cannot be read: %m", dir);
		return;
	}
	while ((item = readdir(d))) {
		char path[4096];
		struct vms_found_vm *vm;
		struct stat st;
		int len = snprintf(path, sizeof(path), "%s/%s", dir, item->d_name);

		if (len < 0 || (size_t)len > ADDR_UNIX_MAX || stat(path, &st) < 0 ||
		    !S_ISSOCK(st.st_mode))
			continue;
		if (++*count > VMS_FOUND_MAX) {
			log_warn(NULL,
				 "more than %d sockets in the folders of VMs; the rest is left out",
				 VMS_FOUND_MAX);
			break;
		}
		vm = entry(v, path, item->d_name);
		if (vm && !vm->asked)
			ask(v, vm);
	}
	closedir(d);
}

/* Sockets that are not there any more, and further monitors of a VM that is there. */
static void tidy(struct vms_found *v)
{
	struct vms_found_vm *vm, *next, *other;

	for (vm = TAILQ_FIRST(&v->list); vm; vm = next) {
		next = TAILQ_NEXT(vm, link);
		if (vm->asked || tasks_of_qmp(v->tasks, vm->path))
			continue;
		TAILQ_REMOVE(&v->list, vm, link);
		vm_free(vm);
	}
	TAILQ_FOREACH(vm, &v->list, link)
	{
		if (err_is_set(&vm->why) || !vm->vm || !vm->pid)
			continue;
		TAILQ_FOREACH(other, &v->list, link)
		{
			bool first = tasks_of_qmp(v->tasks, vm->path) ||
				     (strcmp(vm->path, other->path) < 0 &&
				      !tasks_of_qmp(v->tasks, other->path));

			if (other != vm && other->vm && other->pid == vm->pid &&
			    !err_is_set(&other->why) && first)
				err_set(&other->why, ERR_REFUSED,
					"another monitor of the VM behind %s", vm->path);
		}
	}
}

static void on_done(evutil_socket_t fd, short what, void *ctx)
{
	struct vms_found *v = ctx;
	struct vms_found_waiter *w;
	struct waiter_list told;

	(void)fd;
	(void)what;
	if (!v->looking)
		return;
	event_del(v->late);
	tidy(v);
	v->looking = false;
	/* Whoever asks again in its callback waits for the next look. */
	TAILQ_INIT(&told);
	TAILQ_CONCAT(&told, &v->waiters, link);
	while ((w = TAILQ_FIRST(&told))) {
		TAILQ_REMOVE(&told, w, link);
		w->fn(w->ctx);
	}
}

static void on_late(evutil_socket_t fd, short what, void *ctx)
{
	struct vms_found *v = ctx;
	struct vms_found_vm *vm;

	(void)fd;
	(void)what;
	TAILQ_FOREACH(vm, &v->list, link)
	{
		if (!vm->q)
			continue;
		err_set(&vm->why, ERR_TIMEOUT, "QMP socket %s: no answer within %d s", vm->path,
			VMS_FOUND_LOOK_MS / 1000);
		settle(vm);
	}
}

void vms_found_look(struct vms_found *v, struct vms_found_waiter *w)
{
	struct vms_found_vm *vm;
	unsigned count = 0;

	TAILQ_INSERT_TAIL(&v->waiters, w, link);
	if (v->looking)
		return;
	v->looking = true;
	TAILQ_FOREACH(vm, &v->list, link)
	vm->asked = false;
	for (const char *const *dir = v->dirs; *dir; dir++)
		look_in(v, *dir, &count);
	event_add(v->late, &(struct timeval){.tv_sec = VMS_FOUND_LOOK_MS / 1000});
	if (v->waiting == 0)
		event_active(v->done, EV_TIMEOUT, 1);
}

void vms_found_forget(struct vms_found *v, struct vms_found_waiter *w)
{
	TAILQ_REMOVE(&v->waiters, w, link);
}

struct vms_found *vms_found_new(struct event_base *base, const char *const *dirs,
				const struct tasks *tasks, struct err *e)
{
	struct vms_found *v = calloc(1, sizeof(*v));

	if (!v) {
		err_set(e, ERR_SPACE, "no memory for the list of VMs");
		return NULL;
	}
	v->base = base;
	v->dirs = dirs;
	v->tasks = tasks;
	TAILQ_INIT(&v->list);
	TAILQ_INIT(&v->waiters);
	v->done = evtimer_new(base, on_done, v);
	v->late = evtimer_new(base, on_late, v);
	if (!v->done || !v->late) {
		err_set(e, ERR_SPACE, "no memory for the list of VMs");
		vms_found_free(v);
		return NULL;
	}
	return v;
}

void vms_found_free(struct vms_found *v)
{
	struct vms_found_vm *vm;

	if (!v)
		return;
	while ((vm = TAILQ_FIRST(&v->list))) {
		TAILQ_REMOVE(&v->list, vm, link);
		vm_free(vm);
	}
	if (v->done)
		event_free(v->done);
	if (v->late)
		event_free(v->late);
	free(v);
}

const struct vms_found_vm *vms_found_next(const struct vms_found *v, const struct vms_found_vm *vm)
{
	vm = vm ? TAILQ_NEXT(vm, link) : TAILQ_FIRST(&v->list);
	while (vm && (!vm->vm || err_is_set(&vm->why)))
		vm = TAILQ_NEXT(vm, link);
	return vm;
}

const char *vms_found_name(const struct vms_found_vm *vm)
{
	const char *name = json_string_value(json_object_get(vm->vm, "name"));

	return name && *name ? name : vm->base;
}

const char *vms_found_qmp(const struct vms_found_vm *vm)
{
	return vm->path;
}

const struct vms_found_vm *vms_found_find(const struct vms_found *v, const char *name,
					  struct err *e)
{
	const struct vms_found_vm *vm = NULL, *found = NULL;

	while ((vm = vms_found_next(v, vm))) {
		if (strcmp(vms_found_name(vm), name) != 0)
			continue;
		if (found) {
			err_set(e, ERR_REFUSED,
				"two VMs are called \"%.128s\": the one behind %s, and the one "
				"behind %s",
				name, found->path, vm->path);
			return NULL;
		}
		found = vm;
	}
	if (!found)
		err_set(e, ERR_USAGE, "there is no VM \"%.128s\" in the folders of --vms", name);
	return found;
}

/* A device that has an id is known by that, not by its place in QEMU's tree. */
static void set_target(json_t *disk)
{
	static const char place[] = "/machine/peripheral/";
	const char *path = json_string_value(json_object_get(disk, "target"));

	if (path && strncmp(path, place, sizeof(place) - 1) == 0) {
		path += sizeof(place) - 1;
		json_object_set_new(disk, "target", json_stringn(path, strcspn(path, "/")));
	}
}

static json_t *disks_json(const json_t *disks)
{
	static const struct {
		const char *from, *to;
	} members[] = {
	    {"name", "name"},	{"node", "node"},	    {"device", "device"},
	    {"qdev", "target"}, {"format", "format"},	    {"file", "file"},
	    {"size", "size"},	{"read_only", "read_only"}, {"empty", "empty"},
	};
	json_t *list = json_array(), *disk;
	size_t i;

	json_array_foreach((json_t *)disks, i, disk)
	{
		json_t *o = json_object();

		for (size_t k = 0; k < sizeof(members) / sizeof(members[0]); k++) {
			json_t *value = json_object_get(disk, members[k].from);

			if (value)
				json_object_set(o, members[k].to, value);
		}
		set_target(o);
		json_array_append_new(list, o);
	}
	return list;
}

json_t *vms_found_to_json(const struct vms_found *v, const struct vms_found_vm *vm, int full)
{
	static const char *const members[] = {"uuid", "status", "running", "machine",
					      "arch", "memory", "cpus",	   "qemu"};
	const struct task *t = tasks_of_qmp(v->tasks, vm->path);
	json_t *o = json_pack("{s:s,s:s}", "name", vms_found_name(vm), "qmp", vm->path);

	json_object_set_new(o, "task", t ? json_string(task_id(t)) : json_null());
	for (size_t i = 0; i < (full ? sizeof(members) / sizeof(members[0]) : 3); i++) {
		json_t *value = json_object_get(vm->vm, members[i]);

		if (value)
			json_object_set(o, members[i], value);
	}
	if (full)
		json_object_set_new(o, "disks", disks_json(vm->disks));
	return o;
}

json_t *vms_found_others(const struct vms_found *v)
{
	const struct vms_found_vm *vm;
	json_t *list = json_array();

	TAILQ_FOREACH(vm, &v->list, link)
	{
		if (err_is_set(&vm->why))
			json_array_append_new(list, json_pack("{s:s,s:s}", "socket", vm->path,
							      "reason", vm->why.text));
	}
	return list;
}
