/*
 * The API's sockets and connections: see api.h.
 *
 * evhttp reads requests and holds them to the limits of their size, but it neither bounds
 * the number of connections nor the time that a request may take in all. Both are done
 * here: each connection is remembered with its descriptor and that socket's inode, so
 * that a look at them tells whether it still is there; when too many are, no more are
 * accepted. Who has not brought a whole request in time is told so and hung up on.
 */
#include "control/api/api.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/api/api_i.h"

enum {
	SWEEP_MS = 250,
	STALL_S = 20,					  /* nothing could be read or written */
	INPUT_MAX = 2 * (API_BODY_MAX + API_HEADERS_MAX), /* kept of what a client sends */
	BACKLOG = 64,
	LINGER_MS = 500,
};

struct api_listener {
	TAILQ_ENTRY(api_listener) link;
	struct api *api;
	struct evhttp *http;
	struct evhttp_bound_socket *bound;
	char *token, *next_token; /* next_token: while all of them are changed */
	char *path;		  /* of a unix socket, removed at the end */
	unsigned port;
	unsigned conn_count;
	bool full; /* no connection is accepted */
};

struct api_conn {
	TAILQ_ENTRY(api_conn) link;
	struct api *api;
	struct api_listener *listener; /* NULL once it has gone, at the very end */
	struct bufferevent *bev;       /* evhttp's; good as long as the socket is there */
	struct event *learn;
	int fd;		       /* -1: not known yet */
	ino_t inode;	       /* of the socket behind fd */
	uint64_t due_ms;       /* a request has come by then; 0: it is being answered */
	uint64_t bytes;	       /* that came in since the last request */
	struct origin *origin; /* a stranger's; NULL: not known yet, or no matter */
	bool going;	       /* it was hung up on, and counts no longer */
};

/* ---- connections ---- */

static void conn_free(struct api_conn *c)
{
	TAILQ_REMOVE(&c->api->conns, c, link);
	if (c->listener && !c->going)
		c->listener->conn_count--;
	if (c->origin)
		origins_leave(&c->api->origins, c->origin);
	event_free(c->learn);
	free(c);
}

static bool conn_lives(const struct api_conn *c)
{
	struct stat st;

	return c->fd < 0 || (fstat(c->fd, &st) == 0 && st.st_ino == c->inode);
}

static void set_full(struct api_listener *l, bool full);

/* Strangers on TCP do not shut out who has the token: of the address that has the most connections
 * without it the oldest gives way. newcomer, which may have it, waits where there is none. */
static void make_room(struct api_listener *l, const struct api_conn *newcomer)
{
	struct api_conn *c, *next, *victim = NULL;
	bool unknown = false; /* somebody's address is not known yet: that comes in this turn */

	for (c = TAILQ_FIRST(&l->api->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (!conn_lives(c))
			conn_free(c);
		else if (c->listener == l && c->fd < 0)
			unknown = true;
		else if (c != newcomer && c->listener == l && c->origin && !c->going &&
			 (!victim || c->origin->count > victim->origin->count))
			victim = c;
	}
	if (l->conn_count <= API_CONNECTIONS_MAX)
		return;
	if (!victim) {
		if (!unknown)
			set_full(l, true);
		return;
	}
	log_warn(NULL, "the API has %u connections: one that has not shown the token gives way",
		 l->conn_count);
	victim->going = true;
	l->conn_count--;
	shutdown(victim->fd, SHUT_RDWR);
}

/* Whose it is, where strangers may come. */
static void learn_origin(struct api_conn *c)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);

	if (getpeername(c->fd, (struct sockaddr *)&sa, &len) == 0)
		c->origin = origins_enter(&c->api->origins, (struct sockaddr *)&sa, clock_us());
	if (c->listener->conn_count > API_CONNECTIONS_MAX)
		make_room(c->listener, c);
}

