/* The twin's networks: which of the source's are read, which bridge here each is to have by the
 * peer's rights, and what QEMU is told of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/vm.h"
#include "test_twin_fixture.h"

static const struct rights_network allowed[] = {
    {.name = "br0"},
    {.name = "inner", .bridge = "br7"},
    {.name = "Lan", .bridge = "vmbr0"},
    {.name = "ovs", .bridge = "br-int", .kind = RIGHTS_OPENVSWITCH, .vlan = 7},
    {.name = "own", .kind = RIGHTS_SCRIPT, .script = "/etc/adit/net"},
};

/* A tap in a bridge; more: further members, as json_loads reads them. */
static json_t *network(const char *id, const char *bridge, const char *more)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:i,s:b,s:i}", "id", id, "kind", "bridge", "bridge",
			      bridge, "queues", 1, "vhost", 0, "mtu", 1400);
	json_t *v = json_loads(more ? more : "{}", 0, NULL);

	assert_non_null(v);
	json_object_update(o, v);
	json_decref(v);
	return o;
}

/* Plans one -netdev, in a VM whose only network is n (owned). */
static int plan_net(struct plan *p, const char *option, const char *word, json_t *n)
{
	p->networks = json_pack("[o]", n);
	p->allowed = allowed;
	p->allowed_count = 5;
	return plan(p, option, word);
}

static void maps(const char *option, const char *word, json_t *n, const char *text,
		 const char *bridge)
{
	struct plan p = {0};

	if (plan_net(&p, option, word, n) != 0)
		fail_msg("%s: %s", word, p.e.text);
	assert_string_equal(value(&p, option, 0), text);
	assert_int_equal(p.t.net_count, 1);
	assert_string_equal(p.t.nets[0].port.bridge, bridge);
	assert_string_equal(p.t.nets[0].port.interface, "adit0123456n0");
	assert_string_equal(p.t.argv.at[p.t.nets[0].at], text);
	plan_fini(&p);
}

static void is_refused(const char *word, json_t *n, const char *said)
{
	struct plan p = {0};

	assert_int_equal(plan_net(&p, "-netdev", word, n), ERR_REFUSED);
	if (!strstr(p.e.text, said))
		fail_msg("%s is refused as: %s", word, p.e.text);
	plan_fini(&p);
}

static void test_each_spelling_becomes_descriptors(void **state)
{
	(void)state;
	maps("-netdev", "tap,id=n0,ifname=tap0,script=/etc/x,downscript=no",
	     network("n0", "br0", NULL), "type=tap,id=n0,fd=10", "br0");
	maps("-netdev", "bridge,br=inner,id=n0,helper=/usr/lib/qemu/x",
	     network("n0", "inner", NULL), "type=tap,id=n0,fd=10", "br7");
	maps("-netdev", "tap,id=n0,fds=30:31,sndbuf=0", network("n0", "br0", "{\"queues\":2}"),
	     "type=tap,id=n0,sndbuf=0,fds=10:11", "br0");
	maps("-netdev", "{\"type\":\"tap\",\"fd\":\"24\",\"id\":\"n0\"}",
	     network("n0", "br0", NULL), "type=tap,id=n0,fd=10", "br0");
	maps("-nic", "tap,model=virtio-net-pci,mac=52:54:00:00:00:01,script=no",
	     network("nic0", "br0", NULL),
	     "type=tap,model=virtio-net-pci,mac=52:54:00:00:00:01,fd=10", "br0");
	maps("-net", "bridge", network("net0", "br0", NULL), "type=tap,fd=10", "br0");
}

static void test_the_peer_s_rights_say_which_bridge(void **state)
{
	(void)state;
	maps("-netdev", "tap,id=n", network("n", "x", "{\"wanted\":\"Lan\"}"),
	     "type=tap,id=n,fd=10", "vmbr0");
	maps("-netdev", "tap,id=n", network("n", "", "{\"kind\":\"none\",\"wanted\":\"Lan\"}"),
	     "type=tap,id=n,fd=10", "vmbr0");
	is_refused("tap,id=n", network("n", "br1", NULL), "\"br1\" is not allowed there");
	/* by its interface, another case, a path, a blank, a part: it is another name */
	is_refused("tap,id=n", network("n", "br7", NULL), "not allowed there");
	is_refused("tap,id=n", network("n", "BR0", NULL), "not allowed there");
	is_refused("tap,id=n", network("n", "../br0", NULL), "not allowed there");
	is_refused("tap,id=n", network("n", "br0 ", NULL), "not allowed there");
	is_refused("tap,id=n", network("n", "br", NULL), "not allowed there");
	is_refused("tap,id=n", network("n", "", NULL), "not allowed there");
	is_refused("tap,id=n", network("n", "br0", "{\"wanted\":\"lan\"}"), "--net n=NAME");
	is_refused("tap,id=n", network("n", "br0", "{\"wanted\":\"br0=vmbr0\"}"), "not allowed");
}

