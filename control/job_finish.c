/*
 * Finish: QEMU is asked whether everything has arrived; then the decision, which is
 * made once and by nobody else: the guardian is dismissed, and the VM runs. The
 * decision comes before `cont`, since a guest that has run, if only for an instant, is
 * not to be killed by a guardian any more.
 */
#include "control/job_i.h"

#include <string.h>

#include "base/clock.h"

enum {
	LOOK_MS = 5,	    /* between looks: the guest stands still meanwhile */
	ARRIVE_MS = 20000,  /* the last of RAM and the devices */
	CONFIRM_MS = 60000, /* the source QEMU may take its time to end */
};

/* Removes what was made here when the guardian has been dismissed already. */
static void remove_made(struct job *j)
{
	struct err e = ERR_INIT;
	struct guardian *g = guardian_new(&e);

	if (!g) {
		log_error(&j->about, "%s; what the job has made is left", e.text);
		return;
	}
	for (size_t i = 0; i < j->twin.image_count; i++)
		if (j->twin.images[i].created)
			guardian_add_file(g, j->twin.images[i].path, &e);
	if (j->twin.dir_made)
		guardian_add_dir(g, j->twin.dir, &e);
	/* The last told is the first undone: nothing of it writes any more when it says so. */
	if (j->qemu)
		guardian_add_process(g, proc_pid(j->qemu), &e);
	guardian_undo(g);
}

/* It is decided but cannot be made to run: nobody may resume the source before this
 * twin is surely dead. */
static void cannot_run(struct job *j, const struct err *e)
{
	struct err why = *e, ignored = ERR_INIT;

	err_prefix(&why, "the VM has arrived and does not start");
	log_error(&j->about, "%s", why.text);
	if (!j->launched) {
		/* Not ours to kill: it is paused, and the source is left paused too. */
		talk_free(j->talk);
		j->talk = NULL;
		job_set_state(j, JOB_OVER);
		event_add(j->ev_reap, &(struct timeval){0});
		return;
	}
	remove_made(j);
	proc_kill(j->qemu);
	j->qemu = NULL;
	talk_send(j->talk, cookie_new_abort(j->id, &why), &ignored);
	job_set_state(j, JOB_OVER);
	event_add(j->ev_reap, &(struct timeval){.tv_sec = 5});
}

static void say_finished(struct job *j, const char *status)
{
	json_t *msg = cookie_new(COOKIE_FINISHED, j->id);

	json_object_set_new(msg, "runs", json_boolean(j->run));
	json_object_set_new(msg, "status", json_string(status));
	job_set_state(j, JOB_RUNS);
	job_say(j, msg);
	log_info(&j->about, "the VM %s here", j->run ? "runs" : "is paused, as it was,");
	job_wait(j, CONFIRM_MS);
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

static void decide(struct job *j)
{
	struct qmp_batch *b = qmp_batch_new();

	job_set_state(j, JOB_DECIDED);
	event_del(j->ev_suspect);
	guardian_commit(j->guardian);
	j->guardian = NULL;
	qmp_batch_add(b, j->run ? QMP_MUST : QMP_MAY, j->run ? "cont" : "query-version", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, j->qmp, on_cont, j);
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
	if (migration && strcmp(migration, "completed") == 0 && status &&
	    strcmp(status, "inmigrate") != 0) {
		decide(j);
		return;
	}
	if ((migration && strcmp(migration, "failed") == 0) || clock_ms() > j->finish_until_ms) {
		err_set(&why, ERR_QEMU,
			"not everything has arrived: the destination QEMU's "
			"migration is in state %s",
			migration ? migration : "unknown");
		job_fail(j, &why);
		return;
	}
	job_wait(j, LOOK_MS);
}

static void look(struct job *j)
{
	struct qmp_batch *b = qmp_batch_new();

	qmp_batch_add(b, QMP_MUST, "query-migrate", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, j->qmp, on_look, j);
}

void job_finish_due(struct job *j)
{
	if (j->state == JOB_FINISHING)
		look(j);
}

void job_finish(struct job *j, const json_t *msg)
{
	j->run = json_is_true(json_object_get(msg, "run"));
	j->finish_until_ms = clock_ms() + ARRIVE_MS;
	job_set_state(j, JOB_FINISHING);
	look(j);
}
