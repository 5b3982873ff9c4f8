/*
 * adit serve --stdio: see serve_stdio.h. Owned by cmd_serve.
 *
 * It reads a line, which says what is wanted (docs/protocol.md, 1.2), answers with one, and
 * goes on accordingly. Who the peer is was proved to sshd: the user that this runs as, and
 * the address that sshd names; no word of the peer's own counts.
 */
#include "cli/serve/serve_stdio.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "cli/serve/serve_once.h"
#include "cli/serve/serve_strands.h"
#include "proxy/router.h"
#include "tunnel/creds_psk.h"
#include "tunnel/listener.h"
#include "tunnel/transport_stdio.h"

enum {
	GREETING_MS = 30000,
	KEY_MS = 30000,
	PORT_MS = 3000, /* for a port that somebody has: the one before may just be ending */
	PORT_TRY_MS = 200,
};

enum stdio_state {
	STDIO_GREETING, /* the peer's line comes in */
	STDIO_STRANDS,	/* the session's other channels are waited for */
	STDIO_JOINED,	/* this is one of those: it waits for the session's end */
	STDIO_PORT,	/* somebody still has the port for the key */
	STDIO_KEY,	/* a peer with a one-time key is waited for */
	STDIO_SESSION,	/* a session is being made, or is there */
	STDIO_OVER,
};

static const char *const state_names[] = {"greeting", "strands", "joined", "port",
					  "key",      "session", "over"};

struct serve_stdio {
	struct serve_stdio_config config;
	enum stdio_state state;
	int in, out;
	char line[TRANSPORT_STDIO_LINE_MAX];
	size_t len;
	char address[96], peer[SERVE_STDIO_PEER_MAX];
	struct event *ev;
	struct session *session; /* until the router has it */
	struct creds *creds;
	struct listener *listener;
	uint64_t port_until_ms;
	struct serve_strands *strands;
	unsigned strand_count;
	int joined; /* the socket to the first channel's process */
	int status;
};

static void set_state(struct serve_stdio *v, enum stdio_state state)
{
	if (state <= v->state)
		log_error(NULL, "stdio: no way from %s to %s", state_names[v->state],
			  state_names[state]);
	log_debug(NULL, "stdio: %s -> %s", state_names[v->state], state_names[state]);
	v->state = state;
}

static void over(struct serve_stdio *v, int status)
{
	if (v->state == STDIO_OVER)
		return;
	set_state(v, STDIO_OVER);
	v->status = status;
	event_base_loopbreak(v->config.base);
}

/* One line to the peer. It is short, and first: a pipe takes it whole. 0, or -1: the peer has
 * gone. */
static int answer(const struct serve_stdio *v, const char *words, const char *more)
{
	char line[TRANSPORT_STDIO_LINE_MAX];
	int n = snprintf(line, sizeof(line) - 1, TRANSPORT_STDIO_GREETING "%s%s", words, more);

	if (n >= (int)sizeof(line) - 1)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	if (write(v->out, line, (size_t)n) == n)
		return 0;
	log_warn(NULL, "the peer has gone");
	return -1;
}

static void refuse(struct serve_stdio *v, const char *why)
{
	struct log_ctx about = {.peer = v->peer};

	log_warn(&about, "refused: %s", why);
	answer(v, "no ", why);
	over(v, EXIT_FAILURE);
}

