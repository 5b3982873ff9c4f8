/*
 * The disks' copies begin: first every node, then every mirror, each in its turn.
 *
 * How it works. While QEMU says hello to an NBD server it does nothing else, and the guest's
 * devices stand still with it; so adit greets the destination's servers itself, all at once, and
 * answers QEMU's hellos here (proxy/nbd_join.h). The nodes come before the mirrors all the same: an
 * answer that stands behind a mirror's bulk would be late. QEMU 10 waits, at each change of its
 * block graph, for all that is on its way to any disk; so a mirror is paused as soon as it is
 * started, and the next one is started when it stands, which is when nothing of it is on its way.
 * When the last one runs the others go on.
 *
 * A mirror that meets an error stands and waits (`stop`), and is ended by the undo. One that ended
 * by itself could do so while QEMU flushes all disks as it stops the guest (a look, a pause, the
 * switchover): QEMU 7.2 then gives up its hold on the disk's node in place of the mirror's own,
 * which stays above the disk, and refuses the next mirror of it.
 */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/point.h"

enum {
	GREET_MS = 10000,   /* QEMU's server itself ends a hello that takes longer */
	QEMU_MS = 5000,	    /* for a node or a mirror, at which nothing on the line is waited for */
	SLOW_BYTES = 65536, /* a second: until all run */
};

/* What a mirror has in flight: enough for the line and the storage behind it, and no more, as QEMU
 * waits for it when the guest stops, or resets a disk. */
#define MIB ((uint64_t)1 << 20)
#define BUF_MIN (2 * MIB)
#define BUF_ONE (8 * MIB)   /* of one disk, or of all: requests that wait for slow storage */
#define BUF_QEMU (10 * MIB) /* its own */
#define BUF_MAX (16 * MIB)  /* 16 requests of 1 MiB */
#define BUF_ALL (64 * MIB)
/* A second, where no limit is known: what is cared for, and what there may be. */
#define LINE_BYTES ((uint64_t)125000000)
#define LINE_FAST_BYTES ((uint64_t)1250000000)

