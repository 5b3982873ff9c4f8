/*
 * Connections in order: see connector.h.
 *
 * A line is what has the same group and address; its first connector is the one
 * at work. Lines live in a table a thread, since loops share nothing. The first:
 *
 *   resolve (names only) -> for each address: connect -> wait until it is
 *   writable -> SO_ERROR -> done, or the next address
 *
 * and once it is done, well or ill, the next one in line begins on a later turn
 * of the loop (so that a line of a thousand unix sockets does not nest). An
 * address that does not answer at all fails the whole line, for those behind
 * would wait as long for the same answer.
 *
 * A connector belongs to its user until fn is called, and then to nobody; it
 * frees itself behind that call, as its last act.
 */
#include "proxy/connector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/keyed.h"
#include "tunnel/resolve.h"

enum {
	CONNECTOR_TCP_MS = 10000,  /* for all addresses of a name together */
	CONNECTOR_UNIX_MS = 30000, /* for a backlog to have room */
	CONNECTOR_RETRY_MS = 5,
	CONNECTOR_RETRY_MAX_MS = 100,
	CONNECTOR_EACH_MIN_MS = 1000,
	LINE_BUCKETS = 1024,
};

struct line {
	LIST_ENTRY(line) link;
	TAILQ_HEAD(, connector) waiting;
	const void *group;
	struct addr addr;
	struct event next; /* lets the first one begin */
};

struct connector {
	TAILQ_ENTRY(connector) link;
	struct line *line;
	struct event_base *base;
	connector_done *fn;
	void *ctx;
	struct resolve *resolve;
	struct addr_resolved at;
	unsigned at_next; /* the address to try next */
	int fd;
	int last_errno;
	int doomed; /* one before it in line got no answer at all */
	int *gone;  /* set to 1 when it is freed; NULL once connector_start is over */
	uint64_t deadline_ms;
	unsigned retry_ms;
	struct event io; /* writable, time to retry, or the address' time is up */
};

/* By group and address, which a peer chooses: it may have a line for each of its streams. */
static _Thread_local LIST_HEAD(, line) lines[LINE_BUCKETS];

/* Takes c out of its line and frees it; frees the line too, or lets its next one
 * begin. */
static void drop(struct connector *c)
{
	struct line *l = c->line;
	int was_first = TAILQ_FIRST(&l->waiting) == c;

	TAILQ_REMOVE(&l->waiting, c, link);
	if (TAILQ_EMPTY(&l->waiting)) {
		LIST_REMOVE(l, link);
		event_del(&l->next);
		free(l);
	} else if (was_first) {
		event_add(&l->next, &(struct timeval){0}); /* others first: a line may be long */
	}
	resolve_cancel(c->resolve);
	event_del(&c->io);
	fd_close(&c->fd);
	if (c->gone)
		*c->gone = 1;
	free(c);
}

static void finish(struct connector *c, int fd, const struct err *why)
{
	connector_done *fn = c->fn;
	void *ctx = c->ctx;

	drop(c);
	fn(ctx, fd, why);
}

static void succeed(struct connector *c)
{
	struct err none = ERR_INIT;
	int fd = c->fd;

	event_del(&c->io);
	c->fd = -1;
	finish(c, fd, &none);
}

static void fail(struct connector *c, int errnum)
{
	const struct addr *a = &c->line->addr;
	struct err why = ERR_INIT;
	const char *hint = "";
	char name[320];

	if (errnum == ECONNREFUSED)
		hint = " (nothing listens there)";
	else if (errnum == EMFILE)
		hint = " (adit has as many connections as it may: LimitNOFILE, ulimit -n)";
	else if (errnum == EAGAIN)
		hint = " (its backlog stays full)";
	if (errnum == ETIMEDOUT && !c->doomed)
		for (struct connector *i = c; i; i = TAILQ_NEXT(i, link))
			i->doomed = 1;
	err_set(&why, ERR_ADDRESS, "cannot connect to %s: %s%s", addr_format(a, name, sizeof(name)),
		strerror(errnum), hint);
	finish(c, -1, &why);
}

static void on_io(evutil_socket_t fd, short what, void *ctx);

static void wait_for(struct connector *c, short what, uint64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	event_del(&c->io);
	event_assign(&c->io, c->base, what & EV_WRITE ? c->fd : -1, what, on_io, c);
	event_add(&c->io, &tv);
}

