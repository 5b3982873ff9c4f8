/* adit recover: brings migrations that were cut off to their end. */
#include <event2/event.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/common/json_line.h"
#include "cli/common/options.h"
#include "cli/common/usage.h"
#include "control/source.h"
#include "control/talk.h"
#include "tunnel/session.h"

static const char help[] =
    "usage: adit recover [JOB] [--run-here | --drop-here] [--state-dir DIR] [--json]\n"
    "\n"
    "Brings every migration away from this host that was cut off (adit killed, the host\n"
    "rebooted, the line lost at the last word) to its end, and says what it found and did.\n"
    "JOB, the beginning of a job's id, takes that one only. What was cut off before the\n"
    "destination could run the VM goes on here; from then on the destination is asked. The\n"
    "credentials are those that the job began with.\n"
    "\n"
    "If the destination cannot be asked, the VM stays paused here: two that run would ruin\n"
    "its disks and show twice on the network. Run this again when the destination is back,\n"
    "or, for a JOB, decide in its place, once you have looked there:\n"
    "\n"
    "  --run-here          the VM does not run there and never will: it goes on here. If it\n"
    "                      does run there, or adit serve there starts again with its journal,\n"
    "                      two copies write to what they share and both claim its address\n"
    "  --drop-here         the VM runs there: it is ended here. If it does not run there, it\n"
    "                      is lost: its memory here is the last copy. One that runs here and\n"
    "                      may be another (in another pid namespace) is not ended\n"
    "\n"
    "  --state-dir DIR     where unfinished jobs are remembered: /var/lib/adit for root, else\n"
    "                      $XDG_STATE_HOME/adit or ~/.local/state/adit\n"
    "  --json              for programs: a JSON object a line on standard output; the last is\n"
    "                      {\"event\":\"end\",\"settled\":N,\"left\":N}\n"
    "  --log-level LEVEL   error, warning (what it is without this), info or debug\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit status: 0 nothing is left unfinished, but what another adit is busy with; 1 JOB is\n"
    "such a one or none, or a VM was found that no host has any more, and a line says why; 2\n"
    "misuse; 3 a job is still unfinished: its VM may stand paused here and run there.\n"
    "adit serve does the same for its host when it starts and every now and then, and settles\n"
    "what it has taken from others when their sources ask.\n";

enum {
	OPTION_RUN_HERE = OPTION_OWN,
	OPTION_DROP_HERE,
	OPTION_STATE_DIR,
	OPTION_JSON,
	OPTION_LOG_LEVEL
};

struct run {
	const char *job, *state_dir_given;
	char state_dir[512];
	enum migrate_decision decision;
	int json;
	struct event_base *base;
	struct recover *recover;
	unsigned settled, left, held, lost;
};

static void on_note(void *ctx, const char *job, const char *text)
{
	struct run *r = ctx;

	if (r->json)
		json_line_take(
		    json_pack("{s:s,s:s,s:s}", "event", "note", "job", job, "text", text));
	else
		printf("job %.8s: %s\n", job, text);
}

static void on_result(void *ctx, const char *job, enum recover_outcome o, const char *text)
{
	struct run *r = ctx;

	r->held += o == RECOVER_HELD;
	r->lost += o == RECOVER_LOST;
	if (r->json)
		json_line_take(json_pack("{s:s,s:s,s:s,s:s}", "event", "result", "job", job,
					 "outcome", recover_outcome_name(o), "text", text));
	else
		printf("job %.8s: %s: %s\n", job,
		       o == RECOVER_WAITS  ? "still unfinished"
		       : o == RECOVER_HELD ? "left alone"
					   : "settled",
		       text);
}

static void on_recover_end(void *ctx, unsigned settled, unsigned left)
{
	struct run *r = ctx;

	r->settled = settled;
	r->left = left;
	event_base_loopbreak(r->base);
}

static const struct recover_ops ops = {on_note, on_result, on_recover_end};

