/*
 * A migration on its destination: see job_i.h for its rooms, docs/phases.md for the
 * picture of its states.
 *
 * How it works. A job begins with a stream to "migrate" and lives as long as that
 * talk; its streams come to the router under "job:ID" and are taken only from the
 * very session that the talk came over. Until the decision everything is undone
 * when anything fails: by the job itself (job_fail), or by its guardian when adit
 * serve is gone. The decision is written to the journal; then the guardian is
 * dismissed, and from then on the VM is this host's. The source is told so, and asks
 * again (job_recover.c) where that word was lost. The record goes when the source's own
 * VM has ended.
 */
#include "control/destination/job_i.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/point.h"

enum {
	BEGIN_MS = 15000,   /* from the talk's opening to BEGIN */
	JOBS_MAX = 64,	    /* of a peer: each is processes and memory here */
	JOBS_ALL_MAX = 256, /* of all peers; beyond it, who has less than an equal part */
	SUSPECT_MS = 700,
	UNDO_SAY_MS = 3000, /* the source waits for 5 s */
	CLOSING_MS = 60000, /* QEMU ends its exports; the guest stands still */
	/* From there to FINISH. A source that is not honest is not to hold a twin for ever. An
	 * honest one, whose guest stands still, mostly gives up long before (migrate_watch.c);
	 * where its own limit is a longer one (--downtime-limit above 348 s, or a big backlog of a
	 * guest that was suspended) this one may be the first: it ends as the other would, the
	 * guest goes on at the source. */
	CLOSED_MS = 3600000,
};

void job_wait(struct job *j, uint64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	event_add(j->ev_timer, &tv);
}

static void refuse(struct job *j, enum job_state state)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_SYSTEM, "a fault of adit's own: there is no way from phase %s to %s",
		job_state_name(j->state), job_state_name(state));
	log_error(&j->about, "%s", e.text);
	if (job_state_is(j->state, JOB_OPEN) && !j->forced)
		job_fail(j, &e);
	else if (j->state != JOB_OVER)
		job_leave_to_journal(j, e.text);
}

bool job_enter(struct job *j, enum job_state state)
{
	if (!job_may(j->state, state)) {
		refuse(j, state);
		return false;
	}
	log_debug(&j->about, "%s -> %s", job_state_name(j->state), job_state_name(state));
	j->state = state;
	event_del(j->ev_timer);
	/* JOB_READY has no limit of its own: copying takes as long as its source likes, which has
	 * one if its user wants it (--timeout); its end, or its host's, is seen by the session. */
	if (state == JOB_CLOSING)
		job_wait(j, POINT_MS("closing", CLOSING_MS));
	else if (state == JOB_CLOSED)
		job_wait(j, POINT_MS("closed", CLOSED_MS));
	return true;
}

int job_say(struct job *j, json_t *msg)
{
	struct err e = ERR_INIT;

	if (!j->talk) {
		json_decref(msg);
		return -1;
	}
	if (talk_send(j->talk, msg, &e) == 0)
		return 0;
	job_fail(j, &e);
	return -1;
}

/* What the source waits for: once all is undone, or when that takes too long (left). That the
 * twin does not run is certain all the while: nobody has sent `cont`. */
static void say_last(struct job *j, const char *left)
{
	struct err ignored = ERR_INIT;
	json_t *answer = NULL;

	if (!left && (j->undoing || j->putting_back))
		return;
	if (j->answer_due) {
		answer = cookie_new(COOKIE_ABORTED, j->id);
		json_object_set_new(answer, "clean", json_boolean(!left));
		if (left)
			json_object_set_new(answer, "note", json_string(left));
	} else if (err_is_set(&j->failed)) {
		answer = cookie_new_abort(j->id, &j->failed);
	}
	j->answer_due = false;
	j->failed.code = ERR_NONE;
	event_del(j->ev_timer);
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
	j->putting_back = false;
	say_last(j, NULL);
}

static void on_undone(void *ctx)
{
	struct job *j = ctx;
	struct err e = ERR_INIT;

	j->guardian = NULL;
	j->undoing = false;
	/* It removes the record as its last deed; somebody may have killed it before that. */
	if (j->journal && job_record_read(j, &e))
		job_record_clean(j->service, j->record);
	job_record_remove(j);
	say_last(j, NULL);
}

