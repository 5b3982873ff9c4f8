/*
 * Confirm: it runs there, and is told that we know. CONFIRM is answered while ours could still go
 * on, so that a twin that dies before that costs nothing. That ours ends is in the journal before
 * it does.
 */
#include "control/source/migrate_i.h"

#include "base/clock.h"
#include "base/point.h"

enum {
	CONFIRMED_MS = 15000,
	SAVE_EVERY_MS = 500, /* between tries to write what cannot be written, and for so long */
	SAVE_MS = 10000,
};

static void enter(struct migrate *m)
{
	/* (A record that says "ended" never goes back: nobody resumes that VM any more.) */
	if (!m->ask.only_tell)
		migrate_record_if_can(m, "confirm");
	migrate_drop_relays(m, "the migration is over");
	if (migrate_say(m, cookie_new(COOKIE_CONFIRM, m->id)) == 0)
		POINT("s-confirm");
}

static void leave(struct migrate *m)
{
	m->confirm.until_ms = 0;
}

/* Its end cannot be announced: `adit recover` sees to it, once it can. */
static void leave_paused(struct migrate *m, const struct err *why)
{
	migrate_note(m,
		     "%s: so the source QEMU is not ended, and stays paused until `adit recover` "
		     "ends it; never resume it: the VM runs on the destination",
		     why->text);
	migrate_over(m, MIGRATE_MOVED);
}

/* Whoever reads the record that stands might resume a VM that was given up. */
static void save_and_end(struct migrate *m)
{
	struct err e = ERR_INIT;

	if (m->ask.only_tell || migrate_record(m, "ended", &e) == 0) {
		migrate_enter(m, MIGRATE_END);
		return;
	}
	if (m->qemu.gone) {
		log_warn(&m->about, "%s", e.text);
		migrate_enter(m, MIGRATE_END);
		return;
	}
	if (!m->confirm.until_ms) {
		migrate_note(m, "%s; the QEMU here is ended once that is written", e.text);
		m->confirm.until_ms = clock_ms() + SAVE_MS;
	}
	if (clock_ms() < m->confirm.until_ms)
		migrate_deadline(m, SAVE_EVERY_MS);
	else
		leave_paused(m, &e);
}

static void confirmed(struct migrate *m, const json_t *msg)
{
	(void)msg;
	POINT("s-confirmed");
	save_and_end(m);
}

static void late(struct migrate *m)
{
	if (m->confirm.until_ms)
		save_and_end(m);
	else
		migrate_ask(m, "no answer in time");
}

static const struct phase_cookie cookies[] = {
    {COOKIE_CONFIRMED, confirmed},
    {COOKIE_ABORT, migrate_take_abort}, /* the twin has died: ours goes on */
    {0},
};

const struct phase phase_confirm = {
    .name = "confirm",
    .text = "the VM is the destination's; both sides take note of that",
    .to = PHASE_TO(ASK) | PHASE_TO(END) | PHASE_TO(UNDO) | PHASE_TO(OVER),
    .is = PHASE_ASKS,
    .enter = enter,
    .leave = leave,
    .deadline = {.ms = CONFIRMED_MS, .over = late},
    .cookies = cookies,
    .bad_word = migrate_ask_again,
    .talk_ended = migrate_ask_again,
};
