/* Names to addresses without holding up the loop: getaddrinfo in a thread of its own. */
#ifndef ADIT_TUNNEL_RESOLVE_H
#define ADIT_TUNNEL_RESOLVE_H

#include "base/addr.h"
#include "base/err.h"

struct event_base;
struct resolve;

/* The answer, from the loop: why->code is ERR_NONE, or ERR_ADDRESS and *at is
 * empty. The lookup is gone when it returns. */
typedef void resolve_done(void *ctx, const struct addr_resolved *at, const struct err *why);

/* Looks up a, whose name is not a literal address (for those addr_resolve
 * answers at once). NULL with ERR_SYSTEM. */
struct resolve *resolve_start(struct event_base *base, const struct addr *a, resolve_done *fn,
			      void *ctx, struct err *e);

/* No answer will come. NULL is fine. */
void resolve_cancel(struct resolve *r);

/* Whether addr_resolve would answer for a at once: a unix path or a literal. */
int resolve_is_literal(const struct addr *a);

#endif
