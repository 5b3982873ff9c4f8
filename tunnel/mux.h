/*
 * The mux: one lane's protocol, without I/O. Bytes that came in go to
 * mux_take, frames to send come from mux_next, time comes in as an argument.
 * Two of them can be joined in memory.
 */
#ifndef ADIT_TUNNEL_MUX_H
#define ADIT_TUNNEL_MUX_H

#include "tunnel/frame.h"
#include "tunnel/session.h"
#include "tunnel/stream.h"

struct account;
struct mux;

struct mux_config {
	int server;				  /* opens even streams; a client odd ones */
	uint8_t session_id[FRAME_SESSION_ID_LEN]; /* the client's choice; zero on a server */
	uint32_t required;			  /* features that the peer must have */
	struct session_config session;
};

struct mux_ops {
	/* The peer's HELLO has come and fits: streams may be opened. */
	void (*on_hello)(void *ctx);
	void (*on_open)(void *ctx, struct stream *s, enum stream_class class, const char *target);
	/* mux_next has something to give that it had not before. */
	void (*on_wake)(void *ctx);
};

struct mux *mux_new(const struct mux_config *config, const struct mux_ops *ops, void *ctx,
		    uint64_t now_us);

/* Takes bytes from the transport; calls the streams. Returns 0, or the error that
 * ends the session: *e says what, ERR_NONE in e->code with a non-zero return for an
 * orderly CLOSE of the peer. Send what mux_next still gives (a CLOSE), then stop. */
int mux_input(struct mux *m, const uint8_t *data, size_t len, uint64_t now_us, struct err *e);

/* The same for a caller with a clock: stops behind a few frames, whatever they are, and *used
 * says how far it came. Call it again with the rest, or with nothing while mux_owes says so. */
int mux_take(struct mux *m, const uint8_t *data, size_t len, size_t *used, uint64_t now_us,
	     struct err *e);

/* Whether work that the peer has caused is left over though all its bytes were taken. */
int mux_owes(const struct mux *m);

/* Grows with each thing that is done for a stream which somebody has: it is taken or let go of,
 * or bytes of it move, or may. What only keeps us busy (a stream that is refused, a frame about
 * none) does not count. */
uint64_t mux_done(const struct mux *m);

/* The next frame to hand to the transport: 1 and *data, *len (valid until the next
 * call of any mux or stream function), or 0 when there is none now. */
int mux_next(struct mux *m, uint64_t now_us, const uint8_t **data, size_t *len);

/* Does what is due by now (acknowledgements, keepalive, rate limits). ERR_TIMEOUT
 * when the peer is dead. */
int mux_tick(struct mux *m, uint64_t now_us, struct err *e);

/* Those of the peer's HELLO. */
uint32_t mux_peer_features(const struct mux *m);

/* Whether the peer has said nothing for as long as the keepalive's interval. */
int mux_silent(const struct mux *m, uint64_t now_us);

/* Microseconds until mux_tick wants to be called. */
uint64_t mux_timeout_us(const struct mux *m, uint64_t now_us);

/* The path's round trip as the transport knows it (0: unknown); sizes the windows. */
void mux_set_rtt(struct mux *m, uint64_t rtt_us);

/* Charges p (borrowed) with what m holds, and bounds what m takes by what p may. Once. */
enum { MUX_COST = 512 << 10 }; /* of a session by itself, with its transport's buffers */
void mux_set_account(struct mux *m, struct account *p);

/* See session_set_rates. */
void mux_set_rates(struct mux *m, struct rate *tx, struct rate *rx);

/* Opens a stream: see session_open. */
struct stream *mux_open(struct mux *m, enum stream_class class, const char *target,
			const struct stream_ops *ops, void *ctx, struct err *e);

/* Queues CLOSE as the last frame; nothing else goes out after it. */
void mux_close(struct mux *m, enum code code, const char *reason);

/* Whether the session is ending, by us or by the peer. */
int mux_closing(const struct mux *m);

/* Whether CLOSE was given out by mux_next, or the peer's has come. */
int mux_closed(const struct mux *m);

/* Ends every stream with on_reset(CODE_SESSION, reason); none is left in the mux. */
void mux_detach_streams(struct mux *m, const char *reason);

/* The same for max of them: returns how many are left. No new ones are opened from now on, and
 * nothing but CLOSE goes out. */
uint32_t mux_detach_some(struct mux *m, const char *reason, unsigned max);

/* Frees streams that both sides are done with. Not from within a callback. */
void mux_reap(struct mux *m);

void mux_stats(const struct mux *m, struct session_stats *out);
const struct frame_hello *mux_peer_hello(const struct mux *m);

/* Detaches what is left, without callbacks, and frees. */
void mux_free(struct mux *m);

#endif
