/* See vms_here.h. */
#include "cli/commands/vms_here.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "cli/common/run_dir.h"
#include "control/host.h"
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
