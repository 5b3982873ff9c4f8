/* A task as docs/openapi.json has it. */
#include <stdlib.h>

#include "control/api/task_i.h"
#include "control/source.h"

static json_t *when(const struct timespec *ts)
{
	struct tm tm;
	char text[64];

	if (!ts->tv_sec || !gmtime_r(&ts->tv_sec, &tm))
		return json_null();
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	return json_sprintf("%s.%03ldZ", text, ts->tv_nsec / 1000000);
}

/* What was asked for, without what is this host's own affair. */
static json_t *request(const struct task *t)
{
	json_t *o = json_copy(t->wish);

	json_object_set(o, "host", json_object_get(o, "dest"));
	json_object_del(o, "dest");
	json_object_del(o, "qmp");
	json_object_del(o, "auth");
	json_object_del(o, "state_dir");
	return o;
}

static json_t *streams_json(const struct task *t)
{
	struct migrate_stream *list = calloc(TASK_STREAMS_MAX, sizeof(*list));
	json_t *o;

	if (!list)
		return json_array();
	o = migrate_json_streams(list, task_streams(t, list, TASK_STREAMS_MAX));
	free(list);
	return o;
}

json_t *task_to_json(const struct task *t)
{
	struct migrate_session session;
	json_t *numbers = migrate_json_progress(task_numbers(t));
	json_t *o = json_object();

	json_object_del(numbers, "event");
	json_object_del(numbers, "phase");
	json_object_set_new(o, "id", json_string(t->id));
	json_object_set_new(o, "vm", json_string(task_vm(t)));
	json_object_set_new(o, "target_uri", json_string(task_target(t)));
	json_object_set_new(o, "status", json_string(task_status_name(t->status)));
	json_object_set_new(o, "phase", json_string(task_numbers(t)->phase));
	json_object_set_new(o, "message", json_string(t->message));
	json_object_set_new(o, "progress", json_integer(t->percent));
	json_object_set_new(o, "cancelling", json_boolean(t->cancelling && !task_ended(t)));
	json_object_set_new(o, "created", when(&t->created));
	json_object_set_new(o, "started", when(&t->started));
	json_object_set_new(o, "ended", when(&t->ended));
	json_object_set_new(o, "numbers", numbers);
	json_object_set_new(
	    o, "limits", migrate_json_limits(t->migrate ? migrate_limits(t->migrate) : &t->limits));
	json_object_set_new(o, "request", request(t));
	json_object_set_new(o, "streams", streams_json(t));
	task_session(t, &session);
	json_object_set_new(o, "session",
			    *session.peer ? migrate_json_session(&session) : json_null());
	json_object_set_new(o, "events", json_integer((json_int_t)t->events_next));
	json_object_set_new(o, "result", t->result ? json_copy(t->result) : json_null());
	return o;
}
