/*
 * One-time keys for an adit serve that runs: see serve_once.h. A line in, a line out:
 * "IDENTITY HEXKEY ADDRESS", and "ok PORT" or "no SENTENCE".
 *
 * Who the peer is, is what the kernel says of the process that brings the key. Its own user
 * and root come to RUN_DIR/once.sock, which nobody else can reach. Others come to a socket
 * without a file, and are let in if the configuration has a section of theirs; a client of
 * that socket looks whose it is, as anybody could have made it before.
 */
#include "cli/serve/serve_once.h"

#include <errno.h>
#include <event2/event.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "tunnel/creds.h"
#include "tunnel/creds_psk.h"

enum {
	LINE_MAX_BYTES = 1024,
	BACKLOG = 16,
	VISITORS_MAX = 16,
	ASK_S = 5,
	TAKE_S = 2,
	RETRY_MS = 200, /* when no descriptor is left for accept */
};

/* One of the two sockets. */
struct door {
	int fd;
	struct event *ev;
};

/* Somebody who may bring a key, and has not said it yet. Owned by the list. */
struct visitor {
	LIST_ENTRY(visitor) link;
	struct serve_once *once;
	int fd;
	uid_t uid;
	struct event *ev;
	char peer[SERVE_ONCE_PEER_MAX];
};

struct serve_once {
	struct event_base *base;
	LIST_HEAD(, visitor) visitors;
	unsigned visitor_count;
	struct addr at;
	struct door own, others;
	struct event *ev_retry;
	serve_once_known *known;
	void *ctx;
	struct creds *creds;
	uint16_t port;
};

static int at_socket(struct addr *a, const char *run_dir, struct err *e)
{
	int n;

	*a = (struct addr){.kind = ADDR_UNIX};
	n = snprintf(a->path, sizeof(a->path), "%s/once.sock", run_dir);
	return n > 0 && (size_t)n < sizeof(a->path)
		   ? 0
		   : err_set(e, ERR_ADDRESS, "%s: the path is too long for a socket in it",
			     run_dir);
}

/* The one without a file. Length for bind and connect; 0: the path is too long. */
static socklen_t at_name(struct sockaddr_un *un, const char *run_dir)
{
	int n;

	*un = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, "adit-once:%s", run_dir);
	if (n < 0 || (size_t)n >= sizeof(un->sun_path) - 1)
		return 0;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

/* Reads up to the newline, which is taken off, with reads_max reads. Length, or -1. */
static ssize_t read_line(int fd, char *line, size_t size, unsigned reads_max)
{
	size_t len = 0;
	ssize_t n;

	while (reads_max-- && len < size - 1 && (n = read(fd, line + len, size - 1 - len)) > 0) {
		char *end = memchr(line + len, '\n', (size_t)n);

		len += (size_t)n;
		if (end) {
			*end = '\0';
			return end - line;
		}
	}
	return -1;
}

void serve_once_name_peer(char *peer, size_t size, uid_t uid, const char *address)
{
	const struct passwd *pw = getpwuid(uid);

	if (pw)
		snprintf(peer, size, "ssh:%.100s@%.100s", pw->pw_name, address);
	else
		snprintf(peer, size, "ssh:%lu@%.100s", (unsigned long)uid, address);
	err_printable(peer);
}

/* Whether uid may bring a key, and what its peer is called as far as that decides it. */
static int check_user(const struct serve_once *o, uid_t uid, char *peer, size_t size, struct err *e)
{
	/* An address that others tell of themselves must not open a section of its own. */
	serve_once_name_peer(peer, size, uid, "local");
	if (uid == geteuid() || uid == 0 || (o->known && o->known(o->ctx, peer)))
		return 0;
	return err_set(e, ERR_REFUSED,
		       "the adit serve that has the port knows no %.*s: give it a section "
		       "[peer %.*s] in its adit.conf",
		       (int)strcspn(peer, "@"), peer, (int)strcspn(peer, "@"), peer);
}

