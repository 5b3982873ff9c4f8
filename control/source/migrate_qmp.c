/*
 * What the source's QEMU says by itself: whether the guest runs, which counts in every phase; all
 * else goes to the phase, by the table.
 */
#include "control/source/migrate_i.h"

#include <string.h>

#include "base/clock.h"

/* The guest has been stopped: by somebody at the monitor, or for the switchover. */
static void on_stop_looked(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	const char *status = json_string_value(json_object_get(result, "status"));

	(void)q;
	if (err_is_set(e) || !status || strcmp(status, "paused") != 0 ||
	    !migrate_is(m, PHASE_EARLY) || m->guest.paused)
		return;
	m->guest.was_running = false;
	if (m->qemu.touched)
		migrate_record_if_can(m, "perform");
	migrate_note(m, "the VM was paused meanwhile: it will be paused on the destination");
}

/* As check_state has it of one that sleeps from the beginning. It is not to be made to run after.
 */
static void on_suspend(struct migrate *m)
{
	struct err e = ERR_INIT;

	m->guest.was_running = false;
	if (m->qemu.touched)
		migrate_record_if_can(m, "perform");
	err_set(&e, ERR_REFUSED,
		"the guest has gone to sleep (S3, state suspended), and what sleeps does not move: "
		"wake it (system_wakeup in its monitor), and begin anew");
	migrate_fail(m, &e);
}

static void on_qmp_event(void *ctx, struct qmp *q, const char *name, const json_t *data)
{
	struct migrate *m = ctx;

	if (strcmp(name, "STOP") == 0 && m->guest.known && migrate_is(m, PHASE_EARLY) &&
	    !m->guest.paused)
		qmp_command(q, "query-status", NULL, on_stop_looked, m);
	if (strcmp(name, "RESUME") == 0 && m->guest.known && migrate_is(m, PHASE_EARLY)) {
		if (m->qemu.touched && !m->guest.was_running) {
			m->guest.was_running = true;
			migrate_record_if_can(m, "perform");
		}
		m->guest.was_running = true;
		m->guest.paused = false;
		m->guest.stop_ms = 0;
	}
	if (strcmp(name, "STOP") == 0 && !m->guest.stop_ms && migrate_is(m, PHASE_RAM_FLOWS))
		m->guest.stop_ms = clock_ms();
	/* (also while the VM is being described: its state may have been asked for before) */
	if (strcmp(name, "SUSPEND") == 0 && (m->guest.known || !*m->found) &&
	    migrate_is(m, PHASE_EARLY))
		on_suspend(m);
	else
		migrate_take_event(m, name, data);
}

static void on_qmp_ready(void *ctx, struct qmp *q)
{
	struct migrate *m = ctx;

	(void)q;
	if (migrate_phase(m)->qemu_ready)
		migrate_phase(m)->qemu_ready(m);
}

static void on_qmp_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct migrate *m = ctx;

	(void)q;
	m->qemu.gone = true;
	if (migrate_phase(m)->qemu_ended)
		migrate_phase(m)->qemu_ended(m, why);
}

const struct qmp_ops migrate_qmp_ops = {on_qmp_ready, on_qmp_event, on_qmp_end};
