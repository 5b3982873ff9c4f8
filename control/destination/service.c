/* The destination's arrivals: see service.h. Owned by adit serve. */
#include "control/destination/arrival_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/rights.h"

enum {
	UNDO_MS = 3000,	  /* for the guardians; they go on by themselves */
	SETTLE_MS = 2000, /* for CONFIRM and ENDED of VMs that have come */
	PUT_BACK_MS = 1000,
	TALKS_MAX = 256,      /* of a peer, with no arrival under way: memory */
	TALKS_ALL_MAX = 1024, /* of all peers */
	FOUND_MS = 5000,      /* at the start: for guardians that are still at it */
	FOUND_LOOK_MS = 20,
};

/* Nothing has come of it yet, or nothing is left of it but perhaps a last word. */
static bool is_idle(const struct arrival *a)
{
	return a->state == ARRIVAL_WAITING ||
	       (a->state == ARRIVAL_OVER && !a->over.undoes && !a->saving.state);
}

static void give_way(struct arrival *oldest, unsigned of, const char *why)
{
	log_warn(&oldest->about, "a talk without a job gives way, the oldest of %u: %s", of, why);
	if (oldest->talk)
		talk_end(oldest->talk, why);
	arrival_free(oldest);
}

static struct arrival *oldest_idle(const struct service *s, const struct share *of)
{
	struct arrival *a;

	TAILQ_FOREACH(a, &s->arrivals, listed)
	if (a->share == of && is_idle(a))
		return a;
	return NULL;
}

/* Talks without an arrival under way are bounded, a peer's and all: the oldest of the peer that has
 * the most gives way to the new one, of own, which may be the question that a guest waits for. */
static void make_room(struct service *s, struct share *own)
{
	struct share *most;
	unsigned all = 0;
	struct arrival *a;

	shares_reset(&s->shares);
	TAILQ_FOREACH(a, &s->arrivals, listed)
	{
		if (!a->share || !is_idle(a))
			continue;
		all++;
		a->share->held++;
	}
	if (own->held > TALKS_MAX) {
		give_way(oldest_idle(s, own), own->held,
			 "too many jobs of this peer that say nothing");
	} else if (all > TALKS_ALL_MAX) {
		most = shares_fullest(&s->shares, own);
		give_way(oldest_idle(s, most), most->held, "too many jobs that say nothing");
	}
}

static void on_stream(void *ctx, struct session *session, struct stream *stream,
		      enum stream_class class, const char *target)
{
	struct service *s = ctx;
	struct log_ctx about = {.peer = session_peer(session), .stream = stream_id(stream)};
	char section[280], reason[STREAM_REASON_MAX];
	struct arrival *a;

	(void)target;
	if (!s->open || !router_rights(s->router, session)->migrate) {
		log_warn(&about,
			 "refused: a migration, which is not allowed here (--allow-migrate, or "
			 "migrate = yes in adit.conf, %s)",
			 rights_section(about.peer, section, sizeof(section)));
		snprintf(reason, sizeof(reason),
			 "migrations are not allowed there: start the destination's adit serve "
			 "with --allow-migrate, or with migrate = yes in its adit.conf, %s",
			 section);
		stream_refuse(stream, CODE_REFUSED, reason);
		return;
	}
	if (class != STREAM_CONTROL) {
		stream_refuse(stream, CODE_PROTOCOL, "a job's talk is of class control");
		return;
	}
	a = arrival_new(s, session, stream);
	if (a)
		make_room(s, a->share);
}

struct service *service_new(struct event_base *base, struct router *router,
			    const struct service_config *config, struct err *e)
{
	struct service *s = calloc(1, sizeof(*s));

	if (!s) {
		err_set(e, ERR_SPACE, "no memory for the migration service");
		return NULL;
	}
	s->base = base;
	s->router = router;
	s->config = *config;
	TAILQ_INIT(&s->arrivals);
	TAILQ_INIT(&s->shares);
	s->leftovers = leftovers_new(base, e);
	if (!s->leftovers) {
		free(s);
		return NULL;
	}
	s->vms = vms_new(s->leftovers);
	if (!s->vms)
		err_set(e, ERR_SPACE, "no memory for the migration service");
	else if (router_add_service(router, "migrate", on_stream, s, e) == 0)
		return s;
	vms_free(s->vms);
	leftovers_free(s->leftovers);
	free(s);
	return NULL;
}

