/*
 * The source asks again what became of a job (RECOVER as the first cookie of a talk), and
 * adit serve starts and finds the records of one that was killed. The answer comes from
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
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"

enum {
	ASK_MS = 10000, /* until "unsure" */
	AGAIN_MS = 50,	/* between looks */
	FLUSH_MS = 1000,
	CONFIRM_MS = 60000,
};

/* Postcopy, and nobody has kept a monitor to it that could still speak to it. */
#define WAITS_FOR_PAGES                                                                            \
	"the destination's QEMU lives, and its monitor does not answer: it waits for RAM that "    \
	"has not "                                                                                 \
	"come from the source, for its guest or to load its devices"

/* QEMU takes broken postcopy up only once its devices are loaded. */
#define LOST_LOADING                                                                               \
	"the way broke in the instant when the VM's devices went over (postcopy), and the "        \
	"destination's QEMU has given up: neither host has all of its RAM any more"

static void settle(struct job *j);

/* ---- the answer ---- */

static json_t *answer(const struct job *j, const char *outcome)
{
	json_t *msg = cookie_new(COOKIE_RECOVERED, j->id);

	json_object_set_new(msg, "host", json_string(job_record_host(j)));
	json_object_set_new(msg, "outcome", json_string(outcome));
	return msg;
}

/* The last word of this talk. */
static void say_and_end(struct job *j, json_t *msg)
{
	qmp_free(j->qmp);
	j->qmp = NULL;
	j->qmp_ready = false;
	job_say(j, msg);
	/* The next question may come before this talk has ended. */
	journal_close(j->journal);
	j->journal = NULL;
	job_over(j);
}

static void say_never(struct job *j, const char *what)
{
	json_t *msg = answer(j, "never");

	log_info(&j->about, "asked again by the source: the VM does not run here (%s)", what);
	job_record_remove(j);
	say_and_end(j, msg);
}

static void say_unsure(struct job *j, const char *reason)
{
	json_t *msg = answer(j, "unsure"), *text = json_string(reason);

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
	if (clock_ms() < j->finish_until_ms)
		job_wait(j, AGAIN_MS);
	else
		say_unsure(j, reason);
}

/* ---- a twin that lives ---- */

static void say_runs(struct job *j, const json_t *status, const char *migration)
{
	json_t *msg = answer(j, "runs");
	const char *text = json_string_value(json_object_get(status, "status"));
	struct err e = ERR_INIT;

	json_object_set_new(msg, "runs",
			    json_boolean(json_is_true(json_object_get(status, "running"))));
	json_object_set_new(msg, "status", json_string(text ? text : "unknown"));
	j->postcopy = j->postcopy && migration && strncmp(migration, "postcopy-", 9) == 0;
	if (j->postcopy)
		json_object_set_new(msg, "postcopy", json_true());
	log_info(&j->about, "the VM is here, its state is %s", text ? text : "unknown");
	if (!job_enter(j, JOB_RUNS)) {
		json_decref(msg);
		return;
	}
	job_arrive(j);
	if (!j->talk) { /* found at the start: it waits in the journal for the question */
		json_decref(msg);
		job_over(j);
		return;
	}
	/* (A source whose QEMU has ended has no RAM to send.) */
	if (j->postcopy && strcmp(j->asked, "ended") != 0) {
		if (job_route(j, &e) < 0) {
			json_decref(msg);
			job_recover_not_yet(j, e.text);
		} else {
			job_ram_listen_again(j, msg);
		}
		return;
	}
	job_say(j, msg);
	if (!j->postcopy)
		job_wait(j, CONFIRM_MS);
}

void job_recover_not_yet(struct job *j, const char *reason)
{
	json_t *msg = answer(j, "unsure"), *text = json_string(reason);

	json_object_set_new(msg, "postcopy", json_true());
	json_object_set_new(msg, "reason", text ? text : json_string("(not UTF-8)"));
	log_warn(&j->about, "the rest of the VM's RAM cannot be taken now: %s", reason);
	job_say(j, msg);
}

