/* adit jobs, adit status, adit cancel: what goes away from this host, and its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "cli/commands.h"
#include "cli/commands/api_client.h"
#include "cli/commands/jobs.h"
#include "cli/commands/progress.h"
#include "cli/common/json_line.h"
#include "cli/common/options.h"
#include "control/source.h"

static const char jobs_help[] =
    "usage: adit jobs [--json] [--api SOCKET]\n"
    "\n"
    "Lists the migrations that go away from this host: those of adit serve, which keeps the\n"
    "last 100 that ended, and those of each adit migrate that runs.\n"
    "\n" JOBS_OPTIONS_HELP "  --json              for programs: one object, {\"tasks\": [...]}\n"
    "  -h, --help          this text\n";

static const char status_help[] =
    "usage: adit status [JOB] [--watch] [--json] [--api SOCKET]\n"
    "\n"
    "Tells how a migration goes. JOB is its id, or as much of its beginning as tells it from\n"
    "others; it may be left out where only one runs.\n"
    "\n"
    "  --watch             follow it to its end; the exit status is then as adit migrate's: 0\n"
    "                      the VM is on the destination, 1 it is as before, 3 nobody "
    "knows\n" JOBS_OPTIONS_HELP
    "  --json              for programs: the task as one object, or with --watch its events as\n"
    "                      adit migrate --json prints them\n"
    "  -h, --help          this text\n";

static const char cancel_help[] =
    "usage: adit cancel JOB [--json] [--api SOCKET]\n"
    "\n"
    "Cancels a migration, and waits until the VM runs on here and all is undone. JOB is its\n"
    "id, or as much of its beginning as tells it from others. Exit status 1: it was too late,\n"
    "or failed otherwise; 3: nobody knows whether the VM runs here or there.\n"
    "\n" JOBS_OPTIONS_HELP "  --json              for programs: the last event as one object\n"
    "  -h, --help          this text\n";

enum { OPTION_WATCH = OPTION_OWN };

struct words {
	struct jobs_options o;
	int watch;
	const char *job;
};

static int take_option(void *ctx, int c, const char *value, struct err *e)
{
	struct words *w = ctx;

	if (c != OPTION_WATCH)
		return jobs_options_take(&w->o, c, value, e);
	w->watch = 1;
	return 0;
}

/* -1 to go on, else the exit status. */
static int parse(struct words *w, const char *command, const char *help, int may_watch, int argc,
		 char **argv)
{
	static const struct option with[] = {
	    {"watch", no_argument, NULL, OPTION_WATCH}, JOBS_OPTIONS_LONG, {NULL, 0, NULL, 0}};
	static const struct option without[] = {JOBS_OPTIONS_LONG, {NULL, 0, NULL, 0}};
	struct options o = {.command = command,
			    .argc = argc,
			    .argv = argv,
			    .shorts = ":h",
			    .longs = may_watch ? with : without,
			    .apart = jobs_options_apart};
	int status;

	status = options_take(&o, help, take_option, w);
	if (status >= 0)
		return status;
	if (optind < argc)
		w->job = argv[optind++];
	if (optind < argc)
		return usage_error(command, "one JOB, not also \"%s\"", argv[optind]);
	/* Every id begins with nothing. */
	if (w->job && !*w->job)
		return usage_error(command, "JOB is empty; adit jobs lists them");
	return -1;
}

int cmd_jobs(int argc, char **argv)
{
	struct words w = {0};
	struct err e = ERR_INIT;
	struct jobs jobs;
	json_t *list;
	int status = parse(&w, "jobs", jobs_help, 0, argc, argv);

	if (status >= 0)
		return status;
	if (w.job)
		return usage_error("jobs", "it takes options only, not \"%s\"", w.job);
	if (jobs_read(&jobs, &w.o, &e) < 0)
		return usage_fail("jobs", &e);
	if (w.o.json) {
		list = json_array();
		for (size_t i = 0; i < jobs.count; i++)
			json_array_append(list, jobs.at[i].task);
		list = json_pack("{s:o}", "tasks", list);
		json_line(list);
		json_decref(list);
	} else {
		printf("%-12s  %-16s  %-10s %-10s %4s  %s\n", "JOB", "VM", "STATUS", "PHASE",
		       "DONE", "TO");
		for (size_t i = 0; i < jobs.count; i++) {
			const json_t *t = jobs.at[i].task;

			printf("%.12s  %-16s  %-10s %-10s %3d%%  %s\n", jobs_text(t, "id"),
			       jobs_text(t, "vm"), jobs_text(t, "status"), jobs_text(t, "phase"),
			       (int)jobs_number(t, "progress"), jobs_text(t, "target_uri"));
		}
	}
	fflush(stdout);
	status = err_is_set(&jobs.silent) ? usage_fail("jobs", &jobs.silent) : EXIT_SUCCESS;
	jobs_fini(&jobs);
	return status;
}

