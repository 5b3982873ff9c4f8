/* The checks' judgments, on what QEMUs would say: levels, names and mends; no QEMU is needed, so
 * that what no machine of ours has (VFIO, KVM, other CPUs) is judged too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/check/check_destination.h"
#include "control/check/check_probe.h"
#include "control/check/check_rate.h"
#include "control/check/check_source.h"
#include "control/host/check_names.h"
#include "control/talk/cookie.h"

/* ---- the list ---- */

static void test_check_list_refuses_with_the_first_error(void **state)
{
	struct check c = {0};
	struct err e = ERR_INIT;

	(void)state;
	check_add(&c, CHECK_OK, "one", NULL, "fine");
	check_add(&c, CHECK_WARNING, "two", "look", "so so");
	assert_int_equal(check_refuse(&c, &e), 0);
	check_add(&c, CHECK_ERROR, "three", "mend it", "%d is bad\n", 3);
	check_add(&c, CHECK_ERROR, "four", NULL, "worse");
	assert_int_equal(check_refuse(&c, &e), ERR_REFUSED);
	assert_string_equal(e.text, "3 is bad?: mend it"); /* no line break gets through */
	assert_int_equal(check_count(&c, CHECK_ERROR), 2);
	assert_true(check_has(&c, "two", CHECK_WARNING));
	assert_false(check_has(&c, "two", CHECK_ERROR));
	check_fini(&c);
}

static void test_check_list_goes_over_as_a_cookie(void **state)
{
	struct check c = {0}, back = {0};
	json_t *msg = cookie_new(COOKIE_CHECKED, "0123456789abcdef0123456789abcdef");
	char text[ERR_TEXT_MAX + 40];
	enum cookie_kind kind;
	struct err e = ERR_INIT;
	size_t at = ERR_TEXT_MAX - 2;

	(void)state;
	/* a character of two bytes that is cut in the middle */
	memset(text, 'a', sizeof(text));
	memcpy(text + at, "\xc3\xa9", 2);
	text[sizeof(text) - 1] = 0;
	check_add(&c, CHECK_WARNING, "long", "m", "%s", text);
	check_add(&c, CHECK_OK, "short", NULL, "s");
	json_object_set_new(msg, "findings", check_to_json(&c));
	assert_int_equal(cookie_check(msg, COOKIE_DESTINATION, &kind, &e), 0);
	assert_int_equal(check_from_json(&back, json_object_get(msg, "findings"), &e), 0);
	assert_int_equal(back.count, 2);
	assert_int_equal(back.at[0].level, CHECK_WARNING);
	assert_int_equal(strlen(back.at[0].text), at);
	assert_string_equal(back.at[0].mend, "m");
	assert_string_equal(back.at[1].check, "short");
	assert_string_equal(back.at[1].mend, "");
	json_object_set_new(json_array_get(json_object_get(msg, "findings"), 0), "level",
			    json_string("fatal"));
	assert_int_equal(check_from_json(&back, json_object_get(msg, "findings"), &e),
			 ERR_PROTOCOL);
	json_decref(msg);
	check_fini(&c);
	check_fini(&back);
}

static void test_check_list_ends_somewhere(void **state)
{
	struct check c = {0};
	struct err e = ERR_INIT;

	(void)state;
	for (int i = 0; i < CHECK_FINDINGS_MAX + 1; i++)
		check_add(&c, CHECK_OK, "x", NULL, "y");
	assert_int_equal(c.count, CHECK_FINDINGS_MAX);
	assert_true(check_refuse(&c, &e) < 0);
	check_fini(&c);
}

/* ---- the source ---- */

