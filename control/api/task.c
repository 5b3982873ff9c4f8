/* One task: see task.h. It listens to its job, keeps what the job says, and hands it on. */
#include "control/api/task_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/source.h"
#include "control/vm.h"
#include "control/wish.h"

static const char *const status_names[] = {"pending", "running",   "completed",
					   "failed",  "cancelled", "unknown"};

const char *task_status_name(enum task_status status)
{
	return status_names[status];
}

const char *task_id(const struct task *t)
{
	return t->id;
}

const char *task_qmp(const struct task *t)
{
	const char *qmp = json_string_value(json_object_get(t->wish, "qmp"));

	return qmp ? qmp : "";
}

const char *task_target(const struct task *t)
{
	const char *dest = json_string_value(json_object_get(t->wish, "dest"));

	return dest ? dest : "";
}

enum task_status task_status(const struct task *t)
{
	return t->status;
}

bool task_ended(const struct task *t)
{
	return t->status >= TASK_COMPLETED;
}

const char *task_vm(const struct task *t)
{
	const struct vmdesc *d = t->migrate ? migrate_vm(t->migrate) : NULL;

	if (t->vm)
		return t->vm;
	return d ? d->name : "";
}

const struct migrate_progress *task_numbers(const struct task *t)
{
	return t->migrate ? migrate_progress(t->migrate) : &t->numbers;
}

size_t task_streams(const struct task *t, struct migrate_stream *out, size_t max)
{
	size_t n = t->stream_count < max ? t->stream_count : max;

	if (t->migrate)
		return migrate_streams(t->migrate, out, max);
	if (n)
		memcpy(out, t->streams, n * sizeof(*out));
	return n;
}

void task_session(const struct task *t, struct migrate_session *out)
{
	memset(out, 0, sizeof(*out));
	if (t->migrate)
		migrate_session(t->migrate, out);
}

int64_t task_downtime_ms(const struct task *t)
{
	return t->downtime_ms;
}

unsigned task_progress(const struct task *t)
{
	return t->percent;
}

/* Disks and RAM as one: what RAM will be is known before it flows. */
static void measure(struct task *t)
{
	const struct migrate_progress *p = task_numbers(t);
	const struct vmdesc *d = t->migrate ? migrate_vm(t->migrate) : NULL;
	uint64_t ram = p->ram_total ? p->ram_total : d ? d->memory : 0;
	double total = (double)p->disk_total + (double)ram;
	double done = (double)p->disk_done + (double)p->ram_done;
	unsigned percent = total > 0 ? (unsigned)(done * 100 / total) : 0;

	if (percent > 99)
		percent = 99; /* the end is not a matter of bytes */
	if (percent > t->percent)
		t->percent = percent;
}

static void say(struct task *t, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return;
	free(t->message);
	t->message = copy;
}

/* Takes over o. A number that memory was too short for stays a gap of NULL. */
static void add_event(struct task *t, json_t *o)
{
	char **slot = &t->events[t->events_next % TASK_EVENTS_MAX];
	struct task_watcher *w, *next;

	json_object_set_new(o, "seq", json_integer((json_int_t)t->events_next));
	free(*slot);
	*slot = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	t->events_next++;
	for (w = TAILQ_FIRST(&t->watchers); w; w = next) {
		next = TAILQ_NEXT(w, link);
		w->fn(w->ctx);
	}
}

uint64_t task_events_first(const struct task *t)
{
	return t->events_next > TASK_EVENTS_MAX ? t->events_next - TASK_EVENTS_MAX : 0;
}

uint64_t task_events_next(const struct task *t)
{
	return t->events_next;
}

const char *task_event(const struct task *t, uint64_t number)
{
	if (number < task_events_first(t) || number >= t->events_next)
		return NULL;
	return t->events[number % TASK_EVENTS_MAX];
}

void task_watch(struct task *t, struct task_watcher *w)
{
	TAILQ_INSERT_TAIL(&t->watchers, w, link);
}

void task_unwatch(struct task *t, struct task_watcher *w)
{
	TAILQ_REMOVE(&t->watchers, w, link);
}

