/* adit forward: local listeners whose connections go to targets at the far adit. */
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/background.h"
#include "cli/commands.h"
#include "cli/creds_options.h"
#include "cli/usage.h"
#include "proxy/forward.h"

static const char help[] =
    "usage: adit forward DEST -L LOCAL=REMOTE... [--psk FILE | --tls-creds DIR | --insecure]\n"
    "                    [--background] [--pid-file FILE]\n"
    "\n"
    "Listens on each LOCAL and carries every connection to REMOTE, as the far adit reaches\n"
    "it, all of them over one encrypted TCP connection. The far adit (adit serve) must allow\n"
    "REMOTE with --allow-forward. Ends with status 1 when the session is lost.\n"
    "\n"
    "  DEST                tls://[IDENTITY@]HOST[:PORT]; the port is 16516 when left out.\n"
    "                      tcp://HOST[:PORT] with --insecure\n"
    "                      ssh://[USER@]HOST[:PORT]: through the sshd there, which starts the far\n"
    "                      adit; user and port as ssh's configuration says when left out.\n"
    "                      ssh+tls://[USER@]HOST[:PORT]: ssh carries a key that is good once,\n"
    "                      all else goes to adit's own port there\n"
    "  -L LOCAL=REMOTE     each of them unix:/path or tcp:HOST:PORT. May be repeated.\n"
    "                      A unix socket is made with mode 0600; a TCP port is open to all\n"
    "                      users of this host. LOCAL may be fd:N too, a listening socket that\n"
    "                      adit is started with\n"
    "\n"
    "how the two sides prove who they are, exactly one of:\n" CREDS_OPTIONS_HELP_CLIENT "\n"
    "  --background        return once everything listens and the session is up, and go on\n"
    "                      in the background. Standard error is kept if it is a plain file\n"
    "  --pid-file FILE     write the process id to FILE, and remove it at the end\n"
    "  --log-level LEVEL   error, warning, info (what it is without this) or debug\n"
    "  -h, --help          this text\n";

enum { OPTION_BACKGROUND = OPTION_OWN, OPTION_PID_FILE, OPTION_LOG_LEVEL };

/* One -L. */
struct pair {
	struct addr local, remote;
	struct forward *forward;
};

struct run {
	/* what the options say */
	struct addr_dest dest;
	struct auth auth;
	struct pair *pairs;
	size_t pair_count;
	int in_background;
	const char *pid_file;

	struct background background;
	struct event_base *base;
	struct creds *creds;
	struct session *session;
	struct event *signals[2];
	int ready;
	int status;
	struct err why; /* why it ended before it was ready */
};

/* Splits LOCAL=REMOTE at the '=' before the second address, so that a path may have
 * one too. */
static int take_pair(struct run *r, const char *text, struct err *e)
{
	struct pair *p = &r->pairs[r->pair_count];
	const char *eq = text;
	char local[sizeof("tcp:[]:65535") + ADDR_HOST_MAX];

	while ((eq = strchr(eq, '=')) != NULL && strncmp(eq, "=unix:", 6) != 0 &&
	       strncmp(eq, "=tcp:", 5) != 0)
		eq++;
	eq = eq ? eq : strstr(text, "=fd:"); /* for what is to be said of it */
	if (!eq)
		return err_set(e, ERR_USAGE,
			       "-L \"%s\": write LOCAL=REMOTE, each unix:/path or tcp:HOST:PORT",
			       text);
	if ((size_t)(eq - text) >= sizeof(local))
		return err_set(e, ERR_USAGE, "-L \"%.40s...\": the first address is too long",
			       text);
	snprintf(local, sizeof(local), "%.*s", (int)(eq - text), text);
	if (addr_parse_local(&p->local, local, e) < 0 || addr_parse(&p->remote, eq + 1, e) < 0) {
		err_prefix(e, "-L");
		return e->code;
	}
	r->pair_count++;
	return 0;
}

static int take_option(struct run *r, int c, const char *value, struct err *e)
{
	int rc;

	switch (c) {
	case 'L':
		return take_pair(r, value, e);
	case OPTION_BACKGROUND:
		r->in_background = 1;
		return 0;
	case OPTION_PID_FILE:
		r->pid_file = value;
		return 0;
	case OPTION_LOG_LEVEL:
		return usage_take_log_level(value, e);
	default:
		rc = creds_options_take(&r->auth, c, value, e);
		return rc < 0 ? rc : 0;
	}
}

/* -1 to go on, else the exit status. */
static int parse(struct run *r, int argc, char **argv)
{
	static const struct option options[] = {
	    {"background", no_argument, NULL, OPTION_BACKGROUND},
	    {"pid-file", required_argument, NULL, OPTION_PID_FILE},
	    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	    CREDS_OPTIONS_LONG,
	    CREDS_OPTIONS_LONG_SSH,
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	struct err e = ERR_INIT;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":L:h", options, NULL)) != -1) {
		if (c == '?' || c == ':')
			return usage_bad_option("forward", c, argv);
		if (c == 'h')
			return usage_help(help);
		if (take_option(r, c, optarg, &e) < 0)
			return usage_fail("forward", &e);
	}
	if (optind == argc)
		return usage_error("forward", "DEST is missing");
	if (argc - optind > 1)
		return usage_error("forward", "one DEST, not also \"%s\"", argv[optind + 1]);
	if (r->pair_count == 0)
		return usage_error("forward", "-L LOCAL=REMOTE is missing");
	if (addr_parse_dest(&r->dest, argv[optind], &e) < 0)
		return usage_fail("forward", &e);
	return -1;
}

