/*
 * The far end of adit run --libvirt: see libvirt_service.h. Refuses every path but the
 * daemon's and the two of an ID that the session holds.
 *
 * A visit is a session that has come here, and owns what it holds and what is carried for
 * it; the service owns the visits. What is held ends with its stream; since nothing frees
 * itself within its own callback, it is marked, and reaped on another turn of the loop.
 */
#include "proxy/libvirt_service.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "proxy/libvirt_daemon.h"
#include "proxy/libvirt_path.h"
#include "proxy/relay.h"
#include "proxy/rights.h"
#include "proxy/router.h"
#include "proxy/shares.h"

enum {
	HOLDS_MAX = 64, /* of a peer, in all its sessions */
	/* Of all peers: each is two descriptors. Beyond it, who has less than an equal part. */
	HOLDS_ALL_MAX = 512,
	/* What a migration may take from its last byte of RAM or disks to its end, while there is a
	 * connection to the daemon, over which its last words go; and without one, or between the
	 * disks and RAM. */
	LAST_WORDS_MS = 30000,
	BETWEEN_MS = 2000,
};

struct visit {
	LIST_ENTRY(visit) link;
	struct libvirt_service *service;
	struct session *session;
	struct share *share; /* the peer's */
	char peer[256];
	LIST_HEAD(, hold) holds;
	LIST_HEAD(, carried) carried;
};

struct hold {
	LIST_ENTRY(hold) link;
	struct visit *visit;
	struct stream *stream;
	char id[LIBVIRT_PATH_ID_MAX];
	char answer[ADDR_UNIX_MAX + 8];
	size_t answered;
	int lock;   /* libvirt_path_claim's */
	int daemon; /* a connection to it, for the first who asks; -1 */
	int over;
	unsigned flows;	   /* of RAM and disks, that are carried */
	uint64_t quiet_ms; /* since when there is none; 0: there was none yet */
};

struct carried {
	LIST_ENTRY(carried) link;
	struct visit *visit;
	struct hold *hold; /* whose RAM or disks these are; NULL: the daemon's, or it is gone */
	int is_daemon;
	struct relay *relay;
};

struct libvirt_service {
	struct event_base *base;
	struct router *router;
	const char *dir;
	struct event reap;
	int draining;
	LIST_HEAD(, visit) visits;
	struct shares shares; /* of those whose visits they are */
};

static struct log_ctx about(const struct visit *n, unsigned stream)
{
	struct log_ctx ctx = {.peer = n->peer, .stream = stream};

	return ctx;
}

static void free_hold(struct hold *h)
{
	struct carried *c;

	LIST_FOREACH(c, &h->visit->carried, link)
	if (c->hold == h)
		c->hold = NULL;
	/* QEMU, whose sockets they are, leaves them when a migration fails. */
	libvirt_path_release(h->visit->service->dir, h->id, &h->lock);
	LIST_REMOVE(h, link);
	stream_free(h->stream);
	fd_close(&h->daemon);
	free(h);
}

static void free_visit(struct visit *n)
{
	struct carried *c;
	struct hold *h;

	while ((c = LIST_FIRST(&n->carried)) != NULL) {
		LIST_REMOVE(c, link);
		relay_let_go(c->relay, CODE_CANCELLED, "the far adit ends");
		free(c);
	}
	while ((h = LIST_FIRST(&n->holds)) != NULL)
		free_hold(h);
	LIST_REMOVE(n, link);
	share_leave(&n->service->shares, n->share);
	free(n);
}

static void on_reap(evutil_socket_t fd, short what, void *ctx)
{
	struct libvirt_service *v = ctx;
	struct hold *h, *next;
	struct visit *n;

	(void)fd;
	(void)what;
	LIST_FOREACH(n, &v->visits, link)
	{
		for (h = LIST_FIRST(&n->holds); h; h = next) {
			next = LIST_NEXT(h, link);
			if (h->over)
				free_hold(h);
		}
	}
}

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	(void)s;
	(void)why;
	free_visit(ctx);
}

static struct visit *find_visit(struct libvirt_service *v, struct session *s)
{
	struct visit *n;

