/*
 * Finish and Confirm on the source. FINISH is in the journal before it is said, as
 * from then on the destination may run the VM. The source VM is ended only when both
 * sides know that it runs there: CONFIRM is answered by CONFIRMED while ours could still
 * go on, so that a twin that dies before that costs nothing.
 */
#include "control/source/migrate_i.h"

#include "base/clock.h"
#include "base/point.h"

enum {
	FINISHED_MS = 30000,  /* the destination looks whether all has arrived */
	SLOW_EVERY_MS = 1000, /* between looks whether the way to one that is slower still holds */
	CONFIRMED_MS = 15000,
	QUIT_MS = 10000, /* the source QEMU's end */
	FLUSH_MS = 2000, /* for the very last word */
	FLUSH_EVERY_MS = 5,
	SAVE_EVERY_MS = 500, /* between tries to write what cannot be written, and for so long */
	SAVE_MS = 10000,
};

void migrate_finish(struct migrate *m)
{
	struct err e = ERR_INIT;
	json_t *msg;

	event_del(m->ev_suspect);
	event_del(m->ev_timeout);
	POINT("s-completed");
	if (!migrate_enter(m, MIGRATE_FINISH))
		return;
	if (m->in_postcopy) {
		migrate_record_if_can(m, "finish"); /* (it says so already) */
	} else if (migrate_record(m, "finish", &e) < 0) {
		migrate_fail(m, &e); /* it was never told to run */
		return;
	}
	msg = cookie_new(COOKIE_FINISH, m->id);
	json_object_set_new(msg, "run", json_boolean(m->was_running));
	if (m->in_postcopy)
		json_object_set_new(msg, "postcopy", json_true());
	json_object_set_new(msg, "status",
			    json_string(m->in_postcopy ? "postcopy-active" : "completed"));
	if (talk_send(m->talk, msg, &e) < 0) {
		if (m->in_postcopy)
			migrate_ask(m, e.text);
		else
			migrate_fail(m, &e); /* likewise */
		return;
	}
	m->finish_us = clock_us();
	migrate_arm(m->ev_answer, POINT_MS("finished", FINISHED_MS));
	POINT("s-finish");
}

static uint64_t us(const json_t *msg, const char *key, uint64_t most)
{
	json_int_t v = json_integer_value(json_object_get(msg, key));

	return v <= 0 ? 0 : (uint64_t)v < most ? (uint64_t)v : most;
}

/* How long the VM has run there by now. The two hosts' clocks are strangers to each other, so each
 * tells what passed by its own: of the time since FINISH what it was not held there was on the
 * way, half of it back. (The session's round trip is of another moment, and may be ten times as
 * long on a line that is full.) In a word that was asked for again there is no more than that. */
static uint64_t word_us(const struct migrate *m, const json_t *msg)
{
	struct session_stats st = {0};
	uint64_t round_us = clock_us() - m->finish_us;

	if (m->finish_us && json_object_get(msg, "held_us"))
		return (round_us - us(msg, "held_us", round_us)) / 2 + us(msg, "ran_us", INT32_MAX);
	if (m->session)
		session_stats(m->session, &st);
	return st.rtt_us / 2;
}

void migrate_finished(struct migrate *m, const json_t *msg)
{
	event_del(m->ev_answer);
	POINT("s-finished");
	if (!m->running_there_ms) {
		m->running_there_ms = clock_ms();
		m->word_ms = word_us(m, msg) / 1000;
	}
	if (m->was_running && !json_is_true(json_object_get(msg, "runs")))
		migrate_note(m, "the destination holds the VM in state %s",
			     json_string_value(json_object_get(msg, "status")));
	if (m->in_postcopy && !m->ram_done) {
		bool mend = m->state == MIGRATE_ASK;

		if (!migrate_enter(m, MIGRATE_PAGING))
			return;
		migrate_record_if_can(m, "postcopy");
		if (m->source_gone)
			migrate_pages_lost(m);
		else if (mend)
			migrate_ram_mend(m);
		return; /* QEMU says when all of it is there */
	}
	migrate_confirm(m);
}

