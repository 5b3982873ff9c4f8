/*
 * RAM on the destination: what the twin is told beforehand, and the streams that its
 * contents come in.
 *
 * One stream goes to a socketpair whose other end QEMU gets. multifd and postcopy's
 * preempt channel need a path: then QEMU listens on a socket in a folder of this job's, and is
 * connected to once for each stream, in the order in which the source opened them, since
 * the first must be the main channel. Nobody else is to connect there.
 *
 * QEMU is told to listen only when the first stream comes: until then one that was waiting
 * can be put back as it was.
 */
#include "control/destination/job_i.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/point.h"

static bool has(const json_t *capabilities, const char *name)
{
	size_t i;
	const json_t *cap;

	json_array_foreach(capabilities, i, cap)
	{
		const char *text = json_string_value(json_object_get(cap, "capability"));

		if (text && strcmp(text, name) == 0)
			return true;
	}
	return false;
}

static void set(json_t *list, const json_t *there, const char *name, bool on)
{
	if (on || has(there, name))
		json_array_append_new(
		    list, json_pack("{s:s,s:b}", "capability", name, "state", on ? 1 : 0));
}

void job_ram_read(struct job *j, const json_t *msg)
{
	j->ram.multifd = (unsigned)json_integer_value(json_object_get(msg, "multifd"));
	j->ram.compression = json_string_value(json_object_get(msg, "compression"));
	j->ram.xbzrle = json_is_true(json_object_get(msg, "xbzrle"));
	j->ram.postcopy = json_is_true(json_object_get(msg, "postcopy"));
	j->ram.preempt = json_is_true(json_object_get(msg, "preempt"));
}

enum { Q_CAPABILITIES, Q_PARAMETERS };

/* What QEMU's refusal means, and the mend. */
static void explain(const struct job *j, unsigned failed, struct err *why)
{
	if (failed == Q_PARAMETERS && j->ram.compression)
		err_set(why, ERR_REFUSED,
			"the destination's QEMU %s cannot do --compression %s (%s): use one "
			"that is built with it, or another compression",
			j->twin.qemu_version, j->ram.compression, why->text);
	else if (j->ram.postcopy && j->ram.multifd)
		err_set(why, ERR_REFUSED,
			"the destination's QEMU %s cannot do --multifd and --postcopy together "
			"(%s): QEMU 10.2 and newer can",
			j->twin.qemu_version, why->text);
	else if (j->ram.postcopy)
		err_set(why, ERR_REFUSED,
			"the destination's QEMU %s cannot do --postcopy (%s): its user must "
			"be allowed userfaultfd (root, or sysctl vm.unprivileged_userfaultfd=1), "
			"and the VM's RAM must be of a kind that it works with",
			j->twin.qemu_version, why->text);
	else
		err_prefix(why, "the destination's QEMU %s is not fit for this migration",
			   j->twin.qemu_version);
}

static void on_set(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	struct err why = *e;

	(void)q;
	if (j->state != JOB_PREPARING)
		return;
	if (err_is_set(&why)) {
		explain(
		    j, err_is_set(qmp_batch_err(b, Q_CAPABILITIES)) ? Q_CAPABILITIES : Q_PARAMETERS,
		    &why);
		job_fail(j, &why);
		return;
	}
	job_export(j);
}

void job_ram_prepare(struct job *j, const json_t *there)
{
	struct qmp_batch *b = qmp_batch_new();
	json_t *list = json_array();

	/* A channel of its own for urgent pages where both have it; beside multifd the order
	 * of so many channels is nothing to build on. */
	j->ram.preempt =
	    j->ram.preempt && j->ram.postcopy && !j->ram.multifd && has(there, "postcopy-preempt");
	set(list, there, "events", true);
	set(list, there, "return-path", true);
	set(list, there, "pause-before-switchover", true);
	set(list, there, "multifd", j->ram.multifd > 0);
	set(list, there, "xbzrle", j->ram.xbzrle);
	set(list, there, "postcopy-ram", j->ram.postcopy);
	set(list, there, "postcopy-preempt", j->ram.preempt);
	qmp_batch_add(b, QMP_MUST, "migrate-set-capabilities",
		      json_pack("{s:o}", "capabilities", list));
	if (j->ram.multifd)
		qmp_batch_add(b, QMP_MUST, "migrate-set-parameters",
			      json_pack("{s:i,s:s}", "multifd-channels", (int)j->ram.multifd,
					"multifd-compression",
					j->ram.compression ? j->ram.compression : "none"));
	qmp_batch_run(b, j->qmp, on_set, j);
}

/* ---- the streams ---- */

