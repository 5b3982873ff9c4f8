/*
 * The VMs that adit serve has launched and handed over: nothing is done to them. When
 * one ends in order its private folder goes; after a crash the folder stays, as its
 * log says why.
 */
#ifndef ADIT_CONTROL_HOST_VMS_H
#define ADIT_CONTROL_HOST_VMS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "control/host/proc.h"

struct leftovers;
struct vms;

/* leftovers is borrowed, and may be NULL. NULL when memory is short. */
struct vms *vms_new(struct leftovers *leftovers);

/* Takes p over. dir is copied. */
void vms_add(struct vms *v, struct proc *p, const char *dir);

/* Leaves in dir, the private folder of a VM that was launched, who it is: its name and
 * process. ERR_SYSTEM. */
int vms_record(const char *dir, const char *name, pid_t pid, struct err *e);

/* Whether a VM of that name lives that was launched with a folder below run_dir/vms, by
 * whatever adit serve; its folder is written to dir then. */
bool vms_find(const char *run_dir, const char *name, char *dir, size_t size);

/* Whether somebody has the monitor of the VM whose private folder is dir: also one that was started
 * there by a script, which leaves no word of itself. */
bool vms_answer(const char *dir);

/* The VMs that live, were launched with a folder below run_dir/vms and whose folder is this user's
 * to read, by name: [{name, pid, since, dir}], since in seconds of the epoch. Owned by the
 * caller. */
json_t *vms_list(const char *run_dir);

/* Removes the folders below run_dir/vms whose VM has gone while nobody looked. */
void vms_sweep(const char *run_dir);

/* Forgets all; they live on. NULL is fine. */
void vms_free(struct vms *v);

#endif
