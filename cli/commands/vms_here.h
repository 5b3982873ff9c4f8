/* VMs that adit launched on this host, for adit vms and adit console. */
#ifndef ADIT_CLI_COMMANDS_VMS_HERE_H
#define ADIT_CLI_COMMANDS_VMS_HERE_H

#include <getopt.h>
#include <jansson.h>

#include "base/err.h"
#include "cli/common/usage.h"

enum { VMS_OPTION_RUN_DIR = OPTION_OWN, VMS_OPTION_JSON, VMS_OPTION_POWERDOWN };

#define VMS_HELP_RUN_DIR                                                                           \
	"  --run-dir DIR       the folder of adit serve: /run/adit for root, else\n"               \
	"                      $XDG_RUNTIME_DIR/adit\n"

/* What vms_list has (control/host/vms.h) of run_dir, or of adit's own where that is NULL. Owned by
 * the caller; NULL with *e. */
json_t *vms_here(const char *run_dir, struct err *e);

/* The one of that name in list (borrowed); NULL with ERR_CLOSED. */
json_t *vms_here_find(json_t *list, const char *name, struct err *e);

/* Asks the monitors of all in list, at once: `look` of each is what vm_look gives, or `silent` why
 * there is none. ERR_SYSTEM. */
int vms_here_ask(json_t *list, struct err *e);

/* Presses the power button of vm, one of such a list, and waits until its QEMU has ended, however
 * long the guest takes for it. ERR_CLOSED or ERR_TIMEOUT: its monitor cannot be had. */
int vms_here_powerdown(const json_t *vm, struct err *e);

#endif
