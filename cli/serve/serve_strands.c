/* The channels of one session: see serve_strands.h. Takes descriptors from processes of its
 * own user only. Owned by serve_stdio.c. */
#include "cli/serve/serve_strands.h"

#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "proxy/fdpass.h"

enum {
	TOKEN_BYTES = 16,
	PATIENCE_S = 2,
	RETRY_MS = 200, /* when no descriptor is left for accept */
};

struct serve_strands {
	int fd;
	struct event *ev, *ev_retry;
	unsigned count, have;
	struct transport_strand at[STRANDS_MAX];
	int socks[STRANDS_MAX]; /* to the others; their end is the session's */
	void (*on_all)(void *ctx, const struct transport_strand *at);
	void *ctx;
};

/* The socket's name, without a file: a NUL and then words. Length for bind and connect. */
static socklen_t name(struct sockaddr_un *un, const char *token)
{
	*un = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, "adit-strands-%s", token);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(un->sun_path + 1));
}

static int same_user(int sock)
{
	uid_t uid;

	return fd_peer(sock, &uid, NULL) == 0 && (uid == geteuid() || uid == 0);
}

static void be_patient(int sock)
{
	struct timeval tv = {.tv_sec = PATIENCE_S};

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

/* Accepting again at once would only spin. */
static void pause_accepting(struct serve_strands *s)
{
	static const struct timeval pause = {.tv_usec = RETRY_MS * 1000};

	log_warn(NULL, "no channel joins the session for a moment: %s", strerror(errno));
	event_del(s->ev);
	event_add(s->ev_retry, &pause);
}

static void on_retry(evutil_socket_t fd, short what, void *ctx)
{
	struct serve_strands *s = ctx;

	(void)fd;
	(void)what;
	event_add(s->ev, NULL);
}

static void on_accept(evutil_socket_t lfd, short what, void *ctx)
{
	struct serve_strands *s = ctx;
	int sock = accept4(lfd, NULL, NULL, SOCK_CLOEXEC), fds[2];
	unsigned got = 0;
	uint8_t i = 0;

	(void)what;
	if (sock < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_accepting(s);
		return;
	}
	be_patient(sock);
	if (!same_user(sock) || fdpass_receive(sock, &i, 1, fds, 2, &got) != 1 || got != 2 ||
	    i == 0 || i >= s->count || s->at[i].in >= 0) {
		log_warn(NULL, "somebody who is not of this session tried to join it");
		while (got)
			close(fds[--got]);
		close(sock);
		return;
	}
	s->at[i] = (struct transport_strand){fds[0], fds[1]};
	s->socks[i] = sock;
	if (++s->have < s->count)
		return;
	event_del(s->ev);
	fd_close(&s->fd);
	/* They are the callee's now. */
	{
		struct transport_strand all[STRANDS_MAX];

		memcpy(all, s->at, sizeof(all));
		for (unsigned k = 0; k < s->count; k++)
			s->at[k] = (struct transport_strand){-1, -1};
		s->on_all(s->ctx, all);
	}
}

struct serve_strands *
serve_strands_new(struct event_base *base, unsigned count, struct transport_strand first,
		  char *token, void (*on_all)(void *ctx, const struct transport_strand *at),
		  void *ctx, struct err *e)
{
	struct serve_strands *s = calloc(1, sizeof(*s));
	uint8_t random[TOKEN_BYTES];
	struct sockaddr_un un;
	socklen_t len;

	if (!s) {
		err_set(e, ERR_SPACE, "no memory for a session");
		close(first.in);
		close(first.out);
		return NULL;
	}
	for (unsigned i = 0; i < STRANDS_MAX; i++) {
		s->at[i] = (struct transport_strand){-1, -1};
		s->socks[i] = -1;
	}
	s->at[0] = first;
	s->count = count;
	s->have = 1;
	s->on_all = on_all;
	s->ctx = ctx;
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0 || getrandom(random, sizeof(random), 0) != sizeof(random)) {
		err_set_sys(e, errno, "no socket for the channels");
		goto fail;
	}
	for (unsigned i = 0; i < TOKEN_BYTES; i++)
		snprintf(token + 2 * i, 3, "%02x", random[i]);
	len = name(&un, token);
	if (bind(s->fd, (struct sockaddr *)&un, len) < 0 || listen(s->fd, STRANDS_MAX) < 0) {
		err_set_sys(e, errno, "no socket for the channels");
		goto fail;
	}
	s->ev = event_new(base, s->fd, EV_READ | EV_PERSIST, on_accept, s);
	s->ev_retry = evtimer_new(base, on_retry, s);
	if (!s->ev || !s->ev_retry || event_add(s->ev, NULL) < 0) {
		err_set(e, ERR_SPACE, "no memory for a session");
		goto fail;
	}
	return s;
fail:
	serve_strands_free(s);
	return NULL;
}

void serve_strands_free(struct serve_strands *s)
{
	if (!s)
		return;
	if (s->ev)
		event_free(s->ev);
	if (s->ev_retry)
		event_free(s->ev_retry);
	fd_close(&s->fd);
	for (unsigned i = 0; i < STRANDS_MAX; i++) {
		fd_close(&s->at[i].in);
		fd_close(&s->at[i].out);
		fd_close(&s->socks[i]);
	}
	free(s);
}

int serve_strands_find(const char *words, unsigned *number, struct err *e)
{
	char token[SERVE_STRANDS_TOKEN_MAX];
	struct sockaddr_un un;
	socklen_t len;
	int sock;

	if (sscanf(words, "%39[0-9a-f] %u", token, number) != 2 || *number >= STRANDS_MAX)
		return err_set(e, ERR_REFUSED, "that is no channel of a session");
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	len = name(&un, token);
	if (sock >= 0)
		be_patient(sock);
	if (sock < 0 || connect(sock, (struct sockaddr *)&un, len) < 0 || !same_user(sock)) {
		err_set_sys(e, errno, "the session's first channel is not there");
		fd_close(&sock);
		e->code = ERR_REFUSED;
		return e->code;
	}
	return sock;
}

int serve_strands_give(int sock, unsigned number, struct transport_strand at, struct err *e)
{
	const int fds[2] = {at.in, at.out};
	uint8_t i = (uint8_t)number;

	if (fdpass_send(sock, &i, 1, fds, 2) != 1)
		return err_set_sys(e, errno, "the session's first channel does not answer");
	return 0;
}
