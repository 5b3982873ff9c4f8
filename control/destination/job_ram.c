/*
 * RAM on the destination: the streams that its contents come in.
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

#include "base/dir.h"
#include "base/fd.h"
#include "base/point.h"

void job_ram_read(struct job *j, const json_t *msg)
{
	j->ram.multifd = (unsigned)json_integer_value(json_object_get(msg, "multifd"));
	j->ram.compression = json_string_value(json_object_get(msg, "compression"));
	j->ram.xbzrle = json_is_true(json_object_get(msg, "xbzrle"));
	j->ram.postcopy = json_is_true(json_object_get(msg, "postcopy"));
	j->ram.preempt = json_is_true(json_object_get(msg, "preempt"));
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
	if (code != CODE_NONE && job_is(j, JOB_OPEN))
		log_info(&j->about, "a RAM stream ended: %s", reason);
}

static void on_incoming(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	struct err why = *e;

	(void)q;
	(void)b;
	if (!job_is(j, JOB_OPEN) || !err_is_set(&why))
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
	if (fd_peer(fd, &uid, &pid) == 0 && j->qemu.qmp && uid == qmp_peer_uid(j->qemu.qmp) &&
	    (!j->wish.launched || pid == qmp_peer_pid(j->qemu.qmp)))
		return 0;
	err_set(e, ERR_REFUSED,
		"another process than the destination's QEMU listens at %s: RAM is not given to "
		"it",
		j->ram.path);
	if (job_is(j, JOB_OPEN))
		job_suspect(j, e); /* not now: that would end the relay that asks */
	else
		log_warn(&j->about, "%s", e->text);
	return e->code;
}

void job_ram_join(struct job *j)
{
	struct addr a = {.kind = ADDR_UNIX};

	j->ram.listens = true;
	snprintf(a.path, sizeof(a.path), "%s", j->ram.path);
	for (size_t i = 0; i < j->ram.count && j->session; i++)
		if (j->ram.relays[i])
			relay_join(j->ram.relays[i], j->session, &a, is_twins);
}

static void on_listening(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	if (err_is_set(e)) {
		on_incoming(ctx, q, b, e);
		return;
	}
	POINT("d-ram");
	job_ram_join(ctx);
}

void job_ram_remove(struct job *j)
{
	if (*j->ram.dir)
		leftovers_dir(j->service->leftovers, j->ram.dir);
	j->ram.dir[0] = j->ram.path[0] = 0;
}

/* (QEMU's user may not be ours.) */
int job_ram_make_folder(struct job *j, struct err *e)
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
	snprintf(proc, sizeof(proc), "/proc/%ld", (long)qmp_peer_pid(j->qemu.qmp));
	if (stat(proc, &st) == 0 && st.st_uid != geteuid() &&
	    chown(j->ram.dir, st.st_uid, (gid_t)-1) < 0)
		log_debug(&j->about, "chown %s: %s", j->ram.dir, strerror(errno));
	return 0;
}

static int listen_for_streams(struct job *j, struct err *e)
{
	char uri[sizeof(j->ram.path) + 8];
	struct qmp_batch *b;

	if (job_ram_make_folder(j, e) < 0)
		return e->code;
	b = qmp_batch_new();
	snprintf(uri, sizeof(uri), "unix:%s", j->ram.path);
	qmp_batch_add(b, QMP_MUST, "migrate-incoming", json_pack("{s:s}", "uri", uri));
	qmp_batch_run(b, j->qemu.qmp, on_listening, j);
	return 0;
}

bool job_ram_is_next(const struct job *j, struct stream *stream, size_t k)
{
	if (k == j->ram.count && k < channels_wanted(j))
		return true;
	stream_refuse(stream, CODE_REFUSED,
		      "RAM's streams come in order, each once, and no more than agreed");
	return false;
}

bool job_ram_places(struct job *j)
{
	if (!j->ram.relays)
		j->ram.relays = calloc(channels_wanted(j), sizeof(struct relay *));
	return j->ram.relays != NULL;
}

void job_ram_hold(struct job *j, struct session *s, struct stream *stream)
{
	struct addr a = {.kind = ADDR_UNIX};
	struct relay *r = relay_hold(j->service->base, stream, on_relay_end, j);

	j->ram.relays[j->ram.count++] = r;
	if (!r || !j->ram.listens)
		return;
	snprintf(a.path, sizeof(a.path), "%s", j->ram.path);
	relay_join(r, s, &a, is_twins);
}

/* One of several, number k. */
static void take_one_of(struct job *j, struct session *s, struct stream *stream, size_t k)
{
	struct err e = ERR_INIT;

	if (!job_ram_is_next(j, stream, k))
		return;
	if (!job_ram_places(j)) {
		stream_refuse(stream, CODE_INTERNAL, "no memory for RAM's streams");
		return;
	}
	if (k == 0 && listen_for_streams(j, &e) < 0)
		stream_refuse(stream, CODE_INTERNAL, e.text);
	else
		job_ram_hold(j, s, stream);
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
	qmp_batch_run(b, j->qemu.qmp, on_incoming, j);
}

bool job_ram_number(const struct job *j, struct stream *stream, const char *number, size_t *k)
{
	char *end;

	*k = 0;
	if (!*number && channels_wanted(j) == 1)
		return true;
	*k = strtoul(number + (*number == '/'), &end, 10);
	if (channels_wanted(j) > 1 && number[0] == '/' && number[1] >= '0' && number[1] <= '9' &&
	    !*end && *k <= JOB_CHANNELS_MAX)
		return true;
	stream_refuse(stream, CODE_REFUSED, "this job has no such RAM stream");
	return false;
}

void job_ram_take(struct job *j, struct session *s, struct stream *stream, const char *number)
{
	size_t k;

	if (!job_ram_number(j, stream, number, &k))
		return;
	if (channels_wanted(j) == 1)
		take_only(j, s, stream);
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

void job_take_status(struct job *j, const char *name, const json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));

	/* "setup" is said whenever QEMU begins to listen, which postcopy that broke outlives. */
	(void)name;
	if (status && (strcmp(status, "setup") != 0 || strncmp(j->ram.status, "postcopy-", 9) != 0))
		snprintf(j->ram.status, sizeof(j->ram.status), "%s", status);
}