static void on_found(evutil_socket_t fd, short what, void *ctx)
{
	static const struct timeval soon = {.tv_usec = FOUND_LOOK_MS * 1000};
	struct service *s = ctx;

	(void)fd;
	(void)what;
	if (arrival_recover_all(s) && clock_ms() < s->found_until_ms)
		event_add(s->ev_found, &soon);
	else
		vms_sweep(s->config.run_dir);
}

int service_open(struct service *s, bool live, struct err *e)
{
	if (s->open)
		return 0;
	if (journal_host_id(s->config.state_dir, s->host, e) < 0)
		return e->code;
	s->ev_found = evtimer_new(s->base, on_found, s);
	if (!s->ev_found)
		return err_set(e, ERR_SPACE, "no memory for the migration service");
	arrival_recover_list(s);
	s->found_until_ms = clock_ms() + FOUND_MS;
	s->open = true;
	if (live) {
		on_found(-1, 0, s);
		return 0;
	}
	while (arrival_recover_all(s) && clock_ms() < s->found_until_ms)
		usleep(FOUND_LOOK_MS * 1000);
	vms_sweep(s->config.run_dir);
	return 0;
}

void service_drain(struct service *s)
{
	s->draining = true;
}

unsigned service_arrivals(const struct service *s)
{
	const struct arrival *a;
	unsigned n = 0;

	TAILQ_FOREACH(a, &s->arrivals, listed)
	n += arrival_is_under_way(a);
	return n;
}

bool service_has_session(const struct service *s, const struct session *session)
{
	const struct arrival *a;

	TAILQ_FOREACH(a, &s->arrivals, listed)
	if (a->session == session && (a->state == ARRIVAL_WAITING || arrival_is_under_way(a) ||
				      (a->talk && !talk_flushed(a->talk))))
		return true;
	return false;
}

/* Whether an arrival is to be waited for, ms after the end has begun: guardians, QEMUs that are put
 * back, last words, and VMs that have come and are about to be confirmed. */
static bool is_at_it(const struct arrival *a, uint64_t ms)
{
	if (a->over.undoes & ARRIVAL_UNDO_GUARDIAN)
		return ms < UNDO_MS;
	if (!arrival_is(a, ARRIVAL_OPEN) && a->state != ARRIVAL_OVER && a->talk && a->session &&
	    !a->postcopy)
		return ms < SETTLE_MS;
	return ms < PUT_BACK_MS &&
	       (a->over.undoes & ARRIVAL_UNDO_QEMU || (a->talk && !talk_flushed(a->talk)));
}

void service_free(struct service *s)
{
	uint64_t begun_ms = clock_ms();
	struct err e = ERR_INIT;
	struct arrival *a;
	bool waits = true;

	if (!s)
		return;
	err_set(&e, ERR_CANCELLED, "adit serve was stopped on the destination");
	TAILQ_FOREACH(a, &s->arrivals, listed)
	arrival_fail(a, &e);
	while (waits) {
		uint64_t ms = clock_ms() - begun_ms;

		waits = false;
		TAILQ_FOREACH(a, &s->arrivals, listed)
		waits = waits || is_at_it(a, ms);
		if (waits && event_base_loop(s->base, EVLOOP_ONCE | EVLOOP_NONBLOCK) == 0)
			usleep(500);
	}
	while ((a = TAILQ_FIRST(&s->arrivals)))
		arrival_free(a);
	vms_free(s->vms);
	leftovers_free(s->leftovers);
	json_decref(s->probes);
	if (s->ev_found)
		event_free(s->ev_found);
	strvec_fini(&s->found);
	router_remove_service(s->router, "migrate");
	free(s);
}
