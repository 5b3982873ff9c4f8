/* See vm_kept_net.h. */
#include "control/host/vm_kept_net.h"

#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/host/netkeeper.h"
#include "control/host/tap.h"
#include "control/host/vm_kept.h"
#include "control/vm.h"

enum { QUEUES_MAX = 256 };

static int no_memory(struct err *e)
{
	return err_set(e, ERR_SPACE, "no memory for the VM's networks");
}

/* They are to be there after exec. */
static int set_fds(struct qopts *o, const char *one, const char *many, const int *fds, unsigned n)
{
	char text[QUEUES_MAX * 12];
	size_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		fcntl(fds[i], F_SETFD, 0);
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d", i ? ":" : "", fds[i]);
	}
	return qopts_set(o, n == 1 ? one : many, text);
}

static int rewrite(struct qopts *o, const int *fds, const int *vhost, unsigned n)
{
	static const char *const keys[] = {"ifname", "script", "downscript", "queues", "vnet_hdr"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		qopts_remove(o, keys[i]);
	if (!vhost) {
		qopts_remove(o, "vhost");
		qopts_remove(o, "vhostforce");
	}
	return set_fds(o, "fd", "fds", fds, n) ||
	       (vhost && set_fds(o, "vhostfd", "vhostfds", vhost, n));
}

/* Where it hangs; a keeper takes it away again, once QEMU has ended. */
static int attach(const struct netport *port, struct err *e)
{
	int fd;

	if (port->kind == NETPORT_BRIDGE)
		return tap_attach(port->interface, port->bridge, e);
	fd = netkeeper_start(port, e);
	if (fd < 0 || netkeeper_await(fd, port, e) < 0)
		return e->code;
	return tap_raise(port->interface, e);
}

static int open_one(const struct vm_kept *k, const json_t *network, char **word, struct err *e)
{
	const char *interface;
	struct netport port;
	unsigned queues = (unsigned)json_number(network, "queues");
	int fds[QUEUES_MAX], vhost_fds[QUEUES_MAX];
	struct qopts o = {0};
	bool vhost, is_left;
	char *text = NULL;

	if (queues < 1 || queues > QUEUES_MAX || netport_get(&port, network) < 0 ||
	    qopts_parse(&o, *word, "type") < 0)
		return no_memory(e);
	interface = port.interface;
	snprintf(port.vm, sizeof(port.vm), "%.255s", k->name);
	snprintf(port.job, sizeof(port.job), "%.32s", json_text(k->file, "job"));
	if (!qopts_get(&o, "ifname") || strcmp(qopts_get(&o, "ifname"), interface) != 0) {
		qopts_fini(&o);
		return err_set(e, ERR_CONFIG, "network %s of the VM is not as adit wrote it",
			       json_text(network, "id"));
	}
	is_left = if_nametoindex(interface) != 0;
	vhost = qopts_is_on(&o, "vhost") && tap_has_vhost();
	if (tap_open(interface, queues, !json_is_false(json_object_get(network, "vnet_hdr")),
		     tap_mtu((unsigned)json_number(network, "mtu"), port.bridge), fds, e) == 0 &&
	    attach(&port, e) == 0 && (!vhost || tap_open_vhost(queues, vhost_fds, e) == 0)) {
		text =
		    rewrite(&o, fds, vhost ? vhost_fds : NULL, queues) == 0 ? qopts_text(&o) : NULL;
		if (!text)
			no_memory(e);
	} else if (is_left) {
		err_prefix(e,
			   "the interface %s is here already, as the VM's script leaves it; where "
			   "nobody uses it, delete it (ip link del %s)",
			   interface, interface);
	}
	qopts_fini(&o);
	if (!text)
		return e->code;
	free(*word);
	*word = text;
	return 0;
}

int vm_kept_open_networks(struct vm_kept *k, struct err *e)
{
	const json_t *networks = json_object_get(k->file, "networks");
	struct strvec *argv = &k->argv;
	const json_t *o;
	size_t i;

	json_array_foreach(networks, i, o)
	{
		size_t at = (size_t)json_number(o, "at");

		if (at == 0 || at >= argv->count)
			return err_set(e, ERR_CONFIG,
				       "network %s of the VM is not as adit wrote it",
				       json_text(o, "id"));
		if (open_one(k, o, &argv->at[at], e) < 0)
			return e->code;
	}
	return 0;
}
