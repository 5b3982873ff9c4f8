/* See vms_here.h. */
#include "cli/commands/vms_here.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "cli/common/run_dir.h"
#include "control/host.h"
#include "control/qmp.h"
#include "control/vm.h"

enum {
	GREETING_MS = 1000, /* a monitor says so much at once, or serves somebody else */
	ALL_S = 5,
};

struct asked {
	struct vm_look *look;
	json_t *vm; /* borrowed */
	struct event_base *base;
	unsigned *waiting;
};

json_t *vms_here(const char *run_dir, struct err *e)
{
	char dir[ADDR_UNIX_MAX + 1];

	return run_dir_look(run_dir, dir, sizeof(dir), e) < 0 ? NULL : vms_list(dir);
}

json_t *vms_here_find(json_t *list, const char *name, struct err *e)
{
	json_t *vm;
	size_t i;

	json_array_foreach(list, i, vm)
	{
		if (strcmp(json_text(vm, "name"), name) == 0)
			return vm;
	}
	err_set(e, ERR_CLOSED, "no VM \"%s\" runs here that adit launched; adit vms lists them",
		name);
	return NULL;
}

static void on_look(void *ctx, const json_t *answers, const struct err *why)
{
	struct asked *a = ctx;

	if (answers)
		json_object_set_new(a->vm, "look", json_deep_copy(answers));
	else
		json_object_set_new(a->vm, "silent", json_string(why->text));
	vm_look_free(a->look);
	a->look = NULL;
	if (--*a->waiting == 0)
		event_base_loopbreak(a->base);
}

static void ask(struct asked *a)
{
	struct err e = ERR_INIT;
	char path[ADDR_UNIX_MAX + 1];

	snprintf(path, sizeof(path), "%s/qmp.sock", json_text(a->vm, "dir"));
	a->look = vm_look_start(a->base, path, (pid_t)json_number(a->vm, "pid"), GREETING_MS,
				on_look, a, &e);
	if (a->look)
		++*a->waiting;
	else
		json_object_set_new(a->vm, "silent", json_string(e.text));
}

int vms_here_ask(json_t *list, struct err *e)
{
	size_t count = json_array_size(list);
	struct asked *all = calloc(count + 1, sizeof(*all));
	struct event_base *base = event_base_new();
	unsigned waiting = 0;
	int r = 0;

	if (!all || !base) {
		r = err_set(e, ERR_SPACE, "no memory to ask the VMs");
	} else {
		for (size_t i = 0; i < count; i++) {
			all[i] = (struct asked){
			    .vm = json_array_get(list, i), .base = base, .waiting = &waiting};
			ask(&all[i]);
		}
		event_base_loopexit(base, &(struct timeval){.tv_sec = ALL_S});
		if (waiting)
			event_base_dispatch(base);
		for (size_t i = 0; i < count; i++) {
			if (!all[i].look)
				continue;
			vm_look_free(all[i].look);
			json_object_set_new(all[i].vm, "silent",
					    json_string("its monitor does not answer"));
		}
	}
	free(all);
	if (base)
		event_base_free(base);
	return r;
}

struct powerdown {
	struct event_base *base;
	struct qmp *q;
	pid_t pid;
	int pressed;
	struct err why;
};

static void on_pressed(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct powerdown *p = ctx;

	(void)q;
	(void)result;
	p->pressed = !err_is_set(e);
	p->why = *e;
	if (!p->pressed)
		event_base_loopbreak(p->base);
}

static void on_button_ready(void *ctx, struct qmp *q)
{
	struct powerdown *p = ctx;

	if (qmp_peer_pid(q) == p->pid) {
		qmp_command(q, "system_powerdown", NULL, on_pressed, p);
		return;
	}
	err_set(&p->why, ERR_REFUSED, "the monitor is not of process %d", (int)p->pid);
	event_base_loopbreak(p->base);
}

static void on_button_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct powerdown *p = ctx;

	(void)q;
	if (!p->pressed)
		p->why = *why;
	event_base_loopbreak(p->base);
}

int vms_here_powerdown(const json_t *vm, struct err *e)
{
	static const struct qmp_ops ops = {.on_ready = on_button_ready, .on_end = on_button_end};
	struct powerdown p = {.base = event_base_new(), .pid = (pid_t)json_number(vm, "pid")};
	char path[ADDR_UNIX_MAX + 1];

	if (!p.base)
		return err_set(e, ERR_SPACE, "no memory to ask a VM");
	snprintf(path, sizeof(path), "%s/qmp.sock", json_text(vm, "dir"));
	p.q = qmp_connect(p.base, path, GREETING_MS, &ops, &p, e);
	if (p.q) {
		event_base_dispatch(p.base);
		*e = p.why;
	}
	qmp_free(p.q);
	event_base_free(p.base);
	return err_is_set(e) ? (int)e->code : 0;
}
