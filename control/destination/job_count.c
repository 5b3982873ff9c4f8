/* How many jobs are under way, of each peer and of all. */
#include "control/destination/job_i.h"

bool job_is_under_way(const struct job *j)
{
	return j->state != JOB_WAITING &&
	       (j->state != JOB_OVER || j->over.undoes || j->saving.state);
}

unsigned service_count_jobs(struct service *s)
{
	const struct job *j;
	unsigned n = 0;

	shares_reset(&s->shares);
	TAILQ_FOREACH(j, &s->jobs, listed)
	{
		if (!job_is_under_way(j) || j->state == JOB_ASKED)
			continue;
		n++;
		if (j->share)
			j->share->held++;
	}
	return n;
}
