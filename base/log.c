/* The log: see log.h. A line is written with one write(2), so that lines of
 * several threads or processes do not mix. */
#include "base/log.h"
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level max_level = LOG_LEVEL_INFO;
static int with_time = 1;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_set_level(enum log_level level)
{
	max_level = level;
}

void log_set_time(int on)
{
	with_time = on;
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
	char line[1400], text[1024];
	size_t used = 0;
	va_list ap;

	if (level > max_level)
		return;
	if (with_time) {
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
	append(line, sizeof(line), &used, "%s: ", level_names[level]);
	if (ctx && ctx->peer && *ctx->peer)
		append(line, sizeof(line), &used, "peer=%s ", ctx->peer);
	if (ctx && ctx->job && *ctx->job)
		append(line, sizeof(line), &used, "job=%s ", ctx->job);
	if (ctx && ctx->stream)
		append(line, sizeof(line), &used, "stream=%u ", ctx->stream);
	append(line, sizeof(line), &used, "%s", text);
	err_printable(line);
	used = strlen(line);
	if (used > sizeof(line) - 2)
		used = sizeof(line) - 2;
	line[used] = '\n';
	/* There is nowhere to report that the log itself cannot be written. */
	if (write(STDERR_FILENO, line, used + 1) < 0)
		return;
}
