/* adit forward: local listeners whose connections go to targets at the far adit. */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/notify.h"
#include "cli/commands.h"
#include "cli/commands/background.h"
#include "cli/commands/carrier.h"
#include "cli/common/creds_options.h"
#include "cli/common/options.h"
#include "cli/common/usage.h"
#include "proxy/relay.h"

static const char help[] =
    "usage: adit forward DEST -L LOCAL=REMOTE... [--psk FILE | --tls-creds DIR | --insecure]\n"
    "                    [--background] [--pid-file FILE]\n"
    "\n"
    "Listens on each LOCAL and carries every connection to REMOTE, as the far adit reaches\n"
    "it, all of them over one encrypted TCP connection. The far adit (adit serve) must allow\n"
    "REMOTE with --allow-forward. Ends with status 1 when it does not, or the session is lost.\n"
    "\n" CARRIER_HELP_DEST
    "  -L LOCAL=REMOTE     each of them unix:/path or tcp:HOST:PORT. May be repeated.\n"
    "                      A unix socket is made with mode 0600; a TCP port is open to all\n"
    "                      users of this host. LOCAL may be fd:N too, a listening socket that\n"
    "                      adit is started with\n"
    "\n"
    "how the two sides prove who they are, exactly one of:\n" CREDS_OPTIONS_HELP_CLIENT "\n"
    "  --background        return once everything listens, and the session is up and allows it,\n"
    "                      and go on in the background. Standard error is kept if it is a plain\n"
    "                      file\n"
    "  --pid-file FILE     write the process id to FILE, and remove it at the end\n"
    "  --log-level LEVEL   error, warning, info (what it is without this) or debug\n"
    "  -h, --help          this text\n";

enum { OPTION_BACKGROUND = OPTION_OWN, OPTION_PID_FILE, OPTION_LOG_LEVEL };

struct run {
	/* what the options say */
	struct carrier carrier;
	int in_background;
	const char *pid_file;

	struct notify notify; /* of systemd */
	struct background background;
	struct event_base *base;
	struct event *signals[2];
};

static int take_option(void *ctx, int c, const char *value, struct err *e)
{
	struct run *r = ctx;
	int rc;

	switch (c) {
	case 'L':
		return carrier_take_pair(&r->carrier, value, 0, e);
	case OPTION_BACKGROUND:
		r->in_background = 1;
		return 0;
	case OPTION_PID_FILE:
		r->pid_file = value;
		return 0;
	case OPTION_LOG_LEVEL:
		return usage_take_log_level(value, e);
	default:
		rc = creds_options_take(&r->carrier.auth, c, value, e);
		return rc < 0 ? rc : 0;
	}
}

/* -1 to go on, else the exit status. */
static int parse(void *ctx, int argc, char **argv)
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
	struct run *r = ctx;
	struct options o = {
	    .command = "forward", .argc = argc, .argv = argv, .shorts = ":L:h", .longs = options};
	struct err e = ERR_INIT;
	int status;

	status = options_take(&o, help, take_option, r);
	if (status >= 0)
		return status;
	if (optind == argc)
		return usage_error("forward", "DEST is missing");
	if (argc - optind > 1)
		return usage_error("forward", "one DEST, not also \"%s\"", argv[optind + 1]);
	if (r->carrier.pair_count == 0)
		return usage_error("forward", "-L LOCAL=REMOTE is missing");
	if (addr_parse_dest(&r->carrier.dest, argv[optind], &e) < 0)
		return usage_fail("forward", &e);
	if (creds_options_default(&r->carrier.auth, argv[optind], &e) < 0)
		return usage_fail("forward", &e);
	return -1;
}

static void on_ready(void *ctx)
{
	struct run *r = ctx;

	background_ready(&r->background);
	notify_send(&r->notify, "READY=1\n");
}

static void on_carrier_end(void *ctx, const struct err *why)
{
	struct run *r = ctx;

	r->carrier.status = EXIT_FAILURE;
	if (!r->carrier.ready)
		r->carrier.why = *why;
	event_base_loopbreak(r->base);
}

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

static int start(void *ctx, struct err *e)
{
	struct run *r = ctx;
	int rc = carrier_load_creds(&r->carrier, e);

	if (rc == 0 && r->in_background)
		rc = background_fork(&r->background, e);
	if (rc == 0 && r->pid_file)
		rc = background_write_pid(&r->background, r->pid_file, e);
	if (rc < 0)
		return rc;
	notify_init(&r->notify);
	r->base = event_base_new();
	if (!r->base || watch_signals(r) < 0)
		return err_set(e, ERR_SYSTEM, "the event loop cannot be started");
	rc = carrier_listen(&r->carrier, r->base, NULL, e);
	return rc < 0 ? rc : carrier_connect(&r->carrier, e);
}

/* Ends in order; after it has begun, a second signal ends the program at once. */
static void stop(void *ctx)
{
	struct run *r = ctx;

	notify_send(&r->notify, "STOPPING=1\n");
	notify_fini(&r->notify);
	for (int i = 0; i < 2; i++)
		if (r->signals[i])
			event_free(r->signals[i]);
	carrier_stop(&r->carrier);
	if (r->base) {
		session_linger(r->base);
		relay_see_off();
		event_base_free(r->base);
	}
	carrier_fini(&r->carrier);
	background_fini(&r->background);
}

static const struct carrier_command command = {"forward", parse, start, stop};

int cmd_forward(int argc, char **argv)
{
	struct run r = {.carrier = {.on_ready = on_ready, .on_end = on_carrier_end, .ctx = &r},
			.background = BACKGROUND_INIT};

	return carrier_run(&r.carrier, &command, argc, argv);
}
