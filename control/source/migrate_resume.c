/*
 * Asking the destination again, and jobs that another process has begun.
 *
 * How it works. The destination's word can get lost in Finish and Confirm: then new
 * sessions are tried until one can be had, and RECOVER asks what became of the job.
 * Three answers count: it runs there (and goes on to Confirm as if FINISHED had come),
 * it never will (undo), or not yet known (asked again). An answer counts only from
 * the host that PREPARED the job: another one that took over its name would know
 * nothing, and say "never" of a VM that runs elsewhere.
 *
 * A job of the journal is taken up where its record says: nothing was promised before
 * "finish", so the source is put back; from "finish" on it is asked; at "ended" the
 * source QEMU has to go.
 */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/process.h"

enum {
	QMP_TRIES = 4,
	QMP_AGAIN_MS = 500,
	WHOSE_MS = 10000, /* for the state of a QEMU that a person means */
	ASK_EVERY_MS = 2000,
	ASK_ATTEMPT_MS = 12000, /* connecting, and the answer */
	ASK_MS = 60000,		/* while the job's own process runs */
	ASK_POSTCOPY_MS = 600000,
	UNSURE_MAX = 5,		/* such answers in postcopy */
	ASK_RESUMED_MS = 15000, /* for `adit recover`, which may be run again */
};

/* ---- asking ---- */

enum said { SAID_LOST, SAID_FAILED, SAID_ANSWER };

/* Whether text is another one than was told of that last; then it is that from now on. */
static bool is_news(struct migrate *m, enum said what, const char *text)
{
	if (strcmp(m->said[what], text) == 0)
		return false;
	snprintf(m->said[what], sizeof(m->said[what]), "%s", text);
	return true;
}

static void unknown(struct migrate *m)
{
	struct err why = m->ask_err;

	if (!err_is_set(&why))
		err_set(&why, ERR_TIMEOUT, "no answer");
	event_del(m->ev_ask);
	if (m->only_tell) {
		migrate_note(m,
			     "the destination could not be told that the source has ended (%s): "
			     "`adit recover` tells it later",
			     why.text);
		migrate_over(m, MIGRATE_MOVED);
		return;
	}
	if (m->in_postcopy && m->unsure >= UNSURE_MAX) {
		err_set(&m->err, ERR_CLOSED,
			"%s; `adit recover %.8s` asks again, and with --drop-here ends the QEMU "
			"here",
			why.text, m->id);
		migrate_over(m, MIGRATE_UNKNOWN);
		return;
	}
	if (m->in_postcopy && !m->ram_done) {
		err_set(&m->err, ERR_CLOSED,
			"the rest of the VM's RAM does not reach the destination (%s), where "
			"it runs as far as it has it: `adit recover %.8s` goes on; until then do "
			"not end the QEMU here",
			why.text, m->id);
		migrate_over(m, MIGRATE_UNKNOWN);
		return;
	}
	if (m->running_there_ms) {
		err_set(
		    &m->err, ERR_CLOSED,
		    "the VM runs on the destination, but that could not be settled with it (%s): "
		    "the QEMU here stays paused, never resume it; `adit recover %.8s` ends it "
		    "when the destination agrees",
		    why.text, m->id);
		migrate_over(m, MIGRATE_UNKNOWN);
		return;
	}
	err_set(&m->err, ERR_CLOSED,
		"whether the VM runs on the destination cannot be known now (%s): it stays "
		"paused here; `adit recover %.8s` asks again, and its --help says what a person "
		"can decide",
		why.text, m->id);
	migrate_over(m, MIGRATE_UNKNOWN);
}

/* Asking that goes on, since the last answer did not bring the job on, has the end that it had, and
 * a pause before the next question. */
static void begin_asking(struct migrate *m, const char *state, unsigned for_ms)
{
	bool again = m->ask_since_ms != 0;

	if (!migrate_enter(m, MIGRATE_ASK))
		return;
	m->ask_state = state;
	m->end_until_ms = 0;
	if (!again)
		m->ask_since_ms = clock_ms();
	m->ask_until_ms = m->ask_since_ms + for_ms;
	/* From the loop: the old session may be on the stack. */
	migrate_arm(m->ev_ask, again ? ASK_EVERY_MS : 0);
}

void migrate_ask_settled(struct migrate *m)
{
	m->ask_since_ms = 0;
	memset(m->said, 0, sizeof(m->said));
}

