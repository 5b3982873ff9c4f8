/*
 * Asking a QEMU what it can do: see check_probe.h. Owned by the check. A binary gets all its
 * questions on standard input, the last of them `quit`, so that it ends by itself even when
 * nobody is left to kill it.
 */
#include "control/check/check_probe.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/user.h"
#include "control/host.h"
#include "control/qmp.h"
#include "control/vm.h"

enum { PROBE_MS = 10000, OUTPUT_MAX = 16 * 1024 * 1024 };

/* In the order in which they are asked. Those from FIRST_OF_WAITING on make sense with a
 * machine only. */
enum question {
	VERSION,
	TARGET,
	KVM,
	MACHINES,
	CPUS,
	CAPABILITIES,
	SCHEMA,
	FIRST_OF_WAITING,
	MACHINE = FIRST_OF_WAITING,
	MEMORY,
	MEMORY_DEVICES,
	CPU_LIST,
	CPU,
	BLOCK,
	NODES,
	GRAPH,
	NAME,
	QUESTIONS,
};

static const struct {
	const char *command, *path, *property;
} questions[QUESTIONS] = {
    [VERSION] = {"query-version", NULL, NULL},
    [TARGET] = {"query-target", NULL, NULL},
    [KVM] = {"query-kvm", NULL, NULL},
    [MACHINES] = {"query-machines", NULL, NULL},
    [CPUS] = {"query-cpu-definitions", NULL, NULL},
    [CAPABILITIES] = {"query-migrate-capabilities", NULL, NULL},
    [SCHEMA] = {"query-qmp-schema", NULL, NULL},
    [MACHINE] = {"qom-get", "/machine", "type"},
    [MEMORY] = {"query-memory-size-summary", NULL, NULL},
    [MEMORY_DEVICES] = {"query-memory-devices", NULL, NULL},
    [CPU_LIST] = {"query-cpus-fast", NULL, NULL},
    [CPU] = {"qom-get", "/machine/unattached/device[0]", "type"},
    [BLOCK] = {"query-block", NULL, NULL},
    [NODES] = {"query-named-block-nodes", NULL, NULL},
    [GRAPH] = {"x-debug-query-block-graph", NULL, NULL},
    [NAME] = {"query-name", NULL, NULL},
};

struct check_probe {
	struct event_base *base;
	check_probe_done *fn;
	void *ctx;
	struct event *ev_done;	/* the end, from the loop */
	struct event *ev_limit; /* it takes too long */
	json_t *answers;
	struct err err;

	struct proc *proc;
	int in_fd, out_fd, err_fd;
	char name[300]; /* of the binary, for messages */
	json_t **cache;
	char key[4500];
	bool spice; /* it is still to be asked whether it has SPICE */
	const char *binary;
	const struct user *user;

	struct qmp *qmp;
};

/* ---- reading answers ---- */

static void read_machines(json_t *out, const json_t *list)
{
	json_t *machines = json_object();
	const json_t *m;
	size_t i;

	json_array_foreach(list, i, m)
	{
		json_t *most = json_object_get(m, "cpu-max");

		if (!json_is_integer(most))
			continue;
		json_object_set(machines, json_text(m, "name"), most);
		if (*json_text(m, "alias"))
			json_object_set(machines, json_text(m, "alias"), most);
	}
	json_object_set_new(out, "machines", machines);
}

static void read_cpus(json_t *out, const json_t *list)
{
	json_t *cpus = json_object(), *none = json_array();
	const json_t *m;
	size_t i;

	json_array_foreach(list, i, m)
	{
		json_t *lacks = json_object_get(m, "unavailable-features");

		json_object_set(cpus, json_text(m, "name"), lacks ? lacks : none);
	}
	json_decref(none);
	json_object_set_new(out, "cpus", cpus);
}

static bool has_word(const json_t *list, const char *word)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *s = json_string_value(item);

		if (s && strcmp(s, word) == 0)
			return true;
	}
	return false;
}

/* The schema has no names for its types, but only one list of words has both of these. */
static void read_schema(json_t *out, const json_t *schema)
{
	const json_t *type;
	size_t i;

	json_array_foreach(schema, i, type)
	{
		json_t *values = json_object_get(type, "values");

		if (has_word(values, "none") && has_word(values, "zlib"))
			json_object_set(out, "compression", values);
	}
}

