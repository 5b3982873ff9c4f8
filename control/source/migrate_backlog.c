/*
 * What the mirrors have still to copy, and what follows from it: the guest's pause ends only when
 * all of that has gone over too, so the limit of its length is the disks' and RAM's together.
 *
 * How it works. QEMU stops the guest by itself once RAM fits into its downtime-limit. While RAM is
 * copied the mirrors are looked at ten times a second, and what they need of the limit at the
 * line's rate is taken from what QEMU is told; where nothing is left it is told a millisecond, so
 * that it waits. (A guest that writes no RAM at all is stopped all the same: QEMU does not look at
 * the limit when nothing is left.) The line's rate is the highest that was seen of late, since a
 * line with little to carry shows little.
 *
 * A burst between two looks would not be seen before the guest stands still. So before RAM comes to
 * its end (its last seconds) the guest's writes are paced (migrate_pace.c): to what fits, for as
 * long as nobody looks, into a quarter of the limit, which is then the disks'. A disk whose backlog
 * gets no less within a round is paced as well, more each round; after three of them a person is
 * told. Requests are paced too: a small one costs what the mirror copies at least
 * (migrate_mirrors.c), and QEMU its time.
 *
 * A pace has a bottom (MIGRATE_PACE_MIN), also on a line that carries less: a guest gives a
 * request up, or resets the disk, after its own time (30 s of Linux's for SCSI and AHCI), and that
 * would be an error of its disk, which is worse than a migration that does not come to its end.
 *
 * Writing to both sides at once (copy-mode write-blocking) is not used: QEMU does not take it back,
 * older ones do not have it, and while it lasts a line that stalls is a guest that stalls.
 */
#include "control/source/migrate_i.h"

#include "base/clock.h"
#include "base/size.h"

enum {
	DOWNTIME_MS = 300, /* QEMU's own */
	HELD_MS = 1,
	UNSEEN_MS = 300, /* a look, QEMU's burst of a tenth of a second, and the way to the stop */
	NEAR_MS = 3000,	 /* so much of RAM at the line's rate is its end */
	PACE_LEVELS = 3, /* each halves it */
	DEVICES_BYTES = 256 << 10, /* of the devices' own state, which QEMU does not reckon with */
	ROUND_MS = 1000,	   /* at least */
	ROUNDS = 3,
	HELD_TELL_MS = 5000,
	POSTCOPY_MS = 10000,	 /* that it is held back for the disks' sake */
	WRITES_MS = 500,	 /* for which the guest's writes are counted */
	LITTLE_PART = 8,	 /* of the limit */
	LITTLE_BYTES = 16 << 10, /* as a journal commits */
	PACE_OPS = 4000,	 /* a second */
};

static uint64_t left_of(const struct mig_disk *d)
{
	return d->total > d->done ? d->total - d->done : 0;
}

static uint64_t line_rate(const struct migrate *m)
{
	uint64_t most = m->config.limits.max_bandwidth;

	return most && (double)most < m->backlog.line_rate ? most : (uint64_t)m->backlog.line_rate;
}

uint64_t migrate_limit_ms(const struct migrate *m)
{
	json_int_t v = json_integer_value(json_object_get(m->report.parameters, "downtime-limit"));

	if (m->config.limits.downtime_ms)
		return m->config.limits.downtime_ms;
	return v > 0 ? (uint64_t)v : DOWNTIME_MS;
}

static bool runs(const struct migrate *m)
{
	return m->guest.was_running && !m->guest.paused && !m->guest.stop_ms;
}

static uint64_t left_of_all(const struct migrate *m)
{
	uint64_t left = 0;

	for (size_t i = 0; i < m->disk_count; i++)
		left += left_of(&m->disks[i]);
	return left;
}

uint64_t migrate_backlog_left_ms(const struct migrate *m)
{
	uint64_t rate = line_rate(m);

	/* Nothing is known of the line before something went over it. */
	return rate >= 1024 ? (uint64_t)((double)left_of_all(m) * 1000 / (double)rate) : 0;
}

/* What is sent says little of a line that has only the paced guest's writes to carry: a pace that
 * follows from that would be a part of the last one, and the next one a part of it. */
