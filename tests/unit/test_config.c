/* The configuration: what a file and a command line make of each other, and each kind of error
 * with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/serve/config.h"

#define SERVE "[serve]\npsk = /k\n"

static char path[] = "/tmp/adit-config.XXXXXX";

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* Reads text beside the options, pairs that end with NULL. */
static struct config *read_with(const char *text, const char *const *words, struct err *e)
{
	struct config_option options[8];
	struct config_source s = {.options = options, .file = path};

	for (; words && words[0]; words += 2)
		options[s.option_count++] =
		    (struct config_option){words[0], *words[1] ? words[1] : NULL};
	write_file(text);
	return config_new(&s, e);
}

/* It is wrong, in that line (0: in none), and said so. */
static void is_wrong(const char *text, unsigned line, const char *said)
{
	struct err e = ERR_INIT;
	char place[64] = "";

	assert_null(read_with(text, NULL, &e));
	if (line)
		snprintf(place, sizeof(place), "%s:%u: ", path, line);
	if (strncmp(e.text, place, strlen(place)) != 0 || !strstr(e.text, said))
		fail_msg("%s\nis told of as: %s", text, e.text);
	assert_true(e.code != ERR_USAGE && e.code != ERR_NONE); /* exit status 1 */
	if (line && strstr(e.text + strlen(place), path))
		fail_msg("the place is there twice: %s", e.text);
}

/* The fuzzer found it: the error's text begins with the key, and so as the place would. */
static void test_config_says_where_of_a_key_with_the_file_s_name(void **state)
{
	struct err e = ERR_INIT;
	char text[128], place[64];

	(void)state;
	snprintf(text, sizeof(text), SERVE "%s = x # y\n", path);
	snprintf(place, sizeof(place), "%s:3: ", path);
	assert_null(read_with(text, NULL, &e));
	if (strncmp(e.text, place, strlen(place)) != 0)
		fail_msg("it is told of as: %s", e.text);
}

static void test_config_reads_what_a_file_says(void **state)
{
	const struct rule *rule;
	const struct rights *r;
	struct err e = ERR_INIT;
	struct config *c;

	(void)state;
	c = read_with(
	    "\xef\xbb\xbf# a comment\n; another\n"
	    "[serve] ; of all\n"
	    "listen = [::1]:99\npsk = /k ; behind\nlog-level = debug\nhandshakes = 7\n"
	    "sessions = 9\nmemory = 2M\nmemory-total = 5M\nrun-dir = /r\nstate-dir = /s\n"
	    "\n[peer a long name that has more than the fifty bytes which libinih keeps, O=x]\n"
	    "libvirt = yes\n"
	    "[peer b]\n"
	    "forward = unix:/a\n  tcp:h:1 ; goes on\n"
	    "migrate = yes\nlaunch = /bin/sh\nlaunch=/bin/true\nbandwidth = 3M/s\n"
	    "sessions = 2\nmemory = 4M\ndest-qmp = /run/*.sock\n"
	    "[peer c]\n",
	    NULL, &e);
	assert_string_equal(e.text, "");
	assert_non_null(c);
	assert_string_equal(c->listen.host, "::1");
	assert_int_equal(c->listen.port, 99);
	assert_string_equal(c->auth.psk, "/k");
	assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(c->limits.handshakes_max, 7);
	assert_int_equal(c->limits.all_sessions_max, 9);
	assert_int_equal(c->limits.session.memory_max_bytes, 2 << 20);
	assert_string_equal(c->run_dir, "/r");
	assert_string_equal(c->state_dir, "/s");
	assert_true(c->migrate);
	r = rights_table_find(
	    c->rights,
	    "psk:a long name that has more than the fifty bytes which libinih keeps, O=x");
	assert_true(r->libvirt);
	r = rights_table_find(c->rights, "psk:b");
	rule = rules_next(&r->forwards, NULL);
	assert_string_equal(rule_text(rule), "unix:/a");
	rule = rules_next(&r->forwards, rule);
	assert_string_equal(rule_text(rule), "tcp:h:1");
	assert_null(rules_next(&r->forwards, rule));
	assert_string_equal(r->launch[1], "/bin/true");
	assert_int_equal(r->bandwidth, 3 << 20);
	assert_int_equal(r->sessions_max, 2);
	assert_int_equal(c->limits.memory_max_bytes, 5 << 20);
	assert_int_equal(r->memory_max, 4 << 20);
	assert_false(r->libvirt);
	assert_false(rights_any(rights_table_find(c->rights, "psk:c")));
	assert_ptr_equal(rights_table_find(c->rights, "psk:zz"), rights_none());
	config_free(c);
}

