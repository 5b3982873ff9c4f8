/* GET /metrics in Prometheus' text format 0.0.4. Every task that is kept is told of, each
 * metric with its HELP and TYPE once and all its samples together, as the format wants it. */
#include <event2/buffer.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/api/api_i.h"
#include "proxy/router.h"
#include "tunnel/account.h"

/* s as a label's value. */
static void label(struct evbuffer *out, const char *name, const char *s)
{
	evbuffer_add_printf(out, "%s=\"", name);
	for (; *s; s++) {
		if (*s == '\n')
			evbuffer_add(out, "\\n", 2);
		else if (*s == '"' || *s == '\\')
			evbuffer_add_printf(out, "\\%c", *s);
		else
			evbuffer_add(out, s, 1);
	}
	evbuffer_add(out, "\"", 1);
}

static void head(struct evbuffer *out, const char *name, const char *type, const char *help)
{
	evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* name{job="...",vm="..."} value */
static void sample(struct evbuffer *out, const char *name, const struct task *t, double value)
{
	evbuffer_add_printf(out, "%s{", name);
	label(out, "job", task_id(t));
	evbuffer_add(out, ",", 1);
	label(out, "vm", task_vm(t));
	evbuffer_add_printf(out, "} %.17g\n", value);
}

struct metric {
	const char *name, *help;
	size_t at;
	double factor;
};

static void of_progress(const struct api *a, struct evbuffer *out)
{
#define AT(m) offsetof(struct migrate_progress, m)
	static const struct metric metrics[] = {
	    {"adit_job_elapsed_seconds", "Time since the job began.", AT(elapsed_ms), 1e-3},
	    {"adit_job_disk_done_bytes", "Bytes of the disks that were copied.", AT(disk_done), 1},
	    {"adit_job_disk_bytes", "Bytes of the disks that are to be copied.", AT(disk_total), 1},
	    {"adit_job_ram_done_bytes", "Bytes of RAM that the destination has.", AT(ram_done), 1},
	    {"adit_job_ram_bytes", "Bytes of RAM.", AT(ram_total), 1},
	    {"adit_job_ram_remaining_bytes", "Bytes of RAM that are to go over yet.",
	     AT(ram_remaining), 1},
	    {"adit_job_rate_bytes_per_second", "Bytes a second through the tunnel, of late.",
	     AT(rate), 1},
	    {"adit_job_dirty_bytes_per_second", "Bytes a second that the guest writes anew.",
	     AT(dirty_rate), 1},
	    {"adit_job_passes", "Passes over RAM.", AT(passes), 1},
	};
#undef AT

	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		head(out, metrics[i].name, "gauge", metrics[i].help);
		for (struct task *t = NULL; (t = tasks_next(a->config.tasks, t));)
			sample(out, metrics[i].name, t,
			       (double)*(const uint64_t *)((const char *)task_numbers(t) +
							   metrics[i].at) *
				   metrics[i].factor);
	}
}

static void of_jobs(const struct api *a, struct evbuffer *out)
{
	unsigned count[TASK_STATUSES] = {0};

	for (struct task *t = NULL; (t = tasks_next(a->config.tasks, t));)
		count[task_status(t)]++;
	head(out, "adit_jobs", "gauge",
	     "Jobs that are known, by status; of the ended ones the last 100.");
	for (int i = 0; i < TASK_STATUSES; i++)
		evbuffer_add_printf(out, "adit_jobs{status=\"%s\"} %u\n",
				    task_status_name((enum task_status)i), count[i]);
	head(out, "adit_job_info", "gauge", "What a job is, and how it is; always 1.");
	for (struct task *t = NULL; (t = tasks_next(a->config.tasks, t));) {
		evbuffer_add_printf(out, "adit_job_info{");
		label(out, "job", task_id(t));
		evbuffer_add(out, ",", 1);
		label(out, "vm", task_vm(t));
		evbuffer_add(out, ",", 1);
		label(out, "target", task_target(t));
		evbuffer_add(out, ",", 1);
		label(out, "status", task_status_name(task_status(t)));
		evbuffer_add(out, ",", 1);
		label(out, "phase", task_numbers(t)->phase);
		evbuffer_add_printf(out, "} 1\n");
	}
	head(out, "adit_job_progress_ratio", "gauge", "How far it is: 0 to 1.");
	for (struct task *t = NULL; (t = tasks_next(a->config.tasks, t));)
		sample(out, "adit_job_progress_ratio", t, task_progress(t) / 100.0);
	head(out, "adit_job_downtime_seconds", "gauge",
	     "How long the guest stood still, once that is known.");
	for (struct task *t = NULL; (t = tasks_next(a->config.tasks, t));)
		if (task_downtime_ms(t) >= 0)
			sample(out, "adit_job_downtime_seconds", t,
			       (double)task_downtime_ms(t) / 1000);
}

static void stream_sample(struct evbuffer *out, const char *name, const struct task *t,
			  const struct migrate_stream *s, uint64_t value)
{
	evbuffer_add_printf(out, "%s{", name);
	label(out, "job", task_id(t));
	evbuffer_add(out, ",", 1);
	label(out, "vm", task_vm(t));
	evbuffer_add(out, ",", 1);
	label(out, "stream", s->name);
	evbuffer_add(out, ",", 1);
	label(out, "class", stream_class_name(s->class));
	evbuffer_add_printf(out, "} %.17g\n", (double)value);
}

