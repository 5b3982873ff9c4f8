/* See progress.h. Prints; decides nothing. */
#include "cli/commands/progress.h"

#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/size.h"
#include "cli/common/json_line.h"
#include "control/source.h"

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

void progress_clear(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = 0;
}

void progress_phase(struct progress *p, const char *phase)
{
	snprintf(p->phase, sizeof(p->phase), "%s", phase);
	if (p->json && !would_wait(p))
		json_line_take(migrate_json_phase(phase));
}

void progress_note(struct progress *p, const char *text)
{
	if (would_wait(p))
		return;
	if (p->json) {
		json_line_take(migrate_json_note(text));
		return;
	}
	progress_clear(p);
	fprintf(stderr, "note: %s\n", text);
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
		json_line_take(migrate_json_progress(m));
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

void progress_end(struct progress *p, const struct migrate_result *r)
{
	uint64_t bytes = 0;
	char a[24], b[24];

	progress_clear(p);
	if (p->json) {
		json_line_take(migrate_json_end(r));
		return;
	}
	if (err_is_set(&r->err))
		return;
	for (size_t i = 0; i < r->stream_count; i++)
		bytes += r->streams[i].bytes;
	printf("The VM %s on the destination.\n", r->running ? "runs" : "is paused");
	printf("  total time   %.1f s\n", (double)r->total_ms / 1000);
	printf("  downtime     %" PRIu64 " ms\n", r->downtime_ms);
	printf("  pause        %" PRIu64 " ms\n", r->pause_ms);
	printf("  stall        %" PRIu64 " ms, the longest before it\n", r->stall_ms);
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
	if (*r->there.kept)
		printf("  start again  %s\n", r->there.kept);
}
