/*
 * A session's public face: connecting, and a link behind it. See session.h. Owned
 * by whoever called session_connect, or got it from a listener.
 */
#include "tunnel/session_i.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

enum { LINGER_LOOK_US = 2000 };

void session_config_default(struct session_config *c)
{
	*c = (struct session_config){.memory_max_bytes = 256u << 20,
				     .window_max_bytes = 64u << 20,
				     .streams_max = 4096,
				     .keepalive_ms = 5000,
				     .dead_ms = 15000,
				     .handshake_ms = 10000};
}

void session_prepare_socket(int fd, uint32_t dead_ms)
{
	unsigned timeout_ms = dead_ms + dead_ms / 3;

	/* What the kernel has sent and nobody acknowledges ends with an error, which says less
	 * than the keepalive: so that comes first, also where the loop was late, and finds the
	 * connection as it was (tcpinfo.h). Best effort: not TCP, no harm. */
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

static void on_link_ready(void *ctx)
{
	struct session *s = ctx;

	s->connecting = 0;
	if (!s->own_creds) /* else ssh has said who it is */
		snprintf(s->peer, sizeof(s->peer), "%s", link_transport(s->link)->peer);
	if (s->ops && s->ops->on_ready)
		s->ops->on_ready(s->ctx, s);
}

static void on_link_open(void *ctx, struct stream *stream, enum stream_class class,
			 const char *target)
{
	struct session *s = ctx;
	struct log_ctx about = {.peer = s->peer, .stream = stream_id(stream)};

	if (s->ops && s->ops->on_open) {
		s->ops->on_open(s->ctx, s, stream, class, target);
		return;
	}
	log_warn(&about, "refused: %s: this side takes no streams", target);
	stream_refuse(stream, CODE_REFUSED, "this side takes no streams");
}

static void on_link_end(void *ctx, const struct err *why)
{
	struct session *s = ctx;
	struct err e = *why;

	s->link = NULL;
	if (s->connecting && e.code)
		err_prefix(&e, "%s", s->dest);
	if (s->ops && s->ops->on_end)
		s->ops->on_end(s->ctx, s, &e);
}

static const struct link_ops link_ops = {on_link_ready, on_link_open, on_link_end};

void session_fail(struct session *s, const struct err *e)
{
	if (s->ops && s->ops->on_end)
		s->ops->on_end(s->ctx, s, e);
}

/* The link's mux configuration of s. */
void session_start_link(struct session *s, struct transport *t, struct err *e)
{
	struct mux_config mc = {.server = 0, .session = s->config};

	if (getrandom(mc.session_id, sizeof(mc.session_id), 0) != sizeof(mc.session_id)) {
		err_set_sys(e, errno, "no random numbers");
		transport_free(t);
		return;
	}
	s->link = link_new(s->base, t, &mc, &link_ops, s, e);
}

static void try_next(struct session *s);

/* The socket of the present address is connected, or has failed, or takes too long. */
static void on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	struct transport *t;
	struct err e = ERR_INIT;
	int error = 0;
	socklen_t len = sizeof(error);

	event_free(s->ev);
	s->ev = NULL;
	if (what & EV_TIMEOUT)
		error = ETIMEDOUT;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		s->last_error = error;
		fd_close(&s->fd);
		try_next(s);
		return;
	}
	session_prepare_socket(fd, s->config.dead_ms);
	s->fd = -1;
	addr_format_sockaddr((struct sockaddr *)&s->addresses.at[s->tried - 1].sa,
			     s->addresses.at[s->tried - 1].len, s->address, sizeof(s->address));
	if (s->ssh) {
		session_ssh_connected(s, fd);
		return;
	}
	t = creds_transport(s->creds, fd, s->host, &e);
	if (t)
		session_start_link(s, t, &e);
	if (!s->link) {
		err_prefix(&e, "%s", s->dest);
		session_fail(s, &e);
	}
}

static const char *advice(const struct session *s, int error)
{
	switch (error) {
	case ECONNREFUSED:
		if (s->ssh)
			return "is sshd running there, on that port?";
		if (s->ssh_key_only)
			return "does the firewall let that port through?";
		return "is `adit serve` running there, on that port?";
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return "is the host up, and does the firewall let that port through?";
	default:
		return "check the address";
	}
}