#define LAUNCHES "[peer b]\nmigrate = yes\nlaunch = /bin/sh\n"

static const char *bridge_of(const struct rights *r, const char *name)
{
	const struct rights_network *n = rights_network(r, name);

	return n ? rights_network_bridge(n) : NULL;
}

static void test_config_maps_networks(void **state)
{
	static const char *const rights[] = {"allow-migrate",
					     "",
					     "allow-launch",
					     "/bin/sh",
					     "allow-networks",
					     "dmz",
					     "allow-networks",
					     "o=br9",
					     NULL};
	const char *peer = SERVE "[peer b]\nmigrate = yes\nlaunch = /bin/sh\n"
				 "networks = lan br1 x=br2\nnetworks = dmz\n"
				 "[network lan]\nbridge = vmbr0 ; here\n"
				 "[network dmz]\nbridge = br7\n"
				 "[peer d]\nmigrate = yes\nlaunch = /bin/sh\n"
				 "networks = int own x=int an-overlay-of-ours\n"
				 "[network int]\nvlan = 7\nopenvswitch = br-int\n"
				 "[network own]\nscript = /bin/sh\n"
				 "[network an-overlay-of-ours]\nscript = /bin/sh\n";
	char text[400];
	const struct rights *r;
	struct err e = ERR_INIT;
	struct config *c = read_with(peer, rights, &e);

	(void)state;
	assert_string_equal(e.text, "");
	assert_non_null(c);
	r = rights_table_find(c->rights, "psk:b");
	assert_string_equal(bridge_of(r, "lan"), "vmbr0");
	assert_string_equal(bridge_of(r, "br1"), "br1");
	assert_string_equal(bridge_of(r, "x"), "br2");
	assert_string_equal(bridge_of(r, "dmz"), "br7");
	/* no other name, and none of another's */
	assert_null(bridge_of(r, "vmbr0"));
	assert_null(bridge_of(r, "Lan"));
	assert_null(bridge_of(r, "lan "));
	assert_null(bridge_of(r, "o"));
	assert_null(bridge_of(r, ""));
	r = rights_table_find(c->rights, "psk:d");
	assert_int_equal(rights_network(r, "int")->kind, RIGHTS_OPENVSWITCH);
	assert_string_equal(rights_network_text(rights_network(r, "int"), text, sizeof(text)),
			    "int=openvswitch:br-int,vlan=7");
	assert_string_equal(rights_network_text(rights_network(r, "own"), text, sizeof(text)),
			    "own=script:/bin/sh");
	/* what is behind '=' is a bridge of Linux, and no section */
	assert_string_equal(rights_network_text(rights_network(r, "x"), text, sizeof(text)),
			    "x=int");
	r = rights_table_find(c->rights, "psk:else");
	assert_string_equal(bridge_of(r, "dmz"), "br7");
	assert_string_equal(bridge_of(r, "o"), "br9");
	assert_null(bridge_of(r, "lan"));
	config_free(c);
}

