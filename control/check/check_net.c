/* The VM's networks on the source: see check_net.h. The destination makes a port of its own in a
 * bridge of its own: what was set for the one here is named, so that no filter vanishes without a
 * word. */
#include "control/check/check_net.h"

#include <string.h>

#include "control/vm.h"

static void check_port(struct check *c, const json_t *o)
{
	const char *id = json_text(o, "id"), *bridge = json_text(o, "bridge");

	if (json_is_true(json_object_get(o, "vlans")) &&
	    strcmp(json_text(o, "kind"), "openvswitch") == 0)
		check_add(
		    c, CHECK_WARNING, "networks",
		    "say them there (vlan = in [network NAME] of adit.conf)",
		    "network %s: its port in Open vSwitch's bridge %s has VLANs, which do not "
		    "go over",
		    id, bridge);
	else if (json_is_true(json_object_get(o, "vlans")))
		check_add(
		    c, CHECK_WARNING, "networks",
		    "set the VLANs of its port there, or give the peer a network whose bridge is "
		    "of the right one",
		    "network %s: bridge %s filters by VLAN, and the VLANs of the VM's port do "
		    "not go over",
		    id, bridge);
	if (json_is_true(json_object_get(o, "isolated")))
		check_add(
		    c, CHECK_WARNING, "networks",
		    "set it there (bridge link set dev ... isolated on)",
		    "network %s: its port is isolated from others of bridge %s, and will not be "
		    "there",
		    id, bridge);
}

void check_net(struct check *c, const struct vmdesc_report *r, const struct migrate_config *config)
{
	const json_t *o;
	size_t i;

	if (config->dest_qmp)
		return;
	json_array_foreach(json_object_get(r->vm, "networks"), i, o)
	{
		const char *interface = json_text(o, "interface"), *bridge = json_text(o, "bridge");

		bool ovs = strcmp(json_text(o, "kind"), "openvswitch") == 0;

		if (strcmp(json_text(o, "kind"), "bridge") != 0 &&
		    (!ovs || strcmp(bridge, "ovs-system") == 0))
			continue; /* the destination says what to do about it */
		check_add(c, CHECK_OK, "networks", NULL, "network %s%s%s is in %sbridge %s",
			  json_text(o, "id"), *interface ? ": " : "", interface,
			  ovs ? "Open vSwitch's " : "", bridge);
		check_port(c, o);
	}
}
