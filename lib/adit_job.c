/*
 * A migration, for a program: see adit.h. The migration itself lives in the loop's thread; the
 * program holds a handle, which outlives it, and may be outlived by it: a job that is freed
 * while it runs is cancelled and freed at its end.
 *
 * Owned by the loop; the program's handle is the same object, until adit_job_free.
 */
#include "lib/loop_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "control/source.h"
#include "control/talk.h"
#include "control/wish.h"

struct adit_job {
	struct loop_owned owned; /* the first member */
	struct adit_loop *loop;
	struct adit_job_callbacks callbacks;
	void *ctx;
	char id[64];
	struct migrate *m; /* NULL once it has ended; the thread's */
	bool freed;	   /* by the program; the thread's */
	bool resumed;
};

/* ---- what it says ---- */

static void deliver_event(void *owner, const struct loop_word *word)
{
	struct adit_job *j = owner;

	if (j->callbacks.on_event)
		j->callbacks.on_event(j->ctx, j, word->text);
}

static void deliver_end(void *owner, const struct loop_word *word)
{
	struct adit_job *j = owner;

	if (j->callbacks.on_end)
		j->callbacks.on_end(j->ctx, j, &word->error);
}

/* event is taken. */
static void tell(struct adit_job *j, json_t *event, bool fleeting)
{
	char *text = event && !j->freed ? json_dumps(event, JSON_COMPACT) : NULL;

	json_decref(event);
	if (text)
		loop_post(j->loop, deliver_event, j, text, NULL, fleeting);
}

static void on_phase(void *ctx, const char *phase)
{
	tell(ctx, migrate_json_phase(phase), false);
}

static void on_note(void *ctx, const char *text)
{
	tell(ctx, migrate_json_note(text), false);
}

static void on_progress(void *ctx, const struct migrate_progress *p)
{
	tell(ctx, migrate_json_progress(p), true);
}

static void job_free(struct adit_job *j)
{
	LIST_REMOVE(&j->owned, link);
	migrate_free(j->m);
	free(j);
}

static void on_migrate_end(void *ctx, const struct migrate_result *r)
{
	struct adit_job *j = ctx;
	struct adit_loop *loop = j->loop;
	struct adit_error error;

	tell(j, migrate_json_end(r), false);
	loop_error(&error, &r->err);
	/* What ended a resumed job matters less than that it is settled, and where. */
	if (j->resumed && r->outcome == MIGRATE_STAYED && !r->unfinished)
		snprintf(error.code, sizeof(error.code), "stayed");
	else if (r->outcome == MIGRATE_UNKNOWN)
		snprintf(error.code, sizeof(error.code), "unknown");
	if (!j->freed)
		loop_post(loop, deliver_end, j, NULL, &error, false);
	migrate_free(j->m);
	j->m = NULL;
	if (j->freed)
		job_free(j);
	loop_live(loop, -1);
}

static const struct migrate_ops ops = {on_phase, on_note, on_progress, on_migrate_end};

/* ---- what is asked of it: arguments of calls into the thread ---- */

struct request {
	struct adit_job *job;
	struct migrate_config config; /* its strings are wish's */
	json_t *wish;
	char state_dir[512];
	const char *id; /* of the job to resume, NULL for a new one */
	enum migrate_decision decision;
	struct err err;
	int answer;
};

static void drop(struct adit_job *j)
{
	if (j->freed)
		return;
	j->freed = true;
	loop_forget(j->loop, j);
	if (j->m)
		migrate_cancel(j->m);
	else
		job_free(j);
}

static void drop_owned(struct loop_owned *o)
{
	drop((struct adit_job *)o);
}

static void do_start(void *arg)
{
	struct request *r = arg;
	struct adit_job *j = r->job;
	struct event_base *base = j->loop->base;

	j->m = r->id ? migrate_resume(base, r->state_dir, r->id, r->decision, &ops, j, &r->err)
		     : migrate_start(base, &r->config, &ops, j, &r->err);
	if (!j->m) {
		loop_forget(j->loop, j);
		return;
	}
	snprintf(j->id, sizeof(j->id), "%s", migrate_id(j->m));
	j->owned.drop = drop_owned;
	LIST_INSERT_HEAD(&j->loop->owned, &j->owned, link);
	loop_live(j->loop, 1);
}

/* One option of a job, into the members of a migrate_config or what is beside them. */
static int take_option(struct request *r, const struct adit_option *o)
{
	if (!r->id)
		return migrate_config_put(r->wish, o->name, o->value, &r->err);
	if (strcmp(o->name, "state-dir") == 0)
		return migrate_config_put(r->wish, o->name, o->value, &r->err);
	if (strcmp(o->name, "run-here") == 0)
		r->decision = MIGRATE_DECIDE_RUN_HERE;
	else if (strcmp(o->name, "drop-here") == 0)
		r->decision = MIGRATE_DECIDE_DROP_HERE;
	else
		return err_set(&r->err, ERR_USAGE,
			       "\"%.64s\" is not known: a job is resumed with state-dir, "
			       "run-here or drop-here, and else as it began",
			       o->name);
	return 0;
}

