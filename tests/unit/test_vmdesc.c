/* The VM's description: read from a real QEMU, and read back by the destination. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/qmp/qmp.h"
#include "control/talk/cookie.h"
#include "control/vm/vmdesc.h"

#define JOB "0123456789abcdef0123456789abcdef"

struct rig {
	struct event_base *base;
	char dir[64], sock[96];
	pid_t pid;
	struct qmp *qmp;
	int ready, ended, read, deleted;
	struct err why;
	struct vmdesc_report rep;
};

static void on_ready(void *ctx, struct qmp *q)
{
	(void)q;
	((struct rig *)ctx)->ready = 1;
}

static void on_qmp_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct rig *r = ctx;

	(void)q;
	r->ended = 1;
	r->why = *why;
}

static void on_event(void *ctx, struct qmp *q, const char *name, const json_t *data)
{
	(void)q;
	/* (there are others of what a device is made of) */
	if (strcmp(name, "DEVICE_DELETED") == 0 && json_object_get(data, "device"))
		((struct rig *)ctx)->deleted = 1;
}

static const struct qmp_ops qmp_ops = {on_ready, on_event, on_qmp_end};

static void on_read(void *ctx, struct vmdesc_report *rep, const struct err *e)
{
	struct rig *r = ctx;

	r->read++;
	r->why = *e;
	if (rep)
		r->rep = *rep;
}

static void run(struct rig *r, const int *flag)
{
	for (int i = 0; i < 2000 && !*flag; i++) {
		event_base_loop(r->base, EVLOOP_NONBLOCK);
		usleep(5000);
	}
	assert_int_not_equal(*flag, 0);
}