static void tell_lost(struct migrate *m, const char *why)
{
	if (!is_news(m, SAID_LOST, why))
		return;
	if (m->in_postcopy && !m->ram_done)
		migrate_note(m,
			     "postcopy was interrupted (%s): connecting anew; the VM runs on "
			     "the destination as far as its RAM has come",
			     why);
	else if (m->running_there_ms)
		migrate_note(m,
			     "the destination's last word was lost (%s): asking again; the VM "
			     "runs there, and the QEMU here stays paused meanwhile",
			     why);
	else
		migrate_note(m,
			     "the destination's word was lost (%s): asking again; the VM "
			     "stands still meanwhile",
			     why);
}

void migrate_ask(struct migrate *m, const char *why)
{
	event_del(m->ev_answer);
	m->mend_until_ms = 0;
	err_set(&m->ask_err, ERR_CLOSED, "%s", why);
	tell_lost(m, why);
	migrate_drop_relays(m, "the destination's word was lost");
	begin_asking(m, migrate_state_name(m->state), m->in_postcopy ? ASK_POSTCOPY_MS : ASK_MS);
}

void migrate_ask_failed(struct migrate *m, const struct err *why, bool final)
{
	if (m->state != MIGRATE_ASK)
		return;
	if (is_news(m, SAID_FAILED, why->text))
		log_info(&m->about, "asking the destination: %s", why->text);
	m->ask_err = *why;
	if (final)
		unknown(m);
	else
		migrate_arm(m->ev_ask, ASK_EVERY_MS);
}

void migrate_ask_due(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;
	struct err e = ERR_INIT;

	(void)fd;
	(void)what;
	if (m->state == MIGRATE_BEGIN && *m->found) {
		m->qmp = qmp_connect(m->base, m->config.qmp, 0, &migrate_qmp_ops, m, &e);
		if (!m->qmp)
			migrate_resume_no_qmp(m, &e);
		return;
	}
	if (m->state != MIGRATE_ASK)
		return;
	migrate_disconnect(m);
	if (clock_ms() >= m->ask_until_ms) {
		unknown(m);
		return;
	}
	if (migrate_connect(m, &e) < 0)
		migrate_ask_failed(m, &e, e.code == ERR_USAGE);
	else
		migrate_arm(m->ev_ask, ASK_ATTEMPT_MS);
}

void migrate_ask_now(struct migrate *m)
{
	struct err e = ERR_INIT;
	json_t *msg;

	if (migrate_open_talk(m, &e) < 0) {
		migrate_ask_failed(m, &e, false);
		return;
	}
	msg = cookie_new(COOKIE_RECOVER, m->id);
	/* A VM whose QEMU has gone from here cannot be resumed: if its twin has gone as well (both
	 * hosts had no power), what that has left there is all that there is of it. */
	json_object_set_new(msg, "state",
			    json_string(m->only_tell || m->source_gone ? "ended" : m->ask_state));
	migrate_say(m, msg);
}

void migrate_asked(struct migrate *m, const json_t *msg)
{
	const char *outcome = json_string_value(json_object_get(msg, "outcome"));
	const char *host = json_string_value(json_object_get(msg, "host"));
	const char *knew = json_string_value(json_object_get(m->prepared, "host"));
	const char *reason = json_string_value(json_object_get(msg, "reason"));
	const char *status = json_string_value(json_object_get(msg, "status"));
	struct err e = ERR_INIT;

	event_del(m->ev_ask);
	if (!knew || strcmp(host, knew) != 0) {
		err_set(&e, ERR_REFUSED,
			"another host, or one that has lost its --state-dir, answers under the "
			"destination's name");
		/* While the host's own adit serve is started anew, another user's may answer. Who
		 * asks for a job of the journal may do so again. */
		migrate_ask_failed(m, &e, *m->found);
	} else if (strcmp(outcome, "runs") == 0) {
		m->in_postcopy = json_is_true(json_object_get(msg, "postcopy"));
		m->unsure = 0;
		if (is_news(m, SAID_ANSWER, status ? status : "state unknown"))
			migrate_note(m, "the destination says that the VM is its own (%s)",
				     status ? status : "state unknown");
		if (m->source_gone && !m->only_tell &&
		    !json_is_true(json_object_get(msg, "runs")) &&
		    strcmp(status ? status : "", "gone") == 0) {
			m->lost = true;
			err_set(
			    &m->err, ERR_QEMU,
			    "the VM had moved, and has ended on both hosts: its disks are on the "
			    "destination, as it left them there");
		}
		migrate_finished(m, msg);
	} else if (strcmp(outcome, "never") == 0 && m->only_tell) {
		m->settled = true; /* it has forgotten the job: there is nobody left to tell */
		migrate_over(m, MIGRATE_MOVED);
	} else if (strcmp(outcome, "never") == 0) {
		err_set(&e, ERR_CLOSED,
			"the VM does not run on the destination and never will%s%s%s",
			reason ? ": " : "", reason ? reason : "",
			m->source_gone ? "; its QEMU has gone from here, too" : "");
		m->lost = m->source_gone;
		m->aborted_there = true;
		migrate_fail(m, &e);
	} else if (reason && json_is_true(json_object_get(msg, "postcopy"))) {
		/* It is there, and its RAM cannot be taken now: asked for as long as it takes,
		 * unless its QEMU has given up. */
		bool lost = strcmp(status ? status : "", "failed") == 0;

		m->in_postcopy = true;
		m->unsure = lost ? UNSURE_MAX : 0;
		if (!lost)
			tell_lost(m, reason);
		err_set(&e, ERR_CLOSED, "%s", reason);
		migrate_ask_failed(m, &e, lost);
	} else {
		err_set(&e, ERR_CLOSED, "the destination cannot say yet%s%s", reason ? ": " : "",
			reason ? reason : "");
		/* (A guest that waits for pages may hold up its QEMU for a while.) */
		migrate_ask_failed(m, &e, m->in_postcopy && ++m->unsure >= UNSURE_MAX);
	}
}