static void test_config_maps_storages(void **state)
{
	static const char *const rights[] = {
	    "allow-migrate", "",    "allow-launch",  "/bin/sh",	   "images", "/usr",
	    "allow-storage", "big", "allow-storage", "o=/usr/lib", NULL};
	const char *peer =
	    SERVE "[storage big]\nfolder = /usr/bin\n" LAUNCHES
		  "images = /usr\nstorage = fast big ; both\nstorage = x=/usr/share\n"
		  "[storage fast]\nformat = qcow2\nfolder = /usr/lib\n";
	const struct rights_storage *s;
	const struct rights *r;
	struct err e = ERR_INIT;
	struct config *c = read_with(peer, rights, &e);

	(void)state;
	assert_string_equal(e.text, "");
	assert_non_null(c);
	r = rights_table_find(c->rights, "psk:b");
	assert_int_equal(r->storage_count, 3);
	s = rights_storage(r, "fast", 4);
	assert_string_equal(s->folder, "/usr/lib");
	assert_string_equal(s->format, "qcow2");
	s = rights_storage(r, "big", 3);
	assert_string_equal(s->folder, "/usr/bin");
	assert_string_equal(s->format, "");
	assert_string_equal(rights_storage(r, "x", 1)->folder, "/usr/share");
	r = rights_table_find(c->rights, "psk:else");
	assert_string_equal(rights_storage(r, "big", 3)->folder, "/usr/bin");
	assert_string_equal(rights_storage(r, "o", 1)->folder, "/usr/lib");
	assert_null(rights_storage(r, "fast", 4));
	config_free(c);
}

static void test_config_tells_the_line_of_what_is_wrong_with_storages(void **state)
{
	(void)state;
	is_wrong(SERVE "[storage a]\n", 3, "[storage a] does not say its folder");
	is_wrong(SERVE "[storage a]\nformat = raw\n[peer b]\n", 3, "does not say its folder");
	is_wrong(SERVE "[storage a]\nfolder = usr\n", 4, "absolute");
	is_wrong(SERVE "[storage a]\nfolder = /tmp\n", 4, "everybody may write");
	is_wrong(SERVE "[storage a]\nfolder = /etc/passwd\n", 4, "not a directory");
	is_wrong(SERVE "[storage a]\nfolder = /usr\nformat = vmdk\n", 5, "neither raw nor qcow2");
	is_wrong(SERVE "[storage a]\nfolder = /usr\nfolder = /usr\n", 5, "line 4 already");
	is_wrong(SERVE "[storage a/b]\nfolder = /usr\n", 3, "a name has 1 to");
	is_wrong(SERVE "[storage]\nfolder = /usr\n", 3, "a name has 1 to");
	is_wrong(SERVE "[storage a=/usr]\n", 3, "write the name alone");
	is_wrong(SERVE "[storage a]\nfolder = /usr\n[storage a]\n", 5, "a is there already");
	is_wrong(SERVE "[storage a]\nbridge = b\n", 4, "bridge belongs to");
	is_wrong(SERVE LAUNCHES "images = /usr\nstorage = a\n", 0, "is no [storage]");
	is_wrong(SERVE LAUNCHES "images = /usr\nstorage = a b=/usr\n", 7, "write NAME=FOLDER");
	is_wrong(SERVE LAUNCHES "images = /usr\nstorage = a\nstorage = b a\n", 8,
		 "a is there already");
}

