/*
 * The VM's networks: see vmdesc_net.h. The command line says what each is to be, the monitor which
 * interface or descriptor it came to have, /proc what is behind a descriptor, and the kernel what
 * that hangs in. Nothing is changed, in QEMU or on the host.
 */
#include "control/vm/vmdesc_net.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/command.h"
#include "base/fd.h"
#include "base/netlink.h"
#include "control/vm/json_text.h"

enum { QUEUES_MAX = 256, WANTED_MAX = 64, SWITCH_MS = 2500 };

/* ---- the option ---- */

static int from_json(struct qopts *o, const char *value)
{
	json_t *json = json_loads(value, JSON_REJECT_DUPLICATES, NULL), *v;
	const char *key;
	char number[32];
	int r = json_is_object(json) ? 0 : 1;

	json_object_foreach(json, key, v)
	{
		const char *text = json_string_value(v);

		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
		if (json_is_boolean(v))
			text = json_is_true(v) ? "on" : "off";
		else if (json_is_integer(v))
			text = number;
		/* What is written out as options is to be the same ones there. */
		if (r == 0)
			r = qopts_is_key(key) ? qopts_set(o, key, text ? text : "...") : 1;
	}
	json_decref(json);
	return r;
}

int vmdesc_net_options(struct qopts *o, const char *value)
{
	return *value == '{' ? from_json(o, value) : qopts_parse(o, value, "type");
}

bool vmdesc_net_is_tap(const struct qopts *o)
{
	const char *type = qopts_get(o, "type");

	return type && (strcmp(type, "tap") == 0 || strcmp(type, "bridge") == 0);
}

void vmdesc_net_id(const struct qopts *o, const char *option, unsigned seen, char *buf, size_t size)
{
	const char *id = qopts_get(o, "id");

	if (id && *id)
		snprintf(buf, size, "%s", id);
	else
		snprintf(buf, size, "%s%u", option, seen);
}

static unsigned count_words(const char *text)
{
	unsigned n = text && *text ? 1 : 0;

	for (; n && *text; text++)
		n += *text == ':';
	return n;
}

static unsigned queues_of(const struct qopts *o)
{
	const char *queues = qopts_get(o, "queues");
	unsigned n = count_words(qopts_get(o, "fds"));

	if (!n && queues)
		n = (unsigned)strtoul(queues, NULL, 10);
	return n < 1 ? 1 : n > QUEUES_MAX ? QUEUES_MAX : n;
}

static bool has_vhost(const struct qopts *o)
{
	const char *vhost = qopts_get(o, "vhost");

	if (vhost && !qopts_is_on(o, "vhost"))
		return false;
	return vhost || qopts_get(o, "vhostfd") || qopts_get(o, "vhostfds") ||
	       qopts_is_on(o, "vhostforce");
}

/* ---- what the monitor says of it ---- */

/* "ifname=tap0,script=...", "fd=24" or "helper=...,br=br0": behind "NAME: index=0,type=tap," in
 * `info network`, in which a name may end in a newline (QEMU's own, of -nic). */
static int find_info(const char *info, const char *name, struct qopts *out)
{
	static const char *const ends[] = {": index=0,type=tap,", "\n: index=0,type=tap,"};
	size_t len = strlen(name);

	for (const char *at = info; (at = strstr(at, name)) != NULL; at += len) {
		if (at > info && at[-1] != '\n' && at[-1] != ' ')
			continue;
		for (unsigned i = 0; i < 2; i++) {
			size_t end = strlen(ends[i]);
			char line[512];

			if (strncmp(at + len, ends[i], end) != 0)
				continue;
			snprintf(line, sizeof(line), "%.*s", (int)strcspn(at + len + end, "\r\n"),
				 at + len + end);
			return qopts_parse(out, line, NULL);
		}
	}
	return 0;
}

/* ---- what is behind a descriptor ---- */

