/* Network interfaces: see netlink.h. A question is one datagram, and so is its answer. */
#include "base/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

enum { ANSWER_MAX = 32768 };

/* ---- the socket ---- */

static int open_here(void)
{
	struct timeval soon = {.tv_sec = 2};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd >= 0) /* the kernel answers within sendto(2); nobody is to hang, should it not */
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
	return fd;
}

struct visit {
	int netns, fd, error;
};

/* A namespace is a thread's: this one ends there, and a socket keeps that which it was made in. */
static void *visit(void *arg)
{
	struct visit *v = arg;

	v->fd = setns(v->netns, CLONE_NEWNET) == 0 ? open_here() : -1;
	v->error = errno;
	return NULL;
}

static int open_in(int netns)
{
	struct visit v = {.netns = netns, .fd = -1};
	pthread_t thread;

	v.error = pthread_create(&thread, NULL, visit, &v);
	if (v.error == 0)
		pthread_join(thread, NULL);
	errno = v.error;
	return v.fd;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool netlink_is_ours(pid_t pid)
{
	struct stat here, there;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/ns/net", (long)pid);
	return stat("/proc/self/ns/net", &here) == 0 && stat(path, &there) == 0 &&
	       is_same(&here, &there);
}

int netlink_open(pid_t pid, struct err *e)
{
	struct stat here, there;
	char path[64];
	int netns = -1, fd;

	snprintf(path, sizeof(path), "/proc/%ld/ns/net", (long)pid);
	if (pid && stat("/proc/self/ns/net", &here) == 0) {
		netns = open(path, O_RDONLY | O_CLOEXEC);
		if (netns < 0 || fstat(netns, &there) < 0) {
			err_set(e, ERR_REFUSED,
				"which network namespace process %ld is in may not be seen (%s): "
				"run adit as root",
				(long)pid, strerror(errno));
			fd_close(&netns);
			return -1;
		}
		if (is_same(&here, &there))
			fd_close(&netns);
	}
	fd = netns >= 0 ? open_in(netns) : open_here();
	if (fd < 0 && netns >= 0)
		err_set(e, ERR_REFUSED,
			"process %ld is in another network namespace, which may not be entered "
			"(%s): run adit as root, or in that namespace (ip netns exec)",
			(long)pid, strerror(errno));
	else if (fd < 0)
		err_set_sys(e, errno, "the network interfaces");
	fd_close(&netns);
	return fd;
}

/* ---- requests ---- */

struct request {
	struct nlmsghdr head;
	struct ifinfomsg link;
	char attributes[512];
};

static void put(struct request *r, unsigned short type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	r->head.nlmsg_len = (unsigned)(NLMSG_ALIGN(r->head.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static void begin(struct request *r, unsigned short type, unsigned short flags, int index)
{
	memset(r, 0, sizeof(*r));
	r->head.nlmsg_len = NLMSG_LENGTH(sizeof(r->link));
	r->head.nlmsg_type = type;
	r->head.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
	r->head.nlmsg_seq = 1;
	r->link.ifi_family = AF_UNSPEC;
	r->link.ifi_index = index;
}

/* The answer, in buf; its length, or -1 with errno. */
static ssize_t ask(int fd, struct request *r, char *buf, size_t size)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	const struct nlmsghdr *h = (const void *)buf;
	ssize_t n;

	if (sendto(fd, r, r->head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -1;
	n = recv(fd, buf, size, 0);
	if (n < 0)
		return -1;
	if (!NLMSG_OK(h, (unsigned)n)) {
		errno = EBADMSG;
		return -1;
	}
	if (h->nlmsg_type == NLMSG_ERROR) {
		errno = -((const struct nlmsgerr *)NLMSG_DATA(h))->error;
		return errno ? -1 : n;
	}
	return n;
}

/* ---- what there is ---- */

static void index_attributes(const struct rtattr **at, unsigned max, const void *first, size_t len)
{
	const struct rtattr *a = first;

	memset(at, 0, (max + 1) * sizeof(*at));
	for (; RTA_OK(a, len); a = RTA_NEXT(a, len))
		if ((a->rta_type & NLA_TYPE_MASK) <= max)
			at[a->rta_type & NLA_TYPE_MASK] = a;
}

static void index_nested(const struct rtattr **at, unsigned max, const struct rtattr *in)
{
	index_attributes(at, max, in ? RTA_DATA(in) : NULL, in ? RTA_PAYLOAD(in) : 0);
}

static uint64_t number(const struct rtattr *a)
{
	uint32_t four;

	if (!a || RTA_PAYLOAD(a) < 1)
		return 0;
	if (RTA_PAYLOAD(a) < 4)
		return *(const uint8_t *)RTA_DATA(a);
	memcpy(&four, RTA_DATA(a), sizeof(four));
	return four;
}

static void text(const struct rtattr *a, char *buf, size_t size)
{
	snprintf(buf, size, "%.*s", a ? (int)RTA_PAYLOAD(a) : 0,
		 a ? (const char *)RTA_DATA(a) : "");
}

static void read_bridge(struct netlink_link *out, const struct rtattr *data)
{
	const struct rtattr *b[IFLA_BR_VLAN_FILTERING + 1];

	index_nested(b, IFLA_BR_VLAN_FILTERING, data);
	out->vlans = number(b[IFLA_BR_VLAN_FILTERING]);
	/* hundredths of a second, once for listening and once for learning */
	if (number(b[IFLA_BR_STP_STATE]))
		out->listen_ms = (unsigned)number(b[IFLA_BR_FORWARD_DELAY]) * 10 * 2;
}

static void read_link(struct netlink_link *out, const struct ifinfomsg *link,
		      const struct rtattr *const *at)
{
	const struct rtattr *info[IFLA_INFO_SLAVE_DATA + 1];
	const struct rtattr *port[IFLA_BRPORT_ISOLATED + 1], *tun[IFLA_TUN_VNET_HDR + 1];
	char kind[sizeof(out->kind)];

	memset(out, 0, sizeof(*out));
	out->index = link->ifi_index;
	out->up = link->ifi_flags & IFF_UP;
	text(at[IFLA_IFNAME], out->name, sizeof(out->name));
	out->master = (int)number(at[IFLA_MASTER]);
	out->lower = (int)number(at[IFLA_LINK]);
	out->mtu = (unsigned)number(at[IFLA_MTU]);
	index_nested(info, IFLA_INFO_SLAVE_DATA, at[IFLA_LINKINFO]);
	text(info[IFLA_INFO_KIND], out->kind, sizeof(out->kind));
	if (strcmp(out->kind, "bridge") == 0)
		read_bridge(out, info[IFLA_INFO_DATA]);
	if (strcmp(out->kind, "tun") == 0) {
		index_nested(tun, IFLA_TUN_VNET_HDR, info[IFLA_INFO_DATA]);
		out->no_vnet_hdr = tun[IFLA_TUN_VNET_HDR] && !number(tun[IFLA_TUN_VNET_HDR]);
	}
	text(info[IFLA_INFO_SLAVE_KIND], kind, sizeof(kind));
	if (strcmp(kind, "bridge") == 0) {
		index_nested(port, IFLA_BRPORT_ISOLATED, info[IFLA_INFO_SLAVE_DATA]);
		out->isolated = number(port[IFLA_BRPORT_ISOLATED]);
	}
}

int netlink_find(int fd, const char *name, int index, struct netlink_link *out, struct err *e)
{
	_Alignas(struct nlmsghdr) char buf[ANSWER_MAX];
	const struct rtattr *at[IFLA_LINKINFO + 1];
	const struct nlmsghdr *h = (const void *)buf;
	const struct ifinfomsg *link = NLMSG_DATA(h);
	struct request r;

	begin(&r, RTM_GETLINK, 0, name ? 0 : index);
	if (name && !netlink_is_name(name))
		return err_set(e, ERR_ADDRESS, "there is no interface %.64s", name);
	if (name)
		put(&r, IFLA_IFNAME, name, strlen(name) + 1);
	if (ask(fd, &r, buf, sizeof(buf)) < 0) {
		if (errno != ENODEV)
			return err_set_sys(e, errno, "interface %.64s", name ? name : "");
		return name ? err_set(e, ERR_ADDRESS, "there is no interface %.64s", name)
			    : err_set(e, ERR_ADDRESS, "there is no interface %d", index);
	}
	if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < NLMSG_LENGTH(sizeof(*link)))
		return err_set(e, ERR_SYSTEM, "the kernel does not tell of its interfaces");
	index_attributes(at, IFLA_LINKINFO, IFLA_RTA(link), IFLA_PAYLOAD(h));
	read_link(out, link, at);
	return 0;
}

/* ---- what is to be ---- */

int netlink_change(int fd, const struct netlink_change *c, struct err *e)
{
	_Alignas(struct nlmsghdr) char buf[ANSWER_MAX];
	struct request r;

	begin(&r, RTM_NEWLINK, NLM_F_ACK, c->index);
	if (c->address)
		put(&r, IFLA_ADDRESS, c->address, 6);
	if (c->mtu)
		put(&r, IFLA_MTU, &c->mtu, sizeof(c->mtu));
	if (c->master)
		put(&r, IFLA_MASTER, &c->master, sizeof(c->master));
	if (c->up)
		r.link.ifi_flags = r.link.ifi_change = IFF_UP;
	if (ask(fd, &r, buf, sizeof(buf)) >= 0)
		return 0;
	if (errno == EPERM)
		return err_set(e, ERR_REFUSED, "adit needs CAP_NET_ADMIN for that: run it as root");
	return err_set_sys(e, errno, "the network interface");
}

bool netlink_is_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name; name++)
		if ((unsigned char)*name <= 0x20 || *name == 0x7f || strchr("/:%,=", *name))
			return false;
	return true;
}
