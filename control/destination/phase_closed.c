/* The exports are closed, which is said: the last of RAM comes, and the devices. */
#include "control/destination/arrival_i.h"

#include "base/point.h"

enum {
	/* From there to FINISH. A source that is not honest is not to hold a twin for ever. An
	 * honest one, whose guest stands still, mostly gives up long before (migrate_watch.c);
	 * where its own limit is a longer one (--downtime-limit above 348 s, or a big backlog of a
	 * guest that was suspended) this one may be the first: it ends as the other would, the
	 * guest goes on at the source. */
	CLOSED_MS = 3600000,
};

static void enter(struct arrival *a)
{
	POINT("d-closed");
	arrival_say(a, cookie_new(COOKIE_DISKS_CLOSED, a->id));
}

static void late(struct arrival *a)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TIMEOUT,
		"the source has not said in time that it has sent the last of the VM");
	arrival_fail(a, &e);
}

static const struct arrival_cookie cookies[] = {
    {COOKIE_ABORT, arrival_take_abort},
    {COOKIE_FINISH, arrival_take_finish},
    {0},
};

static const struct arrival_event events[] = {{"MIGRATION", arrival_take_migration}, {0}};

const struct arrival_phase arrival_phase_closed = {
    .name = "closed",
    .to = ARRIVAL_TO(FINISHING) | ARRIVAL_TO(OVER),
    .is = ARRIVAL_RECEIVES | ARRIVAL_OPEN | ARRIVAL_CLAIMS,
    .enter = enter,
    .deadline = {.ms = CLOSED_MS, .point = "closed", .over = late},
    .cookies = cookies,
    .events = events,
    .fail = arrival_fail_or_finish,
    .talk_ended = arrival_source_gone,
    .qemu_ended = arrival_qemu_gone,
};