/* Splits the line and takes the key. */
static int take(struct serve_once *o, uid_t uid, char *peer, size_t size, char *line, struct err *e)
{
	char *hex = strchr(line, ' '), *address = hex ? strchr(hex + 1, ' ') : NULL;
	struct log_ctx about = {.peer = peer};
	struct creds_psk_key k = {0};
	int rc;

	if (!address)
		return err_set(e, ERR_PROTOCOL, "that is no one-time key");
	*address++ = '\0';
	if (uid == geteuid() || uid == 0)
		serve_once_name_peer(peer, size, uid, address);
	if (creds_psk_parse(&k, line, (size_t)(hex - line), hex + 1, strlen(hex + 1)) < 0)
		return err_set(e, ERR_PROTOCOL, "that is no one-time key");
	rc = creds_take_once(o->creds, &k, peer, e);
	explicit_bzero(&k, sizeof(k));
	if (rc == 0)
		log_info(&about, "brought a one-time key through ssh");
	return rc;
}

static void answer(int fd, const struct serve_once *o, const struct err *e)
{
	if (e->code)
		dprintf(fd, "no %s\n", e->text);
	else
		dprintf(fd, "ok %u\n", o->port);
}

static void see_off(struct visitor *w)
{
	LIST_REMOVE(w, link);
	w->once->visitor_count--;
	event_free(w->ev);
	close(w->fd);
	free(w);
}

static void on_line(evutil_socket_t fd, short what, void *ctx)
{
	struct visitor *w = ctx;
	struct err e = ERR_INIT;
	char line[LINE_MAX_BYTES];

	/* It is written in one go, so it comes in one piece. */
	if (!(what & EV_READ) || read_line(fd, line, sizeof(line), 1) < 0)
		err_set(&e, ERR_PROTOCOL, "no key came");
	else
		take(w->once, w->uid, w->peer, sizeof(w->peer), line, &e);
	explicit_bzero(line, sizeof(line));
	answer(fd, w->once, &e);
	see_off(w);
}

/* Listens to fd, which is owned from now on, also on error. */
static int let_in(struct serve_once *o, int fd, uid_t uid, const char *peer, struct err *e)
{
	struct timeval patience = {.tv_sec = TAKE_S};
	struct visitor *w = o->visitor_count < VISITORS_MAX ? calloc(1, sizeof(*w)) : NULL;

	if (!w)
		return err_set(e, ERR_LIMIT, "too many bring keys at once");
	w->once = o;
	w->fd = fd;
	w->uid = uid;
	snprintf(w->peer, sizeof(w->peer), "%s", peer);
	w->ev = event_new(o->base, fd, EV_READ, on_line, w);
	if (!w->ev || event_add(w->ev, &patience) < 0) {
		if (w->ev)
			event_free(w->ev);
		free(w);
		return err_set(e, ERR_SPACE, "no memory for a key");
	}
	LIST_INSERT_HEAD(&o->visitors, w, link);
	o->visitor_count++;
	return 0;
}

/* Accepting again at once would only spin. */
static void pause_accepting(struct serve_once *o, const char *why)
{
	static const struct timeval pause = {.tv_usec = RETRY_MS * 1000};

	log_warn(NULL, "no one-time keys for a moment: %s", why);
	event_del(o->own.ev);
	if (o->others.ev)
		event_del(o->others.ev);
	event_add(o->ev_retry, &pause);
}

static void on_retry(evutil_socket_t fd, short what, void *ctx)
{
	struct serve_once *o = ctx;

	(void)fd;
	(void)what;
	event_add(o->own.ev, NULL);
	if (o->others.ev)
		event_add(o->others.ev, NULL);
}

static void on_accept(evutil_socket_t lfd, short what, void *ctx)
{
	struct serve_once *o = ctx;
	char peer[SERVE_ONCE_PEER_MAX];
	struct err e = ERR_INIT;
	uid_t uid;
	int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_accepting(o, strerror(errno));
		return;
	}
	if (fd_peer(fd, &uid, NULL) < 0)
		err_set_sys(&e, errno, "nobody can tell who brings that key");
	else if (check_user(o, uid, peer, sizeof(peer), &e) < 0)
		log_debug(NULL, "%s", e.text);
	else if (let_in(o, fd, uid, peer, &e) == 0)
		return;
	answer(fd, o, &e);
	close(fd);
}

static int open_door(struct serve_once *o, struct door *d, struct err *e)
{
	d->ev = event_new(o->base, d->fd, EV_READ | EV_PERSIST, on_accept, o);
	return d->ev && event_add(d->ev, NULL) == 0
		   ? 0
		   : err_set(e, ERR_SPACE, "no memory for a socket");
}

