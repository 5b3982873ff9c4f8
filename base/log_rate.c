/*
 * Rates of lines: see log_rate.h. A kind has a bucket of lines and one of bytes, which fill up
 * again with time; one of bytes is for all kinds together, so that many kinds are no way round it.
 * The last part of that is kept for errors, for lines about no peer and for those that tell of what
 * was left out, so that a peer who uses up the rest hides none of these; a kind takes no more than
 * its share of it.
 * There is a fixed number of kinds: the one that rested longest is forgotten for a new one.
 */
#include "base/log_rate.h"

#include <stdio.h>
#include <string.h>

enum {
	KINDS = 128,
	/* lines of a kind: at once, and then a second */
	LINES = 60,
	LINES_S = 1,
	/* bytes of a kind */
	BYTES = 24 * 1024,
	BYTES_S = 512,
	/* lines about a job are about another one each: there may be more of them */
	JOB_TIMES = 10,
	/* bytes of all kinds together: less than 1 MB in a minute */
	ALL_BYTES = 384 * 1024,
	ALL_BYTES_S = 8 * 1024,
	/* of these, for what is urgent; a kind's share of it, and what that gets a second */
	KEPT_BYTES = 128 * 1024,
	SHARE = 8 * 1024,
	SHARE_S = 256,
	REST_MS = 5000,	  /* without a line of it a kind's flood is over */
	TOLD_BYTES = 400, /* of a line that tells of what was left out */
};

/* What may still be written, in thousandths. */
struct bucket {
	int64_t left, most, per_s;
	uint64_t at_ms;
};

struct log_rate_kind {
	const char *fmt; /* NULL: free */
	enum log_level level;
	bool of_job;
	char peer[LOG_RATE_PEER_MAX];
	struct bucket lines, bytes, share;
	uint64_t last_ms; /* a line of it, written or not */
	unsigned long more;
	/* of the first that was left out */
	char job[LOG_RATE_JOB_MAX], text[LOG_RATE_TEXT_MAX];
};

static struct log_rate_kind kinds[KINDS];
static struct bucket all = {
    .left = (int64_t)ALL_BYTES * 1000, .most = (int64_t)ALL_BYTES * 1000, .per_s = ALL_BYTES_S};

static unsigned long
    untold; /* lines left out of kinds that were forgotten, when there was no room */

static struct bucket bucket(int64_t most, int64_t per_s, uint64_t now_ms)
{
	return (struct bucket){most * 1000, most * 1000, per_s, now_ms};
}

/* Lets time pass, and tells whether there is something in it. */
static bool fill(struct bucket *b, uint64_t now_ms)
{
	uint64_t passed = now_ms > b->at_ms ? now_ms - b->at_ms : 0;
	uint64_t full_ms = (uint64_t)((b->most - b->left) / b->per_s) + 1;

	b->at_ms = now_ms;
	b->left = passed >= full_ms ? b->most : b->left + (int64_t)passed * b->per_s;
	return b->left >= 1000;
}

static bool is_low(void)
{
	return all.left < (int64_t)KEPT_BYTES * 1000;
}

static bool is_urgent(const struct log_rate_kind *k)
{
	return k->level == LOG_LEVEL_ERROR || !*k->peer;
}

/* Whether there is something left for a line of k; urgent: also of what is kept. */
static bool room(struct log_rate_kind *k, uint64_t now_ms, bool urgent)
{
	bool some = fill(&all, now_ms), share = fill(&k->share, now_ms);

	return !is_low() || (urgent && some && share);
}

static void spend(struct log_rate_kind *k, size_t len)
{
	if (is_low())
		k->share.left -= (int64_t)len * 1000;
	all.left -= (int64_t)len * 1000;
}

static void take_left(struct log_rate_kind *k, struct log_rate_left *left)
{
	left->level = k->level;
	left->count = k->more;
	memcpy(left->peer, k->peer, sizeof(left->peer));
	memcpy(left->job, k->job, sizeof(left->job));
	memcpy(left->text, k->text, sizeof(left->text));
	k->more = 0;
	spend(k, TOLD_BYTES);
}

struct log_rate_kind *log_rate_find(enum log_level level, const struct log_ctx *ctx,
				    const char *fmt, uint64_t now_ms, struct log_rate_left *left)
{
	const char *peer = ctx && ctx->peer ? ctx->peer : "";
	bool of_job = ctx && ctx->job && *ctx->job;
	struct log_rate_kind *k, *oldest = kinds;
	int times = of_job ? JOB_TIMES : 1;

	left->count = 0;
	for (k = kinds; k < kinds + KINDS; k++) {
		if (k->fmt == fmt && k->level == level && k->of_job == of_job &&
		    strncmp(k->peer, peer, sizeof(k->peer) - 1) == 0)
			return k;
		if (oldest->fmt && (!k->fmt || k->last_ms < oldest->last_ms))
			oldest = k;
	}
	k = oldest;
	if (k->more && room(k, now_ms, is_urgent(k)))
		take_left(k, left);
	untold += k->more;
	memset(k, 0, sizeof(*k));
	k->fmt = fmt;
	k->level = level;
	k->of_job = of_job;
	k->last_ms = now_ms;
	snprintf(k->peer, sizeof(k->peer), "%s", peer);
	k->lines = bucket((int64_t)LINES * times, (int64_t)LINES_S * times, now_ms);
	k->bytes = bucket((int64_t)BYTES * times, (int64_t)BYTES_S * times, now_ms);
	k->share = bucket(SHARE, SHARE_S, now_ms);
	return k;
}

bool log_rate_pass(struct log_rate_kind *k, uint64_t now_ms, unsigned long *more, bool *first)
{
	bool lines = fill(&k->lines, now_ms), bytes = fill(&k->bytes, now_ms);

	k->last_ms = now_ms;
	if (!room(k, now_ms, is_urgent(k)) || !lines || !bytes) {
		*first = k->more++ == 0;
		return false;
	}
	*more = k->more;
	k->more = 0;
	return true;
}

void log_rate_written(struct log_rate_kind *k, size_t len)
{
	k->lines.left -= 1000;
	k->bytes.left -= (int64_t)len * 1000;
	spend(k, len);
}

void log_rate_keep(struct log_rate_kind *k, const struct log_ctx *ctx, const char *text)
{
	size_t len = strlen(text);

	snprintf(k->job, sizeof(k->job), "%s", ctx && ctx->job ? ctx->job : "");
	snprintf(k->text, sizeof(k->text), "%s", text);
	if (len >= sizeof(k->text))
		memcpy(k->text + sizeof(k->text) - 4, "...", 4);
}

bool log_rate_next(struct log_rate_left *left, uint64_t now_ms, bool any)
{
	if (!fill(&all, now_ms) && !any)
		return false;
	if (untold && (any || all.left > all.most / 2)) {
		*left = (struct log_rate_left){
		    .level = LOG_LEVEL_WARN, .count = untold, .text = "lines of many kinds"};
		untold = 0;
		return true;
	}
	for (struct log_rate_kind *k = kinds; k < kinds + KINDS; k++) {
		if (!k->fmt || !k->more)
			continue;
		if (!any && (now_ms - k->last_ms < REST_MS || !room(k, now_ms, true)))
			continue;
		take_left(k, left);
		return true;
	}
	return false;
}
