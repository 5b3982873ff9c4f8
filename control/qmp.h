/*
 * qmp/: a client of QEMU's monitor.
 * It connects, speaks the protocol's frame, and brings answers, events and errors back; commands may
 * go one by one, in batches, or with a descriptor. On the event loop, as callbacks.
 * It refuses to know what a command means, to guess (what is no greeting ends the connection), and
 * to wait for QEMU. It knows no migration, no peer, no file. A connection is its maker's.
 * Called by vm/ (a VM is read), check/ (a QEMU is asked what it can do), source/ and destination/
 * (one is steered), api/ (which VMs there are) and cli/ (the power button of one).
 */
#ifndef ADIT_CONTROL_QMP_H
#define ADIT_CONTROL_QMP_H

#include "control/qmp/qmp.h"

#endif
