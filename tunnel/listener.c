/*
 * The listener: see listener.h. A connection is on probation until its HELLO has
 * come; until its first byte has, it costs a descriptor and nothing else. There are at most
 * handshakes_max of those, so that thousands that say nothing do not pile up; and who has the most
 * (an address, origins.h) gives way, its oldest first, so that they do not shut out one that means
 * it, however long its line is. Of one address there are at most a quarter of them. Whose
 * handshakes have taken too much of the processor has to wait with the next, of which the newest
 * begins first: of many that come to nothing it is the likeliest whose other end is still there.
 * Owned by adit serve.
 */
#include "tunnel/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "tunnel/origins.h"
#include "tunnel/session_i.h"

enum {
	BACKLOG = 512,
	ACCEPTS_A_TURN = 32,
	RETRY_MS = 200,	 /* when no descriptor is left for accept */
	BUDGET_MS = 20,	 /* those that wait for their address's budget are looked at */
	ORIGIN_PART = 4, /* of handshakes_max for one address */
	ORIGIN_MIN = 8,	 /* but so many */
};

/* A connection on probation. Owned by its listener. */
struct probation {
	TAILQ_ENTRY(probation) link_entry;
	struct listener *listener;
	struct origin *origin;
	struct link *link; /* NULL: it has not begun, */
	int fd;		   /* with this */
	struct event *ev;  /* of its first byte; NULL: that came, and it waits for its budget */
	uint64_t until_us; /* all of it, HELLO too, has to be done by then */
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
	struct event *ev_retry, *ev_budget;
	int spare; /* a descriptor for when there is no other */
	struct creds *creds;
	struct listener_config config;
	void (*on_session)(void *ctx, struct session *s);
	void *ctx;
	TAILQ_HEAD(probation_list, probation) probations; /* the oldest first */
	unsigned probation_count, waiting;
	struct origins origins;
	int crowded; /* it was at its maximum since it was last empty */
	TAILQ_HEAD(, session) sessions;
	struct accounts *accounts;
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

/* What its handshake has cost is its address's. */
static void charge(struct probation *p)
{
	if (p->link)
		origin_charge(p->origin, link_transport(p->link)->handshake_us, clock_us());
}

/* charge was called before, if it had a link. */
static void probation_free(struct probation *p)
{
	struct listener *l = p->listener;

	TAILQ_REMOVE(&l->probations, p, link_entry);
	origins_leave(&l->origins, p->origin);
	l->waiting -= p->fd >= 0 && !p->ev;
	if (p->ev)
		event_free(p->ev);
	fd_close(&p->fd);
	link_free(p->link);
	free(p);
	if (--l->probation_count == 0 && l->crowded) {
		/* What a crowd of strangers took from the system goes back to it. */
		l->crowded = 0;
		malloc_trim(0);
	}
}

static void log_failure(const char *address, const char *text)
{
	log_warn(NULL, "connection from %s: %s", address, text);
}

static void drop(struct probation *p, const char *why)
{
	p->listener->crowded = 1;
	/* A kind of its own in the log: a flood of these hides no handshake that failed. */
	log_warn(NULL, "connection from %s dropped unauthenticated: %s", p->address, why);
	charge(p);
	probation_free(p);
}

/* The oldest of an address, or of all. */
static struct probation *oldest_of(const struct listener *l, const struct origin *of)
{
	struct probation *p;

