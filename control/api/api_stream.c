/*
 * A task's events as a stream of JSON lines. A client that reads slowly is given the next
 * ones when it has taken those before; what was forgotten meanwhile is told of as a gap.
 * One that has gone is noticed when there is something to say to it: evhttp has taken the
 * request from its connection then, and waits for its end.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <inttypes.h>
#include <stdlib.h>

#include "control/api/api_i.h"

enum { UNSENT_MAX = 64 * 1024, STALL_S = 20 };

struct api_stream {
	TAILQ_ENTRY(api_stream) link;
	struct api *api;
	struct evhttp_request *req;
	struct task *task;
	struct task_watcher watcher;
	struct event *pump;
	uint64_t next;
};

static void stream_end(struct api_stream *s)
{
	evhttp_send_reply_end(s->req);
	task_unwatch(s->task, &s->watcher);
	TAILQ_REMOVE(&s->api->streams, s, link);
	s->api->stream_count--;
	event_free(s->pump);
	free(s);
}

static void wake(void *ctx)
{
	struct api_stream *s = ctx;

	event_active(s->pump, EV_TIMEOUT, 1);
}

/* Of a connection that lives: all that was sent is out. */
static void on_sent(struct evhttp_connection *evcon, void *ctx)
{
	(void)evcon;
	wake(ctx);
}

static void on_pump(evutil_socket_t fd, short what, void *ctx)
{
	struct api_stream *s = ctx;
	struct evhttp_connection *evcon = evhttp_request_get_connection(s->req);
	struct evbuffer *out, *line;

	(void)fd;
	(void)what;
	if (!evcon) {
		stream_end(s);
		return;
	}
	out = bufferevent_get_output(evhttp_connection_get_bufferevent(evcon));
	line = evbuffer_new();
	while (line && s->next < task_events_next(s->task) &&
	       evbuffer_get_length(out) < UNSENT_MAX) {
		uint64_t first = task_events_first(s->task);
		const char *text = task_event(s->task, s->next);

		if (s->next < first) {
			evbuffer_add_printf(line, "{\"event\":\"gap\",\"missed\":%" PRIu64 "}\n",
					    first - s->next);
			s->next = first;
		} else {
			if (text)
				evbuffer_add_printf(line, "%s\n", text);
			s->next++;
		}
		if (evbuffer_get_length(line))
			evhttp_send_reply_chunk_with_cb(s->req, line, on_sent, s);
	}
	if (line)
		evbuffer_free(line);
	if (s->next >= task_events_next(s->task) && task_ended(s->task))
		stream_end(s);
}

/* Those whose clients have gone make room before there is something to say to them. */
static void reap(struct api *a)
{
	struct api_stream *s, *next;

	for (s = TAILQ_FIRST(&a->streams); s; s = next) {
		next = TAILQ_NEXT(s, link);
		if (!evhttp_request_get_connection(s->req))
			stream_end(s);
	}
}

void api_stream_start(struct api *a, struct evhttp_request *req, struct task *t, uint64_t from)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	struct evhttp_connection *evcon = evhttp_request_get_connection(req);
	struct api_stream *s;

	reap(a);
	if (a->stream_count >= API_STREAMS_MAX) {
		api_reply_error(req, 503, "limit", "%d clients follow events already",
				API_STREAMS_MAX);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (s)
		s->pump = evtimer_new(a->base, on_pump, s);
	if (!s || !s->pump || !evcon) {
		if (s && s->pump)
			event_free(s->pump);
		free(s);
		api_reply_error(req, 503, "space", "memory is short");
		return;
	}
	s->api = a;
	s->req = req;
	s->task = t;
	s->next = from;
	s->watcher.fn = wake;
	s->watcher.ctx = s;
	task_watch(t, &s->watcher);
	TAILQ_INSERT_TAIL(&a->streams, s, link);
	a->stream_count++;
	evhttp_add_header(headers, "Content-Type", "application/x-ndjson");
	evhttp_add_header(headers, "Cache-Control", "no-store");
	/* The client says nothing more, for as long as it takes; but it has to read. */
	evhttp_add_header(headers, "Connection", "close");
	bufferevent_set_timeouts(evhttp_connection_get_bufferevent(evcon), NULL,
				 &(struct timeval){.tv_sec = STALL_S});
	evhttp_send_reply_start(req, 200, "OK");
	wake(s);
}

void api_stream_end_all(struct api *a)
{
	struct api_stream *s;

	while ((s = TAILQ_FIRST(&a->streams)))
		stream_end(s);
}