static const char good_source[] =
    "{'vm':{'qemu':'7.2.0','arch':'x86_64','machine':'pc-i440fx-7.2','name':'web','status':'"
    "running',"
    "'running':true,'memory':1073741824,'cpus':2,'accel':'kvm','argv':['qemu']},"
    "'disks':[{'name':'d0','node':'n0','size':1048576,'copy':true},"
    "{'name':'d1','node':'n1','size':1048576,'copy':false}],"
    "'migrate':{},'block_jobs':[],'nodes':[],'devices':[{'name':'net0','type':'child<virtio-net-"
    "pci>'}],"
    "'graph':{'nodes':[{'name':'dev','type':'block-backend','id':1},"
    "{'name':'n0','type':'block-driver','id':2},{'name':'free','type':'block-driver','id':3},"
    "{'name':'used','type':'block-driver','id':4}],'edges':[{'parent':1,'child':2},"
    "{'parent':1,'child':4},{'parent':3,'child':2},{'parent':4,'child':2}]},"
    "'caps':[{'capability':'events'},{'capability':'return-path'},"
    "{'capability':'pause-before-switchover'},{'capability':'postcopy-ram'}]}";

/* ' for " */
static json_t *parse(const char *text)
{
	char buf[8192];
	json_t *v;

	snprintf(buf, sizeof(buf), "%s", text);
	for (char *p = buf; (p = strchr(p, '\''));)
		*p = '"';
	v = json_loads(buf, JSON_DECODE_ANY, NULL);
	assert_non_null(v);
	return v;
}

/* The checks of the good source with one member replaced (in path "vm.status" or "migrate"). */
static void source(struct check *c, const struct migrate_config *config, const char *path,
		   const char *value)
{
	json_t *all = parse(good_source), *in = all;
	const char *dot = path ? strchr(path, '.') : NULL;
	char head[32];
	struct vmdesc_report r = {.argv_err = ERR_INIT};

	if (dot) {
		snprintf(head, sizeof(head), "%.*s", (int)(dot - path), path);
		in = json_object_get(all, head);
		path = dot + 1;
	}
	if (path && !*path) {
		json_t *more = parse(value);

		json_object_update(all, more);
		json_decref(more);
	} else if (path) {
		json_object_set_new(in, path, parse(value));
	}
	r.vm = json_object_get(all, "vm");
	r.disks = json_object_get(all, "disks");
	r.migrate = json_object_get(all, "migrate");
	r.yank = json_object_get(all, "yank");
	r.block_jobs = json_object_get(all, "block_jobs");
	r.nodes = json_object_get(all, "nodes");
	r.graph = json_object_get(all, "graph");
	r.devices = json_object_get(all, "devices");
	r.capabilities = json_object_get(all, "caps");
	check_source(c, &r, config);
	json_decref(all);
}

static const struct check_finding *find(const struct check *c, const char *name,
					enum check_level level)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->at[i].level == level && strcmp(c->at[i].check, name) == 0)
			return &c->at[i];
	return NULL;
}

/* Of that check there is a finding of that level that has the word, and no worse one. */
static void expect(struct check *c, const char *name, enum check_level level, const char *word)
{
	const struct check_finding *f = find(c, name, level);
	char line[CHECK_LINE_MAX];

	if (!f || !strstr(check_line(f, line, sizeof(line)), word)) {
		for (size_t i = 0; i < c->count; i++)
			fprintf(stderr, "%s %s: %s\n", check_level_name(c->at[i].level),
				c->at[i].check, c->at[i].text);
		fail_msg("no %s of %s with \"%s\"", check_level_name(level), name, word);
	}
	assert_true(level == CHECK_ERROR ||
		    !check_has(c, name, level == CHECK_OK ? CHECK_WARNING : CHECK_ERROR));
	check_fini(c);
}

static void test_check_source_passes_a_good_vm(void **state)
{
	const struct migrate_config config = {0};
	struct check c = {0};

	(void)state;
	source(&c, &config, NULL, NULL);
	assert_int_equal(check_count(&c, CHECK_OK), c.count);
	assert_int_equal(c.count, 10);
	expect(&c, "disks", CHECK_OK, "1 of 2 drives is copied");
}

