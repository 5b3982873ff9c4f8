/* What can be asked for, and the answers: docs/openapi.json lists them. */
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control/api/api_i.h"
#include "control/wish.h"

/* A request and what its path names. */
struct asked {
	struct api *api;
	struct evhttp_request *req;
	const char *name;  /* what stood in the place of '*'; "" */
	const char *query; /* behind the '?', or NULL */
};

/* ---- bodies ---- */

/* The body as an object, owned by the caller; NULL when it was answered with 400. */
static json_t *take_body(struct evhttp_request *req)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	size_t len = evbuffer_get_length(in);
	const char *text = len ? (const char *)evbuffer_pullup(in, -1) : "";
	json_error_t why;
	json_t *v;

	if (len == 0) {
		api_reply_error(req, 400, "usage", "a JSON object is needed as the body");
		return NULL;
	}
	v = text ? json_loadb(text, len, JSON_REJECT_DUPLICATES, &why) : NULL;
	if (!v)
		api_reply_error(req, 400, "usage", "the body is no JSON: %s, line %d, column %d",
				text ? why.text : "memory is short", why.line, why.column);
	else if (!json_is_object(v))
		api_reply_error(req, 400, "usage", "the body is JSON, but no object");
	else
		return v;
	json_decref(v);
	return NULL;
}

/* ---- looks at the VMs ---- */

static void waiting_free(struct api_waiting *w)
{
	TAILQ_REMOVE(&w->api->waiting, w, link);
	json_decref(w->body);
	free(w->name);
	free(w);
}

static void on_looked(void *ctx)
{
	struct api_waiting *w = ctx;

	w->fn(w->api, w->req, w->name, w->body);
	waiting_free(w);
}

/* Has fn answer once the VMs were looked at anew; body is stolen. */
static void answer_after_look(const struct asked *k,
			      void (*fn)(struct api *a, struct evhttp_request *req,
					 const char *name, json_t *body),
			      json_t *body)
{
	struct api_waiting *w = calloc(1, sizeof(*w));

	if (!w || !(w->name = strdup(k->name))) {
		free(w);
		json_decref(body);
		api_reply_error(k->req, 503, "space", "memory is short");
		return;
	}
	w->api = k->api;
	w->req = k->req;
	w->fn = fn;
	w->body = body;
	w->waiter.fn = on_looked;
	w->waiter.ctx = w;
	TAILQ_INSERT_TAIL(&k->api->waiting, w, link);
	vms_found_look(k->api->config.vms, &w->waiter);
}

void api_routes_end(struct api *a)
{
	struct api_waiting *w;

	while ((w = TAILQ_FIRST(&a->waiting))) {
		vms_found_forget(a->config.vms, &w->waiter);
		api_reply_error(w->req, 503, "closed", "adit ends");
		waiting_free(w);
	}
}

static void answer_vms(struct api *a, struct evhttp_request *req, const char *name, json_t *body)
{
	const struct vms_found_vm *vm = NULL;
	json_t *list = json_array();

	(void)name;
	(void)body;
	while ((vm = vms_found_next(a->config.vms, vm)))
		json_array_append_new(list, vms_found_to_json(a->config.vms, vm, 0));
	api_reply(req, 200,
		  json_pack("{s:o,s:o}", "vms", list, "others", vms_found_others(a->config.vms)));
}

static const struct vms_found_vm *find_vm(struct api *a, struct evhttp_request *req,
					  const char *name)
{
	struct err e = ERR_INIT;
	const struct vms_found_vm *vm = vms_found_find(a->config.vms, name, &e);

	if (!vm && e.code == ERR_USAGE)
		api_reply_error(req, 404, "not-found", "%s", e.text);
	else if (!vm)
		api_reply_err(req, &e);
	return vm;
}

static void answer_vm(struct api *a, struct evhttp_request *req, const char *name, json_t *body)
{
	const struct vms_found_vm *vm = find_vm(a, req, name);

	(void)body;
	if (vm)
		api_reply(req, 200, vms_found_to_json(a->config.vms, vm, 1));
}

static void reply_task(struct evhttp_request *req, int status, const struct task *t)
{
	api_reply(req, status, task_to_json(t));
}

