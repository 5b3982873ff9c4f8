/*
 * vm/: a VM as its QEMU tells it.
 * Reads the description (vmdesc.h): the command line, disks and what is below them, CPU, memory,
 * devices, networks, limits, secrets; and knows QEMU's own language for each: options, argument
 * lists, block graphs, I/O limits. It refuses to change anything: it asks QEMU questions, reads,
 * and computes words. It judges nothing either (check/ does), and what is in a secret it reads only
 * when that is handed over. Called by wish/ (which disks), host/ (images of them), twin/ and check/
 * (the VM that is to come), source/ and destination/, api/ (which VMs there are) and cli/ (names).
 */
#ifndef ADIT_CONTROL_VM_H
#define ADIT_CONTROL_VM_H

#include "control/vm/capabilities.h"
#include "control/vm/json_text.h"
#include "control/vm/media.h"
#include "control/vm/pace.h"
#include "control/vm/qargs.h"
#include "control/vm/qopts.h"
#include "control/vm/secret_source.h"
#include "control/vm/throttle.h"
#include "control/vm/vm_look.h"
#include "control/vm/vmdesc.h"
#include "control/vm/vmdesc_cpu.h"
#include "control/vm/vmdesc_crypt.h"
#include "control/vm/vmdesc_memory.h"
#include "control/vm/vmdesc_net.h"
#include "control/vm/vmdesc_nodes.h"

#endif
