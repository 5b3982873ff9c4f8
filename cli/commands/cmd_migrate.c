/* adit migrate: moves a running VM with its disks to the destination. */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/commands/job_api.h"
#include "cli/commands/migrate_options.h"
#include "cli/commands/progress.h"
#include "cli/common/options.h"
#include "cli/common/usage.h"
#include "control/api.h"
#include "control/source.h"
#include "control/talk.h"
#include "control/wish.h"
#include "proxy/relay.h"
#include "tunnel/session.h"

static const char help[] =
    "usage: adit migrate --qmp SOCKET DEST [--psk FILE | --tls-creds DIR | --insecure]\n"
    "                    [OPTION]...\n"
    "\n"
    "Moves the running VM behind the monitor SOCKET to the host DEST, with its disks, over\n"
    "one TCP connection to the adit serve there. When it succeeds the VM runs there and its\n"
    "QEMU here has ended; when it fails, or is cancelled with Ctrl-C, the VM runs on here and\n"
    "the destination is as it was before.\n"
    "\n" MIGRATE_OPTIONS_HELP_WHO "\n" MIGRATE_OPTIONS_HELP_HOW
    "  --keep-source       do not end the QEMU here when the VM has moved: it stays, paused\n"
    "  --state-dir DIR     where unfinished jobs are remembered: /var/lib/adit for root, else\n"
    "                      $XDG_STATE_HOME/adit or ~/.local/state/adit\n"
    "  --json              for programs: a JSON object a line on standard output, one a\n"
    "                      second and one an event; the last is \"completed\" or \"failed\"\n"
    "  --log-level LEVEL   error, warning (what it is without this), info or debug\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit status: 0 the VM is on the destination; 1 it is as it was before, and one line on\n"
    "standard error says why; 2 misuse; 3 nobody knows: if the destination's last word is lost\n"
    "it is asked for again for a minute; if it cannot be had the VM stays paused here, as it may\n"
    "run there, and adit recover brings the job to its end later. It does that too after adit\n"
    "itself was killed.\n";

enum { OPTION_JSON = OPTION_OWN, OPTION_LOG_LEVEL, OPTION_STATE_DIR, OPTION_KEEP_SOURCE };

struct run {
	struct migrate_config config;
	const char *state_dir_given;
	char state_dir[512];
	int json;

	struct event_base *base;
	struct event *signals[3];
	struct tasks *tasks;
	struct task *task;
	struct job_api *api;
	struct progress progress;
	int status;
	struct err err;
};

static int take_option(void *ctx, int c, const char *value, struct err *e)
{
	struct run *r = ctx;

	switch (c) {
	case OPTION_JSON:
		r->json = 1;
		return 0;
	case OPTION_STATE_DIR:
		r->state_dir_given = value;
		return 0;
	case OPTION_KEEP_SOURCE:
		r->config.keep_source = true;
		return 0;
	case OPTION_LOG_LEVEL:
		return usage_take_log_level(value, e);
	default:
		return migrate_options_take(&r->config, c, value, e);
	}
}

/* -1 to go on, else the exit status. */
static int parse(struct run *r, int argc, char **argv)
{
	static const struct option options[] = {
	    MIGRATE_OPTIONS_LONG,
	    {"json", no_argument, NULL, OPTION_JSON},
	    {"keep-source", no_argument, NULL, OPTION_KEEP_SOURCE},
	    {"state-dir", required_argument, NULL, OPTION_STATE_DIR},
	    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	struct options o = {.command = "migrate",
			    .argc = argc,
			    .argv = argv,
			    .shorts = ":h",
			    .longs = options,
			    .apart = migrate_options_apart};
	struct err e = ERR_INIT;
	int status;

	status = options_take(&o, help, take_option, r);
	if (status >= 0)
		return status;
	if (migrate_options_end(&r->config, &o, &e) < 0)
		return usage_fail("migrate", &e);
	return -1;
}

static void on_phase(void *ctx, const char *phase)
{
	struct run *r = ctx;

	progress_phase(&r->progress, phase);
}

static void on_note(void *ctx, const char *text)
{
	struct run *r = ctx;

	progress_note(&r->progress, text);
}

static void on_progress(void *ctx, const struct migrate_progress *p)
{
	struct run *r = ctx;

	progress_tick(&r->progress, p);
}

static void on_migrate_end(void *ctx, const struct migrate_result *result)
{
	struct run *r = ctx;

	progress_end(&r->progress, result);
	r->err = result->err;
	r->status = result->outcome == MIGRATE_UNKNOWN ? EXIT_UNKNOWN
		    : err_is_set(&r->err)	       ? EXIT_FAILURE
						       : EXIT_SUCCESS;
	event_base_loopbreak(r->base);
}

static const struct migrate_ops ops = {on_phase, on_note, on_progress, on_migrate_end};

static const int signums[] = {SIGINT, SIGTERM, SIGHUP};

static void on_signal(evutil_socket_t signum, short what, void *ctx)
{
	struct run *r = ctx;

	(void)signum;
	(void)what;
	task_cancel(r->task, NULL);
}

static int start(struct run *r, struct err *e)
{
	struct err why = ERR_INIT;
	char note[ERR_TEXT_MAX + 64];

	if (migrate_config_check(&r->config, e) < 0 ||
	    journal_prepare(r->state_dir_given, r->state_dir, sizeof(r->state_dir), e) < 0)
		return e->code;
	r->config.state_dir = r->state_dir;
	r->base = event_base_new();
	if (!r->base)
		return err_set(e, ERR_SYSTEM, "the event loop cannot be started");
	progress_init(&r->progress, r->json);
	r->tasks = tasks_new(r->base, e);
	r->task = r->tasks ? tasks_start(r->tasks, &r->config, NULL, &ops, r, e) : NULL;
	if (!r->task)
		return e->code;
	r->api = job_api_open(r->base, r->tasks, r->task, &why);
	if (!r->api) {
		snprintf(note, sizeof(note), "adit jobs will not know of this job: %s", why.text);
		progress_note(&r->progress, note);
	}
	for (int i = 0; i < 3; i++) {
		r->signals[i] = evsignal_new(r->base, signums[i], on_signal, r);
		if (!r->signals[i] || event_add(r->signals[i], NULL) < 0)
			return err_set(e, ERR_SYSTEM, "the event loop cannot be started");
	}
	return 0;
}

static void stop(struct run *r)
{
	sigset_t late;

	/* What has become of the VM is decided, and the exit status is to say that: a signal that
	 * comes while the farewells go out does not change it. */
	sigemptyset(&late);
	for (int i = 0; i < 3; i++)
		sigaddset(&late, signums[i]);
	sigprocmask(SIG_BLOCK, &late, NULL);
	for (int i = 0; i < 3; i++)
		if (r->signals[i])
			event_free(r->signals[i]);
	job_api_close(r->api);
	tasks_free(r->tasks);
	if (r->base) {
		session_linger(r->base);
		relay_see_off();
		event_base_free(r->base);
	}
}

int cmd_migrate(int argc, char **argv)
{
	struct run r = {.status = EXIT_FAILURE};
	struct err e = ERR_INIT;
	int status;

	log_set_level(LOG_LEVEL_WARN);
	status = parse(&r, argc, argv);
	if (status >= 0)
		return status;
	if (start(&r, &e) < 0) {
		status = usage_fail("migrate", &e);
		stop(&r);
		return status;
	}
	event_base_dispatch(r.base);
	status = r.status;
	if (err_is_set(&r.err)) {
		int failed = usage_fail("migrate", &r.err);

		status = status == EXIT_UNKNOWN ? status : failed;
	}
	stop(&r);
	return status;
}