/* Undoes all that this job has made. What takes a moment: the guardian (undoing), and a QEMU
 * that waited before, which waits again, without exports (putting_back). */
static void undo(struct job *j, const char *reason)
{
	struct qmp_batch *b = NULL;

	job_check_drop(j);
	job_drop_streams(j, reason);
	job_remove_nbd(j);
	proc_kill(j->tool);
	proc_kill(j->hook.proc);
	proc_kill(j->qemu);
	j->tool = j->hook.proc = j->qemu = NULL;
	if (j->qmp && j->qmp_ready && !j->launched && j->disk_count &&
	    (b = job_closing_batch(j, QMP_MAY)) != NULL) {
		j->putting_back = true;
		qmp_forget(j->qmp);
		qmp_batch_run(b, j->qmp, on_put_back, j);
	} else {
		qmp_free(j->qmp);
		j->qmp = NULL;
	}
	if (!j->guardian) {
		job_record_remove(j);
		return;
	}
	j->undoing = true;
	if (guardian_undo(j->guardian, j->service->base, on_undone, j) < 0)
		on_undone(j);
}

/* Leaves the list on a later turn of the loop, when nothing of it is on the stack. */
void job_over(struct job *j)
{
	static const struct timeval at_once, soon = {.tv_sec = 5};

	if (j->state != JOB_OVER && !job_enter(j, JOB_OVER))
		return;
	/* The last word goes out before the talk ends: the source ends it, or time does. */
	event_add(j->ev_reap, (j->talk && j->session) || j->qmp_ready ? &soon : &at_once);
}

/* Over, and undone; then the source is told (answer_due, failed). */
static void give_up(struct job *j, const char *reason)
{
	event_del(j->ev_suspect);
	job_over(j);
	undo(j, reason);
	job_wait(j, UNDO_SAY_MS);
	say_last(j, NULL);
}

void job_fail(struct job *j, const struct err *e)
{
	enum job_state from = j->state;

	if (!job_state_is(from, JOB_OPEN)) {
		if (from != JOB_OVER)
			log_warn(&j->about, "after the decision: %s", e->text);
		return;
	}
	log_warn(&j->about, "migration failed: %s", e->text);
	if (j->forced) {
		event_del(j->ev_suspect);
		job_finish_alone(j, e);
		return;
	}
	if (from != JOB_WAITING || *j->id) /* before BEGIN there is nothing to name */
		j->failed = *e;
	give_up(j, e->text);
}

/* The source has given up: undo, and say when it is done. */
static void abort_by_source(struct job *j, const json_t *msg)
{
	struct err e = ERR_INIT;

	cookie_get_abort(msg, &e);
	log_info(&j->about, "given up by the source: %s", e.text);
	if (j->forced) {
		job_finish_alone(j, &e);
		return;
	}
	j->answer_due = true;
	give_up(j, e.text);
}

void job_suspect(struct job *j, const struct err *e)
{
	struct timeval tv = {.tv_usec = SUSPECT_MS * 1000};

	if (!job_state_is(j->state, JOB_OPEN) || err_is_set(&j->suspect))
		return;
	j->suspect = *e;
	event_add(j->ev_suspect, &tv);
}

static void on_suspect(evutil_socket_t fd, short what, void *ctx)
{
	struct job *j = ctx;

	(void)fd;
	(void)what;
	job_fail(j, &j->suspect);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct job *j = ctx;
	struct err e = ERR_INIT;

	(void)fd;
	(void)what;
	switch (j->state) {
	case JOB_WAITING:
		err_set(&e, ERR_TIMEOUT, "the source opened a job and said nothing");
		job_fail(j, &e);
		break;
	case JOB_PREPARING:
		job_twin_due(j);
		break;
	case JOB_CLOSING:
		err_set(&e, ERR_TIMEOUT, "the destination's QEMU does not close its exports");
		job_fail(j, &e);
		break;
	case JOB_CLOSED:
		err_set(&e, ERR_TIMEOUT,
			"the source has not said in time that it has sent the last of the VM");
		job_fail(j, &e);
		break;
	case JOB_FINISHING:
	case JOB_DECIDED:
		job_finish_due(j);
		break;
	case JOB_ASKED:
		job_recover_due(j);
		break;
	case JOB_RUNS:
	case JOB_CONFIRMED:
		job_finish_due(j);
		break;
	case JOB_OVER:
		say_last(j, "what the job has made is still being removed there");
		break;
	default:
		break;
	}
}

