/*
 * RAM goes over, and the mirrors follow what the guest writes: QEMU begins, and says when the guest
 * stands still for the switchover. How much of the downtime limit the disks need is looked at ten
 * times a second meanwhile (migrate_backlog.c).
 */
#include "control/source/migrate_i.h"

#include <string.h>

#include "base/point.h"

enum {
	LOOK_FIRST_MS = 200, /* QEMU has its settings by then */
	LOOK_EVERY_MS = 100,
};

static void on_migrate_sent(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;
	struct err why = *e;

	(void)q;
	(void)b;
	if (m->state != MIGRATE_RAM || !err_is_set(&why))
		return;
	err_prefix(&why, "QEMU does not migrate this VM");
	migrate_suspect(m, &why);
}

static void begin(struct migrate *m)
{
	struct qmp_batch *b = qmp_batch_new();
	struct err e = ERR_INIT;

	if (!b) {
		err_set(&e, ERR_SPACE, "no memory for the RAM stream");
		migrate_fail(m, &e);
		return;
	}
	migrate_settings_add(m, b);
	if (migrate_ram_add(m, b, false, &e) < 0) {
		qmp_batch_free(b);
		migrate_fail(m, &e);
		return;
	}
	m->ram.migrating = true;
	qmp_batch_run(b, m->qemu.qmp, on_migrate_sent, m);
}

static void enter(struct migrate *m)
{
	if (m->disk_count) {
		migrate_look(m, LOOK_FIRST_MS);
		begin(m);
	} else {
		migrate_stall_begin(m);
		migrate_pause_first(m, begin);
	}
}

static void on_block_jobs(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	if (m->state != MIGRATE_RAM)
		return;
	if (!err_is_set(e)) {
		migrate_watch_block_jobs(m, result);
		if (m->qemu.settings_changed && m->postcopy.asked != MIG_POSTCOPY_TOLD)
			migrate_backlog_share(m);
		migrate_postcopy_try(m);
	}
	migrate_look(m, LOOK_EVERY_MS);
}

static void look_at_block_jobs(struct migrate *m)
{
	qmp_command(m->qemu.qmp, "query-block-jobs", NULL, on_block_jobs, m);
}

static void migration(struct migrate *m, const char *name, const json_t *data)
{
	const char *status = migrate_ram_status(m, data);

	(void)name;
	if (strcmp(status, "active") == 0)
		POINT("s-ram");
	if (strcmp(status, "pre-switchover") == 0)
		migrate_enter(m, MIGRATE_SWITCHOVER);
	else
		migrate_ram_failed(m, status);
}

static const struct phase_cookie cookies[] = {{COOKIE_ABORT, migrate_take_abort}, {0}};

static const struct phase_event events[] = {
    {"MIGRATION", migration},
    {"MIGRATION_PASS", migrate_take_pass},
    {"BLOCK_JOB_ERROR", migrate_take_broken},
    {"BLOCK_JOB_COMPLETED", migrate_take_mirror_end},
    {"BLOCK_JOB_CANCELLED", migrate_take_mirror_end},
    {0},
};

const struct phase phase_ram = {
    .name = "ram",
    .text = "RAM goes over; the guest runs",
    .to = PHASE_TO(SWITCHOVER) | PHASE_TO(UNDO),
    .is = PHASE_EARLY | PHASE_COPIES | PHASE_MIRRORS | PHASE_PERFORMS | PHASE_RAM_FLOWS |
	  PHASE_RETURNS,
    .enter = enter,
    .deadline = {.none = "much RAM takes its time, and a guest that writes it anew (--timeout)"},
    .look = look_at_block_jobs,
    .cookies = cookies,
    .events = events,
    .bad_word = migrate_fail,
    .talk_ended = migrate_connection_lost,
    .qemu_ended = migrate_qemu_lost,
    .time_up = migrate_time_up,
    .cancel = migrate_cancel_returns,
};