static void test_check_source_sees_what_forbids_it(void **state)
{
	const struct migrate_config config = {0}, waiting = {.dest_qmp = "/q"};
	const struct migrate_config wishes = {.multifd = 4, .postcopy = true};
	struct check c = {0};

	(void)state;
	source(&c, &config, "migrate", "{'status':'active'}");
	expect(&c, "state", CHECK_ERROR, "being migrated already");
	source(&c, &config, "migrate", "{'status':'failed'}");
	expect(&c, "state", CHECK_OK, "runs");
	source(&c, &config, "yank", "[{'type':'chardev','id':'qmp'}]");
	expect(&c, "state", CHECK_OK, "runs");
	source(&c, &config, "", "{'migrate':{'status':'failed'},'yank':[{'type':'migration'}]}");
	expect(&c, "state", CHECK_ERROR, "not cleared away yet the VM's last migration (failed)");
	source(&c, &config, "vm.status", "'postmigrate'");
	expect(&c, "state", CHECK_ERROR, "does not run here");
	source(&c, &config, "block_jobs", "[{'device':'job7','type':'commit'}]");
	expect(&c, "block-jobs", CHECK_ERROR, "job7 (commit)");
	source(&c, &config, "block_jobs", "[{'device':'adit-mirror-0','type':'mirror'}]");
	expect(&c, "block-jobs", CHECK_OK, "");
	source(&c, &config, "migrate", "{'blocked-reasons':['VFIO device cannot']}");
	expect(&c, "blockers", CHECK_ERROR, "VFIO device cannot");
	source(&c, &config, "devices", "[{'name':'gpu0','type':'child<vfio-pci>'}]");
	expect(&c, "host-devices", CHECK_WARNING, "gpu0 (vfio-pci) passes a device");
	source(&c, &waiting, "devices", "[{'name':'stick','type':'child<usb-host>'}]");
	expect(&c, "host-devices", CHECK_WARNING, "stick (usb-host)");
	source(&c, &config, "devices",
	       "[{'name':'device[0]','type':'child<vhost-user-fs-pci>'},"
	       "{'name':'type','type':'string'}]");
	expect(&c, "host-devices", CHECK_WARNING, "device[0] (vhost-user-fs-pci)");
	source(&c, &wishes, NULL, NULL);
	expect(&c, "capabilities", CHECK_ERROR, "no multifd, which is needed for --multifd");
}

/* A backup's filter goes with its job; one that somebody has put there does not. */
static void test_check_source_tells_a_backup_once(void **state)
{
	const struct migrate_config config = {0};
	struct check c = {0};

	(void)state;
	source(&c, &config, "",
	       "{'nodes':[{'node-name':'free','drv':'copy-before-write'}],"
	       "'block_jobs':[{'device':'job7','type':'backup'}]}");
	assert_null(find(&c, "disks", CHECK_ERROR));
	expect(&c, "block-jobs", CHECK_ERROR, "job7 (backup)");
	source(&c, &config, "nodes", "[{'node-name':'free','drv':'copy-before-write'}]");
	expect(&c, "disks", CHECK_ERROR, "node free (copy-before-write) stands on disk d0");
}

static void test_check_source_tells_of_a_group_that_is_parted(void **state)
{
	const struct migrate_config config = {0};
	struct check c = {0};

	(void)state;
	source(&c, &config, "disks",
	       "[{'name':'d0','node':'n0','copy':true,'limits':{'bps-write':5},"
	       "'limits_group':'adit-0a1b2c3d+own'}]");
	expect(&c, "limits", CHECK_WARNING, "in group own, and the pace of that migration may be");
	source(&c, &config, "disks",
	       "[{'name':'d0','node':'n0','copy':true,'limits':{'bps-write':5},"
	       "'limits_group':'adit-0a1b2c3d+own'},{'name':'d1','node':'n1','copy':false,"
	       "'limits':{'bps-write':5},'limits_group':'own'}]");
	expect(&c, "limits", CHECK_WARNING, "gets the limits of group own");
}

