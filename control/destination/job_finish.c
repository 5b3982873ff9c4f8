/*
 * Finish: QEMU is asked whether everything has arrived; then the decision, which is
 * made once and by nobody else: it is written to the journal, the guardian is dismissed,
 * and the VM runs. The decision comes before `cont`, since a guest that has run, if only
 * for an instant, is not to be killed by a guardian any more.
 *
 * Confirm: the source knows, and its VM still lives. Once it was told CONFIRMED it ends
 * that one, so this is said only of a twin that lives, and after the journal has it.
 */
#include "control/destination/job_i.h"

#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/point.h"

enum {
	LOOK_MS = 5,	    /* between looks: the guest stands still meanwhile */
	ARRIVE_MS = 20000,  /* the last of RAM and the devices */
	CONFIRM_MS = 60000, /* for CONFIRM, and then for ENDED: the source QEMU takes its time */
	GONE_EVERY_MS = 20, /* between looks at a twin whose monitor has gone */
	GONE_MS = 5000,
	ALONE_EVERY_MS = 100, /* looks at a twin that nobody waits for */
	SAVE_EVERY_MS = 500,  /* between tries to write "confirmed", and for so long: the source */
	SAVE_MS = 10000,      /* waits for 15 s */
};

void job_leave_to_journal(struct job *j, const char *why)
{
	talk_end(j->talk, why);
	talk_free(j->talk);
	j->talk = NULL;
	job_over(j);
}

void job_lost(struct job *j, const struct err *why)
{
	struct err e = *why, ignored = ERR_INIT, keep = ERR_INIT;

	log_error(&j->about, "the VM has come and gone: %s", e.text);
	job_drop_streams(j, e.text);
	proc_kill(j->qemu);
	j->qemu = NULL;
	qmp_free(j->qmp);
	j->qmp = NULL;
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

/* Whether the twin is surely gone; else it is looked at again, for a while. */
static void look_for_it(struct job *j)
{
	if (j->record && job_record_twin(j->record) == JOB_TWIN_GONE) {
		job_lost(j, &j->suspect);
		return;
	}
	if (clock_ms() < j->finish_until_ms) {
		job_wait(j, GONE_EVERY_MS);
		return;
	}
	log_error(&j->about,
		  "%s, and its process lives: the job stays in the journal until its source asks "
		  "again",
		  j->suspect.text);
	job_leave_to_journal(j, j->suspect.text);
}

void job_missing(struct job *j, const struct err *why)
{
	qmp_free(j->qmp);
	j->qmp = NULL;
	if ((j->state != JOB_DECIDED && j->state != JOB_RUNS) || j->missing)
		return;
	j->missing = true;
	if (!err_is_set(&j->suspect))
		j->suspect = *why;
	j->finish_until_ms = clock_ms() + GONE_MS;
	look_for_it(j);
}

/* It is decided but cannot be made to run: nobody may resume the source before this
 * twin is surely dead. */
static void cannot_run(struct job *j, const struct err *e)
{
	j->suspect = *e;
	err_prefix(&j->suspect, "the VM has arrived and does not start");
	log_error(&j->about, "%s", j->suspect.text);
	if (j->launched && j->qemu)
		kill(proc_pid(j->qemu), SIGKILL); /* its end is told to job_lost */
	else if (e->code == ERR_CLOSED)
		job_missing(j, e);
	else
		/* Not ours to kill: it is paused, and so is the source. */
		job_leave_to_journal(j, j->suspect.text);
}

/* For the length of the pause, which no clock of one host sees whole: how long the question was
 * here, so that the source knows how long both words were on their way, and since when it runs. */
static void say_times(const struct job *j, json_t *msg)
{
	uint64_t now_us = clock_us();

	if (j->finish_us)
		json_object_set_new(msg, "held_us",
				    json_integer((json_int_t)(now_us - j->finish_us)));
	if (j->resumed_us)
		json_object_set_new(msg, "ran_us",
				    json_integer((json_int_t)(now_us - j->resumed_us)));
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
		if (!j->postcopy) /* (see job.c: its monitor is kept) */
			job_over(j);
		return;
	}
	job_say(j, msg);
	if (!j->postcopy)
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
	struct qmp_batch *b;
	struct err e = ERR_INIT;

	if (j->forced) {
		job_record_keep(j, "decided"); /* nobody else can run it: it does, in any case */
	} else if (job_record_write(j, "decided", &e) < 0) {
		err_prefix(&e, "the decision cannot be written down on the destination");
		job_fail(j, &e); /* undone: the source runs on */
		return;
	}
	POINT("d-decided");
	if (!job_enter(j, JOB_DECIDED))
		return;
	event_del(j->ev_suspect);
	j->suspect.code = ERR_NONE;
	guardian_commit(j->guardian);
	j->guardian = NULL;
	job_keep_decided(j);
	POINT("d-committed");
	b = qmp_batch_new();
	qmp_batch_add(b, j->run ? QMP_MUST : QMP_MAY, j->run ? "cont" : "query-version", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, j->qmp, on_cont, j);
}