static void test_a_port_is_what_the_rights_have(void **state)
{
	struct plan p = {.allowed = allowed, .allowed_count = 5};
	const struct netport *port;

	(void)state;
	p.networks = json_pack(
	    "[o,o]", network("a", "ovs", "{\"kind\":\"openvswitch\",\"interface\":\"tap0\"}"),
	    network("nic0", "", "{\"kind\":\"none\",\"wanted\":\"own\"}"));
	assert_int_equal(plan(&p, "-netdev", "tap,id=a", "-device",
			      "virtio-net-pci,mac=52:54:00:00:00:01,netdev=a", "-nic",
			      "tap,mac=52:54:00:00:00:02;x"),
			 0);
	assert_int_equal(p.t.net_count, 2);
	port = &p.t.nets[0].port;
	assert_int_equal(port->kind, NETPORT_OPENVSWITCH);
	assert_string_equal(port->bridge, "br-int");
	assert_int_equal(port->vlan, 7);
	assert_string_equal(port->network, "ovs");
	assert_string_equal(port->mac, "52:54:00:00:00:01");
	port = &p.t.nets[1].port;
	assert_int_equal(port->kind, NETPORT_SCRIPT);
	assert_string_equal(port->bridge, "");
	assert_string_equal(port->script, "/etc/adit/net");
	assert_string_equal(port->network, "own");
	assert_string_equal(port->mac, ""); /* what is none is not handed on */
	plan_fini(&p);
}

static void test_what_hangs_in_no_bridge_is_told_with_its_mend(void **state)
{
	(void)state;
	is_refused("tap,id=n", network("n", "", "{\"kind\":\"none\",\"interface\":\"tap3\"}"),
		   "tap3 is in no bridge of the source; say which network it is to have there with "
		   "--net n=NAME");
	is_refused("tap,id=n", network("n", "ovs-system", "{\"kind\":\"openvswitch\"}"),
		   "openvswitch");
	is_refused("tap,id=n", network("n", "eth0", "{\"kind\":\"macvtap\"}"),
		   "macvtap of the source's eth0");
	is_refused("tap,id=n",
		   network("n", "", "{\"kind\":\"unknown\",\"problem\":\"it cannot be seen\"}"),
		   "it cannot be seen; say which");
	/* what the source does not tell of, or tells of another */
	is_refused("tap,id=n", network("m", "br0", NULL), "does not say which");
	is_refused("tap,id=n,model=/etc/shadow", network("n", "br0", NULL), "names a file");
}

/* A JSON option is written out as key=value: no key of it is to become other options. */
static void test_no_key_becomes_an_option(void **state)
{
	static const char *const words[] = {
	    "{\"type\":\"user\",\"id\":\"n\",\"br=br0,type=bridge,helper=/bin/sh -c 'id' "
	    "x\":\"y\"}",
	    "{\"type\":\"user\",\"id\":\"n\",\"restrict=off,guestfwd=tcp:10.0.2.100:1-cmd:/bin/"
	    "sh\":\"x\"}",
	    "{\"type\":\"user\",\"id\":\"n\",\"a,b\":\"x\"}",
	    "{\"type\":\"user\",\"id\":\"n\",\"\":\"x\"}",
	    "{\"type\":\"user\",\"id\":\"n\",\"a b\":\"x\"}",
	    "{\"type\":\"user\",\"id\":\"n\",\"hostfwd=\":\"x\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct plan p = {0};

		assert_int_equal(plan_net(&p, "-netdev", words[i], network("n", "br0", NULL)),
				 ERR_REFUSED);
		plan_fini(&p);
	}
}

