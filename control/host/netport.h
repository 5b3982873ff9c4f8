/*
 * Ports of VMs: what a tap of this host (tap.h) is to hang in, and what puts it there and takes it
 * away again. The kernel does that for a bridge of its own; the port of an Open vSwitch is a line
 * of a database that outlives its interface, and what a script of the operator's has done is nobody
 * else's to know: for those netkeeper.h waits for the end.
 */
#ifndef ADIT_CONTROL_HOST_NETPORT_H
#define ADIT_CONTROL_HOST_NETPORT_H

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>

#include "base/err.h"

enum netport_kind { NETPORT_BRIDGE, NETPORT_OPENVSWITCH, NETPORT_SCRIPT };

/* Embedded; whole strings, so that it may be copied. */
struct netport {
	enum netport_kind kind;
	char interface[IFNAMSIZ];
	char bridge[IFNAMSIZ]; /* "" of a script */
	unsigned vlan;	       /* of Open vSwitch; 0: none */
	char script[256];
	/* what a script is told */
	char network[65], mac[18], vm[256], job[33];
};

/* A script's. */
#define NETPORT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { NETPORT_LIMIT_MS = 5000 }; /* that a program has to put it there, or to take it away */

/* Puts the interface there, which is down and stays so but for what a script does. Waits for a
 * program; not for a bridge of Linux, which is tap.h's. Safe after fork. ERR_REFUSED, ERR_SYSTEM,
 * ERR_CLOSED with what it said first. */
int netport_attach(const struct netport *p, struct err *e);

/* Takes it away again; it may be half there, or not at all. Likewise; what does so minds no
 * SIGTERM. *again: another try may do better (a script that has ended by itself has done what it
 * does, whatever it says). */
int netport_detach(const struct netport *p, bool *again, struct err *e);

/* Whether a script may be run: it is a program, and nobody writes to it but who could do all that
 * it does anyway. ERR_SYSTEM, ERR_REFUSED with the mend. */
int netport_check_script(const char *path, struct err *e);

/* What lists the bridges of Open vSwitch here, a line each, and the time that it may take
 * (proc_text.h). */
extern const char *const netport_list[];
enum { NETPORT_LIST_MS = 2500 };

/* Whether the bridge is among that, len bytes, or *why there is no list. ERR_REFUSED with the
 * mend. */
int netport_listed(const char *bridge, const char *list, size_t len, const struct err *why,
		   struct err *e);

/* "bridge br0", "Open vSwitch's bridge br0 with VLAN 7", "the script /x": for a message. Returns
 * buf. */
char *netport_text(const struct netport *p, char *buf, size_t size);

/* Sets the members of o that say it; and reads them, of what adit wrote: -1 where it did not. */
void netport_put(const struct netport *p, json_t *o);
int netport_get(struct netport *p, const json_t *o);

#endif
