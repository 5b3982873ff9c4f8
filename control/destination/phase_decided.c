/*
 * The journal says that it is to run here, and from now on nothing is undone: the guardian is
 * dismissed, and the VM runs. The decision comes before `cont`, since a guest that has run, if only
 * for an instant, is not to be killed by a guardian any more.
 */
#include "control/destination/arrival_i.h"

#include <signal.h>

#include "base/clock.h"
#include "base/point.h"

/* It is decided but cannot be made to run: nobody may resume the source before this
 * twin is surely dead. */
static void cannot_run(struct arrival *a, const struct err *e)
{
	a->core.suspect = *e;
	err_prefix(&a->core.suspect, "the VM has arrived and does not start");
	log_error(&a->about, "%s", a->core.suspect.text);
	if (a->wish.launched && a->qemu.proc)
		kill(proc_pid(a->qemu.proc), SIGKILL); /* its end is told to arrival_lost */
	else if (e->code == ERR_CLOSED)
		arrival_missing(a, e);
	else
		/* Not ours to kill: it is paused, and so is the source. */
		arrival_leave_to_journal(a, a->core.suspect.text);
}

/* For the length of the pause, which no clock of one host sees whole: how long the question was
 * here, so that the source knows how long both words were on their way, and since when it runs. */
static void say_times(const struct arrival *a, json_t *msg)
{
	uint64_t now_us = clock_us();

	if (a->finish.came_us)
		json_object_set_new(msg, "held_us",
				    json_integer((json_int_t)(now_us - a->finish.came_us)));
	if (a->finish.resumed_us)
		json_object_set_new(msg, "ran_us",
				    json_integer((json_int_t)(now_us - a->finish.resumed_us)));
}

static void say_finished(struct arrival *a, const char *status)
{
	json_t *msg = cookie_new(COOKIE_FINISHED, a->id);

	json_object_set_new(msg, "runs", json_boolean(a->run));
	json_object_set_new(msg, "status", json_string(status));
	say_times(a, msg);
	POINT("d-runs");
	if (!arrival_enter(a, ARRIVAL_RUNS)) {
		json_decref(msg);
		return;
	}
	log_info(&a->about, "the VM %s here", a->run ? "runs" : "is paused, as it was,");
	if (!a->talk) { /* the source went away meanwhile */
		json_decref(msg);
		if (!a->postcopy) /* (its monitor is kept: phase_runs.c) */
			arrival_over(a);
		return;
	}
	arrival_say(a, msg);
}

static void on_cont(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct arrival *a = ctx;
	const json_t *state = qmp_batch_result(b, 1);
	const char *status = json_string_value(json_object_get(state, "status"));
	struct err why = *e;

	(void)q;
	if (a->state != ARRIVAL_DECIDED)
		return;
	if (!err_is_set(&why) && a->run && !json_is_true(json_object_get(state, "running")))
		err_set(&why, ERR_QEMU, "its state is %s", status ? status : "unknown");
	if (err_is_set(&why))
		cannot_run(a, &why);
	else
		say_finished(a, status ? status : "unknown");
}

static void enter(struct arrival *a)
{
	struct qmp_batch *b;

	arrival_no_suspect(a);
	guardian_commit(a->guardian);
	a->guardian = NULL;
	arrival_keep_decided(a);
	POINT("d-committed");
	b = qmp_batch_new();
	qmp_batch_add(b, a->run ? QMP_MUST : QMP_MAY, a->run ? "cont" : "query-version", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	arrival_net_announce(a, b);
	qmp_batch_run(b, a->qemu.qmp, on_cont, a);
}

static void talk_ended(struct arrival *a, const struct err *why)
{
	log_warn(&a->about,
		 "the source went away before it knew that the VM is here (%s): the journal keeps "
		 "the job until it asks again",
		 why->text);
}

static const struct arrival_event events[] = {
    {"MIGRATION", arrival_take_status},
    {"RESUME", arrival_take_resume},
    {0},
};

const struct arrival_phase arrival_phase_decided = {
    .name = "decided",
    .to = ARRIVAL_TO(RUNS) | ARRIVAL_TO(OVER),
    .is = ARRIVAL_CLAIMS,
    .enter = enter,
    .deadline = {.none = "it is QEMU's turn, which answers `cont`, or ends; its process is looked "
			 "for where only its monitor has gone"},
    .look = arrival_lost_look,
    .events = events,
    .talk_ended = talk_ended,
    .qemu_ended = arrival_twin_missing,
    .qemu_exited = arrival_lost,
};
