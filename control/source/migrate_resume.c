/*
 * A job that another process has begun is taken up where its record says: nothing was promised
 * before "finish", so the source is put back; from "finish" on it is asked; at "ended" the source
 * QEMU has to go. Whether the QEMU at the job's monitor is still the job's own is found out before.
 */
#include "control/source/migrate_i.h"

#include <string.h>
#include <strings.h>

#include "base/point.h"
#include "base/process.h"

enum {
	QMP_TRIES = 4,
	QMP_AGAIN_MS = 500,
	WHOSE_MS = 10000, /* for the state of a QEMU that a person means */
};

static bool found(const struct migrate *m, const char *state)
{
	return strcmp(m->found, state) == 0;
}

static void lost_for_good(struct migrate *m)
{
	err_set(&m->err, ERR_CLOSED,
		"its QEMU has gone from here, and the job had not come to its switchover: nothing "
		"is left to be recovered");
	m->result.settled = m->result.lost = true;
	migrate_enter(m, MIGRATE_UNDO);
}

/* The record, and whether its QEMU is still there, say what is to be done. */
static void go_on(struct migrate *m)
{
	bool decided = migrate_record_is_decided(m->found);

	migrate_note(m, "found in state %s; its QEMU here %s", m->found,
		     m->qemu.gone ? "has gone" : "still lives");
	/* What is to be undone if it comes to that, whoever decides it. */
	m->qemu.touched = !found(m, "prepare");
	m->qemu.settings_changed = m->qemu.touched;
	if (found(m, "postcopy"))
		m->postcopy.pages = MIG_PAGES_FLOW;
	if (!decided && m->qemu.gone) {
		lost_for_good(m);
	} else if (decided && m->decision == MIGRATE_DECIDE_DROP_HERE) {
		POINT("s-confirmed");
		migrate_record_if_can(m, "ended");
		migrate_enter(m, MIGRATE_END);
	} else if (found(m, "ended")) {
		m->ask.only_tell = true;
		migrate_set_aside_kept(m);
		if (!m->qemu.gone)
			POINT("s-confirmed");
		migrate_enter(m, m->qemu.gone ? MIGRATE_ASK : MIGRATE_END);
	} else if (!decided || m->decision == MIGRATE_DECIDE_RUN_HERE) {
		struct err e = ERR_INIT;

		m->undo.there =
		    MIG_THERE_DONE; /* its talk has ended long ago, and with it the job there */
		m->result.lost = m->qemu.gone;
		err_set(&e, ERR_CANCELLED, "%s%s",
			decided ? "a person decided that the VM runs here"
				: "the job was cut off before the switchover",
			m->qemu.gone ? ", but its QEMU has gone from here" : "");
		migrate_return(m, &e);
	} else {
		migrate_enter(m, MIGRATE_ASK);
	}
}

/* Whether the job's QEMU is still the one that it was cannot be told. */
static void cannot_tell(struct migrate *m)
{
	err_set(
	    &m->err, ERR_CLOSED,
	    "which process was the source QEMU is not known (it is in another pid namespace, or "
	    "was): look at it, and decide with `adit recover %.8s --run-here` or --drop-here",
	    m->id);
	migrate_over(m, MIGRATE_UNKNOWN);
}

/* That monitor is another VM's by now, which is none of our business: the job's QEMU has gone, as
 * that would still have it. */
static void is_anothers(struct migrate *m)
{
	qmp_free(m->qemu.qmp);
	m->qemu.qmp = NULL;
	m->qemu.gone = true;
	go_on(m);
}

enum { Q_NAME, Q_UUID, Q_STATUS };

/* Whether the QEMU at the monitor is called as the job's VM is; another VM's is not. (The record of
 * an adit before may have no UUID.) */
static bool is_namesake(const struct migrate *m, const struct qmp_batch *b)
{
	const char *name = json_string_value(json_object_get(qmp_batch_result(b, Q_NAME), "name"));
	const char *uuid = json_string_value(json_object_get(qmp_batch_result(b, Q_UUID), "UUID"));

	return strcmp(name ? name : "", m->desc.name) == 0 &&
	       (!*m->desc.uuid || strcasecmp(uuid ? uuid : "", m->desc.uuid) == 0);
}

/* Whether a QEMU in that state may be the job's own, so that what a person has decided is done to
 * it. One that waits for a VM, or has not begun, has never been a source that ran: `cont` would
 * start a second VM. Before the switchover a source may be in any other state, and nothing worse
 * happens to it than that it is put back. After that it stands still: whoever has resumed it, or
 * started the VM anew, knows of it, and `quit` is not for one that runs. */
