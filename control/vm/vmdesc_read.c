/*
 * Reads a VM on the source: see vmdesc.h. QEMU is asked over QMP for what it is,
 * and /proc for how it was started. What only /proc can say may be missing (another
 * PID namespace, no right to look): then a VM can still go to a QEMU that waits on
 * the destination, and argv_err says why it cannot be launched there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/qmp.h"
#include "control/vm/json_text.h"
#include "control/vm/qargs.h"
#include "control/vm/readconfig.h"
#include "control/vm/secret_source.h"
#include "control/vm/throttle.h"
#include "control/vm/vmdesc.h"
#include "control/vm/vmdesc_cpu.h"
#include "control/vm/vmdesc_devices.h"
#include "control/vm/vmdesc_disks.h"
#include "control/vm/vmdesc_memory.h"
#include "control/vm/vmdesc_net.h"
#include "control/vm/vmdesc_plugged.h"

enum { CMDLINE_MAX = 900 * 1024, GROUPS_MAX = 256 };

enum query {
	Q_VERSION,
	Q_NAME,
	Q_UUID,
	Q_STATUS,
	Q_TARGET,
	Q_MACHINE,
	Q_BLOCK,
	Q_NODES,
	Q_BLOCK_JOBS,
	Q_MEMORY,
	Q_MEMORY_DEVICES,
	Q_CPUS,
	Q_PERIPHERAL,
	Q_ANON,
	Q_MIGRATE,
	Q_YANK,
	Q_CAPABILITIES,
	Q_PARAMETERS,
	Q_KVM,
	Q_CPU_TYPE,
	Q_CPU_MODELS,
	Q_GRAPH,
	Q_NETWORK,
	QUERIES, /* behind them: the limits of each throttle group, and the TPM's register */
};

struct reader {
	vmdesc_on_read *fn;
	void *ctx;
	bool has_tis; /* a TPM that says itself which version it is */
	unsigned group_count;
	char groups[GROUPS_MAX][256]; /* throttle-group objects */
};

/* A VM of which only the command line is to be read to its end. */
struct rest {
	vmdesc_on_read *fn;
	void *ctx;
	struct vmdesc_report rep;
	struct qargs args;
	json_t *block;	 /* query-block */
	json_t *network; /* `info network` */
	pid_t pid;
};

static void set_str(json_t *o, const char *key, const char *s)
{
	if (s && *s)
		json_object_set_new(o, key, json_string(s));
}

/* ---- /proc ---- */

static char *read_file(const char *path, size_t max, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *buf = fd >= 0 ? malloc(max + 1) : NULL;
	ssize_t n = 1;

	*len = 0;
	while (buf && n > 0 && *len < max) {
		n = read(fd, buf + *len, max - *len);
		*len += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		close(fd);
	if (buf && n < 0) {
		free(buf);
		buf = NULL;
	}
	if (buf)
		buf[*len] = 0;
	return buf;
}

static void read_link(pid_t pid, const char *what, json_t *vm)
{
	char path[64], target[4096];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, what);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = 0;
	/* a package was updated under the running QEMU */
	if (n > 10 && strcmp(target + n - 10, " (deleted)") == 0)
		target[n - 10] = 0;
	set_str(vm, what, target);
}

static int read_argv(pid_t pid, json_t *vm, struct err *e)
{
	json_t *argv = json_array();
	char path[64], *text;
	size_t len, at;

	snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long)pid);
	text = pid > 0 ? read_file(path, CMDLINE_MAX, &len) : NULL;
	if (!text || len == 0) {
		err_set(e, ERR_SYSTEM,
			"the command line of the source's QEMU (pid %ld) cannot be read%s%s; start "
			"the VM on the destination with -incoming defer, and use --dest-qmp",
			(long)pid, errno ? ": " : "", errno ? strerror(errno) : "");
		goto fail;
	}
	if (len == CMDLINE_MAX) {
		err_set(e, ERR_LIMIT, "the command line of the source's QEMU is too long");
		goto fail;
	}
	for (at = 0; at < len; at += strlen(text + at) + 1) {
		json_t *s = json_string(text + at);

		if (!s) {
			err_set(e, ERR_REFUSED,
				"argument %zu of the source's QEMU is not UTF-8; start the VM on "
				"the destination with -incoming defer, and use --dest-qmp",
				json_array_size(argv));
			goto fail;
		}
		json_array_append_new(argv, s);
	}
	explicit_bzero(text, len); /* secrets may be among its words */
	free(text);
	json_object_set_new(vm, "argv", argv);
	return 0;