static void read_answer(json_t *out, enum question q, json_t *v)
{
	const json_t *version = json_object_get(v, "qemu");
	char text[64];

	switch (q) {
	case VERSION:
		snprintf(text, sizeof(text), "%d.%d.%d",
			 (int)json_integer_value(json_object_get(version, "major")),
			 (int)json_integer_value(json_object_get(version, "minor")),
			 (int)json_integer_value(json_object_get(version, "micro")));
		json_object_set_new(out, "qemu", json_string(text));
		break;
	case TARGET:
		json_object_set(out, "target", v);
		break;
	case KVM:
		json_object_set(out, "kvm", json_object_get(v, "enabled"));
		break;
	case MACHINES:
		read_machines(out, v);
		break;
	case CPUS:
		read_cpus(out, v);
		break;
	case CAPABILITIES:
		json_object_set(out, "capabilities", v);
		break;
	case SCHEMA:
		read_schema(out, v);
		break;
	case MACHINE:
		json_object_set(out, "machine", v);
		break;
	case MEMORY:
		json_object_set(out, "memory", v);
		break;
	case MEMORY_DEVICES:
		json_object_set(out, "memory_devices", v);
		break;
	case CPU_LIST:
		json_object_set(out, "cpu_list", v);
		break;
	case CPU:
		json_object_set(out, "cpu", v);
		break;
	case BLOCK:
		json_object_set(out, "block", v);
		break;
	case NODES:
		json_object_set(out, "nodes", v);
		break;
	case GRAPH:
		json_object_set(out, "graph", v);
		break;
	case NAME:
		json_object_set(out, "name", v);
		break;
	case QUESTIONS:
		break;
	}
}

json_t *check_probe_read(const char *text, size_t len, struct err *e)
{
	json_t *out = json_object();
	const char *end = text + len;

	while (out && text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = nl ? (size_t)(nl - text) : (size_t)(end - text);
		json_t *line = json_loadb(text, n, 0, NULL);
		const json_t *id = json_object_get(line, "id");
		json_t *v = json_object_get(line, "return");

		if (v && json_is_integer(id) && json_integer_value(id) >= 0 &&
		    json_integer_value(id) < QUESTIONS)
			read_answer(out, (enum question)json_integer_value(id), v);
		json_decref(line);
		text += n + (nl != NULL);
	}
	if (*json_text(out, "qemu"))
		return out;
	json_decref(out);
	err_set(e, ERR_QEMU, "it does not say which QEMU it is");
	return NULL;
}

/* ---- the end ---- */

static void done(struct check_probe *p)
{
	event_active(p->ev_done, EV_TIMEOUT, 1);
}

static void on_done(evutil_socket_t fd, short what, void *ctx)
{
	struct check_probe *p = ctx;

	(void)fd;
	(void)what;
	event_del(p->ev_limit);
	p->fn(p->ctx, err_is_set(&p->err) ? NULL : p->answers, &p->err);
}

static void on_limit(evutil_socket_t fd, short what, void *ctx)
{
	struct check_probe *p = ctx;

	(void)fd;
	(void)what;
	err_set(&p->err, ERR_TIMEOUT, "%s did not say within %d s what it can do", p->name,
		PROBE_MS / 1000);
	done(p);
}

static struct check_probe *probe_new(struct event_base *base, const char *name,
				     check_probe_done *fn, void *ctx, struct err *e)
{
	struct check_probe *p = calloc(1, sizeof(*p));

	if (!p) {
		err_set(e, ERR_SPACE, "no memory for a check");
		return NULL;
	}
	p->base = base;
	p->fn = fn;
	p->ctx = ctx;
	p->in_fd = p->out_fd = p->err_fd = -1;
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->ev_done = evtimer_new(base, on_done, p);
	p->ev_limit = evtimer_new(base, on_limit, p);
	if (p->ev_done && p->ev_limit &&
	    event_add(p->ev_limit, &(struct timeval){.tv_sec = PROBE_MS / 1000}) == 0)
		return p;
	err_set(e, ERR_SPACE, "no memory for a check");
	check_probe_free(p);
	return NULL;
}

