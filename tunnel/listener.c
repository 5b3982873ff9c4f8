/*
 * The listener: see listener.h. A connection is on probation until its HELLO has
 * come; there are at most handshakes_max of those, and the oldest gives way, so
 * that thousands that say nothing neither pile up nor shut out one that means it.
 * Owned by adit serve.
 */
#include "tunnel/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "tunnel/session_i.h"

enum {
	BACKLOG = 512,
	ACCEPTS_A_TURN = 32,
	LOGS_A_SECOND = 10, /* of failed handshakes */
	RETRY_MS = 200,	    /* when no descriptor is left for accept */
};

/* A connection on probation. Owned by its listener. */
struct probation {
	TAILQ_ENTRY(probation) link_entry;
	struct listener *listener;
	struct link *link;
	char address[96];
};

/* A listening socket. */
struct opening {
	int fd;
	struct event *ev;
};

struct listener {
	struct event_base *base;
	struct opening openings[LISTENER_SOCKETS_MAX];
	unsigned opening_count;
	struct event *ev_retry;
	struct creds *creds;
	struct listener_config config;
	void (*on_session)(void *ctx, struct session *s);
	void *ctx;
	TAILQ_HEAD(, probation) probations;
	unsigned probation_count;
	int crowded; /* it was at its maximum since it was last empty */
	TAILQ_HEAD(, session) sessions;
	struct accounts *accounts;
	uint64_t log_second;
	unsigned logged, unlogged;
};

void listener_config_default(struct listener_config *c)
{
	session_config_default(&c->session);
	c->handshakes_max = 256;
	c->sessions_max = 64;
	c->all_sessions_max = 1024;
	c->memory_max_bytes = accounts_max_default();
	c->accounts = NULL;
	c->admit = NULL;
	c->admit_ctx = NULL;
}

static void probation_free(struct probation *p)
{
	struct listener *l = p->listener;

	TAILQ_REMOVE(&l->probations, p, link_entry);
	link_free(p->link);
	free(p);
	if (--l->probation_count == 0 && l->crowded) {
		/* What a crowd of strangers took from the system goes back to it. */
		l->crowded = 0;
		malloc_trim(0);
	}
}

/* Logs a failed handshake; a flood of them is counted, not logged one by one. */
static void log_failure(struct listener *l, const char *address, const char *text)
{
	uint64_t second = clock_ms() / 1000;

	if (second != l->log_second) {
		if (l->unlogged)
			log_warn(NULL, "%u more connections failed before they said who they are",
				 l->unlogged);
		l->log_second = second;
		l->logged = l->unlogged = 0;
	}
	if (l->logged++ < LOGS_A_SECOND)
		log_warn(NULL, "connection from %s: %s", address, text);
	else
		l->unlogged++;
}

static void on_probation_end(void *ctx, const struct err *why)
{
	struct probation *p = ctx;

	log_failure(p->listener, p->address, why->code ? why->text : "closed before it began");
	p->link = NULL;
	probation_free(p);
}

/* peer NULL: of all. */
static unsigned sessions_of(const struct listener *l, const char *peer)
{
	const struct session *s;
	unsigned n = 0;

	TAILQ_FOREACH(s, &l->sessions, listed)
	{
		if (s->link && (!peer || strcmp(session_peer(s), peer) == 0))
			n++;
	}
	return n;
}

static void on_session_gone(void *ctx, struct session *s)
{
	struct listener *l = ctx;

	TAILQ_REMOVE(&l->sessions, s, listed);
}

