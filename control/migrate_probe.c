/*
 * What the guest has on its way to its disks, before RAM begins: a short stop of it, a look, and on
 * it goes.
 *
 * How it works. QEMU lets all requests through that wait for a limit when it stops the guest, so
 * those of a guest that is paced are what the mirrors copy while it stands still, and nobody can
 * be asked how much that is. So the guest is stopped for a moment beforehand, with its disks all
 * but copied: what is left then is what will be left at the switchover. Where that does not fit
 * into the downtime limit the guest goes on, paced, and it is tried again; where it does, so much
 * of the limit is kept free of RAM. Once RAM has begun QEMU stops a guest that writes little RAM
 * whatever it is told, so this comes before it.
 */
#include "control/migrate_i.h"

#include "base/clock.h"

enum {
	LOOK_MS = 100,
	WAKE_MS = 120,	 /* a mirror with nothing to do looks ten times a second, and says then */
	AGAIN_MS = 3000, /* the first time; each costs the guest what did not fit */
	AGAIN_MOST = 4,	 /* doublings of it */
	TRIES = 3,
	PATIENCE_MS = 5000, /* for a moment in which hardly anything is left */
};

static void over(struct migrate *m, bool fits)
{
	m->probe.state = fits ? MIG_PROBE_OVER : MIG_PROBE_WAITS;
	m->probe.since_ms = clock_ms();
	if (m->pause_first && m->was_running && !m->paused) {
		migrate_pause(m, NULL); /* its time is up */
		m->probe.state = MIG_PROBE_OVER;
	}
	if (m->probe.state == MIG_PROBE_OVER) {
		migrate_disks_ready(m);
		return;
	}
	migrate_backlog_pace(m);
	if (++m->probe.tries == TRIES)
		migrate_backlog_tell(m);
	migrate_arm(m->ev_disks,
		    (uint64_t)AGAIN_MS
			<< (m->probe.tries < AGAIN_MOST ? m->probe.tries - 1 : AGAIN_MOST));
}

static void on_gone_on(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	uint64_t stood_ms = clock_ms() - m->probe.stop_ms;

	(void)q;
	(void)result;
	if (m->state != MIGRATE_DISKS)
		return;
	if (err_is_set(e)) {
		struct err why = *e;

		err_prefix(&why, "the guest does not go on after a look at its disks");
		migrate_fail(m, &why);
		return;
	}
	m->paused = false;
	m->probe.gone_on_ms = clock_ms();
	if (stood_ms > m->stall_longest_ms)
		m->stall_longest_ms = stood_ms;
	log_info(&m->about, "the guest stood still for %llu ms, for a look",
		 (unsigned long long)stood_ms);
	m->probe.state = MIG_PROBE_LOOKS;
	migrate_arm(m->ev_disks, WAKE_MS);
}

static void tell_mirrors(struct migrate *m, const char *what)
{
	for (size_t i = 0; i < m->disk_count; i++)
		qmp_command(m->qmp, what, json_pack("{s:s}", "device", m->disks[i].job), NULL,
			    NULL);
}

/* All at once: QEMU does not wait for us in between, whatever becomes of us. The mirrors stand
 * meanwhile: QEMU flushes their targets as it stops the guest, and would wait for all that they
 * copy until then. */
static void stop(struct migrate *m)
{
	m->probe.state = MIG_PROBE_STOPS;
	m->probe.stop_ms = clock_ms();
	m->probe.left_ms = 0;
	m->paused = true; /* by us */
	tell_mirrors(m, "block-job-pause");
	qmp_command(m->qmp, "stop", NULL, NULL, NULL);
	qmp_command(m->qmp, "cont", NULL, on_gone_on, m);
	tell_mirrors(m, "block-job-resume");
}

/* The stop waits for what a mirror has on its way already: so that is to be next to nothing. */
static bool is_moment(struct migrate *m)
{
	uint64_t left_ms = migrate_backlog_left_ms(m), waited_ms = clock_ms() - m->probe.since_ms;

	if (waited_ms > PATIENCE_MS && !m->pace.bytes)
		migrate_backlog_pace(m);
	if (waited_ms > PATIENCE_MS * TRIES)
		migrate_backlog_tell(m);
	return migrate_backlog_would_fit(m, waited_ms > PATIENCE_MS ? left_ms : left_ms * 8);
}

static void on_jobs(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	if (m->state != MIGRATE_DISKS || m->probe.state != MIG_PROBE_WAITS)
		return;
	if (!err_is_set(e))
		migrate_watch_jobs(m, result);
	if (!m->was_running || m->paused || m->postcopy_due) {
		over(m, true);
	} else if ((!m->pace.bytes || migrate_pace_holds(m)) && is_moment(m)) {
		stop(m);
	} else {
		migrate_arm(m->ev_disks, LOOK_MS);
	}
}

/* What has been copied since the guest went on was left then too. */
static void on_looked_again(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	uint64_t left_ms;

	(void)q;
	if (m->state != MIGRATE_DISKS || m->probe.state != MIG_PROBE_LOOKS)
		return;
	if (!err_is_set(e))
		migrate_watch_jobs(m, result);
	left_ms = migrate_backlog_left_ms(m);
	if (left_ms)
		left_ms += clock_ms() - m->probe.gone_on_ms;
	if (left_ms > m->probe.left_ms)
		m->probe.left_ms = left_ms;
	log_info(&m->about, "%llu ms of the disks are left at a stop",
		 (unsigned long long)m->probe.left_ms);
	over(m, migrate_backlog_would_fit(m, m->probe.left_ms));
}

void migrate_probe_due(struct migrate *m)
{
	if (m->probe.state == MIG_PROBE_LOOKS)
		qmp_command(m->qmp, "query-block-jobs", NULL, on_looked_again, m);
	if (m->probe.state == MIG_PROBE_WAITS)
		qmp_command(m->qmp, "query-block-jobs", NULL, on_jobs, m);
}

bool migrate_probe_is_over(struct migrate *m)
{
	if (m->probe.state == MIG_PROBE_NONE) {
		m->probe.state = m->was_running && !m->paused ? MIG_PROBE_WAITS : MIG_PROBE_OVER;
		if (m->probe.state == MIG_PROBE_WAITS) {
			if (migrate_backlog_ram_is_near(m))
				migrate_backlog_pace(m);
			m->probe.since_ms = clock_ms();
			migrate_arm(m->ev_disks, 0);
		}
	}
	return m->probe.state == MIG_PROBE_OVER;
}
