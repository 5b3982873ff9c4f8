/*
 * It runs here, and the source has been told, or is about to be. CONFIRM is awaited: the source
 * knows, and its VM still lives. Once it was told CONFIRMED it ends that one, so this is said only
 * of a twin that lives, and after the journal has it.
 *
 * In postcopy the rest of RAM comes meanwhile, over new streams where the way broke (job_mend.c).
 */
#include "control/destination/job_i.h"

#include <string.h>

#include "base/clock.h"
#include "base/point.h"

enum {
	ALONE_EVERY_MS = 100, /* looks at a twin that nobody waits for */
	SAVE_EVERY_MS = 500,  /* between tries to write "confirmed", and for so long: the source */
	SAVE_MS = 10000,      /* waits for 15 s */
};

/* ---- Confirm ---- */

/* The source is told only what is written down; the VM runs here meanwhile. */
static void confirm_later(struct job *j, const struct err *why)
{
	struct err e = *why;

	if (j->runs.confirm != JOB_CONFIRM_SAVES) {
		log_error(&j->about, "%s. Until then the source's VM is not ended", why->text);
		j->runs.confirm = JOB_CONFIRM_SAVES;
		j->runs.save_until_ms = clock_ms() + SAVE_MS;
		job_no_deadline(j);
	}
	/* Until that is written the journal has nothing, or less than what holds: this job is kept.
	 */
	if (!j->saving.state && j->runs.twin != JOB_TWIN_WAS_HERE) {
		j->saving.state = "decided";
		job_wait_save(j);
	}
	if (clock_ms() < j->runs.save_until_ms) {
		job_look(j, SAVE_EVERY_MS);
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
	job_enter(j, JOB_CONFIRMED);
}

static void on_alive(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct job *j = ctx;

	(void)q;
	(void)result;
	if (j->state != JOB_RUNS || (j->runs.twin == JOB_TWIN_LOADS && e->code != ERR_CLOSED))
		return; /* once it runs */
	/* (When its monitor has gone job_missing sees to that.) */
	if (e->code != ERR_CLOSED)
		confirm(j);
	else if (j->runs.confirm == JOB_CONFIRM_CAME)
		j->runs.confirm = JOB_CONFIRM_AWAITED;
}

static void take_confirm(struct job *j, const json_t *msg)
{
	(void)msg;
	if (j->runs.confirm == JOB_CONFIRM_CAME) {
		job_out_of_order(j, COOKIE_CONFIRM);
		return;
	}
	POINT("d-confirm");
	if (j->runs.twin == JOB_TWIN_WAS_HERE) {
		confirm(j);
	} else if (j->qemu.qmp) {
		if (j->runs.confirm == JOB_CONFIRM_AWAITED)
			j->runs.confirm = JOB_CONFIRM_CAME;
		/* Any answer will do: what its guest does by now is not the source's matter. */
		qmp_command(j->qemu.qmp, "query-status", NULL, on_alive, j);
	}
}

/* ---- taken over while its devices load ---- */

/* CONFIRM came while they loaded. */
static void confirm_now(struct job *j)
{
	if (j->runs.confirm == JOB_CONFIRM_CAME && j->state == JOB_RUNS)
		confirm(j);
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

	if (j->runs.twin != JOB_TWIN_LOADS || err_is_set(e))
		return; /* (its monitor's end is told by itself) */
	if (!job_has_arrived(j, migration, status)) {
		event_add(j->runs.ev_arrive, &tv);
		return;
	}
	j->runs.twin = JOB_TWIN_IS_HERE;
	if (!j->run || (strcmp(status, "paused") != 0 && strcmp(status, "prelaunch") != 0)) {
		confirm_now(j);
		return;
	}
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "cont", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, q, on_running, j);
}

/* A twin that was taken over while its devices loaded is made to run once it has them. */
static void arrive(struct job *j)
{
	struct qmp_batch *b;

	if (j->runs.twin != JOB_TWIN_LOADS || !j->qemu.qmp)
		return;
	/* Answered once its main loop comes back from the loading. */
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "query-migrate", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, j->qemu.qmp, on_arrived, j);
}

void job_arrive_due(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	arrive(ctx);
}

/* ---- the phase ---- */

static void enter(struct job *j)
{
	if (j->postcopy)
		job_no_deadline(j);
	if (strcmp(j->ram.status, "failed") != 0)
		arrive(j);
}

static void look(struct job *j)
{
	if (j->lost.until_ms)
		job_lost_look(j);
	else if (j->runs.confirm == JOB_CONFIRM_SAVES)
		confirm(j);
	else if (j->postcopy)
		job_ram_recover_look(j);
}

static void late(struct job *j)
{
	log_warn(&j->about, "the source has not confirmed that the VM is here: the journal keeps "
			    "the job until it asks again");
	job_leave_to_journal(j, "the source has not confirmed in time that the VM is here");
}

static void take_stream(struct job *j, struct session *s, struct stream *stream, const char *what)
{
	if (!j->postcopy || strncmp(what, "/ram", 4) != 0)
		job_no_streams(stream);
	else if (what[4] && what[4] != '/')
		stream_refuse(stream, CODE_REFUSED, "a job has the streams ram and disk/NAME");
	else
		job_ram_take_again(j, s, stream, what + 4);
}

static void talk_ended(struct job *j, const struct err *why)
{
	log_warn(&j->about,
		 "the source went away before it knew that the VM is here (%s): the journal keeps "
		 "the job until it asks again",
		 why->text);
	/* The monitor is kept for the question: a new one may not be answered while the guest waits
	 * for pages. QEMU sees at once that none will come. */
	if (j->postcopy && j->qemu.qmp)
		job_drop_streams(j, why->text);
	else
		job_over_at_once(j);
}

/* (Of a twin that was found again, its end is told as it is.) */
static void qemu_ended(struct job *j, const struct err *why)
{
	if (j->before == JOB_ASKED)
		job_missing(j, why);
	else
		job_twin_missing(j, why);
}

static const struct job_cookie cookies[] = {{COOKIE_CONFIRM, take_confirm}, {0}};

static const struct job_event events[] = {{"MIGRATION", job_take_status}, {0}};

const struct job_phase job_phase_runs = {
    .name = "runs",
    .to = JOB_TO(CONFIRMED) | JOB_TO(OVER),
    .enter = enter,
    .deadline = {.ms = JOB_CONFIRM_MS, .over = late},
    .look = look,
    .cookies = cookies,
    .events = events,
    .stream = take_stream,
    .talk_ended = talk_ended,
    .qemu_ended = qemu_ended,
    .qemu_exited = job_lost,
};
