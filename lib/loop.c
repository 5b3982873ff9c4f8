/*
 * The loop of a program that embeds adit: see adit.h.
 *
 * How it works. A thread runs the event loop that every floor below is written for; nothing
 * below knows of threads. The program's calls are run in that thread (loop_call: the caller
 * waits, the thread never waits for the program, so they cannot lock each other up). What
 * is to be told to the program waits in a list (loop_post) until it comes for it. The list
 * stays short when nobody comes: progress replaces progress, and what a migration says
 * beside it is bounded.
 *
 * All signals are blocked in the thread: they are the program's, and a broken pipe is an
 * error number here.
 *
 * Owned by the program. Owns its jobs and tunnels.
 */
#include "lib/loop_i.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/fd.h"
#include "base/log.h"
#include "proxy/relay.h"
#include "tunnel/session.h"
#include "tunnel/transport_ssh.h"

enum { WORDS_MAX = 4096 /* of one owner; a source says fewer, a peer may try */ };

struct loop_call {
	TAILQ_ENTRY(loop_call) link;
	void (*fn)(void *arg);
	void *arg;
	bool done;
};

/* ---- the log: silent until the program asks for it ---- */

static struct {
	pthread_mutex_t lock;
	bool said; /* the program has chosen */
	void (*fn)(void *ctx, enum adit_log_level level, const char *line);
	void *ctx;
} log_to = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void to_nobody(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

static void to_program(void *ctx, enum log_level level, const char *line)
{
	void (*fn)(void *, enum adit_log_level, const char *);
	void *program;

	(void)ctx;
	pthread_mutex_lock(&log_to.lock);
	fn = log_to.fn;
	program = log_to.ctx;
	pthread_mutex_unlock(&log_to.lock);
	if (fn)
		fn(program, (enum adit_log_level)level, line);
}

void adit_log(void (*fn)(void *ctx, enum adit_log_level level, const char *line), void *ctx,
	      enum adit_log_level level)
{
	pthread_mutex_lock(&log_to.lock);
	log_to.said = true;
	log_to.fn = fn;
	log_to.ctx = ctx;
	log_set_level((enum log_level)level);
	log_set_sink(fn ? to_program : to_nobody, NULL);
	pthread_mutex_unlock(&log_to.lock);
}

static void log_begin(void)
{
	pthread_mutex_lock(&log_to.lock);
	if (!log_to.said)
		log_set_sink(to_nobody, NULL);
	pthread_mutex_unlock(&log_to.lock);
}

const char *adit_version(void)
{
	return ADIT_VERSION;
}

void loop_error(struct adit_error *out, const struct err *e)
{
	if (!out)
		return;
	memset(out, 0, sizeof(*out));
	if (!err_is_set(e))
		return;
	snprintf(out->code, sizeof(out->code), "%s", err_code_name(e->code));
	snprintf(out->text, sizeof(out->text), "%s", e->text);
}

/* ---- eventfds ---- */

static void ring(int fd)
{
	uint64_t one = 1;

	/* Full is rung, too. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

static void quiet(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		return;
}

/* ---- calls into the thread ---- */

void loop_call(struct adit_loop *loop, void (*fn)(void *arg), void *arg)
{
	struct loop_call call = {.fn = fn, .arg = arg};

	if (pthread_equal(pthread_self(), loop->thread)) {
		fn(arg);
		return;
	}
	pthread_mutex_lock(&loop->lock);
	TAILQ_INSERT_TAIL(&loop->calls, &call, link);
	ring(loop->wake);
	while (!call.done)
		pthread_cond_wait(&loop->called, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct adit_loop *loop = arg;
	struct loop_call *call;

	(void)what;
	quiet(fd);
	pthread_mutex_lock(&loop->lock);
	while ((call = TAILQ_FIRST(&loop->calls)) != NULL) {
		TAILQ_REMOVE(&loop->calls, call, link);
		pthread_mutex_unlock(&loop->lock);
		call->fn(call->arg);
		pthread_mutex_lock(&loop->lock);
		call->done = true;
		pthread_cond_broadcast(&loop->called);
	}
	pthread_mutex_unlock(&loop->lock);
}

static void *run(void *arg)
{
	struct adit_loop *loop = arg;

	while (!loop->ending || !LIST_EMPTY(&loop->owned))
		event_base_loop(loop->base, EVLOOP_ONCE);
	session_linger(loop->base);
	relay_see_off();
	return NULL;
}

/* ---- words out of it ---- */

static void word_free(struct loop_word *w)
{
	free(w->text);
	free(w);
}

void loop_post(struct adit_loop *loop, loop_deliver *deliver, void *owner, char *text,
	       const struct adit_error *error, bool fleeting)
{
	struct loop_word *w = calloc(1, sizeof(*w)), *old, *next;
	unsigned count = 0;

	if (!w) {
		free(text);
		return;
	}
	w->deliver = deliver;
	w->owner = owner;
	w->text = text;
	w->fleeting = fleeting;
	if (error)
		w->error = *error;
	pthread_mutex_lock(&loop->lock);
	for (old = TAILQ_FIRST(&loop->words); old; old = next) {
		next = TAILQ_NEXT(old, link);
		if (old->owner != owner)
			continue;
		count++;
		if (fleeting && old->fleeting) {
			TAILQ_REMOVE(&loop->words, old, link);
			word_free(old);
		}
	}
	if (count >= WORDS_MAX && !error) {
		pthread_mutex_unlock(&loop->lock);
		word_free(w);
		return;
	}
	TAILQ_INSERT_TAIL(&loop->words, w, link);
	ring(loop->ready);
	pthread_mutex_unlock(&loop->lock);
}

void loop_forget(struct adit_loop *loop, const void *owner)
{
	struct loop_word *w, *next;

	pthread_mutex_lock(&loop->lock);
	for (w = TAILQ_FIRST(&loop->words); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->owner != owner)
			continue;
		TAILQ_REMOVE(&loop->words, w, link);
		word_free(w);
	}
	pthread_mutex_unlock(&loop->lock);
}

void loop_live(struct adit_loop *loop, int change)
{
	pthread_mutex_lock(&loop->lock);
	loop->live = (unsigned)((int)loop->live + change);
	/* Whoever waits in adit_loop_run looks again. */
	ring(loop->ready);
	pthread_mutex_unlock(&loop->lock);
}

/* The next one, NULL when there is none. */
static struct loop_word *next_word(struct adit_loop *loop)
{
	struct loop_word *w;

	pthread_mutex_lock(&loop->lock);
	w = TAILQ_FIRST(&loop->words);
	if (w)
		TAILQ_REMOVE(&loop->words, w, link);
	else
		quiet(loop->ready);
	pthread_mutex_unlock(&loop->lock);
	return w;
}

int adit_loop_step(struct adit_loop *loop, int timeout_ms)
{
	struct pollfd ready = {.fd = loop->ready, .events = POLLIN};
	struct loop_word *w;
	int made = 0;

	if (poll(&ready, 1, timeout_ms) <= 0)
		return 0;
	while (made < WORDS_MAX && !atomic_load(&loop->stop) && (w = next_word(loop)) != NULL) {
		w->deliver(w->owner, w);
		word_free(w);
		made++;
	}
	return made;
}

static bool anything_left(struct adit_loop *loop)
{
	bool left;

	pthread_mutex_lock(&loop->lock);
	left = loop->live > 0 || !TAILQ_EMPTY(&loop->words);
	pthread_mutex_unlock(&loop->lock);
	return left;
}

int adit_loop_run(struct adit_loop *loop)
{
	while (anything_left(loop)) {
		if (atomic_exchange(&loop->stop, false))
			return 1;
		adit_loop_step(loop, -1);
	}
	return atomic_exchange(&loop->stop, false) ? 1 : 0;
}

void adit_loop_stop(struct adit_loop *loop)
{
	int saved = errno;

	atomic_store(&loop->stop, true);
	ring(loop->ready);
	errno = saved;
}

int adit_loop_fd(const struct adit_loop *loop)
{
	return loop->ready;
}

/* ---- life ---- */

/* The signals of a fault stay: a sanitizer, or the program, wants to hear of those. */
static int start_thread(struct adit_loop *loop)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&loop->thread, NULL, run, loop);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static void dispose(struct adit_loop *loop)
{
	struct loop_word *w;

	while ((w = TAILQ_FIRST(&loop->words)) != NULL) {
		TAILQ_REMOVE(&loop->words, w, link);
		word_free(w);
	}
	if (loop->ev_wake)
		event_free(loop->ev_wake);
	if (loop->base)
		event_base_free(loop->base);
	fd_close(&loop->wake);
	fd_close(&loop->ready);
	pthread_cond_destroy(&loop->called);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

struct adit_loop *adit_loop_new(struct adit_error *error)
{
	struct adit_loop *loop = calloc(1, sizeof(*loop));
	struct err e = ERR_INIT;
	int rc;

	log_begin();
	/* here, in the program's own thread, and not in the loop's */
	transport_ssh_prepare();
	if (!loop) {
		err_set(&e, ERR_SPACE, "no memory for a loop");
		loop_error(error, &e);
		return NULL;
	}
	LIST_INIT(&loop->owned);
	TAILQ_INIT(&loop->calls);
	TAILQ_INIT(&loop->words);
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->called, NULL);
	atomic_init(&loop->stop, false);
	loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->base = event_base_new();
	if (loop->base && loop->wake >= 0)
		loop->ev_wake =
		    event_new(loop->base, loop->wake, EV_READ | EV_PERSIST, on_wake, loop);
	if (loop->ready < 0 || !loop->ev_wake || event_add(loop->ev_wake, NULL) < 0) {
		err_set_sys(&e, errno, "an event loop cannot be made");
		goto fail;
	}
	rc = start_thread(loop);
	if (rc != 0) {
		err_set_sys(&e, rc, "a thread cannot be started");
		goto fail;
	}
	return loop;
fail:
	loop_error(error, &e);
	dispose(loop);
	return NULL;
}

static void end_all(void *arg)
{
	struct adit_loop *loop = arg;
	struct loop_owned *o, *next;

	loop->ending = true;
	for (o = LIST_FIRST(&loop->owned); o; o = next) {
		next = LIST_NEXT(o, link);
		o->drop(o);
	}
}

void adit_loop_free(struct adit_loop *loop)
{
	if (!loop)
		return;
	loop_call(loop, end_all, loop);
	pthread_join(loop->thread, NULL);
	dispose(loop);
}