static bool is_idle(const struct migrate *m)
{
	return m->pace.bytes &&
	       (m->state == MIGRATE_DISKS || (m->state == MIGRATE_RAM && m->backlog.held_since_ms));
}

void migrate_backlog_line(struct migrate *m, double rate)
{
	if (!is_idle(m))
		m->backlog.line_rate *= 0.99;
	if (rate > m->backlog.line_rate)
		m->backlog.line_rate = rate;
}

bool migrate_backlog_would_fit(const struct migrate *m, uint64_t ms)
{
	return ms <= migrate_limit_ms(m) / 8 * 7;
}

uint64_t migrate_backlog_done(const struct migrate *m)
{
	uint64_t done = 0;

	for (size_t i = 0; i < m->disk_count; i++)
		done += m->disks[i].done;
	return done;
}

/* Where something is left, what has been copied since was left then too: no more than the line
 * carries in that time. */
uint64_t migrate_backlog_at_stop_ms(const struct migrate *m, uint64_t since_ms)
{
	uint64_t left_ms = migrate_backlog_left_ms(m), copied = migrate_backlog_done(m);
	double copied_ms;

	if (!left_ms)
		return 0;
	copied = copied > m->probe.done ? copied - m->probe.done : 0;
	copied_ms = (double)copied * 1000 / (double)line_rate(m);
	return left_ms + (copied_ms < (double)since_ms ? (uint64_t)copied_ms : since_ms);
}

uint64_t migrate_backlog_flushes_ms(uint64_t stood_ms, uint64_t rtt_us)
{
	uint64_t allowed_ms = 3 * rtt_us / 1000;

	return stood_ms > allowed_ms ? stood_ms - allowed_ms : 0;
}

/* What the guest may write unseen, and what it has on its way when it is stopped. */
static uint64_t reserve_ms(const struct migrate *m)
{
	uint64_t limit = migrate_limit_ms(m), ms = limit / 4, rate = line_rate(m);
	uint64_t devices_ms = rate >= 1024 ? DEVICES_BYTES * 1000 / rate : 0;

	if (m->probe.left_ms > ms)
		ms = m->probe.left_ms;
	ms += devices_ms < limit / 8 ? devices_ms : limit / 8;
	return ms > limit / 8 * 7 ? limit / 8 * 7 : ms;
}

/* How much of the limit is RAM's; 0: nothing, the switchover is to wait. */
static uint64_t share_ms(const struct migrate *m)
{
	uint64_t limit = migrate_limit_ms(m), ms = migrate_backlog_left_ms(m);

	if (m->guest.paused || m->guest.stop_ms)
		return limit;
	if (m->pace.bytes)
		limit -= reserve_ms(m);
	if (!left_of_all(m))
		return limit;
	return ms > limit / 4 * 3 ? 0 : limit - ms;
}

/* ---- the pace ---- */

#define LINE_BYTES ((uint64_t)12500000) /* a second, where nothing is known of it */

/* What each mirror copies at least. */
static uint64_t grain_of_all(const struct migrate *m)
{
	uint64_t grain = 0;

	for (size_t i = 0; i < m->disk_count; i++)
		if (m->disks[i].grain > grain)
			grain = m->disks[i].grain;
	return grain ? grain : MIGRATE_PACE_REQUEST;
}

/* As many requests as the line carries of the least that is copied for one, but no more than QEMU
 * copies in its time; and as many as fit into bytes with 64 KiB in each, on the fastest line. */
uint64_t migrate_backlog_pace_ops(const struct migrate *m, uint64_t bytes)
{
	uint64_t ops = bytes / grain_of_all(m), least = bytes / MIGRATE_PACE_REQUEST;

	if (ops > PACE_OPS)
		ops = PACE_OPS;
	return ops > least ? ops : least;
}

void migrate_backlog_pace(struct migrate *m)
{
	uint64_t line = line_rate(m), bytes;

	if (line < 1024)
		line = m->config.limits.max_bandwidth ? m->config.limits.max_bandwidth : LINE_BYTES;
	bytes = (uint64_t)((double)line * (double)migrate_limit_ms(m) / 4 / UNSEEN_MS);
	if (bytes > line / 2)
		bytes = line / 2;
	if (bytes < line / 4)
		bytes = line / 4; /* a guest that waits for its disk does nothing else */
	bytes >>= m->backlog.pace_level;
	if (bytes < MIGRATE_PACE_MIN)
		bytes = MIGRATE_PACE_MIN;
	migrate_pace_set(m, bytes, migrate_backlog_pace_ops(m, bytes));
}