static void test_descriptors_follow_one_another(void **state)
{
	struct plan p = {.allowed = allowed, .allowed_count = 3};

	(void)state;
	p.networks = json_pack("[o,o,o]", network("a", "br0", NULL),
			       network("b", "br0", "{\"queues\":3}"), network("c", "inner", NULL));
	assert_int_equal(plan(&p, "-netdev", "tap,id=a", "-netdev", "user,id=u", "-netdev",
			      "tap,id=b,queues=3", "-netdev", "bridge,id=c"),
			 0);
	assert_string_equal(value(&p, "-netdev", 0), "type=tap,id=a,fd=10");
	assert_string_equal(value(&p, "-netdev", 2), "type=tap,id=b,fds=11:12:13");
	assert_string_equal(value(&p, "-netdev", 3), "type=tap,id=c,fd=14");
	assert_int_equal(p.t.net_fds, 5);
	assert_string_equal(p.t.nets[2].port.interface, "adit0123456n2");
	/* started again: by the interface's name */
	assert_string_equal(p.t.nets[1].kept, "type=tap,id=b,ifname=adit0123456n1,script=no,"
					      "downscript=no,queues=3");
	plan_fini(&p);
	/* behind the VM's secrets */
	p.allowed = allowed;
	p.allowed_count = 3;
	p.secrets = json_pack("[{s:s},{s:s}]", "id", "s0", "id", "s1");
	p.networks = json_pack("[o]", network("a", "br0", NULL));
	assert_int_equal(
	    plan(&p, "-object", "secret,id=s0", "-object", "secret,id=s1", "-netdev", "tap,id=a"),
	    0);
	assert_string_equal(value(&p, "-netdev", 0), "type=tap,id=a,fd=12");
	plan_fini(&p);
	/* more than a process is given */
	p.allowed = allowed;
	p.allowed_count = 3;
	p.networks = json_pack("[o]", network("a", "br0", "{\"queues\":256}"));
	assert_int_equal(plan(&p, "-netdev", "tap,id=a,queues=256"), ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "too many queues"));
	plan_fini(&p);
}

static void test_vhost_only_where_it_is(void **state)
{
	struct plan p = {0};
	bool here = access("/dev/vhost-net", R_OK | W_OK) == 0;

	(void)state;
	assert_int_equal(plan_net(&p, "-netdev", "tap,id=n,vhost=on,vhostfd=7",
				  network("n", "br0", "{\"vhost\":true}")),
			 0);
	assert_string_equal(value(&p, "-netdev", 0), here
							 ? "type=tap,id=n,fd=10,vhost=on,vhostfd=11"
							 : "type=tap,id=n,fd=10");
	assert_int_equal(noted(&p, "no /dev/vhost-net"), !here);
	plan_fini(&p);
}

/* ---- the source ---- */

static json_t *read_words(const char *info, const char *const *words)
{
	struct qargs q;
	struct err e = ERR_INIT;
	char *argv[16] = {(char[]){"qemu"}};
	size_t n = 1;
	json_t *vm = json_object();

	for (; *words; words++)
		argv[n++] = (char *)*words;
	assert_int_equal(qargs_parse(&q, argv, n, &e), 0);
	vmdesc_read_networks(vm, &q, info, getpid());
	qargs_fini(&q);
	return vm;
}
#define read_net(info, ...) read_words(info, (const char *const[]){__VA_ARGS__, NULL})

static void is(const json_t *vm, size_t i, const char *json)
{
	json_t *want = json_loads(json, 0, NULL), *v;
	const json_t *o = json_array_get(json_object_get(vm, "networks"), i);
	const char *key;

	assert_non_null(want);
	assert_non_null(o);
	json_object_foreach(want, key, v) if (!json_equal(v, json_object_get(o, key)))
	    fail_msg("%s is not as in %s: %s", key, json, json_dumps(o, 0));
	json_decref(want);
}

