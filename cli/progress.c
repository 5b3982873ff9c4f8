/* See progress.h. Prints; decides nothing. */
#include "cli/progress.h"

#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/size.h"

enum { PLAIN_EVERY = 5 /* seconds, where there is no terminal */ };

void progress_init(struct progress *p, int json)
{
	*p = (struct progress){.json = json, .terminal = !json && isatty(STDERR_FILENO)};
}

/* Whether printing now would wait for a reader that stands still (Ctrl-S, a pager): the
 * migration, and perhaps the guest, would stand still with it. What is said meanwhile is
 * left out, but for the end. */
static int would_wait(const struct progress *p)
{
	struct pollfd out = {.fd = p->json ? STDOUT_FILENO : STDERR_FILENO, .events = POLLOUT};

	return poll(&out, 1, 0) == 0;
}

/* Removes the line that is redrawn, so that another can be printed. */
static void clear(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = 0;
}

/* One object on one line of standard output, at once. */
static void print_json(json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	if (text) {
		puts(text);
		fflush(stdout);
	}
	free(text);
	json_decref(o);
}

void progress_phase(struct progress *p, const char *phase)
{
	snprintf(p->phase, sizeof(p->phase), "%s", phase);
	if (p->json && !would_wait(p))
		print_json(json_pack("{s:s,s:s}", "event", "phase", "phase", phase));
}

void progress_note(struct progress *p, const char *text)
{
	if (would_wait(p))
		return;
	if (p->json) {
		print_json(json_pack("{s:s,s:s}", "event", "note", "text", text));
		return;
	}
	clear(p);
	fprintf(stderr, "note: %s\n", text);
}

static json_t *progress_json(const struct migrate_progress *m)
{
	return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "event", "progress",
			 "phase", m->phase, "elapsed_ms", (json_int_t)m->elapsed_ms,
			 "disk_done_bytes", (json_int_t)m->disk_done, "disk_total_bytes",
			 (json_int_t)m->disk_total, "ram_done_bytes", (json_int_t)m->ram_done,
			 "ram_total_bytes", (json_int_t)m->ram_total, "ram_remaining_bytes",
			 (json_int_t)m->ram_remaining, "rate_bytes_per_s", (json_int_t)m->rate,
			 "dirty_bytes_per_s", (json_int_t)m->dirty_rate, "passes",
			 (json_int_t)m->passes, "remaining_s",
			 m->remaining_s < 0 ? json_null() : json_integer(m->remaining_s));
}

static int percent(uint64_t done, uint64_t total)
{
	return total ? (int)((double)done * 100 / (double)total) : 0;
}

static char *duration(int64_t s, char *buf, size_t size)
{
	if (s < 0)
		snprintf(buf, size, "--:--");
	else if (s >= 3600)
		snprintf(buf, size, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60),
			 (int)(s % 60));
	else
		snprintf(buf, size, "%d:%02d", (int)(s / 60), (int)(s % 60));
	return buf;
}

static void line(const struct migrate_progress *m, char *buf, size_t size)
{
	char rate[24], dirty[24], left[24], disks[24] = "", ram[24] = "";

	if (m->disk_total)
		snprintf(disks, sizeof(disks), "  disks %3d%%",
			 percent(m->disk_done, m->disk_total));
	if (m->ram_total)
		snprintf(ram, sizeof(ram), "  RAM %3d%%", percent(m->ram_done, m->ram_total));
	snprintf(buf, size, "%-10s%s%s  %s/s  %s left  dirty %s/s", m->phase, disks, ram,
		 size_format(m->rate, rate, sizeof(rate)),
		 duration(m->remaining_s, left, sizeof(left)),
		 size_format(m->dirty_rate, dirty, sizeof(dirty)));
}

void progress_tick(struct progress *p, const struct migrate_progress *m)
{
	char text[256];

	if (would_wait(p))
		return;
	if (p->json) {
		print_json(progress_json(m));
		return;
	}
	line(m, text, sizeof(text));
	if (p->terminal) {
		struct winsize ws = {0};

		/* A line that wraps cannot be redrawn. */
		if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 1 &&
		    ws.ws_col <= sizeof(text))
			text[ws.ws_col - 1] = 0;
		fprintf(stderr, "\r%s\033[K", text);
		p->drawn = 1;
	} else if (p->ticks++ % PLAIN_EVERY == 0) {
		fprintf(stderr, "%s\n", text);
	}
}

static json_t *streams_json(const struct migrate_result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->stream_count; i++)
		json_array_append_new(
		    list, json_pack("{s:s,s:s,s:I,s:I}", "name", r->streams[i].name, "class",
				    stream_class_name(r->streams[i].class), "bytes",
				    (json_int_t)r->streams[i].bytes, "rate_bytes_per_s",
				    (json_int_t)r->streams[i].rate));
	return list;
}

static void end_json(const struct migrate_result *r)
{
	json_t *o = json_pack("{s:s,s:s,s:I,s:I,s:o}", "event",
			      err_is_set(&r->err) ? "failed" : "completed", "job", r->job,
			      "total_ms", (json_int_t)r->total_ms, "passes", (json_int_t)r->passes,
			      "streams", streams_json(r));
	json_t *there;

	if (err_is_set(&r->err)) {
		json_object_set_new(o, "code", json_string(err_code_name(r->err.code)));
		json_object_set_new(o, "error", json_string(r->err.text));
		json_object_set_new(o, "unknown", json_boolean(r->unknown));
	} else {
		there = json_pack("{s:s,s:b}", "qmp", r->there.qmp, "launched", r->there.launched);
		if (*r->there.dir)
			json_object_set_new(there, "dir", json_string(r->there.dir));
		if (r->there.pid)
			json_object_set_new(there, "pid", json_integer((json_int_t)r->there.pid));
		json_object_set_new(o, "downtime_ms", json_integer((json_int_t)r->downtime_ms));
		json_object_set_new(o, "destination", there);
	}
	print_json(o);
}

void progress_end(struct progress *p, const struct migrate_result *r)
{
	uint64_t bytes = 0;
	char a[24], b[24];

	clear(p);
	if (p->json) {
		end_json(r);
		return;
	}
	if (err_is_set(&r->err))
		return;
	for (size_t i = 0; i < r->stream_count; i++)
		bytes += r->streams[i].bytes;
	printf("The VM %s on the destination.\n", r->running ? "runs" : "is paused");
	printf("  total time   %.1f s\n", (double)r->total_ms / 1000);
	printf("  downtime     %" PRIu64 " ms\n", r->downtime_ms);
	printf("  passes       %" PRIu64 "\n", r->passes);
	printf("  %-24s %10s  %12s\n", "stream", "bytes", "mean rate");
	for (size_t i = 0; i < r->stream_count; i++)
		printf("  %-24s %10s  %10s/s\n", r->streams[i].name,
		       size_format(r->streams[i].bytes, a, sizeof(a)),
		       size_format(r->streams[i].rate, b, sizeof(b)));
	printf("  %-24s %10s  %10s/s\n", "all", size_format(bytes, a, sizeof(a)),
	       size_format(r->total_ms ? bytes * 1000 / r->total_ms : 0, b, sizeof(b)));
	if (*r->there.qmp)
		printf("  its monitor  %s\n", r->there.qmp);
	if (*r->there.dir)
		printf("  its folder   %s\n", r->there.dir);
}
