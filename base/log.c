/*
 * The log: see log.h. A line is written with one write(2), so that lines of several threads or
 * processes do not mix, and without waiting (log_out.h): what cannot be written is counted, and
 * told of before the next line that can. So is what is too much of a kind (log_rate.h): with the
 * next line of the kind, or when there was none for a while.
 */
#include "base/log.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log_out.h"
#include "base/log_rate.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static _Atomic enum log_level max_level = LOG_LEVEL_INFO;
static int for_journal;
/* For all below, what is left out, and standard error. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static log_sink *sink;
static void *sink_ctx;
static unsigned long lost; /* lines that standard error did not take */

static const char *const level_names[] = {"error", "warning", "info", "debug"};
/* sd-daemon(3): syslog's numbers */
static const char *const journal_prefixes[] = {"<3>", "<4>", "<6>", "<7>"};

void log_set_level(enum log_level level)
{
	max_level = level;
}

void log_set_journal(int on)
{
	for_journal = on;
}

const char *log_journal_prefix(enum log_level level)
{
	return for_journal ? journal_prefixes[level] : "";
}

int log_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;
	int end = 0;

	return stream && sscanf(stream, "%llu:%llu%n", &dev, &ino, &end) == 2 && !stream[end] &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_set_sink(log_sink *to, void *ctx)
{
	pthread_mutex_lock(&lock);
	sink = to;
	sink_ctx = ctx;
	pthread_mutex_unlock(&lock);
}

/* Appends to line; what does not fit is cut. */
static void __attribute__((format(printf, 4, 5)))
append(char *line, size_t size, size_t *used, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (*used >= size)
		return;
	va_start(ap, fmt);
	n = vsnprintf(line + *used, size - *used, fmt, ap);
	va_end(ap);
	if (n > 0)
		*used += (size_t)n;
	if (*used > size - 1)
		*used = size - 1;
}

/* What a line begins with. */
static void begin(char *line, size_t size, size_t *used, enum log_level level,
		  const struct log_ctx *ctx, bool to_sink)
{
	struct timespec now;
	struct tm tm;

	if (!to_sink)
		append(line, size, used, "%s", log_journal_prefix(level));
	if (!for_journal && !to_sink) {
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		append(line, size, used,
		       "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s: ", tm.tm_year + 1900,
		       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		       now.tv_nsec / 1000000, level_names[level]);
	}
	if (ctx && ctx->peer && *ctx->peer)
		append(line, size, used, "peer=%s ", ctx->peer);
	if (ctx && ctx->job && *ctx->job)
		append(line, size, used, "job=%s ", ctx->job);
	if (ctx && ctx->stream)
		append(line, size, used, "stream=%u ", ctx->stream);
}

/* With the newline. Under the lock. */
static int put(char *line, size_t used)
{
	line[used] = '\n';
	return log_out_write(line, used + 1);
}

/* Under the lock. There is nowhere else to report that the log itself cannot be written. */
static void put_after_lost(char *line, size_t used)
{
	char notice[200];
	size_t len = 0;

	if (lost) {
		begin(notice, sizeof(notice) - 1, &len, LOG_LEVEL_WARN, NULL, false);
		append(notice, sizeof(notice) - 1, &len,
		       "%lu lines are missing here: standard error did not take them", lost);
		if (put(notice, len) < 0) {
			lost++;
			return;
		}
		lost = 0;
	}
	if (put(line, used) < 0)
		lost++;
}

/* Writes a line as it is. */
static void give(enum log_level level, const struct log_ctx *ctx, const char *text)
{
	char line[2900];
	size_t used = 0;
	log_sink *to;
	void *to_ctx;

	pthread_mutex_lock(&lock);
	to = sink;
	to_ctx = sink_ctx;
	pthread_mutex_unlock(&lock);
	begin(line, sizeof(line) - 1, &used, level, ctx, to != NULL);
	append(line, sizeof(line) - 1, &used, "%s", text);
	err_printable(line);
	if (to) {
		to(to_ctx, level, line);
		return;
	}
	pthread_mutex_lock(&lock);
	put_after_lost(line, used);
	pthread_mutex_unlock(&lock);
}

static void give_left(const struct log_rate_left *left)
{
	struct log_ctx ctx = {.peer = left->peer, .job = left->job};
	char text[LOG_RATE_TEXT_MAX + 80];

	snprintf(text, sizeof(text), "%lu more like this one were left out: %s", left->count,
		 left->text);
	give(left->level, &ctx, text);
}

/* Whether a line may be written; a word on those that were left out before it goes to more.
 * fmt and ap only to keep the text of the first one that is left out. */
static bool pass(enum log_level level, const struct log_ctx *ctx, const char *fmt, va_list ap,
		 char *more, size_t size)
{
	struct log_rate_left left;
	char text[LOG_RATE_TEXT_MAX * 2];
	struct log_rate_kind *k;
	unsigned long count = 0;
	bool ok, first = false;
	uint64_t now_ms = clock_ms();

	more[0] = '\0';
	pthread_mutex_lock(&lock);
	k = log_rate_find(level, ctx, fmt, now_ms, &left);
	ok = log_rate_pass(k, now_ms, &count, &first);
	if (ok || first) {
		int n = vsnprintf(text, sizeof(text), fmt, ap);

		if (first)
			log_rate_keep(k, ctx, text);
		else /* and what stands before it */
			log_rate_written(k, (size_t)(n > 0 ? n : 0) + 80);
	}
	pthread_mutex_unlock(&lock);
	if (left.count)
		give_left(&left);
	if (count)
		snprintf(more, size, " (and %lu more like this one, left out)", count);
	return ok;
}

void log_write(enum log_level level, const struct log_ctx *ctx, const char *fmt, ...)
{
	char text[2500], more[80];
	va_list ap;
	int n, saved = errno;
	bool ok;

	if (level > max_level)
		return;
	more[0] = '\0';
	/* Who wants all of it is to have it. */
	if (max_level < LOG_LEVEL_DEBUG) {
		va_start(ap, fmt);
		ok = pass(level, ctx, fmt, ap, more, sizeof(more));
		va_end(ap);
		if (!ok)
			return;
	}
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text) - sizeof(more), fmt, ap);
	va_end(ap);
	if (n > 0 && *more)
		strcat(text, more);
	give(level, ctx, text);
	errno = saved;
}

void log_tell_left_out(int all)
{
	struct log_rate_left left;
	bool any = true;

	while (any) {
		pthread_mutex_lock(&lock);
		any = log_rate_next(&left, clock_ms(), all);
		pthread_mutex_unlock(&lock);
		if (any)
			give_left(&left);
	}
}
