/*
 * The destination's word that the VM runs there, in Finish or when it was asked for again: what
 * follows from it, and how long ago that was.
 */
#include "control/source/migrate_i.h"

#include <string.h>

#include "base/clock.h"
#include "base/point.h"

static uint64_t us(const json_t *msg, const char *key, uint64_t most)
{
	json_int_t v = json_integer_value(json_object_get(msg, key));

	return v <= 0 ? 0 : (uint64_t)v < most ? (uint64_t)v : most;
}

/* How long the VM has run there by now. The two hosts' clocks are strangers to each other, so each
 * tells what passed by its own: of the time since FINISH what it was not held there was on the
 * way, half of it back. (The session's round trip is of another moment, and may be ten times as
 * long on a line that is full.) In a word that was asked for again there is no more than that. */
static uint64_t word_us(const struct migrate *m, const json_t *msg)
{
	struct session_stats st = {0};
	uint64_t round_us = clock_us() - m->finish.said_us;

	if (m->finish.said_us && json_object_get(msg, "held_us"))
		return (round_us - us(msg, "held_us", round_us)) / 2 + us(msg, "ran_us", INT32_MAX);
	if (m->link.session)
		session_stats(m->link.session, &st);
	return st.rtt_us / 2;
}

void migrate_runs_there(struct migrate *m, const json_t *msg)
{
	POINT("s-finished");
	if (!m->times.running_there_ms) {
		m->times.running_there_ms = clock_ms();
		m->times.word_ms = word_us(m, msg) / 1000;
	}
	/* (In postcopy its devices may be loading: it is made to run once it has them.) */
	if (m->guest.was_running && !json_is_true(json_object_get(msg, "runs")) &&
	    !json_is_true(json_object_get(msg, "postcopy")))
		migrate_note(m, "the destination holds the VM in state %s",
			     json_string_value(json_object_get(msg, "status")));
	migrate_enter(m, m->postcopy.pages == MIG_PAGES_FLOW ? MIGRATE_PAGING : MIGRATE_CONFIRM);
}

void migrate_ask_settled(struct migrate *m)
{
	m->ask.since_ms = 0;
	memset(m->ask.said, 0, sizeof(m->ask.said));
}