/* Why the peer may not have a session, logged; NULL when it may. */
static const char *refusal(const struct listener *l, struct account *account, const char *peer,
			   const char *address, enum code *code)
{
	uint32_t max = l->config.sessions_max;
	const char *why = NULL;
	uint64_t memory_max = 0;

	*code = CODE_LIMIT;
	if (l->config.admit)
		why = l->config.admit(l->config.admit_ctx, peer, &max, &memory_max, code);
	if (why) {
		log_warn(NULL, "connection from %s: %s: refused: %s", address, peer, why);
		return why;
	}
	if (sessions_of(l, NULL) >= l->config.all_sessions_max) {
		log_warn(NULL,
			 "connection from %s: %s: there are %u sessions already, the most "
			 "allowed (sessions in adit.conf's [serve])",
			 address, peer, l->config.all_sessions_max);
		return "too many sessions";
	}
	if (sessions_of(l, peer) >= max) {
		log_warn(NULL, "connection from %s: %s has %u sessions already, the most allowed",
			 address, peer, max);
		return "too many sessions of this peer";
	}
	account_set_max(account, memory_max);
	if (account_room(account) < MUX_COST) {
		log_warn(NULL,
			 "connection from %s: %s: there is no memory left for a session of it "
			 "(memory and memory-total in adit.conf)",
			 address, peer);
		return "no memory for one more session of this peer";
	}
	return NULL;
}

/* The peer has proved who it is, and said HELLO: a session. */
static void on_probation_ready(void *ctx)
{
	struct probation *p = ctx;
	struct listener *l = p->listener;
	struct link *link = p->link;
	struct err e = ERR_INIT;
	struct account *account;
	struct session *s;
	enum code code;
	const char *why = NULL;

	account = account_get(l->accounts, link_transport(link)->peer);
	if (account)
		why = refusal(l, account, link_transport(link)->peer, p->address, &code);
	if (why) {
		account_put(account);
		p->link = NULL;
		probation_free(p);
		link_close(link, code, why);
		return;
	}
	s = account ? session_from_link(link, &l->config.session, p->address, &e) : NULL;
	if (!s) {
		log_error(NULL, "connection from %s: %s", p->address,
			  account ? e.text : "no memory for a session");
		account_put(account);
		probation_free(p);
		return;
	}
	link_set_account(link, account);
	p->link = NULL;
	probation_free(p);
	s->base = l->base;
	s->on_gone = on_session_gone;
	s->gone_ctx = l;
	TAILQ_INSERT_TAIL(&l->sessions, s, listed);
	l->on_session(l->ctx, s);
}

static void on_probation_open(void *ctx, struct stream *s, enum stream_class class,
			      const char *target)
{
	(void)ctx;
	(void)class;
	(void)target;
	stream_refuse(s, CODE_INTERNAL, "the session is not ready");
}

static const struct link_ops probation_ops = {on_probation_ready, on_probation_open,
					      on_probation_end};

static void take(struct listener *l, int fd, const struct sockaddr *sa, socklen_t len)
{
	struct mux_config mc = {.server = 1, .session = l->config.session};
	struct probation *p = calloc(1, sizeof(*p));
	struct transport *t;
	struct err e = ERR_INIT;

	if (!p) {
		close(fd);
		return;
	}
	p->listener = l;
	addr_format_sockaddr(sa, len, p->address, sizeof(p->address));
	session_prepare_socket(fd, l->config.session.dead_ms);
	t = creds_transport(l->creds, fd, NULL, &e);
	if (t)
		p->link = link_new(l->base, t, &mc, &probation_ops, p, &e);
	if (!p->link) {
		log_failure(l, p->address, e.text);
		free(p);
		return;
	}
	TAILQ_INSERT_TAIL(&l->probations, p, link_entry);
	if (++l->probation_count > l->config.handshakes_max) {
		struct probation *oldest = TAILQ_FIRST(&l->probations);

		l->crowded = 1;
		log_failure(l, oldest->address,
			    "dropped unauthenticated: too many handshakes in progress");
		probation_free(oldest);
	}
}

