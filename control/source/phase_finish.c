/*
 * Finish: FINISH is in the journal before it is said, as from then on the destination may run the
 * VM. It looks whether all has arrived, and decides; nothing is undone here without its word.
 */
#include "control/source/migrate_i.h"

#include "base/clock.h"
#include "base/point.h"

enum {
	FINISHED_MS = 30000,  /* the destination looks whether all has arrived */
	SLOW_EVERY_MS = 1000, /* between looks whether the way to one that is slower still holds */
};

static void enter(struct migrate *m)
{
	struct err e = ERR_INIT;
	bool postcopy = m->postcopy.pages != MIG_PAGES_NOT;
	json_t *msg;

	if (postcopy) {
		migrate_record_if_can(m, "finish"); /* (it says so already) */
	} else if (migrate_record(m, "finish", &e) < 0) {
		migrate_fail(m, &e); /* it was never told to run */
		return;
	}
	msg = cookie_new(COOKIE_FINISH, m->id);
	json_object_set_new(msg, "run", json_boolean(m->guest.was_running));
	if (postcopy)
		json_object_set_new(msg, "postcopy", json_true());
	json_object_set_new(msg, "status", json_string(postcopy ? "postcopy-active" : "completed"));
	if (talk_send(m->link.talk, msg, &e) < 0) {
		if (postcopy)
			migrate_ask(m, e.text);
		else
			migrate_fail(m, &e); /* likewise */
		return;
	}
	m->finish.said_us = clock_us();
	POINT("s-finish");
}

/* In postcopy the VM can live there only, and its QEMU, which may load devices that wait for pages,
 * gives up for good when their way breaks: asking again, over new streams, is for when it has. */
static bool is_slow_only(const struct migrate *m)
{
	return m->postcopy.pages == MIG_PAGES_FLOW && !m->qemu.gone && m->link.ready &&
	       migrate_ram_holds(m);
}

static void wait_on(struct migrate *m)
{
	if (!m->finish.told_slow)
		migrate_note(m,
			     "the destination's QEMU has not taken the VM up yet, for %llu s: the "
			     "VM can live there only (postcopy), so that is waited for",
			     (unsigned long long)(clock_us() - m->finish.said_us) / 1000000);
	m->finish.told_slow = true;
	migrate_deadline(m, SLOW_EVERY_MS);
}

static void late(struct migrate *m)
{
	if (is_slow_only(m))
		wait_on(m);
	else
		migrate_ask(m, "no answer in time");
}

static const struct phase_cookie cookies[] = {
    {COOKIE_FINISHED, migrate_runs_there},
    {COOKIE_ABORT, migrate_take_abort},
    {0},
};

static const struct phase_event events[] = {
    {"MIGRATION", migrate_take_ram_done},
    {"MIGRATION_PASS", migrate_take_pass},
    {0},
};

const struct phase phase_finish = {
    .name = "finish",
    .text = "the destination decides",
    .to = PHASE_TO(ASK) | PHASE_TO(PAGING) | PHASE_TO(CONFIRM) | PHASE_TO(UNDO),
    .is = PHASE_ASKS,
    .enter = enter,
    .deadline = {.ms = FINISHED_MS, .point = "finished", .over = late},
    .cookies = cookies,
    .events = events,
    .bad_word = migrate_ask_again,
    .talk_ended = migrate_ask_again,
};
