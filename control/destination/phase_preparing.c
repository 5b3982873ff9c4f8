/*
 * Prepare: the checks, then images, the twin, its monitor, its drives and its settings, one after
 * the other (job_check.c begins, job_prepared.c ends).
 */
#include "control/destination/job_i.h"

static void enter(struct job *j)
{
	log_info(&j->about, "%s: %s, %s, %zu drives, QEMU %s",
		 j->wish.only_check ? "would a VM be taken" : "a VM comes",
		 *j->desc.name ? j->desc.name : "(no name)", j->desc.machine, j->desc.disk_count,
		 j->desc.qemu);
	job_check_start(j);
}

static const struct job_cookie cookies[] = {{COOKIE_ABORT, job_take_abort}, {0}};

static const struct job_event events[] = {{"MIGRATION", job_take_status}, {0}};

const struct job_phase job_phase_preparing = {
    .name = "preparing",
    .to = JOB_TO(READY) | JOB_TO(OVER),
    .is = JOB_COPIES | JOB_RECEIVES | JOB_OPEN | JOB_CLAIMS,
    .enter = enter,
    .deadline = {.none = "a large image is long in the making; the launch hook, and a monitor that "
			 "does not answer, have theirs",
		 .over = job_hook_due},
    .look = job_connect_look,
    .cookies = cookies,
    .events = events,
    .qemu_ready = job_connect_ready,
    .qemu_ended = job_connect_ended,
};
