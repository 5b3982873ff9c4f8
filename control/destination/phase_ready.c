/* PREPARED was said: disk and RAM streams come and flow, while the guest runs at the source. */
#include "control/destination/arrival_i.h"

static void take_disks_done(struct arrival *a, const json_t *msg)
{
	(void)msg;
	if (a->disk_count)
		arrival_enter(a, ARRIVAL_CLOSING);
	else
		arrival_out_of_order(a, COOKIE_DISKS_DONE);
}

/* Without disks there is nothing to close. */
static void take_finish(struct arrival *a, const json_t *msg)
{
	if (!a->disk_count)
		arrival_take_finish(a, msg);
	else
		arrival_out_of_order(a, COOKIE_FINISH);
}

static const struct arrival_cookie cookies[] = {
    {COOKIE_ABORT, arrival_take_abort},
    {COOKIE_DISKS_DONE, take_disks_done},
    {COOKIE_FINISH, take_finish},
    {0},
};

static const struct arrival_event events[] = {{"MIGRATION", arrival_take_migration}, {0}};

const struct arrival_phase arrival_phase_ready = {
    .name = "ready",
    .to = ARRIVAL_TO(CLOSING) | ARRIVAL_TO(FINISHING) | ARRIVAL_TO(OVER),
    .is = ARRIVAL_COPIES | ARRIVAL_RECEIVES | ARRIVAL_OPEN | ARRIVAL_CLAIMS,
    .deadline = {.none = "copying takes as long as its source likes (--timeout there); its end, or "
			 "its host's, ends the session"},
    .cookies = cookies,
    .events = events,
    .stream = arrival_take_disk_or_ram,
    .fail = arrival_fail_or_finish,
    .talk_ended = arrival_source_gone,
    .qemu_ended = arrival_qemu_gone,
};