	LIST_FOREACH(n, &v->visits, link)
	if (n->session == s)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->service = v;
	n->session = s;
	snprintf(n->peer, sizeof(n->peer), "%s", session_peer(s));
	LIST_INIT(&n->holds);
	LIST_INIT(&n->carried);
	n->share = share_join(&v->shares, n->peer);
	if (!n->share || router_watch_session(v->router, s, on_session_end, n, NULL) < 0) {
		share_leave(&v->shares, n->share);
		free(n);
		return NULL;
	}
	LIST_INSERT_HEAD(&v->visits, n, link);
	return n;
}

static void refuse(const struct visit *n, struct stream *stream, enum code code, const char *reason)
{
	struct log_ctx ctx = about(n, stream_id(stream));

	log_warn(&ctx, "refused: %.300s: %s", stream_target(stream), reason);
	stream_refuse(stream, code, reason);
}

static void refuse_ending(const struct visit *n, struct stream *stream)
{
	refuse(n, stream, CODE_DRAINING,
	       "the adit there takes no new migrations: it is about to end");
}

static void on_relay_end(void *ctx, struct relay *relay, enum code code, const char *reason)
{
	struct carried *c = ctx;

	relay_log_end(relay, c->visit->peer, code, reason);
	LIST_REMOVE(c, link);
	if (c->hold && --c->hold->flows == 0)
		c->hold->quiet_ms = clock_ms();
	free(c);
}

/* Whether a migration goes through there: its bytes do, or the daemons may still speak of it. The
 * hold itself may outlive it for long, as the peer's command does. */
static int is_under_way(const struct hold *h)
{
	const struct carried *c;
	unsigned ms = BETWEEN_MS;

	LIST_FOREACH(c, &h->visit->carried, link)
	if (c->is_daemon)
		ms = LAST_WORDS_MS;
	return !h->over && (h->flows || (h->quiet_ms && clock_ms() - h->quiet_ms < ms));
}

static unsigned count_jobs(const struct visit *n)
{
	const struct hold *h;
	unsigned jobs = 0;

	LIST_FOREACH(h, &n->holds, link)
	jobs += is_under_way(h) ? 1U : 0U;
	return jobs;
}

/* Joins the stream to fd, or to what listens at a; h is NULL for the daemon. */
static void carry(struct visit *n, struct hold *h, struct stream *stream, int fd,
		  const struct addr *a)
{
	struct libvirt_service *v = n->service;
	struct carried *c = calloc(1, sizeof(*c));

	if (!c) {
		fd_close(&fd);
		refuse(n, stream, CODE_INTERNAL, "memory is short");
		return;
	}
	c->visit = n;
	if (fd >= 0)
		c->relay = relay_accept(v->base, n->session, stream, fd, on_relay_end, c);
	else
		c->relay = relay_connect(v->base, n->session, stream, a, on_relay_end, c);
	if (!c->relay) {
		free(c);
		return;
	}
	c->hold = h;
	c->is_daemon = !h;
	if (h)
		h->flows++;
	LIST_INSERT_HEAD(&n->carried, c, link);
}

/* The connection by which a hold has found the daemon, or -1: a daemon complains of those who
 * come and go without a word, so it is of use rather than closed. */
static int take_found(struct visit *n)
{
	struct hold *h;

	LIST_FOREACH(h, &n->holds, link)
	{
		struct pollfd end = {.fd = h->daemon, .events = POLLRDHUP};
		int fd = h->daemon;

		if (fd < 0)
			continue;
		h->daemon = -1;
		if (poll(&end, 1, 0) == 0)
			return fd;
		close(fd); /* it was started anew */
	}
	return -1;
}

static void open_daemon(struct visit *n, struct stream *stream)
{
	struct addr a = {.kind = ADDR_UNIX};
	struct err e = ERR_INIT;
	const char *path;
	int fd;

	if (n->service->draining && !count_jobs(n)) {
		refuse_ending(n, stream);
		return;
	}
	fd = take_found(n);
	if (fd >= 0) {
		carry(n, NULL, stream, fd, NULL);
		return;
	}
	if (libvirt_daemon_find(&fd, &path, &e) < 0) {
		refuse(n, stream, CODE_UNREACHABLE, e.text);
		return;
	}
	strcpy(a.path, path);
	carry(n, NULL, stream, fd, &a);
}

