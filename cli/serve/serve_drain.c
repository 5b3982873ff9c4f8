/*
 * How adit serve ends. SIGTERM: nothing new is taken, sessions without a migration end, every
 * migration is waited for. SIGINT, or a second SIGTERM: now; jobs of the API are cancelled.
 */
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "cli/serve/serve_i.h"

const char serve_drain_words[] = "this adit is ending, and takes nothing new";

enum {
	DRAIN_LOOK_MS = 100,
	DRAIN_ASK_MS = 5000, /* for those who come meanwhile, to ask what became of a job */
};

/* No job of this host is under way any more. */
static void on_drained(void *ctx)
{
	struct serve *v = ctx;

	event_base_loopbreak(v->base);
}

void serve_drain_unwatch(struct serve *v)
{
	for (int i = 0; i < 3; i++) {
		if (v->signals[i])
			event_free(v->signals[i]);
		v->signals[i] = NULL;
	}
	if (v->ev_drain)
		event_free(v->ev_drain);
	v->ev_drain = NULL;
}

static void end_now(struct serve *v)
{
	v->state = SERVE_ENDS;
	serve_drain_unwatch(v);
	if (v->api.tasks)
		serve_api_drain(&v->api, true, on_drained, v);
	else
		event_base_loopbreak(v->base);
}

static bool is_busy(const struct serve *v)
{
	return service_arrivals(v->service) || libvirt_service_jobs(v->libvirt) ||
	       (v->api.tasks && tasks_running(v->api.tasks));
}

/* Those that carry no migration, and came so long ago, have nothing to wait for. */
static void end_idle_sessions(struct serve *v, uint64_t age_ms)
{
	struct session *s = router_next_session(v->router, NULL), *next;

	for (; s; s = next) {
		next = router_next_session(v->router, s);
		if (router_session_age_ms(v->router, s) >= age_ms &&
		    !service_has_session(v->service, s) &&
		    !libvirt_service_has_session(v->libvirt, s))
			router_end_session(v->router, s, CODE_DRAINING, serve_drain_words);
	}
}

static void on_drain_look(evutil_socket_t fd, short what, void *ctx)
{
	struct serve *v = ctx;

	(void)fd;
	(void)what;
	if (is_busy(v))
		end_idle_sessions(v, DRAIN_ASK_MS);
	else
		end_now(v);
}

static void drain(struct serve *v)
{
	static const struct timeval often = {.tv_usec = DRAIN_LOOK_MS * 1000};
	unsigned jobs = service_arrivals(v->service) + libvirt_service_jobs(v->libvirt);

	v->state = SERVE_DRAINS;
	router_drain(v->router, serve_drain_words);
	service_drain(v->service);
	libvirt_service_drain(v->libvirt);
	end_idle_sessions(v, 0);
	if (!is_busy(v)) {
		end_now(v);
		return;
	}
	if (jobs)
		log_info(NULL, "waits for the end of %u migration%s to this host", jobs,
			 jobs == 1 ? "" : "s");
	if (v->api.tasks)
		serve_api_drain(&v->api, false, NULL, NULL);
	v->ev_drain = event_new(v->base, -1, EV_PERSIST, on_drain_look, v);
	if (!v->ev_drain || event_add(v->ev_drain, &often) < 0)
		end_now(v);
}

void serve_drain_on_signal(evutil_socket_t signum, short what, void *ctx)
{
	struct serve *v = ctx;

	(void)what;
	log_info(NULL, "ending: SIG%s", sigabbrev_np((int)signum));
	serve_notify_stopping(&v->notify);
	if (signum == SIGTERM && v->state == SERVE_RUNS)
		drain(v);
	else
		end_now(v);
}