/* In postcopy the VM is here once its devices are; its RAM follows while it runs. */
static bool has_arrived(const struct job *j, const char *migration, const char *status)
{
	if (!migration || !status || strcmp(status, "inmigrate") == 0)
		return false;
	return strcmp(migration, "completed") == 0 ||
	       (j->postcopy && strncmp(migration, "postcopy-", 9) == 0);
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
	if (has_arrived(j, migration, status)) {
		if (strncmp(migration, "postcopy-", 9) == 0)
			job_force(j); /* (its event may come a moment later) */
		if (job_images_there(j, &why) == 0) {
			decide(j);
		} else if (!j->postcopy) {
			job_fail(j, &why);
		} else { /* it can live here only, for as long as its QEMU does */
			log_error(&j->about, "%s: copy it out of the running VM", why.text);
			decide(j);
		}
		return;
	}
	/* Its devices may wait for pages: it is given up only when it ends itself. */
	if (j->forced) {
		job_wait(j, j->talk ? LOOK_MS : ALONE_EVERY_MS);
		return;
	}
	/* The source says "postcopy" once it has sent the devices, this QEMU only when it has them:
	 * until then it is the only one that can get them, however long that takes. */
	if ((migration && strcmp(migration, "failed") == 0) ||
	    (!j->postcopy && clock_ms() > j->finish_until_ms)) {
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

/* "postcopy-active" says that the twin has all that it takes to go on but RAM: the contents of its
 * devices have come in one piece, and it begins to load them. That may take a while, as a device
 * may read pages of the guest's that are still on the source. */
void job_force(struct job *j)
{
	/* (only a twin that is no QEMU says so before there is a stream for RAM) */
	if (j->forced || (j->state != JOB_FINISHING && !job_may(j->state, JOB_FINISHING)))
		return;
	j->postcopy = true;
	if (job_state_is(j->state, JOB_RECEIVES))
		j->run = j->desc.running;
	/* From here on the twin is not killed, whether that can be written down now or not. */
	j->forced = true;
	job_record_keep(j, "decided");
	guardian_commit(j->guardian);
	j->guardian = NULL;
	POINT("d-postcopy");
}

void job_finish_alone(struct job *j, const struct err *why)
{
	j->suspect.code = ERR_NONE; /* the next one counts again */
	if (!j->qmp) {
		if (job_state_is(j->state, JOB_RECEIVES) && !job_enter(j, JOB_FINISHING))
			return;
		job_leave_to_journal(j, why->text);
		return;
	}
	if (j->state == JOB_FINISHING) {
		job_wait(j, ALONE_EVERY_MS);
		return;
	}
	if (!job_enter(j, JOB_FINISHING))
		return;
	look(j);
}

/* ---- taken over while its devices load ---- */

static void confirm(struct job *j);

/* CONFIRM came while they loaded. */
static void confirm_now(struct job *j)
{
	if (j->confirming && j->state == JOB_RUNS) {
		j->confirming = false;
		confirm(j);
	}
}

static void on_running(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	const json_t *state = qmp_batch_result(b, 1);

	(void)q;
	if (err_is_set(e) || !json_is_true(json_object_get(state, "running")))
		log_error(&j->about, "the VM has its devices and does not run: %s",
			  err_is_set(e) ? e->text : "look at its monitor");
	else
		log_info(&j->about, "the VM has its devices, and runs here");
	confirm_now(j);
}

static void on_arrived(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	const char *migration =
	    json_string_value(json_object_get(qmp_batch_result(b, 0), "status"));
	const char *status = json_string_value(json_object_get(qmp_batch_result(b, 1), "status"));
	struct timeval tv = {.tv_usec = ALONE_EVERY_MS * 1000};

	if (!j->loading || err_is_set(e))
		return; /* (its monitor's end is told by itself) */
	if (!has_arrived(j, migration, status)) {
		event_add(j->ev_arrive, &tv);
		return;
	}
	j->loading = false;
	if (!j->run || (strcmp(status, "paused") != 0 && strcmp(status, "prelaunch") != 0)) {
		confirm_now(j);
		return;
	}
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "cont", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, q, on_running, j);
}

void job_arrive(struct job *j)
{
	struct qmp_batch *b;

	if (!j->loading || !j->qmp)
		return;
	/* Answered once its main loop comes back from the loading. */
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "query-migrate", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, j->qmp, on_arrived, j);
}

