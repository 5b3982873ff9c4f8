/*
 * The disks' copies begin: first every node, then every mirror, each in its turn.
 *
 * How it works. While QEMU says hello to an NBD server it does nothing else, and the guest's
 * devices stand still with it; so the nodes come first, while the line is empty, and the guest
 * gets a breath between two of them. QEMU 10 waits, at each change of its block graph, for all
 * that is on its way to any disk; so a mirror is paused as soon as it is started, and the next
 * one is started when it stands, which is when nothing of it is on its way. When the last one
 * runs the others go on.
 */
#include "control/migrate_i.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/point.h"

enum {
	HELLO_MS = 5000, /* a destination that is silent would hold the guest as long as it likes */
	BREATH_MS = 20,	 /* between two hellos */
	SLOW_BYTES = 65536, /* a second: until all run */
};

/* What a mirror has in flight: enough for the line, and no more, as QEMU waits for it when the
 * guest stops, or resets a disk. */
#define BUF_MIN_BYTES ((uint64_t)2 << 20)
#define BUF_MAX_BYTES ((uint64_t)16 << 20) /* 16 requests of 1 MiB */
#define BUF_ALL_BYTES ((uint64_t)64 << 20)
#define LINE_BYTES ((uint64_t)125000000) /* a second, where no limit is known */

static uint64_t buffer_bytes(uint64_t rtt_us, uint64_t bytes_per_s, size_t disks)
{
	uint64_t rate = bytes_per_s ? bytes_per_s : LINE_BYTES;
	double product = (double)rate * (double)rtt_us / 1e6;
	uint64_t want = product > 1e12 ? BUF_MAX_BYTES : (uint64_t)(2 * product);

	/* Under a limit half a second's worth, so that the rate holds on a busy host too. */
	if (want < bytes_per_s / 2)
		want = bytes_per_s / 2;
	if (disks && want > BUF_ALL_BYTES / disks)
		want = BUF_ALL_BYTES / disks;
	want = (want + 0xfffff) & ~(uint64_t)0xfffff;
	return want < BUF_MIN_BYTES ? BUF_MIN_BYTES : want > BUF_MAX_BYTES ? BUF_MAX_BYTES : want;
}

static void on_relay_end(void *ctx, struct relay *r, enum code code, const char *reason)
{
	struct mig_disk *d = ctx;
	struct migrate *m = d->m;
	struct err e = ERR_INIT;

	relay_stats(r, &d->last);
	d->relay = NULL;
	d->ended_ms = clock_ms();
	if (d->over || m->state > MIGRATE_SWITCHOVER)
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

/* The stream of a disk; QEMU's end of the socketpair is kept until its turn has come. */
static int open_stream(struct migrate *m, struct mig_disk *d, struct err *e)
{
	char target[COOKIE_JOB_LEN + 300];
	int pair[2];

	if (d->begun_ms)
		return 0;
	snprintf(target, sizeof(target), "job:%s/disk/%s", m->id, d->desc->name);
	if (fd_socketpair(pair, e) < 0)
		return e->code;
	d->relay =
	    relay_open(m->base, m->session, STREAM_DISK, target, pair[0], on_relay_end, d, e);
	if (!d->relay) {
		fd_close(&pair[1]);
		return e->code;
	}
	stream_set_rate(relay_stream(d->relay), m->rate);
	d->begun_ms = clock_ms();
	d->qemu_fd = pair[1];
	return 0;
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
	struct qmp_batch *b = qmp_batch_new();
	struct session_stats st;

	session_stats(m->session, &st);
	qmp_batch_add(b, QMP_MUST, "blockdev-mirror",
		      json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:I}", "job-id", d->job, "device",
				d->desc->node, "target", d->node, "sync",
				m->config.storage == MIGRATE_STORAGE_INC ? "top" : "full",
				"copy-mode", "background", "speed", last ? 0 : SLOW_BYTES,
				"buf-size",
				(json_int_t)buffer_bytes(st.rtt_us, m->config.limits.max_bandwidth,
							 m->disk_count)));
	if (!last)
		qmp_batch_add(b, QMP_MUST, "block-job-pause", json_pack("{s:s}", "device", d->job));
	migrate_arm(m->ev_answer, HELLO_MS);
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
	migrate_arm(m->ev_disks, BREATH_MS);
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
	int fd;

	/* The next one's as well: its server's greeting is there when it is its turn. (Not
	 * all of them: a server waits for 10 s.) */
	if (open_stream(m, d, &e) < 0 ||
	    (m->disk_next + 1 < m->disk_count && open_stream(m, d + 1, &e) < 0)) {
		migrate_fail(m, &e);
		return;
	}
	b = qmp_batch_new();
	fd = d->qemu_fd;
	d->qemu_fd = -1;
	qmp_batch_add_fd(b, QMP_MUST, d->fd, fd);
	qmp_batch_add(b, QMP_MUST, "blockdev-add", target_node(m, d));
	migrate_arm(m->ev_answer, HELLO_MS);
	qmp_batch_run(b, m->qmp, on_added, d);
}

void migrate_disks_due(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;

	(void)fd;
	(void)what;
	if (m->state == MIGRATE_RAM)
		migrate_backlog_due(m);
	if (m->state != MIGRATE_DISKS)
		return;
	if (m->disk_next < m->disk_count) {
		add_node(m);
		return;
	}
	m->disk_next = 0;
	start_mirror(m);
}

void migrate_disks_begin(struct migrate *m)
{
	m->disk_next = 0;
	add_node(m);
}

void migrate_disks_silent(struct migrate *m)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TIMEOUT,
		"the disks of the destination did not answer in time, and the guest stood still "
		"meanwhile");
	migrate_fail(m, &e);
}

void migrate_disks_drop(struct migrate *m)
{
	for (size_t i = 0; i < m->disk_count; i++)
		fd_close(&m->disks[i].qemu_fd);
}