/* The socket is known a moment after bufferevent, before anything can happen to it. */
static void on_learn(evutil_socket_t fd, short what, void *ctx)
{
	struct api_conn *c = ctx;
	struct stat st;

	(void)fd;
	(void)what;
	c->fd = bufferevent_getfd(c->bev);
	if (c->fd < 0 || fstat(c->fd, &st) < 0) {
		conn_free(c);
		return;
	}
	c->inode = st.st_ino;
	if (c->listener && c->listener->token)
		learn_origin(c);
}

static void on_input(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *ctx)
{
	struct api_conn *c = ctx;

	(void)buffer;
	c->bytes += info->n_added;
}

/* Each socket has places of its own: strangers on TCP cannot take those of the host's
 * own programs. */
static void set_full(struct api_listener *l, bool full)
{
	struct evconnlistener *el = evhttp_bound_socket_get_listener(l->bound);

	if (l->full == full)
		return;
	l->full = full;
	if (full) {
		log_warn(NULL, "the API has %u connections; more have to wait", l->conn_count);
		evconnlistener_disable(el);
	} else {
		evconnlistener_enable(el);
	}
}

/* evhttp wants a bufferevent for a connection that it has accepted. */
static struct bufferevent *on_accept(struct event_base *base, void *ctx)
{
	struct api_listener *l = ctx;
	struct api *a = l->api;
	struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);
	struct api_conn *c = calloc(1, sizeof(*c));

	if (c)
		c->learn = evtimer_new(base, on_learn, c);
	if (!bev || !c || !c->learn) {
		free(c);
		return bev; /* not counted, but evhttp's time limits hold */
	}
	/* While an answer is under way nobody looks at what comes in. */
	bufferevent_setwatermark(bev, EV_READ, 0, INPUT_MAX);
	c->api = a;
	c->listener = l;
	c->bev = bev;
	c->fd = -1;
	c->due_ms = clock_ms() + API_REQUEST_MS;
	evbuffer_add_cb(bufferevent_get_input(bev), on_input, c);
	TAILQ_INSERT_TAIL(&a->conns, c, link);
	event_active(c->learn, EV_TIMEOUT, 1);
	if (++l->conn_count >= API_CONNECTIONS_MAX && !l->token)
		set_full(l, true);
	if (!evtimer_pending(a->sweep, NULL))
		event_add(a->sweep, &(struct timeval){.tv_usec = SWEEP_MS * 1000});
	return bev;
}

static void hang_up(const struct api_conn *c)
{
	static const char text[] =
	    "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n"
	    "Connection: close\r\nContent-Length: 78\r\n\r\n"
	    "{\"error\":{\"code\":\"timeout\",\"message\":\"the request did not come within 15 "
	    "s\"}}\n";

	if (c->bytes)
		(void)!send(c->fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(c->fd, SHUT_RDWR); /* evhttp sees its end, and tidies up */
}

static void on_sweep(evutil_socket_t fd, short what, void *ctx)
{
	struct api *a = ctx;
	struct api_conn *c, *next;
	struct api_listener *l;
	uint64_t now_ms = clock_ms();

	(void)fd;
	(void)what;
	for (c = TAILQ_FIRST(&a->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (!conn_lives(c)) {
			conn_free(c);
		} else if (c->fd >= 0 && c->due_ms && now_ms >= c->due_ms) {
			hang_up(c);
			c->due_ms = 0;
		}
	}
	TAILQ_FOREACH(l, &a->listeners, link)
	{
		if (l->conn_count < API_CONNECTIONS_MAX)
			set_full(l, false);
	}
	if (!TAILQ_EMPTY(&a->conns))
		event_add(a->sweep, &(struct timeval){.tv_usec = SWEEP_MS * 1000});
}

static struct api_conn *conn_of(struct api *a, struct evhttp_request *req)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(req);
	struct bufferevent *bev = evcon ? evhttp_connection_get_bufferevent(evcon) : NULL;
	struct api_conn *c;

	TAILQ_FOREACH(c, &a->conns, link)
	{
		/* One that has gone may have had the same place in memory. */
		if (c->bev == bev && conn_lives(c))
			return c;
	}
	return NULL;
}

/* The answer is out; the next request may come. */
static void on_answered(struct evhttp_request *req, void *ctx)
{
	struct api_conn *c = conn_of(ctx, req);

	if (c)
		c->due_ms = clock_ms() + API_REQUEST_MS;
}

/* ---- requests ---- */

/* In a time that does not tell how much of it is right. */
static bool same(const char *a, size_t len, const char *b)
{
	size_t other = strlen(b);
	unsigned char differs = len != other;

	for (size_t i = 0; i < len; i++)
		differs |= (unsigned char)(a[i] ^ (other ? b[i % other] : 0));
	return !differs;
}

static bool may(const struct api_listener *l, struct evhttp_request *req)
{
	static const char scheme[] = "Bearer ";
	const char *given =
	    evhttp_find_header(evhttp_request_get_input_headers(req), "Authorization");

	if (!l->token)
		return true;
	return given && strncasecmp(given, scheme, sizeof(scheme) - 1) == 0 &&
	       same(given + sizeof(scheme) - 1, strlen(given + sizeof(scheme) - 1), l->token);
}

static void on_request(struct evhttp_request *req, void *ctx)
{
	struct api_listener *l = ctx;
	struct api_conn *c = conn_of(l->api, req);

	if (c) {
		c->due_ms = 0;
		c->bytes = 0;
	}
	evhttp_request_set_on_complete_cb(req, on_answered, l->api);
	if (!may(l, req)) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "WWW-Authenticate",
				  "Bearer realm=\"adit\"");
		api_reply_error(req, 401, "auth",
				"the header Authorization: Bearer TOKEN is needed, with the token "
				"of --api-token-file");
		return;
	}
	if (c && c->origin) { /* no stranger any more */
		origins_leave(&c->api->origins, c->origin);
		c->origin = NULL;
	}
	api_routes_handle(l->api, req);
}

