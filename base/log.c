/* The log: see log.h. A line is written with one write(2), so that lines of
 * several threads or processes do not mix. */
#include "base/log.h"
#include "base/err.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static _Atomic enum log_level max_level = LOG_LEVEL_INFO;
static int for_journal;
/* Both together, hence the lock. */
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static log_sink *sink;
static void *sink_ctx;

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
	pthread_mutex_lock(&sink_lock);
	sink = to;
	sink_ctx = ctx;
	pthread_mutex_unlock(&sink_lock);
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

void log_write(enum log_level level, const struct log_ctx *ctx, const char *fmt, ...)
{
	char line[2900], text[2500];
	size_t used = 0;
	log_sink *to;
	void *to_ctx;
	va_list ap;

	if (level > max_level)
		return;
	pthread_mutex_lock(&sink_lock);
	to = sink;
	to_ctx = sink_ctx;
	pthread_mutex_unlock(&sink_lock);
	if (!to)
		append(line, sizeof(line), &used, "%s", log_journal_prefix(level));
	if (!for_journal && !to) {
		struct timespec now;
		struct tm tm;

		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		append(line, sizeof(line), &used, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ ",
		       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		       tm.tm_sec, now.tv_nsec / 1000000);
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!to && !for_journal)
		append(line, sizeof(line), &used, "%s: ", level_names[level]);
	if (ctx && ctx->peer && *ctx->peer)
		append(line, sizeof(line), &used, "peer=%s ", ctx->peer);
	if (ctx && ctx->job && *ctx->job)
		append(line, sizeof(line), &used, "job=%s ", ctx->job);
	if (ctx && ctx->stream)
		append(line, sizeof(line), &used, "stream=%u ", ctx->stream);
	append(line, sizeof(line), &used, "%s", text);
	err_printable(line);
	if (to) {
		to(to_ctx, level, line);
		return;
	}
	used = strlen(line);
	if (used > sizeof(line) - 2)
		used = sizeof(line) - 2;
	line[used] = '\n';
	/* There is nowhere to report that the log itself cannot be written. */
	if (write(STDERR_FILENO, line, used + 1) < 0)
		return;
}
