/* Ports: see netport.h. Each program is started with a list of words, none of which is a peer's to
 * choose: bridges and scripts are of the configuration, the interface's name is made here. */
#include "control/host/netport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/command.h"
#include "control/vm.h"

#define VSCTL "ovs-vsctl"
#define VSCTL_TIMEOUT "--timeout=5"

enum { WORDS_MAX = 20 };

/* ---- Open vSwitch ---- */

static int vsctl(const char *const *words, unsigned limit_ms, struct command_said *said,
		 struct err *e)
{
	/* (its own time is up first, so that it ends its talk with the database in order) */
	return command_run((char *const *)(uintptr_t)words, NULL, limit_ms + 500, said, e);
}

/* It takes the port into its database whether or not its switch can open the interface, and says
 * so, if at all, by the way. */
static int check_opened(const char *interface, struct err *e)
{
	const char *const words[] = {VSCTL,	VSCTL_TIMEOUT, "get",	"Interface",
				     interface, "ofport",      "error", NULL};
	struct command_said said;
	char *error;

	if (vsctl(words, NETPORT_LIMIT_MS, &said, e) < 0)
		return e->code;
	error = strchr(said.out, '\n');
	if (said.out[0] >= '1' && said.out[0] <= '9')
		return 0;
	said.out[strcspn(said.out, "\n")] = 0;
	if (error)
		error[1 + strcspn(error + 1, "\n")] = 0;
	return err_set(e, ERR_SYSTEM, "the switch cannot open it: %s",
		       error && error[1] && error[1] != '[' ? err_printable(error + 1)
							    : "see the log of ovs-vswitchd");
}

static int attach_openvswitch(const struct netport *p, struct err *e)
{
	char tag[16], job[64];
	struct command_said said;
	const char *words[WORDS_MAX] = {VSCTL,	    VSCTL_TIMEOUT, "--if-exists",
					"del-port", p->interface,  "--",
					"add-port", p->bridge,	   p->interface};
	size_t n = 9;

	snprintf(tag, sizeof(tag), "tag=%u", p->vlan);
	snprintf(job, sizeof(job), "external_ids:adit-job=%s", p->job);
	if (p->vlan)
		words[n++] = tag;
	/* (what ovs-ctl takes away as the host starts) */
	words[n++] = "--";
	words[n++] = "set";
	words[n++] = "Port";
	words[n++] = p->interface;
	words[n++] = "other_config:transient=true";
	if (*p->job)
		words[n++] = job;
	if (vsctl(words, NETPORT_LIMIT_MS, &said, e) < 0)
		return e->code;
	return check_opened(p->interface, e);
}

static int detach_openvswitch(const struct netport *p, struct err *e)
{
	const char *const words[] = {VSCTL,	 VSCTL_TIMEOUT, "--no-wait", "--if-exists",
				     "del-port", p->interface,	NULL};
	struct command_said said;

	return command_run_deaf((char *const *)(uintptr_t)words, NULL, NETPORT_LIMIT_MS + 500,
				&said, e);
}

/* (its own time is up first, so that it ends its talk with the database in order) */
const char *const netport_list[] = {VSCTL, "--timeout=2", "list-br", NULL};

int netport_listed(const char *bridge, const char *list, size_t len, const struct err *why,
		   struct err *e)
{
	const char *end = list + len, *nl;

	if (err_is_set(why))
		return err_set(e, ERR_REFUSED,
			       "Open vSwitch does not answer on the destination: %s; is "
			       "openvswitch-switch installed there, and does it run?",
			       why->text);
	for (const char *line = list; line < end; line = nl + 1) {
		nl = memchr(line, '\n', (size_t)(end - line));
		if (!nl)
			nl = end;
		if (strlen(bridge) == (size_t)(nl - line) &&
		    memcmp(line, bridge, (size_t)(nl - line)) == 0)
			return 0;
	}
	return err_set(e, ERR_REFUSED,
		       "%s is no bridge of Open vSwitch on the destination (" VSCTL
		       " add-br %s makes one; openvswitch = in adit.conf may name another)",
		       bridge, bridge);
}

/* ---- a script ---- */

