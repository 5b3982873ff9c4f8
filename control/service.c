/* The destination's jobs: see service.h. Owned by adit serve. */
#include "control/job_i.h"

#include <stdlib.h>
#include <string.h>

static void on_stream(void *ctx, struct session *session, struct stream *stream,
		      enum stream_class class, const char *target)
{
	struct service *s = ctx;
	struct log_ctx about = {.peer = session_peer(session), .stream = stream_id(stream)};

	(void)target;
	if (!s->config.allow_migrate) {
		log_warn(&about, "refused: a migration, which is not allowed here "
				 "(--allow-migrate)");
		stream_refuse(stream, CODE_REFUSED,
			      "migrations are not allowed there: start the destination's adit "
			      "serve with --allow-migrate");
		return;
	}
	if (class != STREAM_CONTROL) {
		stream_refuse(stream, CODE_PROTOCOL, "a job's talk is of class control");
		return;
	}
	job_new(s, session, stream);
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
	if (router_add_service(router, "migrate", on_stream, s, e) < 0) {
		free(s);
		return NULL;
	}
	return s;
}

void service_free(struct service *s)
{
	struct err e = ERR_INIT;
	struct job *j;

	if (!s)
		return;
	err_set(&e, ERR_CANCELLED, "adit serve was stopped on the destination");
	while ((j = TAILQ_FIRST(&s->jobs))) {
		job_fail(j, &e);
		job_free(j);
	}
	router_remove_service(s->router, "migrate");
	free(s);
}
