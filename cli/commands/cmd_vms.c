/* adit vms: the VMs that adit launched on this host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/commands.h"
#include "cli/commands/vms_here.h"
#include "cli/common/json_line.h"
#include "cli/common/options.h"
#include "control/vm.h"

static const char help[] =
    "usage: adit vms [NAME] [--powerdown] [--json] [--run-dir DIR]\n"
    "\n"
    "Lists the VMs that adit launched on this host and that live, those that are still coming\n"
    "among them; or says of the VM called NAME where its monitor, its console and its screen\n"
    "are, and what disks and networks it has. They are asked by their monitors; one that\n"
    "serves somebody else (a migration, say) does not answer.\n"
    "\n"
    "  --powerdown         press the power button of NAME, and wait until the guest has shut\n"
    "                      itself down, as long as it takes\n" VMS_HELP_RUN_DIR
    "  --json              for programs: {\"vms\": [...]}, with NAME that VM as one object\n"
    "  -h, --help          this text\n";

struct words {
	const char *run_dir;
	int json, powerdown;
};

static int take(void *ctx, int c, const char *value, struct err *e)
{
	struct words *w = ctx;

	(void)e;
	if (c == VMS_OPTION_JSON)
		w->json = 1;
	else if (c == VMS_OPTION_POWERDOWN)
		w->powerdown = 1;
	else
		w->run_dir = value;
	return 0;
}

static const char *status_of(const json_t *vm)
{
	const json_t *look = json_object_get(vm, "look");

	return look ? json_text(look, "status") : "silent";
}

static const char *since(const json_t *vm, char *buf, size_t size)
{
	time_t at = (time_t)json_number(vm, "since");
	struct tm tm;

	*buf = 0;
	if (localtime_r(&at, &tm))
		strftime(buf, size, "%Y-%m-%d %H:%M", &tm);
	return buf;
}

static void print_list(const json_t *list)
{
	const json_t *vm;
	char at[32];
	size_t i;

	printf("%-24s %8s  %-12s %-16s  %s\n", "VM", "PID", "STATUS", "SINCE", "MONITOR");
	json_array_foreach(list, i, vm)
	    printf("%-24s %8lld  %-12s %-16s  %s/qmp.sock\n", json_text(vm, "name"),
		   (long long)json_number(vm, "pid"), status_of(vm), since(vm, at, sizeof(at)),
		   json_text(vm, "dir"));
}

static void print_look(const json_t *vm, const json_t *look)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(look, "chardevs"), i, o)
	{
		if (strstr(json_text(o, "file"), json_text(vm, "dir")) &&
		    !strstr(json_text(o, "file"), "/qmp.sock"))
			printf("chardev   %-16s %s%s\n", json_text(o, "id"), json_text(o, "file"),
			       json_is_true(json_object_get(o, "open")) ? ", in use" : "");
	}
	json_array_foreach(json_object_get(look, "displays"), i, o)
	    printf("screen    %-16s %s\n", json_text(o, "type"), json_text(o, "address"));
	json_array_foreach(json_object_get(look, "disks"), i, o)
	    printf("disk      %-16s %s%s\n", json_text(o, "device"),
		   json_object_get(o, "file") && json_is_string(json_object_get(o, "file"))
		       ? json_text(o, "file")
		       : "(empty)",
		   json_is_true(json_object_get(o, "read_only")) ? ", read-only" : "");
	json_array_foreach(json_object_get(look, "networks"), i, o) printf(
	    "network   %-16s %s, %s%s%s\n", json_text(o, "nic"), json_text(o, "model"),
	    json_text(o, "mac"), *json_text(o, "backend") ? ", " : "", json_text(o, "backend"));
}

static void print_one(const json_t *vm)
{
	const json_t *look = json_object_get(vm, "look");
	char at[32];

	printf("VM        %s\n", json_text(vm, "name"));
	if (look)
		printf("status    %s\n", json_text(look, "status"));
	else
		printf("status    not known: %s\n", json_text(vm, "silent"));
	printf("since     %s\n", since(vm, at, sizeof(at)));
	printf("pid       %lld\n", (long long)json_number(vm, "pid"));
	printf("folder    %s\n", json_text(vm, "dir"));
	printf("monitor   %s/qmp.sock\n", json_text(vm, "dir"));
	print_look(vm, look);
}

int cmd_vms(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"run-dir", required_argument, NULL, VMS_OPTION_RUN_DIR},
	    {"json", no_argument, NULL, VMS_OPTION_JSON},
	    {"powerdown", no_argument, NULL, VMS_OPTION_POWERDOWN},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0}};
	struct options o = {
	    .command = "vms", .argc = argc, .argv = argv, .shorts = ":h", .longs = longs};
	json_t *list, *one = NULL, *shown = NULL;
	struct err e = ERR_INIT;
	struct words w = {0};
	const char *name;
	int status = options_take(&o, help, take, &w);

	if (status >= 0)
		return status;
	name = optind < argc ? argv[optind++] : NULL;
	if (optind < argc)
		return usage_error("vms", "one NAME, not also \"%s\"", argv[optind]);
	if (name && !*name)
		return usage_error("vms", "NAME is empty; adit vms lists them");
	if (w.powerdown && !name)
		return usage_error("vms", "--powerdown of which VM? adit vms lists them");
	list = vms_here(w.run_dir, &e);
	if (list && name) {
		one = vms_here_find(list, name, &e);
		shown = one ? json_pack("[O]", one) : NULL;
		json_decref(list);
	} else {
		shown = list;
	}
	if (!shown || (w.powerdown ? vms_here_powerdown(one, &e) : vms_here_ask(shown, &e)) < 0) {
		json_decref(shown);
		return usage_fail("vms", &e);
	}
	if (w.powerdown) {
		json_decref(shown);
		return EXIT_SUCCESS;
	}
	if (w.json)
		json_line_take(name ? json_incref(one) : json_pack("{s:O}", "vms", shown));
	else if (name)
		print_one(one);
	else
		print_list(shown);
	json_decref(shown);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