/* Twice the bytes that are on their way. */
static uint64_t two_products(uint64_t rtt_us, uint64_t bytes_per_s)
{
	double product = (double)bytes_per_s * (double)rtt_us / 1e6;

	return product > 1e12 ? BUF_MAX : (uint64_t)(2 * product);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t migrate_disks_buffer(uint64_t rtt_us, uint64_t bytes_per_s, size_t disks)
{
	uint64_t want;

	if (bytes_per_s) {
		/* Half a second's worth, so that the rate holds on a busy host too. */
		want = most(two_products(rtt_us, bytes_per_s), bytes_per_s / 2);
	} else {
		/* For a fast line no more than QEMU would take by itself: this one may be slow. */
		want = least(two_products(rtt_us, LINE_FAST_BYTES), BUF_QEMU);
		want = most(want, two_products(rtt_us, LINE_BYTES));
		want = most(want, disks ? BUF_ONE / disks : 0);
	}
	if (disks)
		want = least(want, BUF_ALL / disks);
	want = (want + MIB - 1) / MIB * MIB;
	return least(most(want, BUF_MIN), BUF_MAX);
}

/* What a mirror copies at least, whatever of it the guest has written. QEMU takes 64 KiB to an NBD
 * server, which are 52 ms at 10 Mbit/s for a sector. */
#define GRAIN_MIN ((uint64_t)4 << 10)
#define GRAIN_MAX ((uint64_t)64 << 10)
#define GRAINS ((uint64_t)64 << 20) /* of a disk: QEMU has a bit for each, in a few maps */
#define REQUESTS 16		    /* on their way at once */

uint64_t migrate_disks_grain(uint64_t rtt_us, uint64_t bytes_per_s, uint64_t size, uint64_t block)
{
	uint64_t grain = GRAIN_MIN, want;

	/* Requests that together fill the line: with smaller ones a guest that writes here and
	 * there is copied at so many of them a round trip, on a line that has little to do. */
	want = two_products(rtt_us, bytes_per_s ? bytes_per_s : LINE_BYTES) / 2 / REQUESTS;
	while (grain < GRAIN_MAX && (grain * 2 <= want || grain < size / GRAINS || grain < block))
		grain *= 2;
	return grain;
}

static void on_relay_end(void *ctx, struct relay *r, enum code code, const char *reason)
{
	struct mig_disk *d = ctx;
	struct migrate *m = d->m;
	struct err e = ERR_INIT;

	relay_stats(r, &d->last);
	d->relay = NULL;
	d->ended_ms = clock_ms();
	if (d->over || !phase_is(m->state, PHASE_MIRRORS))
		return;
	err_set(&e, ERR_CLOSED, "the copy of disk %s broke: %s", d->desc->name,
		code == CODE_NONE || !*reason ? "its connection was closed" : reason);
	migrate_suspect(m, &e);
}

static void cannot(struct migrate *m, const struct err *e)
{
	struct err why = *e;

	err_prefix(&why, "the disks cannot be copied");
	migrate_suspect(m, &why);
}

/* ---- the mirrors ---- */

static void on_all_run(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	(void)b;
	if (m->state != MIGRATE_DISKS)
		return;
	event_del(m->ev_answer);
	if (err_is_set(e)) {
		cannot(m, e);
		return;
	}
	POINT("s-disks");
	m->disks_open = true;
	migrate_disks_ready(m);
}

static void open_all(struct migrate *m)
{
	struct qmp_batch *b = qmp_batch_new();

	for (size_t i = 0; i + 1 < m->disk_count; i++) {
		const char *job = m->disks[i].job;

		qmp_batch_add(b, QMP_MUST, "block-job-set-speed",
			      json_pack("{s:s,s:i}", "device", job, "speed", 0));
		qmp_batch_add(b, QMP_MUST, "block-job-resume", json_pack("{s:s}", "device", job));
	}
	qmp_batch_run(b, m->qmp, on_all_run, m);
}

static void start_mirror(struct migrate *m);

static void go_on(struct migrate *m, struct mig_disk *d)
{
	/* It stands, and QEMU has said so to both commands. */
	if (m->state != MIGRATE_DISKS || m->disk_next + 1 >= m->disk_count ||
	    d != &m->disks[m->disk_next] || !d->started || !d->stands)
		return;
	m->disk_next++;
	start_mirror(m);
}

static void on_started(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct mig_disk *d = ctx;
	struct migrate *m = d->m;

	(void)q;
	(void)b;
	if (m->state != MIGRATE_DISKS)
		return;
	event_del(m->ev_answer);
	if (err_is_set(e)) {
		cannot(m, e);
		return;
	}
	d->started = true;
	if (m->disk_next + 1 == m->disk_count)
		open_all(m);
	else
		go_on(m, d);
}

static void start_mirror(struct migrate *m)
{
	struct mig_disk *d = &m->disks[m->disk_next];
	bool last = m->disk_next + 1 == m->disk_count;
	uint64_t limit = m->config.limits.max_bandwidth, buffer;
	struct qmp_batch *b = qmp_batch_new();
	struct session_stats st;

	session_stats(m->session, &st);
	d->grain = migrate_disks_grain(st.rtt_min_us ? st.rtt_min_us : st.rtt_us, limit,
				       d->desc->size, d->block);
	buffer = migrate_disks_buffer(st.rtt_us, limit, m->disk_count);
	log_debug(&m->about, "disk %s: %llu KiB at least are copied, %llu KiB are on their way",
		  d->desc->name, (unsigned long long)d->grain / 1024,
		  (unsigned long long)buffer / 1024);
	qmp_batch_add(b, QMP_MUST, "blockdev-mirror",
		      json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:I,s:I}", "job-id", d->job,
				"device", d->desc->node, "target", d->node, "sync",
				m->config.storage == MIGRATE_STORAGE_INC ? "top" : "full",
				"copy-mode", "background", "on-source-error", "stop",
				"on-target-error", "stop", "speed", last ? 0 : SLOW_BYTES,
				"buf-size", (json_int_t)buffer, "granularity",
				(json_int_t)d->grain));
	if (!last)
		qmp_batch_add(b, QMP_MUST, "block-job-pause", json_pack("{s:s}", "device", d->job));
	migrate_arm(m->ev_answer, QEMU_MS);
	qmp_batch_run(b, m->qmp, on_started, d);
}

void migrate_disks_job_status(struct migrate *m, const json_t *data)
{
	const char *id = json_string_value(json_object_get(data, "id"));
	const char *status = json_string_value(json_object_get(data, "status"));

	for (size_t i = 0; id && status && i < m->disk_count; i++) {
		struct mig_disk *d = &m->disks[i];

		if (strcmp(d->job, id) != 0)
			continue;
		d->stands = strcmp(status, "paused") == 0 || strcmp(status, "standby") == 0;
		if (d->stands)
			go_on(m, d);
	}
}

/* ---- the nodes ---- */

static void go_on_adding(struct migrate *m);

static void on_added(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct mig_disk *d = ctx;
	struct migrate *m = d->m;

	(void)q;
	(void)b;
	if (m->state != MIGRATE_DISKS)
		return;
	event_del(m->ev_answer);
	if (err_is_set(e)) {
		cannot(m, e);
		return;
	}
	m->disk_next++;
	go_on_adding(m);
}

/* The destination's disk. What is zero goes over as such, and the destination may leave it out of
 * the file. A block device does not tell what it never wrote: it is looked for. */
