/*
 * It runs here, and the source has been told, or is about to be. CONFIRM is awaited: the source
 * knows, and its VM still lives. Once it was told CONFIRMED it ends that one, so this is said only
 * of a twin that lives, and after the journal has it.
 *
 * In postcopy the rest of RAM comes meanwhile, over new streams where the way broke
 * (arrival_mend.c).
 */
#include "control/destination/arrival_i.h"

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
static void confirm_later(struct arrival *a, const struct err *why)
{
	struct err e = *why;

	if (a->runs.confirm != ARRIVAL_CONFIRM_SAVES) {
		log_error(&a->about, "%s. Until then the source's VM is not ended", why->text);
		a->runs.confirm = ARRIVAL_CONFIRM_SAVES;
		a->runs.save_until_ms = clock_ms() + SAVE_MS;
		arrival_no_deadline(a);
	}
	/* Until that is written the journal has nothing, or less than what holds: it is kept.
	 */
	if (!a->saving.state && a->runs.twin != ARRIVAL_TWIN_WAS_HERE) {
		a->saving.state = "decided";
		arrival_wait_save(a);
	}
	if (clock_ms() < a->runs.save_until_ms) {
		arrival_look(a, SAVE_EVERY_MS);
		return;
	}
	err_prefix(&e, "the VM runs on the destination, which cannot write that down");
	arrival_leave_to_journal(a, e.text);
}

static void confirm(struct arrival *a)
{
	struct err e = ERR_INIT;

	if (arrival_record_write(a, "confirmed", &e) < 0) {
		confirm_later(a, &e);
		return;
	}
	arrival_enter(a, ARRIVAL_CONFIRMED);
}

static void on_alive(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct arrival *a = ctx;

	(void)q;
	(void)result;
	if (a->state != ARRIVAL_RUNS ||
	    (a->runs.twin == ARRIVAL_TWIN_LOADS && e->code != ERR_CLOSED))
		return; /* once it runs */
	/* (When its monitor has gone arrival_missing sees to that.) */
	if (e->code != ERR_CLOSED)
		confirm(a);
	else if (a->runs.confirm == ARRIVAL_CONFIRM_CAME)
		a->runs.confirm = ARRIVAL_CONFIRM_AWAITED;
}

static void take_confirm(struct arrival *a, const json_t *msg)
{
	(void)msg;
	if (a->runs.confirm == ARRIVAL_CONFIRM_CAME) {
		arrival_out_of_order(a, COOKIE_CONFIRM);
		return;
	}
	POINT("d-confirm");
	if (a->runs.twin == ARRIVAL_TWIN_WAS_HERE) {
		confirm(a);
	} else if (a->qemu.qmp) {
		if (a->runs.confirm == ARRIVAL_CONFIRM_AWAITED)
			a->runs.confirm = ARRIVAL_CONFIRM_CAME;
		/* Any answer will do: what its guest does by now is not the source's matter. */
		qmp_command(a->qemu.qmp, "query-status", NULL, on_alive, a);
	}
}

/* ---- taken over, or found, in postcopy: while its devices load, or before it was made to run ----
 */

/* CONFIRM came while they loaded. */
static void confirm_now(struct arrival *a)
{
	if (a->runs.confirm == ARRIVAL_CONFIRM_CAME && a->state == ARRIVAL_RUNS)
		confirm(a);
}

static void on_running(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct arrival *a = ctx;
	const json_t *state = qmp_batch_result(b, 1);

	(void)q;
	if (err_is_set(e) || !json_is_true(json_object_get(state, "running")))
		log_error(&a->about, "the VM has its devices and does not run: %s",
			  err_is_set(e) ? e->text : "look at its monitor");
	else
		log_info(&a->about, "the VM has its devices, and runs here");
	confirm_now(a);
}

