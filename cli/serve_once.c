/* One-time keys for an adit serve that runs: see serve_once.h. A line in, a line out:
 * "IDENTITY HEXKEY ADDRESS", and "ok PORT" or "no SENTENCE". Who the peer is, is what the
 * kernel says of the process that brings the key; of the address it is believed, as that is
 * only told. Refuses other users than its own and root, whatever the folder's mode. */
#include "cli/serve_once.h"

#include <errno.h>
#include <event2/event.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "tunnel/creds.h"
#include "tunnel/creds_psk.h"

enum { LINE_MAX_BYTES = 1024, BACKLOG = 16, ASK_S = 5, TAKE_US = 200000 };

struct serve_once {
	struct addr at;
	int fd;
	struct event *ev;
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

/* Reads up to the newline, which is taken off. Length, or -1. */
static ssize_t read_line(int fd, char *line, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 && (n = read(fd, line + len, size - 1 - len)) > 0) {
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

/* Splits the line and takes the key. */
static int take(struct serve_once *o, uid_t uid, char *line, struct err *e)
{
	char *hex = strchr(line, ' '), *address = hex ? strchr(hex + 1, ' ') : NULL;
	char peer[SERVE_ONCE_PEER_MAX];
	struct log_ctx about = {.peer = peer};
	struct creds_psk_key k = {0};
	int rc;

	if (!address)
		return err_set(e, ERR_PROTOCOL, "that is no one-time key");
	*address++ = '\0';
	serve_once_name_peer(peer, sizeof(peer), uid, address);
	if (creds_psk_parse(&k, line, (size_t)(hex - line), hex + 1, strlen(hex + 1)) < 0)
		return err_set(e, ERR_PROTOCOL, "that is no one-time key");
	rc = creds_take_once(o->creds, &k, peer, e);
	explicit_bzero(&k, sizeof(k));
	if (rc == 0)
		log_info(&about, "brought a one-time key through ssh");
	return rc;
}

static void on_accept(evutil_socket_t lfd, short what, void *ctx)
{
	struct serve_once *o = ctx;
	struct timeval patience = {.tv_usec = TAKE_US};
	struct ucred who = {.uid = (uid_t)-1};
	socklen_t len = sizeof(who);
	struct err e = ERR_INIT;
	char line[LINE_MAX_BYTES];
	int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);

	(void)what;
	if (fd < 0)
		return;
	/* Its own user's programs write the line at once. */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 ||
	    (who.uid != geteuid() && who.uid != 0))
		err_set(&e, ERR_REFUSED, "only the user who runs adit serve may bring keys");
	else if (read_line(fd, line, sizeof(line)) < 0)
		err_set(&e, ERR_PROTOCOL, "no key came");
	else
		take(o, who.uid, line, &e);
	explicit_bzero(line, sizeof(line));
	if (e.code)
		dprintf(fd, "no %s\n", e.text);
	else
		dprintf(fd, "ok %u\n", o->port);
	close(fd);
}

struct serve_once *serve_once_new(struct event_base *base, const char *run_dir, struct creds *creds,
				  uint16_t port, struct err *e)
{
	struct serve_once *o = calloc(1, sizeof(*o));

	if (!o) {
		err_set(e, ERR_SPACE, "no memory for a socket");
		return NULL;
	}
	o->fd = -1;
	o->creds = creds;
	o->port = port;
	if (at_socket(&o->at, run_dir, e) < 0)
		goto fail;
	o->fd = fd_listen(&o->at, BACKLOG, e);
	if (o->fd < 0)
		goto fail;
	o->ev = event_new(base, o->fd, EV_READ | EV_PERSIST, on_accept, o);
	if (!o->ev || event_add(o->ev, NULL) < 0) {
		err_set(e, ERR_SPACE, "no memory for a socket");
		goto fail;
	}
	return o;
fail:
	serve_once_free(o);
	return NULL;
}

void serve_once_set_creds(struct serve_once *o, struct creds *creds)
{
	o->creds = creds;
}

void serve_once_free(struct serve_once *o)
{
	if (!o)
		return;
	if (o->ev)
		event_free(o->ev);
	if (o->fd >= 0)
		unlink(o->at.path);
	fd_close(&o->fd);
	free(o);
}

int serve_once_hand_over(const char *run_dir, const char *words, const char *address, struct err *e)
{
	struct timeval patience = {.tv_sec = ASK_S};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char line[LINE_MAX_BYTES];
	struct addr a;
	int fd, rc = 0;

	if (at_socket(&a, run_dir, e) < 0)
		return 0;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set_sys(e, errno, "no socket");
	memcpy(un.sun_path, a.path, sizeof(a.path));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		goto out; /* none runs */
	if (dprintf(fd, "%s %s\n", words, address) < 0 || read_line(fd, line, sizeof(line)) < 0)
		rc = err_set(e, ERR_TIMEOUT, "the adit serve that runs there does not answer (%s)",
			     a.path);
	else if (strncmp(line, "ok ", 3) == 0)
		rc = atoi(line + 3);
	else
		rc = err_set(e, ERR_REFUSED, "%s", strncmp(line, "no ", 3) == 0 ? line + 3 : line);
out:
	close(fd);
	return rc;
}