/* Its monitor is kept: it is the only one, and whoever asks again is to hear the same. */
void job_recover_lost(struct job *j)
{
	json_t *msg = answer(j, "unsure");

	json_object_set_new(msg, "postcopy", json_true());
	json_object_set_new(msg, "status", json_string("failed"));
	json_object_set_new(msg, "reason", json_string(LOST_LOADING));
	log_warn(&j->about, "%s", LOST_LOADING);
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
	qmp_batch_run(b, j->qmp, on_running, j);
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

static void on_ready(void *ctx, struct qmp *q)
{
	struct job *j = ctx;
	struct qmp_batch *b;

	j->qmp_ready = true;
	if (j->twin_pid && qmp_peer_pid(q) != j->twin_pid) {
		say_unsure(j, "another process listens at the monitor of the destination's QEMU");
		return;
	}
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "query-migrate", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, q, on_state, j);
}

static void on_event(void *ctx, struct qmp *q, const char *name, const json_t *data)
{
	(void)q;
	job_ram_event(ctx, name, data);
}

static void on_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct job *j = ctx;
	struct err e = *why;

	if (j->state == JOB_RUNS) {
		job_missing(j, why);
		return;
	}
	qmp_free(q);
	j->qmp = NULL;
	j->qmp_ready = false;
	if (j->state != JOB_ASKED)
		return;
	if (e.code == ERR_TIMEOUT && j->postcopy)
		err_set(&e, ERR_TIMEOUT, "%s", WAITS_FOR_PAGES);
	else
		err_prefix(&e, "the destination");
	again(j, e.text);
}

static const struct qmp_ops qmp_ops = {on_ready, on_event, on_end};

