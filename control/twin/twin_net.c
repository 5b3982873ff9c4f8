/*
 * The twin's networks. A tap of the source's becomes one of this host's, made by adit and handed to
 * QEMU by its descriptors, in the bridge that the peer's rights have for its name; what the source
 * says of interfaces, scripts and helpers is left out. A network of another kind that is of the
 * source host is refused by name.
 */
#include "control/twin/twin_i.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/netlink.h"
#include "control/host.h"

enum { QUEUES_MAX = 256 };

static int no_memory(struct twin_plan *p)
{
	return err_set(p->e, ERR_SPACE, "no memory for the command line");
}

/* ---- which network ---- */

/* Whether what it hangs in at the source has a name that it may go by: of Open vSwitch the bridge,
 * where that could be asked; "ovs-system" is all of its bridges. */
static bool is_named(const struct vmdesc_net *n)
{
	return strcmp(n->kind, "bridge") == 0 ||
	       (strcmp(n->kind, "openvswitch") == 0 && strcmp(n->bridge, "ovs-system") != 0);
}

/* Why the source's word is not enough to go by; the mend is --net. */
static int no_bridge(struct twin_plan *p, const char *option, const char *value,
		     const struct vmdesc_net *n)
{
	char why[1400];
	int len;

	if (*n->problem)
		len = snprintf(why, sizeof(why), "%.1000s", n->problem);
	else if (strcmp(n->kind, "none") == 0)
		len = snprintf(why, sizeof(why),
			       "its interface %.20s is in no bridge of the source", n->interface);
	else if (strcmp(n->kind, "macvtap") == 0)
		len = snprintf(why, sizeof(why), "it is a macvtap of the source's %.20s",
			       *n->bridge ? n->bridge : "device");
	else
		len =
		    snprintf(why, sizeof(why),
			     "its interface %.20s hangs in %.20s of the source, which is no bridge "
			     "of Linux (%.20s)",
			     n->interface, n->bridge, n->kind);
	snprintf(why + len, sizeof(why) - (size_t)len,
		 "; say which network it is to have there with --net %.80s=NAME", n->id);
	return twin_refuse(p, option, value, why);
}

static int not_allowed(struct twin_plan *p, const char *option, const char *value,
		       const struct vmdesc_net *n, const char *name)
{
	char why[900];

	snprintf(
	    why, sizeof(why),
	    "network \"%.64s\" is not allowed there: start the destination's adit serve with "
	    "--allow-networks and that name (networks = in adit.conf), or say another one with "
	    "--net %.80s=NAME",
	    name, n->id);
	return twin_refuse(p, option, value, why);
}

/* ---- the option ---- */