static void on_arrived(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct arrival *a = ctx;
	const char *migration =
	    json_string_value(json_object_get(qmp_batch_result(b, 0), "status"));
	const char *status = json_string_value(json_object_get(qmp_batch_result(b, 1), "status"));
	struct timeval tv = {.tv_usec = ALONE_EVERY_MS * 1000};

	if (a->runs.twin != ARRIVAL_TWIN_LOADS || err_is_set(e))
		return; /* (its monitor's end is told by itself) */
	if (!arrival_is_complete(a, migration, status)) {
		event_add(a->runs.ev_arrive, &tv);
		return;
	}
	a->runs.twin = ARRIVAL_TWIN_IS_HERE;
	if (!a->run || (strcmp(status, "paused") != 0 && strcmp(status, "prelaunch") != 0)) {
		confirm_now(a);
		return;
	}
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "cont", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	arrival_net_announce(a, b);
	qmp_batch_run(b, q, on_running, a);
}

/* A twin that was taken over while its devices loaded is made to run once it has them. */
static void arrive(struct arrival *a)
{
	struct qmp_batch *b;

	if (a->runs.twin != ARRIVAL_TWIN_LOADS || !a->qemu.qmp)
		return;
	/* Answered once its main loop comes back from the loading. */
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "query-migrate", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, a->qemu.qmp, on_arrived, a);
}

void arrival_runs_due(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	arrive(ctx);
}

/* ---- the phase ---- */

static void enter(struct arrival *a)
{
	if (a->postcopy)
		arrival_no_deadline(a);
	if (strcmp(a->ram.status, "failed") != 0)
		arrive(a);
}

static void look_at_what_waits(struct arrival *a)
{
	if (a->lost.until_ms)
		arrival_lost_look(a);
	else if (a->runs.confirm == ARRIVAL_CONFIRM_SAVES)
		confirm(a);
	else if (a->postcopy)
		arrival_ram_recover_look(a);
}

static void late(struct arrival *a)
{
	log_warn(&a->about, "the source has not confirmed that the VM is here: the journal keeps "
			    "the job until it asks again");
	arrival_leave_to_journal(a, "the source has not confirmed in time that the VM is here");
}

static void take_stream(struct arrival *a, struct session *s, struct stream *stream,
			const char *what)
{
	if (!a->postcopy || strncmp(what, "/ram", 4) != 0)
		arrival_no_streams(stream);
	else if (what[4] && what[4] != '/')
		stream_refuse(stream, CODE_REFUSED, "a job has the streams ram and disk/NAME");
	else
		arrival_ram_take_again(a, s, stream, what + 4);
}

static void talk_ended(struct arrival *a, const struct err *why)
{
	log_warn(&a->about,
		 "the source went away before it knew that the VM is here (%s): the journal keeps "
		 "the job until it asks again",
		 why->text);
	/* The monitor is kept for the question: a new one may not be answered while the guest waits
	 * for pages. QEMU sees at once that none will come. */
	if (a->postcopy && a->qemu.qmp)
		arrival_drop_streams(a, why->text);
	else
		arrival_over_at_once(a);
}

/* (Of a twin that was found again, its end is told as it is.) */
static void qemu_ended(struct arrival *a, const struct err *why)
{
	if (a->before == ARRIVAL_ASKED)
		arrival_missing(a, why);
	else
		arrival_twin_missing(a, why);
}

static const struct arrival_cookie cookies[] = {{COOKIE_CONFIRM, take_confirm}, {0}};

static const struct arrival_event events[] = {{"MIGRATION", arrival_take_status}, {0}};

const struct arrival_phase arrival_phase_runs = {
    .name = "runs",
    .to = ARRIVAL_TO(CONFIRMED) | ARRIVAL_TO(OVER),
    .enter = enter,
    .deadline = {.ms = ARRIVAL_CONFIRM_MS, .over = late},
    .look = look_at_what_waits,
    .cookies = cookies,
    .events = events,
    .stream = take_stream,
    .talk_ended = talk_ended,
    .qemu_ended = qemu_ended,
    .qemu_exited = arrival_lost,
};
