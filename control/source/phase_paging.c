/*
 * Postcopy: the VM runs on the destination while the rest of its RAM flows. Both sides are needed,
 * and nothing puts it back here. Where RAM's connection broke, and a new session says that it still
 * runs there, QEMU takes it up anew over new streams.
 */
#include "control/source/migrate_i.h"

#include <string.h>

#include "base/clock.h"
#include "base/point.h"

enum { MEND_EVERY_MS = 200, MEND_MS = 30000, MEND_GRACE_MS = 1000 };

/* What QEMU's state says. */
static void go_by(struct migrate *m, const char *status);

/* What the destination, or the line, gave as its reason, where one did. */
static const char *why_broken(const struct migrate *m, const char *otherwise)
{
	return err_is_set(&m->ram.err) ? m->ram.err.text : otherwise;
}

static void on_resumed(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	(void)b;
	if (m->state == MIGRATE_PAGING && err_is_set(e))
		log_info(&m->about, "postcopy is not taken up: %s", e->text);
	/* Whether it goes on shows in its state. */
}

static void resume(struct migrate *m)
{
	struct qmp_batch *b = qmp_batch_new();
	struct err e = ERR_INIT;

	m->ram.preempt = json_is_true(json_object_get(m->prepared, "preempt"));
	migrate_ram_drop(m, "postcopy is taken up anew");
	m->ram.err.code = ERR_NONE;
	if (migrate_ram_add(m, b, true, &e) < 0) {
		qmp_batch_free(b);
		migrate_ask(m, e.text);
		return;
	}
	m->ram.migrating = true;
	qmp_batch_run(b, m->qemu.qmp, on_resumed, m);
}

static void on_mend_look(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	const char *status = json_string_value(json_object_get(result, "status"));

	(void)q;
	m->paging.asked = false;
	if (m->state != MIGRATE_PAGING || m->paging.step == MIG_MEND_NOT || err_is_set(e) ||
	    !status)
		return;
	if (strcmp(status, "completed") == 0) {
		go_by(m, status);
	} else if (strcmp(status, "postcopy-active") == 0 && m->paging.step == MIG_MEND_TOLD) {
		go_by(m, status);
	} else if (clock_ms() > m->paging.until_ms ||
		   (m->paging.step == MIG_MEND_TOLD && err_is_set(&m->ram.err) &&
		    strcmp(status, "postcopy-paused") == 0)) {
		/* (Refused there, or broken again: waiting would not change it.) */
		m->paging.step = MIG_MEND_NOT;
		migrate_ask(m, why_broken(m, "it was not taken up"));
	} else {
		if (strcmp(status, "postcopy-paused") == 0 && m->paging.step != MIG_MEND_TOLD) {
			m->paging.step = MIG_MEND_TOLD;
			resume(m);
		}
		if (m->state == MIGRATE_PAGING)
			migrate_deadline(m, MEND_EVERY_MS);
	}
}

static void mend_due(struct migrate *m)
{
	if (m->paging.step == MIG_MEND_NOT)
		return;
	/* (One that answers is judged by its answer, above.) */
	if (clock_ms() > m->paging.until_ms + MEND_GRACE_MS) {
		m->paging.step = MIG_MEND_NOT;
		migrate_ask(m, "the QEMU here does not answer");
		return;
	}
	if (!m->paging.asked) {
		m->paging.asked = true;
		qmp_command(m->qemu.qmp, "query-migrate", NULL, on_mend_look, m);
	}
	migrate_deadline(m, MEND_EVERY_MS);
}

static void begin_mending(struct migrate *m)
{
	/* QEMU takes a moment to see that its connection broke. */
	m->paging.step = MIG_MEND_WAITS;
	m->paging.until_ms = clock_ms() + POINT_MS("mend", MEND_MS);
	mend_due(m);
}

static void go_by(struct migrate *m, const char *status)
{
	if (strcmp(status, "completed") == 0) {
		m->ram.migrating = false;
		m->postcopy.pages = MIG_PAGES_THERE;
		migrate_enter(m, MIGRATE_CONFIRM);
	} else if (strcmp(status, "postcopy-paused") == 0 && m->paging.step == MIG_MEND_NOT) {
		migrate_ask(m, why_broken(m, "the connection for RAM broke"));
	} else if (strcmp(status, "postcopy-active") == 0) {
		m->paging.step = MIG_MEND_NOT;
		migrate_no_deadline(m);
		migrate_ask_settled(m);
	}
}

/* ---- the phase ---- */

static void pages_lost(struct migrate *m)
{
	m->result.lost = true;
	err_set(&m->err, ERR_QEMU,
		"the source QEMU has gone before all of RAM was on the destination (postcopy): the "
		"VM stands still there where it needs the rest, and neither host has all of it any "
		"more");
	migrate_enter(m, MIGRATE_CONFIRM);
}

static void enter(struct migrate *m)
{
	migrate_record_if_can(m, "postcopy");
	if (m->qemu.gone)
		pages_lost(m);
	else if (m->before == MIGRATE_ASK)
		begin_mending(m);
	/* (Else QEMU says when all of it is there.) */
}

static void leave(struct migrate *m)
{
	m->paging.step = MIG_MEND_NOT;
}

static void migration(struct migrate *m, const char *name, const json_t *data)
{
	(void)name;
	go_by(m, migrate_ram_status(m, data));
}

static void qemu_ended(struct migrate *m, const struct err *why)
{
	(void)why;
	pages_lost(m);
}

static const struct phase_cookie cookies[] = {{COOKIE_ABORT, migrate_take_abort}, {0}};

static const struct phase_event events[] = {
    {"MIGRATION", migration},
    {"MIGRATION_PASS", migrate_take_pass},
    {0},
};

const struct phase phase_paging = {
    .name = "postcopy",
    .text = "the VM runs on the destination; the rest of its RAM follows",
    .to = PHASE_TO(ASK) | PHASE_TO(CONFIRM) | PHASE_TO(UNDO),
    .is = PHASE_ASKS,
    .enter = enter,
    .leave = leave,
    .deadline = {.over = mend_due,
		 .none = "the VM lives there by what is here, and giving up would only end it; to "
			 "take it up anew has a limit"},
    .cookies = cookies,
    .events = events,
    .bad_word = migrate_ask_again,
    .talk_ended = migrate_ask_again,
    .qemu_ended = qemu_ended,
};
