/* See caretaker.h. Owned by adit serve. Leaves jobs alone that a living process steers. */
#include "control/source/caretaker.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/source/recover.h"
#include "control/talk.h"

enum { EVERY_S = 15 };

struct caretaker {
	struct event_base *base;
	char *state_dir;
	struct event *ev_look;
	struct recover *recover;
	unsigned rounds; /* in which something was left */
};

/* What is left is told of once, and then every tenth time. */
static bool quiet(const struct caretaker *c)
{
	return c->rounds % 10 != 0;
}

static void on_note(void *ctx, const char *job, const char *text)
{
	const struct caretaker *c = ctx;
	struct log_ctx about = {.job = job};

	if (quiet(c))
		log_debug(&about, "recovery: %s", text);
	else
		log_info(&about, "recovery: %s", text);
}

static void on_result(void *ctx, const char *job, enum recover_outcome o, const char *text)
{
	const struct caretaker *c = ctx;
	struct log_ctx about = {.job = job};

	if (o == RECOVER_HELD || (o == RECOVER_WAITS && quiet(c)))
		log_debug(&about, "recovery: %s: %s", recover_outcome_name(o), text);
	else if (o == RECOVER_WAITS)
		log_warn(&about, "recovery: still unfinished: %s", text);
	else if (o == RECOVER_LOST)
		log_warn(&about, "recovery: settled: %s", text);
	else
		log_info(&about, "recovery: settled: %s", text);
}

static void on_recover_end(void *ctx, unsigned settled, unsigned left)
{
	struct caretaker *c = ctx;

	(void)settled;
	recover_free(c->recover);
	c->recover = NULL;
	c->rounds = left ? c->rounds + 1 : 0;
}

static const struct recover_ops ops = {on_note, on_result, on_recover_end};

static void look_at_journal(evutil_socket_t fd, short what, void *ctx)
{
	struct caretaker *c = ctx;
	struct strvec jobs = {0};
	struct err e = ERR_INIT;

	(void)fd;
	(void)what;
	if (c->recover)
		return;
	if (journal_list(c->state_dir, JOURNAL_SOURCE, &jobs, &e) == 0 && jobs.count)
		c->recover =
		    recover_start(c->base, c->state_dir, NULL, MIGRATE_DECIDE_NOTHING, &ops, c, &e);
	if (err_is_set(&e))
		log_warn(NULL, "recovery: %s", e.text);
	strvec_fini(&jobs);
}

struct caretaker *caretaker_new(struct event_base *base, const char *state_dir, struct err *e)
{
	struct caretaker *c = calloc(1, sizeof(*c));

	if (c) {
		c->base = base;
		c->state_dir = strdup(state_dir);
		c->ev_look = event_new(base, -1, EV_PERSIST, look_at_journal, c);
	}
	if (!c || !c->state_dir || !c->ev_look ||
	    event_add(c->ev_look, &(struct timeval){.tv_sec = EVERY_S}) < 0) {
		err_set(e, ERR_SPACE, "no memory for the recovery");
		caretaker_free(c);
		return NULL;
	}
	event_active(c->ev_look, EV_TIMEOUT, 1);
	return c;
}

void caretaker_free(struct caretaker *c)
{
	if (!c)
		return;
	recover_free(c->recover);
	if (c->ev_look)
		event_free(c->ev_look);
	free(c->state_dir);
	free(c);
}
