/*
 * What the files of the mux share; nobody else includes it.
 *
 *   mux.c     life of a mux, what goes out (mux_next), time
 *   mux_rx.c  what comes in: parsing, and what each frame does
 *   stream.c  a stream's states and its user's calls
 *   sched.c   whose turn it is to send: classes, weights, rate limits
 *   window.c  receive windows: credit, growth, the budget
 *   account.c what a peer takes of the loop's time and of memory (account.h)
 */
#ifndef ADIT_TUNNEL_MUX_I_H
#define ADIT_TUNNEL_MUX_I_H

#include <sys/queue.h>

#include "base/bytes.h"
#include "tunnel/account.h"
#include "tunnel/framebuf.h"
#include "tunnel/mux.h"

enum {
	MUX_BUCKETS = 1024,
	MUX_ACK_BYTES = 256 * 1024, /* acknowledge at the latest after this much */
	MUX_ACK_FRAMES = 128,
	MUX_ACK_DELAY_US = 10000,     /* or this long */
	MUX_TAKE_FRAMES = 16,	      /* in one go of mux_take */
	MUX_RELEASE_FRAMES = 256,     /* freed in one go */
	MUX_RTT_EVERY_US = 1000000,   /* a PING this often while bytes flow */
	MUX_RETAIN_SLACK = 16 << 20,  /* numbered control frames beyond the budget */
	MUX_RETAIN_LEAST = 256 << 10, /* may be kept whatever the peer's other sessions hold */
	/* Streams that have ended, and whose end is not acknowledged: what a peer without any right
	 * can have us keep, and free. The second, where there is no room. */
	MUX_ENDED_MAX = 2048,
	MUX_ENDED_LEAST = 512,
	WINDOW_INITIAL = 64 * 1024, /* at most */
	WINDOW_USUAL = 256 * 1024,  /* as long as the budget is far */
};

/* What we may still send on a stream. */
enum stream_out {
	STREAM_OUT_OPEN,  /* DATA, EOF, RESET */
	STREAM_OUT_ENDED, /* EOF is queued or sent: only RESET */
};

/* What may still come in on it. */
enum stream_in {
	STREAM_IN_OPEN,	  /* DATA, EOF, RESET */
	STREAM_IN_ENDING, /* EOF came; bytes wait for the endpoint: only RESET may come */
	STREAM_IN_ENDED,  /* all was taken, on_eof was called: only RESET may come */
};

enum sched_place { SCHED_NOWHERE, SCHED_FRESH, SCHED_OLD, SCHED_THROTTLED };

/* Owned by its mux (in its table) and by its user (the handle): freed by mux_reap
 * when both are done with it, by stream_free when the mux has gone. */
struct stream {
	struct mux *mux; /* NULL: the session has ended */
	LIST_ENTRY(stream) bucket;
	uint32_t id;
	enum stream_class class;
	const char *target;	      /* behind the struct */
	const struct stream_ops *ops; /* NULL until accepted */
	void *ctx;

	enum stream_out out;
	enum stream_in in;
	int dead;	  /* reset, by whichever side */
	int user_gone;	  /* stream_free was called */
	unsigned calling; /* depth of callbacks: no free while > 0 */

	int ready; /* the user said so, and pull has not said otherwise */
	enum sched_place place;
	TAILQ_ENTRY(stream) sched;
	struct rate *rate;
	uint64_t tx_sent, tx_acked, tx_limit;
	uint32_t unacked; /* numbered frames queued or sent, not acknowledged */

	struct bytes rxq;
	uint64_t rx_received, rx_consumed, rx_limit;
	uint32_t window;  /* 0 once it is closed */
	uint64_t charged; /* its part of the mux's granted_bytes */
	uint64_t epoch_us, epoch_consumed;
	int credit_due;
	TAILQ_ENTRY(stream) credit;

	size_t held; /* by the user (stream_hold) */

	int ended; /* counted in its mux's */
	int reap_due;
	TAILQ_ENTRY(stream) reap;
};

TAILQ_HEAD(stream_list, stream);
LIST_HEAD(stream_bucket, stream);

struct sched_class {
	struct stream_list fresh; /* had nothing to send a while ago: go first */
	struct stream_list old;	  /* had a turn and want more */
	unsigned fresh_run;	  /* turns that fresh streams had in a row */
	uint64_t vtime;		  /* bytes sent, scaled by the weight */
};

struct mux {
	struct mux_config config;
	const struct mux_ops *ops;
	void *ctx;

	struct stream_bucket table[MUX_BUCKETS];
	uint32_t streams, opened_max_peer, next_id;
	uint32_t ended; /* of streams: nobody's any more but for the peer's ACK */
	struct stream_list reap;

