/* adit set: changes a migration while it runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/commands/api_client.h"
#include "cli/commands/jobs.h"
#include "cli/common/json_line.h"
#include "cli/common/options.h"
#include "control/wish.h"

static const char help[] =
    "usage: adit set JOB [--max-bandwidth RATE] [--downtime-limit MS] [--timeout S]\n"
    "                [--on-timeout abort|suspend|postcopy] [--postcopy] [--json]\n"
    "\n"
    "Changes a migration that runs. JOB is its id, or as much of its beginning as tells it\n"
    "from others; adit jobs lists them.\n"
    "\n"
    "  --max-bandwidth R   bytes a second over RAM and disks together: 100M, 1G (of 1024s), or\n"
    "                      bits: 100Mbit; none: no limit\n"
    "  --downtime-limit MS how long the guest may stand still at the end: 300, 500ms, 2s\n"
    "  --timeout S         give the whole job so long, from its start: 600, 10m, 2h; none: as\n"
    "                      long as it takes\n"
    "  --on-timeout WHAT   and then: abort, suspend (pause the guest, so that it gets done) or\n"
    "                      postcopy\n"
    "  --postcopy          have the guest run on the destination at once, and fetch the rest of\n"
    "                      its RAM; for a job that was started with --postcopy, in phase ram\n"
    "\n" JOBS_OPTIONS_HELP "  --json              for programs: the task as one object\n"
    "  -h, --help          this text\n";

enum {
	OPTION_MAX_BANDWIDTH = OPTION_OWN,
	OPTION_DOWNTIME,
	OPTION_TIMEOUT,
	OPTION_ON_TIMEOUT,
	OPTION_POSTCOPY,
};

struct words {
	struct jobs_options o;
	json_t *patch; /* what is to change */
};

static int take_option(void *ctx, int c, const char *value, struct err *e)
{
	struct words *w = ctx;
	enum migrate_on_timeout when;
	uint64_t n = 0;
	int none = value && strcmp(value, "none") == 0;

	switch (c) {
	case OPTION_MAX_BANDWIDTH:
		if (!none && size_parse_rate(&n, value, e) < 0)
			return err_prefix(e, "--max-bandwidth");
		json_object_set_new(w->patch, "max_bandwidth", json_integer((json_int_t)n));
		return 0;
	case OPTION_DOWNTIME:
		if (duration_parse(&n, value, DURATION_MS, MIGRATE_DOWNTIME_MAX_MS, e) < 0)
			return err_prefix(e, "--downtime-limit");
		json_object_set_new(w->patch, "downtime_limit", json_integer((json_int_t)n));
		return 0;
	case OPTION_TIMEOUT:
		if (!none && duration_parse(&n, value, DURATION_S, MIGRATE_TIMEOUT_MAX_S, e) < 0)
			return err_prefix(e, "--timeout");
		json_object_set_new(w->patch, "timeout", json_integer((json_int_t)n));
		return 0;
	case OPTION_ON_TIMEOUT:
		if (migrate_on_timeout_parse(&when, value, e) < 0)
			return e->code;
		json_object_set_new(w->patch, "on_timeout", json_string(value));
		return 0;
	case OPTION_POSTCOPY:
		json_object_set_new(w->patch, "postcopy", json_true());
		return 0;
	default:
		return jobs_options_take(&w->o, c, value, e);
	}
}

/* patch is stolen. */
static int change(const struct jobs_options *o, const char *id, json_t *patch)
{
	const struct job_seen *job;
	struct err e = ERR_INIT;
	struct jobs jobs;
	json_t *answer;
	char path[128];
	int status = EXIT_SUCCESS;

	if (jobs_read(&jobs, o, &e) < 0) {
		json_decref(patch);
		return usage_fail("set", &e);
	}
	job = jobs_find(&jobs, id, &e);
	if (job)
		snprintf(path, sizeof(path), "/tasks/%.64s", jobs_text(job->task, "id"));
	if (!job) {
		json_decref(patch);
		status = usage_fail("set", &e);
	} else if (api_client_ask(job->socket, "PATCH", path, patch, &answer, &e) < 0) {
		status = usage_fail("set", &e);
	} else {
		if (o->json)
			json_line(answer);
		json_decref(answer);
	}
	jobs_fini(&jobs);
	return status;
}

int cmd_set(int argc, char **argv)
{
	static const struct option options[] = {
	    {"max-bandwidth", required_argument, NULL, OPTION_MAX_BANDWIDTH},
	    {"downtime-limit", required_argument, NULL, OPTION_DOWNTIME},
	    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
	    {"on-timeout", required_argument, NULL, OPTION_ON_TIMEOUT},
	    {"postcopy", no_argument, NULL, OPTION_POSTCOPY},
	    JOBS_OPTIONS_LONG,
	    {NULL, 0, NULL, 0},
	};
	struct words w = {.patch = json_object()};
	struct options o = {.command = "set",
			    .argc = argc,
			    .argv = argv,
			    .shorts = ":h",
			    .longs = options,
			    .apart = jobs_options_apart};
	int status = options_take(&o, help, take_option, &w);

	if (status < 0 && optind == argc)
		status = usage_error("set", "JOB is missing; adit jobs lists them");
	if (status < 0 && argc - optind > 1)
		status = usage_error("set", "one JOB, not also \"%s\"", argv[optind + 1]);
	if (status < 0 && !*argv[optind])
		status = usage_error("set", "JOB is empty; adit jobs lists them");
	if (status < 0 && json_object_size(w.patch) == 0)
		status = usage_error("set", "say what is to change: --max-bandwidth, "
					    "--downtime-limit, --timeout, --on-timeout or "
					    "--postcopy");
	if (status >= 0) {
		json_decref(w.patch);
		return status;
	}
	return change(&w.o, argv[optind], w.patch);
}