fail:
	if (text)
		explicit_bzero(text, len);
	free(text);
	json_decref(argv);
	return (int)e->code;
}

/* ---- all together ---- */

static void read_basics(struct qmp_batch *b, json_t *vm)
{
	const json_t *v = json_object_get(qmp_batch_result(b, Q_VERSION), "qemu");
	const char *machine = json_string_value(qmp_batch_result(b, Q_MACHINE));
	char text[64];
	size_t len;

	snprintf(text, sizeof(text), "%d.%d.%d",
		 (int)json_integer_value(json_object_get(v, "major")),
		 (int)json_integer_value(json_object_get(v, "minor")),
		 (int)json_integer_value(json_object_get(v, "micro")));
	json_object_set_new(vm, "qemu", json_string(text));
	set_str(vm, "package", json_text(qmp_batch_result(b, Q_VERSION), "package"));
	json_object_set_new(vm, "arch",
			    json_string(json_text(qmp_batch_result(b, Q_TARGET), "arch")));
	/* the QOM type is the machine's name with "-machine" behind it */
	len = machine ? strlen(machine) : 0;
	if (len > 8 && strcmp(machine + len - 8, "-machine") == 0)
		len -= 8;
	json_object_set_new(vm, "machine", json_stringn(machine ? machine : "", len));
	set_str(vm, "name", json_text(qmp_batch_result(b, Q_NAME), "name"));
	set_str(vm, "uuid", json_text(qmp_batch_result(b, Q_UUID), "UUID"));
	json_object_set_new(vm, "status",
			    json_string(json_text(qmp_batch_result(b, Q_STATUS), "status")));
	json_object_set_new(
	    vm, "running",
	    json_boolean(json_is_true(json_object_get(qmp_batch_result(b, Q_STATUS), "running"))));
	json_object_set_new(vm, "memory",
			    json_integer(json_integer_value(json_object_get(
					     qmp_batch_result(b, Q_MEMORY), "base-memory")) +
					 json_integer_value(json_object_get(
					     qmp_batch_result(b, Q_MEMORY), "plugged-memory"))));
	json_object_set_new(vm, "cpus",
			    json_integer((json_int_t)json_array_size(qmp_batch_result(b, Q_CPUS))));
	set_str(vm, "host", vmdesc_host(text, sizeof(text)));
}

/* vm's argv as options; vm outlives them. */
static void parse_argv(json_t *vm, struct qargs *args, struct err *e)
{
	const json_t *array = json_object_get(vm, "argv"), *item;
	char **argv = calloc(json_array_size(array) + 1, sizeof(*argv));
	size_t i;

	if (!argv) {
		err_set_sys(e, ENOMEM, "the source's command line");
		return;
	}
	json_array_foreach(array, i, item) argv[i] = (char *)json_string_value(item);
	if (qargs_parse(args, argv, json_array_size(array), e) < 0)
		json_object_del(vm, "argv");
	free(argv);
}

/* secrets: what there are, from argv, in which nothing of them stays. */
static void read_process(struct qmp *q, json_t *vm, json_t *secrets, struct qargs *args,
			 struct err *e)
{
	pid_t pid = qmp_peer_pid(q);

	if (read_argv(pid, vm, e) < 0)
		return;
	read_link(pid, "exe", vm);
	read_link(pid, "cwd", vm);
	/* (everybody may read the words of a process, but not which program it is) */
	if (!json_object_get(vm, "exe")) {
		json_object_del(vm, "argv");
		err_set(e, ERR_REFUSED,
			"which program the source's QEMU (pid %ld) is cannot be read: run adit as "
			"root, or as QEMU's user",
			(long)pid);
		return;
	}
	if (readconfig_expand(json_object_get(vm, "argv"), pid, e) < 0) {
		json_object_del(vm, "argv");
		return;
	}
	secret_scrub(json_object_get(vm, "argv"), secrets);
	parse_argv(vm, args, e);
}

