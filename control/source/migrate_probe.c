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
 *
 * A stop costs a flush of each disk that was written to, one after the other, over the line. So a
 * guest that writes little is not stopped at all (migrate_backlog_is_quiet), and the length of the
 * stop itself counts for nothing in what is left.
 */
#include "control/source/migrate_i.h"

#include "base/clock.h"
#include "base/point.h"

enum {
	LOOK_MS = 100,
	WAKE_MS = 120,	 /* a mirror with nothing to do looks ten times a second, and says then */
	AGAIN_MS = 3000, /* the first time; each costs the guest what did not fit */
	AGAIN_MOST = 4,	 /* doublings of it */
	TRIES = 3,
	PATIENCE_MS = 5000, /* for a moment in which hardly anything is left */
	STANDS_MS = 30000,  /* the guest, for a look, before it is given up */
};

static void over(struct migrate *m, bool fits)
{
	m->probe.state = fits ? MIG_PROBE_OVER : MIG_PROBE_WAITS;
	m->probe.since_ms = clock_ms();
	if (m->guest.pause_first && m->guest.was_running && !m->guest.paused) {
		migrate_pause(m, NULL); /* its time is up */
		m->probe.state = MIG_PROBE_OVER;
	}
	if (m->probe.state == MIG_PROBE_OVER) {
		m->probe.then(m);
		return;
	}
	migrate_backlog_pace(m);
	if (++m->probe.tries == TRIES)
		migrate_backlog_tell(m);
	migrate_look(m, (uint64_t)AGAIN_MS
			    << (m->probe.tries <= AGAIN_MOST ? m->probe.tries - 1 : AGAIN_MOST));
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
	/* (m->guest.paused: QEMU's RESUME has come before, and somebody may have paused it since.)
	 */
	migrate_no_deadline(m);
	m->probe.gone_on_ms = clock_ms();
	m->probe.stood_ms = stood_ms;
	if (stood_ms > m->stall.longest_ms)
		m->stall.longest_ms = stood_ms;
	log_info(&m->about, "the guest stood still for %llu ms, for a look",
		 (unsigned long long)stood_ms);
	m->probe.state = MIG_PROBE_LOOKS;
	migrate_look(m, WAKE_MS);
}

static void tell_mirrors(struct migrate *m, const char *what)
{
	for (size_t i = 0; i < m->disk_count; i++)
		qmp_command(m->qemu.qmp, what, json_pack("{s:s}", "device", m->disks[i].block_job),
			    NULL, NULL);
}

/* All at once, but for what QMP_INFLIGHT lets wait where the disks are many, so that a slow adit
 * costs the guest next to nothing. (One that is killed does: QEMU drops
 * the commands of a client that has gone. Then the guest is let go on by recovery, as the record
 * says that it ran.) The mirrors stand meanwhile: QEMU flushes their targets as it stops the guest,
 * and would wait for all that they copy until then. It waits for those flushes as long as nobody
 * ends the connections, so we do when it is too long. */
static void stop(struct migrate *m)
{
	m->probe.state = MIG_PROBE_STOPS;
	m->probe.stop_ms = clock_ms();
	m->probe.left_ms = 0;
	m->probe.done = migrate_backlog_done(m);
	m->guest.paused = true; /* by us */
	POINT("s-look");
	migrate_deadline(m, POINT_MS("look", STANDS_MS));
	tell_mirrors(m, "block-job-pause");
	qmp_command(m->qemu.qmp, "stop", NULL, NULL, NULL);
	qmp_command(m->qemu.qmp, "cont", NULL, on_gone_on, m);
	tell_mirrors(m, "block-job-resume");
}

void migrate_probe_silent(struct migrate *m)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TIMEOUT,
		"QEMU did not stop the guest and let it go on within %d s, for a look at its "
		"disks: does the destination's storage hang?",
		(int)(POINT_MS("look", STANDS_MS) / 1000));
	migrate_fail(m, &e);
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