void migrate_tell_ended(struct migrate *m)
{
	m->only_tell = true;
	migrate_ask_settled(m);
	begin_asking(m, m->found, ASK_RESUMED_MS);
}

/* ---- a job of the journal ---- */

static bool found(const struct migrate *m, const char *state)
{
	return strcmp(m->found, state) == 0;
}

static void lost_for_good(struct migrate *m)
{
	err_set(&m->err, ERR_CLOSED,
		"its QEMU has gone from here, and the job had not come to its switchover: nothing "
		"is left to be recovered");
	m->settled = m->lost = true;
	if (migrate_enter(m, MIGRATE_UNDO))
		migrate_over(m, MIGRATE_STAYED);
}

/* The record, and whether its QEMU is still there, say what is to be done. */
static void go_on(struct migrate *m)
{
	bool decided = migrate_record_is_decided(m->found);

	migrate_note(m, "found in state %s; its QEMU here %s", m->found,
		     m->source_gone ? "has gone" : "still lives");
	/* What is to be undone if it comes to that, whoever decides it. */
	m->touched = !found(m, "prepare");
	m->settings_changed = m->touched;
	m->in_postcopy = m->in_postcopy || found(m, "postcopy");
	if (!decided && m->source_gone) {
		lost_for_good(m);
	} else if (decided && m->decision == MIGRATE_DECIDE_DROP_HERE) {
		migrate_end_source(m);
	} else if (found(m, "ended")) {
		m->only_tell = true;
		if (m->source_gone)
			migrate_tell_ended(m);
		else
			migrate_end_source(m);
	} else if (!decided || m->decision == MIGRATE_DECIDE_RUN_HERE) {
		struct err e = ERR_INIT;

		m->aborted_there =
		    true; /* its talk has ended long ago, and with it the job there */
		m->lost = m->source_gone;
		err_set(&e, ERR_CANCELLED, "%s%s",
			decided ? "a person decided that the VM runs here"
				: "the job was cut off before the switchover",
			m->source_gone ? ", but its QEMU has gone from here" : "");
		migrate_fail(m, &e);
	} else {
		begin_asking(m, m->found, ASK_RESUMED_MS);
	}
}

void migrate_leave_as_it_is(struct migrate *m)
{
	event_del(m->ev_answer);
	if (migrate_enter(m, MIGRATE_ASK))
		migrate_over(m, MIGRATE_UNKNOWN);
}

/* Whether the job's QEMU is still the one that it was cannot be told. */
static void cannot_tell(struct migrate *m)
{
	err_set(
	    &m->err, ERR_CLOSED,
	    "which process was the source QEMU is not known (it is in another pid namespace, or "
	    "was): look at it, and decide with `adit recover %.8s --run-here` or --drop-here",
	    m->id);
	migrate_leave_as_it_is(m);
}

/* That monitor is another VM's by now, which is none of our business: the job's QEMU has gone, as
 * that would still have it. */