static struct hold *find_hold(const struct visit *n, const char *id)
{
	struct hold *h;

	LIST_FOREACH(h, &n->holds, link)
	if (!h->over && strcmp(h->id, id) == 0)
		return h;
	return NULL;
}

static void open_socket(struct visit *n, struct stream *stream, int kind, const char *id)
{
	struct hold *h = libvirt_path_is_id(id, strlen(id)) ? find_hold(n, id) : NULL;
	struct addr a;

	if (stream_class(stream) == STREAM_CONTROL) { /* it has priority, and no limit */
		refuse(n, stream, CODE_PROTOCOL, "RAM and disks are not of class control");
		return;
	}
	if (!h) {
		refuse(n, stream, CODE_REFUSED, "no such migration was announced in this session");
		return;
	}
	if (n->service->draining && !is_under_way(h)) {
		refuse_ending(n, stream);
		return;
	}
	libvirt_path_format(&a, n->service->dir, id, kind);
	carry(n, h, stream, -1, &a);
}

static ssize_t on_pull(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	struct hold *h = ctx;
	size_t len = strlen(h->answer) - h->answered;

	(void)s;
	if (len > max)
		len = max;
	memcpy(dst, h->answer + h->answered, len);
	h->answered += len;
	return (ssize_t)len; /* 0 is STREAM_PULL_AGAIN */
}

/* There is nothing to say to us. */
static size_t on_push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	(void)ctx;
	(void)s;
	(void)data;
	return len;
}

static void let_go(struct hold *h)
{
	h->over = 1;
	event_active(&h->visit->service->reap, EV_TIMEOUT, 0);
}

static void on_eof(void *ctx, struct stream *s)
{
	(void)s;
	let_go(ctx);
}

static void on_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	(void)s;
	(void)code;
	(void)reason;
	let_go(ctx);
}

static const struct stream_ops hold_ops = {
    .pull = on_pull, .push = on_push, .on_eof = on_eof, .on_reset = on_reset};

/* Whether a migration's sockets can be in dir, and nobody is there yet. */
static int check_place(const struct libvirt_service *v, const char *dir, const char *id,
		       struct err *e)
{
	if (strcmp(dir, v->dir) != 0)
		return err_set(
		    e, ERR_REFUSED,
		    "sockets of libvirt's are to be in %.90s there: start the adit serve "
		    "there with --libvirt-dir, or adit run without it",
		    v->dir);
	return libvirt_path_check_place(dir, id, e);
}

/* Whether a peer may hold one more; 0, or ERR_LIMIT. */
static int check_count(struct visit *n, struct err *e)
{
	struct libvirt_service *v = n->service;
	const struct visit *of;
	const struct hold *h;
	unsigned all = 0;

	shares_reset(&v->shares);
	LIST_FOREACH(of, &v->visits, link)
	{
		LIST_FOREACH(h, &of->holds, link)
		{
			all++;
			of->share->held++;
		}
	}
	if (shares_admit(&v->shares, n->share, all, HOLDS_MAX, HOLDS_ALL_MAX))
		return 0;
	if (n->share->held >= HOLDS_MAX)
		return err_set(e, ERR_LIMIT,
			       "%d migrations of this peer are announced there, the most at once",
			       HOLDS_MAX);
	return err_set(e, ERR_LIMIT,
		       "%d migrations are announced there, the most at once, and of this peer its "
		       "part",
		       HOLDS_ALL_MAX);
}