static void on_session_over(void *ctx, struct session *s, const struct err *why)
{
	struct serve_stdio *v = ctx;

	(void)s;
	over(v, err_is_set(why) ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* From here on the router owns it. */
static void hand_over(struct serve_stdio *v, struct session *s)
{
	struct err e = ERR_INIT;

	v->session = NULL;
	if (router_add_session(v->config.router, s) < 0) {
		err_set(&e, ERR_SPACE, "memory is short");
	} else if (router_watch_session(v->config.router, s, on_session_over, v, &e) < 0) {
		/* One whose end nobody tells of would keep this program for ever. */
		router_end_session(v->config.router, s, CODE_INTERNAL, e.text);
	}
	if (err_is_set(&e)) {
		log_error(NULL, "%s", e.text);
		over(v, EXIT_FAILURE);
	}
}

static void on_ready(void *ctx, struct session *s)
{
	hand_over(ctx, s);
}

/* Before it was ready. */
static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	struct serve_stdio *v = ctx;
	struct log_ctx about = {.peer = v->peer};

	(void)s;
	log_warn(&about, "%s", err_is_set(why) ? why->text : "ended before it began");
	over(v, EXIT_FAILURE);
}

static const struct session_ops ops = {.on_ready = on_ready, .on_end = on_session_end};

/* The session over t (NULL: *e says why there is none). */
static void start_over(struct serve_stdio *v, struct transport *t, struct err *e)
{
	struct session_config config;

	session_config_default(&config);
	config.features = ROUTER_FEATURES;
	if (t)
		v->session = session_serve(v->config.base, t, v->address, &config, &ops, v, e);
	if (!v->session) {
		log_error(NULL, "%s", e->text);
		over(v, EXIT_FAILURE);
		return;
	}
	set_state(v, STDIO_SESSION);
}

/* The peer asked for count channels, and all are here. */
static void on_strands(void *ctx, const struct transport_strand *at)
{
	struct serve_stdio *v = ctx;
	struct err e = ERR_INIT;

	event_del(v->ev);
	start_over(v, transport_strands_new(at, v->strand_count, v->peer, &e), &e);
}

static void on_no_strands(evutil_socket_t fd, short what, void *ctx)
{
	struct serve_stdio *v = ctx;

	(void)fd;
	(void)what;
	if (v->state != STDIO_STRANDS)
		return;
	log_warn(NULL, "the session's other channels did not come within %d seconds",
		 GREETING_MS / 1000);
	over(v, EXIT_FAILURE);
}

/* The session over several channels, of which this is the first. */
static void wait_for_strands(struct serve_stdio *v, const char *number)
{
	char token[SERVE_STRANDS_TOKEN_MAX], more[SERVE_STRANDS_TOKEN_MAX + 32];
	struct transport_strand own = {v->in, -1};
	struct err e = ERR_INIT;
	char *end;
	unsigned long n = strtoul(number, &end, 10);

	if (n < 2 || n > STRANDS_MAX || *end) {
		refuse(v, "strands= says how many channels a session has: 2 to 8; without it, one");
		return;
	}
	own.out = fcntl(v->out, F_DUPFD_CLOEXEC, 3); /* the answer is still to be given */
	v->strand_count = (unsigned)n;
	v->in = -1;
	v->strands =
	    serve_strands_new(v->config.base, v->strand_count, own, token, on_strands, v, &e);
	if (!v->strands) {
		refuse(v, e.text);
		return;
	}
	event_free(v->ev);
	v->ev = evtimer_new(v->config.base, on_no_strands, v);
	if (v->ev)
		event_add(v->ev, &(struct timeval){.tv_sec = GREETING_MS / 1000});
	set_state(v, STDIO_STRANDS);
	snprintf(more, sizeof(more), ADIT_VERSION " token=%s", token);
	answer(v, "ok ", more);
	fd_close(&v->out);
}

/* The process of the first channel has ended, and with it the session. */
static void on_first_gone(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	over(ctx, EXIT_SUCCESS);
}

static void join(struct serve_stdio *v, const char *words)
{
	struct err e = ERR_INIT;
	unsigned number;

	v->joined = serve_strands_find(words, &number, &e);
	if (v->joined < 0) {
		v->joined = -1;
		refuse(v, e.text);
		return;
	}
	/* First the line, then the session's bytes: from here on they are the other's. */
	answer(v, "ok ", ADIT_VERSION);
	event_free(v->ev);
	v->ev = event_new(v->config.base, v->joined, EV_READ, on_first_gone, v);
	if (!v->ev || event_add(v->ev, NULL) < 0 ||
	    serve_strands_give(v->joined, number, (struct transport_strand){v->in, v->out}, &e) <
		0) {
		log_error(NULL, "%s", err_is_set(&e) ? e.text : "no memory for a channel");
		over(v, EXIT_FAILURE);
		return;
	}
	fd_close(&v->in);
	fd_close(&v->out);
	set_state(v, STDIO_JOINED);
}

static void start_session(struct serve_stdio *v)
{
	struct transport *t;
	struct err e = ERR_INIT;

	answer(v, "ok ", ADIT_VERSION);
	t = transport_stdio_new(v->in, v->out, v->peer, &e);
	v->in = v->out = -1;
	start_over(v, t, &e);
}

/* The time for the key is up; or the session is there, and the port is closed. */
static void on_key_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct serve_stdio *v = ctx;
	struct log_ctx about = {.peer = v->peer};

	(void)fd;
	(void)what;
	listener_free(v->listener);
	v->listener = NULL;
	if (v->state != STDIO_KEY)
		return;
	log_warn(&about, "nobody came with the one-time key within %d seconds", KEY_MS / 1000);
	over(v, EXIT_FAILURE);
}