void check_probe_free(struct check_probe *p)
{
	if (!p)
		return;
	proc_kill(p->proc);
	qmp_free(p->qmp);
	fd_close(&p->in_fd);
	fd_close(&p->out_fd);
	fd_close(&p->err_fd);
	if (p->ev_done)
		event_free(p->ev_done);
	if (p->ev_limit)
		event_free(p->ev_limit);
	json_decref(p->answers);
	free(p);
}

/* ---- a binary ---- */

static void read_output(struct check_probe *p)
{
	struct stat st;
	void *text;

	if (fstat(p->out_fd, &st) < 0 || st.st_size <= 0 || st.st_size > OUTPUT_MAX) {
		err_set(&p->err, ERR_QEMU, "%s does not say what it can do", p->name);
		return;
	}
	text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, p->out_fd, 0);
	if (text == MAP_FAILED) {
		err_set_sys(&p->err, errno, "what %s says cannot be read", p->name);
		return;
	}
	p->answers = check_probe_read(text, (size_t)st.st_size, &p->err);
	munmap(text, (size_t)st.st_size);
	if (!p->answers)
		err_prefix(&p->err, "%s", p->name);
}

static void finish(struct check_probe *p)
{
	/* KVM may come and go without the binary changing; and what could not be asked now may be
	 * the next time. */
	if (p->answers && p->cache && !err_is_set(&p->err) &&
	    (!strstr(p->key, "|kvm|") || json_is_true(json_object_get(p->answers, "kvm")))) {
		if (!*p->cache)
			*p->cache = json_object();
		json_object_set(*p->cache, p->key, p->answers);
	}
	done(p);
}

static void on_spice(void *ctx, struct proc *proc, int status)
{
	struct check_probe *p = ctx;
	char text[256];
	ssize_t n = pread(p->err_fd, text, sizeof(text) - 1, 0);

	(void)status; /* 1 in either case */
	proc_free(proc);
	p->proc = NULL;
	text[n > 0 ? n : 0] = 0;
	json_object_set_new(p->answers, "spice", json_boolean(strstr(text, "spice options")));
	finish(p);
}

/* SPICE is a module of its own, which QEMU loads when it comes to the option. */
static void ask_spice(struct check_probe *p)
{
	const char *argv[] = {p->binary, "-spice", "help", NULL}, *const *from = argv;
	struct proc_io io = {.in = -1, .err = -1, .user = p->user};

	if (ftruncate(p->err_fd, 0) < 0 || lseek(p->err_fd, 0, SEEK_SET) < 0)
		err_set_sys(&p->err, errno, "%s cannot be asked for SPICE", p->name);
	io.out = p->err_fd;
	if (!err_is_set(&p->err))
		p->proc = proc_start_io(p->base, (char *const *)(uintptr_t)from, &io, NULL,
					on_spice, p, &p->err);
	if (!p->proc)
		finish(p);
}

static void on_exited(void *ctx, struct proc *proc, int status)
{
	struct check_probe *p = ctx;
	char line[300];

	proc_free(proc);
	p->proc = NULL;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		err_set(&p->err, ERR_QEMU, "%s cannot be asked what it can do: %s", p->name,
			proc_last_line(p->err_fd, line, sizeof(line)));
	else
		read_output(p);
	if (p->answers && p->spice)
		ask_spice(p);
	else
		finish(p);
}

static int write_questions(int fd)
{
	int n = dprintf(fd, "{\"execute\":\"qmp_capabilities\"}\n");

	for (int i = 0; n > 0 && i < FIRST_OF_WAITING; i++)
		n = dprintf(fd, "{\"execute\":\"%s\",\"id\":%d}\n", questions[i].command, i);
	if (n > 0)
		n = dprintf(fd, "{\"execute\":\"quit\"}\n");
	return n > 0 && lseek(fd, 0, SEEK_SET) == 0 ? 0 : -1;
}

static int run(struct check_probe *p, const char *binary, const struct user *user, bool kvm,
	       struct err *e)
{
	const char *argv[] = {binary, "-machine",    "none",	 "-accel", "kvm", "-accel",
			      "tcg",  "-nodefaults", "-display", "none",   "-S",  "-no-user-config",
			      "-qmp", "stdio",	     NULL};
	const char *const *from = argv;
	struct proc_io io;