	/* out */
	int hello_sent, woken;
	int close_queued, close_sent;
	struct framebuf *close;
	struct framebuf_pool own_pool, *pool;
	struct framebuf_list ctl;      /* OPEN, EOF, RESET: go in order, before any DATA */
	struct framebuf_list retained; /* numbered, sent, not acknowledged */
	uint64_t retained_bytes, tx_next, tx_acked;
	int release_wake;	       /* frames were freed, and mux_wake not called yet */
	struct stream_list credits[2]; /* [1]: of class control, which no rate holds */
	struct sched_class classes[STREAM_CLASSES];
	struct stream_list throttled;
	uint8_t scratch[FRAME_HEADER_LEN + FRAME_SMALL_MAX];
	int pong_due, ping_due, ack_due;
	uint64_t pong_value;

	/* in */
	int hello_seen;
	struct frame_hello peer;
	uint8_t head[FRAME_HEADER_LEN];
	uint32_t head_have;
	int in_payload;
	struct frame_header cur;
	uint32_t cur_have;
	uint8_t small[FRAME_SMALL_MAX];
	uint64_t rx_next;
	uint32_t ack_bytes, ack_frames;
	uint64_t ack_at_us; /* 0: none is waiting */

	/* what the peer holds, over all its sessions; NULL: nobody counts. Borrowed */
	struct account *account;
	uint64_t charged_bytes; /* of it, for this mux */

	/* of the peer, over all its sessions; NULL: no limit. Not for class control. Borrowed */
	struct rate *tx_rate, *rx_rate;

	uint32_t window_initial; /* of every stream that the peer may send on */
	uint32_t windows;	 /* that are open */

	/* time and measure */
	uint64_t now_us, heard_us, pinged_us, moved_at_ping;
	uint64_t rtt_us, rtt_min_us, path_rtt_us;
	uint64_t sent_bytes, received_bytes, queued_bytes, granted_bytes;
	uint64_t done; /* see mux_done */
	int oom;
	int calling;
};

/* mux.c */
/* The mux holds so much more, or less. */
static inline void mux_charge(struct mux *m, int64_t bytes)
{
	m->charged_bytes += (uint64_t)bytes;
	account_charge(m->account, bytes);
}

/* Where stream id is looked for. The numbers are the peer's to choose, so the place is not. */
struct stream_bucket *mux_bucket(struct mux *m, uint32_t id);
struct stream *mux_find(struct mux *m, uint32_t id);
void mux_wake(struct mux *m);
int mux_fail(struct mux *m, enum code code, struct err *e);
/* Queues a numbered control frame of s; payload of len bytes. */
void mux_queue(struct mux *m, struct stream *s, enum frame_type type, const uint8_t *payload,
	       size_t len);
/* Frees some of the frames that were acknowledged (mux_owes: there are more). */
void mux_release_some(struct mux *m);

/* Why a stream is refused for want of memory. */
#define MUX_NO_ROOM                                                                                \
	"the sessions of this peer hold as much memory as they may (memory and memory-total in "   \
	"adit.conf)"

/* stream.c */
struct stream *stream_new(struct mux *m, uint32_t id, enum stream_class class, const char *target);
/* Every callback runs between these two; what the user asked for in it that must
 * wait for its end is done by stream_leave, which may free s. */
void stream_enter(struct stream *s);
void stream_leave(struct stream *s);
void stream_set_out(struct stream *s, enum stream_out out);
void stream_set_in(struct stream *s, enum stream_in in);
void stream_deliver(struct stream *s, const uint8_t *data, size_t len);
void stream_deliver_eof(struct stream *s);
void stream_deliver_reset(struct stream *s, enum code code, const char *reason);
/* Puts s on the list of mux_reap when both sides are done with it. */
void stream_check_done(struct stream *s);
void stream_detach(struct stream *s, const char *reason);
void stream_destroy(struct stream *s);

/* sched.c */
void sched_init(struct mux *m);
void sched_add(struct mux *m, struct stream *s);
void sched_remove(struct mux *m, struct stream *s);
struct stream *sched_pick(struct mux *m);
/* s had its turn and sent bytes; put it behind the others of its class when again. */
void sched_served(struct mux *m, struct stream *s, size_t sent, int again);
void sched_throttle(struct mux *m, struct stream *s);
/* How long s may send nothing, for its own limit or the peer's. */
uint64_t sched_wait_us(const struct mux *m, const struct stream *s);
void sched_unthrottle(struct mux *m);
uint64_t sched_timeout_us(const struct mux *m);

/* rate.c */
uint64_t rate_wait_us(struct rate *r, uint64_t now_us);
size_t rate_chunk(const struct rate *r, size_t max);
void rate_spend(struct rate *r, size_t bytes);

/* window.c */
/* What every stream begins with, by the limits of the session. */
uint32_t window_initial(const struct session_config *c);
void window_open(struct stream *s);
void window_accepted(struct stream *s);
void window_consumed(struct stream *s, size_t len);
void window_close(struct stream *s);
/* Where s waits to give it. */
struct stream_list *window_list(const struct stream *s);
/* The next stream whose CREDIT is due and may go; NULL. */
struct stream *window_due(const struct mux *m);
/* Microseconds until that changes; UINT64_MAX when it does not by itself. */
uint64_t window_timeout_us(const struct mux *m);

#endif