void migrate_pages_lost(struct migrate *m)
{
	m->lost = true;
	err_set(&m->err, ERR_QEMU,
		"the source QEMU has gone before all of RAM was on the destination (postcopy): the "
		"VM stands still there where it needs the rest, and neither host has all of it any "
		"more");
	migrate_confirm(m);
}

void migrate_confirm(struct migrate *m)
{
	event_del(m->ev_answer);
	if (!migrate_enter(m, MIGRATE_CONFIRM))
		return;
	/* (A record that says "ended" never goes back: nobody resumes that VM any more.) */
	if (!m->only_tell)
		migrate_record_if_can(m, "confirm");
	migrate_drop_relays(m, "the migration is over");
	if (migrate_say(m, cookie_new(COOKIE_CONFIRM, m->id)) < 0)
		return;
	migrate_arm(m->ev_answer, CONFIRMED_MS);
	POINT("s-confirm");
}

static void on_quit_sent(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	(void)result;
	if (err_is_set(e) && e->code != ERR_CLOSED)
		migrate_note(m,
			     "the source QEMU did not take `quit` (%s): end it by hand; the VM "
			     "runs on the destination",
			     e->text);
	/* Its end shows when the monitor closes (migrate_source_ended). */
}

/* ENDED is said and, once it is there, all is over. */
static void say_ended(struct migrate *m, const char *what)
{
	struct err e = ERR_INIT;
	json_t *msg;

	POINT("s-ended");
	if (m->decision == MIGRATE_DECIDE_DROP_HERE) {
		m->settled = true; /* a person has said what the destination cannot be asked */
		migrate_over(m, MIGRATE_MOVED);
		return;
	}
	msg = m->talk ? cookie_new(COOKIE_ENDED, m->id) : NULL;
	json_object_set_new(msg, "source", json_string(what));
	if (!msg || talk_send(m->talk, msg, &e) < 0) {
		/* The record stays, and `adit recover` tells it. */
		if (*m->found)
			migrate_tell_ended(m);
		else
			migrate_over(m, MIGRATE_MOVED);
		return;
	}
	m->flush_until_ms = clock_ms() + FLUSH_MS;
	migrate_arm(m->ev_answer, FLUSH_EVERY_MS);
}

/* Its end cannot be announced: `adit recover` sees to it, once it can. */
static void leave_paused(struct migrate *m, const struct err *why)
{
	migrate_note(m,
		     "%s: so the source QEMU is not ended, and stays paused until `adit recover` "
		     "ends it; never resume it: the VM runs on the destination",
		     why->text);
	if (!migrate_enter(m, MIGRATE_END))
		return;
	migrate_over(m, MIGRATE_MOVED);
}

/* "ended" is on the disk, or need not be: false where it is tried again, or given up. */
static bool is_written(struct migrate *m)
{
	struct err e = ERR_INIT;

	if (m->only_tell || migrate_record(m, "ended", &e) == 0)
		return true;
	/* Whoever reads the record that stands might resume a VM that was given up. */
	if (m->source_gone || m->decision == MIGRATE_DECIDE_DROP_HERE) {
		log_warn(&m->about, "%s", e.text);
		return true;
	}
	if (!m->end_until_ms) {
		migrate_note(m, "%s; the QEMU here is ended once that is written", e.text);
		m->end_until_ms = clock_ms() + SAVE_MS;
	}
	if (clock_ms() < m->end_until_ms)
		migrate_arm(m->ev_answer, SAVE_EVERY_MS);
	else
		leave_paused(m, &e);
	return false;
}

/* The source QEMU is kept. (Where it has ended, migrate_source_ended says that; what comes after
 * QUIT_MS comes too late.) */
