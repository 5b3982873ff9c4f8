/*
 * Asking a QEMU what it can do: see check_probe.h. Owned by the check. A binary gets all its
 * questions on standard input, the last of them `quit`, so that it ends by itself even when
 * nobody is left to kill it.
 */
#include "control/check/check_probe_i.h"

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
#include "control/check/check_types.h"
#include "control/host.h"
#include "control/qmp.h"
#include "control/vm.h"

enum { PROBE_MS = 10000, OUTPUT_MAX = 16 * 1024 * 1024 };

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
	bool kvm;
	json_t *wanted; /* types that it is still to be asked for */
	const char *binary;
	const struct user *user;

	struct qmp *qmp;
};

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
	json_decref(p->wanted);
	free(p);
}

/* ---- a binary ---- */

typedef void on_output(struct check_probe *p, const char *text, size_t len, const char *why);

/* What was written; why it ended, where that was not as it should have. */
static void read_output(struct check_probe *p, int status, on_output *fn)
{
	char line[300], why[400];
	struct stat st;
	void *text;
	bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	snprintf(why, sizeof(why), "it ends when it is asked: %s",
		 proc_last_line(p->err_fd, line, sizeof(line)));
	if (fstat(p->out_fd, &st) < 0 || st.st_size <= 0 || st.st_size > OUTPUT_MAX) {
		fn(p, "", 0, ended ? NULL : why);
		return;
	}
	text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, p->out_fd, 0);
	if (text == MAP_FAILED) {
		err_set_sys(&p->err, errno, "what %s says cannot be read", p->name);
		return;
	}
	fn(p, text, (size_t)st.st_size, ended ? NULL : why);
	munmap(text, (size_t)st.st_size);
}

/* Descriptors for a run, empty; the questions are written before it. */
static int make_room(struct check_probe *p, struct err *e)
{
	int *const fds[] = {&p->in_fd, &p->out_fd, &p->err_fd};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		fd_close(fds[i]);
		*fds[i] = memfd_create("questions", MFD_CLOEXEC);
		if (*fds[i] < 0)
			return err_set_sys(e, errno, "%s cannot be asked", p->name);
	}
	return 0;
}

static int run(struct check_probe *p, proc_on_exit *fn, struct err *e)
{
	const char *argv[] = {p->binary,  "-machine", "none", "-accel",
			      "kvm",	  "-accel",   "tcg",  "-nodefaults",
			      "-display", "none",     "-S",   "-no-user-config",
			      "-qmp",	  "stdio",    NULL};
	const char *const *from = argv;
	const struct proc_io io = {
	    .in = p->in_fd, .out = p->out_fd, .err = p->err_fd, .user = p->user};

	if (!p->kvm) {
		argv[4] = "tcg";
		memmove(&argv[5], &argv[7], sizeof(argv) - 7 * sizeof(argv[0]));
	}
	if (dprintf(p->in_fd, "{\"execute\":\"quit\"}\n") < 0 || lseek(p->in_fd, 0, SEEK_SET) < 0)
		return err_set_sys(e, errno, "%s cannot be asked", p->name);
	p->proc = proc_start_io(p->base, (char *const *)(uintptr_t)from, &io, NULL, fn, p, e);
	return p->proc ? 0 : e->code;
}

/* ---- the types of a VM's devices: asked each time, but for those that were found once ---- */

static json_t *found_before(const struct check_probe *p)
{
	char key[sizeof(p->key) + 10];

	snprintf(key, sizeof(key), "types|%s", p->key);
	if (!p->cache)
		return NULL;
	if (!*p->cache)
		*p->cache = json_object();
	if (!json_object_get(*p->cache, key))
		json_object_set_new(*p->cache, key, json_object());
	return json_object_get(*p->cache, key);
}

/* The answers that are kept are another check's too. */
static void put_types(struct check_probe *p, json_t *types)
{
	json_t *answers = json_copy(p->answers), *before = found_before(p);
	const char *word;
	json_t *is;

	json_object_foreach(types, word, is) if (json_is_array(is) || json_is_true(is))
	    json_object_set(before, word, is);
	json_object_update_missing(types, before);
	json_object_set_new(answers, "types", types);
	json_decref(p->answers);
	p->answers = answers;
	done(p);
}

static void on_types(struct check_probe *p, const char *text, size_t len, const char *why)
{
	put_types(p, check_types_read(text, len, p->wanted, why));
}

static void on_types_exited(void *ctx, struct proc *proc, int status)
{
	struct check_probe *p = ctx;

	proc_free(proc);
	p->proc = NULL;
	read_output(p, status, on_types);
	if (err_is_set(&p->err))
		done(p);
}