static void is_anothers(struct migrate *m)
{
	qmp_free(m->qmp);
	m->qmp = NULL;
	m->source_gone = true;
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
	     (m->was_running || migrate_record_is_decided(m->found))))
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
	event_del(m->ev_answer);
	if (err_is_set(e) || !status) {
		err_set(&m->err, ERR_QEMU, "the QEMU at %s does not say what it is (%s)",
			m->config.qmp, err_is_set(e) ? e->text : "no state");
		migrate_leave_as_it_is(m);
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
		migrate_leave_as_it_is(m);
	} else {
		err_set(&m->err, ERR_REFUSED,
			"the QEMU at %s is in state %s, which the one that was left cannot be in: "
			"look at it; nothing was done",
			m->config.qmp, status);
		migrate_leave_as_it_is(m);
	}
}

void migrate_resume_ready(struct migrate *m)
{
	pid_t pid = qmp_peer_pid(m->qmp);
	unsigned long long started = pid > 0 ? process_started(pid) : 0;
	bool known = pid > 0 && m->pid > 0;
	struct qmp_batch *b;

	/* The number is that of whoever made the socket. Where that was a manager which has
	 * ended since, and which handed it to QEMU, it is still the same socket. */
	if (known && pid == m->pid && (started == m->started || !started)) {
		go_on(m);
		return;
	}
	/* A process has another number in another pid namespace, and began when it began. */
	if (known && started && m->started && started != m->started) {
		is_anothers(m);
		return;
	}
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "query-name", NULL);
	qmp_batch_add(b, QMP_MUST, "query-uuid", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	migrate_arm(m->ev_answer, WHOSE_MS);
	qmp_batch_run(b, m->qmp, on_whose, m);
}

void migrate_resume_due(struct migrate *m)
{
	err_set(&m->err, ERR_TIMEOUT, "the QEMU at %s does not answer", m->config.qmp);
	migrate_leave_as_it_is(m);
}

void migrate_resume_no_qmp(struct migrate *m, const struct err *why)
{
	bool lives = m->pid > 0 && m->started && process_started(m->pid) == m->started;
	struct err e = *why;

	event_del(m->ev_answer);
	/* Its monitor may have to get rid of the client that was killed first. */
	if (lives && m->qmp_tries++ < QMP_TRIES) {
		log_debug(&m->about, "%s: trying again", e.text);
		qmp_free(m->qmp);
		m->qmp = NULL;
		migrate_arm(m->ev_ask, QMP_AGAIN_MS);
		return;
	}
	/* A process that is not to be seen may be in another pid namespace. That nobody has the
	 * monitor any more says that it has gone; somebody who does not answer there does not. */
	if (lives || e.code != ERR_CLOSED) {
		if (lives)
			err_prefix(&e, "the source QEMU (pid %d) lives, but cannot be talked to",
				   (int)m->pid);
		else
			err_prefix(&e, "whether the source QEMU has gone cannot be told");
		m->err = e;
		migrate_leave_as_it_is(m);
		return;
	}
	if (m->pid <= 0 && m->decision == MIGRATE_DECIDE_NOTHING) {
		cannot_tell(m);
		return;
	}
	m->source_gone = true;
	go_on(m);
}

struct migrate *migrate_resume(struct event_base *base, const char *state_dir, const char *job,
			       enum migrate_decision decision, const struct migrate_ops *ops,
			       void *ctx, struct err *e)
{
	struct journal *j = journal_open(state_dir, JOURNAL_SOURCE, job, e);
	struct migrate_config config;
	struct err why = ERR_INIT;
	struct migrate *m = NULL;
	json_t *record;

	if (!j)
		return NULL;
	record = journal_read(j, &why);
	if (!record) {
		if (!err_is_set(&why))
			err_set(&why, ERR_USAGE, "there is no unfinished job %s here", job);
		goto out;
	}
	if (migrate_config_from_json(&config, json_object_get(record, "config"), &why) < 0) {
		why.code = ERR_CONFIG; /* (ERR_USAGE would say that there is no such job) */
		err_prefix(&why, "the job's record");
		goto out;
	}
	m = migrate_new(base, &config, ops, ctx, &why);
	if (!m)
		goto out;
	m->decision = decision;
	if (migrate_take_record(m, record, &why) < 0 || migrate_list_disks(m, &why) < 0)
		goto fail;
	m->qmp = qmp_connect(base, m->config.qmp, 0, &migrate_qmp_ops, m, &why);
	if (!m->qmp)
		goto fail;
	m->journal = j;
	json_decref(record);
	return m;
fail:
	migrate_free(m);
	m = NULL;
out:
	json_decref(record);
	journal_close(j);
	if (e)
		*e = why;
	return NULL;
}