/* ---- life ---- */

struct api *api_new(struct event_base *base, const struct api_config *config, struct err *e)
{
	struct api *a = calloc(1, sizeof(*a));

	if (a)
		a->sweep = evtimer_new(base, on_sweep, a);
	if (!a || !a->sweep) {
		err_set(e, ERR_SPACE, "no memory for the API");
		free(a);
		return NULL;
	}
	a->base = base;
	a->config = *config;
	TAILQ_INIT(&a->listeners);
	TAILQ_INIT(&a->conns);
	origins_init(&a->origins);
	TAILQ_INIT(&a->waiting);
	TAILQ_INIT(&a->streams);
	return a;
}

static void forget(char *token)
{
	if (token)
		explicit_bzero(token, strlen(token));
	free(token);
}

static void listener_free(struct api_listener *l)
{
	if (l->http)
		evhttp_free(l->http);
	if (l->path)
		unlink(l->path);
	forget(l->token);
	free(l->path);
	free(l);
}

int api_listen(struct api *a, const struct addr *at, const char *token, struct err *e)
{
	int fd = fd_listen(at, BACKLOG, e), rc;

	if (fd < 0)
		return fd;
	rc = api_listen_fd(a, fd, token, e);
	if (rc == 0 && at->kind == ADDR_UNIX)
		TAILQ_LAST(&a->listeners, api_listener_list)->path = strdup(at->path);
	return rc;
}

int api_listen_fd(struct api *a, int fd, const char *token, struct err *e)
{
	struct api_listener *l = calloc(1, sizeof(*l));
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (!l) {
		close(fd);
		return err_set(e, ERR_SPACE, "no memory for the API");
	}
	l->api = a;
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0 && ss.ss_family != AF_UNIX)
		l->port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
							 : ((struct sockaddr_in *)&ss)->sin_port);
	l->token = token ? strdup(token) : NULL;
	l->http = evhttp_new(a->base);
	if (l->http)
		l->bound = evhttp_accept_socket_with_handle(l->http, fd);
	if (!l->bound)
		close(fd);
	if (!l->bound || (token && !l->token)) {
		listener_free(l);
		return err_set(e, ERR_SPACE, "no memory for the API");
	}
	evhttp_set_max_headers_size(l->http, API_HEADERS_MAX);
	evhttp_set_max_body_size(l->http, API_BODY_MAX);
	evhttp_set_timeout(l->http, STALL_S);
	evhttp_set_default_content_type(l->http, "application/json");
	/* All that it knows, so that it is us who say which are allowed where. */
	evhttp_set_allowed_methods(l->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
						EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
						EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
						EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_bevcb(l->http, on_accept, l);
	evhttp_set_gencb(l->http, on_request, l);
	TAILQ_INSERT_TAIL(&a->listeners, l, link);
	return 0;
}

