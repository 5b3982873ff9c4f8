/* Both know that the VM is here: the source's ends, which is awaited. */
#include "control/destination/job_i.h"

#include "base/point.h"

static void enter(struct job *j)
{
	job_say(j, cookie_new(COOKIE_CONFIRMED, j->id));
}

static void take_ended(struct job *j, const json_t *msg)
{
	POINT("d-ended");
	log_info(&j->about, "the migration is over: the VM is here, the source's %s",
		 json_string_value(json_object_get(msg, "source")));
	job_ram_drop(j, "the migration is over");
	job_record_clean_sockets(j->service, j->record); /* of an adit serve that was killed, too */
	job_record_remove(j);
	job_over(j);
}

static void late(struct job *j)
{
	log_info(&j->about, "the source has not said that its VM has ended; the VM is here");
	job_leave_to_journal(j, "the source has not said in time that its VM has ended");
}

static void talk_ended(struct job *j, const struct err *why)
{
	log_info(&j->about,
		 "the source went away before it said that its VM has ended (%s); the VM runs here",
		 why->text);
	job_over_at_once(j);
}

static const struct job_cookie cookies[] = {{COOKIE_ENDED, take_ended}, {0}};

static const struct job_event events[] = {{"MIGRATION", job_take_status}, {0}};

const struct job_phase job_phase_confirmed = {
    .name = "confirmed",
    .to = JOB_TO(OVER),
    .enter = enter,
    .deadline = {.ms = JOB_CONFIRM_MS, .over = late},
    .cookies = cookies,
    .events = events,
    .talk_ended = talk_ended,
};
