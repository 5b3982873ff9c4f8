/*
 * A migration on its destination: see arrival_i.h for its rooms, docs/phases.md for the
 * picture of its phases, arrival_phase.h for what one is.
 *
 * How it works. An arrival begins with a stream to "migrate" and lives as long as that
 * talk; its streams come to the router under "job:ID" and are taken only from the
 * very session that the talk came over. Until the decision everything is undone
 * when anything fails: by the arrival itself (arrival_fail), or by its guardian when adit
 * serve is gone. The decision is written to the journal; then the guardian is
 * dismissed, and from then on the VM is this host's. The source is told so, and asks
 * again (phase_asked.c) where that word was lost. The record goes when the source's own
 * VM has ended.
 */
#include "control/destination/arrival_i.h"

#include <stdio.h>
#include <stdlib.h>

/* An arrival that waits; NULL when memory is short. */
static struct arrival *make(struct service *s)
{
	struct arrival *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->service = s;
	a->phases = arrival_phases;
	a->rights = rights_none();
	a->prepare.scratch_fd = a->prepare.hook.in = a->prepare.hook.out = -1;
	a->qemu.log_fd = a->nbd.fd = -1;
	a->about.peer = a->peer;
	a->about.job = a->id;
	TAILQ_INSERT_TAIL(&s->arrivals, a, listed);
	a->saving.ev = evtimer_new(s->base, arrival_record_due, a);
	a->runs.ev_arrive = evtimer_new(s->base, arrival_runs_due, a);
	a->over.ev_reap = evtimer_new(s->base, arrival_reap_due, a);
	if (arrival_core_init(a, s->base) == 0 && a->saving.ev && a->runs.ev_arrive &&
	    a->over.ev_reap)
		return a;
	arrival_free(a);
	return NULL;
}

struct arrival *arrival_new(struct service *s, struct session *session, struct stream *stream)
{
	struct arrival *a = make(s);
	struct err e = ERR_INIT;

	if (!a) {
		stream_refuse(stream, CODE_INTERNAL, "no memory for a job");
		return NULL;
	}
	a->session = session;
	a->rights = rights_ref(router_rights(s->router, session));
	snprintf(a->peer, sizeof(a->peer), "%s", session_peer(session));
	a->share = share_join(&s->shares, a->peer);
	if (!a->share) {
		a->session = NULL;
		stream_refuse(stream, CODE_INTERNAL, "no memory for a job");
		arrival_free(a);
		return NULL;
	}
	if (router_watch_session(s->router, session, arrival_session_ended, a, &e) < 0) {
		a->session = NULL;
		stream_refuse(stream, CODE_INTERNAL, e.text);
		arrival_free(a);
		return NULL;
	}
	a->talk = talk_accept(stream, &arrival_talk_ops, a);
	if (!a->talk) {
		arrival_free(a);
		return NULL;
	}
	arrival_deadline(a, arrival_phase(a)->deadline.ms);
	return a;
}

struct arrival *arrival_new_found(struct service *s, const char *id)
{
	struct arrival *a = make(s);

	if (a)
		snprintf(a->id, sizeof(a->id), "%s", id);
	return a;
}