static void test_config_tells_the_line_of_what_is_wrong_with_networks(void **state)
{
	(void)state;
	is_wrong(SERVE "[peer b]\nmigrate = yes\nnetworks = br0\n", 3, "networks needs launch");
	is_wrong(SERVE LAUNCHES "networks = a/b\n", 6, "no name of a network");
	is_wrong(SERVE LAUNCHES "networks = -a\n", 6, "no name of a network");
	is_wrong(SERVE LAUNCHES "networks = a=b:c\n", 6, "no name of an interface");
	is_wrong(SERVE LAUNCHES "networks = a=sixteen-and-more\n", 6, "no name of an interface");
	is_wrong(SERVE LAUNCHES "networks = a\nnetworks = b a\n", 7, "a is there already");
	is_wrong(SERVE LAUNCHES "networks = a-network-of-a-long-name\n", 0, "no bridge can be");
	is_wrong(SERVE "[network a]\n", 3, "does not say its bridge");
	is_wrong(SERVE "[network a]\n\n[peer b]\n", 3, "does not say its bridge");
	is_wrong(SERVE "[network ../a]\nbridge = b\n", 3, "no name of a network");
	is_wrong(SERVE "[network]\nbridge = b\n", 3, "no name of a network");
	is_wrong(SERVE "[network a]\nbridge = b\n[network a]\n", 5, "a is there already");
	is_wrong(SERVE "[network a]\nbridge = b\nbridge = c\n", 5, "line 4 already");
	is_wrong(SERVE "[network a]\nbridge = ..\n", 4, "no name of an interface");
	is_wrong(SERVE "[network a]\npsk = b\n", 4, "psk belongs to");
	is_wrong(SERVE "[network a]\nopenvswitch = --br\n", 4, "no name of an interface");
	is_wrong(SERVE "[network a]\nopenvswitch = b\nvlan = 4095\n", 5, "1 to 4094");
	is_wrong(SERVE "[network a]\nopenvswitch = b\nvlan = 0\n", 5, "1 to 4094");
	is_wrong(SERVE "[network a]\nbridge = b\nvlan = 7\n", 3, "vlan needs openvswitch");
	is_wrong(SERVE "[network a]\nvlan = 7\n", 3, "does not say its bridge");
	is_wrong(SERVE "[network a]\nbridge = b\nopenvswitch = b\n", 5, "write one of them");
	is_wrong(SERVE "[network a]\nopenvswitch = b\nscript = /bin/sh\n", 5, "one of them");
	is_wrong(SERVE "[network a]\nscript = net.sh\n", 4, "absolute path");
	is_wrong(SERVE "[network a]\nscript = /none/net.sh\n", 4, "No such file");
	is_wrong(SERVE "[network a]\nscript = /etc/passwd\n", 4, "not a program that can be run");
	is_wrong(SERVE "[network a]\nscript = /etc\n", 4, "not a program that can be run");
	is_wrong(SERVE "bridge = b\n", 3, "[network NAME]");
}