static void test_check_source_knows_which_bitmaps_are_lost(void **state)
{
	const struct migrate_config config = {0};
	struct check c = {0};

	(void)state;
	source(&c, &config, "nodes",
	       "[{'node-name':'n0','dirty-bitmaps':[{'name':'b','persistent':true}]}]");
	expect(&c, "bitmaps", CHECK_WARNING, "bitmap b of node n0"); /* n0 is copied */
	source(&c, &config, "nodes",
	       "[{'node-name':'n1','dirty-bitmaps':[{'name':'b','persistent':true}]}]");
	expect(&c, "bitmaps", CHECK_OK, "");
	source(&c, &config, "nodes", "[{'node-name':'n1','dirty-bitmaps':[{'name':'b'}]}]");
	expect(&c, "bitmaps", CHECK_WARNING, "bitmap b of node n1");
	source(&c, &config, "nodes", "[{'node-name':'n0','dirty-bitmaps':[{'busy':true}]}]");
	expect(&c, "bitmaps", CHECK_OK, "");
}

static void test_check_source_loses_no_snapshot_unsaid(void **state)
{
	static const char *const nodes =
	    "[{'node-name':'n0','drv':'qcow2','image':{'snapshots':[{'name':'mon'},{'name':'tue'}],"
	    "'format-specific':{'data':{'data-file':'/d','corrupt':true}}}},"
	    "{'node-name':'n1','image':{'snapshots':[{'name':'wed'}]}}]";
	const struct migrate_config config = {0}, drop = {.drop_snapshots = true};
	struct check c = {0};

	(void)state;
	source(&c, &config, "nodes", nodes);
	assert_int_equal(check_count(&c, CHECK_ERROR), 1); /* n1 is not copied */
	expect(&c, "snapshots", CHECK_ERROR, "mon, tue: --drop-snapshots leaves them");
	source(&c, &drop, "nodes", nodes);
	expect(&c, "snapshots", CHECK_WARNING, "are dropped");
	source(&c, &drop, "nodes", nodes);
	expect(&c, "image", CHECK_WARNING, "in another file here (/d)");
}

/* `free` and `used` stand on n0, and a device on `used`. */
static void test_check_source_sees_what_stands_on_a_disk(void **state)
{
	const struct migrate_config config = {0};
	struct check c = {0};

	(void)state;
	source(&c, &config, "nodes",
	       "[{'node-name':'n0'},{'node-name':'used','drv':'mirror_top'}]");
	expect(&c, "disks", CHECK_OK, ""); /* a job's, which goes with it */
	source(&c, &config, "nodes",
	       "[{'node-name':'n0'},{'node-name':'free','drv':'mirror_top'}]");
	expect(&c, "disks", CHECK_ERROR, "kept a node of an earlier copy at disk d0 (free, mirr");
	source(&c, &config, "nodes", "[{'node-name':'n0'},{'node-name':'used','drv':'raw'}]");
	expect(&c, "disks", CHECK_ERROR, "node used (raw) stands on disk d0");
	source(&c, &config, "nodes", "[{'node-name':'n0'},{'node-name':'free','drv':'raw'}]");
	expect(&c, "disks", CHECK_ERROR, "node free (raw) stands on disk d0");
}

static void test_check_source_says_why_there_is_no_command_line(void **state)
{
	const struct migrate_config config = {0}, waiting = {.dest_qmp = "/q"};
	struct vmdesc_report r = {.argv_err = ERR_INIT};
	struct check c = {0};

	(void)state;
	r.vm = parse("{'qemu':'7.2.0','running':true,'status':'running'}");
	err_set(&r.argv_err, ERR_SYSTEM, "no right to look");
	check_source(&c, &r, &config);
	expect(&c, "command-line", CHECK_ERROR, "no right to look");
	check_source(&c, &r, &waiting);
	assert_null(find(&c, "command-line", CHECK_ERROR));
	check_fini(&c);
	json_decref(r.vm);
}

/* ---- the destination ---- */

