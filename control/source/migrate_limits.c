/*
 * Limits, also those that change while the job runs: bandwidth over all its streams,
 * QEMU's downtime limit, the time that it may take and what is done then; and the two ways
 * to end a migration of a guest that writes faster than its RAM is sent: to pause it, and
 * postcopy.
 */
#include "control/source/migrate_i.h"

#include "base/clock.h"

const struct migrate_limits *migrate_limits(const struct migrate *m)
{
	return &m->config.limits;
}

void migrate_timeout_arm(struct migrate *m)
{
	uint64_t passed_ms = clock_ms() - m->times.start_ms;
	uint64_t limit_ms = (uint64_t)m->config.limits.timeout_s * 1000;

	event_del(m->core.ev_timeout);
	if (limit_ms)
		migrate_arm(m->core.ev_timeout, limit_ms > passed_ms ? limit_ms - passed_ms : 0);
}

/* ---- a paused guest ---- */

static void on_paused(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	struct err why = *e;

	(void)q;
	(void)result;
	if (!migrate_is(m, PHASE_COPIES))
		return;
	if (err_is_set(&why)) {
		err_prefix(&why, "the guest cannot be paused");
		migrate_fail(m, &why);
		return;
	}
	if (!m->guest.stop_ms)
		m->guest.stop_ms = clock_ms();
	if (m->guest.after_pause) {
		void (*then)(struct migrate *) = m->guest.after_pause;

		m->guest.after_pause = NULL;
		then(m);
	}
}

void migrate_pause(struct migrate *m, void (*then)(struct migrate *m))
{
	m->guest.after_pause = then;
	m->guest.paused = m->guest.was_running;
	/* A guest that stands still already is fine too. */
	qmp_command(m->qemu.qmp, "stop", NULL, on_paused, m);
}

void migrate_pause_first(struct migrate *m, void (*then)(struct migrate *m))
{
	if ((m->config.offline || m->guest.pause_first) && m->guest.was_running)
		migrate_pause(m, then);
	else
		then(m);
}

/* ---- postcopy ---- */

static void on_postcopy(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	struct err why = *e;

	(void)q;
	(void)result;
	if (!err_is_set(&why) || !migrate_is(m, PHASE_EARLY))
		return;
	err_prefix(&why, "QEMU does not begin postcopy");
	migrate_suspect(m, &why);
}

void migrate_postcopy_try(struct migrate *m)
{
	/* In the first pass nearly every page would have to be fetched. */
	if (m->postcopy.asked != MIG_POSTCOPY_DUE || m->state != MIGRATE_RAM ||
	    m->progress.passes < 2 || migrate_backlog_holds_postcopy(m))
		return;
	m->postcopy.asked = MIG_POSTCOPY_TOLD;
	qmp_command(m->qemu.qmp, "migrate-start-postcopy", NULL, on_postcopy, m);
}

static void want_postcopy(struct migrate *m)
{
	if (m->postcopy.asked == MIG_POSTCOPY_NOT)
		m->postcopy.asked = MIG_POSTCOPY_DUE;
	migrate_postcopy_try(m);
}

void migrate_take_pass(struct migrate *m, const char *name, const json_t *data)
{
	(void)name;
	m->progress.passes = (uint64_t)json_integer_value(json_object_get(data, "pass"));
	migrate_postcopy_try(m);
}

static int check_postcopy(const struct migrate *m, struct err *e)
{
	if (!m->config.postcopy)
		return err_set(e, ERR_USAGE, "the job was not started with --postcopy");
	if (m->state != MIGRATE_RAM)
		return err_set(e, ERR_REFUSED, "postcopy begins in phase ram; the job is in %s",
			       migrate_state_name(m));
	return 0;
}

/* ---- the time is up ---- */

static void give_up(struct migrate *m)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TIMEOUT, "not done within %u s (--timeout), in phase %s",
		m->config.limits.timeout_s, migrate_state_name(m));
	migrate_fail(m, &e);
}

void migrate_time_up(struct migrate *m)
{
	unsigned s = m->config.limits.timeout_s;

	switch (m->config.limits.on_timeout) {
	case MIGRATE_ABORT:
		give_up(m);
		return;
	case MIGRATE_SUSPEND:
		migrate_note(m,
			     "not done within %u s (--timeout): the guest is paused, so that "
			     "it is soon",
			     s);
		m->guest.pause_first = true;
		if (migrate_is(m, PHASE_COPIES) && m->guest.was_running && !m->guest.paused)
			migrate_pause(m, NULL);
		return;
	case MIGRATE_POSTCOPY:
		migrate_note(m, "not done within %u s (--timeout): postcopy", s);
		want_postcopy(m);
		return;
	}
}

/* (The guest stands still: there is nothing to be done sooner.) */
void migrate_time_up_late(struct migrate *m)
{
	if (m->config.limits.on_timeout == MIGRATE_ABORT)
		give_up(m);
}

/* ---- new limits ---- */

static void set_downtime(struct migrate *m)
{
	uint64_t ms = m->config.limits.downtime_ms;
	json_t *v;

	if (m->disk_count && m->state == MIGRATE_RAM) {
		m->backlog.share_ms = 0; /* told within 100 ms, less what the disks need of it */
		return;
	}
	v = ms ? json_integer((json_int_t)ms)
	       : json_incref(json_object_get(m->report.parameters, "downtime-limit"));
	if (v && m->qemu.settings_changed)
		qmp_command(m->qemu.qmp, "migrate-set-parameters",
			    json_pack("{s:o}", "downtime-limit", v), NULL, NULL);
	else
		json_decref(v);
}

static int check_limits(const struct migrate *m, const struct migrate_limits *limits, struct err *e)
{
	struct migrate_config wanted = m->config;

	if (!migrate_is(m, PHASE_EARLY))
		return err_set(e, ERR_REFUSED,
			       "limits can be changed up to phase ram; the job is in %s",
			       migrate_state_name(m));
	wanted.limits = *limits;
	return migrate_config_check(&wanted, e);
}

static void set_limits(struct migrate *m, const struct migrate_limits *limits)
{
	struct migrate_limits old = m->config.limits;

	m->config.limits = *limits;
	if (limits->max_bandwidth != old.max_bandwidth)
		rate_set(m->rate, limits->max_bandwidth);
	if (limits->downtime_ms != old.downtime_ms)
		set_downtime(m);
	if (limits->timeout_s != old.timeout_s || limits->on_timeout != old.on_timeout)
		migrate_timeout_arm(m);
}

/* All of it is looked at before any of it is done. */
int migrate_change(struct migrate *m, const struct migrate_limits *limits, bool postcopy,
		   struct err *e)
{
	if (limits && check_limits(m, limits, e) < 0)
		return e->code;
	if (postcopy && check_postcopy(m, e) < 0)
		return e->code;
	if (limits)
		set_limits(m, limits);
	if (postcopy) {
		want_postcopy(m);
	}
	return 0;
}