static void read_memory(json_t *vm, const json_t *summary, const json_t *devices)
{
	uint64_t elastic, fixed = vmdesc_memory_fixed(summary, devices, &elastic);

	if (!summary)
		return;
	json_object_set_new(vm, "fixed_memory", json_integer((json_int_t)fixed));
	if (elastic)
		json_object_set_new(vm, "virtio_mem", json_integer((json_int_t)elastic));
}

/* The nodes that somebody has given a name. */
static void read_nodes(json_t *vm, const json_t *nodes)
{
	json_t *names = json_array();
	const json_t *node;
	size_t i;

	json_array_foreach(nodes, i, node) if (*json_text(node, "node-name") &&
					       *json_text(node, "node-name") != '#')
	    json_array_append(names, json_object_get(node, "node-name"));
	json_object_set_new(vm, "nodes", names);
}

/* The interface of the TPM (its TPM_INTF_CAPABILITY) is another one for each version. */
static void read_tpm(const struct reader *r, const struct qmp_batch *b, json_t *vm)
{
	const char *said =
	    r->has_tis ? json_string_value(qmp_batch_result(b, QUERIES + r->group_count)) : NULL;
	unsigned value;

	if (said && (said = strstr(said, ": 0x")) != NULL && sscanf(said, ": 0x%x", &value) == 1 &&
	    value >> 28 == 2)
		set_str(vm, "tpm", "1.2");
}

/* The limits of throttle-group objects, which may have been changed since the start. */
static void read_groups(const struct reader *r, const struct qmp_batch *b, json_t *vm)
{
	json_t *groups = json_array();

	for (unsigned i = 0; i < r->group_count; i++) {
		const json_t *limits = qmp_batch_result(b, QUERIES + i);

		if (limits)
			json_array_append_new(groups,
					      json_pack("{s:s,s:o}", "id", r->groups[i], "limits",
							throttle_of_group(limits)));
	}
	if (json_array_size(groups))
		json_object_set(vm, "throttle_groups", groups);
	json_decref(groups);
}

static const char *info_of(const struct rest *rest)
{
	const char *info = json_string_value(rest->network);

	return info ? info : "";
}

/* The command line is as the VM is now. */
static void finish(struct rest *rest)
{
	struct vmdesc_report rep = rest->rep;
	struct vmdesc_nodes nodes = {rep.nodes, rep.graph};
	vmdesc_on_read *fn = rest->fn;
	void *ctx = rest->ctx;
	struct err e = ERR_INIT;

	if (!err_is_set(&rep.argv_err))
		vmdesc_read_networks(rep.vm, &rest->args, info_of(rest), rest->pid);
	rep.disks = vmdesc_read_disks(rest->block, &nodes, &rest->args, json_text(rep.vm, "cwd"));
	qargs_fini(&rest->args);
	json_decref(rest->block);
	json_decref(rest->network);
	free(rest);
	fn(ctx, &rep, &e);
}

static void rest_free(void *p)
{
	struct rest *rest = p;

	qargs_fini(&rest->args);
	vmdesc_report_fini(&rest->rep);
	json_decref(rest->block);
	json_decref(rest->network);
	free(rest);
}

static void on_plugged(void *ctx, json_t *asked, const struct err *e)
{
	struct rest *rest = ctx;
	struct vmdesc_nodes nodes = {rest->rep.nodes, rest->rep.graph};

	if (!asked) {
		vmdesc_on_read *fn = rest->fn;
		void *its = rest->ctx;

		rest_free(rest);
		fn(its, NULL, e);
		return;
	}
	qargs_fini(&rest->args); /* its words are argv's */
	vmdesc_plugged_amend(rest->rep.vm, asked, rest->block, &nodes, info_of(rest));
	json_decref(asked);
	parse_argv(rest->rep.vm, &rest->args, &rest->rep.argv_err);
	finish(rest);
}