static const char answers[] =
    "{'qemu':'7.2.22','target':{'arch':'x86_64'},'kvm':true,'machines':{'pc-i440fx-7.2':255,'small'"
    ":1},"
    "'cpus':{'qemu64':[],'Skylake':['avx512f','hle'],'host':[]},'compression':['none','zlib'],"
    "'capabilities':[{'capability':'events'},{'capability':'return-path'},"
    "{'capability':'pause-before-switchover'},{'capability':'multifd'}]}";

struct there {
	struct vmdesc vm;
	struct check_there t;
	json_t *qemu;
};

static struct there *there(void)
{
	static struct there x;

	json_decref(x.qemu);
	strvec_fini(&x.vm.cpu_lacks);
	memset(&x, 0, sizeof(x));
	x.qemu = parse(answers);
	x.vm = (struct vmdesc){.qemu = "7.2.1",
			       .arch = "x86_64",
			       .machine = "pc-i440fx-7.2",
			       .name = "web",
			       .host = "another",
			       .accel = "kvm",
			       .cpu = "qemu64",
			       .cpu_flags = "",
			       .cpus = 2,
			       .memory = 1 << 30};
	x.t = (struct check_there){.vm = &x.vm,
				   .qemu = x.qemu,
				   .memory_available = (uint64_t)4 << 30,
				   .memory_most = (uint64_t)8 << 30,
				   .cpu_flags = "fpu sse sse2"};
	return &x;
}

static void expect_there(struct there *x, const char *name, enum check_level level,
			 const char *word)
{
	struct check c = {0};

	check_destination(&c, &x->t);
	expect(&c, name, level, word);
}

static void test_check_destination_compares_qemus(void **state)
{
	struct there *x = there();
	struct check c = {0};

	(void)state;
	check_destination(&c, &x->t);
	assert_int_equal(check_count(&c, CHECK_OK), c.count);
	assert_int_equal(c.count, 7);
	check_fini(&c);
	x->vm.qemu = "7.2.50"; /* the third number says nothing */
	expect_there(x, "qemu-version", CHECK_OK, "");
	x->vm.qemu = "10.0.0";
	expect_there(x, "qemu-version", CHECK_WARNING, "older");
	x->vm.arch = "aarch64";
	expect_there(x, "architecture", CHECK_ERROR, "aarch64");
	x->vm.machine = "pc-q35-99.0";
	expect_there(x, "machine", CHECK_ERROR, "pc-q35-99.0");
	x->vm.machine = "small";
	expect_there(x, "machine", CHECK_ERROR, "at most 1 CPU");
	x = there();
	json_object_set_new(x->qemu, "kvm", json_false());
	expect_there(x, "accelerator", CHECK_ERROR, "/dev/kvm");
	x->vm.accel = "tcg";
	expect_there(x, "accelerator", CHECK_OK, "tcg");
	json_object_set_new(x->qemu, "kvm", json_true());
	expect_there(x, "accelerator", CHECK_OK, "tcg");
	x->t.waits = true;
	json_object_set_new(x->qemu, "status", json_string("inmigrate"));
	expect_there(x, "accelerator", CHECK_WARNING, "TCG");
	json_object_set_new(x->qemu, "status", json_string("running"));
	expect_there(x, "waiting", CHECK_ERROR, "state running");
}

static void test_check_destination_compares_cpus(void **state)
{
	struct there *x = there();

	(void)state;
	x->vm.cpu = "Skylake";
	expect_there(x, "cpu", CHECK_ERROR, "avx512f, hle");
	strvec_push(&x->vm.cpu_lacks, "hle");
	expect_there(x, "cpu", CHECK_ERROR, "source: avx512f:");
	strvec_push(&x->vm.cpu_lacks, "avx512f");
	expect_there(x, "cpu", CHECK_OK, "Skylake");
	x = there();
	x->vm.cpu = "Skylake";
	x->vm.accel = "tcg"; /* QEMU leaves out what it cannot do, on both sides */
	expect_there(x, "cpu", CHECK_WARNING, "avx512f");
	x->vm.cpu = "FromTheFuture";
	expect_there(x, "cpu", CHECK_ERROR, "FromTheFuture is not known");
	x->vm.cpu = "host";
	x->vm.cpu_flags = "fpu sse2 avx512f sse4_1";
	expect_there(x, "cpu", CHECK_WARNING, "lacks avx512f, sse4_1:");
	x->vm.cpu_flags = "sse sse2";
	expect_there(x, "cpu", CHECK_OK, "every flag");
}

