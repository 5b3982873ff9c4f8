/* adit serve's word to systemd: that it is ready, how it does, that its loop still turns. */
#ifndef ADIT_CLI_SERVE_SERVE_NOTIFY_H
#define ADIT_CLI_SERVE_SERVE_NOTIFY_H

#include <stdint.h>

#include "base/err.h"
#include "base/notify.h"

struct event;
struct event_base;

/* What is under way. */
struct serve_notify_count {
	unsigned sessions;
	unsigned coming; /* VMs */
	unsigned going;
};

/* Fills *c, which is zeroed. */
typedef void serve_notify_look(void *ctx, struct serve_notify_count *c);

/* Embedded; zeroed is one that says nothing. */
struct serve_notify {
	struct notify to;
	struct event *tick;
	serve_notify_look *look;
	void *ctx;
	const char *owed; /* READY=1 or STOPPING=1, not sent yet */
	char status[256]; /* as it was last sent */
	int is_ending;
	unsigned tick_ms;
	uint64_t ticked_ms;			      /* clock_ms of the last tick; 0: none yet */
	uint64_t watchdog_ms, extended_ms, ending_ms; /* clock_ms of the last, or the first */
};

/* Begins to speak, where there is somebody to speak to (notify_init). look is called from the
 * loop now and then, until serve_notify_fini. ERR_SPACE. */
int serve_notify_init(struct serve_notify *n, struct event_base *base, serve_notify_look *look,
		      void *ctx, struct err *e);

/* Connections are accepted; also behind serve_notify_reloading. */
void serve_notify_ready(struct serve_notify *n);

/* The configuration is being read anew; serve_notify_ready says that this is done. */
void serve_notify_reloading(struct serve_notify *n);

/* It ends, once nothing is under way any more. Until then the manager is asked for more time, for
 * an hour at most. */
void serve_notify_stopping(struct serve_notify *n);

void serve_notify_fini(struct serve_notify *n);

#endif