static bool may_be_it(const struct migrate *m, const char *status)
{
	static const char *const left[] = {"paused", "postmigrate", "finish-migrate"};

	if (strcmp(status, "inmigrate") == 0 ||
	    (strcmp(status, "prelaunch") == 0 &&
	     (m->guest.was_running || migrate_record_is_decided(m->found))))
		return false;
	if (!migrate_record_is_decided(m->found) || m->decision == MIGRATE_DECIDE_RUN_HERE)
		return true;
	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
		if (strcmp(status, left[i]) == 0)
			return true;
	return false;
}

/* Which process the job's QEMU was cannot be told, but what the one at its monitor is can be
 * asked. */
static void on_whose(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;
	const char *status =
	    json_string_value(json_object_get(qmp_batch_result(b, Q_STATUS), "status"));

	(void)q;
	if (m->state != MIGRATE_BEGIN || e->code == ERR_CLOSED)
		return; /* (its end is told by itself) */
	migrate_no_deadline(m);
	if (err_is_set(e) || !status) {
		err_set(&m->err, ERR_QEMU, "the QEMU at %s does not say what it is (%s)",
			m->config.qmp, err_is_set(e) ? e->text : "no state");
		migrate_over(m, MIGRATE_UNKNOWN);
	} else if (!is_namesake(m, b)) {
		migrate_note(m, "the QEMU at %s is another VM's by its name or UUID: let alone",
			     m->config.qmp);
		is_anothers(m);
	} else if (m->decision == MIGRATE_DECIDE_NOTHING) {
		cannot_tell(m);
	} else if (may_be_it(m, status)) {
		go_on(m);
	} else if (strcmp(status, "running") == 0) {
		err_set(&m->err, ERR_REFUSED,
			"a QEMU runs at %s, and was to stand still: end it by hand if it is this "
			"VM; nothing was done",
			m->config.qmp);
		migrate_over(m, MIGRATE_UNKNOWN);
	} else {
		err_set(&m->err, ERR_REFUSED,
			"the QEMU at %s is in state %s, which the one that was left cannot be in: "
			"look at it; nothing was done",
			m->config.qmp, status);
		migrate_over(m, MIGRATE_UNKNOWN);
	}
}

void migrate_resume_ready(struct migrate *m)
{
	pid_t pid = qmp_peer_pid(m->qemu.qmp);
	unsigned long long started = pid > 0 ? process_started(pid) : 0;
	bool known = pid > 0 && m->qemu.pid > 0;
	struct qmp_batch *b;

	/* The number is that of whoever made the socket. Where that was a manager which has
	 * ended since, and which handed it to QEMU, it is still the same socket. */
	if (known && pid == m->qemu.pid && (started == m->qemu.started || !started)) {
		go_on(m);
		return;
	}
	/* A process has another number in another pid namespace, and began when it began. */
	if (known && started && m->qemu.started && started != m->qemu.started) {
		is_anothers(m);
		return;
	}
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "query-name", NULL);
	qmp_batch_add(b, QMP_MUST, "query-uuid", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	migrate_deadline(m, WHOSE_MS);
	qmp_batch_run(b, m->qemu.qmp, on_whose, m);
}

void migrate_resume_no_qmp(struct migrate *m, const struct err *why)
{
	bool lives =
	    m->qemu.pid > 0 && m->qemu.started && process_started(m->qemu.pid) == m->qemu.started;
	struct err e = *why;

	/* Its monitor may have to get rid of the client that was killed first. */
	if (lives && m->begin.qmp_tries++ < QMP_TRIES) {
		log_debug(&m->about, "%s: trying again", e.text);
		qmp_free(m->qemu.qmp);
		m->qemu.qmp = NULL;
		migrate_deadline(m, QMP_AGAIN_MS);
		return;
	}
	/* A process that is not to be seen may be in another pid namespace. That nobody has the
	 * monitor any more says that it has gone; somebody who does not answer there does not. */
	if (lives || e.code != ERR_CLOSED) {
		if (lives)
			err_prefix(&e, "the source QEMU (pid %d) lives, but cannot be talked to",
				   (int)m->qemu.pid);
		else
			err_prefix(&e, "whether the source QEMU has gone cannot be told");
		m->err = e;
		migrate_over(m, MIGRATE_UNKNOWN);
		return;
	}
	if (m->qemu.pid <= 0 && m->decision == MIGRATE_DECIDE_NOTHING) {
		cannot_tell(m);
		return;
	}
	m->qemu.gone = true;
	go_on(m);
}

void migrate_resume_due(struct migrate *m)
{
	struct err e = ERR_INIT;

	if (m->qemu.qmp) {
		err_set(&m->err, ERR_TIMEOUT, "the QEMU at %s does not answer", m->config.qmp);
		migrate_over(m, MIGRATE_UNKNOWN);
		return;
	}
	m->qemu.qmp = qmp_connect(m->base, m->config.qmp, 0, &migrate_qmp_ops, m, &e);
	if (!m->qemu.qmp)
		migrate_resume_no_qmp(m, &e);
}
