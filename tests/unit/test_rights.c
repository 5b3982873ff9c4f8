/* Rights: whose they are, and that they outlive their table for who holds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/rights.h"

/* Which names a pattern is for. */
static const struct {
	const char *pattern, *peer;
	bool yes;
} names[] = {
    {"*", "psk:a", true},
    {"*", "ssh:root@10.0.0.1", true},
    {"*", "tcp:10.0.0.1", true},
    {"a", "psk:a", true},
    {"a", "psk:ab", false},
    {"a*", "psk:ab", true},
    {"a?", "psk:ab", true},
    {"a", "tcp:a", false},
    {"a", "ssh:a@h", false},
    {"CN=a,O=b", "x509:CN=a,O=b", true},
    {"CN=*,O=b", "x509:CN=a,O=b", true},
    {"CN=a\\,b", "x509:CN=a\\,b", true},
    {"CN=*\\,b", "x509:CN=a\\,b", true},
    {"CN=a\\,b", "x509:CN=a,b", false},
    /* a comma of the name's is no border between attributes, whatever stands around it */
    {"x509:CN=*,O=Example", "x509:CN=a,O=Example", true},
    {"x509:CN=*,O=Example", "x509:CN=evil\\,O=Example", false},
    {"CN=*,O=Example", "x509:CN=evil\\,O=Example", false},
    {"CN=*,O=Example", "x509:CN=a,O=Other\\,O=Example", false},
    {"CN=*,O=Example", "x509:CN=a\\\\,O=Example", true},
    {"CN=*,O=Example", "x509:CN=a\\\\\\,O=Example", false},
    {"CN=*,O=Example", "x509:CN=a,OU=x,O=Example", false},
    {"CN=*,O=Example", "x509:CN=a", false},
    {"CN=*,O=Example", "x509:CN=a+O=Example", false},
    {"CN=*+O=Example", "x509:CN=a+O=Example", true},
    {"CN=*+O=Example", "x509:CN=evil\\+O=Example", false},
    {"CN=a", "x509:CN=a,O=b", false},
    {"CN=*", "x509:CN=a,O=b", false},
    {"CN=*", "x509:CN=a\\,O=b", true},
    {"*O=Example", "x509:CN=evilO=Example", false},
    {"C*=Example", "x509:CN=O=Example", false},
    {"CN=a?", "x509:CN=a\\,", false},
    {"*,O=Example", "x509:CN=a,O=Example", true},
    {"*,O=Example", "x509:CN=evil\\,O=Example", false},
    {"CN=a, O=b", "x509:CN=a,O=b", true},
    {"CN=a,O=b,", "x509:CN=a,O=b", false},
    {"CN=a\\ ", "x509:CN=a\\ ", true},
    {"CN=a", "x509:CN=a\\ ", false},
    {"CN=a=b", "x509:CN=a=b", true},
    {"x509:*", "x509:O=b", true},
    /* a bare name is a common name's, whatever else the subject has */
    {"host-*", "x509:CN=host-a", true},
    {"host-a", "x509:CN=host-a", true},
    {"host-a", "x509:CN=host-a,O=Example", true},
    {"host-a", "x509:O=Example,CN=host-a", true},
    {"x509:host-*", "x509:CN=host-a", true},
    {"psk:host-*", "x509:CN=host-a", false},
    {"host-a", "x509:CN=host-ab", false},
    {"host-a", "x509:CN=evil,OU=CN\\=host-a", false},
    {"host-a", "x509:CN=evil\\,CN=host-a", false},
    {"host-a", "x509:O=host-a", false},
    {"host-a", "x509:O=x\\,CN=host-a", false},
    {"host-a", "x509:CN=evil,CN=host-a", false},
    {"host-a", "x509:SCN=host-a", false},
    {"psk:a", "psk:a", true},
    {"psk:a", "x509:a", false},
    {"x509:CN=a", "x509:CN=a", true},
    {"x509:CN=a", "psk:CN=a", false},
    {"ssh:root", "ssh:root@10.0.0.1", true},
    {"ssh:root", "ssh:root2@10.0.0.1", false},
    {"ssh:root@10.0.0.1", "ssh:root@10.0.0.1", true},
    {"ssh:root@10.0.0.1", "ssh:root@10.0.0.2", false},
    {"ssh:root@10.0.0.*", "ssh:root@10.0.0.2", true},
    {"ssh:*", "ssh:u@h", true},
    /* a user's name is no address, and an address no part of a name */
    {"ssh:vm@*", "ssh:vm@10.0.0.1", true},
    {"ssh:vm@*", "ssh:vm@example.com@10.0.0.1", false},
    {"ssh:vm@10.0.0.*", "ssh:vm@10.0.0.evil@192.0.2.1", false},
    {"ssh:vm@fe80::1%eth0", "ssh:vm@fe80::1%eth0", true},
    {"ssh:vm@fd00::*", "ssh:vm@fd00::1", true},
    {"ssh:vm@example.com", "ssh:vm@example.com@10.0.0.1", true},
    {"ssh:vm@*.com", "ssh:vm@example.com@10.0.0.1", true},
    {"ssh:*@example.com", "ssh:vm@example.com@10.0.0.1", true},
    {"ssh:vm@example.com@10.0.0.*", "ssh:vm@example.com@10.0.0.1", true},
    {"ssh:vm@example.com@10.0.0.*", "ssh:vm@example.com@10.0.1.1", false},
    {"ssh:vm@abc.de", "ssh:vm@abc.de@10.0.0.1", true},
    {"tcp:10.0.0.*", "tcp:10.0.0.2", true},
    {"tcp:::ffff:10.0.0.*", "tcp:10.0.0.2", true},
    {"tcp:fd00::*", "tcp:fd00::2", true},
    {"ssh:vm@::ffff:10.0.0.1", "ssh:vm@10.0.0.1", true},
    /* a key's name is no other kind's, whatever it is called */
    {"ssh:root", "psk:ssh:root", false},
    {"ssh:root", "psk:ssh:root@h", false},
    {"tcp:h", "psk:tcp:h", false},
    {"psk:ssh:root", "psk:ssh:root", true},
    {"", "psk:", true},
    {"", "psk:a", false},
};

