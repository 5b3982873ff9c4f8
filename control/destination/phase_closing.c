/* DISKS_DONE came: the exports are being closed. With one still up the twin could not write to its
 * disks. */
#include "control/destination/job_i.h"

enum { CLOSING_MS = 60000 /* QEMU ends its exports; the guest stands still */ };

static void on_closed(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	struct err why = *e;

	(void)q;
	(void)b;
	if (j->state != JOB_CLOSING)
		return;
	if (err_is_set(&why)) {
		err_prefix(&why, "the destination's QEMU does not close its exports");
		job_fail(j, &why);
		return;
	}
	job_enter(j, JOB_CLOSED);
}

static void enter(struct job *j)
{
	qmp_batch_run(job_closing_batch(j, QMP_MUST), j->qemu.qmp, on_closed, j);
}

static void late(struct job *j)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TIMEOUT, "the destination's QEMU does not close its exports");
	job_fail(j, &e);
}

static const struct job_cookie cookies[] = {{COOKIE_ABORT, job_take_abort}, {0}};

static const struct job_event events[] = {{"MIGRATION", job_take_migration}, {0}};

const struct job_phase job_phase_closing = {
    .name = "closing",
    /* (to finishing in postcopy, when the source is lost) */
    .to = JOB_TO(CLOSED) | JOB_TO(FINISHING) | JOB_TO(OVER),
    .is = JOB_COPIES | JOB_RECEIVES | JOB_OPEN | JOB_CLAIMS,
    .enter = enter,
    .deadline = {.ms = CLOSING_MS, .point = "closing", .over = late},
    .cookies = cookies,
    .events = events,
    .fail = job_fail_or_finish,
    .talk_ended = job_source_gone,
    .qemu_ended = job_qemu_gone,
};