/* Starts QEMU in a folder with disks a.raw and b.qcow2; "@" in words is the folder. */
static void rig_up(struct rig *r, const char *words)
{
	char command[2048], *p = command, *end = command + sizeof(command);
	struct err e = ERR_INIT;

	memset(r, 0, sizeof(*r));
	if (system("command -v qemu-system-x86_64 qemu-img >/dev/null") != 0) {
		fputs("SKIP: there is no QEMU\n", stderr);
		skip();
	}
	snprintf(r->dir, sizeof(r->dir), "/tmp/adit-test-vmdesc-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->sock, sizeof(r->sock), "%s/q", r->dir);
	snprintf(
	    command, sizeof(command),
	    "cd %s && qemu-img create -q -f raw a.raw 1M && qemu-img create -q -f qcow2 -o "
	    "cluster_size=4k,extended_l2=off,refcount_bits=8 b.qcow2 2M && qemu-img create -q -f "
	    "raw c.iso 64k",
	    r->dir);
	assert_int_equal(system(command), 0);
	p += snprintf(p, (size_t)(end - p),
		      "cd %s && exec qemu-system-x86_64 -accel tcg -M pc -m 16 -nodefaults "
		      "-display none -S -name guest=my-vm -qmp unix:q,server=on,wait=off ",
		      r->dir);
	for (; *words && p < end - 80; words++) {
		if (*words == '@')
			p += snprintf(p, (size_t)(end - p), "%s", r->dir);
		else
			*p++ = *words;
	}
	*p = 0;
	r->pid = fork();
	if (r->pid == 0) {
		/* a test that fails does not come to rig_down */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 2000 && access(r->sock, F_OK) < 0; i++)
		usleep(10000);
	r->base = event_base_new();
	/* The file is there a moment before QEMU listens on it. */
	for (int i = 0; i < 100 && !r->ready; i++) {
		qmp_free(r->qmp);
		r->ended = 0;
		r->qmp = qmp_connect(r->base, r->sock, 20000, &qmp_ops, r, &e);
		assert_non_null(r->qmp);
		while (!r->ready && !r->ended)
			event_base_loop(r->base, EVLOOP_ONCE);
		if (!r->ready)
			usleep(10000);
	}
	assert_int_equal(r->ready, 1);
}

static void read_vm(struct rig *r)
{
	vmdesc_report_fini(&r->rep);
	r->read = 0;
	vmdesc_read(r->qmp, on_read, r);
	run(r, &r->read);
	assert_int_equal(r->why.code, ERR_NONE);
}

static void rig_down(struct rig *r)
{
	char command[128];

	vmdesc_report_fini(&r->rep);
	qmp_free(r->qmp);
	event_base_free(r->base);
	kill(r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
	snprintf(command, sizeof(command), "rm -r %s", r->dir);
	assert_int_equal(system(command), 0);
}

/* As the destination gets it: through a cookie. */
static void to_there(struct rig *r, struct vmdesc *d)
{
	json_t *msg = cookie_new(COOKIE_BEGIN, JOB), *got;
	enum cookie_kind kind;
	struct err e = ERR_INIT;
	char *line;

	json_object_set(msg, "vm", r->rep.vm);
	json_object_set(msg, "disks", r->rep.disks);
	line = json_dumps(msg, JSON_COMPACT);
	if (cookie_read(line, strlen(line), COOKIE_SOURCE, &kind, &got, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(vmdesc_parse(d, got, &e), 0);
	json_decref(got);
	json_decref(msg);
	free(line);
}

static void wait_reply(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	(void)q;
	(void)result;
	assert_int_equal(e->code, ERR_NONE);
	*(int *)ctx = 1;
}

static void command(struct rig *r, const char *name, json_t *args)
{
	int done = 0;

	qmp_command(r->qmp, name, args, wait_reply, &done);
	run(r, &done);
}

static void test_vmdesc_reads_a_vm(void **state)
{
	struct vmdesc_disk *k;
	struct vmdesc d;
	struct rig r;

	(void)state;
	rig_up(&r, "-drive file=a.raw,format=raw,if=ide "
		   "-blockdev driver=file,filename=@/b.qcow2,node-name=prot "
		   "-blockdev driver=qcow2,file=prot,node-name=fmt "
		   "-device virtio-blk-pci,drive=fmt,id=vd "
		   "-drive if=none,id=cd,media=cdrom,file=c.iso -device ide-cd,drive=cd,bus=ide.1 "
		   "-drive if=floppy");
	read_vm(&r);
	assert_int_equal(r.rep.argv_err.code, ERR_NONE);
	to_there(&r, &d);
	assert_string_equal(d.arch, "x86_64");
	assert_string_equal(d.name, "my-vm");
	assert_string_equal(d.status, "prelaunch");
	assert_false(d.running);
	assert_int_equal(d.memory, 16 << 20);
	assert_int_equal(d.cpus, 1);
	assert_string_equal(d.cwd, r.dir);
	assert_non_null(strstr(d.exe, "qemu-system-x86_64"));
	assert_true(strncmp(d.machine, "pc-i440fx-", 10) == 0); /* the alias is pinned */
	assert_null(strstr(d.machine, "-machine"));
	assert_string_equal(d.argv.at[1], "-accel");
	assert_int_equal(d.plugged.count, 0);
	assert_int_equal(d.unplugged.count, 0);
	assert_int_equal(d.disk_count, 4);

	k = (struct vmdesc_disk *)vmdesc_by_device(&d, "ide0-hd0");
	assert_non_null(k);
	assert_string_equal(k->name, "ide0-hd0");
	assert_string_equal(k->format, "raw");
	assert_string_equal(k->file, "a.raw");
	assert_int_equal(k->size, 1 << 20);
	assert_false(k->read_only || k->empty || k->removable || k->qcow2.known);
	assert_true(strchr(k->file_id, ':') != NULL); /* found beside the working directory */

	k = (struct vmdesc_disk *)vmdesc_by_node(&d, "fmt");
	assert_non_null(k);
	assert_string_equal(k->name, "fmt");
	assert_string_equal(k->format, "qcow2");
	assert_true(k->qcow2.known);
	assert_int_equal(k->qcow2.cluster_size, 4096);
	assert_int_equal(k->qcow2.refcount_bits, 8);
	assert_string_equal(k->qcow2.compat, "1.1");

	k = (struct vmdesc_disk *)vmdesc_by_device(&d, "cd");
	assert_true(k && k->read_only && k->removable && !k->empty);
	k = (struct vmdesc_disk *)vmdesc_by_device(&d, "floppy0");
	assert_true(k && k->empty && k->size == 0);
	assert_null(vmdesc_by_device(&d, ""));
	assert_null(vmdesc_by_node(&d, "prot"));
	vmdesc_fini(&d);
	rig_down(&r);
}

static bool argv_has(const struct vmdesc *d, const char *part)
{
	for (size_t i = 0; i < d->argv.count; i++)
		if (strstr(d->argv.at[i], part))
			return true;
	return false;
}

static void test_vmdesc_sees_what_was_plugged(void **state)
{
	struct vmdesc d;
	struct rig r;

	(void)state;
	rig_up(&r, "-device virtio-rng-pci,id=rng -device '{\"driver\":\"virtio-balloon-pci\","
		   "\"id\":\"balloon\"}' -device virtio-serial-pci -drive "
		   "if=virtio,file=a.raw,format=raw -blockdev "
		   "driver=qcow2,file.driver=file,file.filename=b.qcow2,node-name=idle");
	read_vm(&r);
	to_there(&r, &d);
	assert_int_equal(d.plugged.count, 0);
	assert_int_equal(d.unplugged.count, 0);
	/* a node that no device uses yet is a disk as well */
	assert_non_null(vmdesc_by_node(&d, "idle"));
	assert_int_equal(d.disk_count, 2);
	vmdesc_fini(&d);

	command(&r, "device_add", json_pack("{s:s,s:s}", "driver", "virtio-net-pci", "id", "late"));
	read_vm(&r);
	to_there(&r, &d);
	/* it is in the command line now, in the place that it has */
	assert_int_equal(d.plugged.count, 0);
	assert_true(argv_has(&d, "\"id\":\"late\"") && argv_has(&d, "\"addr\":\""));
	vmdesc_fini(&d);
	/* and one without a name: that cannot be told from others of its kind */
	command(&r, "device_add", json_pack("{s:s}", "driver", "virtio-net-pci"));
	read_vm(&r);
	to_there(&r, &d);
	assert_int_equal(d.plugged.count, 1);
	assert_string_equal(d.plugged.at[0], "virtio-net-pci");
	vmdesc_fini(&d);
	rig_down(&r);
}

/* Reads how it is there; the number of what could not be put into its command line. */
static size_t read_there(struct rig *r, struct vmdesc *d)
{
	read_vm(r);
	to_there(r, d);
	return d->plugged.count + d->unplugged.count;
}

/* Without a guest that says yes to it, a reset does it. */
static void unplug(struct rig *r, const char *id)
{
	r->deleted = 0;
	command(r, "device_del", json_pack("{s:s}", "id", id));
	command(r, "system_reset", NULL);
	run(r, &r->deleted);
}

/* What is behind one that goes keeps its place; what has no name cannot be asked where it is. */
static void test_vmdesc_keeps_places(void **state)
{
	struct vmdesc d;
	struct rig r;

	(void)state;
	rig_up(&r,
	       "-device virtio-scsi-pci,id=s -device virtio-serial-pci,id=vs -device "
	       "virtio-rng-pci,id=rng -device virtio-balloon-pci,id=bal -device "
	       "'{\"driver\":\"virtio-rng-pci\",\"id\":\"last\"}' -device "
	       "virtserialport,id=p1 -device virtserialport,id=p2 -device isa-debug-exit "
	       "-device isa-debugcon,id=con,chardev=no -chardev null,id=no -device vmgenid,id=gen");
	unplug(&r, "rng");
	assert_int_equal(read_there(&r, &d), 0);
	assert_false(argv_has(&d, "id=rng"));
	assert_true(argv_has(&d, "id=bal,addr=5.0") && argv_has(&d, "\"addr\":\"6.0\""));
	assert_false(argv_has(&d, "id=s,") || argv_has(&d, "nr="));
	vmdesc_fini(&d);
	unplug(&r, "p1");
	assert_int_equal(read_there(&r, &d), 0);
	assert_true(argv_has(&d, "id=p2,nr=2"));
	vmdesc_fini(&d);
	rig_down(&r);
	rig_up(&r, "-device virtio-rng-pci,id=rng -device virtio-balloon-pci");
	unplug(&r, "rng");
	assert_int_equal(read_there(&r, &d), 1);
	assert_string_equal(d.unplugged.at[0], "rng");
	vmdesc_fini(&d);
	rig_down(&r);
	rig_up(&r, "-device virtio-rng-pci,id=rng -drive if=virtio,file=a.raw,format=raw");
	unplug(&r, "rng");
	assert_int_equal(read_there(&r, &d), 1);
	vmdesc_fini(&d);
	rig_down(&r);
}

static void plug_nic(struct rig *r, const char *driver, const char *id, const char *netdev)
{
	command(r, "device_add",
		json_pack("{s:s,s:s,s:s,s:s}", "driver", driver, "id", id, "netdev", netdev,
			  "romfile", ""));
}

/* The id says nothing of what it is. */
static void test_vmdesc_sees_what_was_replaced(void **state)
{
	struct vmdesc d;
	struct rig r;

	(void)state;
	rig_up(&r, "-netdev user,id=u -device virtio-net-pci,id=n1,netdev=u -device "
		   "virtio-balloon-pci,id=bal");
	unplug(&r, "n1");
	plug_nic(&r, "e1000", "n1", "u");
	assert_int_equal(read_there(&r, &d), 0);
	assert_false(argv_has(&d, "virtio-net"));
	assert_true(argv_has(&d, "\"driver\":\"e1000\"") && argv_has(&d, "id=bal,addr=3.0"));
	/* (without one the class would have its own) */
	assert_true(argv_has(&d, "\"romfile\":\"\""));
	vmdesc_fini(&d);
	/* and so does that of a network */
	unplug(&r, "n1");
	command(&r, "netdev_del", json_pack("{s:s}", "id", "u"));
	command(&r, "netdev_add",
		json_pack("{s:s,s:s,s:i}", "type", "hubport", "id", "u", "hubid", 1));
	plug_nic(&r, "e1000", "n1", "u");
	assert_int_equal(read_there(&r, &d), 1);
	assert_string_equal(d.plugged.at[0], "n1");
	vmdesc_fini(&d);
	rig_down(&r);
}

static void test_vmdesc_takes_networks_and_memory_as_they_are(void **state)
{
	struct vmdesc d;
	struct rig r;

	(void)state;
	rig_up(&r, "-m 16,maxmem=512M,slots=2");
	command(&r, "netdev_add",
		json_pack("{s:s,s:s,s:b,s:s}", "type", "user", "id", "u", "restrict", 1, "net",
			  "192.168.76.0/24"));
	plug_nic(&r, "e1000", "n1", "u");
	assert_int_equal(read_there(&r, &d), 0);
	assert_true(argv_has(&d, "\"restrict\":true"));
	assert_true(argv_has(&d, "\"net\":\"192.168.76.0/24\""));
	vmdesc_fini(&d);
	command(&r, "object-add",
		json_pack("{s:s,s:s,s:i}", "qom-type", "memory-backend-memfd", "id", "more", "size",
			  64 << 20));
	command(&r, "device_add",
		json_pack("{s:s,s:s,s:s}", "driver", "pc-dimm", "id", "dimm", "memdev", "more"));
	assert_int_equal(read_there(&r, &d), 1);
	assert_string_equal(d.plugged.at[0], "dimm");
	vmdesc_fini(&d);
	rig_down(&r);
}

static bool copies(const json_t *disks, const char *name)
{
	const json_t *d;
	size_t i;

	json_array_foreach(disks, i,
			   d) if (strcmp(json_string_value(json_object_get(d, "name")), name) ==
				  0) return json_is_true(json_object_get(d, "copy"));
	fail_msg("no disk %s", name);
	return false;
}

static json_t *a_disk(const char *name, const char *node, int read_only, int empty)
{
	return json_pack("{s:s,s:s,s:i,s:b,s:b,s:b}", "name", name, "node", node, "size", 1,
			 "read_only", read_only, "empty", empty, "copy", 0);
}

static void test_vmdesc_selects_disks(void **state)
{
	json_t *disks = json_array();
	struct err e = ERR_INIT;

	(void)state;
	json_array_append_new(disks, a_disk("one", "n1", 0, 0));
	json_array_append_new(disks, a_disk("two", "n2", 0, 0));
	json_array_append_new(disks, a_disk("cd", "n3", 1, 0));
	json_array_append_new(disks, a_disk("fd", "n4", 0, 1));
	assert_int_equal(vmdesc_select(disks, "all", &e), 0);
	assert_true(copies(disks, "one") && copies(disks, "two"));
	assert_false(copies(disks, "cd") || copies(disks, "fd"));
	assert_int_equal(vmdesc_select(disks, "none", &e), 0);
	assert_false(copies(disks, "one") || copies(disks, "two"));
	assert_int_equal(vmdesc_select(disks, "n2", &e), 0);
	assert_true(!copies(disks, "one") && copies(disks, "two"));
	assert_int_equal(vmdesc_select(disks, "n2,one", &e), 0);
	assert_true(copies(disks, "one") && copies(disks, "two"));
	assert_int_equal(vmdesc_select(disks, "one,three", &e), ERR_USAGE);
	assert_non_null(strstr(e.text, "three"));
	assert_int_equal(vmdesc_select(disks, "cd", &e), ERR_USAGE);
	assert_non_null(strstr(e.text, "read-only"));
	assert_int_equal(vmdesc_select(disks, "fd", &e), ERR_USAGE);
	assert_non_null(strstr(e.text, "empty"));
	assert_int_equal(vmdesc_select(disks, "on", &e), ERR_USAGE);
	assert_non_null(strstr(e.text, "--disks on: "));
	assert_non_null(strstr(e.text, "one (node n1), two (node n2), cd (node n3)"));
	json_decref(disks);
}

static void test_vmdesc_selects_by_any_name(void **state)
{
	json_t *disks = json_array(), *one = a_disk("one", "#block1", 0, 0),
	       *two = a_disk("dev2", "n2", 0, 0), *three = a_disk("three", "n3", 0, 0);
	struct err e = ERR_INIT;
	char many[8000] = "";

	(void)state;
	json_object_set_new(one, "device", json_string("drive1"));
	json_object_set_new(one, "qdev", json_string("/machine/peripheral/dev1/virtio-backend"));
	json_object_set_new(one, "file", json_string("/a/root.qcow2"));
	json_object_set_new(two, "qdev", json_string("dev2"));
	json_object_set_new(two, "file", json_string("/a/data.raw"));
	json_object_set_new(three, "qdev", json_string("/machine/unattached/device[9]"));
	json_object_set_new(three, "file", json_string("/b/data.raw"));
	json_array_append_new(disks, one);
	json_array_append_new(disks, two);
	json_array_append_new(disks, three);
	assert_int_equal(vmdesc_select(disks, "dev1", &e), 0);
	assert_true(copies(disks, "one") && !copies(disks, "dev2"));
	assert_int_equal(vmdesc_select(disks, "drive1", &e), 0);
	assert_true(copies(disks, "one"));
	assert_int_equal(vmdesc_select(disks, "dev2", &e), 0);
	assert_true(!copies(disks, "one") && copies(disks, "dev2"));
	assert_int_equal(vmdesc_select(disks, "root.qcow2,/b/data.raw", &e), 0);
	assert_true(copies(disks, "one") && !copies(disks, "dev2") && copies(disks, "three"));
	/* two disks have an image of that name */
	assert_int_equal(vmdesc_select(disks, "data.raw", &e), ERR_USAGE);
	assert_non_null(strstr(e.text, "one (device dev1), dev2 (node n2), three (node n3)"));
	/* a name of nothing: parts of a path, empty words */
	assert_int_equal(vmdesc_select(disks, "virtio-backend", &e), ERR_USAGE);
	assert_int_equal(vmdesc_select(disks, "dev1,,dev2", &e), ERR_USAGE);
	memset(many, 'x', sizeof(many) - 1);
	assert_int_equal(vmdesc_select(disks, many, &e), ERR_USAGE);
	json_decref(disks);
}

static void test_vmdesc_checks_names(void **state)
{
	static const char *const wrong[] = {"", "a/b", "/", "a\nb", "a\tb", "a\x7f"};
	char many[202] = "";

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct err e = ERR_INIT;

		assert_int_equal(vmdesc_check_name(wrong[i], &e), ERR_USAGE);
		assert_non_null(strstr(e.text, "name"));
	}
	memset(many, 'x', sizeof(many) - 1);
	assert_int_equal(vmdesc_check_name(many, NULL), ERR_USAGE);
	many[200] = 0;
	assert_int_equal(vmdesc_check_name(many, NULL), 0);
	assert_int_equal(vmdesc_check_name("web, 1 (old) \xc3\xa4", NULL), 0);
}

static void test_vmdesc_is_forgotten_while_it_is_read(void **state)
{
	struct rig r;

	(void)state;
	rig_up(&r, "");
	vmdesc_read(r.qmp, on_read, &r);
	event_base_loop(r.base, EVLOOP_NONBLOCK);
	qmp_forget(r.qmp);
	for (int i = 0; i < 20; i++) {
		event_base_loop(r.base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
	assert_int_equal(r.read, 0);
	/* and again, ended by QEMU's death */
	vmdesc_read(r.qmp, on_read, &r);
	kill(r.pid, SIGKILL);
	run(&r, &r.ended);
	assert_int_equal(r.why.code, ERR_CLOSED);
	rig_down(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vmdesc_reads_a_vm),
	    cmocka_unit_test(test_vmdesc_sees_what_was_plugged),
	    cmocka_unit_test(test_vmdesc_keeps_places),
	    cmocka_unit_test(test_vmdesc_sees_what_was_replaced),
	    cmocka_unit_test(test_vmdesc_takes_networks_and_memory_as_they_are),
	    cmocka_unit_test(test_vmdesc_selects_disks),
	    cmocka_unit_test(test_vmdesc_selects_by_any_name),
	    cmocka_unit_test(test_vmdesc_checks_names),
	    cmocka_unit_test(test_vmdesc_is_forgotten_while_it_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
