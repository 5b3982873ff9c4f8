/*
 * Lookups of names: see resolve.h.
 *
 * getaddrinfo blocks for as long as a name server is silent, and a loop that
 * stands still for that long is taken for dead by its peers. So each lookup has
 * a thread, at most RESOLVE_THREADS_MAX at once in the process; what is above
 * that is tried again every 50 ms.
 *
 * A lookup is shared by the loop and its thread: whichever lets go of it last
 * frees it. The thread touches only job->at, job->err, job->wake and job->held.
 */
#include "tunnel/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/fd.h"

enum { RESOLVE_THREADS_MAX = 16, RESOLVE_RETRY_MS = 50 };

struct resolve {
	struct addr addr;
	struct addr_resolved at;
	struct err err;
	int wake;	 /* eventfd: the thread has finished */
	atomic_int done; /* at and err are the loop's again */
	atomic_int held; /* loop and thread, those that still use it */
	resolve_done *fn;
	void *ctx;
	struct event finished;
	struct event retry;
};

static atomic_int threads;

int resolve_is_literal(const struct addr *a)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *list;

	if (a->kind == ADDR_UNIX || !a->host[0])
		return 1;
	if (getaddrinfo(a->host, NULL, &hints, &list) != 0)
		return 0;
	freeaddrinfo(list);
	return 1;
}

static void let_go(struct resolve *r)
{
	if (atomic_fetch_sub(&r->held, 1) > 1)
		return;
	fd_close(&r->wake);
	free(r);
}

static void *look_up(void *arg)
{
	struct resolve *r = arg;
	uint64_t one = 1;
	ssize_t n;

	addr_resolve(&r->addr, 0, &r->at, &r->err);
	atomic_store(&r->done, 1);
	/* An eventfd that was never written to is not full: this cannot fail. */
	n = write(r->wake, &one, sizeof(one));
	(void)n;
	atomic_fetch_sub(&threads, 1);
	let_go(r);
	return NULL;
}

/* 0, or an errno; EAGAIN when there are too many threads. */
static int start_thread(struct resolve *r)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	if (atomic_fetch_add(&threads, 1) >= RESOLVE_THREADS_MAX) {
		atomic_fetch_sub(&threads, 1);
		return EAGAIN;
	}
	atomic_fetch_add(&r->held, 1);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, look_up, r);
	pthread_attr_destroy(&attr);
	if (rc != 0) {
		atomic_fetch_sub(&threads, 1);
		atomic_fetch_sub(&r->held, 1);
	}
	return rc;
}

static void on_retry(evutil_socket_t fd, short what, void *ctx)
{
	static const struct timeval later = {0, RESOLVE_RETRY_MS * 1000};
	struct resolve *r = ctx;
	int rc;

	(void)fd;
	(void)what;
	rc = start_thread(r);
	if (rc == 0)
		return;
	if (rc == EAGAIN) {
		event_add(&r->retry, &later);
	} else {
		err_set(&r->err, ERR_SYSTEM, "\"%s\" cannot be looked up: %s", r->addr.host,
			strerror(rc));
		event_active(&r->finished, EV_READ, 0);
	}
}

static void on_finished(evutil_socket_t fd, short what, void *ctx)
{
	struct resolve *r = ctx;

	(void)fd;
	(void)what;
	event_del(&r->finished);
	if (!atomic_load(&r->done) && !err_is_set(&r->err))
		err_set(&r->err, ERR_INTERNAL, "a lookup ended before its end");
	r->fn(r->ctx, &r->at, &r->err);
	let_go(r);
}

struct resolve *resolve_start(struct event_base *base, const struct addr *a, resolve_done *fn,
			      void *ctx, struct err *e)
{
	struct resolve *r = calloc(1, sizeof(*r));

	if (!r) {
		err_set(e, ERR_SYSTEM, "memory is short");
		return NULL;
	}
	r->addr = *a;
	r->fn = fn;
	r->ctx = ctx;
	atomic_init(&r->held, 1);
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wake < 0) {
		err_set_sys(e, errno, "\"%s\" cannot be looked up", a->host);
		goto fail;
	}
	event_assign(&r->retry, base, -1, 0, on_retry, r);
	event_assign(&r->finished, base, r->wake, EV_READ, on_finished, r);
	if (event_add(&r->finished, NULL) < 0) {
		err_set(e, ERR_SYSTEM, "\"%s\" cannot be looked up", a->host);
		goto fail_wake;
	}
	on_retry(-1, 0, r);
	return r;

fail_wake:
	fd_close(&r->wake);
fail:
	free(r);
	return NULL;
}

void resolve_cancel(struct resolve *r)
{
	if (!r)
		return;
	event_del(&r->finished);
	event_del(&r->retry);
	let_go(r);
}