static void on_limits_back(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	migrate_pace_see_back(m, b, e);
	if (m->state != MIGRATE_END || m->flush_until_ms || e->code == ERR_CLOSED)
		return;
	event_del(m->ev_answer);
	if (migrate_pace_is_set(m))
		migrate_note(m, "the I/O limits that its disks have for the time of a migration "
				"could not all be taken back in the source QEMU, which is kept");
	say_ended(m, "kept");
}

static void end_source(struct migrate *m)
{
	if (!is_written(m))
		return;
	m->end_until_ms = 0;
	migrate_ask_settled(m);
	if (!migrate_enter(m, MIGRATE_END))
		return;
	if (m->source_gone) {
		say_ended(m, "ended");
	} else if (m->config.keep_source) {
		struct qmp_batch *back = qmp_batch_new();

		migrate_note(m, "the source QEMU is kept (--keep-source), paused: never resume it "
				"while the VM runs on the destination");
		migrate_pace_put_back(m, back);
		migrate_arm(m->ev_answer, QUIT_MS);
		qmp_batch_run(back, m->qmp, on_limits_back, m);
	} else {
		qmp_command(m->qmp, "quit", NULL, on_quit_sent, m);
		migrate_arm(m->ev_answer, QUIT_MS);
	}
}

void migrate_end_source(struct migrate *m)
{
	event_del(m->ev_answer);
	POINT("s-confirmed");
	end_source(m);
}

void migrate_source_ended(struct migrate *m)
{
	if (!m->flush_until_ms)
		say_ended(m, "ended");
}

/* In postcopy the VM can live there only, and its QEMU, which may load devices that wait for pages,
 * gives up for good when their way breaks: asking again, over new streams, is for when it has. */
static bool is_slow_only(const struct migrate *m)
{
	return m->state == MIGRATE_FINISH && m->in_postcopy && !m->ram_done && !m->source_gone &&
	       m->session_ready && migrate_ram_holds(m);
}

static void wait_on(struct migrate *m)
{
	if (!m->told_slow)
		migrate_note(m,
			     "the destination's QEMU has not taken the VM up yet, for %llu s: the "
			     "VM can live there only (postcopy), so that is waited for",
			     (unsigned long long)(clock_us() - m->finish_us) / 1000000);
	m->told_slow = true;
	migrate_arm(m->ev_answer, SLOW_EVERY_MS);
}

void migrate_answer_due(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;

	(void)fd;
	(void)what;
	if (m->state == MIGRATE_BEGIN) {
		migrate_resume_due(m);
	} else if (m->state == MIGRATE_DISKS) {
		migrate_disks_silent(m);
	} else if (m->state == MIGRATE_CONFIRM && m->end_until_ms) {
		end_source(m);
	} else if (is_slow_only(m)) {
		wait_on(m);
	} else if (m->state == MIGRATE_FINISH || m->state == MIGRATE_CONFIRM) {
		migrate_ask(m, "no answer in time");
	} else if (m->state == MIGRATE_PAGING) {
		migrate_ram_mend_due(m);
	} else if (m->state == MIGRATE_END && m->flush_until_ms) {
		m->settled = talk_flushed(m->talk);
		if (m->settled || !m->session_ready || clock_ms() > m->flush_until_ms)
			migrate_over(m, MIGRATE_MOVED);
		else
			migrate_arm(m->ev_answer, FLUSH_EVERY_MS);
	} else if (m->state == MIGRATE_END && m->config.keep_source && !m->source_gone) {
		migrate_note(
		    m,
		    "the source QEMU, which is kept, has not answered within %d s: the I/O "
		    "limits that its disks have for the time of a migration may be left",
		    QUIT_MS / 1000);
		say_ended(m, "kept");
	} else if (m->state == MIGRATE_END) {
		migrate_note(m,
			     "the source QEMU has not ended within %d s: end it by hand, and never "
			     "resume it; the VM runs on the destination",
			     QUIT_MS / 1000);
		migrate_over(m, MIGRATE_MOVED); /* the record stays: `adit recover` tries again */
	}
}
