/* See migrate_json.h. Makes objects; decides nothing. */
#include "control/source/migrate_json.h"

#include <stddef.h>
#include <string.h>

#include "control/wish.h"

json_t *migrate_json_phase(const char *phase)
{
	return json_pack("{s:s,s:s}", "event", "phase", "phase", phase);
}

json_t *migrate_json_note(const char *text)
{
	/* A note may quote somebody who does not speak UTF-8. */
	json_t *v = json_string(text);

	return json_pack("{s:s,s:o}", "event", "note", "text", v ? v : json_string("?"));
}

static const struct number {
	const char *name;
	size_t at;
} numbers[] = {
#define AT(m) offsetof(struct migrate_progress, m)
    {"elapsed_ms", AT(elapsed_ms)},
    {"disk_done_bytes", AT(disk_done)},
    {"disk_total_bytes", AT(disk_total)},
    {"ram_done_bytes", AT(ram_done)},
    {"ram_total_bytes", AT(ram_total)},
    {"ram_remaining_bytes", AT(ram_remaining)},
    {"rate_bytes_per_s", AT(rate)},
    {"dirty_bytes_per_s", AT(dirty_rate)},
    {"passes", AT(passes)},
#undef AT
};

enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };

json_t *migrate_json_progress(const struct migrate_progress *p)
{
	json_t *o = json_pack("{s:s,s:s}", "event", "progress", "phase", p->phase);

	for (size_t i = 0; i < NUMBERS; i++)
		json_object_set_new(o, numbers[i].name,
				    json_integer((json_int_t) * (const uint64_t *)((const char *)p +
										   numbers[i].at)));
	json_object_set_new(o, "remaining_s",
			    p->remaining_s < 0 ? json_null() : json_integer(p->remaining_s));
	return o;
}

void migrate_json_read_progress(struct migrate_progress *p, const json_t *v)
{
	const json_t *left = json_object_get(v, "remaining_s");
	const char *phase = json_string_value(json_object_get(v, "phase"));

	memset(p, 0, sizeof(*p));
	p->phase = phase ? phase : "";
	for (size_t i = 0; i < NUMBERS; i++) {
		json_int_t n = json_integer_value(json_object_get(v, numbers[i].name));

		*(uint64_t *)((char *)p + numbers[i].at) = n > 0 ? (uint64_t)n : 0;
	}
	p->remaining_s = json_is_integer(left) ? json_integer_value(left) : -1;
}

json_t *migrate_json_streams(const struct migrate_stream *streams, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list,
				      json_pack("{s:s,s:s,s:I,s:I}", "name", streams[i].name,
						"class", stream_class_name(streams[i].class),
						"bytes", (json_int_t)streams[i].bytes,
						"rate_bytes_per_s", (json_int_t)streams[i].rate));
	return list;
}

json_t *migrate_json_session(const struct migrate_session *s)
{
	return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I}", "peer", s->peer, "address",
			 s->address, "sent_bytes", (json_int_t)s->sent_bytes, "received_bytes",
			 (json_int_t)s->received_bytes, "rtt_us", (json_int_t)s->rtt_us,
			 "granted_bytes", (json_int_t)s->granted_bytes, "retained_bytes",
			 (json_int_t)s->retained_bytes, "streams", (json_int_t)s->streams);
}

json_t *migrate_json_limits(const struct migrate_limits *l)
{
	return json_pack("{s:I,s:I,s:I,s:s}", "max_bandwidth", (json_int_t)l->max_bandwidth,
			 "downtime_limit", (json_int_t)l->downtime_ms, "timeout",
			 (json_int_t)l->timeout_s, "on_timeout",
			 migrate_on_timeout_name(l->on_timeout));
}

json_t *migrate_json_end(const struct migrate_result *r)
{
	json_t *o = json_pack("{s:s,s:s,s:I,s:I,s:o}", "event",
			      err_is_set(&r->err) ? "failed" : "completed", "job", r->job,
			      "total_ms", (json_int_t)r->total_ms, "passes", (json_int_t)r->passes,
			      "streams", migrate_json_streams(r->streams, r->stream_count));
	json_t *there, *text;

	if (err_is_set(&r->err)) {
		text = json_string(r->err.text);
		json_object_set_new(o, "code", json_string(err_code_name(r->err.code)));
		json_object_set_new(o, "error", text ? text : json_string("?"));
		json_object_set_new(o, "unknown", json_boolean(r->outcome == MIGRATE_UNKNOWN));
	} else {
		there = json_pack("{s:s,s:b}", "qmp", r->there.qmp, "launched", r->there.launched);
		if (*r->there.dir)
			json_object_set_new(there, "dir", json_string(r->there.dir));
		if (*r->there.kept)
			json_object_set_new(there, "kept", json_string(r->there.kept));
		if (r->there.pid)
			json_object_set_new(there, "pid", json_integer((json_int_t)r->there.pid));
		json_object_set_new(o, "running", json_boolean(r->running));
		json_object_set_new(o, "downtime_ms", json_integer((json_int_t)r->downtime_ms));
		json_object_set_new(o, "pause_ms", json_integer((json_int_t)r->pause_ms));
		json_object_set_new(o, "longest_stall_ms", json_integer((json_int_t)r->stall_ms));
		json_object_set_new(o, "destination", there);
	}
	return o;
}
