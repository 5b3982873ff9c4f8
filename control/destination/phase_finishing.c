/*
 * Finish: QEMU is asked whether everything has arrived; then the decision, which is made once and
 * by nobody else: it is written to the journal, and the next phase is `decided`.
 */
#include "control/destination/job_i.h"

#include <string.h>

#include "base/clock.h"
#include "base/point.h"

enum {
	LOOK_MS = 5,	      /* between looks: the guest stands still meanwhile */
	ALONE_EVERY_MS = 100, /* looks at a twin that nobody waits for */
};

static void decide(struct job *j)
{
	struct err e = ERR_INIT;

	if (j->postcopy == JOB_POSTCOPY_BEGUN) {
		job_record_keep(j, "decided"); /* nobody else can run it: it does, in any case */
	} else if (job_record_write(j, "decided", &e) < 0) {
		err_prefix(&e, "the decision cannot be written down on the destination");
		job_fail(j, &e); /* undone: the source runs on */
		return;
	}
	POINT("d-decided");
	job_enter(j, JOB_DECIDED);
}

static void on_look(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	const char *migration =
	    json_string_value(json_object_get(qmp_batch_result(b, 0), "status"));
	const char *status = json_string_value(json_object_get(qmp_batch_result(b, 1), "status"));
	struct err why = *e;

	(void)q;
	if (j->state != JOB_FINISHING)
		return;
	if (err_is_set(&why)) {
		job_suspect(j, &why);
		return;
	}
	if (job_has_arrived(j, migration, status)) {
		if (strncmp(migration, "postcopy-", 9) == 0)
			job_force(j); /* (its event may come a moment later) */
		if (job_images_there(j, &why) == 0) {
			decide(j);
		} else if (!j->postcopy) {
			job_fail(j, &why);
		} else { /* it can live here only, for as long as its QEMU does */
			log_error(&j->about, "%s: copy it out of the running VM", why.text);
			decide(j);
		}
		return;
	}
	/* Its devices may wait for pages: it is given up only when it ends itself. */
	if (j->postcopy == JOB_POSTCOPY_BEGUN) {
		job_look(j, j->talk ? LOOK_MS : ALONE_EVERY_MS);
		return;
	}
	/* The source says "postcopy" once it has sent the devices, this QEMU only when it has them:
	 * until then it is the only one that can get them, however long that takes. */
	if ((migration && strcmp(migration, "failed") == 0) ||
	    (!j->postcopy && clock_ms() > j->finish.until_ms)) {
		err_set(&why, ERR_QEMU,
			"not everything has arrived: the destination QEMU's "
			"migration is in state %s",
			migration ? migration : "unknown");
		job_fail(j, &why);
		return;
	}
	job_look(j, LOOK_MS);
}

static void look(struct job *j)
{
	struct qmp_batch *b;

	if (!j->qemu.qmp) /* postcopy has begun: then it is left to the journal */
		return;
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "query-migrate", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, j->qemu.qmp, on_look, j);
}

static const struct job_cookie cookies[] = {{COOKIE_ABORT, job_take_abort}, {0}};

static const struct job_event events[] = {
    {"MIGRATION", job_take_migration},
    {"RESUME", job_take_resume},
    {0},
};

const struct job_phase job_phase_finishing = {
    .name = "finishing",
    .to = JOB_TO(DECIDED) | JOB_TO(OVER),
    .is = JOB_OPEN | JOB_CLAIMS,
    .enter = look,
    .deadline = {.none = "each look at QEMU goes by it: 20 s from `finish` on, and in postcopy as "
			 "long as the twin takes"},
    .look = look,
    .cookies = cookies,
    .events = events,
    .fail = job_fail_or_finish,
    .talk_ended = job_source_gone,
    .qemu_ended = job_qemu_gone,
};
