/*
 * adit serve starts, and goes over the records of one that was killed: what was being prepared is
 * removed, a VM that was to run is seen to, and all else waits for the source's question.
 */
#include "control/destination/job_i.h"

#include <stdlib.h>
#include <string.h>

static bool under_way(const struct service *s, const char *job)
{
	const struct job *j;

	TAILQ_FOREACH(j, &s->jobs, listed)
	if (strcmp(j->id, job) == 0)
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
	enum job_twin_life life;
	bool run = false, done = true;
	struct job *j;

	if (!record) {
		if (err_is_set(&e))
			log_error(&about, "%s", e.text);
		goto out;
	}
	life = job_record_twin(record);
	if (job_record_guarded(record)) {
		done = false;
	} else if (job_record_is(record, "preparing")) {
		log_warn(&about, "removing what a migration has left that was under way when this "
				 "host, or adit's guardian, was ended");
		job_record_clean(s, record);
		journal_remove(journal);
		journal = NULL;
	} else if (life == JOB_TWIN_GONE) {
		job_record_clean_sockets(s, record);
		log_warn(&about, "the VM that came with it has ended, and its source has not said "
				 "that it ended its own: it will ask (adit recover there)");
	} else {
		log_info(&about, "the VM that came with it is here; its source has not said that "
				 "it ended its own");
		run = job_record_is(record, "decided") &&
		      json_is_true(json_object_get(record, "run"));
	}
out:
	json_decref(record);
	journal_close(journal);
	if (!run)
		return done;
	j = job_new_found(s, job);
	if (!j)
		return true;
	job_enter(j, JOB_ASKED);
	return true;
}

void job_recover_list(struct service *s)
{
	struct err e = ERR_INIT;

	if (journal_list(s->config.state_dir, JOURNAL_DESTINATION, &s->found, &e) < 0)
		log_error(NULL, "%s", e.text);
}

bool job_recover_all(struct service *s)
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