/* What nobody listens to, since the job came by the API, goes to the log. */
static void tell(const struct task *t, enum log_level level, const char *text)
{
	struct log_ctx about = {.job = t->id};

	log_write(level, &about, "%s: %s", *task_vm(t) ? task_vm(t) : "the VM", text);
}

static void on_phase(void *ctx, const char *phase)
{
	struct task *t = ctx;

	if (t->status == TASK_PENDING && strcmp(phase, "undo") != 0) {
		t->status = TASK_RUNNING;
		clock_gettime(CLOCK_REALTIME, &t->started);
	}
	if (migrate_phase_text(phase))
		say(t, migrate_phase_text(phase));
	if (t->ops && t->ops->on_phase)
		t->ops->on_phase(t->ctx, phase);
	add_event(t, migrate_json_phase(phase));
}

static void on_note(void *ctx, const char *text)
{
	struct task *t = ctx;

	say(t, text);
	if (t->ops && t->ops->on_note)
		t->ops->on_note(t->ctx, text);
	else if (!t->ops)
		tell(t, LOG_LEVEL_INFO, text);
	add_event(t, migrate_json_note(text));
}

static void on_progress(void *ctx, const struct migrate_progress *p)
{
	struct task *t = ctx;

	measure(t);
	if (t->ops && t->ops->on_progress)
		t->ops->on_progress(t->ctx, p);
	add_event(t, migrate_json_progress(p));
}

/* Keeps what will be asked for once the job has gone. */
static void keep(struct task *t, const struct migrate_result *r)
{
	const struct vmdesc *d = migrate_vm(t->migrate);

	if (!t->vm && d && *d->name)
		t->vm = strdup(d->name);
	t->numbers = *migrate_progress(t->migrate);
	snprintf(t->phase, sizeof(t->phase), "over");
	t->numbers.phase = t->phase;
	t->limits = *migrate_limits(t->migrate);
	t->streams = r->stream_count ? calloc(r->stream_count, sizeof(*t->streams)) : NULL;
	if (t->streams) {
		memcpy(t->streams, r->streams, r->stream_count * sizeof(*t->streams));
		t->stream_count = r->stream_count;
	}
	t->result = migrate_json_end(r);
	clock_gettime(CLOCK_REALTIME, &t->ended);
	if (!err_is_set(&r->err)) {
		t->status = TASK_COMPLETED;
		t->percent = 100;
		t->downtime_ms = (int64_t)r->downtime_ms;
		say(t, r->running ? "the VM runs on the destination"
				  : "the VM is on the destination, paused as it was here");
	} else {
		t->status = r->err.code == ERR_CANCELLED && r->outcome == MIGRATE_STAYED
				? TASK_CANCELLED
			    : r->outcome == MIGRATE_UNKNOWN ? TASK_UNKNOWN
							    : TASK_FAILED;
		say(t, r->err.text);
	}
}

static void on_migrate_end(void *ctx, const struct migrate_result *r)
{
	struct task *t = ctx;
	struct migrate *migrate = t->migrate;
	const struct migrate_ops *ops = t->ops;

	keep(t, r);
	t->migrate = NULL;
	t->ops = NULL;
	if (ops && ops->on_end)
		ops->on_end(t->ctx, r);
	else if (!ops)
		tell(t,
		     t->status == TASK_FAILED || t->status == TASK_UNKNOWN ? LOG_LEVEL_WARN
									   : LOG_LEVEL_INFO,
		     t->message);
	add_event(t, json_copy(t->result));
	migrate_free(migrate);
	t->on_end(t->manager);
}

static const struct migrate_ops ops_of_job = {on_phase, on_note, on_progress, on_migrate_end};