/* Whether RAM may come to its end before the next looks. */
bool migrate_backlog_ram_is_near(const struct migrate *m)
{
	uint64_t left = m->progress.ram_total ? m->progress.ram_remaining : m->desc.memory;
	uint64_t line = line_rate(m), near_ms = 2 * migrate_limit_ms(m);

	if (near_ms < NEAR_MS)
		near_ms = NEAR_MS;
	return line < 1024 || (double)left * 1000 <= (double)line * (double)near_ms;
}

bool migrate_backlog_begins_ram(struct migrate *m)
{
	if (!m->disk_count || !runs(m))
		return false;
	if (migrate_backlog_ram_is_near(m))
		migrate_backlog_pace(m);
	m->backlog.share_ms = HELD_MS;
	return true;
}

/* ---- rounds ---- */

static void tell(struct migrate *m, struct mig_disk *d)
{
	char left[24], rate[24];

	if (d->told)
		return;
	d->told = true;
	migrate_note(m,
		     "disk %s does not converge: the guest writes to it as fast as that goes over "
		     "(%s/s), and %s are left to copy. Have it write less, give it more of the "
		     "line (--max-bandwidth) or a longer pause (--downtime-limit), or have it "
		     "paused (--timeout with --on-timeout suspend)",
		     d->desc->name, size_format(line_rate(m), rate, sizeof(rate)),
		     size_format(left_of(d), left, sizeof(left)));
}

/* A round is over when as much has been copied as was left at its beginning. The first one is the
 * whole disk. */
static void count_rounds(struct migrate *m, struct mig_disk *d)
{
	uint64_t now_ms = clock_ms(), left = left_of(d);

	if (!d->total || m->copy.step != MIG_COPY_RUNS)
		return;
	if (!d->round_ms) {
		d->round_ms = now_ms;
		d->round_left = left;
		d->round_done = d->done;
		return;
	}
	if (now_ms - d->round_ms < ROUND_MS || d->done - d->round_done < d->round_left)
		return;
	/* Less is left each time: it converges, if slowly. What fits into the limit is no
	 * backlog either. */
	if (left >= d->round_left / 4 * 3 && left * 1000 > line_rate(m) * migrate_limit_ms(m)) {
		if (d->rounds++ >= m->backlog.pace_level && m->backlog.pace_level < PACE_LEVELS &&
		    m->pace.bytes)
			m->backlog.pace_level++;
		if (runs(m))
			migrate_backlog_pace(m);
	} else {
		d->rounds = 0;
	}
	d->round_ms = now_ms;
	d->round_left = left;
	d->round_done = d->done;
	if (d->rounds >= ROUNDS)
		tell(m, d);
}

/* ---- what the guest writes ---- */

static uint64_t total_of_all(const struct migrate *m)
{
	uint64_t total = 0;

	for (size_t i = 0; i < m->disk_count; i++)
		total += m->disks[i].total;
	return total;
}

static uint64_t written(const struct migrate *m)
{
	uint64_t total = total_of_all(m);

	return total > m->backlog.writes.total ? total - m->backlog.writes.total : 0;
}

void migrate_backlog_watch_writes(struct migrate *m)
{
	m->backlog.writes = (struct mig_writes){0};
}

/* A mirror's len grows by what the guest writes. */
static void count_writes(struct migrate *m)
{
	uint64_t now_ms = clock_ms();

	if (m->copy.step != MIG_COPY_RUNS ||
	    (m->backlog.writes.since_ms && now_ms - m->backlog.writes.since_ms < WRITES_MS))
		return;
	if (m->backlog.writes.since_ms) {
		m->backlog.writes.known = true;
		m->backlog.writes.bytes = written(m);
	}
	m->backlog.writes.since_ms = now_ms;
	m->backlog.writes.total = total_of_all(m);
}

