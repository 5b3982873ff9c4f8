/*
 * The source asks again what became of a job (RECOVER as the first cookie of a talk), or adit serve
 * has started and found the record of one that was to run (arrival_found.c). The answer comes from
 * the journal and from the twin itself, never from what an arrival that is still in memory
 * thinks: such an arrival is ended first.
 *
 *   never    nothing of it is here any more: the source may resume its VM
 *   runs     the twin lives and is as it is to be; CONFIRM is awaited, as after FINISHED
 *   unsure   neither can be said now: the source stays paused, and asks later
 *
 * "never" is said only once the twin is surely dead (process_started) and the record has
 * gone, so that a later question has the same answer.
 */
#include "control/destination/arrival_i.h"

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
static void say_and_end(struct arrival *a, json_t *msg)
{
	arrival_drop_qmp(a);
	a->qemu.ready = false;
	arrival_say(a, msg);
	/* The next question may come before this talk has ended. */
	journal_close(a->journal);
	a->journal = NULL;
	arrival_over(a);
}

static void say_never(struct arrival *a, const char *what)
{
	json_t *msg = arrival_recovered(a, "never");

	log_info(&a->about, "asked again by the source: the VM does not run here (%s)", what);
	arrival_record_remove(a);
	say_and_end(a, msg);
}

static void say_unsure(struct arrival *a, const char *reason)
{
	json_t *msg = arrival_recovered(a, "unsure"), *text = json_string(reason);

	json_object_set_new(msg, "reason", text ? text : json_string("(not UTF-8)"));
	log_warn(&a->about, "what became of the VM cannot be told now: %s", reason);
	say_and_end(a, msg);
}

static void refuse(struct arrival *a)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_REFUSED, "that job is another peer's");
	log_warn(&a->about, "refused: a question about a job of another peer");
	say_and_end(a, cookie_new_abort(a->id, &e));
}

/* Looks again soon, but not for ever. */
static void again(struct arrival *a, const char *reason)
{
	if (clock_ms() < a->asked.until_ms)
		arrival_look(a, AGAIN_MS);
	else
		say_unsure(a, reason);
}

/* ---- a twin that lives ---- */

static void say_runs(struct arrival *a, const json_t *status, const char *migration)
{
	json_t *msg = arrival_recovered(a, "runs");
	const char *text = json_string_value(json_object_get(status, "status"));
	struct err e = ERR_INIT;

	json_object_set_new(msg, "runs",
			    json_boolean(json_is_true(json_object_get(status, "running"))));
	json_object_set_new(msg, "status", json_string(text ? text : "unknown"));
	if (!migration || strncmp(migration, "postcopy-", 9) != 0)
		a->postcopy = ARRIVAL_POSTCOPY_NOT;
	if (a->postcopy)
		json_object_set_new(msg, "postcopy", json_true());
	log_info(&a->about, "the VM is here, its state is %s", text ? text : "unknown");
	if (!arrival_enter(a, ARRIVAL_RUNS)) {
		json_decref(msg);
		return;
	}
	if (!a->talk) { /* found at the start: it waits in the journal for the question */
		json_decref(msg);
		if (!a->postcopy) /* (see phase_runs.c: its monitor is kept) */
			arrival_over(a);
		return;
	}
	/* (A source whose QEMU has ended has no RAM to send.) */
	if (a->postcopy && strcmp(a->asked.state, "ended") != 0) {
		if (arrival_route(a, &e) < 0) {
			json_decref(msg);
			arrival_recover_not_yet(a, e.text);
		} else {
			arrival_ram_listen_again(a, msg);
		}
		return;
	}
	arrival_say(a, msg);
}

enum { Q_MIGRATE, Q_STATUS };