static void on_batch(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct rest *rest = calloc(1, sizeof(*rest));
	struct reader *r = ctx;
	struct vmdesc_report rep = {.argv_err = ERR_INIT};
	struct qargs args = {0};
	json_t *kept = NULL;
	struct err short_of = ERR_INIT;

	if (err_is_set(e) || !rest) {
		err_set_sys(&short_of, ENOMEM, "the VM's description");
		free(rest);
		r->fn(r->ctx, NULL, err_is_set(e) ? e : &short_of);
		return;
	}
	rep.vm = json_object();
	read_basics(b, rep.vm);
	vmdesc_read_cpu(rep.vm, qmp_batch_result(b, Q_KVM), qmp_batch_result(b, Q_CPU_TYPE),
			qmp_batch_result(b, Q_CPU_MODELS));
	read_memory(rep.vm, qmp_batch_result(b, Q_MEMORY), qmp_batch_result(b, Q_MEMORY_DEVICES));
	read_nodes(rep.vm, qmp_batch_result(b, Q_NODES));
	rep.secrets = json_array();
	read_process(q, rep.vm, rep.secrets, &args, &rep.argv_err);
	if (!err_is_set(&rep.argv_err))
		kept = vmdesc_compare_devices(rep.vm, &args, qmp_batch_result(b, Q_PERIPHERAL),
					      qmp_batch_result(b, Q_ANON));
	rep.migrate = json_incref(qmp_batch_result(b, Q_MIGRATE));
	rep.yank = json_incref(qmp_batch_result(b, Q_YANK));
	rep.capabilities = json_incref(qmp_batch_result(b, Q_CAPABILITIES));
	rep.parameters = json_incref(qmp_batch_result(b, Q_PARAMETERS));
	rep.block_jobs = json_incref(qmp_batch_result(b, Q_BLOCK_JOBS));
	rep.nodes = json_incref(qmp_batch_result(b, Q_NODES));
	rep.graph = json_incref(qmp_batch_result(b, Q_GRAPH));
	rep.devices = json_array();
	json_array_extend(rep.devices, qmp_batch_result(b, Q_PERIPHERAL));
	json_array_extend(rep.devices, qmp_batch_result(b, Q_ANON));
	read_groups(r, b, rep.vm);
	read_tpm(r, b, rep.vm);
	*rest = (struct rest){.fn = r->fn,
			      .ctx = r->ctx,
			      .rep = rep,
			      .args = args,
			      .block = json_incref(qmp_batch_result(b, Q_BLOCK)),
			      .network = json_incref(qmp_batch_result(b, Q_NETWORK)),
			      .pid = qmp_peer_pid(q)};
	if (kept)
		vmdesc_plugged_ask(q, rep.vm, kept, qmp_batch_result(b, Q_PERIPHERAL), on_plugged,
				   rest, rest_free);
	else
		finish(rest);
	json_decref(kept);
}