/* The peer came with its key; the next one has to bring its own. */
static void on_session(void *ctx, struct session *s)
{
	struct serve_stdio *v = ctx;

	event_add(v->ev, &(struct timeval){0});
	if (v->state != STDIO_KEY) {
		session_free(s);
		return;
	}
	set_state(v, STDIO_SESSION);
	hand_over(v, s);
}

static void on_port_timer(evutil_socket_t fd, short what, void *ctx);

/* From now on fn is called after ms. */
static int set_timer(struct serve_stdio *v, event_callback_fn fn, unsigned ms, struct err *e)
{
	struct timeval tv = clock_timeval(ms);

	event_free(v->ev);
	v->ev = evtimer_new(v->config.base, fn, v);
	if (!v->ev || event_add(v->ev, &tv) < 0)
		return err_set(e, ERR_SPACE, "no memory for a timer");
	return 0;
}

/* The port for the one that has the key: 0 also where it is tried again in a moment. */
static int open_port(struct serve_stdio *v, struct err *e)
{
	struct listener_config config;
	struct err was;
	char more[64];

	listener_config_default(&config);
	config.session.features = ROUTER_FEATURES;
	errno = 0;
	v->listener =
	    listener_new(v->config.base, v->config.listen, v->creds, &config, on_session, v, e);
	if (!v->listener && errno == EADDRINUSE) {
		if (clock_ms() < v->port_until_ms) {
			*e = (struct err)ERR_INIT;
			return set_timer(v, on_port_timer, PORT_TRY_MS, e);
		}
		was = *e;
		err_set(e, was.code,
			"%s; where it is an attempt before this one, which still waits for its "
			"key, try again in half a minute",
			was.text);
	}
	if (!v->listener) {
		if (v->config.rights_given)
			err_prefix(
			    e,
			    "the command has rights of its own, so no running adit serve is asked");
		return e->code;
	}
	if (set_timer(v, on_key_timer, KEY_MS, e) < 0)
		return e->code;
	snprintf(more, sizeof(more), ADIT_VERSION " port=%u", listener_port(v->listener));
	if (answer(v, "ok ", more) < 0) {
		over(v, EXIT_FAILURE);
		return 0;
	}
	/* ssh is done; the peer closes its channel. */
	fd_close(&v->in);
	fd_close(&v->out);
	set_state(v, STDIO_KEY);
	return 0;
}

static void on_port_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct serve_stdio *v = ctx;
	struct err e = ERR_INIT;

	(void)fd;
	(void)what;
	if (v->state == STDIO_PORT && open_port(v, &e) < 0)
		refuse(v, e.text);
}

/* Waits on the port for the one that has the key. */
static int listen_for(struct serve_stdio *v, const struct creds_psk_key *k, struct err *e)
{
	v->creds = creds_new_psk(CREDS_SERVER, NULL, e);
	if (!v->creds || creds_take_once(v->creds, k, v->peer, e) < 0)
		return e->code;
	set_state(v, STDIO_PORT);
	v->port_until_ms = clock_ms() + PORT_MS;
	return open_port(v, e);
}

/* To the adit serve of this user, or else of the host: its port, 0: none runs, or an error. */
static int hand_key_over(const struct serve_stdio *v, const char *words, struct err *e)
{
	const char *at[] = {v->config.run_dir, v->config.host_run_dir};
	int rc = 0;

	for (unsigned i = 0; i < 2 && rc == 0; i++)
		if (*at[i])
			rc = serve_once_hand_over(at[i], words, v->address, e);
	return rc;
}

static void take_key(struct serve_stdio *v, const char *words)
{
	const char *space = strchr(words, ' ');
	struct creds_psk_key k = {0};
	struct err e = ERR_INIT;
	char more[64];
	int rc;

	if (!space ||
	    creds_psk_parse(&k, words, (size_t)(space - words), space + 1, strlen(space + 1)) < 0) {
		refuse(v, "that is no one-time key");
		return;
	}
	/* The adit serve that runs here already has the port. But what it allows to this user may
	 * be more than what a command with rights of its own was to give. */
	rc = v->config.rights_given ? 0 : hand_key_over(v, words, &e);
	if (rc > 0) {
		snprintf(more, sizeof(more), ADIT_VERSION " port=%d", rc);
		answer(v, "ok ", more);
		over(v, EXIT_SUCCESS);
	} else if (rc < 0 || listen_for(v, &k, &e) < 0) {
		refuse(v, e.text);
	}
	explicit_bzero(&k, sizeof(k));
}

