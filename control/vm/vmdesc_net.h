/*
 * The VM's networks: which of its interfaces are taps of the source host, and where each of them
 * hangs. They are `networks` of the description, one for each -netdev, -nic or -net of type tap or
 * bridge, in the command line's order.
 */
#ifndef ADIT_CONTROL_VM_VMDESC_NET_H
#define ADIT_CONTROL_VM_VMDESC_NET_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "control/vm/qargs.h"
#include "control/vm/qopts.h"

/* The value of -netdev, -nic or -net, which may be JSON, as options; what is a list or an object
 * in it has "..." for its value. 0; -1: no memory; 1: it cannot be read. */
int vmdesc_net_options(struct qopts *o, const char *value);

/* Whether it is a tap of the host's: one that QEMU makes, opens, is given, or has its helper make.
 */
bool vmdesc_net_is_tap(const struct qopts *o);

/* What it is called to people, and in --net: its id, or "nic0" for the first -nic, "net0" for the
 * first -net, where it has none; seen: how many options of the kind of `option` came before it. */
void vmdesc_net_id(const struct qopts *o, const char *option, unsigned seen, char *buf,
		   size_t size);

/* Sets vm's `networks`. info: the monitor's `info network`, "" when it is not known; pid: QEMU's.
 */
void vmdesc_read_networks(json_t *vm, const struct qargs *q, const char *info, pid_t pid);

/* Sets `wanted` of each network that spec, "ID=NAME,...", names (NULL: none). ERR_USAGE: one that
 * the VM has not, with those that it has. */
int vmdesc_net_select(json_t *vm, const char *spec, struct err *e);

/* Whether spec can be read so. ERR_USAGE. */
int vmdesc_net_check(const char *spec, struct err *e);

#endif
