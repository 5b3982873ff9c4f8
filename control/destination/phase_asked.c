/*
 * The source asks again what became of a job (RECOVER as the first cookie of a talk), or adit serve
 * has started and found the record of one that was to run (job_found.c). The answer comes from
 * the journal and from the twin itself, never from what a job that is still in memory
 * thinks: such a job is ended first.
 *
 *   never    nothing of it is here any more: the source may resume its VM
 *   runs     the twin lives and is as it is to be; CONFIRM is awaited, as after FINISHED
 *   unsure   neither can be said now: the source stays paused, and asks later
 *
 * "never" is said only once the twin is surely dead (process_started) and the record has
 * gone, so that a later question has the same answer.
 */
#include "control/destination/job_i.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum {
	ASK_MS = 10000, /* until "unsure" */
	AGAIN_MS = 50,	/* between looks */
	FLUSH_MS = 1000,
};

/* Postcopy, and nobody has kept a monitor to it that could still speak to it. */
#define WAITS_FOR_PAGES                                                                            \
	"the destination's QEMU lives, and its monitor does not answer: it waits for RAM that "    \
	"has not "                                                                                 \
	"come from the source, for its guest or to load its devices"

/* ---- the answer ---- */

/* The last word of this talk. */
static void say_and_end(struct job *j, json_t *msg)
{
	job_drop_qmp(j);
	j->qemu.ready = false;
	job_say(j, msg);
	/* The next question may come before this talk has ended. */
	journal_close(j->journal);
	j->journal = NULL;
	job_over(j);
}

static void say_never(struct job *j, const char *what)
{
	json_t *msg = job_recovered(j, "never");

	log_info(&j->about, "asked again by the source: the VM does not run here (%s)", what);
	job_record_remove(j);
	say_and_end(j, msg);
}

static void say_unsure(struct job *j, const char *reason)
{
	json_t *msg = job_recovered(j, "unsure"), *text = json_string(reason);

	json_object_set_new(msg, "reason", text ? text : json_string("(not UTF-8)"));
	log_warn(&j->about, "what became of the VM cannot be told now: %s", reason);
	say_and_end(j, msg);
}

static void refuse(struct job *j)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_REFUSED, "that job is another peer's");
	log_warn(&j->about, "refused: a question about a job of another peer");
	say_and_end(j, cookie_new_abort(j->id, &e));
}

/* Looks again soon, but not for ever. */
static void again(struct job *j, const char *reason)
{
	if (clock_ms() < j->asked.until_ms)
		job_look(j, AGAIN_MS);
	else
		say_unsure(j, reason);
}

/* ---- a twin that lives ---- */

static void say_runs(struct job *j, const json_t *status, const char *migration)
{
	json_t *msg = job_recovered(j, "runs");
	const char *text = json_string_value(json_object_get(status, "status"));
	struct err e = ERR_INIT;

	json_object_set_new(msg, "runs",
			    json_boolean(json_is_true(json_object_get(status, "running"))));
	json_object_set_new(msg, "status", json_string(text ? text : "unknown"));
	if (!migration || strncmp(migration, "postcopy-", 9) != 0)
		j->postcopy = JOB_POSTCOPY_NOT;
	if (j->postcopy)
		json_object_set_new(msg, "postcopy", json_true());
	log_info(&j->about, "the VM is here, its state is %s", text ? text : "unknown");
	if (!job_enter(j, JOB_RUNS)) {
		json_decref(msg);
		return;
	}
	if (!j->talk) { /* found at the start: it waits in the journal for the question */
		json_decref(msg);
		job_over(j);
		return;
	}
	/* (A source whose QEMU has ended has no RAM to send.) */
	if (j->postcopy && strcmp(j->asked.state, "ended") != 0) {
		if (job_route(j, &e) < 0) {
			json_decref(msg);
			job_recover_not_yet(j, e.text);
		} else {
			job_ram_listen_again(j, msg);
		}
		return;
	}
	job_say(j, msg);
}

enum { Q_MIGRATE, Q_STATUS };

static void on_running(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	const json_t *status = qmp_batch_result(b, 1);

	(void)q;
	if (j->state != JOB_ASKED || e->code == ERR_CLOSED)
		return; /* (its monitor's end is told by itself) */
	if (!err_is_set(e) && json_is_true(json_object_get(status, "running"))) {
		say_runs(j, status, j->postcopy ? "postcopy-active" : NULL);
		return;
	}
	say_unsure(j, err_is_set(e) ? e->text : "the VM is here and cannot be made to run");
}

/* It was decided that it runs, and nobody has said `cont`. */
static void make_run(struct job *j)
{
	struct qmp_batch *b = qmp_batch_new();

	log_info(&j->about, "the VM has arrived and is made to run");
	qmp_batch_add(b, QMP_MUST, "cont", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, j->qemu.qmp, on_running, j);
}

