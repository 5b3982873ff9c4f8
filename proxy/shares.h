/*
 * What each peer has of the places that all peers share, of arrivals or of what is announced to
 * libvirt: one record for all that a peer has, so that a count is one way along it, however many
 * peers there are.
 */
#ifndef ADIT_PROXY_SHARES_H
#define ADIT_PROXY_SHARES_H

#include <stdbool.h>
#include <sys/queue.h>

struct share {
	TAILQ_ENTRY(share) listed;
	unsigned users; /* that have it */
	unsigned held;	/* as last counted */
	char peer[256];
};

TAILQ_HEAD(shares, share);

/* That of peer, to be given back with share_leave; NULL when memory is short. */
struct share *share_join(struct shares *all, const char *peer);
/* NULL is fine. */
void share_leave(struct shares *all, struct share *share);

/* Nobody holds anything, for a new count. */
void shares_reset(struct shares *all);
/* Who holds most. Of equals own last, who is in the list, and else the one who came first. */
struct share *shares_fullest(const struct shares *all, struct share *own);

/* Whether own may hold one more, where each may hold max. From max_all on, of all of them, only
 * who holds less than an equal part of these, or nothing. all: what is held, also by nobody in
 * the list. */
bool shares_admit(const struct shares *of, const struct share *own, unsigned all, unsigned max,
		  unsigned max_all);

#endif
