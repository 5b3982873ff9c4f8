/* Both know that the VM is here: the source's ends, which is awaited. */
#include "control/destination/arrival_i.h"

#include "base/point.h"

static void enter(struct arrival *a)
{
	arrival_say(a, cookie_new(COOKIE_CONFIRMED, a->id));
}

static void take_ended(struct arrival *a, const json_t *msg)
{
	POINT("d-ended");
	log_info(&a->about, "the migration is over: the VM is here, the source's %s",
		 json_string_value(json_object_get(msg, "source")));
	arrival_ram_drop(a, "the migration is over");
	arrival_record_clean_sockets(a->service,
				     a->record); /* of an adit serve that was killed, too */
	arrival_record_remove(a);
	arrival_over(a);
}

static void late(struct arrival *a)
{
	log_info(&a->about, "the source has not said that its VM has ended; the VM is here");
	arrival_leave_to_journal(a, "the source has not said in time that its VM has ended");
}

static void talk_ended(struct arrival *a, const struct err *why)
{
	log_info(&a->about,
		 "the source went away before it said that its VM has ended (%s); the VM runs here",
		 why->text);
	arrival_over_at_once(a);
}

static const struct arrival_cookie cookies[] = {{COOKIE_ENDED, take_ended}, {0}};

static const struct arrival_event events[] = {{"MIGRATION", arrival_take_status}, {0}};

const struct arrival_phase arrival_phase_confirmed = {
    .name = "confirmed",
    .to = ARRIVAL_TO(OVER),
    .enter = enter,
    .deadline = {.ms = ARRIVAL_CONFIRM_MS, .over = late},
    .cookies = cookies,
    .events = events,
    .talk_ended = talk_ended,
};
