/* Progress: asks QEMU twice a second, and the streams what they carried. */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/point.h"

enum {
	STILL_MS = 30000,
	/* For the whole switchover: what is left by then is of RAM what QEMU thought to carry
	 * within --downtime-limit, and of the disks what the line would carry (stands_left_ms; a
	 * guest that was suspended because it does not converge has a big backlog). Ten times both
	 * together is a line that has all but gone. */
	STANDS_MS = 120000,
	STANDS_LIMITS = 10,
};

static void stats_of(struct relay *r, const struct stream_stats *last, struct stream_stats *out)
{
	if (r)
		relay_stats(r, out);
	else
		*out = *last;
}

uint64_t migrate_sent_bytes(const struct migrate *m)
{
	struct stream_stats st;
	uint64_t sum = 0;

	for (size_t i = 0; i < m->ram.channel_count; i++) {
		stats_of(m->ram.channels[i].relay, &m->ram.channels[i].last, &st);
		sum += m->ram.channels[i].before_bytes + st.sent_bytes;
	}
	for (size_t i = 0; i < m->disk_count; i++) {
		stats_of(m->disks[i].relay, &m->disks[i].last, &st);
		sum += st.sent_bytes;
	}
	return sum;
}

void migrate_watch_block_jobs(struct migrate *m, const json_t *result)
{
	uint64_t done = 0;
	size_t i;
	json_t *block_job;

	json_array_foreach((json_t *)result, i, block_job)
	{
		const char *id = json_string_value(json_object_get(block_job, "device"));

		for (size_t k = 0; id && k < m->disk_count; k++) {
			if (strcmp(id, m->disks[k].block_job) != 0)
				continue;
			/* len grows with what the guest writes: the disk's size, and the rest
			 * that is still to be copied, say more. */
			m->disks[k].total = json_number(block_job, "len");
			m->disks[k].done = json_number(block_job, "offset");
		}
	}
	m->progress.disk_total = 0;
	for (i = 0; i < m->disk_count; i++) {
		done += m->disks[i].over ? m->disks[i].total : m->disks[i].done;
		m->progress.disk_total += m->disks[i].total;
	}
	m->progress.disk_done = done;
	migrate_backlog_seen(m);
}

static void on_block_jobs(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	(void)q;
	if (!err_is_set(e))
		migrate_watch_block_jobs(ctx, result);
}

static void on_migration(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	const json_t *ram = json_object_get(result, "ram");

	(void)q;
	/* A pause that was told of before FINISHED had come is seen here. */
	if (m->state == MIGRATE_PAGING && m->paging.step == MIG_MEND_NOT && !err_is_set(e))
		migrate_take_event(m, "MIGRATION", result);
	if (err_is_set(e) || !ram)
		return;
	m->progress.ram_total = json_number(ram, "total");
	m->progress.ram_remaining = json_number(ram, "remaining");
	m->progress.ram_done = m->progress.ram_total > m->progress.ram_remaining
				   ? m->progress.ram_total - m->progress.ram_remaining
				   : 0;
	m->progress.dirty_rate =
	    json_number(ram, "dirty-pages-rate") * json_number(ram, "page-size");
	if (json_number(ram, "dirty-sync-count") > m->progress.passes)
		m->progress.passes = json_number(ram, "dirty-sync-count");
}

/* How long it will take at this rate: what is left, and what is written meanwhile. */
static int64_t remaining(const struct migrate *m)
{
	const struct migrate_progress *p = &m->progress;
	uint64_t left = p->disk_total > p->disk_done ? p->disk_total - p->disk_done : 0;
	double rate = m->watch.smooth_rate;

	if (!migrate_is(m, PHASE_PERFORMS) || rate < 1024)
		return -1;
	if (m->state == MIGRATE_DISKS)
		left += m->desc.memory;
	else
		left += p->ram_remaining;
	if (m->state == MIGRATE_RAM) {
		rate -= (double)p->dirty_rate;
		if (rate < 1024)
			return -1; /* it does not converge */
	}
	return (int64_t)((double)left / rate) + 1;
}

static void measure(struct migrate *m)
{
	uint64_t now_ms = clock_ms(), sent = migrate_sent_bytes(m);
	uint64_t ms = now_ms - m->watch.last_sent_ms;

	if (m->watch.last_sent_ms && ms) {
		double rate = (double)(sent - m->watch.last_sent) * 1000 / (double)ms;

		m->watch.smooth_rate =
		    m->watch.smooth_rate > 0 ? 0.6 * m->watch.smooth_rate + 0.4 * rate : rate;
		m->progress.rate = (uint64_t)rate;
		migrate_backlog_line(m, rate);
	}
	m->watch.last_sent = sent;
	m->watch.last_sent_ms = now_ms;
	m->progress.elapsed_ms = now_ms - m->times.start_ms;
	m->progress.remaining_s = remaining(m);
}