static void test_config_tells_the_line_of_what_is_wrong(void **state)
{
	char longest[400];

	(void)state;
	is_wrong("", 0, "who may connect");
	is_wrong("psk = /k\n", 1, "no section");
	is_wrong("[server]\n", 1, "[server] is no section");
	is_wrong("[peer]\n", 1, "[peer NAME]");
	is_wrong("[peer ]\n", 1, "[peer NAME]");
	is_wrong("[peers x]\n", 1, "no section");
	is_wrong("[serve\n", 1, "ends with ]");
	is_wrong("[serve] psk = /k\n", 1, "behind a section");
	is_wrong(SERVE "  [peer b]\n", 3, "very left");
	is_wrong(SERVE "[serve]\n", 3, "already");
	is_wrong(SERVE "key = 1\n", 3, "no key key");
	is_wrong(SERVE "psk = /l\n", 3, "line 2 already");
	is_wrong(SERVE "tls-creds = /l\n", 3, "tls-creds: psk and tls-creds cannot go together");
	is_wrong(SERVE "forward = unix:/a\n", 3, "[peer NAME]");
	is_wrong(SERVE "[peer b]\npsk = /l\n", 4, "[serve]");
	is_wrong(SERVE "nonsense\n\n[peer b]\nkey = 2\n", 3, "neither");
	is_wrong(SERVE "run-dir =\n", 3, "no value");
	is_wrong(SERVE "run-dir = /x # y\n", 3, "comment");
	is_wrong(SERVE "log-level = loud\n", 3, "log-level: \"loud\"");
	is_wrong(SERVE "sessions = 0\n", 3, "sessions: \"0\"");
	is_wrong(SERVE "sessions = 4294967297\n", 3, "no number");
	is_wrong(SERVE "sessions = 9x\n", 3, "no number");
	is_wrong(SERVE "handshakes = -1\n", 3, "no number");
	is_wrong(SERVE "memory = 1K\n", 3, "too little");
	is_wrong(SERVE "listen = :99999\n", 3, "listen: ");
	is_wrong(SERVE "api-listen = :1\n", 3, ": api-listen needs api-token-file");
	is_wrong(SERVE "vms = /nonexistent\n", 0, ": vms /nonexistent");
	is_wrong(SERVE "[peer b]\nmigrate = 1\n", 4, "neither yes nor no");
	is_wrong(SERVE "[peer b]\nmigrate = yes\nmigrate = no\n", 5, "line 4 already");
	is_wrong(SERVE "[peer b]\nforward = /a\n", 4, "forward: \"/a\" is no pattern");
	is_wrong(SERVE "[peer b]\nforward = unix:/a\n /b\n", 5, "forward: \"/b\"");
	is_wrong(SERVE "[peer b]\nlaunch = qemu\n", 4, "absolute");
	is_wrong(SERVE "[peer b]\nlaunch = /etc/passwd\n", 4, "not a program");
	is_wrong(SERVE "[peer b]\nimages = /etc/passwd\n", 4, "not a directory");
	is_wrong(SERVE "[peer b]\nimages = /tmp\n", 4, "everybody may write");
	is_wrong(SERVE "[peer b]\nstorage = fast=/tmp\n", 4, "everybody may write");
	is_wrong(SERVE "[peer b]\nstorage = /usr\n", 4, "write NAME=FOLDER");
	is_wrong(SERVE "[peer b]\nmigrate = yes\nlaunch = /bin/sh\nstorage = fast=/usr\n", 3,
		 "storage needs images");
	is_wrong(SERVE "memory-total = 3M\n", 3, "a session needs 4M");
	is_wrong(SERVE "[peer b]\nmemory = 3M\n", 4, "a session needs 4M");
	is_wrong(SERVE "[peer b]\nbandwidth = 0\n", 4, "bandwidth: ");
	is_wrong(SERVE "[peer b]\n\nlaunch = /bin/sh\n\n[peer c]\n", 3,
		 "launch needs migrate = yes");
	is_wrong(SERVE "[peer b]\ndest-qmp = /x\n", 3, "dest-qmp needs migrate");
	is_wrong(SERVE "[peer b]\nmigrate = yes\nlaunch = /bin/sh\nlaunch-hook = /bin/sh\n", 3,
		 "cannot go together");
	is_wrong(SERVE "[peer b]\nmigrate = yes\nswtpm = none\n", 3, "swtpm needs launch");
	is_wrong(SERVE "[peer b]\nmigrate = yes\nmemory-paths = /\n", 3,
		 "memory-paths needs launch");
	is_wrong(SERVE "[peer b]\nmigrate = yes\nlaunch = /bin/sh\noverwrite-images = yes\n", 3,
		 "overwrite-images needs images");
	is_wrong(SERVE "[peer b]\n[peer b]\n", 4, "peer b is there already");
	is_wrong(SERVE "[peer *]\n[peer b]\n", 4, "behind peer *");
	memset(longest, 'x', sizeof(longest) - 1);
	memcpy(longest, SERVE "run-dir = /", sizeof(SERVE "run-dir = /") - 1);
	longest[sizeof(longest) - 1] = '\0';
	is_wrong(longest, 3, "too long");
}