static void on_reap(evutil_socket_t fd, short what, void *ctx)
{
	struct job *j = ctx;

	(void)fd;
	(void)what;
	if (j->undoing || j->unsaved) /* what it knows is to be in the journal first */
		event_add(j->ev_reap, &(struct timeval){.tv_sec = 1});
	else
		job_free(j);
}

/* ---- the talk ---- */

static void begin(struct job *j, const json_t *msg, bool only_check)
{
	struct err e = ERR_INIT;
	const struct job *other;
	unsigned all;

	POINT("d-begin");
	snprintf(j->id, sizeof(j->id), "%s", json_string_value(json_object_get(msg, "job")));
	if (j->service->draining) {
		err_set(&e, ERR_REFUSED,
			"this adit is ending, and takes no more VMs: try again in a while");
		job_fail(j, &e);
		return;
	}
	all = service_count_jobs(j->service);
	if (!shares_admit(&j->service->shares, j->share, all, JOBS_MAX, JOBS_ALL_MAX)) {
		if (j->share->held >= JOBS_MAX)
			err_set(&e, ERR_LIMIT,
				"%d migrations of this peer are under way there, the most allowed: "
				"try again when one has ended",
				JOBS_MAX);
		else
			err_set(&e, ERR_LIMIT,
				"%u migrations are under way there, the most allowed, and of this "
				"peer its part: try again when one has ended",
				all);
		job_fail(j, &e);
		return;
	}
	TAILQ_FOREACH(other, &j->service->jobs, listed)
	{
		if (other != j && strcmp(other->id, j->id) == 0) {
			err_set(&e, ERR_REFUSED, "a job of that id is under way here already");
			job_fail(j, &e);
			return;
		}
	}
	if (!job_enter(j, JOB_PREPARING))
		return;
	if (vmdesc_parse(&j->desc, (json_t *)msg, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	j->described = true;
	j->dest_qmp = json_string_value(json_object_get(msg, "dest_qmp"));
	j->persistent = json_is_true(json_object_get(msg, "persistent"));
	j->hook.used = !j->dest_qmp && j->rights->launch_hook;
	j->launched = !j->dest_qmp && !j->hook.used;
	job_ram_read(j, msg);
	j->only_check = only_check;
	if (job_secrets_take(j, (json_t *)msg, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	log_info(&j->about, "%s: %s, %s, %zu drives, QEMU %s",
		 only_check ? "would a VM be taken" : "a VM comes",
		 *j->desc.name ? j->desc.name : "(no name)", j->desc.machine, j->desc.disk_count,
		 j->desc.qemu);
	job_check_start(j);
}

/* A note holds the source's own words: cut and made fit for a cookie. */
static json_t *note_text(const char *note)
{
	char text[1024];

	snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, note);
	return json_string(err_printable(text));
}

void job_prepared(struct job *j)
{
	char kept[4096];
	json_t *msg = cookie_new(COOKIE_PREPARED, j->id), *vm, *disks = json_array(),
	       *nodes = json_array(), *notes = json_array();

	vm = json_pack("{s:s,s:s,s:b}", "qemu", j->twin.qemu_version, "qmp", j->twin.qmp,
		       "launched", j->launched ? 1 : 0);
	if (j->launched) {
		json_object_set_new(vm, "dir", json_string(j->twin.dir));
		json_object_set_new(vm, "pid", json_integer(proc_pid(j->qemu)));
	}
	if (j->persistent) {
		job_keep_path(j, 0, true, kept, sizeof(kept));
		json_object_set_new(vm, "kept", json_string(kept));
	}
	for (size_t i = 0; i < j->disk_count; i++) {
		json_array_append_new(disks, json_string(j->disks[i].desc->name));
		json_array_append_new(nodes, json_string(j->disks[i].node));
	}
	for (size_t i = 0; i < j->twin.notes.count; i++)
		json_array_append_new(notes, note_text(j->twin.notes.at[i]));
	json_object_set_new(msg, "vm", vm);
	json_object_set_new(msg, "disks", disks);
	json_object_set_new(msg, "nodes", nodes);
	json_object_set_new(msg, "notes", notes);
	if (j->ram.preempt)
		json_object_set_new(msg, "preempt", json_true());
	json_object_set_new(msg, "host", json_string(job_record_host(j)));
	job_images_note(j);
	POINT("d-prepared");
	if (!job_enter(j, JOB_READY)) {
		json_decref(msg);
		return;
	}
	job_say(j, msg);
}

static void on_cookie(void *ctx, struct talk *t, enum cookie_kind kind, const json_t *msg)
{
	struct job *j = ctx;
	const char *id = json_string_value(json_object_get(msg, "job"));
	struct err e = ERR_INIT;

	(void)t;
	if (j->state == JOB_OVER)
		return;
	if ((kind == COOKIE_BEGIN || kind == COOKIE_CHECK) && j->state == JOB_WAITING) {
		begin(j, msg, kind == COOKIE_CHECK);
		return;
	}
	if (kind == COOKIE_RECOVER && j->state == JOB_WAITING) {
		job_recover(j, msg);
		return;
	}
	if (strcmp(id, j->id) != 0) {
		err_set(&e, ERR_PROTOCOL, "the source spoke of another job than its own");
		job_fail(j, &e);
	} else if (kind == COOKIE_ABORT && job_state_is(j->state, JOB_OPEN)) {
		abort_by_source(j, msg);
	} else if (kind == COOKIE_DISKS_DONE && j->state == JOB_READY && j->disk_count) {
		job_close_exports(j);
	} else if (kind == COOKIE_FINISH &&
		   (j->state == JOB_CLOSED || (j->state == JOB_READY && !j->disk_count))) {
		job_finish(j, msg);
	} else if (kind == COOKIE_CONFIRM && j->state == JOB_RUNS && !j->confirming) {
		job_confirm(j);
	} else if (kind == COOKIE_ENDED && j->state == JOB_CONFIRMED) {
		job_ended(j, msg);
	} else {
		err_set(&e, ERR_PROTOCOL, "the source sent %s in state %s, out of order",
			cookie_kind_name(kind), job_state_name(j->state));
		job_fail(j, &e);
	}
}

static void on_talk_end(void *ctx, struct talk *t, const struct err *why)
{
	struct job *j = ctx;
	struct err e = *why;

	(void)t;
	if (!err_is_set(&e))
		err_set(&e, ERR_CLOSED, "the source went away");
	talk_free(j->talk);
	j->talk = NULL;
	if (j->state == JOB_RUNS || j->state == JOB_DECIDED)
		log_warn(
		    &j->about,
		    "the source went away before it knew that the VM is here (%s): the journal "
		    "keeps the job until it asks again",
		    e.text);
	else if (j->state == JOB_CONFIRMED)
		log_info(&j->about,
			 "the source went away before it said that its VM has ended (%s); the VM "
			 "runs here",
			 e.text);
	if (j->forced && job_state_is(j->state, JOB_OPEN))
		job_drop_streams(j, e.text); /* likewise */
	if (j->state == JOB_RUNS && j->postcopy && j->qmp) {
		/* The monitor is kept for the question: a new one may not be answered while the
		 * guest waits for pages. QEMU sees at once that none will come. */
		job_drop_streams(j, e.text);
		return;
	}
	if (j->state == JOB_RUNS || j->state == JOB_CONFIRMED || j->state == JOB_ASKED)
		job_over(j);
	if (j->state == JOB_OVER && !j->putting_back)
		event_add(j->ev_reap, &(struct timeval){0});
	else if (job_state_is(j->state, JOB_OPEN))
		job_fail(j, &e);
}

static const struct talk_ops talk_ops = {on_cookie, on_talk_end};

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	struct job *j = ctx;

	(void)s;
	(void)why; /* the talk was told before */
	j->session = NULL;
}

/* A job that waits; NULL when memory is short. */
static struct job *make(struct service *s)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->service = s;
	j->rights = rights_none();
	j->scratch_fd = j->log_fd = j->nbd_fd = j->hook.in = j->hook.out = -1;
	j->about.peer = j->peer;
	j->about.job = j->id;
	TAILQ_INSERT_TAIL(&s->jobs, j, listed);
	j->ev_timer = evtimer_new(s->base, on_timer, j);
	j->ev_suspect = evtimer_new(s->base, on_suspect, j);
	j->ev_save = evtimer_new(s->base, job_record_due, j);
	j->ev_arrive = evtimer_new(s->base, job_arrive_due, j);
	j->ev_reap = evtimer_new(s->base, on_reap, j);
	if (j->ev_timer && j->ev_suspect && j->ev_save && j->ev_arrive && j->ev_reap)
		return j;
	job_free(j);
	return NULL;
}

struct job *job_new(struct service *s, struct session *session, struct stream *stream)
{
	struct job *j = make(s);
	struct err e = ERR_INIT;

	if (!j) {
		stream_refuse(stream, CODE_INTERNAL, "no memory for a job");
		return NULL;
	}
	j->session = session;
	j->rights = rights_ref(router_rights(s->router, session));
	snprintf(j->peer, sizeof(j->peer), "%s", session_peer(session));
	j->share = share_join(&s->shares, j->peer);
	if (!j->share) {
		j->session = NULL;
		stream_refuse(stream, CODE_INTERNAL, "no memory for a job");
		job_free(j);
		return NULL;
	}
	if (router_watch_session(s->router, session, on_session_end, j, &e) < 0) {
		j->session = NULL;
		stream_refuse(stream, CODE_INTERNAL, e.text);
		job_free(j);
		return NULL;
	}
	j->talk = talk_accept(stream, &talk_ops, j);
	if (!j->talk) {
		job_free(j);
		return NULL;
	}
	job_wait(j, BEGIN_MS);
	return j;
}

struct job *job_new_found(struct service *s, const char *id)
{
	struct job *j = make(s);

	if (j)
		snprintf(j->id, sizeof(j->id), "%s", id);
	return j;
}

void job_free(struct job *j)
{
	if (!j)
		return;
	if (j->unsaved)
		job_record_keep(j, j->unsaved); /* the last time */
	job_check_drop(j);
	job_drop_streams(j, "the job is over");
	job_remove_nbd(j);
	if (*j->route)
		router_remove_service(j->service->router, j->route);
	if (j->session)
		router_unwatch_session(j->service->router, j->session, on_session_end, j);
	talk_free(j->talk);
	qmp_free(j->qmp);
	proc_kill(j->tool);
	if (j->qemu && (!job_state_is(j->state, JOB_OPEN) || j->forced))
		vms_add(j->service->vms, j->qemu, j->twin.dir);
	else
		proc_kill(j->qemu);
	guardian_leave(j->guardian); /* before the decision: it undoes all, the record last */
	journal_close(j->journal);
	json_decref(j->record);
	if (j->ev_timer)
		event_free(j->ev_timer);
	if (j->ev_suspect)
		event_free(j->ev_suspect);
	if (j->ev_save)
		event_free(j->ev_save);
	if (j->ev_arrive)
		event_free(j->ev_arrive);
	if (j->ev_reap)
		event_free(j->ev_reap);
	job_secrets_drop(j);
	fd_close(&j->scratch_fd);
	fd_close(&j->hook.in);
	fd_close(&j->hook.out);
	fd_close(&j->log_fd);
	if (j->described)
		vmdesc_fini(&j->desc);
	twin_fini(&j->twin);
	for (size_t i = 0; i < j->disk_count; i++)
		free(j->disks[i].raw_file);
	free(j->disks);
	rights_unref(j->rights);
	TAILQ_REMOVE(&j->service->jobs, j, listed);
	share_leave(&j->service->shares, j->share);
	free(j);
}
