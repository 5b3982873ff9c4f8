/*
 * Prepare: the checks, then images, the twin, its monitor, its drives and its settings, one after
 * the other (arrival_check.c begins, arrival_prepared.c ends).
 */
#include "control/destination/arrival_i.h"

static void enter(struct arrival *a)
{
	log_info(&a->about, "%s: %s, %s, %zu drives, QEMU %s",
		 a->wish.only_check ? "would a VM be taken" : "a VM comes",
		 *a->desc.name ? a->desc.name : "(no name)", a->desc.machine, a->desc.disk_count,
		 a->desc.qemu);
	arrival_check_start(a);
}

static const struct arrival_cookie cookies[] = {{COOKIE_ABORT, arrival_take_abort}, {0}};

static const struct arrival_event events[] = {{"MIGRATION", arrival_take_status}, {0}};

const struct arrival_phase arrival_phase_preparing = {
    .name = "preparing",
    .to = ARRIVAL_TO(READY) | ARRIVAL_TO(OVER),
    .is = ARRIVAL_COPIES | ARRIVAL_RECEIVES | ARRIVAL_OPEN | ARRIVAL_CLAIMS,
    .enter = enter,
    .deadline = {.none = "a large image is long in the making; the launch hook, and a monitor that "
			 "does not answer, have theirs",
		 .over = arrival_hook_due},
    .look = arrival_connect_look,
    .cookies = cookies,
    .events = events,
    .qemu_ready = arrival_connect_ready,
    .qemu_ended = arrival_connect_ended,
};