static void test_config_options_hold_against_the_file(void **state)
{
	static const char *const creds[] = {"tls-creds", "/x", "run-dir", "/o", NULL};
	static const char *const rights[] = {"allow-forward", "unix:/o", NULL};
	static const char *const needs[] = {"allow-launch", "/bin/sh", NULL};
	static const char *const wrong[] = {"allow-forward", "/o", NULL};
	struct err e = ERR_INIT;
	struct config *c;

	(void)state;
	c = read_with(SERVE "run-dir = /f\nstate-dir = /f\n", creds, &e);
	assert_non_null(c);
	assert_null(c->auth.psk);
	assert_string_equal(c->auth.tls_creds, "/x");
	assert_string_equal(c->run_dir, "/o");
	assert_string_equal(c->state_dir, "/f");
	assert_false(c->any);
	config_free(c);

	/* rights: of who is in no section */
	c = read_with(SERVE "[peer b]\n", rights, &e);
	assert_non_null(c);
	assert_true(rights_any(rights_table_find(c->rights, "psk:c")));
	assert_false(rights_any(rights_table_find(c->rights, "psk:b")));
	config_free(c);
	assert_null(read_with(SERVE "[peer *]\n", rights, &e));
	assert_int_equal(e.code, ERR_USAGE);
	assert_non_null(strstr(e.text, "[peer *]"));

	/* in the words of the command line */
	e = (struct err)ERR_INIT;
	assert_null(read_with(SERVE, needs, &e));
	assert_int_equal(e.code, ERR_USAGE);
	assert_string_equal(e.text, "--allow-launch needs --allow-migrate");
	e = (struct err)ERR_INIT;
	assert_null(read_with(SERVE, wrong, &e));
	assert_int_equal(e.code, ERR_USAGE);
	assert_int_equal(strncmp(e.text, "--allow-forward: ", 17), 0);
}

static void test_config_stdio_leaves_credentials_and_api_alone(void **state)
{
	struct config_source s = {.file = path, .stdio = true};
	struct err e = ERR_INIT;
	struct config *c;

	(void)state;
	write_file(SERVE "vms = /nonexistent\n[peer ssh:root]\nmigrate = yes\n");
	c = config_new(&s, &e);
	assert_non_null(c);
	assert_false(auth_given(&c->auth));
	assert_false(serve_api_wanted(&c->api));
	assert_true(rights_table_find(c->rights, "ssh:root@10.0.0.1")->migrate);
	config_free(c);
}

/* What sshd starts as another user than root goes by its own section, and sees no other's paths. */
static void test_config_stdio_looks_at_its_own_section(void **state)
{
	struct config_source s = {.file = path, .stdio = true, .peer = "ssh:nobody@10.0.0.1"};
	char dir[] = "/tmp/adit-config-d.XXXXXX", text[512];
	const struct rights *r;
	struct err e = ERR_INIT;
	struct config *c;

	(void)state;
	if (geteuid() != 0) {
		print_message("only root can be another user: not tested\n");
		return;
	}
	assert_non_null(mkdtemp(dir));
	snprintf(text, sizeof(text),
		 SERVE "launch-user = daemon\n"
		       "[peer ssh:root]\nmigrate = yes\nlaunch = /bin/sh\nimages = %s/inner\n"
		       "[peer ssh:daemon]\nmigrate = yes\nlaunch-hook = %s/hook\n"
		       "[peer ssh:nobody]\nmigrate = yes\nlaunch = /bin/sh\nimages = /usr\n"
		       "[peer ssh:nobody@10.*]\nmigrate = yes\nlaunch = /nonexistent\n",
		 dir, dir);
	write_file(text);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(seteuid(65534), 0);
	c = config_new(&s, &e);
	assert_string_equal(e.text, "");
	assert_non_null(c);
	r = rights_table_find(c->rights, s.peer);
	assert_string_equal(r->launch[0], "/bin/sh");
	assert_false(user_is_given(&r->launch_user)); /* it cannot become daemon, and need not */
	assert_false(c->any_launch_user);
	config_free(c);
	s.peer = "ssh:root@10.0.0.1";
	assert_null(config_new(&s, &e)); /* its own are looked at */
	assert_non_null(strstr(e.text, ":7: images: "));

	/* who it is already */
	e = (struct err)ERR_INIT;
	assert_int_equal(seteuid(0), 0);
	write_file(SERVE "launch-user = nobody\n");
	s = (struct config_source){.file = path};
	assert_int_equal(seteuid(65534), 0);
	c = config_new(&s, &e);
	assert_int_equal(seteuid(0), 0);
	assert_non_null(c);
	assert_false(user_is_given(&c->launch_user));
	config_free(c);
	assert_int_equal(chmod(path, 0600), 0);
	rmdir(dir);
}

