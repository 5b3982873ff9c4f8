/*
 * RAM on the destination: the streams that its contents come in.
 *
 * One stream goes to a socketpair whose other end QEMU gets. multifd and postcopy's
 * preempt channel need a path: then QEMU listens on a socket in a folder of this arrival's, and is
 * connected to once for each stream, in the order in which the source opened them, since
 * the first must be the main channel. Nobody else is to connect there.
 *
 * QEMU is told to listen only when the first stream comes: until then one that was waiting
 * can be put back as it was.
 */
#include "control/destination/arrival_i.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/point.h"

void arrival_ram_read(struct arrival *a, const json_t *msg)
{
	a->ram.multifd = (unsigned)json_integer_value(json_object_get(msg, "multifd"));
	a->ram.compression = json_string_value(json_object_get(msg, "compression"));
	a->ram.xbzrle = json_is_true(json_object_get(msg, "xbzrle"));
	a->ram.postcopy = json_is_true(json_object_get(msg, "postcopy"));
	a->ram.preempt = json_is_true(json_object_get(msg, "preempt"));
}

/* ---- the streams ---- */

static size_t channels_wanted(const struct arrival *a)
{
	return a->ram.multifd ? a->ram.multifd + 1u : a->ram.preempt ? 2 : 1;
}

static void on_relay_end(void *ctx, struct relay *r, enum code code, const char *reason)
{
	struct arrival *a = ctx;

	for (size_t i = 0; i < a->ram.count; i++)
		if (a->ram.relays[i] == r)
			a->ram.relays[i] = NULL;
	if (code != CODE_NONE && arrival_is(a, ARRIVAL_OPEN))
		log_info(&a->about, "a RAM stream ended: %s", reason);
}

static void on_incoming(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct arrival *a = ctx;
	struct err why = *e;

	(void)q;
	(void)b;
	if (!arrival_is(a, ARRIVAL_OPEN) || !err_is_set(&why))
		return;
	err_prefix(&why, "the destination's QEMU does not take the VM");
	arrival_suspect(a, &why);
}

/* Who listens at path: the folder is of the twin's user, who can put there what it likes, a link
 * to another's socket, too. What the source sends is for the twin, which listens itself. */
static int is_twins(void *ctx, int fd, struct err *e)
{
	struct arrival *a = ctx;
	uid_t uid;
	pid_t pid;

	/* Of a monitor that was handed to QEMU the process is another one. */
	if (fd_peer(fd, &uid, &pid) == 0 && a->qemu.qmp && uid == qmp_peer_uid(a->qemu.qmp) &&
	    (!a->wish.launched || pid == qmp_peer_pid(a->qemu.qmp)))
		return 0;
	err_set(e, ERR_REFUSED,
		"another process than the destination's QEMU listens at %s: RAM is not given to "
		"it",
		a->ram.path);
	if (arrival_is(a, ARRIVAL_OPEN))
		arrival_suspect(a, e); /* not now: that would end the relay that asks */
	else
		log_warn(&a->about, "%s", e->text);
	return e->code;
}

void arrival_ram_join(struct arrival *a)
{
	struct addr addr = {.kind = ADDR_UNIX};

	a->ram.listens = true;
	snprintf(addr.path, sizeof(addr.path), "%s", a->ram.path);
	for (size_t i = 0; i < a->ram.count && a->session; i++)
		if (a->ram.relays[i])
			relay_join(a->ram.relays[i], a->session, &addr, is_twins);
}

static void on_listening(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	if (err_is_set(e)) {
		on_incoming(ctx, q, b, e);
		return;
	}
	POINT("d-ram");
	arrival_ram_join(ctx);
}

void arrival_ram_remove(struct arrival *a)
{
	if (*a->ram.dir)
		leftovers_dir(a->service->leftovers, a->ram.dir);
	a->ram.dir[0] = a->ram.path[0] = 0;
}

/* (QEMU's user may not be ours.) */
int arrival_ram_make_folder(struct arrival *a, struct err *e)
{
	char proc[40];
	struct stat st;

	if (service_keep_run_dir(a->service, a->rights, e) < 0)
		return e->code;
	if (snprintf(a->ram.path, sizeof(a->ram.path), "%s/ram-%.8s/ram.sock",
		     a->service->config.run_dir, a->id) >= (int)sizeof(a->ram.path))
		return err_set(e, ERR_CONFIG,
			       "%s is too long for a socket in it: choose a shorter --run-dir",
			       a->service->config.run_dir);
	snprintf(a->ram.dir, sizeof(a->ram.dir), "%.*s", (int)(strlen(a->ram.path) - 9),
		 a->ram.path);
	if (a->guardian && guardian_add_dir(a->guardian, a->ram.dir, e) < 0)
		return e->code;
	if (a->state == ARRIVAL_RUNS) { /* before it broke, or adit serve was killed */
		leftovers_forget(a->service->leftovers, a->ram.dir);
		dir_remove(a->ram.dir);
	}
	if (mkdir(a->ram.dir, 0700) < 0) {
		err_set_sys(e, errno, "the folder %s cannot be made", a->ram.dir);
		guardian_forget_dir(a->guardian, a->ram.dir, NULL);
		a->ram.dir[0] = 0;
		return e->code;
	}
	snprintf(proc, sizeof(proc), "/proc/%ld", (long)qmp_peer_pid(a->qemu.qmp));
	if (stat(proc, &st) == 0 && st.st_uid != geteuid() &&
	    chown(a->ram.dir, st.st_uid, (gid_t)-1) < 0)
		log_debug(&a->about, "chown %s: %s", a->ram.dir, strerror(errno));
	return 0;
}

