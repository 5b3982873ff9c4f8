/* What comes in at a link: from the transport to the mux, as much as a turn has time for. See
 * link_i.h. */
#include "tunnel/link_i.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
	INPUT_LEAST = 16 * 1024,
	DISCARD_MAX = 64 * 1024 * 1024, /* what a lingering link reads and forgets */
};

/* A buffer's worth in a turn: a peer that goes on sending holds up nobody. */
static void discard(struct link *l, uint8_t *buf)
{
	struct transport *t = l->transport;
	struct err e = ERR_INIT;
	ssize_t n;

	if (l->farewell && !t->unsent && t->ops->forget)
		n = t->ops->forget(t, buf, INPUT_BUFFER);
	else
		n = t->ops->read(t, buf, INPUT_BUFFER, &e);
	if (n > 0)
		l->discarded += (uint64_t)n;
	if (l->discarded > DISCARD_MAX ||
	    (n <= 0 && n != TRANSPORT_WANT_READ && n != TRANSPORT_WANT_WRITE))
		link_i_linger_over(l);
	else if (n > 0 && t->ops->pending(t))
		l->has_input = 1;
}

/* What is read is used up, or kept, before the next link has its turn: one buffer a thread,
 * for as long as the thread lives. NULL when memory is short. */
static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;
static int buffer_key_made;

static void make_buffer_key(void)
{
	buffer_key_made = pthread_key_create(&buffer_key, free) == 0;
}

static uint8_t *input_buffer(void)
{
	static _Thread_local uint8_t *buf;

	if (buf)
		return buf;
	pthread_once(&buffer_once, make_buffer_key);
	buf = malloc(INPUT_BUFFER);
	if (buf && buffer_key_made)
		pthread_setspecific(buffer_key, buf); /* freed with the thread */
	return buf;
}

/* What a turn has no time for is kept for the next one. 0, or -1 with *e. */
static int keep(struct link *l, const uint8_t *data, size_t len, struct err *e)
{
	if (len && !l->rest) {
		l->rest = malloc(len);
		if (!l->rest)
			return err_set(e, ERR_SPACE, "no memory for what the peer sends");
		memcpy(l->rest, data, len);
		l->rest_at = 0;
		l->rest_len = len;
		if (l->input_size > INPUT_LEAST)
			l->input_size /= 2;
	} else if (len) {
		l->rest_at = l->rest_len - len;
	} else {
		free(l->rest);
		l->rest = NULL;
	}
	return 0;
}

/* Gives the mux what came in, for as long as the turn lasts. */
static void take(struct link *l, const uint8_t *data, size_t len)
{
	uint64_t now_us = clock_us(), until_us = now_us + TURN_US;
	struct err e = ERR_INIT;
	int r;

	do {
		size_t used;

		r = mux_take(l->mux, data, len, &used, now_us, &e);
		data += used;
		len -= used;
		if (!len && !mux_owes(l->mux))
			break;
		now_us = clock_us();
	} while (!r && now_us < until_us);
	if (!r && l->state < LINK_ENDING)
		r = keep(l, data, len, &e);
	if (r)
		link_i_end(l, &e);
	else if (l->rest || mux_owes(l->mux))
		l->has_input = 1;
}

/* Asks the transport once. */
static void read_some(struct link *l, uint8_t *buf)
{
	struct transport *t = l->transport;
	size_t unsent = t->unsent;
	struct err e = ERR_INIT;
	ssize_t n;

	n = t->ops->read(t, buf, l->input_size, &e);
	/* What waited for the peer's words has gone with them; or the transport had to answer. */
	if (t->unsent != unsent)
		link_i_ask_turn(l);
	if (n == TRANSPORT_WANT_READ)
		return;
	if (n == TRANSPORT_WANT_WRITE) {
		if (link_i_flush(l, &e) < 0)
			link_i_end(l, &e);
		return;
	}
	if (n < 0) {
		if (n == TRANSPORT_EOF)
			err_set(&e, ERR_CLOSED,
				"the peer closed the connection without ending the session");
		link_i_end(l, &e);
		return;
	}
	take(l, buf, (size_t)n);
	if (!l->rest && l->input_size < INPUT_BUFFER)
		l->input_size *= 2;
	if (l->state < LINK_ENDING && t->ops->pending(t))
		l->has_input = 1;
}

void link_i_input(struct link *l)
{
	uint8_t *buf = input_buffer();
	struct err e = ERR_INIT;

	l->has_input = 0;
	if (!buf) {
		err_set(&e, ERR_SPACE, "no memory for what the peer sends");
		link_i_end(l, &e);
	} else if (l->state == LINK_LINGER) {
		discard(l, buf);
	} else if (l->rest) {
		take(l, l->rest + l->rest_at, l->rest_len - l->rest_at);
		l->has_input = 1; /* the socket is not asked before all is taken */
	} else if (mux_owes(l->mux)) {
		take(l, buf, 0);
		l->has_input = 1;
	} else {
		read_some(l, buf);
	}
}