/* Tries the addresses that are left. c is gone, or waits, when it returns. */
static void try_next(struct connector *c)
{
	while (c->at_next < c->at.count) {
		const struct sockaddr *sa = (const struct sockaddr *)&c->at.at[c->at_next].sa;
		uint64_t now = clock_ms(), each;

		if (now >= c->deadline_ms) {
			fail(c, c->last_errno ? c->last_errno : ETIMEDOUT);
			return;
		}
		fd_close(&c->fd);
		c->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (c->fd >= 0 && fd_is_last(c->fd)) {
			fail(c, EMFILE);
			return;
		}
		if (c->fd >= 0 && connect(c->fd, sa, c->at.at[c->at_next].len) == 0) {
			succeed(c);
			return;
		}
		if (c->fd >= 0 && errno == EINPROGRESS) {
			each = (c->deadline_ms - now) / (c->at.count - c->at_next);
			if (each < CONNECTOR_EACH_MIN_MS)
				each = CONNECTOR_EACH_MIN_MS;
			wait_for(c, EV_WRITE, each);
			return;
		}
		c->last_errno = errno;
		if (c->fd >= 0 && errno == EAGAIN && sa->sa_family == AF_UNIX) {
			wait_for(c, EV_TIMEOUT, c->retry_ms);
			c->retry_ms = c->retry_ms * 2 > CONNECTOR_RETRY_MAX_MS
					  ? CONNECTOR_RETRY_MAX_MS
					  : c->retry_ms * 2;
			return;
		}
		c->at_next++;
	}
	fail(c, c->last_errno);
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
	struct connector *c = ctx;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)fd;
	if (c->resolve) {
		struct err why = ERR_INIT;

		err_set(&why, ERR_ADDRESS, "the address of \"%s\" was not found within %d seconds",
			c->line->addr.host, CONNECTOR_TCP_MS / 1000);
		finish(c, -1, &why);
		return;
	}
	if (what & EV_WRITE) {
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
			error = errno;
		if (error == 0) {
			succeed(c);
			return;
		}
		c->last_errno = error;
		c->at_next++;
	} else if (c->line->addr.kind == ADDR_TCP) {
		c->last_errno = ETIMEDOUT;
		c->at_next++;
	}
	try_next(c);
}

static void on_resolved(void *ctx, const struct addr_resolved *at, const struct err *why)
{
	struct connector *c = ctx;

	c->resolve = NULL;
	event_del(&c->io);
	if (err_is_set(why)) {
		finish(c, -1, why);
		return;
	}
	c->at = *at;
	try_next(c);
}

/* The first in line: begins. */
static void begin(struct connector *c)
{
	const struct addr *a = &c->line->addr;
	struct err why = ERR_INIT;

	if (c->doomed) {
		fail(c, ETIMEDOUT);
		return;
	}
	c->deadline_ms = clock_ms() + (a->kind == ADDR_UNIX ? CONNECTOR_UNIX_MS : CONNECTOR_TCP_MS);
	if (resolve_is_literal(a)) {
		if (addr_resolve(a, 0, &c->at, &why) < 0)
			finish(c, -1, &why);
		else
			try_next(c);
		return;
	}
	c->resolve = resolve_start(c->base, a, on_resolved, c, &why);
	if (c->resolve)
		wait_for(c, EV_TIMEOUT, CONNECTOR_TCP_MS);
	else
		finish(c, -1, &why);
}

static void on_next(evutil_socket_t fd, short what, void *ctx)
{
	struct line *l = ctx;

	(void)fd;
	(void)what;
	begin(TAILQ_FIRST(&l->waiting));
}

static int same(const struct addr *a, const struct addr *b)
{
	if (a->kind != b->kind)
		return 0;
	if (a->kind == ADDR_UNIX)
		return strcmp(a->path, b->path) == 0;
	return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static uint64_t line_hash(const void *group, const struct addr *a)
{
	const char *where = a->kind == ADDR_UNIX ? a->path : a->host;
	uint64_t key[3] = {(uint64_t)(uintptr_t)group, keyed_hash(where, strlen(where)), a->port};

	return keyed_hash(key, sizeof(key));
}

static struct line *find_line(struct event_base *base, const void *group, const struct addr *a)
{
	uint64_t at = line_hash(group, a) % LINE_BUCKETS;
	struct line *l;

	LIST_FOREACH(l, &lines[at], link)
	if (l->group == group && same(&l->addr, a))
		return l;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	TAILQ_INIT(&l->waiting);
	l->group = group;
	l->addr = *a;
	event_assign(&l->next, base, -1, 0, on_next, l);
	LIST_INSERT_HEAD(&lines[at], l, link);
	return l;
}

struct connector *connector_start(struct event_base *base, const void *group, const struct addr *a,
				  connector_done *fn, void *ctx)
{
	struct connector *c = calloc(1, sizeof(*c));
	struct err why = ERR_INIT;
	int first, gone = 0;

	if (!c)
		goto short_of_memory;
	c->line = find_line(base, group, a);
	if (!c->line)
		goto short_of_memory;
	c->base = base;
	c->fn = fn;
	c->ctx = ctx;
	c->fd = -1;
	c->retry_ms = CONNECTOR_RETRY_MS;
	event_assign(&c->io, base, -1, 0, on_io, c);
	first = TAILQ_EMPTY(&c->line->waiting);
	TAILQ_INSERT_TAIL(&c->line->waiting, c, link);
	if (first) {
		c->gone = &gone;
		begin(c);
		if (gone)
			return NULL;
		c->gone = NULL;
	}
	return c;

short_of_memory:
	free(c);
	err_set(&why, ERR_SYSTEM, "memory is short");
	fn(ctx, -1, &why);
	return NULL;
}

void connector_cancel(struct connector *c)
{
	if (c)
		drop(c);
}
