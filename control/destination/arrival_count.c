/* How many arrivals are under way, of each peer and of all. */
#include "control/destination/arrival_i.h"

bool arrival_is_under_way(const struct arrival *a)
{
	return a->state != ARRIVAL_WAITING &&
	       (a->state != ARRIVAL_OVER || a->over.undoes || a->saving.state);
}

unsigned service_count_arrivals(struct service *s)
{
	const struct arrival *a;
	unsigned n = 0;

	shares_reset(&s->shares);
	TAILQ_FOREACH(a, &s->arrivals, listed)
	{
		if (!arrival_is_under_way(a) || a->state == ARRIVAL_ASKED)
			continue;
		n++;
		if (a->share)
			a->share->held++;
	}
	return n;
}
