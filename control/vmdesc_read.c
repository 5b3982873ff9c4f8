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

#include "control/cookie.h"
#include "control/qargs.h"
#include "control/qmp.h"
#include "control/vmdesc.h"
#include "control/vmdesc_devices.h"

enum { CMDLINE_MAX = 900 * 1024 };

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
	Q_CPUS,
	Q_PERIPHERAL,
	Q_ANON,
	Q_MIGRATE,
	Q_CAPABILITIES,
	Q_PARAMETERS,
};

struct reader {
	vmdesc_on_read *fn;
	void *ctx;
};

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

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
	free(text);
	json_object_set_new(vm, "argv", argv);
	return 0;
fail:
	free(text);
	json_decref(argv);
	return (int)e->code;
}

/* ---- disks ---- */

static bool is_filter(const char *drv)
{
	static const char *const filters[] = {"throttle",	   "copy-on-read", "preallocate",
					      "copy-before-write", "mirror_top",   "commit_top",
					      "backup-top",	   "blklogwrites", "compress"};

	for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++)
		if (strcmp(drv, filters[i]) == 0)
			return true;
	return false;
}

static bool is_protocol(const char *drv)
{
	static const char *const protocols[] = {"file", "host_device", "host_cdrom", "nbd",
						"rbd",	"iscsi",       "ssh",	     "https",
						"http", "io_uring",    "nvme",	     "gluster"};

	for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++)
		if (strcmp(drv, protocols[i]) == 0)
			return true;
	return false;
}

/* The node below a filter that has the format. */
static const json_t *format_node(const json_t *inserted, const json_t *nodes)
{
	const json_t *node;
	size_t i;

	if (!is_filter(str(inserted, "drv")))
		return inserted;
	json_array_foreach(
	    nodes, i, node) if (!is_filter(str(node, "drv")) && !is_protocol(str(node, "drv")) &&
				strcmp(str(node, "file"), str(inserted, "file")) == 0) return node;
	return inserted;
}

static json_t *read_qcow2(const json_t *image)
{
	const json_t *data = json_object_get(json_object_get(image, "format-specific"), "data");
	static const struct {
		const char *from, *to;
	} keys[] = {{"compat", "compat"},
		    {"refcount-bits", "refcount_bits"},
		    {"extended-l2", "extended_l2"},
		    {"lazy-refcounts", "lazy_refcounts"}};
	json_t *q = json_object(), *v;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if ((v = json_object_get(data, keys[i].from)))
			json_object_set(q, keys[i].to, v);
	if ((v = json_object_get(image, "cluster-size")))
		json_object_set(q, "cluster_size", v);
	return q;
}

static bool name_is_taken(const json_t *disks, const char *name)
{
	const json_t *d;
	size_t i;

	json_array_foreach(disks, i, d) if (strcmp(str(d, "name"), name) == 0) return true;
	return false;
}

/* A short name for people, NBD exports and streams. */
static void choose_name(const json_t *disks, const char *device, const char *node, const char *qdev,
			char *out, size_t size)
{
	static const char named[] = "/machine/peripheral/";
	char base[64];
	size_t i;

	if (*device) {
		snprintf(base, sizeof(base), "%s", device);
	} else if (*node && *node != '#') {
		snprintf(base, sizeof(base), "%s", node);
	} else if (strncmp(qdev, named, sizeof(named) - 1) == 0) {
		snprintf(base, sizeof(base), "%s", qdev + sizeof(named) - 1);
		base[strcspn(base, "/")] = 0;
	} else {
		snprintf(base, sizeof(base), "%s", *qdev && *qdev != '/' ? qdev : "disk");
	}
	if (base[0] == '.')
		base[0] = '_';
	for (i = 0; base[i]; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
			    base[i]))
			base[i] = '_';
	snprintf(out, size, "%s", base);
	for (i = 2; name_is_taken(disks, out); i++)
		snprintf(out, size, "%s-%zu", base, i);
}

static void add_disk(json_t *disks, const json_t *info, const json_t *inserted, const json_t *nodes,
		     const char *cwd)
{
	const json_t *fmt = inserted ? format_node(inserted, nodes) : NULL;
	const json_t *image = json_object_get(fmt, "image"), *other;
	const char *node = str(inserted, "node-name"), *device = str(info, "device");
	const char *qdev = str(info, "qdev"), *file;
	char name[96], id[64];
	json_t *d;
	size_t i;

	choose_name(disks, device, node, qdev, name, sizeof(name));
	d = json_pack("{s:s,s:I,s:b,s:b,s:b,s:b}", "name", name, "size",
		      (json_int_t)json_integer_value(json_object_get(image, "virtual-size")),
		      "read_only", inserted && json_is_true(json_object_get(inserted, "ro")),
		      "empty", !inserted, "removable",
		      json_is_true(json_object_get(info, "removable")), "copy", 0);
	if (!d)
		return;
	set_str(d, "device", device);
	set_str(d, "qdev", qdev);
	set_str(d, "node", node);
	set_str(d, "format", str(image, "format"));
	file = str(inserted, "file");
	set_str(d, "file", file);
	if (*file && vmdesc_file_id(cwd, file, id, sizeof(id)) == 0)
		set_str(d, "file_id", id);
	if (strcmp(str(image, "format"), "qcow2") == 0)
		json_object_set_new(d, "qcow2", read_qcow2(image));
	json_array_foreach(disks, i, other) if (*node && strcmp(str(other, "node"), node) == 0 &&
						!*str(other, "shared_with"))
	    set_str(d, "shared_with", str(other, "name"));
	json_array_append_new(disks, d);
}

