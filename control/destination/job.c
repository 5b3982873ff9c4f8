/*
 * A migration on its destination: see job_i.h for its rooms, docs/phases.md for the
 * picture of its phases, job_phase.h for what one is.
 *
 * How it works. A job begins with a stream to "migrate" and lives as long as that
 * talk; its streams come to the router under "job:ID" and are taken only from the
 * very session that the talk came over. Until the decision everything is undone
 * when anything fails: by the job itself (job_fail), or by its guardian when adit
 * serve is gone. The decision is written to the journal; then the guardian is
 * dismissed, and from then on the VM is this host's. The source is told so, and asks
 * again (phase_asked.c) where that word was lost. The record goes when the source's own
 * VM has ended.
 */
#include "control/destination/job_i.h"

#include <stdio.h>
#include <stdlib.h>

/* A job that waits; NULL when memory is short. */
static struct job *make(struct service *s)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->service = s;
	j->phases = job_phases;
	j->rights = rights_none();
	j->prepare.scratch_fd = j->prepare.hook.in = j->prepare.hook.out = -1;
	j->qemu.log_fd = j->nbd.fd = -1;
	j->about.peer = j->peer;
	j->about.job = j->id;
	TAILQ_INSERT_TAIL(&s->jobs, j, listed);
	j->saving.ev = evtimer_new(s->base, job_record_due, j);
	j->runs.ev_arrive = evtimer_new(s->base, job_arrive_due, j);
	j->over.ev_reap = evtimer_new(s->base, job_reap_due, j);
	if (job_core_init(j, s->base) == 0 && j->saving.ev && j->runs.ev_arrive && j->over.ev_reap)
		return j;
	job_free(j);
	return NULL;
}

struct job *job_new(struct service *s, struct session *session, struct stream *stream)
{
	struct job *j = make(s);
	struct err e = ERR_INIT;

	if (!j) {
		stream_refuse(stream, CODE_INTERNAL, "no memory for a job");
		return NULL;
	}
	j->session = session;
	j->rights = rights_ref(router_rights(s->router, session));
	snprintf(j->peer, sizeof(j->peer), "%s", session_peer(session));
	j->share = share_join(&s->shares, j->peer);
	if (!j->share) {
		j->session = NULL;
		stream_refuse(stream, CODE_INTERNAL, "no memory for a job");
		job_free(j);
		return NULL;
	}
	if (router_watch_session(s->router, session, job_session_ended, j, &e) < 0) {
		j->session = NULL;
		stream_refuse(stream, CODE_INTERNAL, e.text);
		job_free(j);
		return NULL;
	}
	j->talk = talk_accept(stream, &job_talk_ops, j);
	if (!j->talk) {
		job_free(j);
		return NULL;
	}
	job_deadline(j, job_phase(j)->deadline.ms);
	return j;
}

struct job *job_new_found(struct service *s, const char *id)
{
	struct job *j = make(s);

	if (j)
		snprintf(j->id, sizeof(j->id), "%s", id);
	return j;
}