static void on_running(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct arrival *a = ctx;
	const json_t *status = qmp_batch_result(b, 1);

	(void)q;
	if (a->state != ARRIVAL_ASKED || e->code == ERR_CLOSED)
		return; /* (its monitor's end is told by itself) */
	if (!err_is_set(e) && json_is_true(json_object_get(status, "running"))) {
		say_runs(a, status,
			 NULL); /* (in postcopy it is made to run another way: on_state) */
		return;
	}
	say_unsure(a, err_is_set(e) ? e->text : "the VM is here and cannot be made to run");
}

/* It was decided that it runs, and nobody has said `cont`. */
static void make_run(struct arrival *a)
{
	struct qmp_batch *b = qmp_batch_new();

	log_info(&a->about, "the VM has arrived and is made to run");
	qmp_batch_add(b, QMP_MUST, "cont", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	arrival_net_announce(a, b);
	qmp_batch_run(b, a->qemu.qmp, on_running, a);
}

static void on_state(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct arrival *a = ctx;
	const char *migration =
	    json_string_value(json_object_get(qmp_batch_result(b, Q_MIGRATE), "status"));
	const json_t *state = qmp_batch_result(b, Q_STATUS);
	const char *status = json_string_value(json_object_get(state, "status"));
	bool to_run, waits;

	(void)q;
	if (a->state != ARRIVAL_ASKED || e->code == ERR_CLOSED)
		return;
	if (err_is_set(e) || !status) {
		say_unsure(a, err_is_set(e) ? e->text : "the destination's QEMU has no state");
		return;
	}
	waits = a->run && arrival_record_is(a->record, "decided") &&
		!json_is_true(json_object_get(state, "running"));
	to_run = waits && (strcmp(status, "paused") == 0 || strcmp(status, "prelaunch") == 0);
	/* In postcopy the first thing that its guest does may need a page that has not come, and
	 * hold up the main loop: this monitor is the only one from then on, and is not given away
	 * for an answer. So that guest is made to run as one whose devices load. */
	if (a->postcopy && migration && strncmp(migration, "postcopy-", 9) == 0) {
		snprintf(a->ram.status, sizeof(a->ram.status), "%s", migration);
		a->runs.twin = waits ? ARRIVAL_TWIN_LOADS : ARRIVAL_TWIN_IS_HERE;
		to_run = false;
	}
	if (to_run)
		make_run(a);
	else
		say_runs(a, state, migration);
}

static void qemu_ready(struct arrival *a)
{
	struct qmp *q = a->qemu.qmp;
	struct qmp_batch *b;

	a->qemu.ready = true;
	if (a->qemu.pid && qmp_peer_pid(q) != a->qemu.pid) {
		say_unsure(a, "another process listens at the monitor of the destination's QEMU");
		return;
	}
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "query-migrate", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, q, on_state, a);
}

static void qemu_ended(struct arrival *a, const struct err *why)
{
	struct err e = *why;

	arrival_drop_qmp(a);
	a->qemu.ready = false;
	if (e.code == ERR_TIMEOUT && a->postcopy)
		err_set(&e, ERR_TIMEOUT, "%s", WAITS_FOR_PAGES);
	else
		err_prefix(&e, "the destination");
	again(a, e.text);
}