/* Connects to the next address; tells the owner when there is none left. */
static void try_next(struct session *s)
{
	uint64_t now_ms = clock_ms();
	struct err e = ERR_INIT;

	while (s->tried < s->addresses.count && now_ms < s->deadline_ms) {
		unsigned i = s->tried++;
		unsigned left = s->addresses.count - i;
		struct timeval tv = clock_timeval((s->deadline_ms - now_ms) / left + 1);
		const struct sockaddr *sa = (const struct sockaddr *)&s->addresses.at[i].sa;

		s->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (s->fd < 0) {
			s->last_error = errno;
			continue;
		}
		if (connect(s->fd, sa, s->addresses.at[i].len) < 0 && errno != EINPROGRESS) {
			s->last_error = errno;
			fd_close(&s->fd);
			continue;
		}
		s->ev = event_new(s->base, s->fd, EV_WRITE, on_connected, s);
		if (s->ev && event_add(s->ev, &tv) == 0)
			return;
		s->last_error = ENOMEM;
		fd_close(&s->fd);
	}
	err_set(&e, ERR_ADDRESS, "cannot connect to %s: %s: %s", s->dest, strerror(s->last_error),
		advice(s, s->last_error));
	session_fail(s, &e);
}

/* The first attempt runs from the loop, so that on_end never comes from within
 * session_connect. */
static void on_start(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	event_free(s->ev);
	s->ev = NULL;
	if (s->ssh_proxy)
		session_ssh_connected(s, -1);
	else
		try_next(s);
}

/* on_start, from the loop. */
static int start_soon(struct session *s, struct err *e)
{
	s->ev = evtimer_new(s->base, on_start, s);
	if (!s->ev || event_add(s->ev, &(struct timeval){0}) < 0)
		return err_set(e, ERR_SPACE, "no memory for a session");
	return 0;
}

/* ---- names ---- */

static void on_found(void *ctx, const struct addr_resolved *at, const struct err *why)
{
	struct session *s = ctx;

	s->lookup = NULL;
	event_free(s->ev);
	s->ev = NULL;
	if (err_is_set(why)) {
		session_fail(s, why);
		return;
	}
	s->addresses = *at;
	try_next(s);
}

/* The name server is silent. */
static void on_find_late(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	struct err e = ERR_INIT;

	(void)fd;
	(void)what;
	resolve_cancel(s->lookup);
	s->lookup = NULL;
	event_free(s->ev);
	s->ev = NULL;
	err_set(&e, ERR_ADDRESS,
		"the address of \"%s\" was not found within %u seconds: does the name server that "
		"/etc/resolv.conf names answer?",
		s->finding, s->config.handshake_ms / 1000);
	session_fail(s, &e);
}

int session_find(struct session *s, const struct addr *a, struct err *e)
{
	struct timeval tv;

	s->tried = 0;
	s->deadline_ms = clock_ms() + s->config.handshake_ms;
	if (resolve_is_literal(a)) {
		int rc = addr_resolve(a, 0, &s->addresses, e);

		return rc < 0 ? rc : start_soon(s, e);
	}
	snprintf(s->finding, sizeof(s->finding), "%s", a->host);
	s->ev = evtimer_new(s->base, on_find_late, s);
	tv = clock_timeval(s->config.handshake_ms);
	if (!s->ev || event_add(s->ev, &tv) < 0)
		return err_set(e, ERR_SPACE, "no memory for a session");
	s->lookup = resolve_start(s->base, a, on_found, s, e);
	if (s->lookup)
		return 0;
	event_free(s->ev); /* the end is told once */
	s->ev = NULL;
	return (int)e->code;
}

/* The destination as the user wrote it, and where it is looked for instead. */
static void name_dest(struct session *s, const struct addr_dest *d, const struct addr *at)
{
	char *text = s->dest, *end = s->dest + sizeof(s->dest);

	text += snprintf(text, (size_t)(end - text), strchr(d->host, ':') ? "%s://[%s]" : "%s://%s",
			 d->scheme, d->host);
	if (d->port)
		text += snprintf(text, (size_t)(end - text), ":%u", d->port);
	if (at)
		text += snprintf(text, (size_t)(end - text),
				 strchr(at->host, ':') ? " (at [%s]" : " (at %s", at->host);
	if (at)
		snprintf(text, (size_t)(end - text), at->port ? ":%u)" : ")", at->port);
}

static void connect_elsewhere(struct addr *a, const struct addr *to)
{
	uint16_t port = a->port;

	*a = *to;
	if (!a->port)
		a->port = port;
}

struct session *session_connect(struct event_base *base, const struct addr_dest *d,
				struct creds *creds, const struct session_config *config,
				const struct session_ops *ops, void *ctx, struct err *e)
{
	struct session *s = calloc(1, sizeof(*s));
	struct addr a = {.kind = ADDR_TCP, .port = d->port};

	if (!s) {
		err_set(e, ERR_SPACE, "no memory for a session");
		return NULL;
	}
	s->base = base;
	s->fd = -1;
	s->creds = creds;
	s->config = *config;
	s->ops = ops;
	s->ctx = ctx;
	s->connecting = 1;
	s->last_error = ETIMEDOUT;
	snprintf(s->host, sizeof(s->host), "%s", d->host);
	snprintf(a.host, sizeof(a.host), "%s", d->host);
	name_dest(s, d, config->connect_to);
	s->config.connect_to = NULL;
	if (creds_kind(creds) == CREDS_SSH && session_ssh_prepare(s, d, &a, e) < 0)
		goto fail;
	if (config->connect_to && s->ssh_key_only)
		s->data_to = *config->connect_to;
	else if (config->connect_to)
		connect_elsewhere(&a, config->connect_to);
	s->deadline_ms = clock_ms() + s->config.handshake_ms;
	if ((s->ssh_proxy ? start_soon(s, e) : session_find(s, &a, e)) < 0)
		goto fail;
	return s;
fail:
	session_free(s);
	return NULL;
}