static int take_option(void *ctx, int c, const char *value, struct err *e)
{
	struct run *r = ctx;

	switch (c) {
	case OPTION_RUN_HERE:
		r->decision = MIGRATE_DECIDE_RUN_HERE;
		return 0;
	case OPTION_DROP_HERE:
		r->decision = MIGRATE_DECIDE_DROP_HERE;
		return 0;
	case OPTION_STATE_DIR:
		r->state_dir_given = value;
		return 0;
	case OPTION_JSON:
		r->json = 1;
		return 0;
	default:
		return usage_take_log_level(value, e);
	}
}

static int parse(struct run *r, int argc, char **argv)
{
	static const struct option options[] = {
	    {"run-here", no_argument, NULL, OPTION_RUN_HERE},
	    {"drop-here", no_argument, NULL, OPTION_DROP_HERE},
	    {"state-dir", required_argument, NULL, OPTION_STATE_DIR},
	    {"json", no_argument, NULL, OPTION_JSON},
	    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	static const char *const apart[] = {"run-here", "drop-here", NULL};
	struct options o = {.command = "recover",
			    .argc = argc,
			    .argv = argv,
			    .shorts = ":h",
			    .longs = options,
			    .apart = apart};
	int status;

	status = options_take(&o, help, take_option, r);
	if (status >= 0)
		return status;
	if (argc - optind > 1)
		return usage_error("recover", "one JOB, not also \"%s\"", argv[optind + 1]);
	r->job = argv[optind];
	if (r->job && !*r->job)
		return usage_error("recover", "JOB is empty");
	if (r->decision != MIGRATE_DECIDE_NOTHING && !r->job)
		return usage_error("recover", "--run-here and --drop-here need a JOB");
	return -1;
}

static void say_end(const struct run *r)
{
	if (r->json)
		json_line_take(json_pack("{s:s,s:i,s:i}", "event", "end", "settled",
					 (int)r->settled, "left", (int)r->left));
	else if (!r->settled && !r->left && !r->held)
		puts("nothing is unfinished here");
}

/* No adit of this user's has ever moved a VM from here. */
static int nothing(const struct run *r)
{
	struct err e = ERR_INIT;

	if (!r->job) {
		say_end(r);
		return EXIT_SUCCESS;
	}
	err_set(&e, ERR_CONFIG, "there is no unfinished job %s here (there is no %s)", r->job,
		r->state_dir);
	return usage_fail("recover", &e);
}

int cmd_recover(int argc, char **argv)
{
	struct run r = {0};
	struct err e = ERR_INIT;
	int status, there;

	log_set_level(LOG_LEVEL_WARN);
	status = parse(&r, argc, argv);
	if (status >= 0)
		return status;
	status = EXIT_FAILURE;
	there = journal_find(r.state_dir_given, r.state_dir, sizeof(r.state_dir), &e);
	if (there < 0)
		return usage_fail("recover", &e);
	if (!there)
		return nothing(&r);
	r.base = event_base_new();
	if (!r.base) {
		err_set(&e, ERR_SYSTEM, "the event loop cannot be started");
		return usage_fail("recover", &e);
	}
	r.recover = recover_start(r.base, r.state_dir, r.job, r.decision, &ops, &r, &e);
	if (r.recover) {
		event_base_dispatch(r.base);
		/* What is lost is told once; what is left, each time. */
		status = r.lost || (r.job && r.held) ? EXIT_FAILURE
			 : r.left		     ? EXIT_UNKNOWN
						     : EXIT_SUCCESS;
		say_end(&r);
	} else {
		/* A job that is not there is no misuse of the command. */
		if (e.code == ERR_USAGE)
			e.code = ERR_CONFIG;
		status = usage_fail("recover", &e);
	}
	recover_free(r.recover);
	session_linger(r.base);
	event_base_free(r.base);
	return status;
}