static void test_the_monitor_tells_which_interface(void **state)
{
	json_t *vm;

	(void)state;
	/* (an interface that is everywhere, and in no bridge) */
	vm = read_net("x0: index=0,type=nic,model=e1000,macaddr=52:54:00:00:00:01\r\n"
		      " \\ n0: index=0,type=tap,ifname=lo,script=no,downscript=no\r\n"
		      " \\ n0: index=1,type=tap,ifname=lo\r\n",
		      "-netdev", "tap,id=n0,queues=2,vhost=on", "-netdev", "user,id=n1");
	is(vm, 0,
	   "{\"id\":\"n0\",\"interface\":\"lo\",\"kind\":\"none\",\"queues\":2,\"vhost\":true}");
	assert_int_equal(json_array_size(json_object_get(vm, "networks")), 1);
	json_decref(vm);
	/* the -nic's own names: with a newline in them, until that was mended */
	vm = read_net(
	    "e.0: index=0,type=nic\r\n \\ __org.qemu.nic1\n: index=0,type=tap,ifname=lo\r\n",
	    "-nic", "user", "-nic", "tap", "-nic", "none");
	is(vm, 0, "{\"id\":\"nic1\",\"interface\":\"lo\"}");
	json_decref(vm);
	vm = read_net("e.0: index=0,type=nic\n \\ __org.qemu.nic0: index=0,type=tap,ifname=lo\n",
		      "-nic", "tap,ifname=other");
	is(vm, 0, "{\"id\":\"nic0\",\"interface\":\"lo\"}");
	json_decref(vm);
	/* a name that ends as another one */
	vm = read_net(" \\ an0: index=0,type=tap,ifname=lo\n", "-netdev", "tap,id=n0");
	is(vm, 0, "{\"kind\":\"unknown\"}");
	json_decref(vm);
}

static void test_what_cannot_be_seen_is_a_problem(void **state)
{
	char word[64];
	int fds[2];
	json_t *vm;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	snprintf(word, sizeof(word), "tap,id=n,fd=%d", fds[0]);
	vm = read_net("", "-netdev", word, "-netdev", "tap,id=m,ifname=adit-none", "-netdev",
		      "tap,id=o,fd=name", "-netdev", "bridge,id=p,br=adit-none");
	is(vm, 0, "{\"kind\":\"unknown\",\"queues\":1,\"vhost\":false}");
	assert_non_null(
	    strstr(json_text(json_array_get(json_object_get(vm, "networks"), 0), "problem"),
		   "descriptor"));
	is(vm, 1, "{\"kind\":\"unknown\"}");
	assert_non_null(
	    strstr(json_text(json_array_get(json_object_get(vm, "networks"), 1), "problem"),
		   "no interface adit-none"));
	is(vm, 2, "{\"kind\":\"unknown\"}");
	/* the helper was told so */
	is(vm, 3, "{\"kind\":\"bridge\",\"bridge\":\"adit-none\"}");
	json_decref(vm);
	close(fds[0]);
	close(fds[1]);
}

static void test_net_names_networks_of_the_vm(void **state)
{
	json_t *vm = json_pack("{s:[o,o]}", "networks", network("a", "br0", NULL),
			       network("b", "br0", NULL));
	static const char *const wrong[] = {"a",    "a=",      "=x",	   "a=x,",
					    ",a=x", "a=x,a=y", "a=x,,b=y", "a=x\ty"};
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (vmdesc_net_check(wrong[i], &e) != ERR_USAGE)
			fail_msg("\"%s\" is taken", wrong[i]);
	assert_int_equal(vmdesc_net_check("a=x,b=y", &e), 0);
	assert_int_equal(vmdesc_net_select(vm, NULL, &e), 0);
	assert_int_equal(vmdesc_net_select(vm, "b=lan", &e), 0);
	is(vm, 1, "{\"wanted\":\"lan\"}");
	assert_null(json_object_get(json_array_get(json_object_get(vm, "networks"), 0), "wanted"));
	assert_int_equal(vmdesc_net_select(vm, "c=lan", &e), ERR_USAGE);
	assert_non_null(strstr(e.text, "no network c"));
	assert_non_null(strstr(e.text, "a, b"));
	json_decref(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_spelling_becomes_descriptors),
	    cmocka_unit_test(test_the_peer_s_rights_say_which_bridge),
	    cmocka_unit_test(test_a_port_is_what_the_rights_have),
	    cmocka_unit_test(test_what_hangs_in_no_bridge_is_told_with_its_mend),
	    cmocka_unit_test(test_no_key_becomes_an_option),
	    cmocka_unit_test(test_descriptors_follow_one_another),
	    cmocka_unit_test(test_vhost_only_where_it_is),
	    cmocka_unit_test(test_the_monitor_tells_which_interface),
	    cmocka_unit_test(test_what_cannot_be_seen_is_a_problem),
	    cmocka_unit_test(test_net_names_networks_of_the_vm),
	};

	return cmocka_run_group_tests(tests, twin_fixture_set_up, twin_fixture_tear_down);
}
