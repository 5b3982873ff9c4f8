/*
 * What the files of the API share; nobody else includes it.
 *
 *   api.c          sockets, connections and their limits, who may ask
 *   api_routes.c   what can be asked for
 *   api_reply.c    answers
 *   api_stream.c   a task's events, as they come
 *   api_metrics.c  GET /metrics
 */
#ifndef ADIT_CONTROL_API_API_I_H
#define ADIT_CONTROL_API_API_I_H

#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>
#include <sys/queue.h>

#include "control/api/api.h"
#include "control/api/task.h"
#include "control/api/tasks.h"
#include "control/api/vms_found.h"
#include "tunnel/origins.h"

struct api_listener;
struct api_stream;

/* A request that waits for a look at the VMs. */
struct api_waiting {
	TAILQ_ENTRY(api_waiting) link;
	struct vms_found_waiter waiter;
	struct api *api;
	struct evhttp_request *req;
	void (*fn)(struct api *a, struct evhttp_request *req, const char *name, json_t *body);
	char *name;
	json_t *body;
};

TAILQ_HEAD(api_listener_list, api_listener);
TAILQ_HEAD(api_waiting_list, api_waiting);
TAILQ_HEAD(api_stream_list, api_stream);
TAILQ_HEAD(api_conn_list, api_conn);

struct api {
	struct event_base *base;
	struct api_config config;
	struct api_listener_list listeners;
	struct api_conn_list conns;
	struct origins origins; /* of those on TCP */
	struct event *sweep;
	struct api_waiting_list waiting;
	struct api_stream_list streams;
	unsigned stream_count;
	bool draining;
};

/* ---- api_reply.c ---- */

/* Answers with v (stolen), or with an error: {"error":{"code","message"}}. */
void api_reply(struct evhttp_request *req, int status, json_t *v);
void api_reply_error(struct evhttp_request *req, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The status that goes with e. */
void api_reply_err(struct evhttp_request *req, const struct err *e);

/* ---- api_routes.c ---- */

/* Answers req, now or later. */
void api_routes_handle(struct api *a, struct evhttp_request *req);
/* Answers all that wait for a look. */
void api_routes_end(struct api *a);

/* ---- api_stream.c ---- */

/* Answers with the events of t from number on, until it has ended. */
void api_stream_start(struct api *a, struct evhttp_request *req, struct task *t, uint64_t from);
void api_stream_end_all(struct api *a);

/* ---- api_metrics.c ---- */

/* Prometheus' text format, into out. */
void api_metrics_write(const struct api *a, struct evbuffer *out);

/* docs/openapi.json, as it was when this was built. */
extern const char api_openapi[];
extern const size_t api_openapi_len;

#endif