static int read_options(struct request *r, const struct adit_option *o)
{
	struct migrate_config *c = &r->config;
	int rc;

	r->wish = json_object();
	if (!r->wish)
		return err_set(&r->err, ERR_SPACE, "no memory for a job");
	for (; o && o->name; o++) {
		rc = take_option(r, o);
		if (rc < 0)
			return rc;
	}
	rc = migrate_config_from_json(c, r->wish, &r->err);
	if (rc == 0 && !r->id)
		rc = migrate_config_check(c, &r->err);
	if (rc == 0 && r->id)
		rc = journal_find(c->state_dir, r->state_dir, sizeof(r->state_dir), &r->err);
	else if (rc == 0)
		rc = journal_prepare(c->state_dir, r->state_dir, sizeof(r->state_dir), &r->err);
	if (rc == 0 && r->id) /* nor has there ever been one */
		rc = err_set(&r->err, ERR_USAGE, "there is no unfinished job %s here", r->id);
	rc = rc < 0 ? rc : 0;
	c->state_dir = r->state_dir;
	return rc;
}

/* A new job, or (id) one of the journal. */
static struct adit_job *begin(struct adit_loop *loop, const char *id,
			      const struct adit_option *options,
			      const struct adit_job_callbacks *callbacks, void *ctx,
			      struct adit_error *error)
{
	struct request r = {.job = calloc(1, sizeof(struct adit_job)), .id = id};
	struct adit_job *j = r.job;

	if (!j) {
		err_set(&r.err, ERR_SPACE, "no memory for a job");
		loop_error(error, &r.err);
		return NULL;
	}
	j->loop = loop;
	j->ctx = ctx;
	j->resumed = id != NULL;
	if (callbacks)
		j->callbacks = *callbacks;
	if (read_options(&r, options) == 0)
		loop_call(loop, do_start, &r);
	json_decref(r.wish);
	loop_error(error, &r.err);
	if (!err_is_set(&r.err))
		return j;
	free(j);
	return NULL;
}

struct adit_job *adit_job_start(struct adit_loop *loop, const struct adit_option *options,
				const struct adit_job_callbacks *callbacks, void *ctx,
				struct adit_error *error)
{
	return begin(loop, NULL, options, callbacks, ctx, error);
}

struct adit_job *adit_job_resume(struct adit_loop *loop, const char *id,
				 const struct adit_option *options,
				 const struct adit_job_callbacks *callbacks, void *ctx,
				 struct adit_error *error)
{
	return begin(loop, id, options, callbacks, ctx, error);
}

const char *adit_job_id(const struct adit_job *job)
{
	return job->id;
}

static void do_set(void *arg)
{
	struct request *r = arg;
	struct migrate *m = r->job->m;
	struct migrate_config c = {0};
	const char *name;
	json_t *now, *value;

	if (!m) {
		r->answer = err_set(&r->err, ERR_CLOSED, "the job has ended");
		return;
	}
	c.limits = *migrate_limits(m);
	now = migrate_config_to_json(&c);
	json_object_foreach(r->wish, name, value) json_object_set(now, name, value);
	r->answer = migrate_config_from_json(&c, now, &r->err);
	if (r->answer == 0)
		r->answer = migrate_change(m, &c.limits, false, &r->err);
	json_decref(now);
}

/* Whether an option, as it is named in a wish, is one of struct migrate_limits. */
static bool is_limit(const char *name)
{
	static const char *const limits[] = {"max_bandwidth", "downtime_limit", "timeout",
					     "on_timeout"};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (strcmp(limits[i], name) == 0)
			return true;
	return false;
}

int adit_job_set(struct adit_job *job, const char *name, const char *value,
		 struct adit_error *error)
{
	struct request r = {.job = job, .wish = json_object()};
	const char *member = NULL;

	if (!r.wish) {
		r.answer = err_set(&r.err, ERR_SPACE, "no memory");
	} else {
		r.answer = migrate_config_put(r.wish, name, value, &r.err);
		if (r.answer == 0)
			member = json_object_iter_key(json_object_iter(r.wish));
		if (member && is_limit(member))
			loop_call(job->loop, do_set, &r);
		else if (r.answer == 0)
			r.answer = err_set(&r.err, ERR_USAGE,
					   "%.64s cannot be changed while a job runs", name);
	}
	json_decref(r.wish);
	loop_error(error, &r.err);
	return r.answer < 0 ? -1 : 0;
}

static void do_postcopy(void *arg)
{
	struct request *r = arg;

	r->answer = r->job->m ? migrate_change(r->job->m, NULL, true, &r->err)
			      : err_set(&r->err, ERR_CLOSED, "the job has ended");
}

int adit_job_postcopy(struct adit_job *job, struct adit_error *error)
{
	struct request r = {.job = job};

	loop_call(job->loop, do_postcopy, &r);
	loop_error(error, &r.err);
	return r.answer < 0 ? -1 : 0;
}

static void do_cancel(void *arg)
{
	struct request *r = arg;

	r->answer = r->job->m && migrate_cancel(r->job->m) ? 0 : -1;
}

int adit_job_cancel(struct adit_job *job)
{
	struct request r = {.job = job};

	loop_call(job->loop, do_cancel, &r);
	return r.answer;
}

static void do_free(void *arg)
{
	drop(arg);
}

void adit_job_free(struct adit_job *job)
{
	if (job)
		loop_call(job->loop, do_free, job);
}
