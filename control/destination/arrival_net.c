/*
 * The twin's networks: taps of this host, which are made in Prepare, down and in no bridge, and
 * handed to QEMU as descriptors; so they go with it, whoever ends it. They are put in their bridges
 * right before the decision, so that what fails there still returns to the source; where that takes
 * a program, see arrival_port.c. The twin says
 * nothing in them until it runs: QEMU's own announcement, which would come as soon as all has
 * arrived, is switched off, and made up for behind `cont`.
 */
#include "control/destination/arrival_i.h"

#include <stdlib.h>

#include "base/fd.h"

/* ---- what can be said beforehand ---- */

static void check_bridge(const struct twin_net *n, const struct tap_bridge *bridge, struct check *c)
{
	const char *id = n->from->id;

	if (!bridge->up)
		check_add(c, CHECK_WARNING, "networks", "ip link set it up",
			  "network %s: bridge %s is down there", id, n->port.bridge);
	if (n->from->mtu > bridge->mtu)
		check_add(
		    c, CHECK_WARNING, "networks",
		    "give the bridge's other ports that MTU, or the VM's a smaller one",
		    "network %s has an MTU of %u, and bridge %s there of %u: what is larger is "
		    "lost",
		    id, (unsigned)n->from->mtu, n->port.bridge, bridge->mtu);
	if (bridge->listen_ms)
		check_add(
		    c, CHECK_WARNING, "networks",
		    "switch it off there, or set the bridge's forward delay to 0",
		    "network %s: bridge %s there has a spanning tree, in which a new port is not "
		    "heard for %u s: so long the VM does not answer",
		    id, n->port.bridge, bridge->listen_ms / 1000);
}

static void check_one(const struct twin_net *n, const struct arrival_switch *there, struct check *c)
{
	const char *id = n->from->id;
	struct tap_bridge bridge;
	struct err e = ERR_INIT;
	char where[400];

	if (n->port.kind == NETPORT_BRIDGE)
		tap_look(n->port.bridge, &bridge, &e);
	else if (n->port.kind == NETPORT_OPENVSWITCH)
		netport_listed(n->port.bridge, there->list, there->len, &there->why, &e);
	else
		netport_check_script(n->port.script, &e);
	if (err_is_set(&e)) {
		err_prefix(&e, "network %s", id);
		check_add_err(c, CHECK_ERROR, "networks", &e);
		return;
	}
	check_add(c, CHECK_OK, "networks", NULL,
		  "network %s (%s at the source) will be in %s there", id,
		  *n->from->bridge ? n->from->bridge : n->from->kind,
		  netport_text(&n->port, where, sizeof(where)));
	if (n->port.kind == NETPORT_BRIDGE)
		check_bridge(n, &bridge, c);
}

bool arrival_net_asks(const struct twin *plan)
{
	for (size_t i = 0; i < plan->net_count; i++)
		if (plan->nets[i].port.kind == NETPORT_OPENVSWITCH)
			return true;
	return false;
}

void arrival_net_check(const struct twin *plan, const struct arrival_switch *there, struct check *c)
{
	struct err e = ERR_INIT;

	if (plan->net_count && tap_may(&e) < 0)
		check_add_err(c, CHECK_ERROR, "networks", &e);
	for (size_t i = 0; i < plan->net_count; i++)
		check_one(&plan->nets[i], there, c);
}

/* ---- Prepare ---- */

/* All that the twin inherits: its secrets, then these. */
static int make_room(struct arrival *a, struct err *e)
{
	size_t count = a->prepare.secret_count + a->twin.net_fds;

	a->prepare.inherited = calloc(count + 1, sizeof(*a->prepare.inherited));
	if (!a->prepare.inherited)
		return err_set(e, ERR_SPACE, "no memory for the VM's networks");
	for (size_t i = 0; i < count; i++)
		a->prepare.inherited[i] = i < a->prepare.secret_count ? a->prepare.secrets[i] : -1;
	a->prepare.inherited_count = count;
	return 0;
}

