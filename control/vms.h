/*
 * The VMs that adit serve has launched and handed over: nothing is done to them. When
 * one ends in order its private folder goes; after a crash the folder stays, as its
 * log says why.
 */
#ifndef ADIT_CONTROL_VMS_H
#define ADIT_CONTROL_VMS_H

#include "control/proc.h"

struct vms;

struct vms *vms_new(void);

/* Takes p over. dir is copied. */
void vms_add(struct vms *v, struct proc *p, const char *dir);

/* Removes the folders below run_dir/vms whose VM has gone while nobody looked. */
void vms_sweep(const char *run_dir);

/* Forgets all; they live on. NULL is fine. */
void vms_free(struct vms *v);

#endif