	if (!kvm) {
		argv[4] = "tcg";
		memmove(&argv[5], &argv[7], sizeof(argv) - 7 * sizeof(argv[0]));
	}
	p->in_fd = memfd_create("questions", MFD_CLOEXEC);
	p->out_fd = memfd_create("answers", MFD_CLOEXEC);
	p->err_fd = memfd_create("errors", MFD_CLOEXEC);
	if (p->in_fd < 0 || p->out_fd < 0 || p->err_fd < 0 || write_questions(p->in_fd) < 0)
		return err_set_sys(e, errno, "%s cannot be asked", binary);
	io = (struct proc_io){.in = p->in_fd, .out = p->out_fd, .err = p->err_fd, .user = user};
	p->proc =
	    proc_start_io(p->base, (char *const *)(uintptr_t)from, &io, NULL, on_exited, p, e);
	return p->proc ? 0 : e->code;
}

struct check_probe *check_probe_binary(struct event_base *base, const char *binary,
				       const struct user *user, bool kvm, bool spice,
				       json_t **cache, check_probe_done *fn, void *ctx,
				       struct err *e)
{
	struct check_probe *p = probe_new(base, binary, fn, ctx, e);
	struct stat st;

	if (!p)
		return NULL;
	if (stat(binary, &st) < 0) {
		err_set_sys(e, errno, "%s cannot be launched on the destination", binary);
		check_probe_free(p);
		return NULL;
	}
	p->cache = cache;
	p->spice = spice;
	p->binary = binary;
	p->user = user;
	snprintf(p->key, sizeof(p->key), "%s|%s|%s|%s|%llx:%llx:%lld.%09ld", binary,
		 kvm ? "kvm" : "tcg", spice ? "spice" : "", user->name,
		 (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
		 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	p->answers = cache ? json_incref(json_object_get(*cache, p->key)) : NULL;
	if (p->answers) {
		done(p);
		return p;
	}
	if (run(p, binary, user, kvm, e) == 0)
		return p;
	check_probe_free(p);
	return NULL;
}

/* ---- one that waits ---- */

static void on_asked(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *why)
{
	struct check_probe *p = ctx;

	(void)q;
	if (err_is_set(why))
		p->err = *why;
	for (unsigned i = 0; i < QUESTIONS; i++)
		if (qmp_batch_result(b, i))
			read_answer(p->answers, (enum question)i, qmp_batch_result(b, i));
	done(p);
}

static json_t *arguments(enum question q)
{
	if (questions[q].path)
		return json_pack("{s:s,s:s}", "path", questions[q].path, "property",
				 questions[q].property);
	return q == NODES ? json_pack("{s:b}", "flat", 1) : NULL;
}

static void on_status(void *ctx, struct qmp *q, json_t *result, const struct err *why)
{
	struct check_probe *p = ctx;
	struct qmp_batch *b;

	if (err_is_set(why)) {
		p->err = *why;
		done(p);
		return;
	}
	p->answers = json_pack("{s:s,s:i}", "status", json_text(result, "status"), "pid",
			       (int)qmp_peer_pid(q));
	if (strcmp(json_text(result, "status"), "inmigrate") != 0) {
		done(p); /* somebody's VM, perhaps: it is left alone */
		return;
	}
	b = qmp_batch_new();
	for (unsigned i = 0; i < QUESTIONS; i++)
		qmp_batch_add(b, i == VERSION ? QMP_MUST : QMP_MAY, questions[i].command,
			      arguments((enum question)i));
	qmp_batch_run(b, q, on_asked, p);
}

static void on_ready(void *ctx, struct qmp *q)
{
	qmp_command(q, "query-status", NULL, on_status, ctx);
}

static void on_qmp_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct check_probe *p = ctx;

	(void)q;
	if (!err_is_set(&p->err))
		p->err = *why;
	done(p);
}

static const struct qmp_ops qmp_ops = {.on_ready = on_ready, .on_end = on_qmp_end};

struct check_probe *check_probe_monitor(struct event_base *base, const char *path,
					check_probe_done *fn, void *ctx, struct err *e)
{
	struct check_probe *p = probe_new(base, path, fn, ctx, e);

	if (!p)
		return NULL;
	p->qmp = qmp_connect(base, path, 0, &qmp_ops, p, e);
	if (p->qmp)
		return p;
	check_probe_free(p);
	return NULL;
}
