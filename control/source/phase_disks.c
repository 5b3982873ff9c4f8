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

static void on_relay_end(void *ctx, struct relay *r, enum code code, const char *reason)
{
	struct mig_disk *d = ctx;
	struct migrate *m = d->m;
	struct err e = ERR_INIT;

	relay_stats(r, &d->last);
	d->relay = NULL;
	d->ended_ms = clock_ms();
	if (d->over || !migrate_is(m, PHASE_MIRRORS))
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

/* QEMU has answered what the phase has asked of it: whether it goes on. */
static bool goes_on(struct migrate *m, const struct err *e)
{
	if (m->state != MIGRATE_DISKS)
		return false;
	migrate_no_deadline(m);
	if (err_is_set(e))
		cannot(m, e);
	return !err_is_set(e);
}

/* ---- the mirrors ---- */

static bool all_ready(const struct migrate *m)
{
	for (size_t i = 0; i < m->disk_count; i++)
		if (!m->disks[i].ready)
			return false;
	return true;
}

/* On to RAM once all mirrors run and are ready, and nothing is left to be looked at. */
static void ready(struct migrate *m)
{
	if (m->state == MIGRATE_DISKS && m->copy.step == MIG_COPY_RUNS && all_ready(m) &&
	    migrate_probe_is_over(m, ready))
		migrate_enter(m, MIGRATE_RAM);
}

static void on_all_run(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	(void)b;
	if (!goes_on(m, e))
		return;
	POINT("s-disks");
	m->copy.step = MIG_COPY_RUNS;
	ready(m);
}

static void open_all(struct migrate *m)
{
	struct qmp_batch *b = qmp_batch_new();

	for (size_t i = 0; i + 1 < m->disk_count; i++) {
		const char *block_job = m->disks[i].block_job;

		qmp_batch_add(b, QMP_MUST, "block-job-set-speed",
			      json_pack("{s:s,s:i}", "device", block_job, "speed", 0));
		qmp_batch_add(b, QMP_MUST, "block-job-resume",
			      json_pack("{s:s}", "device", block_job));
	}
	qmp_batch_run(b, m->qemu.qmp, on_all_run, m);
}

static void start_mirror(struct migrate *m);

static void go_on(struct migrate *m, struct mig_disk *d)
{
	/* It stands, and QEMU has said so to both commands. */
	if (m->state != MIGRATE_DISKS || m->copy.next + 1 >= m->disk_count ||
	    d != &m->disks[m->copy.next] || !d->started || !d->stands)
		return;
	m->copy.next++;
	start_mirror(m);
}

static void on_started(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct mig_disk *d = ctx;
	struct migrate *m = d->m;

	(void)q;
	(void)b;
	if (!goes_on(m, e))
		return;
	d->started = true;
	if (m->copy.next + 1 == m->disk_count)
		open_all(m);
	else
		go_on(m, d);
}

static void start_mirror(struct migrate *m)
{
	struct mig_disk *d = &m->disks[m->copy.next];
	bool last = m->copy.next + 1 == m->disk_count;
	uint64_t limit = m->config.limits.max_bandwidth, buffer;
	struct qmp_batch *b = qmp_batch_new();
	struct session_stats st;

	session_stats(m->link.session, &st);
	d->grain = migrate_disks_grain(st.rtt_min_us ? st.rtt_min_us : st.rtt_us, limit,
				       d->desc->size, d->block);
	buffer = migrate_disks_buffer(st.rtt_us, limit, m->disk_count);
	log_debug(&m->about, "disk %s: %llu KiB at least are copied, %llu KiB are on their way",
		  d->desc->name, (unsigned long long)d->grain / 1024,
		  (unsigned long long)buffer / 1024);
	qmp_batch_add(b, QMP_MUST, "blockdev-mirror",
		      json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:I,s:I}", "job-id", d->block_job,
				"device", d->desc->node, "target", d->node, "sync",
				m->config.storage == MIGRATE_STORAGE_INC ? "top" : "full",
				"copy-mode", "background", "on-source-error", "stop",
				"on-target-error", "stop", "speed", last ? 0 : SLOW_BYTES,
				"buf-size", (json_int_t)buffer, "granularity",
				(json_int_t)d->grain));
	if (!last)
		qmp_batch_add(b, QMP_MUST, "block-job-pause",
			      json_pack("{s:s}", "device", d->block_job));
	migrate_deadline(m, QEMU_MS);
	qmp_batch_run(b, m->qemu.qmp, on_started, d);
}

