/*
 * adit serve starts, and goes over the records of one that was killed: what was being prepared is
 * removed, a VM that was to run is seen to, and all else waits for the source's question.
 */
#include "control/destination/arrival_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool under_way(const struct service *s, const char *job)
{
	const struct arrival *a;

	TAILQ_FOREACH(a, &s->arrivals, listed)
	if (strcmp(a->id, job) == 0)
		return true;
	return false;
}

/* True when the record of job is dealt with, or is to be left as it is; false when its
 * guardian is still at it. */
static bool go_over(struct service *s, const char *job)
{
	struct log_ctx about = {.job = job};
	struct err e = ERR_INIT;
	struct journal *journal = journal_open(s->config.state_dir, JOURNAL_DESTINATION, job, &e);
	json_t *record = journal ? journal_read(journal, &e) : NULL;
	enum arrival_twin_life life;
	bool run = false, done = true;
	const char *peer;
	struct arrival *a;

	if (!record) {
		if (err_is_set(&e))
			log_error(&about, "%s", e.text);
		goto out;
	}
	life = arrival_record_twin(record);
	if (arrival_record_guarded(record)) {
		done = false;
	} else if (arrival_record_is(record, "preparing")) {
		log_warn(&about, "removing what a migration has left that was under way when this "
				 "host, or adit's guardian, was ended");
		arrival_record_clean(s, record);
		journal_remove(journal);
		journal = NULL;
	} else if (life == ARRIVAL_TWIN_GONE) {
		arrival_record_clean_sockets(s, record);
		log_warn(&about, "the VM that came with it has ended, and its source has not said "
				 "that it ended its own: it will ask (adit recover there)");
	} else {
		log_info(&about, "the VM that came with it is here; its source has not said that "
				 "it ended its own");
		run = arrival_record_is(record, "decided") &&
		      json_is_true(json_object_get(record, "run"));
	}
out:
	journal_close(journal);
	a = run ? arrival_new_found(s, job) : NULL;
	if (a) {
		/* Another peer that asks for it does not get it, nor the twin's only monitor. */
		peer = json_string_value(json_object_get(record, "peer"));
		snprintf(a->peer, sizeof(a->peer), "%s", peer ? peer : "");
		arrival_enter(a, ARRIVAL_ASKED);
	}
	json_decref(record);
	return done;
}

void arrival_recover_list(struct service *s)
{
	struct err e = ERR_INIT;

	if (journal_list(s->config.state_dir, JOURNAL_DESTINATION, &s->found, &e) < 0)
		log_error(NULL, "%s", e.text);
}

bool arrival_recover_all(struct service *s)
{
	size_t left = 0;

	for (size_t i = 0; i < s->found.count; i++) {
		char *job = s->found.at[i];

		/* One that its source has asked for meanwhile is in hands already. */
		if (under_way(s, job) || go_over(s, job))
			free(job);
		else
			s->found.at[left++] = job;
	}
	s->found.count = left;
	if (s->found.at)
		s->found.at[left] = NULL;
	return left > 0;
}
