/*
 * What the library's files share; nobody else includes it.
 *
 *   loop.c         the thread, the calls into it, the callbacks out of it
 *   adit_job.c     struct adit_job: a migration's handle
 *   adit_tunnel.c  struct adit_tunnel: a session and what it forwards
 */
#ifndef ADIT_LIB_LOOP_I_H
#define ADIT_LIB_LOOP_I_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "base/err.h"
#include "lib/adit.h"

struct event_base;
struct event;
struct loop_word;

/* In the program's thread: tells it. */
typedef void loop_deliver(void *owner, const struct loop_word *word);

/* A callback that waits. */
struct loop_word {
	TAILQ_ENTRY(loop_word) link;
	loop_deliver *deliver;
	void *owner;
	bool fleeting; /* the next one of its kind replaces it */
	char *text;
	struct adit_error error;
};

/* What lives in the loop's thread, and ends with the loop at the latest. */
struct loop_owned {
	LIST_ENTRY(loop_owned) link;	    /* removed by its owner when it has gone */
	void (*drop)(struct loop_owned *o); /* as if the program had freed or closed it */
};

struct adit_loop {
	pthread_t thread;
	struct event_base *base; /* the thread's, as the list below */
	struct event *ev_wake;
	bool ending; /* the thread's */
	LIST_HEAD(, loop_owned) owned;

	int wake;  /* eventfd: calls wait for the thread */
	int ready; /* eventfd: words wait for the program */
	atomic_bool stop;

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t called;
	TAILQ_HEAD(, loop_call) calls;
	TAILQ_HEAD(loop_words, loop_word) words;
	unsigned live; /* jobs that run, tunnels that are open */
};

/* Runs fn(arg) in the loop's thread, and waits for its end. */
void loop_call(struct adit_loop *loop, void (*fn)(void *arg), void *arg);

/* From the loop's thread: the program is to be told. text (may be NULL) is taken. error is
 * NULL but for the end, which is told whatever else waits. A fleeting word replaces the one
 * of its owner that still waits. A word is lost when memory is short. */
void loop_post(struct adit_loop *loop, loop_deliver *deliver, void *owner, char *text,
	       const struct adit_error *error, bool fleeting);

/* No word of owner is told any more. */
void loop_forget(struct adit_loop *loop, const void *owner);

/* One more or one less that keeps adit_loop_run from ending. */
void loop_live(struct adit_loop *loop, int change);

/* *out may be NULL. */
void loop_error(struct adit_error *out, const struct err *e);

#endif