static void ask_types(struct check_probe *p)
{
	json_t *before = found_before(p), *left = json_array();
	bool failed = make_room(p, &p->err) < 0 ||
		      dprintf(p->in_fd, "{\"execute\":\"qmp_capabilities\"}\n") < 0;
	const json_t *word;
	size_t i;

	json_array_foreach(p->wanted, i, word)
	{
		json_t *q = check_types_question(json_string_value(word), json_array_size(left));
		char *text = json_dumps(q, JSON_COMPACT);

		if (!json_object_get(before, json_string_value(word))) {
			failed = failed || !text || dprintf(p->in_fd, "%s\n", text) < 0;
			json_array_append(left, (json_t *)(uintptr_t)word);
		}
		free(text);
		json_decref(q);
	}
	json_decref(p->wanted);
	p->wanted = left;
	if (failed || err_is_set(&p->err) ||
	    (json_array_size(left) && run(p, on_types_exited, &p->err) < 0))
		done(p);
	else if (!json_array_size(left))
		put_types(p, json_object());
}

/* ---- what it can do ---- */

static void finish(struct check_probe *p)
{
	/* KVM may come and go without the binary changing, and SPICE come as its module does; and
	 * what could not be asked now may be the next time. */
	if (p->answers && p->cache && !err_is_set(&p->err) &&
	    (!p->kvm || json_is_true(json_object_get(p->answers, "kvm"))) &&
	    (!p->spice || json_is_true(json_object_get(p->answers, "spice")))) {
		if (!*p->cache)
			*p->cache = json_object();
		json_object_set(*p->cache, p->key, p->answers);
	}
	if (p->answers && !err_is_set(&p->err) && json_array_size(p->wanted))
		ask_types(p);
	else
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

	if (make_room(p, &p->err) == 0) {
		io.out = p->err_fd;
		p->proc = proc_start_io(p->base, (char *const *)(uintptr_t)from, &io, NULL,
					on_spice, p, &p->err);
	}
	if (!p->proc)
		finish(p);
}

static void on_said(struct check_probe *p, const char *text, size_t len, const char *why)
{
	char line[300];

	if (why)
		err_set(&p->err, ERR_QEMU, "%s cannot be asked what it can do: %s", p->name,
			proc_last_line(p->err_fd, line, sizeof(line)));
	else if (!len)
		err_set(&p->err, ERR_QEMU, "%s does not say what it can do", p->name);
	else if (!(p->answers = check_probe_read(text, len, &p->err)))
		err_prefix(&p->err, "%s", p->name);
}

static void on_exited(void *ctx, struct proc *proc, int status)
{
	struct check_probe *p = ctx;

	proc_free(proc);
	p->proc = NULL;
	read_output(p, status, on_said);
	if (p->answers && p->spice)
		ask_spice(p);
	else
		finish(p);
}

static int write_questions(int fd)
{
	int n = dprintf(fd, "{\"execute\":\"qmp_capabilities\"}\n");

	for (int i = 0; n > 0 && i < FIRST_OF_WAITING; i++)
		n = dprintf(fd, "{\"execute\":\"%s\",\"id\":%d}\n",
			    check_probe_questions[i].command, i);
	return n > 0 ? 0 : -1;
}

struct check_probe *check_probe_binary(struct event_base *base, const char *binary,
				       const struct user *user, bool kvm, bool spice, json_t *types,
				       json_t **cache, check_probe_done *fn, void *ctx,
				       struct err *e)
{
	struct check_probe *p = probe_new(base, binary, fn, ctx, e);
	struct stat st;

	if (!p) {
		json_decref(types);
		return NULL;
	}
	p->wanted = types;
	if (stat(binary, &st) < 0) {
		err_set_sys(e, errno, "%s cannot be launched on the destination", binary);
		check_probe_free(p);
		return NULL;
	}
	p->cache = cache;
	p->spice = spice;
	p->kvm = kvm;
	p->binary = binary;
	p->user = user;
	snprintf(p->key, sizeof(p->key), "%s|%s|%s|%s|%llx:%llx:%lld.%09ld", binary,
		 kvm ? "kvm" : "tcg", spice ? "spice" : "", user->name,
		 (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
		 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	p->answers = cache ? json_incref(json_object_get(*cache, p->key)) : NULL;
	if (p->answers) {
		finish(p);
		return p;
	}
	if (make_room(p, e) == 0 && write_questions(p->in_fd) < 0)
		err_set_sys(e, errno, "%s cannot be asked", binary);
	if (!err_is_set(e) && run(p, on_exited, e) == 0)
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
			check_probe_put(p->answers, (enum question)i, qmp_batch_result(b, i));
	done(p);
}

static json_t *arguments(enum question q)
{
	if (check_probe_questions[q].path)
		return json_pack("{s:s,s:s}", "path", check_probe_questions[q].path, "property",
				 check_probe_questions[q].property);
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
		qmp_batch_add(b, i == VERSION ? QMP_MUST : QMP_MAY,
			      check_probe_questions[i].command, arguments((enum question)i));
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
