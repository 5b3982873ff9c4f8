/*
 * The last of RAM and the devices go over. With postcopy the VM may have begun to run there, and
 * then it cannot go on here.
 */
#include "control/source/migrate_i.h"

#include <string.h>

#include "base/point.h"

static void on_continued(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	struct err why = *e;

	(void)q;
	(void)result;
	if (!err_is_set(&why) || m->state != MIGRATE_DEVICE)
		return;
	err_prefix(&why, "QEMU does not go on after the switchover");
	migrate_suspect(m, &why);
}

static void enter(struct migrate *m)
{
	qmp_command(m->qemu.qmp, "migrate-continue", json_pack("{s:s}", "state", "pre-switchover"),
		    on_continued, m);
}

static void migration(struct migrate *m, const char *name, const json_t *data)
{
	const char *status = migrate_ram_status(m, data);
	bool completed = strcmp(status, "completed") == 0;

	(void)name;
	if (!completed && strcmp(status, "postcopy-active") != 0) {
		migrate_ram_failed(m, status);
		return;
	}
	if (completed)
		m->ram.migrating = false;
	else
		m->postcopy.pages = MIG_PAGES_FLOW;
	POINT("s-completed");
	migrate_enter(m, MIGRATE_FINISH);
}

/* It may have begun there, and then it cannot go on here. */
static void fail(struct migrate *m, const struct err *e)
{
	if (m->postcopy.asked == MIG_POSTCOPY_TOLD && m->undo.there != MIG_THERE_DONE)
		migrate_ask(m, e->text);
	else
		migrate_return(m, e);
}

/* Once postcopy is begun it is being decided: no time limit undoes that. */
static void time_up(struct migrate *m)
{
	if (m->postcopy.asked != MIG_POSTCOPY_TOLD)
		migrate_time_up_late(m);
}

static bool cancel(struct migrate *m)
{
	return m->postcopy.asked != MIG_POSTCOPY_TOLD && migrate_cancel_returns(m);
}

static const struct phase_cookie cookies[] = {{COOKIE_ABORT, migrate_take_abort}, {0}};

static const struct phase_event events[] = {
    {"BLOCK_JOB_COMPLETED", migrate_take_mirror_end},
    {"BLOCK_JOB_CANCELLED", migrate_take_mirror_end},
    {"BLOCK_JOB_ERROR", migrate_take_broken},
    {"MIGRATION", migration},
    {"MIGRATION_PASS", migrate_take_pass},
    {0},
};

const struct phase phase_device = {
    .name = "device",
    .text = "the guest stands still; the last of its state goes over",
    .to = PHASE_TO(FINISH) | PHASE_TO(ASK) | PHASE_TO(UNDO),
    .is = PHASE_PERFORMS | PHASE_RAM_FLOWS | PHASE_RETURNS,
    .enter = enter,
    .deadline = {.none = "given up by what moves, and by what was left (migrate_watch.c)"},
    .cookies = cookies,
    .events = events,
    .fail = fail,
    .bad_word = migrate_fail,
    .talk_ended = migrate_connection_lost,
    .qemu_ended = migrate_qemu_lost,
    .time_up = time_up,
    .cancel = cancel,
};