struct task *task_start(struct event_base *base, const struct migrate_config *config,
			const char *vm, const struct migrate_ops *ops, void *ctx,
			void (*end)(void *manager), void *manager, struct err *e)
{
	struct task *t = calloc(1, sizeof(*t));
	char words[512];

	if (!t) {
		err_set(e, ERR_SPACE, "no memory for a task");
		return NULL;
	}
	TAILQ_INIT(&t->watchers);
	t->ops = ops;
	t->ctx = ctx;
	t->on_end = end;
	t->manager = manager;
	t->downtime_ms = -1;
	t->wish = migrate_config_to_json(config);
	t->vm = vm && *vm ? strdup(vm) : NULL;
	t->message = strdup("the VM is being read");
	clock_gettime(CLOCK_REALTIME, &t->created);
	if (!t->wish || !t->message || (vm && *vm && !t->vm)) {
		err_set(e, ERR_SPACE, "no memory for a task");
		goto fail;
	}
	t->migrate = migrate_start(base, config, &ops_of_job, t, e);
	if (!t->migrate)
		goto fail;
	snprintf(t->id, sizeof(t->id), "%s", migrate_id(t->migrate));
	if (!ops) {
		snprintf(words, sizeof(words), "is to go to %s", task_target(t));
		tell(t, LOG_LEVEL_INFO, words);
	}
	return t;
fail:
	task_free(t);
	return NULL;
}

void task_free(struct task *t)
{
	if (!t)
		return;
	migrate_free(t->migrate);
	for (size_t i = 0; i < TASK_EVENTS_MAX; i++)
		free(t->events[i]);
	free(t->streams);
	free(t->vm);
	free(t->message);
	json_decref(t->wish);
	json_decref(t->result);
	free(t);
}

int task_cancel(struct task *t, struct err *e)
{
	if (task_ended(t))
		return err_set(e, ERR_REFUSED, "it has ended already: %s", status_names[t->status]);
	if (!migrate_cancel(t->migrate))
		return err_set(e, ERR_REFUSED,
			       "it is too late: the destination may run the VM already (phase %s)",
			       migrate_progress(t->migrate)->phase);
	t->cancelling = true;
	return 0;
}

int task_set(struct task *t, const json_t *patch, struct err *e)
{
	static const char *const known[] = {"max_bandwidth", "downtime_limit", "timeout",
					    "on_timeout", "postcopy"};
	struct migrate_config wish;
	struct migrate_limits limits;
	const char *key;
	json_t *item;
	int rc;

	if (!json_is_object(patch) || json_object_size(patch) == 0)
		return err_set(e, ERR_USAGE,
			       "an object with what is to change is needed: max_bandwidth, "
			       "downtime_limit, timeout, on_timeout, postcopy");
	json_object_foreach((json_t *)patch, key, item)
	{
		size_t i = 0;

		while (i < sizeof(known) / sizeof(known[0]) && strcmp(known[i], key) != 0)
			i++;
		if (i == sizeof(known) / sizeof(known[0]))
			return err_set(e, ERR_USAGE,
				       "\"%.64s\" cannot be changed: max_bandwidth, "
				       "downtime_limit, timeout, on_timeout and postcopy can",
				       key);
	}
	rc = migrate_config_from_json(&wish, patch, e);
	if (rc < 0)
		return rc;
	item = json_object_get(patch, "postcopy");
	if (item && !json_is_true(item))
		return err_set(e, ERR_USAGE,
			       "postcopy: only true can be asked for; what has "
			       "begun cannot be taken back");
	if (task_ended(t))
		return err_set(e, ERR_REFUSED, "it has ended already: %s", status_names[t->status]);
	limits = *migrate_limits(t->migrate);
	if (json_object_get(patch, "max_bandwidth"))
		limits.max_bandwidth = wish.limits.max_bandwidth;
	if (json_object_get(patch, "downtime_limit"))
		limits.downtime_ms = wish.limits.downtime_ms;
	if (json_object_get(patch, "timeout"))
		limits.timeout_s = wish.limits.timeout_s;
	if (json_object_get(patch, "on_timeout"))
		limits.on_timeout = wish.limits.on_timeout;
	return migrate_change(t->migrate, json_object_size(patch) > (item ? 1 : 0) ? &limits : NULL,
			      item != NULL, e);
}