int api_set_token(struct api *a, const char *token, struct err *e)
{
	struct api_listener *l;

	TAILQ_FOREACH(l, &a->listeners, link)
	{
		/* The new one first, where the old one has its place: either all have it or none.
		 */
		l->next_token = l->token ? strdup(token) : NULL;
		if (l->token && !l->next_token)
			goto none;
	}
	TAILQ_FOREACH(l, &a->listeners, link)
	{
		if (!l->next_token)
			continue;
		forget(l->token);
		l->token = l->next_token;
		l->next_token = NULL;
	}
	return 0;
none:
	for (; l; l = TAILQ_PREV(l, api_listener_list, link)) {
		forget(l->next_token);
		l->next_token = NULL;
	}
	return err_set(e, ERR_SPACE, "no memory for the API's token");
}

unsigned api_port(const struct api *a)
{
	const struct api_listener *l;

	TAILQ_FOREACH(l, &a->listeners, link)
	{
		if (l->port)
			return l->port;
	}
	return 0;
}

void api_drain(struct api *a)
{
	a->draining = true;
}

static bool is_busy(const struct api *a)
{
	const struct api_conn *c;

	TAILQ_FOREACH(c, &a->conns, link)
	{
		if (!c->due_ms && conn_lives(c))
			return true;
	}
	return false;
}

void api_linger(struct api *a)
{
	uint64_t until_ms = clock_ms() + LINGER_MS;

	a->draining = true;
	while (is_busy(a) && clock_ms() < until_ms) {
		event_base_loop(a->base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
}

void api_free(struct api *a)
{
	struct api_listener *l;
	struct api_conn *c;

	if (!a)
		return;
	a->draining = true;
	api_routes_end(a);
	api_stream_end_all(a);
	TAILQ_FOREACH(c, &a->conns, link)
	c->listener = NULL;
	while ((l = TAILQ_FIRST(&a->listeners))) {
		TAILQ_REMOVE(&a->listeners, l, link);
		listener_free(l);
	}
	while ((c = TAILQ_FIRST(&a->conns)))
		conn_free(c);
	origins_fini(&a->origins);
	event_free(a->sweep);
	free(a);
}

int api_read_token(const char *file, char *buf, struct err *e)
{
	char text[API_TOKEN_MAX + 3];
	struct stat st;
	ssize_t n;
	size_t from = 0, len;
	int fd = open(file, O_RDONLY | O_CLOEXEC), saved;

	if (fd < 0)
		return err_set_sys(e, errno, "--api-token-file %s", file);
	n = fstat(fd, &st) < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	saved = errno;
	close(fd);
	if (n < 0)
		return err_set_sys(e, saved, "--api-token-file %s", file);
	if (st.st_mode & 077)
		return err_set(e, ERR_CONFIG,
			       "--api-token-file %s: others may read it; chmod 0600 it", file);
	text[n] = 0;
	from = strspn(text, " \t\r\n");
	len = strcspn(text + from, " \t\r\n");
	if (len > API_TOKEN_MAX || (size_t)n > API_TOKEN_MAX + 1)
		return err_set(e, ERR_CONFIG,
			       "--api-token-file %s: a token has at most %d characters", file,
			       API_TOKEN_MAX);
	if (len < API_TOKEN_MIN)
		return err_set(e, ERR_CONFIG,
			       "--api-token-file %s: a token of at least %d characters is needed "
			       "(openssl rand -hex 32 makes one)",
			       file, API_TOKEN_MIN);
	memcpy(buf, text + from, len);
	buf[len] = 0;
	explicit_bzero(text, sizeof(text));
	return 0;
}
