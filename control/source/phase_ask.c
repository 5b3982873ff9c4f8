/*
 * Asking the destination again, when its word was lost in Finish or Confirm, or by a process that
 * began the job and was killed.
 *
 * How it works. New sessions are tried until one can be had, and RECOVER asks what became of the
 * job. Three answers count: it runs there (and goes on to Confirm as if FINISHED had come), it
 * never will (undo), or not yet known (asked again). An answer counts only from the host that
 * PREPARED the job: another one that took over its name would know nothing, and say "never" of a VM
 * that runs elsewhere.
 */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum {
	ASK_EVERY_MS = 2000,
	ASK_ATTEMPT_MS = 12000, /* connecting, and the answer */
	ASK_MS = 60000,		/* while the job's own process runs */
	ASK_POSTCOPY_MS = 600000,
	UNSURE_MAX = 5,		/* such answers in postcopy */
	ASK_RESUMED_MS = 15000, /* for `adit recover`, which may be run again */
};

enum said { SAID_LOST, SAID_FAILED, SAID_ANSWER };

/* Whether text is another one than was told of that last; then it is that from now on. */
static bool is_news(struct migrate *m, enum said what, const char *text)
{
	if (strcmp(m->ask.said[what], text) == 0)
		return false;
	snprintf(m->ask.said[what], sizeof(m->ask.said[what]), "%s", text);
	return true;
}