/* What goes over in an eighth of the limit: a guest that writes no more than that in half a second
 * has no more on its way when it is stopped, unless it only begins then, which no look would
 * have seen either; and with a quarter of the limit kept free of RAM it fits. A small write to each
 * disk, and one more, is little in any case: a line that has had little to carry seems slow. */
static uint64_t little(const struct migrate *m)
{
	double bytes = (double)line_rate(m) * (double)migrate_limit_ms(m) / LITTLE_PART / 1000;
	uint64_t grain = grain_of_all(m);
	uint64_t least = (grain > LITTLE_BYTES ? grain : LITTLE_BYTES) * (m->disk_count + 1);

	return bytes > (double)least ? (uint64_t)bytes : least;
}

static bool is_limited(const struct migrate *m)
{
	for (size_t i = 0; i < m->disk_count; i++)
		if (m->disks[i].desc && m->disks[i].desc->limits)
			return true;
	return json_object_size(m->pace.filters) > 0;
}

bool migrate_backlog_is_quiet(const struct migrate *m)
{
	uint64_t most = little(m);

	/* What waits for a limit, ours or the VM's own, is not written yet, and is let through all
	 * at once when the guest is stopped. */
	if (m->pace.bytes || (m->backlog.writes.bytes && is_limited(m)))
		return false;
	return m->backlog.writes.known && m->backlog.writes.bytes <= most && written(m) <= most &&
	       left_of_all(m) <= most;
}

void migrate_backlog_seen(struct migrate *m)
{
	if (m->state == MIGRATE_DISKS)
		count_writes(m);
	for (size_t i = 0; i < m->disk_count; i++)
		if (m->state == MIGRATE_DISKS || m->state == MIGRATE_RAM)
			count_rounds(m, &m->disks[i]);
}

/* ---- the limit ---- */

bool migrate_backlog_fits(const struct migrate *m)
{
	return share_ms(m) != 0;
}

static struct mig_disk *most_left(struct migrate *m)
{
	struct mig_disk *d = m->disks;

	for (size_t i = 1; i < m->disk_count; i++)
		if (left_of(&m->disks[i]) > left_of(d))
			d = &m->disks[i];
	return d;
}

void migrate_backlog_tell(struct migrate *m)
{
	tell(m, most_left(m));
}

void migrate_backlog_share(struct migrate *m)
{
	bool open = !runs(m) || migrate_pace_holds(m);
	uint64_t share = open ? share_ms(m) : 0, ms = share ? share : HELD_MS,
		 was = m->backlog.share_ms;
	uint64_t off = ms > was ? ms - was : was - ms;

	if (runs(m) && (migrate_backlog_ram_is_near(m) || !share_ms(m)))
		migrate_backlog_pace(m);
	if (share || !open)
		m->backlog.held_since_ms = 0;
	else if (!m->backlog.held_since_ms)
		m->backlog.held_since_ms = clock_ms();
	else if (clock_ms() - m->backlog.held_since_ms > HELD_TELL_MS)
		migrate_backlog_tell(m);
	if (was && (ms == HELD_MS) == (was == HELD_MS) && off <= migrate_limit_ms(m) / 8)
		return;
	m->backlog.share_ms = ms;
	log_debug(&m->about, "%llu ms of the downtime limit are RAM's", (unsigned long long)ms);
	qmp_command(m->qemu.qmp, "migrate-set-parameters",
		    json_pack("{s:I}", "downtime-limit", (json_int_t)ms), NULL, NULL);
}

bool migrate_backlog_holds_postcopy(struct migrate *m)
{
	if (migrate_backlog_fits(m))
		return false;
	if (!m->backlog.postcopy_since_ms)
		m->backlog.postcopy_since_ms = clock_ms();
	return clock_ms() - m->backlog.postcopy_since_ms < POSTCOPY_MS;
}

static void on_stats(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	if (!err_is_set(e) && (m->state == MIGRATE_DISKS || m->state == MIGRATE_RAM) &&
	    migrate_pace_see_stats(m, result))
		migrate_backlog_pace(m);
}

void migrate_backlog_tick(struct migrate *m)
{
	if (m->pace.holds && (m->state == MIGRATE_DISKS || m->state == MIGRATE_RAM))
		qmp_command(m->qemu.qmp, "query-blockstats", NULL, on_stats, m);
}