static void ask_twin(struct arrival *a)
{
	const char *qmp = json_string_value(json_object_get(a->record, "qmp"));
	struct err e = ERR_INIT;

	arrival_record_take(a);
	a->postcopy = json_is_true(json_object_get(a->record, "postcopy")) ? ARRIVAL_POSTCOPY_SAID
									   : ARRIVAL_POSTCOPY_NOT;
	snprintf(a->twin.qmp, sizeof(a->twin.qmp), "%s", qmp ? qmp : "");
	if (a->qemu.qmp && a->runs.twin == ARRIVAL_TWIN_LOADS &&
	    strcmp(a->ram.status, "failed") == 0) {
		if (arrival_enter(a, ARRIVAL_RUNS)) {
			arrival_no_deadline(a); /* who asks again is to hear the same */
			arrival_recover_lost(a);
		}
		return;
	}
	if (a->qemu.qmp) { /* taken over: it runs, and may not answer before it has its pages */
		json_t *status = json_pack("{s:b,s:s}", "running",
					   a->run && a->runs.twin != ARRIVAL_TWIN_LOADS, "status",
					   a->runs.twin == ARRIVAL_TWIN_LOADS ? "inmigrate"
					   : a->run			      ? "running"
									      : "paused");

		say_runs(a, status, a->ram.status);
		json_decref(status);
		return;
	}
	arrival_no_look(a); /* that of again(): what is awaited now is an answer */
	a->qemu.qmp = qmp_connect(a->service->base, a->twin.qmp, 0, &arrival_qmp_ops, a, &e);
	if (a->qemu.qmp)
		qmp_want_oob(a->qemu.qmp);
	if (!a->qemu.qmp)
		say_unsure(a, e.text);
	else /* one that has stopped greets, or answers, too late */
		arrival_deadline(a, ASK_MS);
}

/* ---- a twin that does not ---- */

/* Another arrival's twin, which holds no locks while it waits, may have the same images. */
static bool is_planned(const struct arrival *a, struct err *e)
{
	const json_t *image;
	size_t i;

	json_array_foreach(json_object_get(a->record, "images"), i, image)
	{
		if (!arrival_image_is_planned(a, json_string_value(image), false))
			continue;
		err_set(e, ERR_REFUSED,
			"the VM's QEMU has ended on the destination, and another VM that comes "
			"there uses its disk %s now",
			json_string_value(image));
		return true;
	}
	return false;
}

static void gone(struct arrival *a)
{
	struct err keep = ERR_INIT;

	arrival_record_clean_sockets(a->service, a->record);
	/* The source has been told, and has ended its VM, or will: what that VM has left here
	 * is all that there is of it. */
	if (strcmp(a->asked.state, "ended") == 0) {
		json_t *msg = arrival_recovered(a, "runs");

		json_object_set_new(msg, "runs", json_false());
		json_object_set_new(msg, "status", json_string("gone"));
		log_warn(&a->about, "the VM was here, and has ended since");
		arrival_record_take(a);
		if (!arrival_enter(a, ARRIVAL_RUNS)) {
			json_decref(msg);
			return;
		}
		a->runs.twin = ARRIVAL_TWIN_WAS_HERE;
		arrival_deadline(a, ARRIVAL_CONFIRM_MS);
		arrival_say(a, msg);
		return;
	}
	if (is_planned(a, &keep) || !arrival_record_may_drop(a->record, &keep)) {
		say_unsure(a, keep.text);
		return;
	}
	arrival_record_clean(a->service, a->record);
	say_never(a, "its QEMU has gone; what the job has made is removed");
}

/* ---- what is there ---- */

static struct arrival *find(const struct arrival *a)
{
	struct arrival *other;

	TAILQ_FOREACH(other, &a->service->arrivals, listed)
	if (other != a && strcmp(other->id, a->id) == 0)
		return other;
	return NULL;
}

