/*
 * The destination of migrations, as part of adit serve: takes jobs from peers that
 * may bring VMs, each over the stream that the source opens to the service "migrate".
 */
#ifndef ADIT_CONTROL_SERVICE_H
#define ADIT_CONTROL_SERVICE_H

#include <stdbool.h>

#include "base/err.h"

struct event_base;
struct router;
struct rules;
struct service;

/* All borrowed for the life of the service. */
struct service_config {
	bool allow_migrate;
	const char *const *launch_binaries; /* absolute paths, NULL at the end; NULL: none */
	const char *const *images_dirs;	    /* likewise */
	const char *run_dir;		    /* private folder, there already */
	const char *launch_hook;	    /* starts VMs instead of us; NULL: none */
	bool overwrite_images;		    /* those that are there already */
	const struct rules *dest_qmp;	    /* monitors (unix:) that a peer may name; NULL: none */
	const char *state_dir;		    /* journal_prepare's; needed with allow_migrate */
};

/* Registers with router (which must outlive it). Without allow_migrate it is there to
 * refuse with the mend. */
struct service *service_new(struct event_base *base, struct router *router,
			    const struct service_config *config, struct err *e);

/* How many VMs are on their way here, up to their source's last word. */
unsigned service_jobs(const struct service *s);

/* Gives up every job that is not decided: twins that do not run yet are killed. VMs that
 * run are left alone. NULL is fine. */
void service_free(struct service *s);

#endif