static void ask_twin(struct job *j)
{
	const char *qmp = json_string_value(json_object_get(j->record, "qmp"));
	struct err e = ERR_INIT;

	job_record_take(j);
	j->postcopy = json_is_true(json_object_get(j->record, "postcopy"));
	snprintf(j->twin.qmp, sizeof(j->twin.qmp), "%s", qmp ? qmp : "");
	if (j->qmp && j->loading && strcmp(j->ram.status, "failed") == 0) {
		if (job_enter(j, JOB_RUNS))
			job_recover_lost(j);
		return;
	}
	if (j->qmp) { /* taken over: it runs, and may not answer before it has its pages */
		json_t *status = json_pack("{s:b,s:s}", "running", j->run && !j->loading, "status",
					   j->loading ? "inmigrate"
					   : j->run   ? "running"
						      : "paused");

		say_runs(j, status, j->ram.status);
		json_decref(status);
		return;
	}
	j->qmp = qmp_connect(j->service->base, j->twin.qmp, 0, &qmp_ops, j, &e);
	if (j->qmp)
		qmp_want_oob(j->qmp);
	if (!j->qmp)
		say_unsure(j, e.text);
	else /* one that has stopped greets, or answers, too late */
		job_wait(j, ASK_MS);
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
	if (strcmp(j->asked, "ended") == 0) {
		json_t *msg = answer(j, "runs");

		json_object_set_new(msg, "runs", json_false());
		json_object_set_new(msg, "status", json_string("gone"));
		log_warn(&j->about, "the VM was here, and has ended since");
		job_record_take(j);
		if (!job_enter(j, JOB_RUNS)) {
			json_decref(msg);
			return;
		}
		j->past = true;
		job_say(j, msg);
		job_wait(j, CONFIRM_MS);
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
	if (job_state_is(other->state, JOB_OPEN)) {
		err_set(&e, ERR_CANCELLED, "the source asks what became of it over a new talk");
		job_fail(other, &e);
	}
	if (other->undoing || other->putting_back) {
		again(j, "what the job has made is still being removed there");
		return false;
	}
	/* Its last word, which says why, is on its way; a line that is dead is not waited for. */
	if (other->talk && !talk_flushed(other->talk) &&
	    clock_ms() + ASK_MS < j->finish_until_ms + FLUSH_MS) {
		again(j, "what the job has made is still being removed there");
		return false;
	}
	if (other->unsaved) {
		/* What is in the journal is not what holds. */
		if (job_record_write(other, other->unsaved, &e) < 0) {
			err_prefix(&e, "on the destination");
			again(j, e.text);
			return false;
		}
	}
	/* The monitor that it has is the only way to a QEMU whose main loop waits for pages. */
	if ((other->state == JOB_RUNS || other->forced) && other->postcopy && other->qmp &&
	    *other->ram.status) {
		j->loading = other->loading || other->state != JOB_RUNS;
		j->qmp = other->qmp;
		other->qmp = NULL;
		qmp_forget(j->qmp);
		qmp_set_owner(j->qmp, &qmp_ops, j);
		j->qmp_ready = true;
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
	taken = j->qmp && j->record;
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

void job_recover(struct job *j, const json_t *msg)
{
	snprintf(j->id, sizeof(j->id), "%s", json_string_value(json_object_get(msg, "job")));
	snprintf(j->asked, sizeof(j->asked), "%s",
		 json_string_value(json_object_get(msg, "state")));
	log_info(&j->about, "the source asks what became of the job (it is in %s itself)",
		 j->asked);
	j->finish_until_ms = clock_ms() + ASK_MS;
	if (job_enter(j, JOB_ASKED))
		settle(j);
}

void job_recover_due(struct job *j)
{
	if (!j->qmp) {
		settle(j);
		return;
	}
	say_unsure(j, j->postcopy ? WAITS_FOR_PAGES
				  : "the destination's QEMU lives and does not answer");
}

/* ---- the start ---- */

static bool under_way(const struct service *s, const char *job)
{
	const struct job *j;

	TAILQ_FOREACH(j, &s->jobs, listed)
	if (strcmp(j->id, job) == 0)
		return true;
	return false;
}

/* True when the record of job is dealt with, or is to be left as it is; false when its
 * guardian is still at it. */
static bool go_over(struct service *s, const char *job)
{
	struct log_ctx about = {.job = job};
	struct err e = ERR_INIT;
	struct journal *journal = journal_open(s->config.state_dir, JOURNAL_DESTINATION, job, &e);
	json_t *record = journal ? journal_read(journal, &e) : NULL;
	enum job_twin_life life;
	bool run = false, done = true;
	struct job *j;

	if (!record) {
		if (err_is_set(&e))
			log_error(&about, "%s", e.text);
		goto out;
	}
	life = job_record_twin(record);
	if (job_record_guarded(record)) {
		done = false;
	} else if (job_record_is(record, "preparing")) {
		log_warn(&about, "removing what a migration has left that was under way when this "
				 "host, or adit's guardian, was ended");
		job_record_clean(s, record);
		journal_remove(journal);
		journal = NULL;
	} else if (life == JOB_TWIN_GONE) {
		job_record_clean_sockets(s, record);
		log_warn(&about, "the VM that came with it has ended, and its source has not said "
				 "that it ended its own: it will ask (adit recover there)");
	} else {
		log_info(&about, "the VM that came with it is here; its source has not said that "
				 "it ended its own");
		run = job_record_is(record, "decided") &&
		      json_is_true(json_object_get(record, "run"));
	}
out:
	json_decref(record);
	journal_close(journal);
	if (!run)
		return done;
	j = job_new_found(s, job);
	if (!j)
		return true;
	j->finish_until_ms = clock_ms() + ASK_MS;
	if (job_enter(j, JOB_ASKED))
		job_wait(j, 0); /* from the loop */
	return true;
}

void job_recover_list(struct service *s)
{
	struct err e = ERR_INIT;

	if (journal_list(s->config.state_dir, JOURNAL_DESTINATION, &s->found, &e) < 0)
		log_error(NULL, "%s", e.text);
}

bool job_recover_all(struct service *s)
{
	size_t left = 0;

	for (size_t i = 0; i < s->found.count; i++) {
		char *job = s->found.at[i];

		/* One that its source has asked for meanwhile is in hands already. */
		if (under_way(s, job) || go_over(s, job))
			free(job);
		else
			s->found.at[left++] = job;
	}
	s->found.count = left;
	if (s->found.at)
		s->found.at[left] = NULL;
	return left > 0;
}
