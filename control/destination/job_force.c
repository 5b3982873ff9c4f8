/*
 * Before the decision, and what postcopy makes of it: once the twin has said that it is active the
 * source VM cannot go on any more, so nobody undoes the job, and where its source has gone, or has
 * failed, it is finished without.
 */
#include "control/destination/job_i.h"

#include <string.h>

#include "base/clock.h"
#include "base/point.h"

enum {
	ALONE_EVERY_MS = 100, /* looks at a twin that nobody waits for */
	ARRIVE_MS = 20000,    /* the last of RAM and the devices */
};

/* "postcopy-active" says that the twin has all that it takes to go on but RAM: the contents of its
 * devices have come in one piece, and it begins to load them. That may take a while, as a device
 * may read pages of the guest's that are still on the source. */
void job_force(struct job *j)
{
	if (j->postcopy == JOB_POSTCOPY_BEGUN)
		return;
	if (job_is(j, JOB_RECEIVES))
		j->run = j->desc.running;
	/* From here on the twin is not killed, whether that can be written down now or not. */
	j->postcopy = JOB_POSTCOPY_BEGUN;
	job_record_keep(j, "decided");
	guardian_commit(j->guardian);
	j->guardian = NULL;
	POINT("d-postcopy");
}

/* In postcopy the VM is here once its devices are; its RAM follows while it runs. */
bool job_has_arrived(const struct job *j, const char *migration, const char *status)
{
	if (!migration || !status || strcmp(status, "inmigrate") == 0)
		return false;
	return strcmp(migration, "completed") == 0 ||
	       (j->postcopy && strncmp(migration, "postcopy-", 9) == 0);
}

void job_take_migration(struct job *j, const char *name, const json_t *data)
{
	job_take_status(j, name, data);
	if (strcmp(j->ram.status, "postcopy-active") == 0)
		job_force(j);
}

void job_take_resume(struct job *j, const char *name, const json_t *data)
{
	(void)name;
	(void)data;
	j->finish.resumed_us = clock_us();
}

/* The source has gone, or has failed: it is finished without. why is for the source, if it can
 * still be told. */
static void finish_alone(struct job *j, const struct err *why)
{
	job_no_suspect(j);
	if (!j->qemu.qmp) {
		if (!job_is(j, JOB_RECEIVES) || job_enter(j, JOB_FINISHING))
			job_leave_to_journal(j, why->text);
	} else if (j->state == JOB_FINISHING) {
		job_look(j, ALONE_EVERY_MS);
	} else {
		job_enter(j, JOB_FINISHING);
	}
}

void job_fail_or_finish(struct job *j, const struct err *why)
{
	if (j->postcopy == JOB_POSTCOPY_BEGUN)
		finish_alone(j, why);
	else
		job_return(j, JOB_WORD_ABORT, why);
}

/* The source has given up: undo, and say when it is done. */
void job_take_abort(struct job *j, const json_t *msg)
{
	struct err e = ERR_INIT;

	cookie_get_abort(msg, &e);
	log_info(&j->about, "given up by the source: %s", e.text);
	if (j->postcopy == JOB_POSTCOPY_BEGUN)
		finish_alone(j, &e);
	else
		job_return(j, JOB_WORD_ABORTED, &e);
}

void job_take_finish(struct job *j, const json_t *msg)
{
	struct err e = ERR_INIT;

	j->finish.came_us = clock_us();
	POINT("d-finish");
	if (!j->ram.count) {
		err_set(&e, ERR_PROTOCOL,
			"the source says that all was sent, and has opened no stream for RAM");
		job_fail(j, &e);
		return;
	}
	j->run = json_is_true(json_object_get(msg, "run"));
	if (!j->postcopy && json_is_true(json_object_get(msg, "postcopy")))
		j->postcopy = JOB_POSTCOPY_SAID;
	j->finish.until_ms = clock_ms() + ARRIVE_MS;
	job_enter(j, JOB_FINISHING);
}

void job_source_gone(struct job *j, const struct err *why)
{
	if (j->postcopy == JOB_POSTCOPY_BEGUN)
		job_drop_streams(j, why->text); /* QEMU sees at once that none will come */
	job_fail(j, why);
}

void job_qemu_gone(struct job *j, const struct err *why)
{
	struct err e = *why;

	job_prefix_gone(j, &e);
	if (j->postcopy == JOB_POSTCOPY_BEGUN) /* nobody is left to be asked */
		job_drop_qmp(j);
	if (j->wish.launched)
		job_suspect(j, &e); /* its last words follow with its exit */
	else
		job_fail(j, &e);
}