/* A destination that hangs (its storage, its QEMU) while its adit lives, or takes a byte now and
 * then, must not keep the guest standing still: until FINISH nothing is lost by giving up. */
bool migrate_watch_is_stuck(struct migrate *m, struct err *e)
{
	uint64_t now_ms = clock_ms(), sent = migrate_sent_bytes(m);
	uint64_t most_ms;

	if (m->state != MIGRATE_SWITCHOVER && m->state != MIGRATE_DEVICE) {
		m->watch.stands_since_ms = 0;
		/* A `stop` of ours that QEMU does not answer waits for the destination's disks. */
		if (!m->guest.paused || m->guest.stop_ms || !migrate_is(m, PHASE_COPIES)) {
			m->watch.still_since_ms = 0;
			return false;
		}
	} else if (!m->watch.stands_since_ms) {
		m->watch.stands_since_ms = now_ms;
		m->watch.stands_left_ms = migrate_backlog_left_ms(m);
	}
	most_ms = POINT_MS("stands", STANDS_MS) +
		  STANDS_LIMITS * (migrate_limit_ms(m) + m->watch.stands_left_ms);
	if (!m->watch.still_since_ms || sent != m->watch.still_sent) {
		m->watch.still_sent = sent;
		m->watch.still_since_ms = now_ms;
	}
	if (now_ms - m->watch.still_since_ms >= POINT_MS("still", STILL_MS))
		err_set(e, ERR_TIMEOUT,
			"nothing has moved for %d s while the guest stands still (phase "
			"%s): does the destination's storage hang?",
			(int)(POINT_MS("still", STILL_MS) / 1000), m->progress.phase);
	else if (m->watch.stands_since_ms && now_ms - m->watch.stands_since_ms >= most_ms)
		err_set(e, ERR_TIMEOUT,
			"the guest has stood still for %u s, and the last of it is not on the "
			"destination (phase %s): does the line, or the destination, hang?",
			(unsigned)(most_ms / 1000), m->progress.phase);
	return err_is_set(e);
}

void migrate_watch_tick(struct migrate *m)
{
	struct err e = ERR_INIT;

	if (m->state == MIGRATE_OVER || !m->ops)
		return;
	if (m->state == MIGRATE_PAGING)
		qmp_command(m->qemu.qmp, "query-migrate", NULL, on_migration, m);
	if (migrate_is(m, PHASE_PERFORMS) && m->qemu.qmp) {
		qmp_command(m->qemu.qmp, "query-block-jobs", NULL, on_block_jobs, m);
		migrate_backlog_tick(m);
		if (m->state != MIGRATE_DISKS)
			qmp_command(m->qemu.qmp, "query-migrate", NULL, on_migration, m);
	}
	if (migrate_watch_is_stuck(m, &e)) {
		migrate_fail(m, &e);
		return;
	}
	if (++m->watch.ticks % 2)
		return;
	measure(m);
	if (m->ops->on_progress)
		m->ops->on_progress(m->ctx, &m->progress);
}

static void add(struct migrate_stream *s, const char *kind, const char *name,
		enum stream_class class, const struct stream_stats *st, uint64_t begun_ms,
		uint64_t ended_ms)
{
	uint64_t ms = ended_ms > begun_ms ? ended_ms - begun_ms : 1;

	snprintf(s->name, sizeof(s->name), "%s%s%.48s", kind, *name ? " " : "", name);
	s->class = class;
	s->bytes = st->sent_bytes;
	s->rate = begun_ms ? st->sent_bytes * 1000 / ms : 0;
}

size_t migrate_streams(const struct migrate *m, struct migrate_stream *out, size_t max)
{
	uint64_t now_ms = clock_ms();
	struct stream_stats st;
	char number[24] = "";
	size_t n = 0;

	for (size_t i = 0; i < m->disk_count && n < max; i++) {
		const struct mig_disk *d = &m->disks[i];

		stats_of(d->relay, &d->last, &st);
		add(&out[n++], "disk", d->desc->name, STREAM_DISK, &st, d->begun_ms,
		    d->ended_ms ? d->ended_ms : now_ms);
	}
	for (size_t i = 0; i < m->ram.channel_count && n < max; i++) {
		const struct mig_channel *c = &m->ram.channels[i];

		stats_of(c->relay, &c->last, &st);
		st.sent_bytes += c->before_bytes;
		if (m->ram.channel_count > 1)
			snprintf(number, sizeof(number), "%zu", i);
		add(&out[n++], "ram", number, STREAM_RAM, &st, c->begun_ms,
		    c->ended_ms ? c->ended_ms : now_ms);
	}
	return n;
}

void migrate_watch_streams(struct migrate *m, struct migrate_result *r)
{
	size_t max = m->disk_count + m->ram.channel_count;

	m->watch.streams = calloc(max + 1, sizeof(*m->watch.streams));
	if (!m->watch.streams)
		return;
	r->streams = m->watch.streams;
	r->stream_count = migrate_streams(m, m->watch.streams, max);
}