static size_t channels_wanted(const struct job *j)
{
	return j->ram.multifd ? j->ram.multifd + 1u : j->ram.preempt ? 2 : 1;
}

static void on_relay_end(void *ctx, struct relay *r, enum code code, const char *reason)
{
	struct job *j = ctx;

	for (size_t i = 0; i < j->ram.count; i++)
		if (j->ram.relays[i] == r)
			j->ram.relays[i] = NULL;
	if (code != CODE_NONE && job_state_is(j->state, JOB_OPEN))
		log_info(&j->about, "a RAM stream ended: %s", reason);
}

static void on_incoming(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	struct err why = *e;

	(void)q;
	(void)b;
	if (!job_state_is(j->state, JOB_OPEN) || !err_is_set(&why))
		return;
	err_prefix(&why, "the destination's QEMU does not take the VM");
	job_suspect(j, &why);
}

/* Who listens at path: the folder is of the twin's user, who can put there what it likes, a link
 * to another's socket, too. What the source sends is for the twin, which listens itself. */
static int is_twins(void *ctx, int fd, struct err *e)
{
	struct job *j = ctx;
	uid_t uid;
	pid_t pid;

	/* Of a monitor that was handed to QEMU the process is another one. */
	if (fd_peer(fd, &uid, &pid) == 0 && j->qmp && uid == qmp_peer_uid(j->qmp) &&
	    (!j->launched || pid == qmp_peer_pid(j->qmp)))
		return 0;
	err_set(e, ERR_REFUSED,
		"another process than the destination's QEMU listens at %s: RAM is not given to "
		"it",
		j->ram.path);
	if (job_state_is(j->state, JOB_OPEN))
		job_suspect(j, e); /* not now: that would end the relay that asks */
	else
		log_warn(&j->about, "%s", e->text);
	return e->code;
}

/* QEMU listens: all that came so far are connected, the first first. */
static void on_listening(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	struct addr a = {.kind = ADDR_UNIX};

	if (err_is_set(e)) {
		on_incoming(ctx, q, b, e);
		return;
	}
	POINT("d-ram");
	j->ram.listens = true;
	snprintf(a.path, sizeof(a.path), "%s", j->ram.path);
	for (size_t i = 0; i < j->ram.count && j->session; i++)
		if (j->ram.relays[i])
			relay_join(j->ram.relays[i], j->session, &a, is_twins);
}

void job_ram_name(const struct service *s, const char *job, char *buf, size_t size)
{
	snprintf(buf, size, "%.100s/ram-%.8s", s->config.run_dir, job);
}

void job_ram_remove(struct job *j)
{
	if (*j->ram.dir)
		leftovers_dir(j->service->leftovers, j->ram.dir);
	j->ram.dir[0] = j->ram.path[0] = 0;
}

/* A folder for the socket that QEMU listens on; QEMU's user may not be ours. */
static int make_folder(struct job *j, struct err *e)
{
	char proc[40];
	struct stat st;

	if (service_keep_run_dir(j->service, j->rights, e) < 0)
		return e->code;
	if (snprintf(j->ram.path, sizeof(j->ram.path), "%s/ram-%.8s/ram.sock",
		     j->service->config.run_dir, j->id) >= (int)sizeof(j->ram.path))
		return err_set(e, ERR_CONFIG,
			       "%s is too long for a socket in it: choose a shorter --run-dir",
			       j->service->config.run_dir);
	snprintf(j->ram.dir, sizeof(j->ram.dir), "%.*s", (int)(strlen(j->ram.path) - 9),
		 j->ram.path);
	if (j->guardian && guardian_add_dir(j->guardian, j->ram.dir, e) < 0)
		return e->code;
	if (j->state == JOB_RUNS) { /* of this job, before it broke, or adit serve was killed */
		leftovers_forget(j->service->leftovers, j->ram.dir);
		dir_remove(j->ram.dir);
	}
	if (mkdir(j->ram.dir, 0700) < 0) {
		err_set_sys(e, errno, "the folder %s cannot be made", j->ram.dir);
		guardian_forget_dir(j->guardian, j->ram.dir, NULL);
		j->ram.dir[0] = 0;
		return e->code;
	}
	snprintf(proc, sizeof(proc), "/proc/%ld", (long)qmp_peer_pid(j->qmp));
	if (stat(proc, &st) == 0 && st.st_uid != geteuid() &&
	    chown(j->ram.dir, st.st_uid, (gid_t)-1) < 0)
		log_debug(&j->about, "chown %s: %s", j->ram.dir, strerror(errno));
	return 0;
}

