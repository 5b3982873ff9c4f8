/*
 * The twin's networks that it takes a program to put a tap into: each has a keeper
 * (host/netkeeper.h), whose answer is waited for here.
 *
 * A bridge of Open vSwitch has the port from Prepare on, down, so that what is wrong with it is
 * known before anything has moved, and the pause does not wait for its database. A script is called
 * where a bridge of Linux gets its port, right before the decision: what it does may well tell the
 * network that the VM is here. Until it has ended the guest stands still; but for postcopy, where
 * nobody waits for it, and the VM is announced once more behind it.
 *
 * Nothing here undoes: the keeper does, once the interface has gone with its QEMU.
 */
#include "control/destination/arrival_i.h"

#include <stdlib.h>

#include "base/fd.h"

struct arrival_port {
	struct arrival *a;
	const struct twin_net *net;
	struct event *ev;
	int fd;
	bool begun;
};

static void put_away(struct arrival_port *p)
{
	if (p->ev)
		event_free(p->ev);
	p->ev = NULL;
	fd_close(&p->fd);
}

static void go_on(struct arrival *a)
{
	void (*then)(struct arrival *) = a->ports.then;

	if (a->ports.waits > 0)
		return;
	a->ports.then = NULL;
	if (then && a->state == a->ports.state)
		then(a);
}

/* What it has said behind `cont` nobody has heard. */
static void announce_late(struct arrival *a)
{
	struct qmp_batch *b;

	if (a->postcopy != ARRIVAL_POSTCOPY_BEGUN || arrival_is(a, ARRIVAL_OPEN) || !a->qemu.qmp)
		return;
	b = qmp_batch_new();
	arrival_net_announce(a, b);
	qmp_batch_run(b, a->qemu.qmp, NULL, NULL);
}

static void on_answer(evutil_socket_t fd, short what, void *ctx)
{
	struct arrival_port *p = ctx;
	struct arrival *a = p->a;
	const struct twin_net *n = p->net;
	struct err e = ERR_INIT;
	char where[400];

	if (what & EV_TIMEOUT)
		err_set(&e, ERR_SYSTEM, "the keeper of the interface %s does not answer",
			n->port.interface);
	else
		netkeeper_answer((int)fd, &n->port, &e);
	put_away(p);
	a->ports.waits--;
	if (a->state == ARRIVAL_OVER && a->postcopy != ARRIVAL_POSTCOPY_BEGUN)
		return;
	if (!err_is_set(&e)) {
		if (n->port.kind == NETPORT_SCRIPT)
			log_info(&a->about, "network %s is %s in %s", n->from->id,
				 n->port.interface, netport_text(&n->port, where, sizeof(where)));
		announce_late(a);
		go_on(a);
		return;
	}
	err_prefix(&e, "network %s", n->from->id);
	if (arrival_is(a, ARRIVAL_OPEN) && a->postcopy != ARRIVAL_POSTCOPY_BEGUN)
		arrival_fail(a, &e);
	else
		log_error(&a->about, "%s: the VM goes on without it; put it there yourself",
			  e.text);
}

static int begin(struct arrival *a, struct arrival_port *p, const struct twin_net *n, struct err *e)
{
	static const struct timeval limit = {.tv_sec = NETKEEPER_ANSWER_MS / 1000};

	*p = (struct arrival_port){.a = a, .net = n, .begun = true};
	p->fd = netkeeper_start(&n->port, e);
	if (p->fd < 0)
		return err_prefix(e, "network %s", n->from->id);
	p->ev = event_new(a->service->base, p->fd, EV_READ, on_answer, p);
	if (!p->ev || event_add(p->ev, &limit) < 0) {
		put_away(p);
		return err_set(e, ERR_SPACE, "no memory for the VM's networks");
	}
	a->ports.waits++;
	return 0;
}

int arrival_ports_start(struct arrival *a, enum netport_kind kind, struct err *e)
{
	if (!a->ports.at)
		a->ports.at = calloc(a->twin.net_count + 1, sizeof(*a->ports.at));
	if (!a->ports.at)
		return err_set(e, ERR_SPACE, "no memory for the VM's networks");
	/* (each, as a VM in postcopy goes on with the others) */
	for (size_t i = 0; i < a->twin.net_count; i++) {
		struct err why = ERR_INIT;

		if (a->twin.nets[i].port.kind != kind || a->ports.at[i].begun ||
		    begin(a, &a->ports.at[i], &a->twin.nets[i], &why) == 0)
			continue;
		log_error(&a->about, "%s", why.text);
		if (!err_is_set(e))
			*e = why;
	}
	return err_is_set(e) ? e->code : 0;
}

bool arrival_ports_wait(struct arrival *a, void (*then)(struct arrival *))
{
	if (a->ports.waits == 0)
		return false;
	a->ports.then = then;
	a->ports.state = a->state;
	return true;
}

void arrival_ports_drop(struct arrival *a)
{
	for (size_t i = 0; a->ports.at && i < a->twin.net_count; i++)
		if (a->ports.at[i].begun)
			put_away(&a->ports.at[i]);
	free(a->ports.at);
	a->ports.at = NULL;
}