static void test_check_destination_looks_for_room_and_capabilities(void **state)
{
	struct there *x = there();

	(void)state;
	x->vm.memory = (uint64_t)5 << 30;
	expect_there(x, "memory", CHECK_WARNING, "4.0 GiB available");
	x->vm.memory = (uint64_t)9 << 30;
	expect_there(x, "memory", CHECK_ERROR, "8.0 GiB in all");
	x->t.memory_most = 0;
	expect_there(x, "memory", CHECK_WARNING, "not known");
	x = there();
	x->t.wish.multifd = true;
	expect_there(x, "capabilities", CHECK_OK, "all 4");
	x->t.compression = "zlib";
	expect_there(x, "capabilities", CHECK_OK, "all 4");
	x->t.compression = "zstd";
	expect_there(x, "capabilities", CHECK_ERROR, "zstd");
	x->t.compression = NULL;
	x->t.wish.xbzrle = true;
	expect_there(x, "capabilities", CHECK_ERROR, "xbzrle");
	json_decref(x->qemu);
	x->qemu = NULL;
}

static void test_check_probe_reads_what_a_binary_says(void **state)
{
	static const char said[] =
	    "{\"QMP\":{}}\n{\"return\":{}}\n"
	    "{\"return\":{\"qemu\":{\"major\":9,\"minor\":1,\"micro\":2}},\"id\":0}\r\n"
	    "{\"event\":\"X\"}\nnot JSON\n"
	    "{\"return\":{\"enabled\":true},\"id\":2}\n"
	    "{\"return\":[{\"name\":\"pc-9\",\"alias\":\"pc\",\"cpu-max\":7}],\"id\":3}\n"
	    "{\"return\":[{\"name\":\"old\",\"unavailable-features\":[\"f\"]},{\"name\":\"z\"}],"
	    "\"id\":4}\n"
	    "{\"return\":[{\"values\":[\"zlib\",\"zstd\"]},{\"values\":[\"none\",\"zlib\"]}],"
	    "\"id\":6}\n"
	    "{\"return\":1,\"id\":99}\n{\"return\":{},\"id\":-1}";
	struct err e = ERR_INIT;
	json_t *o = check_probe_read(said, strlen(said), &e);

	(void)state;
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "qemu")), "9.1.2");
	assert_true(json_is_true(json_object_get(o, "kvm")));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "machines"), "pc")),
			 7);
	assert_int_equal(json_array_size(json_object_get(json_object_get(o, "cpus"), "old")), 1);
	assert_int_equal(json_array_size(json_object_get(json_object_get(o, "cpus"), "z")), 0);
	assert_int_equal(json_array_size(json_object_get(o, "compression")), 2);
	json_decref(o);
	assert_null(check_probe_read("{\"QMP\":{}}\n", 11, &e));
	assert_int_equal(e.code, ERR_QEMU);
}

/* ---- names ---- */

static bool named(const char *words, size_t len)
{
	return check_names_match(words, len, "web", "11111111-2222-3333-4444-555555555555");
}
#define NAMED(words) named(words, sizeof(words))

