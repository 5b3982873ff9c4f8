/*
 * The talk of a job: cookies, a JSON object a line, over a stream of class control.
 * Both roles of it.
 */
#ifndef ADIT_CONTROL_TALK_TALK_H
#define ADIT_CONTROL_TALK_TALK_H

#include <jansson.h>

#include "control/talk/cookie.h"
#include "tunnel/session.h"

struct talk;

struct talk_ops {
	/* A cookie of the other side that has passed the check; msg is borrowed. */
	void (*on_cookie)(void *ctx, struct talk *t, enum cookie_kind kind, const json_t *msg);
	/* Over: the stream has ended, was reset, or the other side broke the rules. Once,
	 * and nothing after it; t is to be freed by its owner. */
	void (*on_end)(void *ctx, struct talk *t, const struct err *why);
};

/* Opens the stream "migrate" to the destination. ops and ctx are borrowed until
 * talk_free. NULL with *e. */
struct talk *talk_open(struct session *s, const struct talk_ops *ops, void *ctx, struct err *e);

/* Takes a stream that a source opened; NULL (stream refused) when memory is short. */
struct talk *talk_accept(struct stream *stream, const struct talk_ops *ops, void *ctx);

/* Sends msg (stolen). A cookie that the schema refuses is a bug of ours, logged and
 * not sent: ERR_INTERNAL. */
int talk_send(struct talk *t, json_t *msg, struct err *e);

/* Whether all that was sent has reached the other adit. */
int talk_flushed(const struct talk *t);

/* Ends the talk with a reason, a sentence that the other side's on_end is given; then talk_free.
 * Nothing of it is a word on the VM. NULL is fine. */
void talk_end(struct talk *t, const char *reason);

/* May be called in a callback. NULL is fine. */
void talk_free(struct talk *t);

#endif
