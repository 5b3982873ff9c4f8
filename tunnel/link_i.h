/* What the files of a link share: link.c, link_in.c, link_out.c and link_end.c, of which each calls
 * only those after it. */
#ifndef ADIT_TUNNEL_LINK_I_H
#define ADIT_TUNNEL_LINK_I_H

#include <event2/event.h>
#include <stdint.h>
#include <sys/queue.h>

#include "tunnel/link.h"

enum {
	INPUT_BUFFER = 256 * 1024,
	TURN_US = ACCOUNT_RUN_US, /* before others have theirs */
};

enum link_state {
	LINK_HANDSHAKE, /* the transport's handshake runs; nothing of the mux moves */
	LINK_HELLO,	/* frames move; only HELLO and CLOSE may come */
	LINK_UP,	/* everything is allowed */
	LINK_ENDING,	/* streams are told, and then the owner; no byte moves */
	LINK_LINGER,	/* the owner has let go: CLOSE goes out, what comes in is dropped */
	LINK_OVER,	/* nothing is allowed; waits for its owner to free it */
};

struct link {
	TAILQ_ENTRY(link) lingers;
	struct event_base *base;
	struct transport *transport;
	struct mux *mux;
	const struct link_ops *ops;
	void *ctx;
	enum link_state state;
	struct event *ev_read, *ev_write, *ev_timer, *ev_run, *ev_more;
	uint64_t deadline_us;		      /* of the handshake, or of lingering */
	uint64_t timer_at_us;		      /* when ev_timer is armed for; 0: not armed */
	uint64_t rtt_next_us;		      /* when to ask the kernel again */
	uint64_t discarded, discarded_before; /* all, and until the farewell was sent */
	struct err why;			      /* it is ending */
	int tell;			      /* the peer, too */
	uint32_t handshake_ms;
	int farewell; /* transport's shutdown was queued */
	struct turn turn;
	int deaf;      /* ev_read is not armed: its turn has to wait anyhow */
	int has_input; /* the socket is readable, or the transport's buffer */
	uint8_t *rest; /* what was read, and waits for a turn; NULL */
	size_t rest_at, rest_len;
	size_t input_size; /* to read at a time: less for a peer whose bytes take long */
	unsigned busy;
	int free_due;
};

/* ---- link_end.c ---- */

/* Goes to a state behind the one it is in. */
void link_i_set_state(struct link *l, enum link_state state);
/* Frees it at once. */
void link_i_destroy(struct link *l);
/* Between the two nothing frees it; the second does, if it is due. */
void link_i_enter(struct link *l);
void link_i_leave(struct link *l);
/* For what comes first: the deadline, or what the mux waits for. */
void link_i_arm_timer(struct link *l, uint64_t now_us);
/* A turn, after the other events of this turn of the loop. */
void link_i_ask_turn(struct link *l);
/* A turn in the next turn of the loop, after the sockets were looked at again: else everybody
 * else would starve. */
void link_i_go_on(struct link *l);
/* Lets go of the streams' world and sees to it that CLOSE gets out. */
void link_i_start_linger(struct link *l);
/* It has lingered; link_i_leave frees it. */
void link_i_linger_over(struct link *l);
/* Adds lost (tcpinfo.h) to the reason; NULL: there is nothing to add. */
void link_i_add_lost(struct err *e, const char *lost);
/* No stream is left: tells the owner, once, that it is over. */
void link_i_ended(struct link *l);
/* Tells some of the streams, whose users may close or free the session meanwhile. */
void link_i_end_some(struct link *l);
/* It is over, for this reason. */
void link_i_end(struct link *l, const struct err *why);

/* ---- link_out.c ---- */

/* Moves what is in the transport's buffer, and waits for the socket if it must. 0 or
 * -1 with *e. */
int link_i_flush(struct link *l, struct err *e);
/* Sends what is due, and ends the link when that fails. */
void link_i_run(struct link *l);

/* ---- link_in.c ---- */

/* Takes in what is there, or what was left of it. */
void link_i_input(struct link *l);

#endif
