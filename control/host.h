/*
 * host/: what this host has and does for a VM that comes.
 * Processes; the guardian, which is told of one before it runs, and undoes a job when adit is gone;
 * images, and what stands below them; taps, what they hang in, and who keeps that; VMs that were
 * launched here; files that are to go; names that are in use. It refuses an image that is in use or
 * whose header leads out of the listed folders, and removes nothing but what is surely its own. It
 * knows no peer, no monitor and no phase. Called by twin/ and check/ (which look), by destination/
 * (which acts), and by cli/ (which lists VMs, and starts one that was kept). The source has no use
 * for it: it makes no images and starts no QEMU.
 */
#ifndef ADIT_CONTROL_HOST_H
#define ADIT_CONTROL_HOST_H

#include "control/host/backing.h"
#include "control/host/check_names.h"
#include "control/host/guardian.h"
#include "control/host/image.h"
#include "control/host/leftovers.h"
#include "control/host/netkeeper.h"
#include "control/host/netport.h"
#include "control/host/proc.h"
#include "control/host/proc_text.h"
#include "control/host/tap.h"
#include "control/host/tpm.h"
#include "control/host/vm_kept.h"
#include "control/host/vms.h"

#endif
