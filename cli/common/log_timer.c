/* A timer for the log: see log_timer.h. Owned by the command whose loop it is. */
#include "cli/common/log_timer.h"

#include <event2/event.h>

#include "base/log.h"

enum { EVERY_S = 5 };

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)ctx;
	log_tell_left_out(0);
}

struct event *log_timer_new(struct event_base *base)
{
	struct event *ev = event_new(base, -1, EV_PERSIST, on_tick, NULL);

	if (ev && event_add(ev, &(struct timeval){.tv_sec = EVERY_S}) < 0) {
		event_free(ev);
		ev = NULL;
	}
	return ev;
}