static void test_config_names_what_is_fixed(void **state)
{
	struct err e = ERR_INIT;
	struct config *a = read_with(SERVE, NULL, &e), *b;
	char text[128];

	(void)state;
	b = read_with(SERVE "[peer b]\nlibvirt = yes\n", NULL, &e);
	assert_string_equal(config_fixed(a, b, text, sizeof(text)), "");
	config_free(b);
	b = read_with(SERVE "listen = :1\nrun-dir = /x\nvms = /tmp\n", NULL, &e);
	assert_string_equal(config_fixed(a, b, text, sizeof(text)), "listen, run-dir, vms");
	config_free(a);
	config_free(b);
}

static void test_config_file_is_nobody_elses_to_write(void **state)
{
	struct config_source s = {.file = path};
	char hook[] = "/tmp/adit-config-h.XXXXXX", text[128];
	struct err e = ERR_INIT;
	struct config *c;
	int fd = mkstemp(hook);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_file(SERVE);
	assert_int_equal(chmod(path, 0666), 0);
	assert_null(config_new(&s, &e));
	assert_non_null(strstr(e.text, "chmod go-w"));
	assert_int_equal(chmod(path, 0600), 0);
	if (geteuid() == 0) { /* a group's, that is not root's */
		assert_int_equal(chown(path, 0, 1), 0);
		assert_int_equal(chmod(path, 0660), 0);
		e = (struct err)ERR_INIT;
		assert_null(config_new(&s, &e));
		assert_non_null(strstr(e.text, "its group may write to it"));
		assert_int_equal(chown(path, 0, 0), 0);
		e = (struct err)ERR_INIT;
		c = config_new(&s, &e);
		assert_non_null(c);
		config_free(c);
		assert_int_equal(chown(hook, 0, 1), 0);
		assert_int_equal(chmod(hook, 0770), 0);
		snprintf(text, sizeof(text), SERVE "[peer b]\nmigrate = yes\nlaunch-hook = %s\n",
			 hook);
		is_wrong(text, 5, "writable for its owner only");
		assert_int_equal(chmod(hook, 0750), 0);
		e = (struct err)ERR_INIT;
		c = read_with(text, NULL, &e);
		assert_non_null(c);
		config_free(c);
		assert_int_equal(chmod(path, 0600), 0);
	}
	unlink(hook);
	s.file = "/tmp";
	assert_null(config_new(&s, &e));
	s.file = "/nonexistent";
	assert_null(config_new(&s, &e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_config_says_where_of_a_key_with_the_file_s_name),
	    cmocka_unit_test(test_config_reads_what_a_file_says),
	    cmocka_unit_test(test_config_maps_networks),
	    cmocka_unit_test(test_config_maps_storages),
	    cmocka_unit_test(test_config_tells_the_line_of_what_is_wrong_with_storages),
	    cmocka_unit_test(test_config_tells_the_line_of_what_is_wrong_with_networks),
	    cmocka_unit_test(test_config_tells_the_line_of_what_is_wrong),
	    cmocka_unit_test(test_config_options_hold_against_the_file),
	    cmocka_unit_test(test_config_stdio_leaves_credentials_and_api_alone),
	    cmocka_unit_test(test_config_stdio_looks_at_its_own_section),
	    cmocka_unit_test(test_config_names_what_is_fixed),
	    cmocka_unit_test(test_config_file_is_nobody_elses_to_write),
	};
	int fd = mkstemp(path), failed;

	if (fd < 0)
		return 1;
	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