static void on_state(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	const char *migration =
	    json_string_value(json_object_get(qmp_batch_result(b, Q_MIGRATE), "status"));
	const json_t *state = qmp_batch_result(b, Q_STATUS);
	const char *status = json_string_value(json_object_get(state, "status"));

	(void)q;
	if (j->state != JOB_ASKED || e->code == ERR_CLOSED)
		return;
	if (err_is_set(e) || !status) {
		say_unsure(j, err_is_set(e) ? e->text : "the destination's QEMU has no state");
		return;
	}
	if (j->run && job_record_is(j->record, "decided") &&
	    (strcmp(status, "paused") == 0 || strcmp(status, "prelaunch") == 0))
		make_run(j);
	else
		say_runs(j, state, migration);
}

static void qemu_ready(struct job *j)
{
	struct qmp *q = j->qemu.qmp;
	struct qmp_batch *b;

	j->qemu.ready = true;
	if (j->qemu.pid && qmp_peer_pid(q) != j->qemu.pid) {
		say_unsure(j, "another process listens at the monitor of the destination's QEMU");
		return;
	}
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "query-migrate", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, q, on_state, j);
}

static void qemu_ended(struct job *j, const struct err *why)
{
	struct err e = *why;

	job_drop_qmp(j);
	j->qemu.ready = false;
	if (e.code == ERR_TIMEOUT && j->postcopy)
		err_set(&e, ERR_TIMEOUT, "%s", WAITS_FOR_PAGES);
	else
		err_prefix(&e, "the destination");
	again(j, e.text);
}

static void ask_twin(struct job *j)
{
	const char *qmp = json_string_value(json_object_get(j->record, "qmp"));
	struct err e = ERR_INIT;

	job_record_take(j);
	j->postcopy = json_is_true(json_object_get(j->record, "postcopy")) ? JOB_POSTCOPY_SAID
									   : JOB_POSTCOPY_NOT;
	snprintf(j->twin.qmp, sizeof(j->twin.qmp), "%s", qmp ? qmp : "");
	if (j->qemu.qmp && j->runs.twin == JOB_TWIN_LOADS && strcmp(j->ram.status, "failed") == 0) {
		if (job_enter(j, JOB_RUNS)) {
			job_no_deadline(j); /* who asks again is to hear the same */
			job_recover_lost(j);
		}
		return;
	}
	if (j->qemu.qmp) { /* taken over: it runs, and may not answer before it has its pages */
		json_t *status = json_pack("{s:b,s:s}", "running",
					   j->run && j->runs.twin != JOB_TWIN_LOADS, "status",
					   j->runs.twin == JOB_TWIN_LOADS ? "inmigrate"
					   : j->run			  ? "running"
									  : "paused");

		say_runs(j, status, j->ram.status);
		json_decref(status);
		return;
	}
	job_no_look(j); /* that of again(): what is awaited now is an answer */
	j->qemu.qmp = qmp_connect(j->service->base, j->twin.qmp, 0, &job_qmp_ops, j, &e);
	if (j->qemu.qmp)
		qmp_want_oob(j->qemu.qmp);
	if (!j->qemu.qmp)
		say_unsure(j, e.text);
	else /* one that has stopped greets, or answers, too late */
		job_deadline(j, ASK_MS);
}

/* ---- a twin that does not ---- */

/* Another job's twin, which holds no locks while it waits, may have the same images. */
static bool is_planned(const struct job *j, struct err *e)
{
	const json_t *image;
	size_t i;

	json_array_foreach(json_object_get(j->record, "images"), i, image)
	{
		if (!job_image_is_planned(j, json_string_value(image), false))
			continue;
		err_set(e, ERR_REFUSED,
			"the VM's QEMU has ended on the destination, and another VM that comes "
			"there uses its disk %s now",
			json_string_value(image));
		return true;
	}
	return false;
}

static void gone(struct job *j)
{
	struct err keep = ERR_INIT;

	job_record_clean_sockets(j->service, j->record);
	/* The source has been told, and has ended its VM, or will: what that VM has left here
	 * is all that there is of it. */
	if (strcmp(j->asked.state, "ended") == 0) {
		json_t *msg = job_recovered(j, "runs");

		json_object_set_new(msg, "runs", json_false());
		json_object_set_new(msg, "status", json_string("gone"));
		log_warn(&j->about, "the VM was here, and has ended since");
		job_record_take(j);
		if (!job_enter(j, JOB_RUNS)) {
			json_decref(msg);
			return;
		}
		j->runs.twin = JOB_TWIN_WAS_HERE;
		job_deadline(j, JOB_CONFIRM_MS);
		job_say(j, msg);
		return;
	}
	if (is_planned(j, &keep) || !job_record_may_drop(j->record, &keep)) {
		say_unsure(j, keep.text);
		return;
	}
	job_record_clean(j->service, j->record);
	say_never(j, "its QEMU has gone; what the job has made is removed");
}

