/*
 * What is undone when a migration fails before the destination may run the VM:
 * the destination is told; QEMU's migration is cancelled, the streams are closed,
 * the mirrors are ended, their nodes removed, the settings and the disks' limits put back;
 * and the VM is seen to run again if it ran before.
 *
 * QEMU takes its time over each of these, and refuses some while others are under
 * way, so the steps are repeated, each time from what QEMU says it is in, until it
 * is clean or UNDO_MS have passed.
 */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum {
	UNDO_EVERY_MS = 100,
	UNDO_MS = 12000, /* of QEMU's own */
	LOOK_MS = 2000,	 /* between looks at the clock while QEMU does not answer */
	PACE_TRIES = 3,	 /* to put limits back that QEMU refuses */
	THERE_MS = 5000, /* for the destination's word that it is clean */
};

enum { Q_MIGRATE, Q_BLOCK_JOBS, Q_NODES, Q_STATUS, Q_YANK };

/* Both sides are done, or will not be. */
static void maybe_over(struct migrate *m)
{
	if (m->state != MIGRATE_UNDO || m->undo.here != MIG_HERE_DONE)
		return;
	if (m->undo.there == MIG_THERE_TOLD && m->link.ready &&
	    clock_ms() - m->undo.begun_ms < THERE_MS)
		return; /* the deadline comes again */
	migrate_over(m, m->undo.undecided ? MIGRATE_UNKNOWN : MIGRATE_STAYED);
}

/* The destination has said that it is clean, or will say nothing any more. */
static void there_done(struct migrate *m)
{
	if (!m->link.ready)
		m->undo.there = MIG_THERE_DONE; /* or it never will be: nobody is left to ask */
	maybe_over(m);
}

static void tell_limits(struct migrate *m, bool let_be)
{
	const char *why =
	    err_is_set(&m->pace.back_err) ? m->pace.back_err.text : "QEMU was busy until now";

	if (let_be)
		migrate_note(m,
			     "the VM's disks may still have I/O limits that were for the time of "
			     "the migration (%s): look at them in QEMU's monitor (query-block)",
			     why);
	else
		migrate_note(m,
			     "the VM's disks may still have I/O limits that were for the time of "
			     "the migration (%s): `adit recover %.8s` takes them back%s",
			     why, m->id,
			     m->pace.refusals ? ", and with --run-here lets them be" : "");
}

static void tell_uncleared(struct migrate *m, bool let_be)
{
	char mend[128];

	snprintf(mend, sizeof(mend),
		 let_be ? "to put them back: migrate-set-capabilities in its monitor, once "
			  "query-yank lists no migration there"
			: "`adit recover %.8s` tries again",
		 m->id);
	migrate_note(m,
		     "QEMU does not clear away the migration that has failed: its capabilities "
		     "stay as they were for it (%s), and another migration of the VM may end it",
		     mend);
}

/* The end of the undo here: the sentence says where the VM is. */
static void done_here(struct migrate *m, const char *status, bool running)
{
	struct err e = m->err;
	bool limited = migrate_pace_is_set(m);
	/* Those that QEMU refuses to take back are not waited for for ever: a person can say so. */
	bool let_be = m->decision == MIGRATE_DECIDE_RUN_HERE && m->pace.refusals;

	m->undo.here = MIG_HERE_DONE;
	/* Where the VM could not be put back, `adit recover` may try again. */
	m->result.settled = (running || (!m->guest.was_running && !m->undo.unanswered)) &&
			    (!limited || let_be) &&
			    (!m->undo.uncleared || m->decision == MIGRATE_DECIDE_RUN_HERE);
	if (limited)
		tell_limits(m, m->result.settled);
	if (m->undo.uncleared)
		tell_uncleared(m, m->result.settled);
	if (running)
		err_set(&m->err, e.code, "%s; the VM runs on here", e.text);
	else if (!m->guest.was_running)
		err_set(&m->err, e.code, "%s; the VM is %s here, as before", e.text, status);
	else
		err_set(&m->err, e.code, "%s; the VM is in state %s here: look at its monitor",
			e.text, status);
	maybe_over(m);
	if (m->state == MIGRATE_UNDO)
		migrate_deadline(m, UNDO_EVERY_MS);
}

static bool migration_busy(const json_t *migrate)
{
	static const char *const over[] = {"none", "completed", "failed", "cancelled"};
	const char *status = json_string_value(json_object_get(migrate, "status"));

	for (size_t i = 0; status && i < sizeof(over) / sizeof(over[0]); i++)
		if (strcmp(status, over[i]) == 0)
			return false;
	return status != NULL;
}

