/*
 * After the decision the twin has gone, or its monitor has: whether its process has, too, is found
 * out. Nobody may resume the source before that is sure.
 */
#include "control/destination/job_i.h"

#include "base/clock.h"

enum {
	GONE_EVERY_MS = 20, /* between looks at a twin whose monitor has gone */
	GONE_MS = 5000,
};

void job_lost(struct job *j, const struct err *why)
{
	struct err e = *why, ignored = ERR_INIT, keep = ERR_INIT;

	log_error(&j->about, "the VM has come and gone: %s", e.text);
	job_drop_streams(j, e.text);
	proc_kill(j->qemu.proc);
	j->qemu.proc = NULL;
	job_drop_qmp(j);
	if (!job_record_may_drop(j->record, &keep)) {
		log_error(&j->about, "%s", keep.text);
		job_leave_to_journal(j, keep.text);
		return;
	}
	job_record_clean(j->service, j->record);
	job_record_remove(j);
	if (j->talk)
		talk_send(j->talk, cookie_new_abort(j->id, &e), &ignored);
	job_over(j);
}

void job_lost_look(struct job *j)
{
	if (j->record && job_record_twin(j->record) == JOB_TWIN_GONE) {
		job_lost(j, &j->core.suspect);
		return;
	}
	if (clock_ms() < j->lost.until_ms) {
		job_look(j, GONE_EVERY_MS);
		return;
	}
	log_error(&j->about,
		  "%s, and its process lives: the job stays in the journal until its source asks "
		  "again",
		  j->core.suspect.text);
	job_leave_to_journal(j, j->core.suspect.text);
}

void job_missing(struct job *j, const struct err *why)
{
	job_drop_qmp(j);
	if (j->lost.until_ms)
		return;
	if (!err_is_set(&j->core.suspect))
		j->core.suspect = *why;
	job_no_deadline(j);
	j->lost.until_ms = clock_ms() + GONE_MS;
	job_lost_look(j);
}

void job_twin_missing(struct job *j, const struct err *why)
{
	struct err e = *why;

	job_prefix_gone(j, &e);
	job_missing(j, &e);
}
