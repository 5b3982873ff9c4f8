/*
 * How much of a kind of line may be written: what a peer can have written is bounded, and what was
 * left out is counted. A kind is a call's format, of one level, about one peer; those with a job
 * are another than those without. A peer that fills what is for all leaves the part of it that is
 * for errors, for lines about no peer and for those that tell of what was left out. Not for
 * threads: the log calls it under its lock.
 */
#ifndef ADIT_BASE_LOG_RATE_H
#define ADIT_BASE_LOG_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

enum { LOG_RATE_PEER_MAX = 128, LOG_RATE_JOB_MAX = 40, LOG_RATE_TEXT_MAX = 160 };

struct log_rate_kind;

/* What was left out of a kind, to be told in a line. */
struct log_rate_left {
	enum log_level level;
	unsigned long count;
	char peer[LOG_RATE_PEER_MAX]; /* "": none */
	char job[LOG_RATE_JOB_MAX];   /* of the first of them; "": none */
	char text[LOG_RATE_TEXT_MAX]; /* the first of them, perhaps cut */
};

/* The kind that a line is of. Another one may have to be forgotten for it: what was left out of
 * that is in *left then, whose count is 0 else. */
struct log_rate_kind *log_rate_find(enum log_level level, const struct log_ctx *ctx,
				    const char *fmt, uint64_t now_ms, struct log_rate_left *left);

/* Whether one more line of it may be written now. true: log_rate_written is to follow, and
 * *more is how many were left out before it (counted no longer). false: it is counted as left
 * out; *first where log_rate_keep is to be given its text. */
bool log_rate_pass(struct log_rate_kind *k, uint64_t now_ms, unsigned long *more, bool *first);

/* A line of that many bytes was written. */
void log_rate_written(struct log_rate_kind *k, size_t len);

/* What was left out first, and the job that it is about, for the line that tells of it. */
void log_rate_keep(struct log_rate_kind *k, const struct log_ctx *ctx, const char *text);

/* The next kind of which lines were left out and that has come to rest (any: all), as *left, to be
 * told: it is counted no longer. false when there is none. */
bool log_rate_next(struct log_rate_left *left, uint64_t now_ms, bool any);

#endif