static json_t *target_node(const struct migrate *m, const struct mig_disk *d)
{
	json_t *o = json_pack("{s:s,s:s,s:{s:s,s:s},s:s}", "node-name", d->node, "driver", "nbd",
			      "server", "type", "fd", "str", d->fd, "export", d->desc->name);

	/* Over a backing file zeroes are more than nothing. */
	if (m->config.storage == MIGRATE_STORAGE_INC)
		return o;
	json_object_set_new(o, "discard", json_string("unmap"));
	if (!d->desc->allocated)
		json_object_set_new(o, "detect-zeroes", json_string("unmap"));
	return o;
}

static void add_node(struct migrate *m)
{
	struct mig_disk *d = &m->disks[m->disk_next];
	struct qmp_batch *b;
	struct err e = ERR_INIT;
	int pair[2];

	if (!d->join)
		return; /* it failed since it was greeted, and so will the job: cannot() */
	if (fd_socketpair(pair, &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	nbd_join_client(d->join, pair[0]);
	b = qmp_batch_new();
	qmp_batch_add_fd(b, QMP_MUST, d->fd, pair[1]);
	qmp_batch_add(b, QMP_MUST, "blockdev-add", target_node(m, d));
	migrate_arm(m->ev_answer, QEMU_MS);
	qmp_batch_run(b, m->qmp, on_added, d);
}

static void go_on_adding(struct migrate *m)
{
	if (m->disk_next < m->disk_count) {
		add_node(m);
		return;
	}
	m->disk_next = 0;
	start_mirror(m);
}

/* ---- the servers are greeted ---- */

static void on_greeted(void *ctx)
{
	struct mig_disk *d = ctx;
	struct migrate *m = d->m;

	d->greeted = true;
	d->block = nbd_join_block(d->join);
	for (size_t i = 0; i < m->disk_count; i++)
		if (!m->disks[i].greeted)
			return;
	if (m->state != MIGRATE_DISKS)
		return;
	event_del(m->ev_answer);
	m->disk_next = 0;
	go_on_adding(m);
}

static void on_joined(void *ctx, struct relay *r)
{
	struct mig_disk *d = ctx;

	d->join = NULL;
	d->relay = r;
}

static void on_no_join(void *ctx, const struct err *e)
{
	struct mig_disk *d = ctx;
	struct err why = *e;

	d->join = NULL;
	d->greeted = false;
	if (d->m->state != MIGRATE_DISKS)
		return;
	err_prefix(&why, "disk %s of the destination", d->desc->name);
	cannot(d->m, &why);
}

static const struct nbd_join_ops join_ops = {
    .on_ready = on_greeted,
    .on_joined = on_joined,
    .on_fail = on_no_join,
    .on_end = on_relay_end,
};

void migrate_disks_begin(struct migrate *m)
{
	char target[COOKIE_JOB_LEN + 300];
	struct err e = ERR_INIT;

	for (size_t i = 0; i < m->disk_count; i++) {
		struct mig_disk *d = &m->disks[i];

		snprintf(target, sizeof(target), "job:%s/disk/%s", m->id, d->desc->name);
		d->join =
		    nbd_join_open(m->base, m->session, target, d->desc->name, &join_ops, d, &e);
		if (!d->join) {
			migrate_fail(m, &e);
			return;
		}
		stream_set_rate(nbd_join_stream(d->join), m->rate);
		d->begun_ms = clock_ms();
	}
	migrate_arm(m->ev_answer, GREET_MS);
}

void migrate_disks_due(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;

	(void)fd;
	(void)what;
	if (m->state == MIGRATE_BEGIN)
		migrate_begin_due(m);
	else if (m->state == MIGRATE_RAM)
		migrate_backlog_due(m);
	else if (m->state == MIGRATE_DISKS && m->disks_open)
		migrate_probe_due(m);
}

void migrate_disks_silent(struct migrate *m)
{
	struct err e = ERR_INIT;
	bool greeted = true;

	if (m->probe.state == MIG_PROBE_STOPS) {
		migrate_probe_silent(m);
		return;
	}
	for (size_t i = 0; i < m->disk_count; i++)
		greeted = greeted && m->disks[i].greeted;
	if (greeted)
		err_set(&e, ERR_TIMEOUT,
			"QEMU did not begin to copy its disks within %d s, in which the guest may "
			"have stood still",
			QEMU_MS / 1000);
	else
		err_set(&e, ERR_TIMEOUT, "the disks of the destination did not answer in time");
	migrate_fail(m, &e);
}

void migrate_disks_drop(struct migrate *m, const char *reason)
{
	for (size_t i = 0; i < m->disk_count; i++) {
		struct mig_disk *d = &m->disks[i];

		nbd_join_cancel(d->join, CODE_CANCELLED, reason);
		d->join = NULL;
		if (!d->relay)
			continue;
		relay_stats(d->relay, &d->last);
		d->ended_ms = clock_ms();
		relay_cancel(d->relay, CODE_CANCELLED, reason);
		d->relay = NULL;
	}
}
