/* The exports are closed, which is said: the last of RAM comes, and the devices. */
#include "control/destination/job_i.h"

#include "base/point.h"

enum {
	/* From there to FINISH. A source that is not honest is not to hold a twin for ever. An
	 * honest one, whose guest stands still, mostly gives up long before (migrate_watch.c);
	 * where its own limit is a longer one (--downtime-limit above 348 s, or a big backlog of a
	 * guest that was suspended) this one may be the first: it ends as the other would, the
	 * guest goes on at the source. */
	CLOSED_MS = 3600000,
};

static void enter(struct job *j)
{
	POINT("d-closed");
	job_say(j, cookie_new(COOKIE_DISKS_CLOSED, j->id));
}

static void late(struct job *j)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TIMEOUT,
		"the source has not said in time that it has sent the last of the VM");
	job_fail(j, &e);
}

static const struct job_cookie cookies[] = {
    {COOKIE_ABORT, job_take_abort},
    {COOKIE_FINISH, job_take_finish},
    {0},
};

static const struct job_event events[] = {{"MIGRATION", job_take_migration}, {0}};

const struct job_phase job_phase_closed = {
    .name = "closed",
    .to = JOB_TO(FINISHING) | JOB_TO(OVER),
    .is = JOB_RECEIVES | JOB_OPEN | JOB_CLAIMS,
    .enter = enter,
    .deadline = {.ms = CLOSED_MS, .point = "closed", .over = late},
    .cookies = cookies,
    .events = events,
    .fail = job_fail_or_finish,
    .talk_ended = job_source_gone,
    .qemu_ended = job_qemu_gone,
};