static void print_limits(const json_t *limits)
{
	char rate[24];

	printf("limits    ");
	if (jobs_number(limits, "max_bandwidth"))
		printf("max-bandwidth %s/s, ",
		       size_format((uint64_t)jobs_number(limits, "max_bandwidth"), rate,
				   sizeof(rate)));
	if (jobs_number(limits, "downtime_limit"))
		printf("downtime-limit %lld ms, ",
		       (long long)jobs_number(limits, "downtime_limit"));
	if (jobs_number(limits, "timeout"))
		printf("timeout %lld s, on-timeout %s\n", (long long)jobs_number(limits, "timeout"),
		       jobs_text(limits, "on_timeout"));
	else
		printf("no timeout\n");
}

static void print_task(const json_t *t)
{
	const json_t *n = json_object_get(t, "numbers"), *item;
	char a[24], b[24];
	size_t i;

	printf("job       %s\n", jobs_text(t, "id"));
	printf("VM        %s\n", jobs_text(t, "vm"));
	printf("to        %s\n", jobs_text(t, "target_uri"));
	printf("status    %s, phase %s, %d%%%s\n", jobs_text(t, "status"), jobs_text(t, "phase"),
	       (int)jobs_number(t, "progress"),
	       json_is_true(json_object_get(t, "cancelling")) ? ", being cancelled" : "");
	printf("          %s\n", jobs_text(t, "message"));
	printf("since     %s\n", jobs_text(t, "created"));
	if (*jobs_text(t, "ended"))
		printf("ended     %s\n", jobs_text(t, "ended"));
	if (jobs_number(n, "disk_total_bytes"))
		printf("disks     %s of %s\n",
		       size_format((uint64_t)jobs_number(n, "disk_done_bytes"), a, sizeof(a)),
		       size_format((uint64_t)jobs_number(n, "disk_total_bytes"), b, sizeof(b)));
	if (jobs_number(n, "ram_total_bytes"))
		printf("RAM       %s of %s, pass %lld\n",
		       size_format((uint64_t)jobs_number(n, "ram_done_bytes"), a, sizeof(a)),
		       size_format((uint64_t)jobs_number(n, "ram_total_bytes"), b, sizeof(b)),
		       (long long)jobs_number(n, "passes"));
	if (!*jobs_text(t, "ended"))
		printf("rate      %s/s, the guest writes %s/s\n",
		       size_format((uint64_t)jobs_number(n, "rate_bytes_per_s"), a, sizeof(a)),
		       size_format((uint64_t)jobs_number(n, "dirty_bytes_per_s"), b, sizeof(b)));
	if (json_is_integer(json_object_get(n, "remaining_s")) && !*jobs_text(t, "ended"))
		printf("left      about %lld s\n", (long long)jobs_number(n, "remaining_s"));
	print_limits(json_object_get(t, "limits"));
	json_array_foreach(json_object_get(t, "streams"), i, item)
	    printf("stream    %-24s %10s  %10s/s\n", jobs_text(item, "name"),
		   size_format((uint64_t)jobs_number(item, "bytes"), a, sizeof(a)),
		   size_format((uint64_t)jobs_number(item, "rate_bytes_per_s"), b, sizeof(b)));
}

/* What follows a job's events to its end. */
struct watch {
	struct progress progress;
	int quiet, json;
	json_t *last; /* completed or failed */
};

static int on_event(void *ctx, json_t *event)
{
	struct watch *w = ctx;
	const char *what = jobs_text(event, "event");
	struct migrate_progress p;

	if (strcmp(what, "completed") == 0 || strcmp(what, "failed") == 0) {
		json_decref(w->last);
		w->last = json_incref(event);
	}
	if (w->quiet)
		return 0;
	if (w->json) {
		json_line(event);
	} else if (strcmp(what, "progress") == 0) {
		migrate_json_read_progress(&p, event);
		progress_tick(&w->progress, &p);
	} else if (strcmp(what, "phase") == 0) {
		progress_phase(&w->progress, jobs_text(event, "phase"));
	} else if (strcmp(what, "note") == 0) {
		progress_note(&w->progress, jobs_text(event, "text"));
	}
	return 0;
}

static int follow(struct watch *w, const struct job_seen *job, json_int_t from, struct err *e)
{
	char path[128];

	snprintf(path, sizeof(path), "/tasks/%.64s/events?from=%lld", jobs_text(job->task, "id"),
		 (long long)from);
	if (api_client_follow(job->socket, path, on_event, w, e) < 0)
		return e->code;
	if (!w->last)
		return err_set(e, ERR_CLOSED,
			       "the adit that moves the VM has gone: see adit recover");
	return 0;
}