/* ---- what is there ---- */

static struct job *find(const struct job *j)
{
	struct job *other;

	TAILQ_FOREACH(other, &j->service->jobs, listed)
	if (other != j && strcmp(other->id, j->id) == 0)
		return other;
	return NULL;
}

/* A job that is still in memory; true when it is out of the way. */
static bool end_other(struct job *j)
{
	struct job *other = find(j);
	struct err e = ERR_INIT;

	if (!other)
		return true;
	if (j->talk && *other->peer && !rights_same_peer(other->peer, j->peer)) {
		refuse(j);
		return false;
	}
	if (job_is(other, JOB_OPEN)) {
		err_set(&e, ERR_CANCELLED, "the source asks what became of it over a new talk");
		job_fail(other, &e);
	}
	if (other->over.undoes) {
		again(j, "what the job has made is still being removed there");
		return false;
	}
	/* Its last word, which says why, is on its way; a line that is dead is not waited for. */
	if (other->talk && !talk_flushed(other->talk) &&
	    clock_ms() + ASK_MS < j->asked.until_ms + FLUSH_MS) {
		again(j, "what the job has made is still being removed there");
		return false;
	}
	if (other->saving.state) {
		/* What is in the journal is not what holds. */
		if (job_record_write(other, other->saving.state, &e) < 0) {
			err_prefix(&e, "on the destination");
			again(j, e.text);
			return false;
		}
	}
	/* The monitor that it has is the only way to a QEMU whose main loop waits for pages. */
	if ((other->state == JOB_RUNS || other->postcopy == JOB_POSTCOPY_BEGUN) &&
	    other->postcopy && other->qemu.qmp && *other->ram.status) {
		if (other->runs.twin == JOB_TWIN_LOADS || other->state != JOB_RUNS)
			j->runs.twin = JOB_TWIN_LOADS;
		j->qemu.qmp = other->qemu.qmp;
		other->qemu.qmp = NULL;
		qmp_forget(j->qemu.qmp);
		qmp_set_owner(j->qemu.qmp, &job_qmp_ops, j);
		j->qemu.ready = true;
		snprintf(j->ram.status, sizeof(j->ram.status), "%s", other->ram.status);
		json_decref(j->record);
		j->record = json_incref(other->record);
	}
	/* All else that it knows is in the journal, whose lock could not be taken anew where its
	 * folder is read only by now. */
	if (!j->journal) {
		j->journal = other->journal;
		other->journal = NULL;
	}
	job_free(other);
	return true;
}

static void settle(struct job *j)
{
	const char *peer;
	struct err e = ERR_INIT;
	bool taken;

	if (!end_other(j))
		return;
	/* Such a monitor cannot be had again: nothing that might fail, or has to be waited for,
	 * comes before its use. It was decided, and what was written is at hand. */
	taken = j->qemu.qmp && j->record;
	if (!taken && !job_record_read(j, &e)) {
		/* The id tells the source whether that is a word of the host that it knew: it goes
		 * with the records. */
		if (!err_is_set(&e) &&
		    journal_host_id(j->service->config.state_dir, j->service->host, &e) == 0)
			say_never(j, "nothing is known of it");
		else
			again(j, e.text);
		return;
	}
	peer = json_string_value(json_object_get(j->record, "peer"));
	if (j->talk && (!peer || !rights_same_peer(peer, j->peer))) {
		refuse(j);
		return;
	}
	if (!taken && job_record_guarded(j->record)) {
		again(j, "what the job has made is still being removed there");
	} else if (job_record_is(j->record, "preparing")) {
		job_record_clean(j->service, j->record);
		say_never(j, "what the job has made is removed");
	} else if (job_record_twin(j->record) == JOB_TWIN_GONE) {
		gone(j);
	} else {
		ask_twin(j);
	}
}

/* ---- the phase ---- */

static void enter(struct job *j)
{
	j->asked.until_ms = clock_ms() + ASK_MS;
	if (j->talk)
		settle(j);
	else
		job_look(j, 0); /* from the loop */
}

static void late(struct job *j)
{
	if (j->qemu.qmp)
		say_unsure(j, j->postcopy ? WAITS_FOR_PAGES
					  : "the destination's QEMU lives and does not answer");
	else
		settle(j);
}

static void talk_ended(struct job *j, const struct err *why)
{
	(void)why;
	job_over_at_once(j);
}

static const struct job_event events[] = {{"MIGRATION", job_take_status}, {0}};

const struct job_phase job_phase_asked = {
    .name = "asked",
    .to = JOB_TO(RUNS) | JOB_TO(OVER),
    .is = JOB_CLAIMS,
    .enter = enter,
    .deadline = {.ms = ASK_MS, .over = late},
    .look = settle,
    .events = events,
    .talk_ended = talk_ended,
    .qemu_ready = qemu_ready,
    .qemu_ended = qemu_ended,
};
