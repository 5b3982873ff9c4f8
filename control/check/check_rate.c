/* The guest's dirty rate against the path: see check_rate.h. No I/O. */
#include "control/check/check_rate.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/size.h"

/* Above this share of the bandwidth each pass over RAM hardly shrinks. */
enum { TIGHT_PERCENT = 80 };

static char *duration(uint64_t s, char *buf, size_t size)
{
	if (s < 120)
		snprintf(buf, size, "%" PRIu64 " s", s);
	else if (s < 7200)
		snprintf(buf, size, "%" PRIu64 " min", (s + 30) / 60);
	else
		snprintf(buf, size, "%" PRIu64 " h", (s + 1800) / 3600);
	return buf;
}

/* Passes over RAM, each of what the guest wrote during the one before: a geometric series,
 * memory / (bandwidth - dirty). */
static void check_duration(struct check *c, const struct check_rate *r, uint64_t dirty)
{
	char disks[24], memory[24], rate[24], time[32];
	uint64_t s = r->disks / r->bandwidth + r->memory / (r->bandwidth - dirty) + 1;

	check_add(c, CHECK_OK, "duration", NULL,
		  "about %s at most for %s of disks and %s of RAM at %s/s",
		  duration(s, time, sizeof(time)), size_format(r->disks, disks, sizeof(disks)),
		  size_format(r->memory, memory, sizeof(memory)),
		  size_format(r->bandwidth, rate, sizeof(rate)));
}

void check_rate(struct check *c, const struct check_rate *r)
{
	uint64_t dirty = r->still ? 0 : r->dirty;
	/* What may be left when the guest is stopped goes over in the time that it may stand
	 * still: a guest that rewrites less than that in all converges at any rate. */
	bool small = (double)r->memory * 1000 <= (double)r->bandwidth * (double)r->downtime_ms;
	char text[24], have[24];

	size_format(dirty, text, sizeof(text));
	size_format(r->bandwidth, have, sizeof(have));
	if (r->still)
		check_add(c, CHECK_OK, "dirty-rate", NULL,
			  "the guest stands still: nothing is written anew");
	else
		check_add(c, CHECK_OK, "dirty-rate", NULL, "the guest writes %s/s of RAM anew",
			  text);
	if (!r->bandwidth) {
		check_add(c, CHECK_OK, "convergence", NULL,
			  "not known without --max-bandwidth: it converges where the path carries "
			  "more than %s/s",
			  text);
		check_add(c, CHECK_OK, "duration", NULL, "not known without --max-bandwidth");
		return;
	}
	if (dirty >= r->bandwidth && !small) {
		check_add(
		    c, r->helped ? CHECK_WARNING : CHECK_ERROR, "convergence",
		    r->helped
			? NULL
			: "give it more bandwidth, --auto-converge, --postcopy, --offline, or "
			  "--timeout with --on-timeout suspend",
		    "it does not converge by itself: the guest writes %s/s of RAM anew, and "
		    "%s/s can go over",
		    text, have);
		check_add(c, CHECK_OK, "duration", NULL, "not known: it does not converge");
		return;
	}
	if (dirty >= r->bandwidth / 100 * TIGHT_PERCENT && !small)
		check_add(c, CHECK_WARNING, "convergence",
			  "give it more bandwidth, or --auto-converge",
			  "it hardly converges: the guest writes %s/s of RAM anew, and %s/s can go "
			  "over",
			  text, have);
	else
		check_add(c, CHECK_OK, "convergence", NULL,
			  "it converges: %s/s are written anew, %s/s can go over", text, have);
	check_duration(c, r, small && dirty >= r->bandwidth ? 0 : dirty);
}