static void answer_migrate(struct api *a, struct evhttp_request *req, const char *name,
			   json_t *body)
{
	const struct vms_found_vm *vm = find_vm(a, req, name);
	struct migrate_config config;
	struct err e = ERR_INIT;
	const struct task *t;
	char location[128];

	if (!vm)
		return;
	if (a->draining) {
		api_reply_error(req, 503, "closed", "adit is about to end, and takes no more jobs");
		return;
	}
	/* It was read before; but the strings are the body's. */
	if (migrate_config_from_json(&config, body, &e) < 0) {
		api_reply_err(req, &e);
		return;
	}
	config.qmp = vms_found_qmp(vm);
	config.auth = *a->config.auth;
	if (config.dest && auth_is_ssh(config.dest))
		config.auth = (struct auth){0};
	config.state_dir = a->config.state_dir;
	t = tasks_start(a->config.tasks, &config, vms_found_name(vm), NULL, NULL, &e);
	if (!t) {
		api_reply_err(req, &e);
		return;
	}
	snprintf(location, sizeof(location), "/tasks/%s", task_id(t));
	evhttp_add_header(evhttp_request_get_output_headers(req), "Location", location);
	reply_task(req, 202, t);
}

/* ---- the handlers ---- */

static void get_vms(const struct asked *k)
{
	if (k->api->config.vms)
		answer_after_look(k, answer_vms, NULL);
	else
		api_reply(k->req, 200, json_pack("{s:[],s:[]}", "vms", "others"));
}

static bool no_vms(const struct asked *k)
{
	if (k->api->config.vms)
		return false;
	api_reply_error(k->req, 404, "not-found",
			"there is no VM \"%.128s\": no folder of VMs was named (adit serve --vms)",
			k->name);
	return true;
}

static void get_vm(const struct asked *k)
{
	if (!no_vms(k))
		answer_after_look(k, answer_vm, NULL);
}

/* The body of a request to migrate, as migrate_config.h has it. What this host's files and
 * credentials are is the daemon's to say, not the client's. */
static int check_wish(json_t *body, struct err *e)
{
	static const char *const ours[] = {"qmp", "auth", "state_dir", "dest", "run_dir"};
	struct migrate_config config;
	json_t *host = json_object_get(body, "host");

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (json_object_get(body, ours[i]))
			return err_set(e, ERR_USAGE, "\"%s\" is not known", ours[i]);
	if (!host)
		return err_set(e, ERR_USAGE, "host is missing: tls://[ID@]HOST[:PORT]");
	if (!json_is_string(host))
		return err_set(e, ERR_USAGE, "host: a text like tls://[ID@]HOST[:PORT] is needed");
	json_object_set(body, "dest", host);
	json_object_del(body, "host");
	if (migrate_config_from_json(&config, body, e) < 0)
		return e->code;
	config.qmp = "/";
	return migrate_config_check(&config, e);
}

static void post_migrate(const struct asked *k)
{
	struct err e = ERR_INIT;
	json_t *body;

	if (no_vms(k))
		return;
	body = take_body(k->req);
	if (!body)
		return;
	if (check_wish(body, &e) < 0) {
		api_reply_err(k->req, &e);
		json_decref(body);
		return;
	}
	answer_after_look(k, answer_migrate, body);
}

static void get_tasks(const struct asked *k)
{
	json_t *list = json_array();

	for (struct task *t = NULL; (t = tasks_next(k->api->config.tasks, t));)
		json_array_append_new(list, task_to_json(t));
	api_reply(k->req, 200, json_pack("{s:o}", "tasks", list));
}

static struct task *find_task(const struct asked *k)
{
	struct err e = ERR_INIT;
	struct task *t = tasks_find(k->api->config.tasks, k->name, &e);

	if (!t)
		api_reply_error(k->req, 404, "not-found", "%s", e.text);
	return t;
}

static void get_task(const struct asked *k)
{
	const struct task *t = find_task(k);

	if (t)
		reply_task(k->req, 200, t);
}

static void patch_task(const struct asked *k)
{
	struct task *t = find_task(k);
	struct err e = ERR_INIT;
	json_t *body = t ? take_body(k->req) : NULL;

	if (!body)
		return;
	if (task_set(t, body, &e) < 0)
		api_reply_err(k->req, &e);
	else
		reply_task(k->req, 200, t);
	json_decref(body);
}

static void delete_task(const struct asked *k)
{
	struct task *t = find_task(k);
	struct err e = ERR_INIT;

	if (!t)
		return;
	if (task_cancel(t, &e) < 0)
		api_reply_err(k->req, &e);
	else
		reply_task(k->req, 202, t);
}

static void get_events(const struct asked *k)
{
	struct task *t = find_task(k);
	struct evkeyvalq query = {0};
	const char *from;
	char *end = NULL;
	uint64_t number = 0;

	if (!t)
		return;
	if (k->query) {
		if (evhttp_parse_query_str(k->query, &query) < 0) {
			api_reply_error(k->req, 400, "usage", "the query cannot be read");
			return;
		}
		from = evhttp_find_header(&query, "from");
		number = from && *from >= '0' && *from <= '9' ? strtoull(from, &end, 10) : 0;
		if (!end || *end || TAILQ_NEXT(TAILQ_FIRST(&query), next)) {
			evhttp_clear_headers(&query);
			api_reply_error(k->req, 400, "usage",
					"only ?from=N is known: the number of the first event");
			return;
		}
		evhttp_clear_headers(&query);
	}
	api_stream_start(k->api, k->req, t, number);
}