void job_arrive_due(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	job_arrive(ctx);
}

void job_finish_due(struct job *j)
{
	if (j->state == JOB_FINISHING) {
		look(j);
	} else if (j->missing) {
		look_for_it(j);
	} else if (j->state == JOB_RUNS && j->confirm_until_ms) {
		confirm(j);
	} else if (j->state == JOB_RUNS && j->postcopy) {
		job_ram_recover_due(j);
	} else if (j->state == JOB_RUNS) {
		log_warn(&j->about, "the source has not confirmed that the VM is here: the journal "
				    "keeps the job until it asks again");
		job_leave_to_journal(j, "the source has not confirmed in time that the VM is here");
	} else if (j->state == JOB_CONFIRMED) {
		log_info(&j->about, "the source has not said that its VM has ended; the VM is "
				    "here");
		job_leave_to_journal(j, "the source has not said in time that its VM has ended");
	}
}

void job_finish(struct job *j, const json_t *msg)
{
	struct err e = ERR_INIT;

	j->finish_us = clock_us();
	POINT("d-finish");
	if (!j->ram.count) {
		err_set(&e, ERR_PROTOCOL,
			"the source says that all was sent, and has opened no stream for RAM");
		job_fail(j, &e);
		return;
	}
	j->run = json_is_true(json_object_get(msg, "run"));
	j->postcopy = j->postcopy || json_is_true(json_object_get(msg, "postcopy"));
	j->finish_until_ms = clock_ms() + ARRIVE_MS;
	if (!job_enter(j, JOB_FINISHING))
		return;
	look(j);
}

/* ---- Confirm ---- */

/* The source is told only what is written down; the VM runs here meanwhile. */
static void confirm_later(struct job *j, const struct err *why)
{
	struct err e = *why;

	if (!j->confirm_until_ms) {
		log_error(&j->about, "%s. Until then the source's VM is not ended", why->text);
		j->confirm_until_ms = clock_ms() + SAVE_MS;
	}
	/* Until that is written the journal has nothing, or less than what holds: this job is kept.
	 */
	if (!j->unsaved && !j->past) {
		j->unsaved = "decided";
		job_wait_save(j);
	}
	if (clock_ms() < j->confirm_until_ms) {
		job_wait(j, SAVE_EVERY_MS);
		return;
	}
	err_prefix(&e, "the VM runs on the destination, which cannot write that down");
	job_leave_to_journal(j, e.text);
}

static void confirm(struct job *j)
{
	struct err e = ERR_INIT;

	if (job_record_write(j, "confirmed", &e) < 0) {
		confirm_later(j, &e);
		return;
	}
	if (!job_enter(j, JOB_CONFIRMED))
		return;
	job_wait(j, CONFIRM_MS);
	job_say(j, cookie_new(COOKIE_CONFIRMED, j->id));
}

static void on_alive(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct job *j = ctx;

	(void)q;
	(void)result;
	if (j->loading && e->code != ERR_CLOSED)
		return; /* once it runs */
	j->confirming = false;
	/* (When its monitor has gone job_missing sees to that.) */
	if (j->state == JOB_RUNS && e->code != ERR_CLOSED)
		confirm(j);
}

void job_confirm(struct job *j)
{
	POINT("d-confirm");
	if (j->past) {
		confirm(j);
	} else if (j->qmp) {
		j->confirming = true;
		/* Any answer will do: what its guest does by now is not the source's matter. */
		qmp_command(j->qmp, "query-status", NULL, on_alive, j);
	}
}

void job_ended(struct job *j, const json_t *msg)
{
	POINT("d-ended");
	log_info(&j->about, "the migration is over: the VM is here, the source's %s",
		 json_string_value(json_object_get(msg, "source")));
	job_ram_drop(j, "the migration is over");
	job_record_clean_sockets(j->service, j->record); /* of an adit serve that was killed, too */
	job_record_remove(j);
	job_over(j);
}