/* The exit status that tells of the end. */
static int status_of(const json_t *last)
{
	if (json_is_true(json_object_get(last, "unknown")))
		return EXIT_UNKNOWN;
	return strcmp(jobs_text(last, "event"), "completed") == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The exit status, after a line that says how it ended. */
static int tell_end(const char *command, const json_t *last)
{
	const json_t *there = json_object_get(last, "destination");
	struct err e = ERR_INIT;

	if (strcmp(jobs_text(last, "event"), "completed") != 0) {
		err_set(&e, ERR_REFUSED, "%s", jobs_text(last, "error"));
		usage_fail(command, &e);
		return status_of(last);
	}
	printf("The VM %s on the destination; its monitor there is %s\n",
	       json_is_false(json_object_get(last, "running")) ? "is paused" : "runs",
	       jobs_text(there, "qmp"));
	return EXIT_SUCCESS;
}

static int watch(const struct job_seen *job, int json)
{
	struct watch w = {.json = json};
	struct err e = ERR_INIT;
	json_int_t events = jobs_number(job->task, "events");
	int status;

	progress_init(&w.progress, json);
	if (!json)
		fprintf(stderr, "job %s: VM %s to %s\n", jobs_text(job->task, "id"),
			jobs_text(job->task, "vm"), jobs_text(job->task, "target_uri"));
	if (follow(&w, job, json || events == 0 ? 0 : events - 1, &e) < 0)
		status = usage_fail("status", &e);
	else if (json)
		status = status_of(w.last);
	else {
		progress_clear(&w.progress);
		status = tell_end("status", w.last);
	}
	json_decref(w.last);
	return status;
}

int cmd_status(int argc, char **argv)
{
	struct words w = {0};
	struct err e = ERR_INIT;
	struct jobs jobs;
	const struct job_seen *job;
	int status = parse(&w, "status", status_help, 1, argc, argv);

	if (status >= 0)
		return status;
	if (jobs_read(&jobs, &w.o, &e) < 0)
		return usage_fail("status", &e);
	job = jobs_find(&jobs, w.job, &e);
	if (!job) {
		status = usage_fail("status", &e);
	} else if (w.watch) {
		status = watch(job, w.o.json);
	} else {
		status = EXIT_SUCCESS;
		if (w.o.json)
			json_line(job->task);
		else
			print_task(job->task);
	}
	jobs_fini(&jobs);
	return status;
}

/* Tells the job to end, and waits for that. */
static int cancel(const struct job_seen *job, int json)
{
	struct watch w = {.quiet = 1};
	struct err e = ERR_INIT;
	char path[128];
	json_t *answer;
	int status = EXIT_SUCCESS;

	snprintf(path, sizeof(path), "/tasks/%.64s", jobs_text(job->task, "id"));
	if (api_client_ask(job->socket, "DELETE", path, NULL, &answer, &e) < 0)
		return usage_fail("cancel", &e);
	json_decref(answer);
	if (follow(&w, job, jobs_number(job->task, "events"), &e) < 0) {
		status = usage_fail("cancel", &e);
	} else {
		if (json)
			json_line(w.last);
		if (strcmp(jobs_text(w.last, "code"), "cancelled") != 0)
			status = status_of(w.last) == EXIT_UNKNOWN ? EXIT_UNKNOWN : EXIT_FAILURE;
		if (status != EXIT_SUCCESS && !json) {
			err_set(&e, ERR_REFUSED, "it was not cancelled: %s",
				*jobs_text(w.last, "error") ? jobs_text(w.last, "error")
							    : "the VM is on the destination");
			usage_fail("cancel", &e);
		}
		if (status == EXIT_SUCCESS && !json)
			printf("Cancelled: the VM is as it was, on this host.\n");
	}
	json_decref(w.last);
	return status;
}

int cmd_cancel(int argc, char **argv)
{
	struct words w = {0};
	struct err e = ERR_INIT;
	struct jobs jobs;
	const struct job_seen *job;
	int status = parse(&w, "cancel", cancel_help, 0, argc, argv);

	if (status >= 0)
		return status;
	if (!w.job)
		return usage_error("cancel", "JOB is missing; adit jobs lists them");
	if (jobs_read(&jobs, &w.o, &e) < 0)
		return usage_fail("cancel", &e);
	job = jobs_find(&jobs, w.job, &e);
	status = job ? cancel(job, w.o.json) : usage_fail("cancel", &e);
	jobs_fini(&jobs);
	return status;
}
