/*
 * The VMs of this host that can be migrated: those behind the monitors (QMP sockets) in
 * the folders that adit serve was told of. QEMU serves one client on each monitor, so
 * nothing is held open: each look connects, reads, and lets go; a monitor that a task
 * uses is left alone, and what was read before stands.
 */
#ifndef ADIT_CONTROL_API_VMS_FOUND_H
#define ADIT_CONTROL_API_VMS_FOUND_H

#include <jansson.h>
#include <sys/queue.h>

#include "base/err.h"

struct event_base;
struct tasks;
struct vms_found;
struct vms_found_vm;

enum {
	VMS_FOUND_MAX = 512,	      /* sockets that are looked at */
	VMS_FOUND_GREETING_MS = 1000, /* QMP says so much at once */
	VMS_FOUND_LOOK_MS = 5000,     /* and answers all questions by then */
};

/* dirs (a NULL at the end) and tasks are borrowed. NULL with ERR_SPACE. */
struct vms_found *vms_found_new(struct event_base *base, const char *const *dirs,
				const struct tasks *tasks, struct err *e);
void vms_found_free(struct vms_found *v);

/* Somebody who waits for a look. The caller's, until fn was called or vms_found_forget. */
struct vms_found_waiter {
	TAILQ_ENTRY(vms_found_waiter) link;
	void (*fn)(void *ctx);
	void *ctx;
};

/* Looks anew, or waits for the look that is under way; w->fn is called from the loop once
 * it is done. */
void vms_found_look(struct vms_found *v, struct vms_found_waiter *w);
void vms_found_forget(struct vms_found *v, struct vms_found_waiter *w);

/* As the last look found them, by their sockets' order. The pointers hold until the next
 * look. NULL for the first, NULL behind the last. */
const struct vms_found_vm *vms_found_next(const struct vms_found *v, const struct vms_found_vm *vm);

/* By name. NULL with ERR_USAGE when there is none, ERR_REFUSED when two are called that. */
const struct vms_found_vm *vms_found_find(const struct vms_found *v, const char *name,
					  struct err *e);

const char *vms_found_name(const struct vms_found_vm *vm);
const char *vms_found_qmp(const struct vms_found_vm *vm);

/* The Vm of docs/openapi.json, in short (without disks and the like) or in full; owned by
 * the caller. */
json_t *vms_found_to_json(const struct vms_found *v, const struct vms_found_vm *vm, int full);

/* The sockets that are no VMs that can be had, and why: [{"socket", "reason"}]. */
json_t *vms_found_others(const struct vms_found *v);

#endif