static void test_check_names_reads_command_lines(void **state)
{
	(void)state;
	assert_true(NAMED("/usr/bin/qemu-system-x86_64\0-name\0web"));
	assert_true(NAMED("qemu-kvm\0-m\0"
			  "32\0--name\0guest=web,debug-threads=on\0-S"));
	assert_true(NAMED("qemu-kvm\0-name\0process=x,guest=web"));
	assert_true(NAMED("qemu-kvm\0-uuid\0"
			  "11111111-2222-3333-4444-555555555555"));
	assert_false(NAMED("qemu-kvm\0-name\0webmail"));
	assert_false(NAMED("qemu-kvm\0-name\0guest=other,process=web"));
	assert_false(NAMED("qemu-kvm\0-append\0name web"));
	assert_false(NAMED("qemu-kvm\0-name")); /* its value is missing */
	assert_false(NAMED("vi\0-name\0web"));
	assert_false(NAMED("qemu-img\0-name\0web"));
	assert_false(named("", 0));
	assert_false(named("qemu\0-name\0web", 14)); /* cut off within a word */
	/* a VM without a name has no namesake */
	assert_false(check_names_match("qemu\0-name\0", 12, "", ""));
}

/* ---- rates ---- */

static void expect_rate(const struct check_rate *r, const char *name, enum check_level level,
			const char *word)
{
	struct check c = {0};

	check_rate(&c, r);
	expect(&c, name, level, word);
}

static void test_check_rate_says_whether_it_converges(void **state)
{
	const uint64_t mib = 1 << 20;
	struct check_rate r = {.dirty = 50 * mib,
			       .bandwidth = 100 * mib,
			       .memory = 1000 * mib,
			       .disks = 2000 * mib,
			       .downtime_ms = 300};

	(void)state;
	expect_rate(&r, "convergence", CHECK_OK, "it converges");
	/* disks: 20 s, RAM: 1000 / (100 - 50) */
	expect_rate(&r, "duration", CHECK_OK, "about 41 s");
	r.dirty = 90 * mib;
	expect_rate(&r, "convergence", CHECK_WARNING, "hardly");
	r.dirty = 100 * mib;
	expect_rate(&r, "convergence", CHECK_ERROR, "--auto-converge");
	expect_rate(&r, "duration", CHECK_OK, "not known");
	r.helped = true;
	expect_rate(&r, "convergence", CHECK_WARNING, "by itself");
	r.still = true;
	expect_rate(&r, "dirty-rate", CHECK_OK, "stands still");
	expect_rate(&r, "convergence", CHECK_OK, "converges");
	expect_rate(&r, "duration", CHECK_OK, "about 31 s");
	r.still = r.helped = false;
	r.memory = 10 * mib; /* all of it goes over in the time that the guest may stand still */
	expect_rate(&r, "convergence", CHECK_OK, "converges");
	r.bandwidth = 0;
	expect_rate(&r, "convergence", CHECK_OK, "more than 100.0 MiB/s");
	expect_rate(&r, "duration", CHECK_OK, "not known");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_check_list_refuses_with_the_first_error),
	    cmocka_unit_test(test_check_list_goes_over_as_a_cookie),
	    cmocka_unit_test(test_check_list_ends_somewhere),
	    cmocka_unit_test(test_check_source_passes_a_good_vm),
	    cmocka_unit_test(test_check_source_sees_what_forbids_it),
	    cmocka_unit_test(test_check_source_sees_what_stands_on_a_disk),
	    cmocka_unit_test(test_check_source_tells_a_backup_once),
	    cmocka_unit_test(test_check_source_tells_of_a_group_that_is_parted),
	    cmocka_unit_test(test_check_source_knows_which_bitmaps_are_lost),
	    cmocka_unit_test(test_check_source_loses_no_snapshot_unsaid),
	    cmocka_unit_test(test_check_source_says_why_there_is_no_command_line),
	    cmocka_unit_test(test_check_destination_compares_qemus),
	    cmocka_unit_test(test_check_destination_compares_cpus),
	    cmocka_unit_test(test_check_destination_looks_for_room_and_capabilities),
	    cmocka_unit_test(test_check_probe_reads_what_a_binary_says),
	    cmocka_unit_test(test_check_names_reads_command_lines),
	    cmocka_unit_test(test_check_rate_says_whether_it_converges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
