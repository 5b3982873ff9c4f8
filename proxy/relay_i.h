/* What relay.c and relay_end.c share: the first calls the second. */
#ifndef ADIT_PROXY_RELAY_I_H
#define ADIT_PROXY_RELAY_I_H

#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "proxy/connector.h"
#include "proxy/relay.h"

enum relay_state {
	RELAY_CONNECTING, /* no endpoint yet: takes and gives nothing */
	RELAY_RUNNING,	  /* either direction may have ended, not both */
	RELAY_OVER,	  /* stream ended, endpoint closed or in line for it: waits to be reaped */
};

struct relay {
	TAILQ_ENTRY(relay) line;  /* while in_line */
	LIST_ENTRY(relay) listed; /* le_prev NULL: in no list */
	struct event_base *base;
	struct stream *stream;
	relay_on_end *on_end;
	void *ctx;
	int fd;
	enum relay_state state;
	struct connector *connector;
	relay_check *is_right;	      /* NULL: whoever listens is */
	unsigned opened : 1;	      /* by this side: words only */
	unsigned widened : 1;	      /* its buffer is as large as it gets */
	unsigned tcp : 1;	      /* the endpoint is a TCP socket */
	unsigned readable : 1;	      /* not drained since the last edge */
	unsigned hung_up : 1;	      /* the endpoint will write no more: an end is to be read */
	unsigned full : 1;	      /* the endpoint takes no bytes now */
	unsigned in_ended : 1;	      /* endpoint to stream */
	unsigned out_ended : 1;	      /* stream to endpoint */
	unsigned out_ended_early : 1; /* the same, before there was an endpoint */
	unsigned in_line : 1;	      /* its endpoint is still to be closed */
	unsigned ending : 1;	      /* on_end runs */
	uint64_t pushed_bytes;
	uint64_t drain_until; /* of pushed_bytes, in this turn; 0: it is not being drained */
	struct event read;
	struct event write;
	struct event check;
	struct event reap;
	enum code code;
	char reason[STREAM_REASON_MAX];
};

/* ---- relay_end.c ---- */

/* Goes to a state behind the one it is in. */
void relay_i_set_state(struct relay *r, enum relay_state to);
/* Over: the stream has ended, or been reset, already. */
void relay_i_end(struct relay *r, enum code code, const char *reason);
/* Over, with its session: there may be thousands. */
void relay_i_end_with_session(struct relay *r, const char *reason);
/* Its last event (reap): frees it, or those at the head of the line. */
void relay_i_on_reap(evutil_socket_t fd, short what, void *ctx);

#endif
