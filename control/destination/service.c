/* The destination's jobs: see service.h. Owned by adit serve. */
#include "control/destination/job_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/rights.h"

enum {
	UNDO_MS = 3000,	  /* for the guardians; they go on by themselves */
	SETTLE_MS = 2000, /* for CONFIRM and ENDED of VMs that have come */
	PUT_BACK_MS = 1000,
	TALKS_MAX = 256,      /* of a peer, with no job under way: memory */
	TALKS_ALL_MAX = 1024, /* of all peers */
	FOUND_MS = 5000,      /* at the start: for guardians that are still at it */
	FOUND_LOOK_MS = 20,
};

/* Nothing has come of it yet, or nothing is left of it but perhaps a last word. */
static bool is_idle(const struct job *j)
{
	return j->state == JOB_WAITING ||
	       (j->state == JOB_OVER && !j->over.undoes && !j->saving.state);
}

static void give_way(struct job *oldest, unsigned of, const char *why)
{
	log_warn(&oldest->about, "a talk without a job gives way, the oldest of %u: %s", of, why);
	if (oldest->talk)
		talk_end(oldest->talk, why);
	job_free(oldest);
}

static struct job *oldest_idle(const struct service *s, const struct share *of)
{
	struct job *j;

	TAILQ_FOREACH(j, &s->jobs, listed)
	if (j->share == of && is_idle(j))
		return j;
	return NULL;
}

/* Talks without a job under way are bounded, a peer's and all: the oldest of the peer that has the
 * most gives way to the new one, of own, which may be the question that a guest waits for. */
static void make_room(struct service *s, struct share *own)
{
	struct share *most;
	unsigned all = 0;
	struct job *j;

	shares_reset(&s->shares);
	TAILQ_FOREACH(j, &s->jobs, listed)
	{
		if (!j->share || !is_idle(j))
			continue;
		all++;
		j->share->held++;
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
	struct job *j;

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
	j = job_new(s, session, stream);
	if (j)
		make_room(s, j->share);
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
	TAILQ_INIT(&s->jobs);
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
	if (job_recover_all(s) && clock_ms() < s->found_until_ms)
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
	job_recover_list(s);
	s->found_until_ms = clock_ms() + FOUND_MS;
	s->open = true;
	if (live) {
		on_found(-1, 0, s);
		return 0;
	}
	while (job_recover_all(s) && clock_ms() < s->found_until_ms)
		usleep(FOUND_LOOK_MS * 1000);
	vms_sweep(s->config.run_dir);
	return 0;
}

void service_drain(struct service *s)
{
	s->draining = true;
}

unsigned service_jobs(const struct service *s)
{
	const struct job *j;
	unsigned n = 0;

	TAILQ_FOREACH(j, &s->jobs, listed)
	n += job_is_under_way(j);
	return n;
}

bool service_has_session(const struct service *s, const struct session *session)
{
	const struct job *j;

	TAILQ_FOREACH(j, &s->jobs, listed)
	if (j->session == session &&
	    (j->state == JOB_WAITING || job_is_under_way(j) || (j->talk && !talk_flushed(j->talk))))
		return true;
	return false;
}

/* Whether a job is to be waited for, ms after the end has begun: guardians, QEMUs that are put
 * back, last words, and VMs that have come and are about to be confirmed. */
static bool is_at_it(const struct job *j, uint64_t ms)
{
	if (j->over.undoes & JOB_UNDO_GUARDIAN)
		return ms < UNDO_MS;
	if (!job_is(j, JOB_OPEN) && j->state != JOB_OVER && j->talk && j->session && !j->postcopy)
		return ms < SETTLE_MS;
	return ms < PUT_BACK_MS &&
	       (j->over.undoes & JOB_UNDO_QEMU || (j->talk && !talk_flushed(j->talk)));
}

void service_free(struct service *s)
{
	uint64_t begun_ms = clock_ms();
	struct err e = ERR_INIT;
	struct job *j;
	bool waits = true;

	if (!s)
		return;
	err_set(&e, ERR_CANCELLED, "adit serve was stopped on the destination");
	TAILQ_FOREACH(j, &s->jobs, listed)
	job_fail(j, &e);
	while (waits) {
		uint64_t ms = clock_ms() - begun_ms;

		waits = false;
		TAILQ_FOREACH(j, &s->jobs, listed)
		waits = waits || is_at_it(j, ms);
		if (waits && event_base_loop(s->base, EVLOOP_ONCE | EVLOOP_NONBLOCK) == 0)
			usleep(500);
	}
	while ((j = TAILQ_FIRST(&s->jobs)))
		job_free(j);
	vms_free(s->vms);
	leftovers_free(s->leftovers);
	json_decref(s->probes);
	if (s->ev_found)
		event_free(s->ev_found);
	strvec_fini(&s->found);
	router_remove_service(s->router, "migrate");
	free(s);
}
