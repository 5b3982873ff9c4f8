/*
 * The talk is open, and the source has not said yet what it wants: that a VM is taken, whether it
 * would be, or what became of one.
 */
#include "control/destination/arrival_i.h"

#include <stdio.h>
#include <string.h>

#include "base/point.h"

enum {
	BEGIN_MS = 15000,	/* from the talk's opening to BEGIN */
	ARRIVALS_MAX = 64,	/* of a peer: each is processes and memory here */
	ARRIVALS_ALL_MAX = 256, /* of all peers; beyond it, who has less than an equal part */
};

static void begin(struct arrival *a, const json_t *msg, bool only_check)
{
	struct err e = ERR_INIT;
	const struct arrival *other;
	unsigned all;

	POINT("d-begin");
	snprintf(a->id, sizeof(a->id), "%s", json_string_value(json_object_get(msg, "job")));
	if (a->service->draining) {
		err_set(&e, ERR_REFUSED,
			"this adit is ending, and takes no more VMs: try again in a while");
		arrival_fail(a, &e);
		return;
	}
	all = service_count_arrivals(a->service);
	if (!shares_admit(&a->service->shares, a->share, all, ARRIVALS_MAX, ARRIVALS_ALL_MAX)) {
		if (a->share->held >= ARRIVALS_MAX)
			err_set(&e, ERR_LIMIT,
				"%d migrations of this peer are under way there, the most allowed: "
				"try again when one has ended",
				ARRIVALS_MAX);
		else
			err_set(&e, ERR_LIMIT,
				"%u migrations are under way there, the most allowed, and of this "
				"peer its part: try again when one has ended",
				all);
		arrival_fail(a, &e);
		return;
	}
	TAILQ_FOREACH(other, &a->service->arrivals, listed)
	{
		if (other != a && strcmp(other->id, a->id) == 0) {
			err_set(&e, ERR_REFUSED, "a job of that id is under way here already");
			arrival_fail(a, &e);
			return;
		}
	}
	if (vmdesc_parse(&a->desc, (json_t *)msg, &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	a->wish.described = true;
	a->wish.dest_qmp = json_string_value(json_object_get(msg, "dest_qmp"));
	a->wish.persistent = json_is_true(json_object_get(msg, "persistent"));
	a->prepare.hook.used = !a->wish.dest_qmp && a->rights->launch_hook;
	a->wish.launched = !a->wish.dest_qmp && !a->prepare.hook.used;
	arrival_ram_read(a, msg);
	a->wish.only_check = only_check;
	if (arrival_secrets_take(a, (json_t *)msg, &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	arrival_enter(a, ARRIVAL_PREPARING);
}

static void take_begin(struct arrival *a, const json_t *msg)
{
	begin(a, msg, false);
}

static void take_check(struct arrival *a, const json_t *msg)
{
	begin(a, msg, true);
}

static void take_recover(struct arrival *a, const json_t *msg)
{
	snprintf(a->id, sizeof(a->id), "%s", json_string_value(json_object_get(msg, "job")));
	snprintf(a->asked.state, sizeof(a->asked.state), "%s",
		 json_string_value(json_object_get(msg, "state")));
	log_info(&a->about, "the source asks what became of the job (it is in %s itself)",
		 a->asked.state);
	arrival_enter(a, ARRIVAL_ASKED);
}

static void late(struct arrival *a)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TIMEOUT, "the source opened a job and said nothing");
	arrival_fail(a, &e);
}

static const struct arrival_cookie cookies[] = {
    {COOKIE_BEGIN, take_begin},
    {COOKIE_CHECK, take_check},
    {COOKIE_RECOVER, take_recover},
    {0},
};

const struct arrival_phase arrival_phase_waiting = {
    .name = "waiting",
    .to = ARRIVAL_TO(PREPARING) | ARRIVAL_TO(ASKED) | ARRIVAL_TO(OVER),
    .is = ARRIVAL_COPIES | ARRIVAL_RECEIVES | ARRIVAL_OPEN | ARRIVAL_CLAIMS,
    .deadline = {.ms = BEGIN_MS, .over = late},
    .cookies = cookies,
};
