/*
 * See serve_notify.h. All is said from a timer of the event loop, so that a loop that hangs is
 * silent, and the manager's watchdog sees it. So is one that turns too slowly to serve anybody:
 * where the timer comes late, the watchdog is not fed. What could not be said is said at the next
 * turn. Owned by adit serve.
 */
#include "cli/serve/serve_notify.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum {
	TICK_MS = 1000,
	WATCHDOG_TICKS = 4,	    /* within the time that the watchdog gives */
	LATE_MS = 1000,		    /* of a tick: a turn of the loop was as long, or longer */
	EXTEND_MS = 30000,	    /* asked for at a time; */
	EXTEND_EVERY_MS = 10000,    /* in time */
	ENDING_MS = 60 * 60 * 1000, /* and all in all */
};

static void count_words(char *buf, size_t size, unsigned n, const char *one, const char *many)
{
	if (n == 0)
		snprintf(buf, size, "no %s", one);
	else
		snprintf(buf, size, "%u %s", n, n == 1 ? one : many);
}

static void tell_status(struct serve_notify *n, const struct serve_notify_count *c)
{
	char sessions[32], coming[32], going[32], text[sizeof(n->status)];

	count_words(sessions, sizeof(sessions), c->sessions, "session", "sessions");
	count_words(coming, sizeof(coming), c->coming, "VM coming", "VMs coming");
	count_words(going, sizeof(going), c->going, "VM going", "VMs going");
	snprintf(text, sizeof(text), "%s%s, %s, %s", n->is_ending ? "Ending: " : "", sessions,
		 coming, going);
	if (strcmp(text, n->status) == 0 || notify_send(&n->to, "STATUS=%s\n", text) < 0)
		return;
	snprintf(n->status, sizeof(n->status), "%s", text);
}

/* While jobs that end by themselves are waited for. */
static void ask_for_time(struct serve_notify *n, const struct serve_notify_count *c)
{
	uint64_t now_ms = clock_ms();

	if (!n->is_ending || !(c->coming + c->going) || now_ms - n->ending_ms >= ENDING_MS ||
	    (n->extended_ms && now_ms - n->extended_ms < EXTEND_EVERY_MS))
		return;
	if (notify_send(&n->to, "EXTEND_TIMEOUT_USEC=%u\n", EXTEND_MS * 1000u) == 0)
		n->extended_ms = now_ms;
}

/* Whether the loop has kept this tick waiting. One such turn is nothing; the watchdog acts when
 * there was none but such for all of its time. */
static bool is_late(struct serve_notify *n, uint64_t now_ms)
{
	uint64_t since_ms = now_ms - n->ticked_ms;

	return n->ticked_ms && since_ms > n->tick_ms + LATE_MS;
}

static void tell(struct serve_notify *n)
{
	struct serve_notify_count c = {0};
	uint64_t now_ms = clock_ms();

	if (!n->to.wanted)
		return;
	if (n->owed && notify_send(&n->to, "%s\n", n->owed) == 0)
		n->owed = NULL;
	if (n->to.watchdog_ms && !is_late(n, now_ms) &&
	    now_ms - n->watchdog_ms >= n->to.watchdog_ms / (WATCHDOG_TICKS + 1) &&
	    notify_send(&n->to, "WATCHDOG=1\n") == 0)
		n->watchdog_ms = now_ms;
	n->look(n->ctx, &c);
	tell_status(n, &c);
	ask_for_time(n, &c);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct serve_notify *n = ctx;

	(void)fd;
	(void)what;
	tell(n);
	n->ticked_ms = clock_ms();
}

int serve_notify_init(struct serve_notify *n, struct event_base *base, serve_notify_look *look,
		      void *ctx, struct err *e)
{
	unsigned tick_ms = TICK_MS;
	struct timeval every;

	memset(n, 0, sizeof(*n));
	notify_init(&n->to);
	n->look = look;
	n->ctx = ctx;
	if (!n->to.wanted)
		return 0;
	if (n->to.watchdog_ms && n->to.watchdog_ms / WATCHDOG_TICKS < tick_ms)
		tick_ms = n->to.watchdog_ms / WATCHDOG_TICKS + 1;
	n->tick = event_new(base, -1, EV_PERSIST, on_tick, n);
	n->tick_ms = tick_ms;
	every = clock_timeval(tick_ms);
	if (!n->tick || event_add(n->tick, &every) < 0)
		return err_set(e, ERR_SPACE, "no memory for words to the service manager");
	return 0;
}

void serve_notify_ready(struct serve_notify *n)
{
	n->owed = "READY=1";
	tell(n);
}

void serve_notify_reloading(struct serve_notify *n)
{
	notify_send(&n->to, "RELOADING=1\nMONOTONIC_USEC=%llu\n", (unsigned long long)clock_us());
}

void serve_notify_stopping(struct serve_notify *n)
{
	if (n->is_ending)
		return;
	n->is_ending = 1;
	n->ending_ms = clock_ms();
	n->owed = "STOPPING=1";
	tell(n);
}

void serve_notify_fini(struct serve_notify *n)
{
	if (n->tick)
		event_free(n->tick);
	notify_fini(&n->to);
	memset(n, 0, sizeof(*n));
}
