/*
 * What --persistent has left on this host of a VM that came: how it is started again, by name.
 *
 *   STATE/vms/NAME.json, NAME.sh                  the destination wrote them (destination/), and
 * host/ starts the VM by them STATE/vms/NAME.json.moved, NAME.sh.moved      the VM has gone on to
 * another host: nothing starts it here by them
 */
#ifndef ADIT_CONTROL_TALK_KEPT_H
#define ADIT_CONTROL_TALK_KEPT_H

#include <stddef.h>
#include <time.h>

#include "base/err.h"

/* A VM of this host that runs elsewhere from now on. */
struct kept_vm {
	const char *name, *uuid; /* "" where it has none */
	const char *monitor;	 /* the socket's path, with or without "unix:" */
	const char *job;	 /* that took it away: what that has left is not of this VM, but of
				  * the one that it made, where both are on one host */
	time_t gone;		 /* when: what is newer came with the VM when it came back */
};

/* Sets aside what state_dir has kept of vm, durably: the JSON file whose folder ("dir") is that of
 * the monitor, or which has vm's name and UUID, and the script beside it. 1: file (of size) is what
 * the JSON file is called now; 0: there is none; ERR_SYSTEM: it cannot be set aside. */
int kept_set_aside(const char *state_dir, const struct kept_vm *vm, char *file, size_t size,
		   struct err *e);

/* ERR_REFUSED where a migration from here of a VM of that name is not settled, and the VM may run
 * on its destination; one that was kept after (since) the record was written has come back. */
int kept_check_settled(const char *state_dir, const char *name, time_t since, struct err *e);

#endif
