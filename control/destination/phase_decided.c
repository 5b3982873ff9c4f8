/*
 * The journal says that it is to run here, and from now on nothing is undone: the guardian is
 * dismissed, and the VM runs. The decision comes before `cont`, since a guest that has run, if only
 * for an instant, is not to be killed by a guardian any more.
 */
#include "control/destination/job_i.h"

#include <signal.h>

#include "base/clock.h"
#include "base/point.h"

/* It is decided but cannot be made to run: nobody may resume the source before this
 * twin is surely dead. */
static void cannot_run(struct job *j, const struct err *e)
{
	j->core.suspect = *e;
	err_prefix(&j->core.suspect, "the VM has arrived and does not start");
	log_error(&j->about, "%s", j->core.suspect.text);
	if (j->wish.launched && j->qemu.proc)
		kill(proc_pid(j->qemu.proc), SIGKILL); /* its end is told to job_lost */
	else if (e->code == ERR_CLOSED)
		job_missing(j, e);
	else
		/* Not ours to kill: it is paused, and so is the source. */
		job_leave_to_journal(j, j->core.suspect.text);
}

/* For the length of the pause, which no clock of one host sees whole: how long the question was
 * here, so that the source knows how long both words were on their way, and since when it runs. */
static void say_times(const struct job *j, json_t *msg)
{
	uint64_t now_us = clock_us();

	if (j->finish.came_us)
		json_object_set_new(msg, "held_us",
				    json_integer((json_int_t)(now_us - j->finish.came_us)));
	if (j->finish.resumed_us)
		json_object_set_new(msg, "ran_us",
				    json_integer((json_int_t)(now_us - j->finish.resumed_us)));
}

static void say_finished(struct job *j, const char *status)
{
	json_t *msg = cookie_new(COOKIE_FINISHED, j->id);

	json_object_set_new(msg, "runs", json_boolean(j->run));
	json_object_set_new(msg, "status", json_string(status));
	say_times(j, msg);
	POINT("d-runs");
	if (!job_enter(j, JOB_RUNS)) {
		json_decref(msg);
		return;
	}
	log_info(&j->about, "the VM %s here", j->run ? "runs" : "is paused, as it was,");
	if (!j->talk) { /* the source went away meanwhile */
		json_decref(msg);
		if (!j->postcopy) /* (its monitor is kept: phase_runs.c) */
			job_over(j);
		return;
	}
	job_say(j, msg);
}

static void on_cont(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	const json_t *state = qmp_batch_result(b, 1);
	const char *status = json_string_value(json_object_get(state, "status"));
	struct err why = *e;

	(void)q;
	if (j->state != JOB_DECIDED)
		return;
	if (!err_is_set(&why) && j->run && !json_is_true(json_object_get(state, "running")))
		err_set(&why, ERR_QEMU, "its state is %s", status ? status : "unknown");
	if (err_is_set(&why))
		cannot_run(j, &why);
	else
		say_finished(j, status ? status : "unknown");
}

static void enter(struct job *j)
{
	struct qmp_batch *b;

	job_no_suspect(j);
	guardian_commit(j->guardian);
	j->guardian = NULL;
	job_keep_decided(j);
	POINT("d-committed");
	b = qmp_batch_new();
	qmp_batch_add(b, j->run ? QMP_MUST : QMP_MAY, j->run ? "cont" : "query-version", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, j->qemu.qmp, on_cont, j);
}

static void talk_ended(struct job *j, const struct err *why)
{
	log_warn(&j->about,
		 "the source went away before it knew that the VM is here (%s): the journal keeps "
		 "the job until it asks again",
		 why->text);
}

static const struct job_event events[] = {
    {"MIGRATION", job_take_status},
    {"RESUME", job_take_resume},
    {0},
};

const struct job_phase job_phase_decided = {
    .name = "decided",
    .to = JOB_TO(RUNS) | JOB_TO(OVER),
    .is = JOB_CLAIMS,
    .enter = enter,
    .deadline = {.none = "it is QEMU's turn, which answers `cont`, or ends; its process is looked "
			 "for where only its monitor has gone"},
    .look = job_lost_look,
    .events = events,
    .talk_ended = talk_ended,
    .qemu_ended = job_twin_missing,
    .qemu_exited = job_lost,
};