static void of_streams(const struct api *a, struct evbuffer *out)
{
	struct migrate_stream *list = calloc(TASK_STREAMS_MAX, sizeof(*list));

	for (int rates = 0; list && rates < 2; rates++) {
		const char *name =
		    rates ? "adit_stream_rate_bytes_per_second" : "adit_stream_sent_bytes_total";

		head(out, name, rates ? "gauge" : "counter",
		     rates ? "Mean bytes a second of the stream, while it was open."
			   : "Payload of the stream that went to the destination.");
		for (struct task *t = NULL; (t = tasks_next(a->config.tasks, t));) {
			size_t n = task_streams(t, list, TASK_STREAMS_MAX);

			for (size_t i = 0; i < n; i++)
				stream_sample(out, name, t, &list[i],
					      rates ? list[i].rate : list[i].bytes);
		}
	}
	free(list);
}

/* Of a job's own session, and of one that a peer has opened to this adit. */
struct seen {
	const struct task *task;
	const struct session *session;
	struct migrate_session numbers;
};

/* The one after s, in the order of tasks and then of the router; false behind the last. */
static bool next_session(const struct api *a, struct seen *s)
{
	struct session_stats st;

	while (!s->session && (s->task = tasks_next(a->config.tasks, s->task))) {
		task_session(s->task, &s->numbers);
		if (*s->numbers.peer)
			return true;
	}
	s->session = a->config.router ? router_next_session(a->config.router, s->session) : NULL;
	if (!s->session)
		return false;
	session_stats(s->session, &st);
	memset(&s->numbers, 0, sizeof(s->numbers));
	snprintf(s->numbers.peer, sizeof(s->numbers.peer), "%s", session_peer(s->session));
	snprintf(s->numbers.address, sizeof(s->numbers.address), "%s",
		 session_peer_address(s->session));
	s->numbers.sent_bytes = st.sent_bytes;
	s->numbers.received_bytes = st.received_bytes;
	s->numbers.rtt_us = st.rtt_us;
	s->numbers.granted_bytes = st.granted_bytes;
	s->numbers.retained_bytes = st.retained_bytes;
	s->numbers.held_bytes = st.held_bytes;
	s->numbers.streams = st.streams;
	return true;
}

static void session_sample(struct evbuffer *out, const char *name, const struct seen *s,
			   double value)
{
	evbuffer_add_printf(out, "%s{", name);
	label(out, "job", s->task ? task_id(s->task) : "");
	evbuffer_add(out, ",", 1);
	label(out, "peer", s->numbers.peer);
	evbuffer_add(out, ",", 1);
	label(out, "address", s->numbers.address);
	evbuffer_add_printf(out, "} %.17g\n", value);
}

static void of_sessions(const struct api *a, struct evbuffer *out)
{
#define AT(m) offsetof(struct migrate_session, m)
	static const struct {
		struct metric m;
		const char *type;
	} metrics[] = {
	    {{"adit_session_sent_bytes_total", "Payload that was sent.", AT(sent_bytes), 1},
	     "counter"},
	    {{"adit_session_received_bytes_total", "Payload that came in.", AT(received_bytes), 1},
	     "counter"},
	    {{"adit_session_rtt_seconds", "Round trip, smoothed; 0: not known yet.", AT(rtt_us),
	      1e-6},
	     "gauge"},
	    {{"adit_session_window_bytes", "Sum of the windows granted to the peer.",
	      AT(granted_bytes), 1},
	     "gauge"},
	    {{"adit_session_memory_bytes", "Sent and kept until it is acknowledged.",
	      AT(retained_bytes), 1},
	     "gauge"},
	    {{"adit_session_held_bytes",
	      "What counts for the limits of the peer and of all: windows, what is kept, and what "
	      "the session is itself.",
	      AT(held_bytes), 1},
	     "gauge"},
	};
#undef AT

	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		head(out, metrics[i].m.name, metrics[i].type, metrics[i].m.help);
		for (struct seen s = {0}; next_session(a, &s);)
			session_sample(out, metrics[i].m.name, &s,
				       (double)*(const uint64_t *)((const char *)&s.numbers +
								   metrics[i].m.at) *
					   metrics[i].m.factor);
	}
	head(out, "adit_session_streams", "gauge", "Streams that are open.");
	for (struct seen s = {0}; next_session(a, &s);)
		session_sample(out, "adit_session_streams", &s, s.numbers.streams);
}

void api_metrics_write(const struct api *a, struct evbuffer *out)
{
	head(out, "adit_build_info", "gauge", "Which adit this is; always 1.");
	evbuffer_add_printf(out, "adit_build_info{version=\"" ADIT_VERSION "\"} 1\n");
	of_jobs(a, out);
	of_progress(a, out);
	of_streams(a, out);
	of_sessions(a, out);
	if (!a->config.accounts)
		return;
	head(out, "adit_memory_held_bytes", "gauge", "What the sessions of all peers hold.");
	evbuffer_add_printf(out, "adit_memory_held_bytes %.17g\n",
			    (double)accounts_held(a->config.accounts));
	head(out, "adit_memory_limit_bytes", "gauge", "The most that they may (memory-total).");
	evbuffer_add_printf(out, "adit_memory_limit_bytes %.17g\n",
			    (double)accounts_max(a->config.accounts));
}