static void unknown(struct migrate *m)
{
	struct err why = m->ask.err;

	if (!err_is_set(&why))
		err_set(&why, ERR_TIMEOUT, "no answer");
	if (m->ask.only_tell) {
		migrate_note(m,
			     "the destination could not be told that the source has ended (%s): "
			     "`adit recover` tells it later",
			     why.text);
		migrate_over(m, MIGRATE_MOVED);
		return;
	}
	if (m->postcopy.pages != MIG_PAGES_NOT && m->ask.unsure >= UNSURE_MAX) {
		err_set(&m->err, ERR_CLOSED,
			"%s; `adit recover %.8s` asks again, and with --drop-here ends the QEMU "
			"here",
			why.text, m->id);
		migrate_over(m, MIGRATE_UNKNOWN);
		return;
	}
	if (m->postcopy.pages == MIG_PAGES_FLOW) {
		err_set(&m->err, ERR_CLOSED,
			"the rest of the VM's RAM does not reach the destination (%s), where "
			"it runs as far as it has it: `adit recover %.8s` goes on; until then do "
			"not end the QEMU here",
			why.text, m->id);
		migrate_over(m, MIGRATE_UNKNOWN);
		return;
	}
	if (m->times.running_there_ms) {
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

static void tell_lost(struct migrate *m, const char *why)
{
	if (!is_news(m, SAID_LOST, why))
		return;
	if (m->postcopy.pages == MIG_PAGES_FLOW)
		migrate_note(m,
			     "postcopy was interrupted (%s): connecting anew; the VM runs on "
			     "the destination as far as its RAM has come",
			     why);
	else if (m->times.running_there_ms)
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

/* An attempt to ask has failed. final: asking again would not change it. */
static void failed(struct migrate *m, const struct err *why, bool final)
{
	if (is_news(m, SAID_FAILED, why->text))
		log_info(&m->about, "asking the destination: %s", why->text);
	m->ask.err = *why;
	if (final)
		unknown(m);
	else
		migrate_deadline(m, ASK_EVERY_MS);
}

/* Asking that goes on, since the last answer did not bring the job on, has the end that it had, and
 * a pause before the next question. */
static void enter(struct migrate *m)
{
	bool own = m->before != MIGRATE_BEGIN && m->before != MIGRATE_END;
	unsigned for_ms = m->postcopy.pages != MIG_PAGES_NOT ? ASK_POSTCOPY_MS : ASK_MS;

	if (own) {
		tell_lost(m, m->ask.err.text);
		migrate_drop_relays(m, "the destination's word was lost");
	} else {
		migrate_ask_settled(m);
	}
	m->ask.state = own ? m->phases[m->before]->name : m->found;
	if (!m->ask.since_ms) {
		m->ask.since_ms = clock_ms();
		migrate_deadline(m, 0); /* from the loop: the old session may be on the stack */
	}
	m->ask.until_ms = m->ask.since_ms + (own ? for_ms : ASK_RESUMED_MS);
}

static void due(struct migrate *m)
{
	struct err e = ERR_INIT;

	migrate_disconnect(m);
	if (clock_ms() >= m->ask.until_ms) {
		unknown(m);
		return;
	}
	if (migrate_connect(m, &e) < 0)
		failed(m, &e, e.code == ERR_USAGE);
	else
		migrate_deadline(m, ASK_ATTEMPT_MS);
}

static void session_ready(struct migrate *m)
{
	struct err e = ERR_INIT;
	json_t *msg;

	if (migrate_open_talk(m, &e) < 0) {
		failed(m, &e, false);
		return;
	}
	msg = cookie_new(COOKIE_RECOVER, m->id);
	/* A VM whose QEMU has gone from here cannot be resumed: if its twin has gone as well (both
	 * hosts had no power), what that has left there is all that there is of it. */
	json_object_set_new(msg, "state",
			    json_string(m->ask.only_tell || m->qemu.gone ? "ended" : m->ask.state));
	migrate_say(m, msg);
}

/* Whether its RAM still flows, says the destination. */
static void hear_of_pages(struct migrate *m, bool flow)
{
	if (!flow)
		m->postcopy.pages = MIG_PAGES_NOT;
	else if (m->postcopy.pages == MIG_PAGES_NOT)
		m->postcopy.pages = MIG_PAGES_FLOW;
}

static void asked(struct migrate *m, const json_t *msg)
{
	const char *outcome = json_string_value(json_object_get(msg, "outcome"));
	const char *host = json_string_value(json_object_get(msg, "host"));
	const char *knew = json_string_value(json_object_get(m->prepared, "host"));
	const char *reason = json_string_value(json_object_get(msg, "reason"));
	const char *status = json_string_value(json_object_get(msg, "status"));
	struct err e = ERR_INIT;

	if (!knew || strcmp(host, knew) != 0) {
		err_set(&e, ERR_REFUSED,
			"another host, or one that has lost its --state-dir, answers under the "
			"destination's name");
		/* While the host's own adit serve is started anew, another user's may answer. Who
		 * asks for a job of the journal may do so again. */
		failed(m, &e, *m->found);
	} else if (strcmp(outcome, "runs") == 0) {
		hear_of_pages(m, json_is_true(json_object_get(msg, "postcopy")));
		m->ask.unsure = 0;
		if (is_news(m, SAID_ANSWER, status ? status : "state unknown"))
			migrate_note(m, "the destination says that the VM is its own (%s)",
				     status ? status : "state unknown");
		if (m->qemu.gone && !m->ask.only_tell &&
		    !json_is_true(json_object_get(msg, "runs")) &&
		    strcmp(status ? status : "", "gone") == 0) {
			m->result.lost = true;
			err_set(
			    &m->err, ERR_QEMU,
			    "the VM had moved, and has ended on both hosts: its disks are on the "
			    "destination, as it left them there");
		}
		migrate_runs_there(m, msg);
	} else if (strcmp(outcome, "never") == 0 && m->ask.only_tell) {
		m->result.settled =
		    true; /* it has forgotten the job: there is nobody left to tell */
		migrate_over(m, MIGRATE_MOVED);
	} else if (strcmp(outcome, "never") == 0) {
		err_set(&e, ERR_CLOSED,
			"the VM does not run on the destination and never will%s%s%s",
			reason ? ": " : "", reason ? reason : "",
			m->qemu.gone ? "; its QEMU has gone from here, too" : "");
		m->result.lost = m->qemu.gone;
		m->undo.there = MIG_THERE_DONE;
		migrate_fail(m, &e);
	} else if (reason && json_is_true(json_object_get(msg, "postcopy"))) {
		/* It is there, and its RAM cannot be taken now: asked for as long as it takes,
		 * unless its QEMU has given up. */
		bool lost = strcmp(status ? status : "", "failed") == 0;

		hear_of_pages(m, true);
		m->ask.unsure = lost ? UNSURE_MAX : 0;
		if (!lost)
			tell_lost(m, reason);
		err_set(&e, ERR_CLOSED, "%s", reason);
		failed(m, &e, lost);
	} else {
		err_set(&e, ERR_CLOSED, "the destination cannot say yet%s%s", reason ? ": " : "",
			reason ? reason : "");
		/* (A guest that waits for pages may hold up its QEMU for a while.) */
		failed(m, &e, m->postcopy.pages != MIG_PAGES_NOT && ++m->ask.unsure >= UNSURE_MAX);
	}
}

/* It refuses to answer: that is no word on the VM. */
static void refused(struct migrate *m, const json_t *msg)
{
	struct err e = ERR_INIT;

	cookie_get_abort(msg, &e);
	failed(m, &e, true);
}

static void migration(struct migrate *m, const char *name, const json_t *data)
{
	migrate_take_ram_done(m, name, data);
	if (strcmp(migrate_ram_status(m, data), "postcopy-active") == 0)
		migrate_ask_settled(m);
}

static void lost(struct migrate *m, const struct err *why)
{
	failed(m, why, why->code == ERR_REFUSED);
}

static void session_ended(struct migrate *m, const struct err *why)
{
	failed(m, why, false);
}

static bool cancel(struct migrate *m)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_CANCELLED, "asking was cancelled");
	failed(m, &e, true);
	return false;
}

static const struct phase_cookie cookies[] = {
    {COOKIE_RECOVERED, asked},
    {COOKIE_ABORT, refused},
    {0},
};

static const struct phase_event events[] = {
    {"MIGRATION", migration},
    {"MIGRATION_PASS", migrate_take_pass},
    {0},
};

const struct phase phase_ask = {
    .name = "ask",
    .text = "the destination is asked again what became of the VM",
    .to = PHASE_TO(PAGING) | PHASE_TO(CONFIRM) | PHASE_TO(UNDO) | PHASE_TO(OVER),
    .enter = enter,
    .deadline = {.ms = ASK_EVERY_MS, .over = due},
    .cookies = cookies,
    .events = events,
    .bad_word = lost,
    .talk_ended = lost,
    .session_ready = session_ready,
    .session_ended = session_ended,
    .cancel = cancel,
};
