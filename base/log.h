/*
 * The log: one line an event on standard error (or where a program that embeds us wants
 * it), with the peer, the job and the stream that it is about. Says nothing of payloads or secrets.
 *
 * It never waits for who reads standard error (but see log_out.h for a terminal that cannot be
 * opened): what that does not take is lost, counted, and told before the next line. Nor does a peer
 * fill it: of one kind of line about one peer so many are written at once, and then one a second
 * (ten times as many of those with a job); the others are counted, and told with the next one, or
 * by log_tell_left_out. Errors, lines about no peer, and the counts, have a part of the whole to
 * themselves. At level DEBUG nothing is left out.
 */
#ifndef ADIT_BASE_LOG_H
#define ADIT_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* What a line is about; NULL or 0 where it does not apply. Borrowed for the call. */
struct log_ctx {
	const char *peer;
	const char *job;
	unsigned stream;
};

/* The least urgent level that is still written; INFO at first. Any thread may call it. */
void log_set_level(enum log_level level);

/* Whether lines are for the journal, or another reader of sd-daemon(3)'s prefixes: "<4>..." in
 * the place of time and "warning: " (off at first). */
void log_set_journal(int on);

/* What goes before a line of that level that is written to standard error without log_write:
 * the journal's prefix, or "". Static. */
const char *log_journal_prefix(enum log_level level);

/* Whether standard error is the stream that $JOURNAL_STREAM names (sd_journal_stream_fd(3)). */
int log_is_journal(void);

/* Where lines go from now on: to sink, without time and newline, in whatever thread they are
 * written; NULL: to standard error, as at first. Any thread may call it; a line that is being
 * written at that moment may still go to the old one. ctx is borrowed until then. */
typedef void log_sink(void *ctx, enum log_level level, const char *line);
void log_set_sink(log_sink *sink, void *ctx);

/* Writes one line; ctx may be NULL. Control characters become '?'. */
void log_write(enum log_level level, const struct log_ctx *ctx, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Tells of the lines that were left out of kinds that had no further line for some seconds; all:
 * of all. To be called now and then, and at the end. */
void log_tell_left_out(int all);

#define log_error(ctx, ...) log_write(LOG_LEVEL_ERROR, ctx, __VA_ARGS__)
#define log_warn(ctx, ...) log_write(LOG_LEVEL_WARN, ctx, __VA_ARGS__)
#define log_info(ctx, ...) log_write(LOG_LEVEL_INFO, ctx, __VA_ARGS__)
#define log_debug(ctx, ...) log_write(LOG_LEVEL_DEBUG, ctx, __VA_ARGS__)

#endif
