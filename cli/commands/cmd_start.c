/* adit start: starts a VM again that came to this host to stay. */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/common/options.h"
#include "cli/common/usage.h"
#include "control/host.h"
#include "control/talk.h"

static const char help[] =
    "usage: adit start NAME [--state-dir DIR]\n"
    "\n"
    "Starts the VM called NAME again, which came to this host with adit migrate --persistent\n"
    "and has ended since, as it ran here: with the same command line, as the same user. adit\n"
    "becomes that QEMU: it stays in the foreground, and what it says goes to the terminal.\n"
    "systemctl start adit-vm@NAME does it in the background, enable at each boot.\n"
    "\n"
    "  --state-dir DIR     that of the adit serve which took it: /var/lib/adit for root, else\n"
    "                      $XDG_STATE_HOME/adit or ~/.local/state/adit\n"
    "  -h, --help          this text\n";

enum { OPTION_STATE_DIR = OPTION_OWN };

static int take(void *ctx, int c, const char *value, struct err *e)
{
	const char **state_dir = ctx;

	(void)c;
	(void)e;
	*state_dir = value;
	return 0;
}

int cmd_start(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"state-dir", required_argument, NULL, OPTION_STATE_DIR},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0}};
	struct options o = {
	    .command = "start", .argc = argc, .argv = argv, .shorts = ":h", .longs = longs};
	const char *given = NULL, *name;
	struct vm_kept kept = {0};
	struct err e = ERR_INIT;
	char state_dir[512];
	int status = options_take(&o, help, take, &given);

	if (status >= 0)
		return status;
	name = optind < argc ? argv[optind++] : "";
	if (!*name)
		return usage_error("start", "NAME is missing: of a VM that came with --persistent");
	if (optind < argc)
		return usage_error("start", "one NAME, not also \"%s\"", argv[optind]);
	status = journal_find(given, state_dir, sizeof(state_dir), &e);
	if (status == 0)
		err_set(&e, ERR_CLOSED, "no VM \"%s\" came here: adit has kept nothing yet", name);
	else if (status > 0 && vm_kept_read(&kept, state_dir, name, &e) == 0)
		vm_kept_run(&kept, &e);
	vm_kept_fini(&kept);
	return usage_fail("start", &e);
}
