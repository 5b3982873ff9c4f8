/*
 * The switchover: the guest stands still, the mirrors are ended, and the destination closes its
 * exports. Only then the last of RAM goes over: the order that was clean in every run.
 */
#include "control/source/migrate_i.h"

#include <string.h>

#include "base/clock.h"
#include "base/point.h"

static bool all_over(const struct migrate *m)
{
	for (size_t i = 0; i < m->disk_count; i++)
		if (!m->disks[i].over)
			return false;
	return true;
}

static void tell_disks_done(struct migrate *m)
{
	struct err e = ERR_INIT;

	if (talk_send(m->link.talk, cookie_new(COOKIE_DISKS_DONE, m->id), &e) < 0)
		migrate_fail(m, &e);
}

static void on_mirror_cancel(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct mig_disk *d = ctx;
	struct err why = *e;

	(void)q;
	(void)result;
	if (!err_is_set(&why) || d->m->state != MIGRATE_SWITCHOVER)
		return;
	err_prefix(&why, "the copy of disk %s cannot be ended", d->desc->name);
	migrate_suspect(d->m, &why);
}

static void closed(struct migrate *m)
{
	struct err e = ERR_INIT;

	/* Once postcopy has begun nothing resumes the source VM any more, whoever dies then. */
	if (m->postcopy.asked == MIG_POSTCOPY_TOLD && migrate_record(m, "finish", &e) < 0)
		migrate_fail(m, &e);
	else
		migrate_enter(m, MIGRATE_DEVICE);
}

static void enter(struct migrate *m)
{
	POINT("s-switchover");
	if (!m->disk_count) {
		closed(m);
		return;
	}
	/* Without force: it ends when source and target are the same, and does not make
	 * the source use the target, as block-job-complete would. */
	for (size_t i = 0; i < m->disk_count; i++)
		qmp_command(m->qemu.qmp, "block-job-cancel",
			    json_pack("{s:s}", "device", m->disks[i].block_job), on_mirror_cancel,
			    &m->disks[i]);
}

/* Only a whole copy counts: with one that is not, the switchover never goes on. */
static void mirror_over(struct migrate *m, const char *name, const json_t *data)
{
	struct mig_disk *d = migrate_disk_of_block_job(m, data);

	if (d && json_object_get(data, "error")) {
		migrate_take_mirror_end(m, name, data);
	} else if (d) {
		d->ended_ms = clock_ms();
		d->over = true;
		if (all_over(m))
			tell_disks_done(m);
	}
}

static void disks_closed(struct migrate *m, const json_t *msg)
{
	struct err e = ERR_INIT;

	(void)msg;
	if (all_over(m)) {
		closed(m);
		return;
	}
	err_set(&e, ERR_PROTOCOL, "the destination closed its disks before their copies had ended");
	migrate_fail(m, &e);
}

static void migration(struct migrate *m, const char *name, const json_t *data)
{
	(void)name;
	migrate_ram_failed(m, migrate_ram_status(m, data));
}

static const struct phase_cookie cookies[] = {
    {COOKIE_DISKS_CLOSED, disks_closed},
    {COOKIE_ABORT, migrate_take_abort},
    {0},
};

static const struct phase_event events[] = {
    {"BLOCK_JOB_COMPLETED", mirror_over},     {"BLOCK_JOB_CANCELLED", migrate_take_mirror_end},
    {"BLOCK_JOB_ERROR", migrate_take_broken}, {"MIGRATION", migration},
    {"MIGRATION_PASS", migrate_take_pass},    {0},
};

const struct phase phase_switchover = {
    .name = "switchover",
    .text = "the guest stands still; the disks are closed",
    .to = PHASE_TO(DEVICE) | PHASE_TO(UNDO),
    .is = PHASE_MIRRORS | PHASE_PERFORMS | PHASE_RAM_FLOWS | PHASE_RETURNS,
    .enter = enter,
    .deadline = {.none = "given up by what moves, and by what was left (migrate_watch.c)"},
    .cookies = cookies,
    .events = events,
    .bad_word = migrate_fail,
    .talk_ended = migrate_connection_lost,
    .qemu_ended = migrate_qemu_lost,
    .time_up = migrate_time_up_late,
    .cancel = migrate_cancel_returns,
};