/* Without it all but the others' keys works. */
static int listen_to_others(struct serve_once *o, const char *run_dir, struct err *e)
{
	struct sockaddr_un un;
	socklen_t len = at_name(&un, run_dir);

	o->others.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (o->others.fd >= 0 && len && bind(o->others.fd, (struct sockaddr *)&un, len) == 0 &&
	    listen(o->others.fd, BACKLOG) == 0)
		return open_door(o, &o->others, e);
	log_info(NULL, "takes one-time keys for ssh+tls:// of its own user and root only: %s",
		 len ? strerror(errno) : "the path of --run-dir is too long");
	fd_close(&o->others.fd);
	return 0;
}

struct serve_once *serve_once_new(struct event_base *base, const char *run_dir, struct creds *creds,
				  uint16_t port, serve_once_known *known, void *ctx, struct err *e)
{
	struct serve_once *o = calloc(1, sizeof(*o));

	if (!o) {
		err_set(e, ERR_SPACE, "no memory for a socket");
		return NULL;
	}
	LIST_INIT(&o->visitors);
	o->base = base;
	o->own.fd = o->others.fd = -1;
	o->creds = creds;
	o->port = port;
	o->known = known;
	o->ctx = ctx;
	if (at_socket(&o->at, run_dir, e) < 0)
		goto fail;
	o->ev_retry = evtimer_new(base, on_retry, o);
	if (!o->ev_retry) {
		err_set(e, ERR_SPACE, "no memory for a socket");
		goto fail;
	}
	o->own.fd = fd_listen(&o->at, BACKLOG, e);
	if (o->own.fd < 0 || open_door(o, &o->own, e) < 0 || listen_to_others(o, run_dir, e) < 0)
		goto fail;
	return o;
fail:
	serve_once_free(o);
	return NULL;
}

void serve_once_set_creds(struct serve_once *o, struct creds *creds)
{
	o->creds = creds;
}

static void close_door(struct door *d)
{
	if (d->ev)
		event_free(d->ev);
	fd_close(&d->fd);
}

void serve_once_free(struct serve_once *o)
{
	if (!o)
		return;
	if (o->own.fd >= 0)
		unlink(o->at.path);
	while (!LIST_EMPTY(&o->visitors))
		see_off(LIST_FIRST(&o->visitors));
	close_door(&o->own);
	close_door(&o->others);
	if (o->ev_retry)
		event_free(o->ev_retry);
	free(o);
}

/* Whether what listens at sock may be given a key: ours, root's, or of whom that folder is. */
static int is_trusted(int sock, const char *run_dir)
{
	struct stat st;
	uid_t uid;

	if (fd_peer(sock, &uid, NULL) < 0)
		return 0;
	return uid == geteuid() || uid == 0 || (lstat(run_dir, &st) == 0 && st.st_uid == uid);
}

/* A connection to the adit serve of that folder, or -1. */
static int reach(const char *run_dir)
{
	struct timeval patience = {.tv_sec = ASK_S};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct addr a;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (at_socket(&a, run_dir, NULL) == 0) {
		memcpy(un.sun_path, a.path, sizeof(a.path));
		if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
			return fd;
	}
	len = at_name(&un, run_dir);
	if (len && connect(fd, (struct sockaddr *)&un, len) == 0 && is_trusted(fd, run_dir))
		return fd;
	close(fd);
	return -1;
}

int serve_once_hand_over(const char *run_dir, const char *words, const char *address, struct err *e)
{
	char line[LINE_MAX_BYTES];
	int fd = reach(run_dir), rc;

	if (fd < 0)
		return 0; /* none runs */
	/* Who may bring none is told so before it has said a word. */
	dprintf(fd, "%s %s\n", words, address);
	if (read_line(fd, line, sizeof(line), LINE_MAX_BYTES) < 0)
		rc = err_set(e, ERR_TIMEOUT,
			     "the adit serve that runs there does not answer (--run-dir %s)",
			     run_dir);
	else if (strncmp(line, "ok ", 3) == 0)
		rc = atoi(line + 3);
	else
		rc = err_set(e, ERR_REFUSED, "%s", strncmp(line, "no ", 3) == 0 ? line + 3 : line);
	close(fd);
	return rc;
}
