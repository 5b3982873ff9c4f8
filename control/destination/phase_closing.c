/* DISKS_DONE came: the exports are being closed. With one still up the twin could not write to its
 * disks. */
#include "control/destination/arrival_i.h"

enum { CLOSING_MS = 60000 /* QEMU ends its exports; the guest stands still */ };

static void on_closed(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct arrival *a = ctx;
	struct err why = *e;

	(void)q;
	(void)b;
	if (a->state != ARRIVAL_CLOSING)
		return;
	if (err_is_set(&why)) {
		err_prefix(&why, "the destination's QEMU does not close its exports");
		arrival_fail(a, &why);
		return;
	}
	arrival_enter(a, ARRIVAL_CLOSED);
}

static void enter(struct arrival *a)
{
	qmp_batch_run(arrival_closing_batch(a, QMP_MUST), a->qemu.qmp, on_closed, a);
}

static void late(struct arrival *a)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TIMEOUT, "the destination's QEMU does not close its exports");
	arrival_fail(a, &e);
}

static const struct arrival_cookie cookies[] = {{COOKIE_ABORT, arrival_take_abort}, {0}};

static const struct arrival_event events[] = {{"MIGRATION", arrival_take_migration}, {0}};

const struct arrival_phase arrival_phase_closing = {
    .name = "closing",
    /* (to finishing in postcopy, when the source is lost) */
    .to = ARRIVAL_TO(CLOSED) | ARRIVAL_TO(FINISHING) | ARRIVAL_TO(OVER),
    .is = ARRIVAL_COPIES | ARRIVAL_RECEIVES | ARRIVAL_OPEN | ARRIVAL_CLAIMS,
    .enter = enter,
    .deadline = {.ms = CLOSING_MS, .point = "closing", .over = late},
    .cookies = cookies,
    .events = events,
    .fail = arrival_fail_or_finish,
    .talk_ended = arrival_source_gone,
    .qemu_ended = arrival_qemu_gone,
};