/* What QEMU is not told: who makes the interface, and how. */
static void strip(struct qopts *o)
{
	static const char *const keys[] = {"ifname",  "script",	  "downscript", "br",
					   "helper",  "fd",	  "fds",	"vhost",
					   "vhostfd", "vhostfds", "queues",	"vnet_hdr"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		qopts_remove(o, keys[i]);
}

/* "fd=10" or "fds=10:11" for the descriptors from first on. */
static int set_fds(struct qopts *o, const char *one, const char *many, size_t first, unsigned n)
{
	char text[QUEUES_MAX * 6 + 1];
	size_t at = 0;

	for (unsigned i = 0; i < n && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%zu", i ? ":" : "",
				       first + i);
	return qopts_set(o, n == 1 ? one : many, text);
}

/* A VM that is started again has its interface made before, by the script that --persistent keeps.
 */
static char *kept_text(const struct qopts *stripped, const struct twin_net *n)
{
	struct qopts o = {0};
	char *text = qopts_text(stripped), queues[16];
	int r = text ? qopts_parse(&o, text, "type") : -1;

	free(text);
	snprintf(queues, sizeof(queues), "%u", n->queues);
	if (r == 0)
		r = qopts_set(&o, "ifname", n->port.interface) || qopts_set(&o, "script", "no") ||
		    qopts_set(&o, "downscript", "no") ||
		    (n->queues > 1 && qopts_set(&o, "queues", queues)) ||
		    (n->vhost && qopts_set(&o, "vhost", "on")) ||
		    (n->from->no_vnet_hdr && qopts_set(&o, "vnet_hdr", "off"));
	text = r == 0 ? qopts_text(&o) : NULL;
	qopts_fini(&o);
	return text;
}

static struct twin_net *add_net(struct twin_plan *p, const struct vmdesc_net *from)
{
	struct twin *t = p->t;
	struct twin_net *grown = realloc(t->nets, (t->net_count + 1) * sizeof(*grown)), *n;

	if (!grown)
		return NULL;
	t->nets = grown;
	n = &grown[t->net_count];
	memset(n, 0, sizeof(*n));
	n->from = from;
	n->queues = (unsigned)(from->queues < 1 ? 1 : from->queues);
	n->vhost = from->vhost && tap_has_vhost();
	snprintf(n->port.interface, sizeof(n->port.interface), "adit%.7sn%zu", p->job,
		 t->net_count);
	if (from->vhost && !n->vhost)
		strvec_pushf(
		    &t->notes,
		    "network %s: there is no /dev/vhost-net there (modprobe vhost_net), so "
		    "QEMU itself carries its packets",
		    from->id);
	t->net_count++;
	return n;
}

static int write_tap(struct twin_plan *p, const char *option, struct qopts *o, struct twin_net *n)
{
	size_t first = PROC_KEEP_FIRST + p->d->secret_count + p->t->net_fds;
	int r;

	strip(o);
	if (!n->vhost)
		qopts_remove(o, "vhostforce");
	r = qopts_set(o, "type", "tap");
	if (r == 0)
		n->kept = kept_text(o, n);
	if (r == 0)
		r = set_fds(o, "fd", "fds", first, n->queues);
	if (r == 0 && n->vhost)
		r = qopts_set(o, "vhost", "on") ||
		    set_fds(o, "vhostfd", "vhostfds", first + n->queues, n->queues);
	if (r != 0 || !n->kept)
		return no_memory(p);
	p->t->net_fds += n->queues * (n->vhost ? 2 : 1);
	r = twin_add_options(p, option, o);
	n->at = p->t->argv.count - 1;
	return r;
}

static void set_mac(struct netport *port, const char *mac)
{
	if (mac && strlen(mac) == 17 && strspn(mac, "0123456789abcdefABCDEF:-") == 17)
		snprintf(port->mac, sizeof(port->mac), "%s", mac);
}

/* The MAC of the NIC at the network id, which the command line may leave to QEMU: none then. */
static void find_mac(struct netport *port, const struct vmdesc *d, const char *id)
{
	for (size_t i = 0; id && i + 1 < d->argv.count; i++) {
		const char *option = d->argv.at[i] + strspn(d->argv.at[i], "-");
		struct qopts o = {0};

		/* (a device's first word is its driver: here only what is behind it matters) */
		if ((strcmp(option, "device") == 0 || strcmp(option, "net") == 0) &&
		    vmdesc_net_options(&o, d->argv.at[i + 1]) == 0) {
			const char *at = qopts_get(&o, "netdev");
			const char *mac = qopts_get(&o, *option == 'd' ? "mac" : "macaddr");

			if (at && strcmp(at, id) == 0)
				set_mac(port, mac);
		}
		qopts_fini(&o);
	}
}

/* What the rights have for it; and what is said of it to a script, where that puts it there. */
static void set_port(const struct twin_plan *p, struct netport *port,
		     const struct rights_network *is, const char *option, const struct qopts *o)
{
	static const enum netport_kind kinds[] = {[RIGHTS_BRIDGE] = NETPORT_BRIDGE,
						  [RIGHTS_OPENVSWITCH] = NETPORT_OPENVSWITCH,
						  [RIGHTS_SCRIPT] = NETPORT_SCRIPT};

	port->kind = kinds[is->kind];
	snprintf(port->bridge, sizeof(port->bridge), "%s", rights_network_bridge(is));
	port->vlan = is->vlan;
	snprintf(port->script, sizeof(port->script), "%s", is->script);
	snprintf(port->network, sizeof(port->network), "%s", is->name);
	snprintf(port->vm, sizeof(port->vm), "%.255s", p->d->name);
	snprintf(port->job, sizeof(port->job), "%.32s", p->job);
	if (strcmp(option, "nic") == 0)
		set_mac(port, qopts_get(o, "mac"));
	else
		find_mac(port, p->d, qopts_get(o, "id"));
}

static int tap(struct twin_plan *p, const char *option, const char *value, struct qopts *o)
{
	const struct vmdesc_net *from = p->taps < p->d->net_count ? &p->d->nets[p->taps] : NULL;
	const char *id = qopts_get(o, "id"), *name;
	const struct rights_network *network;
	struct twin_net *n;

	if (!from || (id && strcmp(id, from->id) != 0))
		return twin_refuse(p, option, value,
				   "the source does not say which network that is; " TWIN_ATTACH);
	p->taps++;
	if (!*from->wanted && !is_named(from))
		return no_bridge(p, option, value, from);
	name = *from->wanted ? from->wanted : from->bridge;
	network = rights_network(p->rights, name);
	if (!network)
		return not_allowed(p, option, value, from, name);
	for (size_t i = 0; i < o->count; i++)
		if (strchr(o->at[i].value, '/') && o->at[i].key &&
		    strcmp(o->at[i].key, "script") != 0 &&
		    strcmp(o->at[i].key, "downscript") != 0 && strcmp(o->at[i].key, "helper") != 0)
			return twin_refuse(p, option, value,
					   "it names a file of the source host; " TWIN_ATTACH);
	n = add_net(p, from);
	if (!n)
		return no_memory(p);
	set_port(p, &n->port, network, option, o);
	if (p->d->secret_count + p->t->net_fds + n->queues * 2 > PROC_KEEP_MAX)
		return twin_refuse(p, option, value,
				   "the VM's networks have too many queues together; " TWIN_ATTACH);
	return write_tap(p, option, o, n);
}

/* ---- QEMU's own ---- */

static int own(struct twin_plan *p, const char *option, const char *value, struct qopts *o)
{
	static const char *const ports[] = {"hostfwd", "guestfwd"};
	static const char *const files[] = {"smb", "tftp", "bootfile"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (qopts_get(o, files[i]))
			return twin_refuse(p, option, value,
					   "it reads files of the source host; " TWIN_ATTACH);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (qopts_remove(o, ports[i]))
			strvec_pushf(&p->t->notes, "-%s: %s is left out: QEMU opens no port there",
				     option, ports[i]);
	for (size_t i = 0; i < o->count; i++)
		if (*value == '{' && strcmp(o->at[i].value, "...") == 0)
			return twin_refuse(p, option, value,
					   "adit does not read lists in it as JSON; " TWIN_ATTACH);
	return twin_add_options(p, option, o);
}

static int refuse_type(struct twin_plan *p, const char *option, const char *value, const char *type)
{
	static const char *const processes[] = {"stream", "dgram",	"passt",
						"socket", "vhost-user", "vde"};
	char why[300];

	for (size_t i = 0; i < sizeof(processes) / sizeof(processes[0]); i++)
		if (type && strcmp(type, processes[i]) == 0) {
			snprintf(
			    why, sizeof(why),
			    "a network of type %s is another process's of the source host, which "
			    "does not move; " TWIN_ATTACH,
			    type);
			return twin_refuse(p, option, value, why);
		}
	return twin_refuse(p, option, value, "this network is of the source host; " TWIN_ATTACH);
}

int twin_net(struct twin_plan *p, const char *option, const char *value)
{
	struct qopts o = {0};
	const char *type;
	int r = vmdesc_net_options(&o, value);

	if (r < 0) {
		qopts_fini(&o);
		return no_memory(p);
	}
	type = qopts_get(&o, "type");
	if (r > 0)
		r = twin_refuse(p, option, value, "adit does not read that JSON; " TWIN_ATTACH);
	else if (vmdesc_net_is_tap(&o))
		r = tap(p, option, value, &o);
	else if (!type || (strcmp(type, "user") != 0 && strcmp(type, "none") != 0 &&
			   strcmp(type, "nic") != 0 && strcmp(type, "hubport") != 0))
		r = refuse_type(p, option, value, type);
	else
		r = own(p, option, value, &o);
	qopts_fini(&o);
	return r;
}
