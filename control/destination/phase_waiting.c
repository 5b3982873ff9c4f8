/*
 * The talk is open, and the source has not said yet what it wants: that a VM is taken, whether it
 * would be, or what became of one.
 */
#include "control/destination/job_i.h"

#include <stdio.h>
#include <string.h>

#include "base/point.h"

enum {
	BEGIN_MS = 15000,   /* from the talk's opening to BEGIN */
	JOBS_MAX = 64,	    /* of a peer: each is processes and memory here */
	JOBS_ALL_MAX = 256, /* of all peers; beyond it, who has less than an equal part */
};

static void begin(struct job *j, const json_t *msg, bool only_check)
{
	struct err e = ERR_INIT;
	const struct job *other;
	unsigned all;

	POINT("d-begin");
	snprintf(j->id, sizeof(j->id), "%s", json_string_value(json_object_get(msg, "job")));
	if (j->service->draining) {
		err_set(&e, ERR_REFUSED,
			"this adit is ending, and takes no more VMs: try again in a while");
		job_fail(j, &e);
		return;
	}
	all = service_count_jobs(j->service);
	if (!shares_admit(&j->service->shares, j->share, all, JOBS_MAX, JOBS_ALL_MAX)) {
		if (j->share->held >= JOBS_MAX)
			err_set(&e, ERR_LIMIT,
				"%d migrations of this peer are under way there, the most allowed: "
				"try again when one has ended",
				JOBS_MAX);
		else
			err_set(&e, ERR_LIMIT,
				"%u migrations are under way there, the most allowed, and of this "
				"peer its part: try again when one has ended",
				all);
		job_fail(j, &e);
		return;
	}
	TAILQ_FOREACH(other, &j->service->jobs, listed)
	{
		if (other != j && strcmp(other->id, j->id) == 0) {
			err_set(&e, ERR_REFUSED, "a job of that id is under way here already");
			job_fail(j, &e);
			return;
		}
	}
	if (vmdesc_parse(&j->desc, (json_t *)msg, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	j->wish.described = true;
	j->wish.dest_qmp = json_string_value(json_object_get(msg, "dest_qmp"));
	j->wish.persistent = json_is_true(json_object_get(msg, "persistent"));
	j->prepare.hook.used = !j->wish.dest_qmp && j->rights->launch_hook;
	j->wish.launched = !j->wish.dest_qmp && !j->prepare.hook.used;
	job_ram_read(j, msg);
	j->wish.only_check = only_check;
	if (job_secrets_take(j, (json_t *)msg, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	job_enter(j, JOB_PREPARING);
}

static void take_begin(struct job *j, const json_t *msg)
{
	begin(j, msg, false);
}

static void take_check(struct job *j, const json_t *msg)
{
	begin(j, msg, true);
}

static void take_recover(struct job *j, const json_t *msg)
{
	snprintf(j->id, sizeof(j->id), "%s", json_string_value(json_object_get(msg, "job")));
	snprintf(j->asked.state, sizeof(j->asked.state), "%s",
		 json_string_value(json_object_get(msg, "state")));
	log_info(&j->about, "the source asks what became of the job (it is in %s itself)",
		 j->asked.state);
	job_enter(j, JOB_ASKED);
}

static void late(struct job *j)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TIMEOUT, "the source opened a job and said nothing");
	job_fail(j, &e);
}

static const struct job_cookie cookies[] = {
    {COOKIE_BEGIN, take_begin},
    {COOKIE_CHECK, take_check},
    {COOKIE_RECOVER, take_recover},
    {0},
};

const struct job_phase job_phase_waiting = {
    .name = "waiting",
    .to = JOB_TO(PREPARING) | JOB_TO(ASKED) | JOB_TO(OVER),
    .is = JOB_COPIES | JOB_RECEIVES | JOB_OPEN | JOB_CLAIMS,
    .deadline = {.ms = BEGIN_MS, .over = late},
    .cookies = cookies,
};