/* Whether some -blockdev names node as its child: then it is no root. */
static bool is_child(const struct qargs *q, const char *node)
{
	size_t len = strlen(node), seen = 0;

	for (size_t i = 0; i < q->count; i++) {
		const struct qargs_option *o = q->at[i].option;
		const char *v = q->at[i].value;

		if (!o || o->rule != QARGS_BLOCKDEV)
			continue;
		while ((v = strstr(v, node))) {
			if (v > q->at[i].value && (v[-1] == '=' || v[-1] == '"'))
				seen += v[len] == 0 || v[len] == ',' || v[len] == '"';
			v += len;
		}
	}
	return seen > 1;
}

/* A -blockdev that no device uses now: a later device_add may want its contents. */
static void add_idle_nodes(json_t *disks, const struct qargs *q, const json_t *nodes,
			   const char *cwd)
{
	const json_t *node, *d;
	size_t i, k;

	json_array_foreach(nodes, i, node)
	{
		const char *name = str(node, "node-name");
		bool used = !*name || *name == '#' || is_child(q, name), listed = false;

		json_array_foreach(disks, k, d) used = used || strcmp(str(d, "node"), name) == 0;
		for (k = 0; k < q->count && !used; k++)
			listed =
			    listed || (q->at[k].option && q->at[k].option->rule == QARGS_BLOCKDEV &&
				       strstr(q->at[k].value, name));
		if (listed)
			add_disk(disks, NULL, node, nodes, cwd);
	}
}

static json_t *read_disks(const json_t *blocks, const json_t *nodes, const struct qargs *q,
			  const char *cwd)
{
	json_t *disks = json_array();
	const json_t *info;
	size_t i;

	json_array_foreach(blocks, i, info)
	    add_disk(disks, info, json_object_get(info, "inserted"), nodes, cwd);
	add_idle_nodes(disks, q, nodes, cwd);
	return disks;
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
	set_str(vm, "package", str(qmp_batch_result(b, Q_VERSION), "package"));
	json_object_set_new(vm, "arch", json_string(str(qmp_batch_result(b, Q_TARGET), "arch")));
	/* the QOM type is the machine's name with "-machine" behind it */
	len = machine ? strlen(machine) : 0;
	if (len > 8 && strcmp(machine + len - 8, "-machine") == 0)
		len -= 8;
	json_object_set_new(vm, "machine", json_stringn(machine ? machine : "", len));
	set_str(vm, "name", str(qmp_batch_result(b, Q_NAME), "name"));
	set_str(vm, "uuid", str(qmp_batch_result(b, Q_UUID), "UUID"));
	json_object_set_new(vm, "status",
			    json_string(str(qmp_batch_result(b, Q_STATUS), "status")));
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

static void read_process(struct qmp *q, json_t *vm, struct qargs *args, struct err *e)
{
	pid_t pid = qmp_peer_pid(q);
	const json_t *array, *item;
	char **argv;
	size_t i;

	if (read_argv(pid, vm, e) < 0)
		return;
	read_link(pid, "exe", vm);
	read_link(pid, "cwd", vm);
	array = json_object_get(vm, "argv");
	argv = calloc(json_array_size(array) + 1, sizeof(*argv));
	if (!argv) {
		err_set_sys(e, ENOMEM, "the source's command line");
		return;
	}
	json_array_foreach(array, i, item) argv[i] =
	    (char *)json_string_value(item); /* vm outlives args */
	if (qargs_parse(args, argv, json_array_size(array), e) < 0)
		json_object_del(vm, "argv");
	free(argv);
}

static void on_batch(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct reader *r = ctx;
	struct vmdesc_report rep = {.argv_err = ERR_INIT};
	struct qargs args = {0};

	if (err_is_set(e)) {
		r->fn(r->ctx, NULL, e);
		return;
	}
	rep.vm = json_object();
	read_basics(b, rep.vm);
	read_process(q, rep.vm, &args, &rep.argv_err);
	if (!err_is_set(&rep.argv_err))
		vmdesc_compare_devices(rep.vm, &args, qmp_batch_result(b, Q_PERIPHERAL),
				qmp_batch_result(b, Q_ANON));
	rep.disks = read_disks(qmp_batch_result(b, Q_BLOCK), qmp_batch_result(b, Q_NODES), &args,
			       str(rep.vm, "cwd"));
	qargs_fini(&args);
	rep.migrate = json_incref(qmp_batch_result(b, Q_MIGRATE));
	rep.capabilities = json_incref(qmp_batch_result(b, Q_CAPABILITIES));
	rep.parameters = json_incref(qmp_batch_result(b, Q_PARAMETERS));
	rep.block_jobs = json_incref(qmp_batch_result(b, Q_BLOCK_JOBS));
	rep.nodes = json_incref(qmp_batch_result(b, Q_NODES));
	r->fn(r->ctx, &rep, e);
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
	qmp_batch_add(b, QMP_MAY, "query-cpus-fast", NULL);
	qmp_batch_add(b, QMP_MAY, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"));
	qmp_batch_add(b, QMP_MAY, "qom-list",
		      json_pack("{s:s}", "path", "/machine/peripheral-anon"));
	qmp_batch_add(b, QMP_MUST, "query-migrate", NULL);
	qmp_batch_add(b, QMP_MUST, "query-migrate-capabilities", NULL);
	qmp_batch_add(b, QMP_MUST, "query-migrate-parameters", NULL);
	qmp_batch_run(b, q, on_batch, r);
}

void vmdesc_report_fini(struct vmdesc_report *r)
{
	json_decref(r->vm);
	json_decref(r->disks);
	json_decref(r->migrate);
	json_decref(r->capabilities);
	json_decref(r->parameters);
	json_decref(r->block_jobs);
	json_decref(r->nodes);
	memset(r, 0, sizeof(*r));
}
