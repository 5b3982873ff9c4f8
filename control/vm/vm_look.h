/*
 * What a VM that runs has, for who looks after it: asked of its monitor, which is let go of at
 * once. Questions only.
 */
#ifndef ADIT_CONTROL_VM_VM_LOOK_H
#define ADIT_CONTROL_VM_VM_LOOK_H

#include <jansson.h>
#include <sys/types.h>

#include "base/err.h"

struct event_base;
struct vm_look;

/* The end, once, never from within the start; answers (borrowed) is an object,
 *
 *   status      "running" and the like (RunState of QEMU's)
 *   chardevs    [{id, file, open}]: file as QEMU names it ("unix:PATH,server=on"); open: a client
 *               is connected, or it needs none
 *   displays    [{type, address}]: vnc and spice
 *   disks       [{device, node, file, format, read_only}], file null in an empty drive
 *   networks    [{nic, model, mac, backend}]: backend as QEMU words it, "" where there is none
 *
 * or NULL, and why. The look is to be freed, also within the call. */
typedef void vm_look_done(void *ctx, const json_t *answers, const struct err *why);

/* qmp: its monitor's socket, which is to be process pid's (the folder may be another user's); such
 * a monitor serves one client at a time, so greeting_ms until it has greeted. NULL with *e. */
struct vm_look *vm_look_start(struct event_base *base, const char *qmp, pid_t pid,
			      unsigned greeting_ms, vm_look_done *fn, void *ctx, struct err *e);

/* NULL is fine. No call comes after it. */
void vm_look_free(struct vm_look *l);

/* `networks` out of what QEMU's `info network` says; owned by the caller. */
json_t *vm_look_networks(const char *text);

#endif