/* The interface of the tun that process pid has open as fd. */
static bool tun_of(pid_t pid, const char *fd, char *buf, size_t size)
{
	char path[64], line[256];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/fdinfo/%.10s", (long)pid, fd);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		if (strncmp(line, "iff:", 4) == 0) {
			snprintf(buf, size, "%.*s",
				 (int)strcspn(line + 4 + strspn(line + 4, " \t"), "\n"),
				 line + 4 + strspn(line + 4, " \t"));
			found = *buf;
		}
	if (f)
		fclose(f);
	return found;
}

/* /dev/tapN: N is the macvtap's index. */
static int macvtap_of(pid_t pid, const char *fd)
{
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%ld/fd/%.10s", (long)pid, fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 8)
		return 0;
	target[n] = 0;
	return strncmp(target, "/dev/tap", 8) == 0 ? atoi(target + 8) : 0;
}

static bool is_number(const char *s)
{
	return s && *s && s[strspn(s, "0123456789")] == 0;
}

/* ---- where it hangs ---- */

struct where {
	pid_t pid;	/* QEMU's */
	bool no_switch; /* Open vSwitch has not answered */
};

/* (the kernel takes nearly every name) */
static void set(json_t *o, const char *key, const char *s)
{
	char text[1024];

	if (!s || !*s || json_object_get(o, key))
		return;
	snprintf(text, sizeof(text), "%s", s);
	json_object_set_new(o, key, json_string(err_printable(text)));
}

static void set_problem(json_t *o, const char *text)
{
	set(o, "kind", "unknown");
	set(o, "problem", text);
}

/* Which bridge of Open vSwitch it is a port of, which only that knows: what its kernel's datapath
 * tells is that there is one, and what its own program carries shows nowhere. False: in none, or
 * there is nobody to be asked: it knows the interfaces of our namespace, and who has not answered
 * once is not waited for again. */
static bool read_switch(json_t *o, struct where *w, const char *interface)
{
	const char *const words[] = {"ovs-vsctl", "--timeout=2", "iface-to-br", interface,
				     "--",	  "--if-exists", "get",		"Port",
				     interface,	  "tag",	 "trunks",	NULL};
	struct command_said said;
	struct err e = ERR_INIT;
	char *vlans;

	if (*interface == '-' || w->no_switch || !netlink_is_ours(w->pid))
		return false;
	if (command_run((char *const *)(uintptr_t)words, NULL, SWITCH_MS, &said, &e) < 0) {
		w->no_switch = said.status < 0;
		return false;
	}
	vlans = strchr(said.out, '\n');
	if (!vlans)
		return false;
	*vlans++ = 0;
	set(o, "kind", "openvswitch");
	set(o, "bridge", said.out);
	if (strpbrk(vlans, "0123456789"))
		json_object_set_new(o, "vlans", json_true());
	return true;
}

static void read_master(json_t *o, struct where *w, int fd, const struct netlink_link *link)
{
	struct netlink_link master;
	struct err e = ERR_INIT;

	if (!link->master && strcmp(link->kind, "tun") == 0 && read_switch(o, w, link->name))
		return;
	if (!link->master) {
		set(o, "kind", strcmp(link->kind, "macvtap") == 0 ? "macvtap" : "none");
		if (link->lower && netlink_find(fd, NULL, link->lower, &master, &e) == 0)
			set(o, "bridge", master.name);
		return;
	}
	if (netlink_find(fd, NULL, link->master, &master, &e) < 0) {
		set_problem(o, e.text);
		return;
	}
	/* (ovs-system is the datapath of all its bridges) */
	if (strcmp(master.kind, "openvswitch") == 0 && read_switch(o, w, link->name))
		return;
	set(o, "kind", *master.kind ? master.kind : "unknown");
	set(o, "bridge", master.name);
	if (link->isolated)
		json_object_set_new(o, "isolated", json_true());
	if (master.vlans)
		json_object_set_new(o, "vlans", json_true());
}