static void on_ready(void *ctx, struct session *s)
{
	struct run *r = ctx;
	struct log_ctx about = {.peer = session_peer(s)};

	r->ready = 1;
	for (size_t i = 0; i < r->pair_count; i++) {
		const struct pair *p = &r->pairs[i];
		char local[320], remote[320];

		forward_start(p->forward, s);
		log_info(&about, "forwarding %s to %s",
			 addr_format(&p->local, local, sizeof(local)),
			 addr_format(&p->remote, remote, sizeof(remote)));
	}
	background_ready(&r->background);
}

static void on_end(void *ctx, struct session *s, const struct err *why)
{
	struct run *r = ctx;
	struct log_ctx about = {.peer = session_peer(s)};

	r->status = EXIT_FAILURE;
	if (!r->ready && err_is_set(why))
		r->why = *why;
	else if (!r->ready)
		err_set(&r->why, ERR_CLOSED, "the far adit ended the session before it began");
	else
		log_error(&about, "session lost: %s",
			  err_is_set(why) ? why->text : "the far adit ended it");
	event_base_loopbreak(r->base);
}

/* The far adit opens no streams here. */
static void on_open(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		    const char *target)
{
	struct log_ctx about = {.peer = session_peer(s), .stream = stream_id(stream)};

	(void)ctx;
	(void)class;
	log_warn(&about, "refused: %s: adit forward takes no streams from the far adit", target);
	stream_refuse(stream, CODE_REFUSED, "adit forward takes no streams from the far adit");
}

static const struct session_ops ops = {
    .on_ready = on_ready,
    .on_open = on_open,
    .on_end = on_end,
};

static void on_end_signal(evutil_socket_t signum, short what, void *ctx)
{
	struct run *r = ctx;

	(void)what;
	log_info(NULL, "ending: SIG%s", sigabbrev_np((int)signum));
	event_base_loopbreak(r->base);
}

static int watch_signals(struct run *r)
{
	r->signals[0] = evsignal_new(r->base, SIGINT, on_end_signal, r);
	r->signals[1] = evsignal_new(r->base, SIGTERM, on_end_signal, r);
	for (int i = 0; i < 2; i++)
		if (!r->signals[i] || event_add(r->signals[i], NULL) < 0)
			return -1;
	return 0;
}

static int start(struct run *r, struct err *e)
{
	struct session_config config;

	r->creds = auth_load_client(&r->auth, &r->dest, e);
	if (!r->creds)
		return e->code;
	if (r->in_background && background_fork(&r->background, e) < 0)
		return e->code;
	if (r->pid_file && background_write_pid(&r->background, r->pid_file, e) < 0)
		return e->code;
	r->base = event_base_new();
	if (!r->base || watch_signals(r) < 0)
		return err_set(e, ERR_SYSTEM, "the event loop cannot be started");
	for (size_t i = 0; i < r->pair_count; i++) {
		struct pair *p = &r->pairs[i];

		p->forward = forward_new(r->base, &p->local, &p->remote, e);
		if (!p->forward) {
			err_prefix(e, "-L");
			return e->code;
		}
	}
	session_config_default(&config);
	r->session = session_connect(r->base, &r->dest, r->creds, &config, &ops, r, e);
	return r->session ? 0 : (int)e->code;
}

/* Ends in order; after it has begun, a second signal ends the program at once. */
static void stop(struct run *r)
{
	for (int i = 0; i < 2; i++)
		if (r->signals[i])
			event_free(r->signals[i]);
	for (size_t i = 0; i < r->pair_count; i++)
		forward_free(r->pairs[i].forward);
	if (r->session && r->status == EXIT_SUCCESS)
		session_close(r->session, CODE_NONE, "");
	else
		session_free(r->session);
	if (r->base) {
		session_linger(r->base);
		event_base_free(r->base);
	}
	creds_free(r->creds);
	background_fini(&r->background);
	free(r->pairs);
}

int cmd_forward(int argc, char **argv)
{
	struct run r = {.background = BACKGROUND_INIT};
	struct err e = ERR_INIT;
	int status;

	r.pairs = calloc((size_t)argc, sizeof(*r.pairs));
	if (!r.pairs) {
		err_set(&e, ERR_SYSTEM, "memory is short");
		return usage_fail("forward", &e);
	}
	status = parse(&r, argc, argv);
	if (status >= 0)
		goto out;
	if (start(&r, &e) < 0) {
		r.status = EXIT_FAILURE;
		status = usage_fail("forward", &e);
		goto out;
	}
	event_base_dispatch(r.base);
	if (err_is_set(&r.why))
		usage_fail("forward", &r.why);
	status = r.status;
out:
	stop(&r);
	return status;
}