static int listen_for_streams(struct arrival *a, struct err *e)
{
	char uri[sizeof(a->ram.path) + 8];
	struct qmp_batch *b;

	if (arrival_ram_make_folder(a, e) < 0)
		return e->code;
	b = qmp_batch_new();
	snprintf(uri, sizeof(uri), "unix:%s", a->ram.path);
	qmp_batch_add(b, QMP_MUST, "migrate-incoming", json_pack("{s:s}", "uri", uri));
	qmp_batch_run(b, a->qemu.qmp, on_listening, a);
	return 0;
}

bool arrival_ram_is_next(const struct arrival *a, struct stream *stream, size_t k)
{
	if (k == a->ram.count && k < channels_wanted(a))
		return true;
	stream_refuse(stream, CODE_REFUSED,
		      "RAM's streams come in order, each once, and no more than agreed");
	return false;
}

bool arrival_ram_places(struct arrival *a)
{
	if (!a->ram.relays)
		a->ram.relays = calloc(channels_wanted(a), sizeof(struct relay *));
	return a->ram.relays != NULL;
}

void arrival_ram_hold(struct arrival *a, struct session *s, struct stream *stream)
{
	struct addr addr = {.kind = ADDR_UNIX};
	struct relay *r = relay_hold(a->service->base, stream, on_relay_end, a);

	a->ram.relays[a->ram.count++] = r;
	if (!r || !a->ram.listens)
		return;
	snprintf(addr.path, sizeof(addr.path), "%s", a->ram.path);
	relay_join(r, s, &addr, is_twins);
}

/* One of several, number k. */
static void take_one_of(struct arrival *a, struct session *s, struct stream *stream, size_t k)
{
	struct err e = ERR_INIT;

	if (!arrival_ram_is_next(a, stream, k))
		return;
	if (!arrival_ram_places(a)) {
		stream_refuse(stream, CODE_INTERNAL, "no memory for RAM's streams");
		return;
	}
	if (k == 0 && listen_for_streams(a, &e) < 0)
		stream_refuse(stream, CODE_INTERNAL, e.text);
	else
		arrival_ram_hold(a, s, stream);
}

static void take_only(struct arrival *a, struct session *s, struct stream *stream)
{
	struct err e = ERR_INIT;
	struct qmp_batch *b;
	int pair[2];

	if (a->ram.count) {
		stream_refuse(stream, CODE_REFUSED, "RAM has its stream already");
		return;
	}
	b = qmp_batch_new();
	a->ram.relays = calloc(1, sizeof(struct relay *));
	if (!b || !a->ram.relays || fd_socketpair(pair, &e) < 0) {
		qmp_batch_free(b);
		stream_refuse(stream, CODE_INTERNAL, "no socketpair for RAM");
		return;
	}
	a->ram.count = 1;
	a->ram.relays[0] = relay_accept(a->service->base, s, stream, pair[0], on_relay_end, a);
	qmp_batch_add_fd(b, QMP_MUST, "adit-ram", pair[1]);
	qmp_batch_add(b, QMP_MUST, "migrate-incoming", json_pack("{s:s}", "uri", "fd:adit-ram"));
	qmp_batch_run(b, a->qemu.qmp, on_incoming, a);
}

bool arrival_ram_number(const struct arrival *a, struct stream *stream, const char *number,
			size_t *k)
{
	char *end;

	*k = 0;
	if (!*number && channels_wanted(a) == 1)
		return true;
	*k = strtoul(number + (*number == '/'), &end, 10);
	if (channels_wanted(a) > 1 && number[0] == '/' && number[1] >= '0' && number[1] <= '9' &&
	    !*end && *k <= ARRIVAL_CHANNELS_MAX)
		return true;
	stream_refuse(stream, CODE_REFUSED, "this job has no such RAM stream");
	return false;
}

void arrival_ram_take(struct arrival *a, struct session *s, struct stream *stream,
		      const char *number)
{
	size_t k;

	if (!arrival_ram_number(a, stream, number, &k))
		return;
	if (channels_wanted(a) == 1)
		take_only(a, s, stream);
	else
		take_one_of(a, s, stream, k);
}

void arrival_ram_drop(struct arrival *a, const char *reason)
{
	for (size_t i = 0; i < a->ram.count; i++)
		relay_cancel(a->ram.relays[i], CODE_CANCELLED, reason);
	free(a->ram.relays);
	a->ram.relays = NULL;
	a->ram.count = 0;
	a->ram.listens = false;
	json_decref(a->ram.answer);
	a->ram.answer = NULL;
	arrival_ram_remove(a);
}

void arrival_take_status(struct arrival *a, const char *name, const json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));

	/* "setup" is said whenever QEMU begins to listen, which postcopy that broke outlives. */
	(void)name;
	if (status && (strcmp(status, "setup") != 0 || strncmp(a->ram.status, "postcopy-", 9) != 0))
		snprintf(a->ram.status, sizeof(a->ram.status), "%s", status);
}
