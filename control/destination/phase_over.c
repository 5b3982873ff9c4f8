/*
 * The end. An arrival that was given up is undone here, and its source told once that is done; one
 * that is settled, or in the journal, has nothing left to do. It is freed on a later turn of the
 * loop, when nothing of it is on the stack.
 */
#include "control/destination/arrival_i.h"

enum { UNDO_SAY_MS = 3000 /* the source waits for 5 s */ };

/* What the source waits for: once all is undone, or when that takes too long (left). That the
 * twin does not run is certain all the while: nobody has sent `cont`. */
static void say_last(struct arrival *a, const char *left)
{
	struct err ignored = ERR_INIT;
	json_t *answer = NULL;

	if (!left && a->over.undoes)
		return;
	if (a->over.word == ARRIVAL_WORD_ABORTED) {
		answer = cookie_new(COOKIE_ABORTED, a->id);
		json_object_set_new(answer, "clean", json_boolean(!left));
		if (left)
			json_object_set_new(answer, "note", json_string(left));
	} else if (a->over.word == ARRIVAL_WORD_ABORT) {
		answer = cookie_new_abort(a->id, &a->over.why);
	}
	a->over.word = ARRIVAL_WORD_NONE;
	arrival_no_deadline(a);
	if (answer && a->talk)
		talk_send(a->talk, answer, &ignored);
	else
		json_decref(answer);
}

static void on_put_back(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct arrival *a = ctx;

	(void)q;
	(void)b;
	(void)e;
	a->over.undoes &= ~(unsigned)ARRIVAL_UNDO_QEMU;
	say_last(a, NULL);
}

static void on_undone(void *ctx)
{
	struct arrival *a = ctx;
	struct err e = ERR_INIT;

	a->guardian = NULL;
	a->over.undoes &= ~(unsigned)ARRIVAL_UNDO_GUARDIAN;
	/* It removes the record as its last deed; somebody may have killed it before that. */
	if (a->journal && arrival_record_read(a, &e))
		arrival_record_clean(a->service, a->record);
	arrival_record_remove(a);
	say_last(a, NULL);
}

/* Undoes all that this arrival has made. What takes a moment: the guardian (ARRIVAL_UNDO_GUARDIAN),
 * and a QEMU that waited before, which waits again, without exports (ARRIVAL_UNDO_QEMU). */
static void undo(struct arrival *a, const char *reason)
{
	struct qmp_batch *b = NULL;

	a->over.undoes = 0;
	arrival_check_drop(a);
	arrival_drop_streams(a, reason);
	arrival_remove_nbd(a);
	proc_kill(a->prepare.tool);
	proc_kill(a->prepare.hook.proc);
	proc_kill(a->qemu.proc);
	a->prepare.tool = a->prepare.hook.proc = a->qemu.proc = NULL;
	if (a->qemu.qmp && a->qemu.ready && !a->wish.launched && a->disk_count &&
	    (b = arrival_closing_batch(a, QMP_MAY)) != NULL) {
		a->over.undoes |= ARRIVAL_UNDO_QEMU;
		qmp_forget(a->qemu.qmp);
		qmp_batch_run(b, a->qemu.qmp, on_put_back, a);
	} else {
		arrival_drop_qmp(a);
	}
	if (!a->guardian) {
		arrival_record_remove(a);
		return;
	}
	a->over.undoes |= ARRIVAL_UNDO_GUARDIAN;
	if (guardian_undo(a->guardian, a->service->base, on_undone, a) < 0)
		on_undone(a);
}

static void enter(struct arrival *a)
{
	static const struct timeval at_once, soon = {.tv_sec = 5};

	/* The last word goes out before the talk ends: the source ends it, or time does. */
	event_add(a->over.ev_reap, (a->talk && a->session) || a->qemu.ready ? &soon : &at_once);
	if (a->over.undoes & ARRIVAL_UNDO_DUE)
		undo(a, a->over.why.text);
	say_last(a, NULL);
}

static void late(struct arrival *a)
{
	say_last(a, "what the job has made is still being removed there");
}

void arrival_reap_due(evutil_socket_t fd, short what, void *ctx)
{
	struct arrival *a = ctx;

	(void)fd;
	(void)what;
	/* what it knows is to be in the journal first; and who hears the VM only now
	 * (arrival_port.c) is to be told where it is */
	if (a->over.undoes & ARRIVAL_UNDO_GUARDIAN || a->saving.state ||
	    (a->postcopy == ARRIVAL_POSTCOPY_BEGUN && a->ports.waits))
		event_add(a->over.ev_reap, &(struct timeval){.tv_sec = 1});
	else
		arrival_free(a);
}

static void talk_ended(struct arrival *a, const struct err *why)
{
	(void)why;
	if (!(a->over.undoes & ARRIVAL_UNDO_QEMU))
		event_add(a->over.ev_reap, &(struct timeval){0});
}

static const struct arrival_event events[] = {{"MIGRATION", arrival_take_status}, {0}};

const struct arrival_phase arrival_phase_over = {
    .name = "over",
    .is = ARRIVAL_SETTLES,
    .enter = enter,
    .deadline = {.ms = UNDO_SAY_MS, .over = late},
    .events = events,
    .talk_ended = talk_ended,
};