static void test_rights_match_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (rights_match(names[i].pattern, names[i].peer) != names[i].yes)
			fail_msg("%s and %s: not %d", names[i].pattern, names[i].peer,
				 names[i].yes);
}

static void test_rights_same_peer(void **state)
{
	static const struct {
		const char *a, *b;
		bool yes;
	} cases[] = {
	    {"psk:a", "psk:a", true},
	    {"psk:a", "psk:b", false},
	    {"psk:a@h", "psk:a@i", false},
	    {"x509:CN=a@h", "x509:CN=a@i", false},
	    {"ssh:root@10.0.0.1", "ssh:root@10.0.0.2", true},
	    {"ssh:root@10.0.0.1", "ssh:root@fd00::1", true},
	    {"ssh:a@b@10.0.0.1", "ssh:a@b@10.0.0.2", true},
	    {"ssh:a@b@10.0.0.1", "ssh:a@c@10.0.0.1", false},
	    {"ssh:root@10.0.0.1", "ssh:rook@10.0.0.1", false},
	    {"ssh:root@10.0.0.1", "ssh:roo@10.0.0.1", false},
	    {"ssh:root@10.0.0.1", "ssh:root", false},
	    {"ssh:root@10.0.0.1", "psk:root@10.0.0.1", false},
	    {"psk:ssh:root@h", "ssh:root@h", false},
	    {"ssh:root", "ssh:root", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (rights_same_peer(cases[i].a, cases[i].b) != cases[i].yes ||
		    rights_same_peer(cases[i].b, cases[i].a) != cases[i].yes)
			fail_msg("%s and %s: not %d", cases[i].a, cases[i].b, cases[i].yes);
}

static void test_rights_table_first_match_counts_alone(void **state)
{
	struct rights_table *t = rights_table_new();
	struct rights *exact = rights_new(), *some = rights_new(), *all = rights_new();
	const struct rights *at;
	struct err e = ERR_INIT;

	(void)state;
	exact->migrate = true;
	some->libvirt = true;
	all->overwrite_images = true;
	assert_int_equal(rights_table_add(t, "ab", exact, &e), 0);
	assert_int_equal(rights_table_add(t, "a*", some, &e), 0);
	assert_ptr_equal(rights_table_find(t, "psk:zz"), rights_none());
	assert_int_equal(rights_table_add(t, "*", all, &e), 0);
	assert_ptr_equal(rights_table_find(t, "psk:ab"), exact);
	assert_false(rights_table_find(t, "psk:ab")->libvirt);
	assert_ptr_equal(rights_table_find(t, "psk:ac"), some);
	assert_ptr_equal(rights_table_find(t, "psk:zz"), all);
	assert_string_equal(rights_table_at(t, 1, &at), "a*");
	assert_ptr_equal(at, some);
	assert_null(rights_table_at(t, 3, &at));
	rights_table_free(t);
	assert_ptr_equal(rights_table_find(NULL, "psk:a"), rights_none());
}

static void test_rights_table_refuses_what_never_counts(void **state)
{
	struct rights_table *t = rights_table_new();
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(rights_table_add(t, "a", rights_new(), &e), 0);
	assert_int_equal(rights_table_add(t, "a", rights_new(), &e), ERR_USAGE);
	assert_non_null(strstr(e.text, "peer a is there already"));
	assert_int_equal(rights_table_add(t, "*", rights_new(), &e), 0);
	assert_int_equal(rights_table_add(t, "b", rights_new(), &e), ERR_USAGE);
	assert_non_null(strstr(e.text, "behind peer *"));
	rights_table_free(t);
}

static void test_rights_outlive_their_table(void **state)
{
	struct rights_table *t = rights_table_new();
	struct rights *r = rights_new();
	const struct rights *kept;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(rights_add_launch(r, "/bin/a", &e), 0);
	assert_int_equal(rights_add_launch(r, "/bin/b", &e), 0);
	assert_int_equal(rights_add_images(r, "/i", &e), 0);
	assert_int_equal(rights_add_dest_qmp(r, "/run/*.sock", &e), 0);
	assert_int_equal(rights_add_dest_qmp(r, "run/*", &e), ERR_USAGE);
	assert_false(rights_any(r));
	r->migrate = true;
	assert_true(rights_any(r));
	assert_int_equal(rights_table_add(t, "*", r, &e), 0);
	kept = rights_ref(rights_table_find(t, "psk:a"));
	rights_table_free(t);
	assert_string_equal(kept->launch[1], "/bin/b");
	assert_null(kept->launch[2]);
	assert_string_equal(kept->images[0], "/i");
	rights_unref(kept);
	/* nobody's are for ever */
	for (int i = 0; i < 3; i++)
		rights_unref(rights_none());
	assert_false(rights_any(rights_ref(rights_none())));
}

static void test_rights_section_is_what_a_peer_needs(void **state)
{
	static const char *const cases[][2] = {
	    {"psk:host-a", "[peer psk:host-a]"},
	    {"ssh:vm@10.0.0.1", "[peer ssh:vm]"},
	    {"ssh:vm@local", "[peer ssh:vm]"},
	    {"ssh:vm@example.com@fd00::1", "[peer ssh:vm@example.com]"},
	    {"ssh:vm", "[peer ssh:vm]"},
	    {"x509:CN=a@b", "[peer x509:CN=a@b]"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[80], name[80];

		assert_string_equal(rights_section(cases[i][0], text, sizeof(text)), cases[i][1]);
		/* and it is one that would match */
		snprintf(name, sizeof(name), "%.*s", (int)strlen(text) - 7, text + 6);
		assert_true(rights_match(name, cases[i][0]));
	}
}

static void test_rights_storage_is_found_by_its_whole_name(void **state)
{
	struct rights *r = rights_new();
	struct err e = ERR_INIT;

	(void)state;
	assert_null(rights_storage(r, "fast", 4));
	assert_int_equal(rights_add_storage(r, "fast=/srv/a=b", &e), 0);
	assert_int_equal(rights_add_storage(r, "fas=/c", &e), 0);
	assert_string_equal(rights_storage(r, "fast:x", 4)->folder, "/srv/a=b");
	assert_string_equal(rights_storage(r, "fast:x", 3)->folder, "/c");
	assert_null(rights_storage(r, "fa", 2));
	assert_null(rights_storage(r, "Fast", 4));
	assert_null(rights_storage(r, "", 0));
	assert_null(rights_storage(r, "fast=/srv/a", 11));
	assert_int_equal(rights_add_storage(r, "fast=/d", &e), ERR_USAGE);
	assert_int_equal(rights_add_storage(r, "/d", &e), ERR_USAGE);
	assert_int_equal(rights_add_storage(r, "=/d", &e), ERR_USAGE);
	assert_int_equal(rights_add_storage(r, "a b=/d", &e), ERR_USAGE);
	assert_int_equal(rights_add_storage(r, "a=", &e), ERR_USAGE);
	assert_int_equal(rights_add_storage(r, "", &e), ERR_USAGE);
	assert_int_equal(rights_add_storage(r,
					    "a123456789b123456789c123456789d123456789e123456789f"
					    "123456789g1234",
					    &e),
			 ERR_USAGE);
	/* a name alone gets its folder later; what has one keeps it */
	assert_int_equal(rights_add_storage(r, "big", &e), 0);
	assert_null(rights_storage(r, "big", 3)->folder);
	assert_int_equal(rights_set_storage(r, "big", "/big", "qcow2", &e), 0);
	assert_int_equal(rights_set_storage(r, "big", "/other", "raw", &e), 0);
	assert_int_equal(rights_set_storage(r, "fas", "/other", "raw", &e), 0);
	assert_string_equal(rights_storage(r, "big", 3)->folder, "/big");
	assert_string_equal(rights_storage(r, "big", 3)->format, "qcow2");
	assert_string_equal(rights_storage(r, "fas", 3)->folder, "/c");
	assert_string_equal(rights_storage(r, "fas", 3)->format, "");
	rights_unref(r);
}

static void test_rights_lost_has_a_storage_that_is_another(void **state)
{
	struct rights *old = rights_new(), *now = rights_new();
	struct err e = ERR_INIT;
	char text[128];

	(void)state;
	assert_int_equal(rights_add_storage(old, "s=/s", &e), 0);
	assert_int_equal(rights_add_storage(old, "t", &e), 0);
	assert_int_equal(rights_set_storage(old, "t", "/t", "raw", &e), 0);
	assert_int_equal(rights_add_storage(now, "s=/s", &e), 0);
	assert_string_equal(rights_lost(old, now, text, sizeof(text)), "storage = t=/t");
	assert_int_equal(rights_add_storage(now, "t", &e), 0);
	assert_int_equal(rights_set_storage(now, "t", "/t", "", &e), 0);
	assert_string_equal(rights_lost(old, now, text, sizeof(text)),
			    "storage = t=/t (format = raw)");
	assert_string_equal(rights_lost(now, old, text, sizeof(text)),
			    "storage = t=/t (without a format)");
	snprintf(now->storage[1].format, sizeof(now->storage[1].format), "raw");
	assert_string_equal(rights_lost(old, now, text, sizeof(text)), "");
	free(now->storage[0].folder);
	now->storage[0].folder = strdup("/S");
	assert_string_equal(rights_lost(old, now, text, sizeof(text)), "storage = s=/s");
	rights_unref(old);
	rights_unref(now);
}

static void test_rights_lost_are_named(void **state)
{
	struct rights *old = rights_new(), *now = rights_new();
	struct err e = ERR_INIT;
	char text[128];

	(void)state;
	assert_int_equal(rules_add(&old->forwards, "unix:/a", &e), 0);
	assert_int_equal(rules_add(&old->forwards, "tcp:h:1", &e), 0);
	assert_int_equal(rights_add_dest_qmp(old, "/m", &e), 0);
	assert_int_equal(rights_add_images(old, "/i", &e), 0);
	assert_int_equal(rights_add_storage(old, "s=/s", &e), 0);
	assert_int_equal(rights_add_launch(old, "/q", &e), 0);
	assert_int_equal(rights_add_network(old, "n", "br1", &e), 0);
	assert_int_equal(rights_add_memory(old, "/h", &e), 0);
	old->migrate = old->libvirt = old->overwrite_images = true;
	assert_string_equal(rights_lost(old, old, text, sizeof(text)), "");
	assert_string_equal(rights_lost(now, old, text, sizeof(text)), "");
	assert_string_equal(rights_lost(old, rights_none(), text, sizeof(text)),
			    "migrate = yes, and 10 more");
	now->migrate = now->libvirt = now->overwrite_images = true;
	assert_int_equal(rules_add(&now->forwards, "tcp:h:1", &e), 0);
	assert_int_equal(rights_add_dest_qmp(now, "/m", &e), 0);
	assert_int_equal(rights_add_images(now, "/j", &e), 0);
	assert_int_equal(rights_add_images(now, "/i", &e), 0);
	assert_int_equal(rights_add_storage(now, "s=/s", &e), 0);
	assert_int_equal(rights_add_launch(now, "/q", &e), 0);
	assert_int_equal(rights_add_memory(now, "/h", &e), 0);
	assert_int_equal(rights_add_network(now, "n", NULL, &e), 0);
	rights_set_network(now, &(struct rights_network){.name = "n", .bridge = "br2"});
	assert_string_equal(rights_lost(old, now, text, sizeof(text)),
			    "forward = unix:/a, and 1 more");
	assert_int_equal(rules_add(&now->forwards, "unix:/a", &e), 0);
	assert_string_equal(rights_lost(old, now, text, sizeof(text)), "networks = n=br1");
	now->networks[0].kind = RIGHTS_OPENVSWITCH; /* the same bridge's name, and another bridge */
	snprintf(now->networks[0].bridge, sizeof(now->networks[0].bridge), "br1");
	assert_string_equal(rights_lost(old, now, text, sizeof(text)), "networks = n=br1");
	assert_int_equal(rights_add_network(old, "n", "br3", &e), ERR_USAGE);
	rights_unref(now);
	now = rights_new();
	now->migrate = now->libvirt = now->overwrite_images = true;
	assert_int_equal(rules_add(&now->forwards, "tcp:h:1", &e), 0);
	assert_int_equal(rights_add_dest_qmp(now, "/m", &e), 0);
	assert_int_equal(rights_add_images(now, "/i", &e), 0);
	assert_int_equal(rights_add_storage(now, "s=/s", &e), 0);
	assert_int_equal(rights_add_launch(now, "/q", &e), 0);
	assert_int_equal(rights_add_network(now, "n", "br1", &e), 0);
	now->swtpm = strdup("none");
	assert_string_equal(rights_lost(old, now, text, sizeof(text)),
			    "forward = unix:/a, and 2 more");
	assert_int_equal(rights_add_memory(now, "/h", &e), 0);
	free(now->swtpm);
	now->swtpm = NULL;
	assert_string_equal(rights_lost(old, now, text, sizeof(text)), "forward = unix:/a");
	rights_unref(old);
	rights_unref(now);
}

/* Rights of one who may have VMs launched. */
static struct rights *launches(const char *user, const char *group, uid_t uid, uint64_t bandwidth)
{
	struct rights *r = rights_new();
	struct err e = ERR_INIT;

	r->migrate = true;
	r->bandwidth = bandwidth;
	assert_int_equal(rights_add_launch(r, "/q", &e), 0);
	snprintf(r->launch_user.name, sizeof(r->launch_user.name), "%s", user);
	snprintf(r->launch_user.group, sizeof(r->launch_user.group), "%s", group);
	r->launch_user.uid = uid;
	return r;
}

static void test_rights_lost_are_those_that_are_bounded_too(void **state)
{
	static const struct {
		const char *user, *group;
		uid_t uid;
		uint64_t bandwidth;
		const char *then_user, *then_group;
		uid_t then_uid;
		uint64_t then_bandwidth;
		const char *lost;
	} cases[] = {
	    {"", "", 0, 0, "vm", "", 7, 0, "launch-user = none"},
	    {"vm", "kvm", 7, 0, "vm", "", 7, 0, "launch-user = vm:kvm"},
	    {"vm", "", 7, 0, "vm", "", 8, 0, "launch-user = vm"},
	    {"vm", "", 7, 0, "vm", "", 7, 0, ""},
	    {"vm", "", 7, 0, "", "", 0, 0, ""},
	    {"", "", 0, 0, "", "", 0, 1 << 20, "bandwidth = none"},
	    {"", "", 0, 2 << 20, "", "", 0, 1 << 20, "bandwidth = 2.0 MiB/s"},
	    {"", "", 0, 1 << 20, "", "", 0, 2 << 20, ""},
	    {"", "", 0, 1 << 20, "", "", 0, 0, ""},
	    {"", "", 0, 0, "vm", "", 7, 1, "launch-user = none, and 1 more"},
	};
	struct rights *old, *now;
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		old = launches(cases[i].user, cases[i].group, cases[i].uid, cases[i].bandwidth);
		now = launches(cases[i].then_user, cases[i].then_group, cases[i].then_uid,
			       cases[i].then_bandwidth);
		assert_string_equal(rights_lost(old, now, text, sizeof(text)), cases[i].lost);
		rights_unref(old);
		rights_unref(now);
	}
	/* A program that starts VMs is one that the peer has, or another. */
	old = launches("", "", 0, 0);
	now = launches("", "", 0, 0);
	old->launch_hook = strdup("/hook");
	assert_string_equal(rights_lost(old, now, text, sizeof(text)), "launch-hook = /hook");
	now->launch_hook = strdup("/hook");
	assert_string_equal(rights_lost(old, now, text, sizeof(text)), "");
	rights_unref(old);
	rights_unref(now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rights_match_names),
	    cmocka_unit_test(test_rights_same_peer),
	    cmocka_unit_test(test_rights_table_first_match_counts_alone),
	    cmocka_unit_test(test_rights_table_refuses_what_never_counts),
	    cmocka_unit_test(test_rights_outlive_their_table),
	    cmocka_unit_test(test_rights_section_is_what_a_peer_needs),
	    cmocka_unit_test(test_rights_storage_is_found_by_its_whole_name),
	    cmocka_unit_test(test_rights_lost_has_a_storage_that_is_another),
	    cmocka_unit_test(test_rights_lost_are_named),
	    cmocka_unit_test(test_rights_lost_are_those_that_are_bounded_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
