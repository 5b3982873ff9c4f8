/*
 * api/: this process's migrations as a program sees them.
 * A task is one of them, with its events and its result; a manager has all; the HTTP API shows them,
 * takes new ones and changes them (docs/api.md), and finds the VMs of this host.
 * It refuses who has not shown the token (on TCP), more connections than it was given, and to wait
 * for a client. It steers nothing itself: a task asks source/, as a command would.
 * Called by cli/ (adit serve has many tasks, adit migrate has one; the commands that steer jobs are
 * clients of the API).
 */
#ifndef ADIT_CONTROL_API_H
#define ADIT_CONTROL_API_H

#include "control/api/api.h"
#include "control/api/task.h"
#include "control/api/tasks.h"
#include "control/api/vms_found.h"

#endif