static int listen_for_streams(struct job *j, struct err *e)
{
	char uri[sizeof(j->ram.path) + 8];
	struct qmp_batch *b;

	if (make_folder(j, e) < 0)
		return e->code;
	b = qmp_batch_new();
	snprintf(uri, sizeof(uri), "unix:%s", j->ram.path);
	qmp_batch_add(b, QMP_MUST, "migrate-incoming", json_pack("{s:s}", "uri", uri));
	qmp_batch_run(b, j->qmp, on_listening, j);
	return 0;
}

/* One of several, number k. */
static void take_one_of(struct job *j, struct session *s, struct stream *stream, size_t k)
{
	struct addr a = {.kind = ADDR_UNIX};
	struct err e = ERR_INIT;
	struct relay *r;

	if (k != j->ram.count || k >= channels_wanted(j)) {
		stream_refuse(stream, CODE_REFUSED,
			      "RAM's streams come in order, each once, and no more than agreed");
		return;
	}
	if (!j->ram.relays)
		j->ram.relays = calloc(channels_wanted(j), sizeof(struct relay *));
	if (!j->ram.relays) {
		stream_refuse(stream, CODE_INTERNAL, "no memory for RAM's streams");
		return;
	}
	if (k == 0 && listen_for_streams(j, &e) < 0) {
		stream_refuse(stream, CODE_INTERNAL, e.text);
		return;
	}
	r = relay_hold(j->service->base, stream, on_relay_end, j);
	j->ram.relays[j->ram.count++] = r;
	if (!r || !j->ram.listens)
		return;
	snprintf(a.path, sizeof(a.path), "%s", j->ram.path);
	relay_join(r, s, &a, is_twins);
}

static void take_only(struct job *j, struct session *s, struct stream *stream)
{
	struct err e = ERR_INIT;
	struct qmp_batch *b;
	int pair[2];

	if (j->ram.count) {
		stream_refuse(stream, CODE_REFUSED, "RAM has its stream already");
		return;
	}
	b = qmp_batch_new();
	j->ram.relays = calloc(1, sizeof(struct relay *));
	if (!b || !j->ram.relays || fd_socketpair(pair, &e) < 0) {
		qmp_batch_free(b);
		stream_refuse(stream, CODE_INTERNAL, "no socketpair for RAM");
		return;
	}
	j->ram.count = 1;
	j->ram.relays[0] = relay_accept(j->service->base, s, stream, pair[0], on_relay_end, j);
	qmp_batch_add_fd(b, QMP_MUST, "adit-ram", pair[1]);
	qmp_batch_add(b, QMP_MUST, "migrate-incoming", json_pack("{s:s}", "uri", "fd:adit-ram"));
	qmp_batch_run(b, j->qmp, on_incoming, j);
}

/* ---- postcopy that broke ---- */

enum {
	RECOVER_EVERY_MS = 100,
	RECOVER_MS = 20000,
	ANSWER_MS = 6000, /* the source waits for 12 s */
	CONFIRM_MS = 60000,
};

/* The source is told how that ended: why is NULL when the twin listens. */
static void answer_source(struct job *j, const char *why)
{
	json_t *msg = j->ram.answer;

	j->ram.answer = NULL;
	if (!msg)
		return;
	if (why) {
		json_decref(msg);
		job_recover_not_yet(j, why);
	} else {
		job_say(j, msg);
	}
}

/* All of it had come before the way broke. */
static bool has_all(const struct job *j)
{
	return strcmp(j->ram.status, "completed") == 0;
}

static void on_recovering(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct job *j = ctx;
	struct addr a = {.kind = ADDR_UNIX};

	(void)q;
	(void)result;
	if (j->state != JOB_RUNS || (!j->ram.count && !j->ram.answer))
		return;
	if (err_is_set(e) && j->ram.answer && has_all(j)) {
		json_object_del(j->ram.answer, "postcopy");
		j->postcopy = false;
		job_ram_remove(j);
		answer_source(j, NULL);
		job_wait(j, CONFIRM_MS);
		return;
	}
	if (err_is_set(e) && j->ram.answer && j->loading && strcmp(j->ram.status, "failed") == 0) {
		job_recover_lost(j);
		job_ram_drop(j, e->text);
		return;
	}
	if (err_is_set(e) && clock_ms() < j->ram.recover_until_ms) {
		log_debug(&j->about, "postcopy: %s", e->text);
		job_wait(j, RECOVER_EVERY_MS); /* it has not seen yet that the old one broke */
		return;
	}
	if (err_is_set(e)) {
		log_warn(&j->about, "postcopy is not taken up: %s", e->text);
		answer_source(j, e->text);
		job_ram_drop(j, e->text);
		return;
	}
	log_info(&j->about, j->ram.answer ? "postcopy: QEMU listens for new streams"
					  : "postcopy goes on over new streams");
	j->ram.listens = true;
	snprintf(a.path, sizeof(a.path), "%s", j->ram.path);
	for (size_t i = 0; i < j->ram.count && j->session; i++)
		if (j->ram.relays[i])
			relay_join(j->ram.relays[i], j->session, &a, is_twins);
	answer_source(j, NULL);
}