/* By the interface's name, or its index where that is NULL. */
static void read_interface(json_t *o, struct where *w, const char *name, int index)
{
	struct netlink_link link;
	struct err e = ERR_INIT;
	int fd = netlink_open(w->pid, &e);

	if (fd < 0 || netlink_find(fd, name, index, &link, &e) < 0) {
		err_prefix(&e, "its interface cannot be looked at");
		set_problem(o, e.text);
	} else {
		set(o, "interface", link.name);
		json_object_set_new(o, "mtu", json_integer(link.mtu));
		if (link.no_vnet_hdr)
			json_object_set_new(o, "no_vnet_hdr", json_true());
		read_master(o, w, fd, &link);
	}
	fd_close(&fd);
}

/* QEMU's helper has made the tap, in the bridge that it was told. */
static void read_helped(json_t *o, pid_t pid, const char *bridge)
{
	struct netlink_link link;
	struct err e = ERR_INIT;
	int fd = netlink_open(pid, &e);

	set(o, "kind", "bridge");
	set(o, "bridge", bridge);
	if (fd >= 0 && netlink_find(fd, bridge, 0, &link, &e) == 0) {
		json_object_set_new(o, "mtu", json_integer(link.mtu));
		if (link.vlans)
			json_object_set_new(o, "vlans", json_true());
	}
	fd_close(&fd);
}

static void read_descriptor(json_t *o, struct where *w, const char *fd)
{
	char name[IFNAMSIZ];
	int index;

	if (!is_number(fd))
		set_problem(o, "it came to QEMU as a descriptor under a name, and the monitor does "
			       "not tell which it is");
	else if (tun_of(w->pid, fd, name, sizeof(name)))
		read_interface(o, w, name, 0);
	else if ((index = macvtap_of(w->pid, fd)) > 0)
		read_interface(o, w, NULL, index);
	else
		set_problem(o, "what is behind the descriptor that QEMU has for it cannot be seen: "
			       "run adit as root, or as QEMU's user");
}

static json_t *read_one(const struct qopts *o, const struct qopts *info, const char *id,
			struct where *w)
{
	json_t *network = json_pack("{s:s,s:i,s:b}", "id", id, "queues", (int)queues_of(o), "vhost",
				    has_vhost(o) ? 1 : 0);
	const char *ifname = qopts_get(info, "ifname"), *fd = qopts_get(info, "fd");
	const char *bridge = qopts_get(info, "br");
	char first[16];

	if (!network)
		return NULL;
	if (!ifname && !fd) {
		ifname = qopts_get(o, "ifname");
		fd = qopts_get(o, "fd");
		if (!fd && qopts_get(o, "fds")) {
			snprintf(first, sizeof(first), "%.*s",
				 (int)strcspn(qopts_get(o, "fds"), ":"), qopts_get(o, "fds"));
			fd = first;
		}
	}
	if (!bridge)
		bridge = qopts_get(o, "br");
	if (fd)
		read_descriptor(network, w, fd);
	else if (ifname && !strchr(ifname, '%'))
		read_interface(network, w, ifname, 0);
	else if (strcmp(qopts_get(o, "type"), "bridge") == 0 || qopts_get(o, "helper"))
		read_helped(network, w->pid, bridge ? bridge : "br0");
	else
		set_problem(network, "the monitor does not tell which interface it has");
	return network;
}