static void get_metrics(const struct asked *k)
{
	struct evbuffer *out = evbuffer_new();

	if (!out) {
		api_reply_error(k->req, 503, "space", "memory is short");
		return;
	}
	api_metrics_write(k->api, out);
	evhttp_add_header(evhttp_request_get_output_headers(k->req), "Content-Type",
			  "text/plain; version=0.0.4; charset=utf-8");
	evhttp_send_reply(k->req, 200, "OK", out);
	evbuffer_free(out);
}

static void get_openapi(const struct asked *k)
{
	struct evbuffer *out = evbuffer_new();

	if (out)
		evbuffer_add(out, api_openapi, api_openapi_len);
	evhttp_add_header(evhttp_request_get_output_headers(k->req), "Content-Type",
			  "application/json");
	evhttp_send_reply(k->req, 200, "OK", out);
	if (out)
		evbuffer_free(out);
}

/* ---- which one ---- */

typedef void handler(const struct asked *k);

static const struct route {
	const char *path; /* one '*' may stand for a name */
	handler *get, *post, *patch, *delete;
	bool has_query;
} routes[] = {
    {"/vms", get_vms, NULL, NULL, NULL, false},
    {"/vms/*", get_vm, NULL, NULL, NULL, false},
    {"/vms/*/migrate", NULL, post_migrate, NULL, NULL, false},
    {"/tasks", get_tasks, NULL, NULL, NULL, false},
    {"/tasks/*", get_task, NULL, patch_task, delete_task, false},
    {"/tasks/*/events", get_events, NULL, NULL, NULL, true},
    {"/metrics", get_metrics, NULL, NULL, NULL, false},
    {"/openapi.json", get_openapi, NULL, NULL, NULL, false},
};

enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

/* Whether path is the route's; the name's place and length then. */
static bool matches(const char *route, const char *path, const char **name, size_t *len)
{
	*name = "";
	*len = 0;
	for (; *route; route++) {
		if (*route != '*') {
			if (*route != *path++)
				return false;
			continue;
		}
		*name = path;
		*len = strcspn(path, "/");
		if (*len == 0)
			return false;
		path += *len;
	}
	return *path == 0;
}

static handler *handler_of(const struct route *r, enum evhttp_cmd_type method)
{
	switch (method) {
	case EVHTTP_REQ_GET:
		return r->get;
	case EVHTTP_REQ_HEAD: /* evhttp leaves the body out */
		return r->has_query ? NULL : r->get;
	case EVHTTP_REQ_POST:
		return r->post;
	case EVHTTP_REQ_PATCH:
		return r->patch;
	case EVHTTP_REQ_DELETE:
		return r->delete;
	default:
		return NULL;
	}
}

static void refuse_method(struct evhttp_request *req, const struct route *r)
{
	char allow[64];
	int n = snprintf(allow, sizeof(allow), "%s%s%s%s%s", r->get ? ", GET" : "",
			 r->get && !r->has_query ? ", HEAD" : "", r->post ? ", POST" : "",
			 r->patch ? ", PATCH" : "", r->delete ? ", DELETE" : "");

	evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", n > 2 ? allow + 2 : "");
	api_reply_error(req, 405, "method", "not that method here: %s", allow + 2);
}

void api_routes_handle(struct api *a, struct evhttp_request *req)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	struct asked k = {.api = a, .req = req, .query = uri ? evhttp_uri_get_query(uri) : NULL};
	const struct route *r = NULL;
	const char *at = "";
	size_t len = 0, decoded = 0;
	handler *fn;
	char *part, *name;

	for (size_t i = 0; path && i < ROUTES && !r; i++)
		if (matches(routes[i].path, path, &at, &len))
			r = &routes[i];
	if (!r) {
		api_reply_error(req, 404, "not-found",
				"there is nothing at that path; GET /openapi.json tells what is");
		return;
	}
	fn = handler_of(r, evhttp_request_get_command(req));
	if (!fn) {
		refuse_method(req, r);
		return;
	}
	if (k.query && !*k.query)
		k.query = NULL;
	if (k.query && !r->has_query) {
		api_reply_error(req, 400, "usage", "there is nothing to ask for behind '?' here");
		return;
	}
	part = strndup(at, len);
	name = part ? evhttp_uridecode(part, 0, &decoded) : NULL;
	if (!name)
		api_reply_error(req, 503, "space", "memory is short");
	else if (strlen(name) != decoded)
		api_reply_error(req, 404, "not-found", "no name has a zero byte in it");
	else {
		k.name = name;
		fn(&k);
	}
	free(name);
	free(part);
}