void job_ram_listen_again(struct job *j, json_t *answer)
{
	struct err e = ERR_INIT;

	j->ram.answer = answer;
	if (make_folder(j, &e) < 0) {
		answer_source(j, e.text);
		return;
	}
	j->ram.recover_until_ms = clock_ms() + ANSWER_MS;
	job_ram_recover_due(j);
}

void job_ram_recover_due(struct job *j)
{
	char uri[sizeof(j->ram.path) + 8];

	if ((!j->ram.count && !j->ram.answer) || j->ram.listens || !j->qmp)
		return;
	snprintf(uri, sizeof(uri), "unix:%s", j->ram.path);
	/* Out of band: a guest that waits for a page can hold up QEMU's main loop. */
	qmp_command_oob(j->qmp, "migrate-recover", json_pack("{s:s}", "uri", uri), on_recovering,
			j);
}

static void take_again(struct job *j, struct session *s, struct stream *stream, size_t k)
{
	struct addr a = {.kind = ADDR_UNIX};
	struct err e = ERR_INIT;
	struct relay *r;
	bool begins;

	if (k == 0 && j->ram.count && j->ram.listens)
		job_ram_drop(j, "postcopy is taken up anew");
	/* (Where the source asked again, the twin listens already, or is being told to.) */
	begins = k == 0 && !j->ram.listens && !j->ram.answer;
	if (k != j->ram.count || k >= channels_wanted(j)) {
		stream_refuse(stream, CODE_REFUSED,
			      "RAM's streams come in order, each once, and no more than agreed");
		return;
	}
	if (!j->ram.relays)
		j->ram.relays = calloc(channels_wanted(j), sizeof(struct relay *));
	if (!j->ram.relays || (begins && make_folder(j, &e) < 0)) {
		stream_refuse(stream, CODE_INTERNAL,
			      err_is_set(&e) ? e.text : "no memory for RAM's streams");
		return;
	}
	r = relay_hold(j->service->base, stream, on_relay_end, j);
	j->ram.relays[j->ram.count++] = r;
	if (begins) {
		j->ram.recover_until_ms = clock_ms() + RECOVER_MS;
		job_ram_recover_due(j);
	} else if (r && j->ram.listens) {
		snprintf(a.path, sizeof(a.path), "%s", j->ram.path);
		relay_join(r, s, &a, is_twins);
	}
}

void job_ram_event(struct job *j, const char *name, const json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));

	/* "setup" is said whenever QEMU begins to listen, which postcopy that broke outlives. */
	if (strcmp(name, "MIGRATION") == 0 && status &&
	    (strcmp(status, "setup") != 0 || strncmp(j->ram.status, "postcopy-", 9) != 0))
		snprintf(j->ram.status, sizeof(j->ram.status), "%s", status);
	if (strcmp(j->ram.status, "postcopy-active") == 0)
		job_force(j);
}

void job_ram_take(struct job *j, struct session *s, struct stream *stream, const char *number)
{
	char *end;
	unsigned long k;

	if (!*number && channels_wanted(j) == 1) {
		if (j->state == JOB_RUNS)
			take_again(j, s, stream, 0);
		else
			take_only(j, s, stream);
		return;
	}
	k = strtoul(number + (*number == '/'), &end, 10);
	if (channels_wanted(j) == 1 || number[0] != '/' || number[1] < '0' || number[1] > '9' ||
	    *end || k > JOB_CHANNELS_MAX)
		stream_refuse(stream, CODE_REFUSED, "this job has no such RAM stream");
	else if (j->state == JOB_RUNS)
		take_again(j, s, stream, k);
	else
		take_one_of(j, s, stream, k);
}

void job_ram_drop(struct job *j, const char *reason)
{
	for (size_t i = 0; i < j->ram.count; i++)
		relay_cancel(j->ram.relays[i], CODE_CANCELLED, reason);
	free(j->ram.relays);
	j->ram.relays = NULL;
	j->ram.count = 0;
	j->ram.listens = false;
	json_decref(j->ram.answer);
	j->ram.answer = NULL;
	job_ram_remove(j);
}