	TAILQ_FOREACH(p, &l->probations, link_entry)
	{
		if (!of || p->origin == of)
			return p;
	}
	return NULL;
}

static void on_probation_end(void *ctx, const struct err *why)
{
	struct probation *p = ctx;

	log_failure(p->address, why->code ? why->text : "closed before it began");
	charge(p);
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

	charge(p);
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

/* Its handshake begins. p is gone when it cannot. */
static void begin(struct probation *p)
{
	struct listener *l = p->listener;
	struct mux_config mc = {.server = 1, .session = l->config.session};
	uint64_t begun_us = clock_cpu_us();
	struct err e = ERR_INIT;
	struct transport *t;
	int fd = p->fd;

	p->fd = -1;
	t = creds_transport(l->creds, fd, NULL, &e);
	if (t)
		p->link = link_new(l->base, t, &mc, &probation_ops, p, &e);
	origin_charge(p->origin, clock_cpu_us() - begun_us, clock_us());
	if (!p->link) {
		log_failure(p->address, e.text);
		probation_free(p);
		return;
	}
	link_set_deadline(p->link, p->until_us);
}

/* Those that wait and may begin by now; the newest first. */
static void on_budget(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	uint64_t now_us = clock_us();
	struct probation *p, *before;

	(void)fd;
	(void)what;
	for (p = TAILQ_LAST(&l->probations, probation_list); p && l->waiting; p = before) {
		before = TAILQ_PREV(p, probation_list, link_entry);
		if (p->fd < 0 || p->ev)
			continue;
		if (origin_may(p->origin, now_us)) {
			l->waiting--;
			begin(p);
		} else if (now_us > p->until_us) {
			drop(p, "the handshakes of its address have taken too much of the "
				"processor");
		}
	}
	if (l->waiting)
		event_add(l->ev_budget, &(struct timeval){.tv_usec = BUDGET_MS * 1000});
}

/* Its first byte has come, or none in time. */
static void on_first(evutil_socket_t fd, short what, void *arg)
{
	struct probation *p = arg;
	struct listener *l = p->listener;
	char text[80];

	(void)fd;
	if (!(what & EV_READ)) {
		snprintf(text, sizeof(text), "no handshake within %u seconds: it said nothing",
			 l->config.session.handshake_ms / 1000);
		log_failure(p->address, text);
		probation_free(p);
		return;
	}
	event_free(p->ev);
	p->ev = NULL;
	if (origin_may(p->origin, clock_us())) {
		begin(p);
		return;
	}
	l->waiting++;
	if (!evtimer_pending(l->ev_budget, NULL))
		event_add(l->ev_budget, &(struct timeval){.tv_usec = BUDGET_MS * 1000});
}

/* One address has at most its part; and where there are too many, who has the most gives way. */
static void make_room(struct listener *l, const struct origin *of)
{
	uint32_t max = l->config.handshakes_max, part = max / ORIGIN_PART;

	if (part < ORIGIN_MIN)
		part = ORIGIN_MIN;
	if (of->count > part)
		drop(oldest_of(l, of), "too many handshakes of its address in progress");
	if (l->probation_count > max)
		drop(oldest_of(l, origins_fullest(&l->origins)), "too many handshakes in progress");
}

static void take(struct listener *l, int fd, const struct sockaddr *sa, socklen_t len)
{
	struct timeval tv = clock_timeval(l->config.session.handshake_ms);
	struct probation *p = calloc(1, sizeof(*p));

	if (p) {
		p->ev = event_new(l->base, fd, EV_READ, on_first, p);
		p->origin = origins_enter(&l->origins, sa, clock_us());
	}
	if (!p || !p->ev || !p->origin || event_add(p->ev, &tv) < 0) {
		if (p && p->ev)
			event_free(p->ev);
		if (p && p->origin)
			origins_leave(&l->origins, p->origin);
		free(p);
		close(fd);
		return;
	}
	p->listener = l;
	p->fd = fd;
	p->until_us = clock_us() + (uint64_t)l->config.session.handshake_ms * 1000;
	addr_format_sockaddr(sa, len, p->address, sizeof(p->address));
	session_prepare_socket(fd, l->config.session.dead_ms);
	TAILQ_INSERT_TAIL(&l->probations, p, link_entry);
	l->probation_count++;
	make_room(l, p->origin);
}

/* Linux finds out that no descriptor is left before it looks whether anybody waits. */
static bool somebody_waits(int lfd)
{
	struct pollfd p = {.fd = lfd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* No descriptor is left. Who has not proved yet who it is gives one up; where there is no such
 * one, the newcomer is sent away with the one that was kept for it, rather than left to wait. 0 to
 * accept again. */
static int find_descriptor(struct listener *l, int lfd, int error)
{
	struct probation *p = oldest_of(l, origins_fullest(&l->origins));

	if (p) {
		drop(p, "no descriptor is left (LimitNOFILE)");
		return 0;
	}
	log_failure("?", strerror(error));
	if (l->spare < 0)
		return -1;
	close(l->spare);
	l->spare = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (l->spare >= 0)
		close(l->spare);
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return l->spare < 0 ? -1 : 0;
}

static void on_accept(evutil_socket_t lfd, short what, void *arg)
{
	struct listener *l = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		int fd = accept4(lfd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		int error = errno;

		if (fd >= 0) {
			take(l, fd, (struct sockaddr *)&sa, len);
			continue;
		}
		if (error == EINTR || error == ECONNABORTED)
			continue;
		if ((error == EMFILE || error == ENFILE) && !somebody_waits(lfd))
			return;
		if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
			if (error != ENOBUFS && error != ENOMEM &&
			    find_descriptor(l, lfd, error) == 0)
				continue;
			/* Accepting again at once would only spin. */
			for (unsigned k = 0; k < l->opening_count; k++)
				event_del(l->openings[k].ev);
			event_add(l->ev_retry, &(struct timeval){.tv_usec = RETRY_MS * 1000});
		}
		return;
	}
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	if (l->spare < 0)
		l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
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
	origins_init(&l->origins);
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
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
	l->ev_budget = evtimer_new(base, on_budget, l);
	for (unsigned i = 0; l->ev_retry && l->ev_budget && i < count; i++) {
		struct opening *o = &l->openings[i];

		o->ev = event_new(base, o->fd, EV_READ | EV_PERSIST, on_accept, l);
		if (!o->ev || event_add(o->ev, NULL) < 0)
			goto fail;
	}
	if (l->ev_retry && l->ev_budget && l->accounts)
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
	if (l->ev_budget)
		event_free(l->ev_budget);
	while ((p = TAILQ_FIRST(&l->probations)))
		probation_free(p);
	origins_fini(&l->origins);
	fd_close(&l->spare);
	/* Sessions live on with their owners. */
	while ((s = TAILQ_FIRST(&l->sessions))) {
		TAILQ_REMOVE(&l->sessions, s, listed);
		s->on_gone = NULL;
	}
	accounts_free(l->accounts);
	free(l);
}