struct session *session_serve(struct event_base *base, struct transport *t, const char *address,
			      const struct session_config *config, const struct session_ops *ops,
			      void *ctx, struct err *e)
{
	struct mux_config mc = {.server = 1, .session = *config};
	struct session *s = calloc(1, sizeof(*s));

	if (!s) {
		transport_free(t);
		err_set(e, ERR_SPACE, "no memory for a session");
		return NULL;
	}
	s->base = base;
	s->fd = -1;
	s->config = *config;
	s->ops = ops;
	s->ctx = ctx;
	s->connecting = 1;
	snprintf(s->address, sizeof(s->address), "%s", address);
	snprintf(s->dest, sizeof(s->dest), "%s", address);
	s->link = link_new(base, t, &mc, &link_ops, s, e);
	if (!s->link) {
		session_free(s);
		return NULL;
	}
	return s;
}

struct session *session_from_link(struct link *l, const struct session_config *config,
				  const char *address, struct err *e)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s) {
		err_set(e, ERR_SPACE, "no memory for a session");
		return NULL;
	}
	s->fd = -1;
	s->link = l;
	s->config = *config;
	snprintf(s->address, sizeof(s->address), "%s", address);
	snprintf(s->dest, sizeof(s->dest), "%s", address);
	snprintf(s->peer, sizeof(s->peer), "%s", link_transport(l)->peer);
	link_set_ops(l, &link_ops, s);
	return s;
}

void session_set_ops(struct session *s, const struct session_ops *ops, void *ctx)
{
	s->ops = ops;
	s->ctx = ctx;
}

void *session_owner(const struct session *s, const struct session_ops *ops)
{
	return s->ops == ops ? s->ctx : NULL;
}

struct stream *session_open(struct session *s, enum stream_class class, const char *target,
			    const struct stream_ops *ops, void *ctx, struct err *e)
{
	if (!s->link) {
		err_set(e, ERR_CLOSED, "the session has ended");
		return NULL;
	}
	return mux_open(link_mux(s->link), class, target, ops, ctx, e);
}

void session_set_rates(struct session *s, struct rate *tx, struct rate *rx)
{
	if (s->link)
		mux_set_rates(link_mux(s->link), tx, rx);
}

/* All that is ours but the link. */
static void dispose(struct session *s)
{
	resolve_cancel(s->lookup);
	if (s->ev)
		event_free(s->ev);
	fd_close(&s->fd);
	session_ssh_fini(s);
	if (s->on_gone)
		s->on_gone(s->gone_ctx, s);
	free(s);
}

void session_close(struct session *s, enum code code, const char *reason)
{
	struct link *l;

	if (!s || s->connecting) {
		session_free(s);
		return;
	}
	l = s->link;
	session_set_rates(s, NULL, NULL); /* the link lingers, and they may not */
	s->ops = NULL;
	s->link = NULL;
	link_close(l, code, reason);
	dispose(s);
}

void session_free(struct session *s)
{
	struct link *l;

	if (!s)
		return;
	l = s->link;
	s->ops = NULL;
	s->link = NULL;
	if (l)
		mux_detach_streams(link_mux(l), "the session was ended here");
	link_free(l);
	dispose(s);
}

const char *session_peer(const struct session *s)
{
	return *s->peer ? s->peer : s->dest;
}

uint32_t session_peer_features(const struct session *s)
{
	return s->link ? mux_peer_features(link_mux(s->link)) : 0;
}

const char *session_peer_address(const struct session *s)
{
	return s->address;
}

void session_stats(const struct session *s, struct session_stats *out)
{
	if (s->link)
		mux_stats(link_mux(s->link), out);
	else
		*out = (struct session_stats){0};
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

void session_linger(struct event_base *base)
{
	static const struct timeval often = {.tv_usec = LINGER_LOOK_US};
	uint64_t until_ms = clock_ms() + LINK_LINGER_MS + 500;
	struct event *look = event_new(base, -1, EV_PERSIST, on_look, NULL);

	/* Nothing tells of a farewell that has arrived: it is looked for. */
	if (look)
		event_add(look, &often);
	while (link_lingering() && clock_ms() < until_ms && event_base_loop(base, EVLOOP_ONCE) == 0)
		link_see_off();
	if (look)
		event_free(look);
}