static void on_block_jobs(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	if (m->state != MIGRATE_DISKS || m->probe.state != MIG_PROBE_WAITS)
		return;
	if (!err_is_set(e))
		migrate_watch_block_jobs(m, result);
	if (!m->guest.was_running || m->guest.paused || m->postcopy.asked == MIG_POSTCOPY_DUE) {
		over(m, true);
		return;
	}
	/* Stopped by somebody else, or for an error: it is not ours to let go on. */
	if (!m->probe.runs) {
		log_info(&m->about, "the guest does not run: there is no look at its disks");
		over(m, true);
		return;
	}
	if (migrate_backlog_is_quiet(m)) {
		log_info(&m->about, "the guest writes little: it is not stopped for a look");
		over(m, true);
		return;
	}
	if (!m->backlog.writes.known) {
		migrate_look(m, LOOK_MS);
		return;
	}
	if (migrate_backlog_ram_is_near(m))
		migrate_backlog_pace(m);
	if ((!m->pace.bytes || migrate_pace_holds(m)) && is_moment(m))
		stop(m);
	else
		migrate_look(m, LOOK_MS);
}

/* Asked in the same breath, before the mirrors. */
static void on_status(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	m->probe.runs = !err_is_set(e) && json_is_true(json_object_get(result, "running"));
}

/* The limit holds but for three round trips; what a stop takes beyond them cannot be had back. */
static void tell_flushes(struct migrate *m)
{
	struct session_stats st;
	uint64_t ms;

	session_stats(m->link.session, &st);
	ms = migrate_backlog_flushes_ms(m->probe.stood_ms, st.rtt_us);
	if (ms <= migrate_limit_ms(m) / 8)
		return;
	migrate_note(m,
		     "a stop of the guest took %llu ms, in which QEMU flushes its disks on the "
		     "destination: the pause may be %llu ms longer than --downtime-limit says",
		     (unsigned long long)m->probe.stood_ms, (unsigned long long)ms);
}

static void on_looked_again(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	uint64_t left_ms;

	(void)q;
	if (m->state != MIGRATE_DISKS || m->probe.state != MIG_PROBE_LOOKS)
		return;
	if (!err_is_set(e))
		migrate_watch_block_jobs(m, result);
	left_ms = migrate_backlog_at_stop_ms(m, clock_ms() - m->probe.gone_on_ms);
	if (left_ms > m->probe.left_ms)
		m->probe.left_ms = left_ms;
	log_info(&m->about, "%llu ms of the disks are left at a stop",
		 (unsigned long long)m->probe.left_ms);
	if (migrate_backlog_would_fit(m, m->probe.left_ms))
		tell_flushes(m);
	over(m, migrate_backlog_would_fit(m, m->probe.left_ms));
}

void migrate_probe_due(struct migrate *m)
{
	if (m->probe.state == MIG_PROBE_LOOKS)
		qmp_command(m->qemu.qmp, "query-block-jobs", NULL, on_looked_again, m);
	if (m->probe.state == MIG_PROBE_WAITS) {
		qmp_command(m->qemu.qmp, "query-status", NULL, on_status, m);
		qmp_command(m->qemu.qmp, "query-block-jobs", NULL, on_block_jobs, m);
	}
}

bool migrate_probe_is_over(struct migrate *m, void (*then)(struct migrate *m))
{
	m->probe.then = then;
	if (m->probe.state == MIG_PROBE_NONE) {
		m->probe.state =
		    m->guest.was_running && !m->guest.paused ? MIG_PROBE_WAITS : MIG_PROBE_OVER;
		if (m->probe.state == MIG_PROBE_WAITS) {
			/* What a mirror had not reckoned with while most of its disk was still to
			 * be copied looks like a write: counted anew, for a moment, before a guest
			 * is stopped for it. */
			if (!migrate_backlog_is_quiet(m))
				migrate_backlog_watch_writes(m);
			m->probe.since_ms = clock_ms();
			migrate_look(m, 0);
		}
	}
	return m->probe.state == MIG_PROBE_OVER;
}
