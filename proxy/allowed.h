/* Asks the peer whether it will take forwards, before somebody needs one. */
#ifndef ADIT_PROXY_ALLOWED_H
#define ADIT_PROXY_ALLOWED_H

#include "base/err.h"
#include "tunnel/session.h"

struct allowed;

/* What a far adit has for an answer that it gives at once: as long as for its HELLO. */
enum { ALLOWED_ANSWER_MS = 10000 };

/* Called once, never from within allowed_ask: why is empty when the peer takes all targets, or is
 * one that cannot be asked; else the first that it refuses, ERR_PROTOCOL where it answers otherwise
 * than by RESET, or ERR_TIMEOUT. Not called where the session ends
 * before; that is for the session's owner. allowed_free within it is fine. */
typedef void allowed_answer(void *ctx, const struct err *why);

/* Asks of a session that is ready. targets (unix:/path, tcp:HOST:PORT) are used within the call
 * alone. Who gives no answer for answer_ms is waited for no longer. NULL with *e. */
struct allowed *allowed_ask(struct event_base *base, struct session *s, const char *const *targets,
			    size_t count, unsigned answer_ms, allowed_answer *fn, void *ctx,
			    struct err *e);

/* Asks no more. NULL is fine. */
void allowed_free(struct allowed *a);

#endif
