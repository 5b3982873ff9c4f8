/* Taps: see tap.h. */
#include "control/host/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/netlink.h"

#define TUN "/dev/net/tun"
#define VHOST "/dev/vhost-net"

static int not_a_bridge(const char *bridge, struct err *e)
{
	return err_set(e, ERR_REFUSED,
		       "%s is no bridge of the destination (ip link add %s type bridge makes one; "
		       "networks = in adit.conf, or --allow-networks, may name another)",
		       bridge, bridge);
}

static int find_bridge(int fd, const char *bridge, struct netlink_link *link, struct err *e)
{
	int r = netlink_find(fd, bridge, 0, link, e);

	if (r == ERR_ADDRESS || (r == 0 && strcmp(link->kind, "bridge") != 0))
		return not_a_bridge(bridge, e);
	return r;
}

int tap_look(const char *bridge, struct tap_bridge *out, struct err *e)
{
	struct netlink_link link;
	int fd = netlink_open(0, e), r;

	if (fd < 0)
		return e->code;
	r = find_bridge(fd, bridge, &link, e);
	fd_close(&fd);
	if (r == 0)
		*out = (struct tap_bridge){link.mtu, link.up, link.listen_ms};
	return r;
}

unsigned tap_mtu(unsigned wanted, const char *bridge)
{
	struct netlink_link link;
	struct err e = ERR_INIT;
	int fd = wanted && *bridge ? netlink_open(0, &e) : -1;

	if (fd >= 0 && netlink_find(fd, bridge, 0, &link, &e) == 0 && link.mtu > wanted)
		wanted = link.mtu;
	fd_close(&fd);
	return wanted;
}

int tap_may(struct err *e)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(SYS_capget, &head, data) < 0 ||
	    !(data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN)))
		return err_set(
		    e, ERR_REFUSED,
		    "adit serve on the destination may not make network interfaces: run it "
		    "as root, or with CAP_NET_ADMIN");
	if (access(TUN, R_OK | W_OK) < 0)
		return err_set(e, ERR_REFUSED,
			       "adit serve on the destination cannot use " TUN
			       " (%s): modprobe tun, "
			       "or give it that device",
			       strerror(errno));
	return 0;
}

static void close_all(int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		fd_close(&fds[i]);
}

static int open_queue(const char *name, short flags, struct err *e)
{
	struct ifreq r = {.ifr_flags = flags};
	int fd = open(TUN, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		err_set_sys(e, errno, TUN " on the destination");
		return -1;
	}
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &r) == 0)
		return fd;
	if (errno == EPERM)
		tap_may(e);
	if (!err_is_set(e))
		err_set_sys(e, errno, "the interface %s cannot be made on the destination", name);
	fd_close(&fd);
	return -1;
}

/* A bridge has the least of its ports' addresses, where nobody gave it one: it is not to become the
 * VM's port's. */
static int set_up(const char *name, unsigned mtu, struct err *e)
{
	unsigned char address[6] = {0xfe};
	struct netlink_change c = {.mtu = mtu, .address = address};
	struct netlink_link link;
	int fd = netlink_open(0, e), r;

	if (fd < 0)
		return e->code;
	if (getrandom(address + 1, 5, 0) != 5)
		memcpy(address + 1, &fd, 4);
	r = netlink_find(fd, name, 0, &link, e);
	c.index = link.index;
	if (r == 0)
		r = netlink_change(fd, &c, e);
	fd_close(&fd);
	return r < 0 ? err_prefix(e, "the interface %s on the destination", name) : 0;
}

int tap_open(const char *name, unsigned queues, bool vnet_hdr, unsigned mtu, int *fds,
	     struct err *e)
{
	unsigned flags = IFF_TAP | IFF_NO_PI | (vnet_hdr ? IFF_VNET_HDR : 0) |
			 (queues > 1 ? IFF_MULTI_QUEUE : 0);

	for (unsigned i = 0; i < queues; i++) {
		/* somebody else's of that name is not to be taken for it */
		fds[i] = open_queue(name, (short)(i == 0 ? flags | IFF_TUN_EXCL : flags), e);
		if (fds[i] < 0) {
			close_all(fds, i);
			return e->code;
		}
	}
	if (set_up(name, mtu, e) < 0)
		close_all(fds, queues);
	return e->code;
}

bool tap_has_vhost(void)
{
	return access(VHOST, R_OK | W_OK) == 0;
}

int tap_open_vhost(unsigned queues, int *fds, struct err *e)
{
	for (unsigned i = 0; i < queues; i++) {
		fds[i] = open(VHOST, O_RDWR | O_CLOEXEC);
		if (fds[i] < 0) {
			err_set_sys(e, errno, VHOST " on the destination");
			close_all(fds, i);
			return e->code;
		}
	}
	return 0;
}

int tap_raise(const char *name, struct err *e)
{
	struct netlink_link port;
	int fd = netlink_open(0, e), r;

	if (fd < 0)
		return e->code;
	r = netlink_find(fd, name, 0, &port, e);
	if (r == 0)
		r = netlink_change(fd, &(struct netlink_change){.index = port.index, .up = true},
				   e);
	fd_close(&fd);
	return r < 0 ? err_prefix(e, "%s cannot be set up on the destination", name) : 0;
}

int tap_attach(const char *name, const char *bridge, struct err *e)
{
	struct netlink_link port, master;
	int fd = netlink_open(0, e), r;

	if (fd < 0)
		return e->code;
	r = netlink_find(fd, name, 0, &port, e);
	if (r == 0)
		r = find_bridge(fd, bridge, &master, e);
	/* two steps: not every kernel puts it there before it is up, in one */
	if (r == 0 && port.master != master.index)
		r = netlink_change(
		    fd, &(struct netlink_change){.index = port.index, .master = master.index}, e);
	if (r == 0)
		r = netlink_change(fd, &(struct netlink_change){.index = port.index, .up = true},
				   e);
	fd_close(&fd);
	return r < 0
		   ? err_prefix(e, "%s cannot be put in bridge %s on the destination", name, bridge)
		   : 0;
}
