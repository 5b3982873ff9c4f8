/* PREPARED was said: disk and RAM streams come and flow, while the guest runs at the source. */
#include "control/destination/job_i.h"

static void take_disks_done(struct job *j, const json_t *msg)
{
	(void)msg;
	if (j->disk_count)
		job_enter(j, JOB_CLOSING);
	else
		job_out_of_order(j, COOKIE_DISKS_DONE);
}

/* Without disks there is nothing to close. */
static void take_finish(struct job *j, const json_t *msg)
{
	if (!j->disk_count)
		job_take_finish(j, msg);
	else
		job_out_of_order(j, COOKIE_FINISH);
}

static const struct job_cookie cookies[] = {
    {COOKIE_ABORT, job_take_abort},
    {COOKIE_DISKS_DONE, take_disks_done},
    {COOKIE_FINISH, take_finish},
    {0},
};

static const struct job_event events[] = {{"MIGRATION", job_take_migration}, {0}};

const struct job_phase job_phase_ready = {
    .name = "ready",
    .to = JOB_TO(CLOSING) | JOB_TO(FINISHING) | JOB_TO(OVER),
    .is = JOB_COPIES | JOB_RECEIVES | JOB_OPEN | JOB_CLAIMS,
    .deadline = {.none = "copying takes as long as its source likes (--timeout there); its end, or "
			 "its host's, ends the session"},
    .cookies = cookies,
    .events = events,
    .stream = job_take_disk_or_ram,
    .fail = job_fail_or_finish,
    .talk_ended = job_source_gone,
    .qemu_ended = job_qemu_gone,
};