int arrival_net_open(struct arrival *a, struct err *e)
{
	int *fds;

	if (make_room(a, e) < 0)
		return e->code;
	fds = a->prepare.inherited + a->prepare.secret_count;
	for (size_t i = 0; i < a->twin.net_count; i++) {
		const struct twin_net *n = &a->twin.nets[i];

		if (tap_open(n->port.interface, n->queues, !n->from->no_vnet_hdr,
			     tap_mtu((unsigned)n->from->mtu, n->port.bridge), fds, e) < 0)
			return err_prefix(e, "network %s", n->from->id);
		fds += n->queues;
		if (n->vhost && tap_open_vhost(n->queues, fds, e) < 0)
			return err_prefix(e, "network %s", n->from->id);
		fds += n->vhost ? n->queues : 0;
	}
	return 0;
}

void arrival_net_drop(struct arrival *a)
{
	for (size_t i = a->prepare.secret_count; i < a->prepare.inherited_count; i++)
		fd_close(&a->prepare.inherited[i]);
	free(a->prepare.inherited);
	a->prepare.inherited = NULL;
	a->prepare.inherited_count = 0;
}

/* ---- the move ---- */

/* What a script puts there is arrival_port.c's. */
static int attach_one(const struct arrival *a, const struct twin_net *n, struct err *e)
{
	char where[400];

	if (n->port.kind == NETPORT_SCRIPT)
		return 0;
	if (n->port.kind == NETPORT_BRIDGE)
		tap_attach(n->port.interface, n->port.bridge, e);
	else
		tap_raise(n->port.interface, e);
	if (err_is_set(e))
		return err_prefix(e, "network %s", n->from->id);
	log_info(&a->about, "network %s is %s in %s", n->from->id, n->port.interface,
		 netport_text(&n->port, where, sizeof(where)));
	return 0;
}

int arrival_net_attach(const struct arrival *a, struct err *e)
{
	for (size_t i = 0; i < a->twin.net_count; i++)
		if (attach_one(a, &a->twin.nets[i], e) < 0)
			return e->code;
	return 0;
}

void arrival_net_attach_all(const struct arrival *a)
{
	for (size_t i = 0; i < a->twin.net_count; i++) {
		struct err e = ERR_INIT;

		if (attach_one(a, &a->twin.nets[i], &e) < 0)
			log_error(&a->about, "%s: the VM goes on without it; put it there yourself",
				  e.text);
	}
}

void arrival_net_quiet(const struct arrival *a, struct qmp_batch *b)
{
	if (a->twin.net_count)
		qmp_batch_add(b, QMP_MUST, "migrate-set-parameters",
			      json_pack("{s:i}", "announce-rounds", 0));
}

json_t *arrival_net_list(const struct arrival *a)
{
	json_t *list = json_array();

	for (size_t i = 0; i < a->twin.net_count; i++) {
		const struct twin_net *n = &a->twin.nets[i];

		json_t *o = json_pack("{s:s,s:I,s:I,s:b,s:I}", "id", n->from->id, "queues",
				      (json_int_t)n->queues, "mtu", (json_int_t)n->from->mtu,
				      "vnet_hdr", !n->from->no_vnet_hdr, "at", (json_int_t)n->at);

		if (o)
			netport_put(&n->port, o);
		json_array_append_new(list, o);
	}
	return list;
}

/* At once, and then for a second, as QEMU does it by itself. */
void arrival_net_announce(const struct arrival *a, struct qmp_batch *b)
{
	if (!json_array_size(json_object_get(a->record, "networks")))
		return;
	qmp_batch_add(
	    b, QMP_MAY, "announce-self",
	    json_pack("{s:i,s:i,s:i,s:i}", "initial", 50, "max", 550, "rounds", 5, "step", 100));
	qmp_batch_add(b, QMP_MAY, "migrate-set-parameters",
		      json_pack("{s:i}", "announce-rounds", 5));
}