static void ask(struct qmp *q, const struct reader *first)
{
	struct qmp_batch *b = qmp_batch_new();
	struct reader *r = malloc(sizeof(*r));
	struct err e = ERR_INIT;
	char path[300];

	if (!b || !r) {
		qmp_batch_free(b);
		free(r);
		err_set_sys(&e, ENOMEM, "the VM's description");
		first->fn(first->ctx, NULL, &e);
		return;
	}
	*r = *first;
	qmp_batch_own(b, r);
	/* in the order of enum query */
	qmp_batch_add(b, QMP_MUST, "query-version", NULL);
	qmp_batch_add(b, QMP_MUST, "query-name", NULL);
	qmp_batch_add(b, QMP_MUST, "query-uuid", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_add(b, QMP_MUST, "query-target", NULL);
	qmp_batch_add(b, QMP_MUST, "qom-get",
		      json_pack("{s:s,s:s}", "path", "/machine", "property", "type"));
	qmp_batch_add(b, QMP_MUST, "query-block", NULL);
	qmp_batch_add(b, QMP_MUST, "query-named-block-nodes", json_pack("{s:b}", "flat", 1));
	qmp_batch_add(b, QMP_MUST, "query-block-jobs", NULL);
	qmp_batch_add(b, QMP_MAY, "query-memory-size-summary", NULL);
	qmp_batch_add(b, QMP_MAY, "query-memory-devices", NULL);
	qmp_batch_add(b, QMP_MAY, "query-cpus-fast", NULL);
	qmp_batch_add(b, QMP_MAY, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"));
	qmp_batch_add(b, QMP_MAY, "qom-list",
		      json_pack("{s:s}", "path", "/machine/peripheral-anon"));
	qmp_batch_add(b, QMP_MUST, "query-migrate", NULL);
	qmp_batch_add(b, QMP_MAY, "query-yank", NULL);
	qmp_batch_add(b, QMP_MUST, "query-migrate-capabilities", NULL);
	qmp_batch_add(b, QMP_MUST, "query-migrate-parameters", NULL);
	qmp_batch_add(b, QMP_MAY, "query-kvm", NULL);
	/* what is made first of all that has no other place is the first CPU */
	qmp_batch_add(
	    b, QMP_MAY, "qom-get",
	    json_pack("{s:s,s:s}", "path", "/machine/unattached/device[0]", "property", "type"));
	qmp_batch_add(b, QMP_MAY, "query-cpu-definitions", NULL);
	qmp_batch_add(b, QMP_MAY, "x-debug-query-block-graph", NULL);
	/* (QMP itself has nothing that tells which tap a network has) */
	qmp_batch_add(b, QMP_MAY, "human-monitor-command",
		      json_pack("{s:s}", "command-line", "info network"));
	for (unsigned i = 0; i < r->group_count; i++) {
		snprintf(path, sizeof(path), "/objects/%s", r->groups[i]);
		qmp_batch_add(b, QMP_MAY, "qom-get",
			      json_pack("{s:s,s:s}", "path", path, "property", "limits"));
	}
	/* (reading it does nothing; no command tells it) */
	if (r->has_tis)
		qmp_batch_add(b, QMP_MAY, "human-monitor-command",
			      json_pack("{s:s}", "command-line", "xp /1wx 0xfed40014"));
	qmp_batch_run(b, q, on_batch, r);
}

static void on_objects(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct reader *r = ctx;
	const json_t *o;
	size_t i;

	if (err_is_set(e)) {
		r->fn(r->ctx, NULL, e);
		return;
	}
	json_array_foreach(qmp_batch_result(b, 0), i, o)
	{
		if (strcmp(json_text(o, "type"), "child<throttle-group>") != 0 ||
		    r->group_count == GROUPS_MAX ||
		    strlen(json_text(o, "name")) >= sizeof(r->groups[0]))
			continue;
		snprintf(r->groups[r->group_count++], sizeof(r->groups[0]), "%s",
			 json_text(o, "name"));
	}
	/* (elsewhere it is not at that address) */
	if (strcmp(json_text(qmp_batch_result(b, 1), "arch"), "x86_64") == 0 ||
	    strcmp(json_text(qmp_batch_result(b, 1), "arch"), "i386") == 0)
		json_array_foreach(qmp_batch_result(b, 2), i, o) r->has_tis =
		    r->has_tis || strcmp(json_text(o, "model"), "tpm-tis") == 0;
	ask(q, r);
}

void vmdesc_read(struct qmp *q, vmdesc_on_read *fn, void *ctx)
{
	struct qmp_batch *b = qmp_batch_new();
	struct reader *r = calloc(1, sizeof(*r));
	struct err e = ERR_INIT;

	if (!b || !r) {
		qmp_batch_free(b);
		free(r);
		err_set_sys(&e, ENOMEM, "the VM's description");
		fn(ctx, NULL, &e);
		return;
	}
	r->fn = fn;
	r->ctx = ctx;
	qmp_batch_own(b, r);
	qmp_batch_add(b, QMP_MAY, "qom-list", json_pack("{s:s}", "path", "/objects"));
	qmp_batch_add(b, QMP_MUST, "query-target", NULL);
	qmp_batch_add(b, QMP_MAY, "query-tpm", NULL);
	qmp_batch_run(b, q, on_objects, r);
}

bool vmdesc_is_cleared(const json_t *yank)
{
	const json_t *instance;
	size_t i;

	json_array_foreach(yank, i, instance)
	{
		if (strcmp(json_text(instance, "type"), "migration") == 0)
			return false;
	}
	return true;
}

void vmdesc_report_fini(struct vmdesc_report *r)
{
	json_decref(r->vm);
	json_decref(r->disks);
	json_decref(r->migrate);
	json_decref(r->yank);
	json_decref(r->capabilities);
	json_decref(r->parameters);
	json_decref(r->block_jobs);
	json_decref(r->nodes);
	json_decref(r->graph);
	json_decref(r->devices);
	json_decref(r->secrets);
	memset(r, 0, sizeof(*r));
}