static void on_accept(evutil_socket_t lfd, short what, void *arg)
{
	struct listener *l = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		int fd = accept4(lfd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			take(l, fd, (struct sockaddr *)&sa, len);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* Accepting again at once would only spin. */
			log_failure(l, "?", strerror(errno));
			for (unsigned k = 0; k < l->opening_count; k++)
				event_del(l->openings[k].ev);
			event_add(l->ev_retry, &(struct timeval){.tv_usec = RETRY_MS * 1000});
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < l->opening_count; i++)
		event_add(l->openings[i].ev, NULL);
}

struct listener *listener_new(struct event_base *base, const struct addr *a, struct creds *creds,
			      const struct listener_config *config,
			      void (*on_session)(void *ctx, struct session *s), void *ctx,
			      struct err *e)
{
	int fd = fd_listen(a, BACKLOG, e);

	return fd < 0 ? NULL : listener_new_fds(base, &fd, 1, creds, config, on_session, ctx, e);
}

struct listener *listener_new_fds(struct event_base *base, const int *fds, unsigned count,
				  struct creds *creds, const struct listener_config *config,
				  void (*on_session)(void *ctx, struct session *s), void *ctx,
				  struct err *e)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l) {
		for (unsigned i = 0; i < count; i++)
			close(fds[i]);
		err_set(e, ERR_SPACE, "no memory for a listener");
		return NULL;
	}
	TAILQ_INIT(&l->probations);
	TAILQ_INIT(&l->sessions);
	l->base = base;
	l->creds = creds;
	l->config = *config;
	l->on_session = on_session;
	l->ctx = ctx;
	for (unsigned i = 0; i < count; i++)
		l->openings[l->opening_count++].fd = fds[i];
	l->accounts = config->accounts ? accounts_ref(config->accounts) : accounts_new(base);
	if (l->accounts)
		accounts_set_max(l->accounts, config->memory_max_bytes);
	l->ev_retry = evtimer_new(base, on_retry, l);
	for (unsigned i = 0; l->ev_retry && i < count; i++) {
		struct opening *o = &l->openings[i];

		o->ev = event_new(base, o->fd, EV_READ | EV_PERSIST, on_accept, l);
		if (!o->ev || event_add(o->ev, NULL) < 0)
			goto fail;
	}
	if (l->ev_retry && l->accounts)
		return l;
fail:
	err_set(e, ERR_SPACE, "no memory for a listener");
	listener_free(l);
	return NULL;
}

void listener_set(struct listener *l, struct creds *creds, const struct listener_config *config)
{
	l->creds = creds;
	l->config = *config;
	accounts_set_max(l->accounts, config->memory_max_bytes);
}

uint16_t listener_port(const struct listener *l)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(l->openings[0].fd, (struct sockaddr *)&sa, &len) < 0)
		return 0;
	if (sa.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
	return ntohs(((struct sockaddr_in *)&sa)->sin_port);
}

char *listener_describe(const struct listener *l, char *buf, size_t size)
{
	size_t used = 0;

	*buf = '\0';
	for (unsigned i = 0; i < l->opening_count && used < size; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		char name[96];

		if (getsockname(l->openings[i].fd, (struct sockaddr *)&sa, &len) < 0)
			continue;
		addr_format_sockaddr((struct sockaddr *)&sa, len, name, sizeof(name));
		used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? ", " : "", name);
	}
	return buf;
}

void listener_free(struct listener *l)
{
	struct probation *p;
	struct session *s;

	if (!l)
		return;
	for (unsigned i = 0; i < l->opening_count; i++) {
		if (l->openings[i].ev)
			event_free(l->openings[i].ev);
		fd_close(&l->openings[i].fd);
	}
	if (l->ev_retry)
		event_free(l->ev_retry);
	while ((p = TAILQ_FIRST(&l->probations)))
		probation_free(p);
	/* Sessions live on with their owners. */
	while ((s = TAILQ_FIRST(&l->sessions))) {
		TAILQ_REMOVE(&l->sessions, s, listed);
		s->on_gone = NULL;
	}
	accounts_free(l->accounts);
	free(l);
}
