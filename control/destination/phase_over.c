/*
 * The end. A job that was given up is undone here, and its source told once that is done; one that
 * is settled, or in the journal, has nothing left to do. It is freed on a later turn of the loop,
 * when nothing of it is on the stack.
 */
#include "control/destination/job_i.h"

enum { UNDO_SAY_MS = 3000 /* the source waits for 5 s */ };

/* What the source waits for: once all is undone, or when that takes too long (left). That the
 * twin does not run is certain all the while: nobody has sent `cont`. */
static void say_last(struct job *j, const char *left)
{
	struct err ignored = ERR_INIT;
	json_t *answer = NULL;

	if (!left && j->over.undoes)
		return;
	if (j->over.word == JOB_WORD_ABORTED) {
		answer = cookie_new(COOKIE_ABORTED, j->id);
		json_object_set_new(answer, "clean", json_boolean(!left));
		if (left)
			json_object_set_new(answer, "note", json_string(left));
	} else if (j->over.word == JOB_WORD_ABORT) {
		answer = cookie_new_abort(j->id, &j->over.why);
	}
	j->over.word = JOB_WORD_NONE;
	job_no_deadline(j);
	if (answer && j->talk)
		talk_send(j->talk, answer, &ignored);
	else
		json_decref(answer);
}

static void on_put_back(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;

	(void)q;
	(void)b;
	(void)e;
	j->over.undoes &= ~(unsigned)JOB_UNDO_QEMU;
	say_last(j, NULL);
}

static void on_undone(void *ctx)
{
	struct job *j = ctx;
	struct err e = ERR_INIT;

	j->guardian = NULL;
	j->over.undoes &= ~(unsigned)JOB_UNDO_GUARDIAN;
	/* It removes the record as its last deed; somebody may have killed it before that. */
	if (j->journal && job_record_read(j, &e))
		job_record_clean(j->service, j->record);
	job_record_remove(j);
	say_last(j, NULL);
}

/* Undoes all that this job has made. What takes a moment: the guardian (JOB_UNDO_GUARDIAN), and a
 * QEMU that waited before, which waits again, without exports (JOB_UNDO_QEMU). */
static void undo(struct job *j, const char *reason)
{
	struct qmp_batch *b = NULL;

	j->over.undoes = 0;
	job_check_drop(j);
	job_drop_streams(j, reason);
	job_remove_nbd(j);
	proc_kill(j->prepare.tool);
	proc_kill(j->prepare.hook.proc);
	proc_kill(j->qemu.proc);
	j->prepare.tool = j->prepare.hook.proc = j->qemu.proc = NULL;
	if (j->qemu.qmp && j->qemu.ready && !j->wish.launched && j->disk_count &&
	    (b = job_closing_batch(j, QMP_MAY)) != NULL) {
		j->over.undoes |= JOB_UNDO_QEMU;
		qmp_forget(j->qemu.qmp);
		qmp_batch_run(b, j->qemu.qmp, on_put_back, j);
	} else {
		job_drop_qmp(j);
	}
	if (!j->guardian) {
		job_record_remove(j);
		return;
	}
	j->over.undoes |= JOB_UNDO_GUARDIAN;
	if (guardian_undo(j->guardian, j->service->base, on_undone, j) < 0)
		on_undone(j);
}

static void enter(struct job *j)
{
	static const struct timeval at_once, soon = {.tv_sec = 5};

	/* The last word goes out before the talk ends: the source ends it, or time does. */
	event_add(j->over.ev_reap, (j->talk && j->session) || j->qemu.ready ? &soon : &at_once);
	if (j->over.undoes & JOB_UNDO_DUE)
		undo(j, j->over.why.text);
	say_last(j, NULL);
}

static void late(struct job *j)
{
	say_last(j, "what the job has made is still being removed there");
}

void job_reap_due(evutil_socket_t fd, short what, void *ctx)
{
	struct job *j = ctx;

	(void)fd;
	(void)what;
	/* what it knows is to be in the journal first */
	if (j->over.undoes & JOB_UNDO_GUARDIAN || j->saving.state)
		event_add(j->over.ev_reap, &(struct timeval){.tv_sec = 1});
	else
		job_free(j);
}

static void talk_ended(struct job *j, const struct err *why)
{
	(void)why;
	if (!(j->over.undoes & JOB_UNDO_QEMU))
		event_add(j->over.ev_reap, &(struct timeval){0});
}

static const struct job_event events[] = {{"MIGRATION", job_take_status}, {0}};

const struct job_phase job_phase_over = {
    .name = "over",
    .is = JOB_SETTLES,
    .enter = enter,
    .deadline = {.ms = UNDO_SAY_MS, .over = late},
    .events = events,
    .talk_ended = talk_ended,
};
