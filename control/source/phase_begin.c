/*
 * Begin: the VM is read, what forbids a migration is looked for, and leftovers of a dead job are
 * cleared. A job of the journal goes on from here to where its record says (migrate_resume.c).
 */
#include "control/source/migrate_i.h"

#include <string.h>

#include "base/clock.h"
#include "base/point.h"
#include "base/process.h"
#include "control/check.h"
#include "control/vm.h"
#include "control/wish.h"

enum {
	CLEAR_EVERY_MS = 50,
	CLEAR_LOOKS = 40,
};

static void prepare(struct migrate *m)
{
	struct err e = ERR_INIT;

	POINT("s-begin");
	if (migrate_record(m, "prepare", &e) < 0)
		migrate_fail(m, &e);
	else
		migrate_enter(m, MIGRATE_PREPARE);
}

/* What can be seen here that would make the migration fail; what is only worth knowing is told. */
static int check_here(struct migrate *m, struct err *e)
{
	struct check found = {0};
	char line[CHECK_LINE_MAX];
	int r;

	check_source(&found, &m->report, &m->config);
	r = check_refuse(&found, e);
	for (size_t i = 0; r == 0 && i < found.count; i++)
		if (found.at[i].level == CHECK_WARNING)
			migrate_note(m, "%s", check_line(&found.at[i], line, sizeof(line)));
	check_fini(&found);
	return r;
}

static void on_cleared(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	(void)b;
	(void)e;
	if (m->state == MIGRATE_BEGIN)
		migrate_settings_try(m, prepare);
}

/* A mirror that has ended has let go of its node. */
static void clear_nodes(struct migrate *m)
{
	struct qmp_batch *b = qmp_batch_new();

	migrate_delete_nodes(b, MIGRATE_OURS, m->report.nodes);
	qmp_batch_run(b, m->qemu.qmp, on_cleared, m);
}

static void on_block_jobs_left(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	if (m->state != MIGRATE_BEGIN)
		return;
	if (!err_is_set(e) && json_array_size(result) && ++m->begin.clear_looks < CLEAR_LOOKS)
		migrate_look(m, CLEAR_EVERY_MS);
	else
		clear_nodes(m);
}

static void look_for_old_mirrors(struct migrate *m)
{
	qmp_command(m->qemu.qmp, "query-block-jobs", NULL, on_block_jobs_left, m);
}

static void on_block_jobs_cancelled(void *ctx, struct qmp *q, struct qmp_batch *b,
				    const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	(void)b;
	(void)e;
	if (m->state == MIGRATE_BEGIN)
		look_for_old_mirrors(m);
}

/* Removes what a job that died without its undo has left in QEMU: its mirrors stand. */
static void clear_leftovers(struct migrate *m)
{
	struct qmp_batch *b;

	if (!json_array_size(m->report.block_jobs)) {
		clear_nodes(m);
		return;
	}
	b = qmp_batch_new();
	migrate_end_mirrors(b, MIGRATE_OURS, m->report.block_jobs);
	qmp_batch_run(b, m->qemu.qmp, on_block_jobs_cancelled, m);
}

static void described(struct migrate *m)
{
	struct err e = ERR_INIT;

	if (migrate_check_unfinished(m, &e) < 0 || check_here(m, &e) < 0)
		migrate_fail(m, &e);
	else
		clear_leftovers(m);
}

static void on_summed(void *ctx, struct media_sums *sums)
{
	struct migrate *m = ctx;

	media_sums_put(sums, m->report.disks);
	media_sums_free(sums);
	m->begin.sums = NULL;
	if (m->state == MIGRATE_BEGIN)
		described(m);
}

static void on_described(void *ctx)
{
	struct migrate *m = ctx;

	if (m->state != MIGRATE_BEGIN)
		return;
	/* A QEMU that waits has its own media. */
	if (!m->config.dest_qmp)
		m->begin.sums = media_sums_new(m->base, m->qemu.pid, on_summed, m);
	if (!m->begin.sums) {
		described(m);
		return;
	}
	media_sums_add_disks(m->begin.sums, m->report.disks);
	media_sums_start(m->begin.sums, "");
}

static void on_read(void *ctx, struct vmdesc_report *r, const struct err *why)
{
	struct migrate *m = ctx;
	struct err e = *why;
	json_t *msg;

	if (m->state != MIGRATE_BEGIN) {
		if (r)
			vmdesc_report_fini(r);
		return;
	}
	if (err_is_set(&e)) {
		migrate_fail(m, &e);
		return;
	}
	m->report = *r;
	if (migrate_wish_select(&m->config, m->report.disks, &e) < 0 ||
	    migrate_wish_networks(&m->config, m->report.vm, &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	msg = json_pack("{s:O,s:O}", "vm", m->report.vm, "disks", m->report.disks);
	if (!msg || vmdesc_parse(&m->desc, msg, &e) < 0) {
		json_decref(msg);
		migrate_fail(m, &e);
		return;
	}
	json_decref(msg);
	m->guest.known = true;
	m->guest.was_running = m->desc.running;
	m->qemu.pid = qmp_peer_pid(m->qemu.qmp);
	m->qemu.started = m->qemu.pid > 0 ? process_started(m->qemu.pid) : 0;
	secret_describe(m->qemu.qmp, m->report.secrets, m->report.disks, on_described, m);
}

static void qemu_ready(struct migrate *m)
{
	if (*m->found)
		migrate_resume_ready(m);
	else
		vmdesc_read(m->qemu.qmp, on_read, m);
}

static void qemu_ended(struct migrate *m, const struct err *why)
{
	if (*m->found) {
		m->qemu.gone = false; /* whether it has is what is to be found out */
		migrate_resume_no_qmp(m, why);
	} else {
		migrate_fail(m, why);
	}
}

/* A job of the journal may have been decided long ago: until its record is gone by, it is left as
 * it is, whatever the reason. */
static void fail(struct migrate *m, const struct err *e)
{
	if (!*m->found) {
		migrate_return(m, e);
		return;
	}
	m->err = *e;
	migrate_over(m, MIGRATE_UNKNOWN);
}

static bool cancel(struct migrate *m)
{
	bool returns = !*m->found;

	migrate_cancel_returns(m);
	return returns;
}

/* A job that is resumed goes from here to where its record says. */
const struct phase phase_begin = {
    .name = "begin",
    .to = PHASE_TO(PREPARE) | PHASE_TO(ASK) | PHASE_TO(END) | PHASE_TO(UNDO) | PHASE_TO(OVER),
    .is = PHASE_EARLY | PHASE_RETURNS,
    .deadline = {.over = migrate_resume_due,
		 .none = "a QEMU that is busy is waited for (--timeout); for a job of the journal "
			 "migrate_resume.c sets one"},
    .look = look_for_old_mirrors,
    .fail = fail,
    .bad_word = fail,
    .qemu_ready = qemu_ready,
    .qemu_ended = qemu_ended,
    .time_up = migrate_time_up,
    .cancel = cancel,
};