/* (One that is being cancelled does not say any more what it was.) */
static bool is_postcopy(const struct migrate *m, const json_t *migrate)
{
	const char *status = json_string_value(json_object_get(migrate, "status"));

	return status &&
	       (strncmp(status, "postcopy-", 9) == 0 ||
		(m->postcopy.pages != MIG_PAGES_NOT && strncmp(status, "cancel", 6) == 0));
}

/* QEMU takes no postcopy back, also where the other side never got what it needs to run. The
 * record stays, and the memory with it, until a person has had a look. */
static void postcopy_begun(struct migrate *m)
{
	struct err e = m->err;

	m->undo.here = MIG_HERE_DONE;
	if (m->times.running_there_ms)
		err_set(&m->err, e.code,
			"%s; it had begun to run there (postcopy), and QEMU does not let it go on "
			"here: it stands still for good (`adit recover %.8s --drop-here` ends it)",
			e.text, m->id);
	else
		err_set(&m->err, e.code,
			"%s; but postcopy had begun, which QEMU cannot take back: the VM stands "
			"still here for good (`adit recover %.8s --drop-here` ends it)",
			e.text, m->id);
	maybe_over(m);
	if (m->state == MIGRATE_UNDO)
		migrate_deadline(m, UNDO_EVERY_MS);
}

/* (QEMU's end is told by itself.) */
static bool goes_on(const struct migrate *m, const struct err *e)
{
	return m->state == MIGRATE_UNDO && m->undo.here != MIG_HERE_DONE && e->code != ERR_CLOSED;
}

static void on_acted(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	migrate_pace_see_back(m, b, e);
	if (goes_on(m, e))
		migrate_deadline(m, UNDO_EVERY_MS);
}

/* The last that is tried. */
static void on_tried(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	migrate_pace_see_back(m, b, e);
	if (goes_on(m, e))
		done_here(m, m->undo.seen, m->undo.runs);
}

/* What QEMU is in now says what is to be done next. */
static void on_looked(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;
	const json_t *state = qmp_batch_result(b, Q_STATUS);
	const char *status = json_string_value(json_object_get(state, "status"));
	bool running = json_is_true(json_object_get(state, "running"));
	struct qmp_batch *act;
	unsigned left, block_jobs;
	char ours[16];

	if (!goes_on(m, e))
		return;
	m->undo.here = MIG_HERE_ACTS;
	if (err_is_set(e) || !status) {
		m->undo.unanswered = true;
		done_here(m, "unknown", false);
		return;
	}
	snprintf(m->undo.seen, sizeof(m->undo.seen), "%s", status);
	m->undo.runs = running;
	if (is_postcopy(m, qmp_batch_result(b, Q_MIGRATE))) {
		postcopy_begun(m);
		return;
	}
	act = qmp_batch_new();
	snprintf(ours, sizeof(ours), MIGRATE_OURS "%.8s-", m->id);
	left = block_jobs = migrate_end_mirrors(act, ours, qmp_batch_result(b, Q_BLOCK_JOBS));
	m->undo.uncleared = false;
	if (migration_busy(qmp_batch_result(b, Q_MIGRATE))) {
		left++;
		qmp_batch_add(act, QMP_MAY, "migrate_cancel", NULL);
	} else {
		if (!left)
			left += migrate_delete_nodes(act, ours, qmp_batch_result(b, Q_NODES));
		/* A guest that was stopped for the switchover, and nobody else may run. */
		if (m->guest.was_running && !running) {
			left++;
			qmp_batch_add(act, QMP_MAY, "cont", NULL);
		}
		if (m->qemu.settings_changed) {
			left++; /* once more, so that they are back before the job ends */
			m->undo.uncleared = !vmdesc_is_cleared(qmp_batch_result(b, Q_YANK));
			if (!m->undo.uncleared)
				migrate_settings_restore(m, act);
		}
		/* Until QEMU has said that they are back, or has refused it often enough. */
		if (migrate_pace_is_set(m) && m->pace.refusals < PACE_TRIES) {
			left++;
			if (!block_jobs)
				migrate_pace_put_back(m, act);
		}
	}
	if (!left || clock_ms() > m->undo.until_ms) {
		migrate_pace_put_back(m, act);
		migrate_deadline(m, LOOK_MS);
		qmp_batch_run(act, q, on_tried, m);
		return;
	}
	qmp_batch_run(act, q, on_acted, m);
}

static void look_at_qemu(struct migrate *m)
{
	struct qmp_batch *b = qmp_batch_new();

	if (!b) {
		done_here(m, "unknown", false);
		return;
	}
	m->undo.here = MIG_HERE_LOOKS;
	migrate_deadline(m, LOOK_MS);
	qmp_batch_add(b, QMP_MUST, "query-migrate", NULL);
	qmp_batch_add(b, QMP_MUST, "query-block-jobs", NULL);
	qmp_batch_add(b, QMP_MAY, "query-named-block-nodes", json_pack("{s:b}", "flat", 1));
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_add(b, QMP_MAY, "query-yank", NULL);
	qmp_batch_run(b, m->qemu.qmp, on_looked, m);
}