static void take_line(struct serve_stdio *v)
{
	static const char greeting[] = TRANSPORT_STDIO_GREETING;
	const char *words = v->line + sizeof(greeting) - 1;

	v->line[v->len] = '\0';
	event_del(v->ev);
	if (strncmp(v->line, greeting, sizeof(greeting) - 1) != 0)
		refuse(v, "what came in is not the greeting of an adit (" TRANSPORT_STDIO_GREETING
			  "): install the same release on both hosts");
	else if (strcmp(words, "mux") == 0)
		start_session(v);
	else if (strncmp(words, "mux strands=", 12) == 0)
		wait_for_strands(v, words + 12);
	else if (strncmp(words, "join ", 5) == 0)
		join(v, words + 5);
	else if (strncmp(words, "psk ", 4) == 0)
		take_key(v, words + 4);
	else
		refuse(v, "the adit there (" ADIT_VERSION ") does not know what is asked of it");
	explicit_bzero(v->line, sizeof(v->line));
}

static void on_input(evutil_socket_t fd, short what, void *ctx)
{
	struct serve_stdio *v = ctx;
	ssize_t n;
	char c;

	if (what & EV_TIMEOUT) {
		log_warn(NULL, "no greeting came within %d seconds", GREETING_MS / 1000);
		over(v, EXIT_FAILURE);
		return;
	}
	/* A byte at a time: what follows the line is the session's. */
	while ((n = read(fd, &c, 1)) == 1) {
		if (c == '\n') {
			take_line(v);
			return;
		}
		if (v->len == sizeof(v->line) - 1) {
			refuse(v, "the greeting is too long");
			return;
		}
		v->line[v->len++] = c;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		log_warn(NULL, "the peer went away without a greeting");
		over(v, EXIT_FAILURE);
	}
}

/* Where the peer is, as sshd has it. */
static void find_address(char *address, size_t size)
{
	const char *connection = getenv("SSH_CONNECTION");
	size_t len = connection ? strcspn(connection, " ") : 0;

	snprintf(address, size, "%.*s", (int)len, connection ? connection : "");
	if (!len)
		snprintf(address, size, "local");
}

void serve_stdio_name_peer(char *peer, size_t size)
{
	char address[96];

	find_address(address, sizeof(address));
	serve_once_name_peer(peer, size, geteuid(), address);
}

/* Descriptors 0 and 1 to ourselves; whatever else the program writes must not get into the
 * session. */
static int take_descriptors(struct serve_stdio *v, struct err *e)
{
	struct stat st[2];
	int null;

	for (int i = 0; i < 2; i++)
		if (fstat(i, &st[i]) < 0 || (!S_ISFIFO(st[i].st_mode) && !S_ISSOCK(st[i].st_mode)))
			return err_set(
			    e, ERR_USAGE,
			    "--stdio is what sshd starts for adit ... ssh://HOST: standard "
			    "%s is neither a pipe nor a socket",
			    i ? "output" : "input");
	v->in = fcntl(0, F_DUPFD_CLOEXEC, 3);
	v->out = fcntl(1, F_DUPFD_CLOEXEC, 3);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (v->in < 0 || v->out < 0 || null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0 ||
	    fd_set_nonblock(v->in) < 0) {
		err_set_sys(e, errno, "standard input and output");
		fd_close(&null);
		return e->code;
	}
	close(null);
	return 0;
}

struct serve_stdio *serve_stdio_new(const struct serve_stdio_config *config, struct err *e)
{
	struct serve_stdio *v = calloc(1, sizeof(*v));

	if (!v) {
		err_set(e, ERR_SPACE, "no memory for a session");
		return NULL;
	}
	v->config = *config;
	v->in = v->out = v->joined = -1;
	v->status = EXIT_SUCCESS;
	find_address(v->address, sizeof(v->address));
	serve_stdio_name_peer(v->peer, sizeof(v->peer));
	if (take_descriptors(v, e) < 0)
		goto fail;
	v->ev = event_new(config->base, v->in, EV_READ | EV_PERSIST, on_input, v);
	if (!v->ev || event_add(v->ev, &(struct timeval){.tv_sec = GREETING_MS / 1000}) < 0) {
		err_set(e, ERR_SPACE, "no memory for a session");
		goto fail;
	}
	return v;
fail:
	serve_stdio_free(v);
	return NULL;
}

int serve_stdio_status(const struct serve_stdio *v)
{
	return v->status;
}

void serve_stdio_free(struct serve_stdio *v)
{
	if (!v)
		return;
	if (v->ev)
		event_free(v->ev);
	listener_free(v->listener);
	session_free(v->session);
	creds_free(v->creds);
	serve_strands_free(v->strands);
	fd_close(&v->joined);
	fd_close(&v->in);
	fd_close(&v->out);
	free(v);
}
