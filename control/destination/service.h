/*
 * The destination of migrations, as part of adit serve: takes arrivals from peers that
 * may bring VMs, each over the stream that the source opens to the service "migrate".
 */
#ifndef ADIT_CONTROL_DESTINATION_SERVICE_H
#define ADIT_CONTROL_DESTINATION_SERVICE_H

#include <stdbool.h>

#include "base/err.h"

struct event_base;
struct router;
struct service;
struct session;

/* What a peer may have done here are its rights, as the router has them. All borrowed for the
 * life of the service. */
struct service_config {
	const char *run_dir;   /* private folder */
	const char *state_dir; /* journal_prepare's */
};

/* Registers with router (which must outlive it). Until service_open it is there to refuse
 * with the mend. */
struct service *service_new(struct event_base *base, struct router *router,
			    const struct service_config *config, struct err *e);

/* Goes over the journal and begins to take arrivals: both folders are there by now. Once is
 * enough. live: the loop runs already, and is not to stand still while guardians of an adit
 * that was killed come to their end; else they are waited for. ERR_SYSTEM, ERR_CONFIG. */
int service_open(struct service *s, bool live, struct err *e);

/* No arrival begins any more; those that are under way go on, and their sources may ask again what
 * became of them. */
void service_drain(struct service *s);

/* How many are under way. */
unsigned service_arrivals(const struct service *s);
/* Whether one is over that session, is about to say what it wants, or has not been told its last
 * word yet. */
bool service_has_session(const struct service *s, const struct session *session);

/* Gives up every arrival that is not decided: twins that do not run yet are killed. VMs that
 * run are left alone. NULL is fine. */
void service_free(struct service *s);

#endif