static void block_job_status(struct migrate *m, const char *name, const json_t *data)
{
	const char *id = json_string_value(json_object_get(data, "id"));
	const char *status = json_string_value(json_object_get(data, "status"));

	(void)name;
	for (size_t i = 0; id && status && i < m->disk_count; i++) {
		struct mig_disk *d = &m->disks[i];

		if (strcmp(d->block_job, id) != 0)
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
	if (!goes_on(m, e))
		return;
	m->copy.next++;
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
	struct mig_disk *d = &m->disks[m->copy.next];
	struct qmp_batch *b;
	struct err e = ERR_INIT;
	int pair[2];

	if (!d->join)
		return; /* it failed since it was greeted, and so will the block job: cannot() */
	if (fd_socketpair(pair, &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	nbd_join_client(d->join, pair[0]);
	b = qmp_batch_new();
	qmp_batch_add_fd(b, QMP_MUST, d->fd, pair[1]);
	qmp_batch_add(b, QMP_MUST, "blockdev-add", target_node(m, d));
	migrate_deadline(m, QEMU_MS);
	qmp_batch_run(b, m->qemu.qmp, on_added, d);
}

static void go_on_adding(struct migrate *m)
{
	if (m->copy.next < m->disk_count) {
		add_node(m);
		return;
	}
	m->copy.next = 0;
	m->copy.step = MIG_COPY_STARTS;
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
	migrate_no_deadline(m);
	m->copy.next = 0;
	m->copy.step = MIG_COPY_ADDS;
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

static void greet(struct migrate *m)
{
	char target[COOKIE_JOB_LEN + 300];
	struct err e = ERR_INIT;

	for (size_t i = 0; i < m->disk_count; i++) {
		struct mig_disk *d = &m->disks[i];

		snprintf(target, sizeof(target), "job:%s/disk/%s", m->id, d->desc->name);
		d->join = nbd_join_open(m->base, m->link.session, target, d->desc->name, &join_ops,
					d, &e);
		if (!d->join) {
			migrate_fail(m, &e);
			return;
		}
		stream_set_rate(nbd_join_stream(d->join), m->rate);
		d->begun_ms = clock_ms();
	}
	migrate_deadline(m, GREET_MS);
}

/* ---- the phase ---- */

static void begin(struct migrate *m)
{
	migrate_pace_begin(m, greet);
}

static void enter(struct migrate *m)
{
	migrate_stall_begin(m);
	migrate_pause_first(m, begin);
}

static void silent(struct migrate *m)
{
	struct err e = ERR_INIT;

	if (m->probe.state == MIG_PROBE_STOPS) {
		migrate_probe_silent(m);
		return;
	}
	if (m->copy.step != MIG_COPY_GREETS)
		err_set(&e, ERR_TIMEOUT,
			"QEMU did not begin to copy its disks within %d s, in which the guest may "
			"have stood still",
			QEMU_MS / 1000);
	else
		err_set(&e, ERR_TIMEOUT, "the disks of the destination did not answer in time");
	migrate_fail(m, &e);
}

static void look_at_probe(struct migrate *m)
{
	if (m->copy.step == MIG_COPY_RUNS)
		migrate_probe_due(m);
}

static void mirror_ready(struct migrate *m, const char *name, const json_t *data)
{
	struct mig_disk *d = migrate_disk_of_block_job(m, data);

	(void)name;
	if (!d)
		return;
	d->ready = true;
	ready(m);
}

static const struct phase_cookie cookies[] = {{COOKIE_ABORT, migrate_take_abort}, {0}};

static const struct phase_event events[] = {
    {"BLOCK_JOB_READY", mirror_ready},
    {"JOB_STATUS_CHANGE", block_job_status},
    {"BLOCK_JOB_ERROR", migrate_take_broken},
    {"BLOCK_JOB_COMPLETED", migrate_take_mirror_end},
    {"BLOCK_JOB_CANCELLED", migrate_take_mirror_end},
    {0},
};

const struct phase phase_disks = {
    .name = "disks",
    .text = "the disks are being copied; the guest runs",
    .to = PHASE_TO(RAM) | PHASE_TO(UNDO),
    .is = PHASE_EARLY | PHASE_COPIES | PHASE_MIRRORS | PHASE_PERFORMS | PHASE_RETURNS,
    .enter = enter,
    .deadline = {.over = silent,
		 .none =
		     "a large disk takes its time (--timeout); the greeting, each command, and a "
		     "stop for a look have theirs"},
    .look = look_at_probe,
    .cookies = cookies,
    .events = events,
    .bad_word = migrate_fail,
    .talk_ended = migrate_connection_lost,
    .qemu_ended = migrate_qemu_lost,
    .time_up = migrate_time_up,
    .cancel = migrate_cancel_returns,
};