static void due(struct migrate *m)
{
	if (m->undo.here == MIG_HERE_DONE) {
		maybe_over(m);
		if (m->state == MIGRATE_UNDO)
			migrate_deadline(m, UNDO_EVERY_MS);
	} else if (clock_ms() > m->undo.until_ms) {
		/* (Its commands may take as long, while it answers.) */
		m->undo.unanswered = m->undo.here == MIG_HERE_LOOKS || !*m->undo.seen;
		done_here(
		    m, m->undo.unanswered ? "unknown (its monitor does not answer)" : m->undo.seen,
		    !m->undo.unanswered && m->undo.runs);
	} else if (m->undo.here == MIG_HERE_LOOKS) {
		migrate_deadline(m, LOOK_MS);
	} else {
		look_at_qemu(m);
	}
}

static void tell_there(struct migrate *m)
{
	struct err e = ERR_INIT;

	m->undo.begun_ms = clock_ms();
	if (!m->link.talk || !m->link.ready || m->undo.there != MIG_THERE_UNTOLD)
		return;
	if (talk_send(m->link.talk, cookie_new_abort(m->id, &m->err), &e) == 0)
		m->undo.there = MIG_THERE_TOLD;
}

static void enter(struct migrate *m)
{
	bool begun = *m->found || m->before != MIGRATE_BEGIN;

	tell_there(m);
	m->undo.until_ms = clock_ms() + UNDO_MS;
	if (m->qemu.gone || !m->qemu.touched) {
		m->undo.here = MIG_HERE_DONE;
		m->result.settled = true;
		if (!m->qemu.gone && begun) {
			struct err e = m->err;

			err_set(&m->err, e.code, "%s; the VM %s here", e.text,
				m->guest.was_running ? "runs on" : "is as it was");
		}
		maybe_over(m);
		return;
	}
	qmp_forget(m->qemu.qmp);
	m->pace.back_batch = NULL;
	/* In postcopy QEMU says at a look what it is in, and not after a cancel. */
	if (m->ram.migrating && m->postcopy.asked != MIG_POSTCOPY_TOLD)
		qmp_command(m->qemu.qmp, "migrate_cancel", NULL, NULL, NULL);
	migrate_drop_relays(m, m->err.text);
	look_at_qemu(m);
}

/* ---- what comes ---- */

static void silent(struct migrate *m, const struct err *why)
{
	(void)why;
	m->undo.there = MIG_THERE_DONE; /* no word will come any more */
	there_done(m);
}

static void session_ended(struct migrate *m, const struct err *why)
{
	(void)why;
	there_done(m);
}

/* There is nothing left to be put back. */
static void qemu_ended(struct migrate *m, const struct err *why)
{
	struct err e = m->err;

	m->undo.here = MIG_HERE_DONE;
	m->result.settled = m->result.lost = true;
	err_set(&m->err, e.code,
		"%s; the source QEMU has gone since, and the VM does not run here (%s)", e.text,
		why->text);
	there_done(m);
}

static void take_abort(struct migrate *m, const json_t *msg)
{
	(void)msg;
	m->undo.there = MIG_THERE_DONE;
	there_done(m);
}

static void take_aborted(struct migrate *m, const json_t *msg)
{
	const char *note = json_string_value(json_object_get(msg, "note"));

	if (note)
		migrate_note(m, "%s", note);
	m->undo.there = MIG_THERE_DONE;
	there_done(m);
}

/* It was said before our abort was heard. */
static void take_late(struct migrate *m, const json_t *msg)
{
	log_debug(&m->about, "%s comes too late", json_string_value(json_object_get(msg, "kind")));
}

static bool cancel(struct migrate *m)
{
	(void)m;
	return true;
}

static const struct phase_cookie cookies[] = {
    {COOKIE_ABORT, take_abort},	   {COOKIE_ABORTED, take_aborted},
    {COOKIE_PREPARED, take_late},  {COOKIE_DISKS_CLOSED, take_late},
    {COOKIE_FINISHED, take_late},  {COOKIE_RECOVERED, take_late},
    {COOKIE_CONFIRMED, take_late}, {0},
};

const struct phase phase_undo = {
    .name = "undo",
    .text = "it is being undone",
    .to = PHASE_TO(OVER),
    .is = PHASE_SETTLES,
    .enter = enter,
    .deadline = {.ms = UNDO_EVERY_MS, .over = due},
    .cookies = cookies,
    .talk_ended = silent,
    .session_ended = session_ended,
    .qemu_ended = qemu_ended,
    .cancel = cancel,
};