void vmdesc_read_networks(json_t *vm, const struct qargs *q, const char *info, pid_t pid)
{
	json_t *networks = json_array();
	unsigned nics = 0, nets = 0;
	struct where w = {.pid = pid};

	for (size_t i = 0; i < q->count; i++) {
		struct qopts o = {0}, told = {0};
		const char *option, *type;
		char id[256], name[300];
		bool nic, net;

		if (!q->at[i].option || q->at[i].option->rule != QARGS_NET)
			continue;
		option = q->at[i].option->name;
		nic = strcmp(option, "nic") == 0;
		net = strcmp(option, "net") == 0;
		if (vmdesc_net_options(&o, q->at[i].value) == 0 && vmdesc_net_is_tap(&o)) {
			vmdesc_net_id(&o, option, nic ? nics : nets, id, sizeof(id));
			snprintf(name, sizeof(name),
				 nic && !qopts_get(&o, "id") ? "__org.qemu.%s" : "%s", id);
			find_info(info, name, &told);
			json_array_append_new(networks, read_one(&o, &told, id, &w));
		}
		type = qopts_get(&o, "type");
		nics += nic && type && strcmp(type, "none") != 0;
		nets += net && vmdesc_net_is_tap(&o);
		qopts_fini(&o);
		qopts_fini(&told);
	}
	if (json_array_size(networks))
		json_object_set(vm, "networks", networks);
	json_decref(networks);
}

/* ---- --net ---- */

/* The next "ID=NAME" of *spec, which moves behind it; false at the end. Ids have no '=' or ','. */
static bool next_pair(const char **spec, char *id, size_t id_size, char *name, size_t name_size)
{
	size_t len = strcspn(*spec, ","), key = strcspn(*spec, "=,");

	if (!len && !**spec)
		return false;
	snprintf(id, id_size, "%.*s", (int)key, *spec);
	snprintf(name, name_size, "%.*s", key < len ? (int)(len - key - 1) : 0,
		 key < len ? *spec + key + 1 : "");
	*spec += len + ((*spec)[len] == ',');
	return true;
}

int vmdesc_net_check(const char *spec, struct err *e)
{
	char id[256], name[256], other[256], ignored[256];
	const char *at = spec, *from, *before;

	while (before = at, next_pair(&at, id, sizeof(id), name, sizeof(name))) {
		if (!*id || !*name)
			return err_set(e, ERR_USAGE,
				       "--net \"%s\": write ID=NAME,...: the VM's network, and "
				       "what it is to be there",
				       spec);
		for (const char *c = name; *c; c++)
			if ((unsigned char)*c < 0x20 || *c == 0x7f)
				return err_set(e, ERR_USAGE,
					       "--net %s: control characters are in no network's "
					       "name",
					       id);
		if (strlen(name) > WANTED_MAX)
			return err_set(e, ERR_USAGE,
				       "--net %s=%.20s...: a name has %d bytes at most", id, name,
				       WANTED_MAX);
		for (from = spec; from < before &&
				  next_pair(&from, other, sizeof(other), ignored, sizeof(ignored));)
			if (strcmp(id, other) == 0)
				return err_set(e, ERR_USAGE, "--net \"%s\": %s stands twice", spec,
					       id);
	}
	if (at != spec && at[-1] == ',')
		return err_set(e, ERR_USAGE, "--net \"%s\": nothing stands behind its last comma",
			       spec);
	return 0;
}

static int no_such(const json_t *networks, const char *id, struct err *e)
{
	char list[400] = "";
	size_t i, at = 0;
	const json_t *o;

	json_array_foreach(networks, i, o)
	{
		int n = snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "",
				 json_text(o, "id"));

		if (n < 0 || (size_t)n >= sizeof(list) - at)
			break;
		at += (size_t)n;
	}
	return err_set(e, ERR_USAGE, "--net: the VM has no network %s of its host; it has %s", id,
		       *list ? list : "none");
}

int vmdesc_net_select(json_t *vm, const char *spec, struct err *e)
{
	const json_t *networks = json_object_get(vm, "networks");
	char id[256], name[256];

	while (spec && next_pair(&spec, id, sizeof(id), name, sizeof(name))) {
		json_t *o;
		size_t i;

		json_array_foreach(networks, i, o) if (strcmp(json_text(o, "id"), id) == 0)
		{
			json_object_set_new(o, "wanted", json_string(name));
			break;
		}
		if (i == json_array_size(networks))
			return no_such(networks, id, e);
	}
	return 0;
}
