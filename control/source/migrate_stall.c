/*
 * How long the source's QEMU leaves its monitor waiting while the guest runs. Its main loop is
 * what drives the guest's devices: while it stands still, they do. A light command is asked
 * again and again; commands of our own that hold it up are seen too, as QEMU takes one
 * after the other.
 *
 * What this cannot see: a stall shorter than EVERY_MS that falls between two questions, and a
 * guest that waits for anything but that loop.
 */
#include "control/source/migrate_i.h"

#include "base/clock.h"

enum { EVERY_MS = 50 };

static void on_answer(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	uint64_t until_ms = clock_ms();

	(void)q;
	(void)result;
	if (err_is_set(e) || !migrate_is(m, PHASE_RETURNS))
		return;
	/* From the guest's stop on it is the pause. */
	if (m->guest.stop_ms && m->guest.stop_ms < until_ms)
		until_ms = m->guest.stop_ms;
	if (until_ms > m->stall.asked_ms && until_ms - m->stall.asked_ms > m->stall.longest_ms)
		m->stall.longest_ms = until_ms - m->stall.asked_ms;
	migrate_arm(m->stall.ev, EVERY_MS);
}

void migrate_stall_due(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;

	(void)fd;
	(void)what;
	if (!migrate_is(m, PHASE_COPIES))
		return;
	if (m->guest.stop_ms) { /* it stands still for another reason, and may go on */
		migrate_arm(m->stall.ev, EVERY_MS);
		return;
	}
	m->stall.asked_ms = clock_ms();
	qmp_command(m->qemu.qmp, "query-status", NULL, on_answer, m);
}

void migrate_stall_begin(struct migrate *m)
{
	migrate_stall_due(-1, 0, m);
}