/* words is ID/DIR. */
static void open_hold(struct visit *n, struct stream *stream, const char *words)
{
	const char *dir = words + strcspn(words, "/"), *path;
	struct err e = ERR_INIT;
	struct log_ctx ctx;
	struct hold *h;

	if (n->service->draining) {
		refuse_ending(n, stream);
		return;
	}
	if (!libvirt_path_is_id(words, (size_t)(dir - words))) {
		refuse(n, stream, CODE_PROTOCOL, "the ID is to be 8 hexadecimal digits");
		return;
	}
	if (check_count(n, &e) < 0) {
		refuse(n, stream, CODE_LIMIT, e.text);
		return;
	}
	h = calloc(1, sizeof(*h));
	if (!h) {
		refuse(n, stream, CODE_INTERNAL, "memory is short");
		return;
	}
	h->lock = h->daemon = -1;
	memcpy(h->id, words, sizeof(h->id) - 1);
	if (find_hold(n, h->id))
		err_set(&e, ERR_REFUSED, "that migration was announced already");
	else if (check_place(n->service, dir, h->id, &e) == 0 &&
		 libvirt_daemon_find(&h->daemon, &path, &e) == 0)
		h->lock = libvirt_path_claim(dir, h->id, &e);
	if (h->lock < 0) {
		fd_close(&h->daemon);
		free(h);
		refuse(n, stream, e.code == ERR_ADDRESS ? CODE_UNREACHABLE : CODE_REFUSED, e.text);
		return;
	}
	h->visit = n;
	h->stream = stream;
	snprintf(h->answer, sizeof(h->answer), "ok %s\n", path);
	LIST_INSERT_HEAD(&n->holds, h, link);
	ctx = about(n, stream_id(stream));
	log_info(&ctx, "libvirt: %s is open to the peer, and %s/adit-%s-*.sock", path, dir, h->id);
	stream_accept(stream, &hold_ops, h);
	stream_ready(stream);
}

static void on_stream(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		      const char *target)
{
	struct libvirt_service *v = ctx;
	struct visit *n = find_visit(v, s);
	char section[280], reason[512];

	(void)class;
	if (!n)
		stream_refuse(stream, CODE_INTERNAL, "memory is short");
	else if (!router_rights(v->router, s)->libvirt) {
		snprintf(reason, sizeof(reason),
			 "the libvirt daemon there is not open to this peer: start the adit serve "
			 "there with --allow-libvirt, or with libvirt = yes in its adit.conf, %s",
			 rights_section(session_peer(s), section, sizeof(section)));
		refuse(n, stream, CODE_REFUSED, reason);
	} else if (strcmp(target, "libvirt") == 0)
		open_daemon(n, stream);
	else if (strncmp(target, "libvirt/hold/", 13) == 0)
		open_hold(n, stream, target + 13);
	else if (strncmp(target, "libvirt/ram/", 12) == 0)
		open_socket(n, stream, LIBVIRT_PATH_RAM, target + 12);
	else if (strncmp(target, "libvirt/disks/", 14) == 0)
		open_socket(n, stream, LIBVIRT_PATH_DISKS, target + 14);
	else
		refuse(n, stream, CODE_REFUSED,
		       "no such part of the service libvirt is known here");
}

struct libvirt_service *libvirt_service_new(struct event_base *base, struct router *router,
					    const char *dir, struct err *e)
{
	struct libvirt_service *v = calloc(1, sizeof(*v));

	if (!v) {
		err_set(e, ERR_SPACE, "no memory for the service libvirt");
		return NULL;
	}
	v->base = base;
	v->router = router;
	v->dir = dir ? dir : LIBVIRT_PATH_DIR;
	LIST_INIT(&v->visits);
	TAILQ_INIT(&v->shares);
	event_assign(&v->reap, base, -1, 0, on_reap, v);
	if (router_add_service(router, "libvirt", on_stream, v, e) < 0) {
		free(v);
		return NULL;
	}
	return v;
}

unsigned libvirt_service_jobs(const struct libvirt_service *v)
{
	const struct visit *n;
	unsigned jobs = 0;

	LIST_FOREACH(n, &v->visits, link)
	jobs += count_jobs(n);
	return jobs;
}

bool libvirt_service_has_session(const struct libvirt_service *v, const struct session *s)
{
	const struct visit *n;

	LIST_FOREACH(n, &v->visits, link)
	if (n->session == s)
		return count_jobs(n) > 0;
	return false;
}

void libvirt_service_drain(struct libvirt_service *v)
{
	v->draining = 1;
}

void libvirt_service_free(struct libvirt_service *v)
{
	struct visit *n;

	if (!v)
		return;
	while ((n = LIST_FIRST(&v->visits)) != NULL) {
		router_unwatch_session(v->router, n->session, on_session_end, n);
		free_visit(n);
	}
	event_del(&v->reap);
	router_remove_service(v->router, "libvirt");
	free(v);
}
