/* Where strangers come from: see origins.h. Owned by a listener. */
#include "tunnel/origins.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

void origins_init(struct origins *o)
{
	TAILQ_INIT(&o->list);
	o->idle = 0;
}

void origins_fini(struct origins *o)
{
	struct origin *of;

	while ((of = TAILQ_FIRST(&o->list))) {
		TAILQ_REMOVE(&o->list, of, listed);
		free(of);
	}
	o->idle = 0;
}

/* The part of an address that whoever has it cannot choose. */
static void key_of(const struct sockaddr *sa, struct origin *out)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;

	memset(out->key, 0, sizeof(out->key));
	out->family = sa->sa_family;
	if (sa->sa_family == AF_INET) {
		memcpy(out->key, &in->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		out->family = AF_INET;
		memcpy(out->key, in6->sin6_addr.s6_addr + 12, 4);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(out->key, &in6->sin6_addr, 8);
	}
}

/* The one that came last of those that nobody is connected from. */
static void forget_oldest(struct origins *o)
{
	struct origin *of;

	TAILQ_FOREACH_REVERSE(of, &o->list, origin_list, listed)
	{
		if (of->count)
			continue;
		TAILQ_REMOVE(&o->list, of, listed);
		o->idle--;
		free(of);
		return;
	}
}

struct origin *origins_enter(struct origins *o, const struct sockaddr *sa, uint64_t now_us)
{
	struct origin wanted, *of;

	key_of(sa, &wanted);
	TAILQ_FOREACH(of, &o->list, listed)
	{
		if (of->family == wanted.family &&
		    memcmp(of->key, wanted.key, sizeof(of->key)) == 0)
			break;
	}
	if (of) {
		TAILQ_REMOVE(&o->list, of, listed);
		o->idle -= of->count == 0;
	} else {
		of = calloc(1, sizeof(*of));
		if (!of)
			return NULL;
		of->family = wanted.family;
		memcpy(of->key, wanted.key, sizeof(of->key));
		of->left_us = ORIGIN_CPU_BURST_US;
		of->at_us = now_us;
	}
	of->count++;
	TAILQ_INSERT_HEAD(&o->list, of, listed);
	return of;
}

void origins_leave(struct origins *o, struct origin *of)
{
	if (--of->count)
		return;
	if (++o->idle > ORIGINS_IDLE_MAX)
		forget_oldest(o);
}

struct origin *origins_fullest(const struct origins *o)
{
	struct origin *of, *most = NULL;

	TAILQ_FOREACH(of, &o->list, listed)
	{
		if (of->count && (!most || of->count >= most->count))
			most = of;
	}
	return most;
}

static void settle(struct origin *of, uint64_t now_us)
{
	uint64_t more = now_us > of->at_us ? (now_us - of->at_us) / ORIGIN_CPU_PART : 0;

	if (!more)
		return;
	of->at_us = now_us;
	if (more >= (uint64_t)(ORIGIN_CPU_BURST_US - of->left_us))
		of->left_us = ORIGIN_CPU_BURST_US;
	else
		of->left_us += (int64_t)more;
}

void origin_charge(struct origin *of, uint64_t us, uint64_t now_us)
{
	settle(of, now_us);
	of->left_us -= (int64_t)us;
}

bool origin_may(struct origin *of, uint64_t now_us)
{
	settle(of, now_us);
	return of->left_us > 0;
}
