/* Places of peers: see shares.h. */
#include "proxy/shares.h"

#include <stdio.h>
#include <stdlib.h>

#include "proxy/rights.h"

struct share *share_join(struct shares *all, const char *peer)
{
	struct share *share;

	TAILQ_FOREACH(share, all, listed)
	{
		if (rights_same_peer(share->peer, peer)) {
			share->users++;
			return share;
		}
	}
	share = calloc(1, sizeof(*share));
	if (!share)
		return NULL;
	snprintf(share->peer, sizeof(share->peer), "%s", peer);
	share->users = 1;
	TAILQ_INSERT_TAIL(all, share, listed);
	return share;
}

void share_leave(struct shares *all, struct share *share)
{
	if (!share || --share->users > 0)
		return;
	TAILQ_REMOVE(all, share, listed);
	free(share);
}

void shares_reset(struct shares *all)
{
	struct share *share;

	TAILQ_FOREACH(share, all, listed)
	share->held = 0;
}

struct share *shares_fullest(const struct shares *all, struct share *own)
{
	struct share *share, *most = NULL;

	TAILQ_FOREACH(share, all, listed)
	if (share != own && (!most || share->held > most->held))
		most = share;
	return !most || own->held > most->held ? own : most;
}

bool shares_admit(const struct shares *of, const struct share *own, unsigned all, unsigned max,
		  unsigned max_all)
{
	const struct share *share;
	unsigned peers = 0;

	if (own->held >= max)
		return false;
	if (all < max_all || own->held == 0)
		return true;
	TAILQ_FOREACH(share, of, listed)
	peers += share->held > 0;
	return own->held < max_all / peers;
}