/* Whoever may write to it would be root. (By the rule for adit.conf: root's group may.) */
int netport_check_script(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set_sys(e, errno, "%s", path);
	if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return err_set(e, ERR_REFUSED, "%s: not a program that can be run", path);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & S_IWOTH) ||
	    ((st.st_mode & S_IWGRP) && st.st_gid != 0 && st.st_gid != getegid()))
		return err_set(e, ERR_REFUSED,
			       "%s: must belong to root or to the user who runs adit, and be "
			       "writable for its owner only (chmod go-w)",
			       path);
	return 0;
}

static int run_script(const struct netport *p, bool attach, struct command_said *said,
		      struct err *e)
{
	const char *const words[] = {p->script, attach ? "attach" : "detach", p->interface, NULL};
	char interface[sizeof(p->interface) + 20], network[sizeof(p->network) + 20];
	char mac[sizeof(p->mac) + 20], vm[sizeof(p->vm) + 20], job[sizeof(p->job) + 20];
	const char *const env[] = {"PATH=" NETPORT_PATH, interface, network, mac, vm, job, NULL};

	snprintf(interface, sizeof(interface), "ADIT_INTERFACE=%s", p->interface);
	snprintf(network, sizeof(network), "ADIT_NETWORK=%s", p->network);
	snprintf(mac, sizeof(mac), "ADIT_MAC=%s", p->mac);
	snprintf(vm, sizeof(vm), "ADIT_VM=%s", p->vm);
	snprintf(job, sizeof(job), "ADIT_JOB=%s", p->job);
	if (netport_check_script(p->script, e) < 0)
		return e->code;
	return (attach ? command_run : command_run_deaf)((char *const *)(uintptr_t)words,
							 (char *const *)(uintptr_t)env,
							 NETPORT_LIMIT_MS, said, e);
}

/* ---- any ---- */

int netport_attach(const struct netport *p, struct err *e)
{
	struct command_said said;

	return p->kind == NETPORT_SCRIPT ? run_script(p, true, &said, e) : attach_openvswitch(p, e);
}

int netport_detach(const struct netport *p, bool *again, struct err *e)
{
	struct command_said said = {0};

	if (p->kind == NETPORT_SCRIPT) {
		run_script(p, false, &said, e);
		*again = said.signal != 0;
	} else {
		detach_openvswitch(p, e);
		*again = true;
	}
	return e->code;
}

char *netport_text(const struct netport *p, char *buf, size_t size)
{
	char vlan[32] = "";

	if (p->vlan)
		snprintf(vlan, sizeof(vlan), " with VLAN %u", p->vlan);
	if (p->kind == NETPORT_SCRIPT)
		snprintf(buf, size, "the network of the script %s", p->script);
	else
		snprintf(buf, size, "%sbridge %s%s",
			 p->kind == NETPORT_OPENVSWITCH ? "Open vSwitch's " : "", p->bridge, vlan);
	return buf;
}

void netport_put(const struct netport *p, json_t *o)
{
	json_object_set_new(o, "interface", json_string(p->interface));
	json_object_set_new(o, "bridge", json_string(p->bridge));
	if (p->kind == NETPORT_BRIDGE)
		return;
	if (p->kind == NETPORT_SCRIPT)
		json_object_set_new(o, "script", json_string(p->script));
	else
		json_object_set_new(o, "openvswitch", json_true());
	if (p->vlan)
		json_object_set_new(o, "vlan", json_integer(p->vlan));
	json_object_set_new(o, "network", json_string(p->network));
	json_object_set_new(o, "mac", json_string(p->mac));
}

static int copy(char *buf, size_t size, const char *text)
{
	return (size_t)snprintf(buf, size, "%s", text) < size ? 0 : -1;
}

int netport_get(struct netport *p, const json_t *o)
{
	const char *script = json_text(o, "script");

	memset(p, 0, sizeof(*p));
	p->kind = *script					    ? NETPORT_SCRIPT
		  : json_is_true(json_object_get(o, "openvswitch")) ? NETPORT_OPENVSWITCH
								    : NETPORT_BRIDGE;
	p->vlan = (unsigned)json_number(o, "vlan");
	return copy(p->interface, sizeof(p->interface), json_text(o, "interface")) |
	       copy(p->bridge, sizeof(p->bridge), json_text(o, "bridge")) |
	       copy(p->script, sizeof(p->script), script) |
	       copy(p->network, sizeof(p->network), json_text(o, "network")) |
	       copy(p->mac, sizeof(p->mac), json_text(o, "mac"));
}
