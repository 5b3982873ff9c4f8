/* adit check: says beforehand what would come of a migration. */
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/duration.h"
#include "cli/commands.h"
#include "cli/commands/migrate_options.h"
#include "cli/common/json_line.h"
#include "cli/common/options.h"
#include "cli/common/usage.h"
#include "control/check.h"
#include "tunnel/session.h"

static const char help[] =
    "usage: adit check --qmp SOCKET DEST [--psk FILE | --tls-creds DIR | --insecure]\n"
    "                  [--measure-dirty S] [--json] [the options of adit migrate]\n"
    "\n"
    "Looks for all that would forbid or hinder the migration of the VM behind the monitor\n"
    "SOCKET to the host DEST, on both sides. Nothing is changed and nothing is made. A line\n"
    "for each thing that was looked at: ok, warning or error, what it is, and what to do\n"
    "about it. adit migrate looks at the same things first, and refuses what is an error.\n"
    "\n" MIGRATE_OPTIONS_HELP_WHO "\n"
    "  --measure-dirty S   measure for S seconds (1 to 60; 1 without this) how fast the guest\n"
    "                      writes its RAM; 0: do not. With --max-bandwidth it says whether\n"
    "                      the migration converges, and how long it takes\n"
    "  --json              for programs: a JSON object a line on standard output, one a\n"
    "                      finding; the last is a summary\n"
    "  --log-level LEVEL   error, warning (what it is without this), info or debug\n"
    "  -h, --help          this text\n"
    "\n"
    "what the migration is to be, as for adit migrate:\n" MIGRATE_OPTIONS_HELP_HOW "\n"
    "Exit status: 0 no errors (there may be warnings); 1 an error was found, or the VM or the\n"
    "destination could not be asked; 2 misuse.\n";

enum { OPTION_JSON = OPTION_OWN, OPTION_LOG_LEVEL, OPTION_MEASURE };

struct run {
	struct migrate_config config;
	unsigned measure_s;
	int json, status;
	struct event_base *base;
	struct check_run *check;
};

static int take_measure(struct run *r, const char *value, struct err *e)
{
	uint64_t s = 0;

	if ((value[0] != '0' || value[1]) && duration_parse(&s, value, DURATION_S, 60, e) < 0)
		return err_prefix(e, "--measure-dirty");
	r->measure_s = (unsigned)s;
	return 0;
}

static int take_option(void *ctx, int c, const char *value, struct err *e)
{
	struct run *r = ctx;

	switch (c) {
	case OPTION_JSON:
		r->json = 1;
		return 0;
	case OPTION_LOG_LEVEL:
		return usage_take_log_level(value, e);
	case OPTION_MEASURE:
		return take_measure(r, value, e);
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
	    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	    {"measure-dirty", required_argument, NULL, OPTION_MEASURE},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	struct options o = {.command = "check",
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
		return usage_fail("check", &e);
	return -1;
}

static void print_json(json_t *o, const char *event)
{
	json_object_set_new(o, "event", json_string(event));
	json_line_take(o);
}

static void on_finding(void *ctx, const struct check_finding *f)
{
	const struct run *r = ctx;
	char line[CHECK_LINE_MAX];

	if (r->json)
		print_json(check_finding_json(f), "finding");
	else
		printf("%-7s  %-14s  %s\n", check_level_name(f->level), f->check,
		       check_line(f, line, sizeof(line)));
	fflush(stdout);
}

/* What stands in the way, once more where it is seen. */
static void print_errors(const struct check *found)
{
	char line[CHECK_LINE_MAX];
	size_t i = 0;

	while (i < found->count && found->at[i].level != CHECK_ERROR)
		i++;
	while (i < found->count && found->at[i].level == CHECK_ERROR)
		i++;
	if (i == found->count) /* they are the last lines as it is */
		return;
	for (i = 0; i < found->count; i++)
		if (found->at[i].level == CHECK_ERROR)
			printf("  %s: %s\n", found->at[i].check,
			       check_line(&found->at[i], line, sizeof(line)));
}

static void on_check_end(void *ctx, const struct check *found)
{
	struct run *r = ctx;
	const size_t errors = check_count(found, CHECK_ERROR);
	const size_t warnings = check_count(found, CHECK_WARNING);

	r->status = errors || found->failed ? EXIT_FAILURE : EXIT_SUCCESS;
	if (r->json)
		print_json(json_pack("{s:b,s:I,s:I,s:I,s:I}", "passed", r->status == EXIT_SUCCESS,
				     "ok", (json_int_t)check_count(found, CHECK_OK), "warnings",
				     (json_int_t)warnings, "errors", (json_int_t)errors, "rtt_us",
				     (json_int_t)check_run_rtt_us(r->check)),
			   "checked");
	else {
		putchar('\n');
		print_errors(found);
		printf("%zu error%s, %zu warning%s: %s\n", errors, errors == 1 ? "" : "s", warnings,
		       warnings == 1 ? "" : "s",
		       r->status ? "adit migrate would not succeed" : "the VM can be migrated");
	}
	event_base_loopbreak(r->base);
}

static const struct check_run_ops ops = {on_finding, on_check_end};

int cmd_check(int argc, char **argv)
{
	struct run r = {.status = EXIT_FAILURE, .measure_s = 1};
	struct err e = ERR_INIT;
	int status;

	log_set_level(LOG_LEVEL_WARN);
	status = parse(&r, argc, argv);
	if (status >= 0)
		return status;
	r.base = event_base_new();
	if (!r.base)
		err_set(&e, ERR_SYSTEM, "the event loop cannot be started");
	else
		r.check = check_run_start(r.base, &r.config, r.measure_s, &ops, &r, &e);
	if (r.check)
		event_base_dispatch(r.base);
	status = r.check ? r.status : usage_fail("check", &e);
	check_run_free(r.check);
	if (r.base) {
		session_linger(r.base);
		event_base_free(r.base);
	}
	if (fflush(stdout) != 0 && status == EXIT_SUCCESS)
		status = EXIT_FAILURE;
	return status;
}