/* An arrival that is still in memory; true when it is out of the way. */
static bool end_other(struct arrival *a)
{
	struct arrival *other = find(a);
	struct err e = ERR_INIT;

	if (!other)
		return true;
	if (a->talk && *other->peer && !rights_same_peer(other->peer, a->peer)) {
		refuse(a);
		return false;
	}
	if (arrival_is(other, ARRIVAL_OPEN)) {
		err_set(&e, ERR_CANCELLED, "the source asks what became of it over a new talk");
		arrival_fail(other, &e);
	}
	if (other->over.undoes) {
		again(a, "what the job has made is still being removed there");
		return false;
	}
	/* Its last word, which says why, is on its way; a line that is dead is not waited for. */
	if (other->talk && !talk_flushed(other->talk) &&
	    clock_ms() + ASK_MS < a->asked.until_ms + FLUSH_MS) {
		again(a, "what the job has made is still being removed there");
		return false;
	}
	if (other->saving.state) {
		/* What is in the journal is not what holds. */
		if (arrival_record_write(other, other->saving.state, &e) < 0) {
			err_prefix(&e, "on the destination");
			again(a, e.text);
			return false;
		}
	}
	/* The monitor that it has is the only way to a QEMU whose main loop waits for pages. */
	if ((other->state == ARRIVAL_RUNS || other->postcopy == ARRIVAL_POSTCOPY_BEGUN) &&
	    other->postcopy && other->qemu.qmp && *other->ram.status) {
		if (other->runs.twin == ARRIVAL_TWIN_LOADS || other->state != ARRIVAL_RUNS)
			a->runs.twin = ARRIVAL_TWIN_LOADS;
		a->qemu.qmp = other->qemu.qmp;
		other->qemu.qmp = NULL;
		qmp_forget(a->qemu.qmp);
		qmp_set_owner(a->qemu.qmp, &arrival_qmp_ops, a);
		a->qemu.ready = true;
		snprintf(a->ram.status, sizeof(a->ram.status), "%s", other->ram.status);
		json_decref(a->record);
		a->record = json_incref(other->record);
	}
	/* All else that it knows is in the journal, whose lock could not be taken anew where its
	 * folder is read only by now. */
	if (!a->journal) {
		a->journal = other->journal;
		other->journal = NULL;
	}
	arrival_free(other);
	return true;
}

static void settle(struct arrival *a)
{
	const char *peer;
	struct err e = ERR_INIT;
	bool taken;

	if (!end_other(a))
		return;
	/* Such a monitor cannot be had again: nothing that might fail, or has to be waited for,
	 * comes before its use. It was decided, and what was written is at hand. */
	taken = a->qemu.qmp && a->record;
	if (!taken && !arrival_record_read(a, &e)) {
		/* The id tells the source whether that is a word of the host that it knew: it goes
		 * with the records. */
		if (!err_is_set(&e) &&
		    journal_host_id(a->service->config.state_dir, a->service->host, &e) == 0)
			say_never(a, "nothing is known of it");
		else
			again(a, e.text);
		return;
	}
	peer = json_string_value(json_object_get(a->record, "peer"));
	if (a->talk && (!peer || !rights_same_peer(peer, a->peer))) {
		refuse(a);
		return;
	}
	if (!taken && arrival_record_guarded(a->record)) {
		again(a, "what the job has made is still being removed there");
	} else if (arrival_record_is(a->record, "preparing")) {
		arrival_record_clean(a->service, a->record);
		say_never(a, "what the job has made is removed");
	} else if (arrival_record_twin(a->record) == ARRIVAL_TWIN_GONE) {
		gone(a);
	} else {
		ask_twin(a);
	}
}

/* ---- the phase ---- */

static void enter(struct arrival *a)
{
	a->asked.until_ms = clock_ms() + ASK_MS;
	if (a->talk)
		settle(a);
	else
		arrival_look(a, 0); /* from the loop */
}

static void late(struct arrival *a)
{
	if (a->qemu.qmp)
		say_unsure(a, a->postcopy ? WAITS_FOR_PAGES
					  : "the destination's QEMU lives and does not answer");
	else
		settle(a);
}

static void talk_ended(struct arrival *a, const struct err *why)
{
	(void)why;
	arrival_over_at_once(a);
}

static const struct arrival_event events[] = {{"MIGRATION", arrival_take_status}, {0}};

const struct arrival_phase arrival_phase_asked = {
    .name = "asked",
    .to = ARRIVAL_TO(RUNS) | ARRIVAL_TO(OVER),
    .is = ARRIVAL_CLAIMS,
    .enter = enter,
    .deadline = {.ms = ASK_MS, .over = late},
    .look = settle,
    .events = events,
    .talk_ended = talk_ended,
    .qemu_ready = qemu_ready,
    .qemu_ended = qemu_ended,
};
