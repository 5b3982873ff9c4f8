/*
 * The end of the source VM, once both sides know that it runs there: from here on it never runs
 * again, whatever the destination says.
 */
#include "control/source/migrate_i.h"

#include "base/clock.h"
#include "base/point.h"

enum {
	QUIT_MS = 10000, /* the source QEMU's end */
	FLUSH_MS = 2000, /* for the very last word */
	FLUSH_EVERY_MS = 5,
};

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
	/* Its end shows when the monitor closes (qemu_ended). */
}

/* ENDED is said and, once it is there, all is over. */
static void say_ended(struct migrate *m, const char *what)
{
	struct err e = ERR_INIT;
	json_t *msg;

	POINT("s-ended");
	if (m->decision == MIGRATE_DECIDE_DROP_HERE) {
		m->result.settled =
		    true; /* a person has said what the destination cannot be asked */
		migrate_over(m, MIGRATE_MOVED);
		return;
	}
	msg = m->link.talk ? cookie_new(COOKIE_ENDED, m->id) : NULL;
	json_object_set_new(msg, "source", json_string(what));
	if (!msg || talk_send(m->link.talk, msg, &e) < 0) {
		/* The record stays, and `adit recover` tells it. */
		if (*m->found) {
			m->ask.only_tell = true;
			migrate_enter(m, MIGRATE_ASK);
		} else {
			migrate_over(m, MIGRATE_MOVED);
		}
		return;
	}
	m->end.until_ms = clock_ms() + FLUSH_MS;
	migrate_deadline(m, FLUSH_EVERY_MS);
}

/* The source QEMU is kept. (Where it has ended, qemu_ended says that; what comes after
 * QUIT_MS comes too late.) */
static void on_limits_back(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	migrate_pace_see_back(m, b, e);
	if (m->state != MIGRATE_END || m->end.until_ms || e->code == ERR_CLOSED)
		return;
	if (migrate_pace_is_set(m))
		migrate_note(m, "the I/O limits that its disks have for the time of a migration "
				"could not all be taken back in the source QEMU, which is kept");
	say_ended(m, "kept");
}

static void enter(struct migrate *m)
{
	migrate_ask_settled(m);
	migrate_set_aside_kept(m);
	if (m->qemu.gone) {
		say_ended(m, "ended");
	} else if (m->config.keep_source) {
		struct qmp_batch *back = qmp_batch_new();

		migrate_note(m, "the source QEMU is kept (--keep-source), paused: never resume it "
				"while the VM runs on the destination");
		migrate_pace_put_back(m, back);
		qmp_batch_run(back, m->qemu.qmp, on_limits_back, m);
	} else {
		qmp_command(m->qemu.qmp, "quit", NULL, on_quit_sent, m);
	}
}

static void qemu_ended(struct migrate *m, const struct err *why)
{
	(void)why;
	if (!m->end.until_ms)
		say_ended(m, "ended");
}

static void flush(struct migrate *m)
{
	m->result.settled = talk_flushed(m->link.talk);
	if (m->result.settled || !m->link.ready || clock_ms() > m->end.until_ms)
		migrate_over(m, MIGRATE_MOVED);
	else
		migrate_deadline(m, FLUSH_EVERY_MS);
}

static void late(struct migrate *m)
{
	if (m->end.until_ms) {
		flush(m);
	} else if (m->config.keep_source && !m->qemu.gone) {
		migrate_note(
		    m,
		    "the source QEMU, which is kept, has not answered within %d s: the I/O "
		    "limits that its disks have for the time of a migration may be left",
		    QUIT_MS / 1000);
		say_ended(m, "kept");
	} else {
		migrate_note(m,
			     "the source QEMU has not ended within %d s: end it by hand, and never "
			     "resume it; the VM runs on the destination",
			     QUIT_MS / 1000);
		migrate_over(m, MIGRATE_MOVED); /* the record stays: `adit recover` tries again */
	}
}

/* It has confirmed: the VM is its own. The deadline goes on. */
static void abort_late(struct migrate *m, const json_t *msg)
{
	struct err e = ERR_INIT;

	cookie_get_abort(msg, &e);
	log_warn(&m->about, "ignored in phase %s: the destination gives the job up: %s",
		 migrate_state_name(m), e.text);
}

static const struct phase_cookie cookies[] = {{COOKIE_ABORT, abort_late}, {0}};

const struct phase phase_end = {
    .name = "end",
    .text = "the VM is the destination's; the source QEMU ends",
    .to = PHASE_TO(ASK) | PHASE_TO(OVER),
    .is = PHASE_SETTLES,
    .enter = enter,
    .deadline = {.ms = QUIT_MS, .over = late},
    .cookies = cookies,
    .qemu_ended = qemu_ended,
};
