/*
 * Network interfaces, as the kernel tells of them and is told (rtnetlink). Of one network
 * namespace: this process's, or another process's. Answers come at once; nothing here waits.
 */
#ifndef ADIT_BASE_NETLINK_H
#define ADIT_BASE_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct netlink_link {
	int index;
	char name[IFNAMSIZ];
	char kind[16]; /* "bridge", "tun", "openvswitch", ...; "" of a plain device */
	int master;    /* the index of what it is a port of; 0: of nothing */
	int lower;     /* of what it stands on (a macvtap's device); 0: of nothing */
	unsigned mtu;
	bool up;
	bool no_vnet_hdr;   /* of a tun */
	bool isolated;	    /* a bridge's port that is kept from the other ones like it */
	bool vlans;	    /* a bridge that filters by VLAN */
	unsigned listen_ms; /* a bridge with spanning tree: for so long a new port is not heard */
};

/* What is to become of an interface; zeroed members stay as they are. */
struct netlink_change {
	int index;
	int master;
	unsigned mtu;
	const unsigned char *address; /* 6 bytes */
	bool up;
};

/* A socket into the namespace of process pid, 0 for our own; the caller's. -1: ERR_REFUSED when it
 * is another namespace than ours that may not be entered (that takes root). */
int netlink_open(pid_t pid, struct err *e);

/* Whether process pid is in our network namespace; false where that may not be seen. */
bool netlink_is_ours(pid_t pid);

/* The interface of that name, or of that index where name is NULL. ERR_ADDRESS: there is none. */
int netlink_find(int fd, const char *name, int index, struct netlink_link *out, struct err *e);

/* One request; what it refuses leaves nothing half done. ERR_REFUSED: for want of CAP_NET_ADMIN. */
int netlink_change(int fd, const struct netlink_change *c, struct err *e);

/* Whether text can be an interface's name. */
bool netlink_is_name(const char *text);

#endif
