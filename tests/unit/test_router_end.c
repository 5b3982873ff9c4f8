/* What has thousands of streams ends in many turns of the loop: real sessions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "proxy/forward.h"
#include "proxy/relay.h"
#include "test_router_fixture.h"

enum { MANY = 200 };

enum end_by { BY_THE_PEER, BY_ROUTER, BY_ROUTERS_OWN_END, BY_FORWARD };

static int ends_in(const struct pollfd *fds)
{
	struct pollfd look[MANY];
	int ends = 0;

	memcpy(look, fds, sizeof(look));
	assert_true(poll(look, MANY, 0) >= 0);
	for (int i = 0; i < MANY; i++)
		ends += (look[i].revents & (POLLRDHUP | POLLHUP)) != 0;
	return ends;
}

static void connect_all(const struct addr *a, struct pollfd *fds)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	strcpy(un.sun_path, a->path);
	for (int i = 0; i < MANY; i++) {
		fds[i] =
		    (struct pollfd){.fd = socket(AF_UNIX, SOCK_STREAM, 0), .events = POLLRDHUP};
		assert_int_equal(connect(fds[i].fd, (struct sockaddr *)&un, sizeof(un)), 0);
	}
}

/* A turn that has had its time when it looks at the clock. */
static bool clock_leaps;
static uint64_t leapt_us;

uint64_t __real_clock_us(void);
uint64_t __wrap_clock_us(void);

uint64_t __wrap_clock_us(void)
{
	if (clock_leaps)
		leapt_us += 1000;
	return __real_clock_us() + leapt_us;
}

/* No turn closes more than RELAY_CLOSES of the endpoints, and all are closed in the end. */
static void turns_to_the_end(struct ends *k, const struct pollfd *fds)
{
	uint64_t until_ms = clock_ms() + WAIT_MS;
	int ends = ends_in(fds), last;

	clock_leaps = true;
	assert_true(ends <= RELAY_CLOSES);
	while (ends < MANY && clock_ms() < until_ms) {
		last = ends;
		/* without ONCE it goes on for as long as there is anything to do */
		event_base_loop(k->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		ends = ends_in(fds);
		if (ends > last + RELAY_CLOSES)
			fail_msg("%d endpoints were closed in a turn", ends - last);
	}
	clock_leaps = false;
	assert_int_equal(ends, MANY);
}

static void end_by(struct ends *k, enum end_by by, struct forward *f)
{
	struct session *s = router_next_session(k->router, NULL);

	assert_non_null(s);
	switch (by) {
	case BY_THE_PEER:
		session_free(k->s);
		k->s = NULL;
		break;
	case BY_ROUTER:
		router_end_session(k->router, s, CODE_DRAINING, "enough");
		break;
	case BY_ROUTERS_OWN_END:
		listener_free(k->listener);
		k->listener = NULL;
		router_free(k->router);
		k->router = NULL;
		break;
	case BY_FORWARD:
		forward_free(f);
		break;
	}
}

static void end_of_many(enum end_by by)
{
	char dir[] = "/tmp/adit-ends.XXXXXX", target[128];
	struct addr near = {.kind = ADDR_UNIX}, far_end = {.kind = ADDR_UNIX};
	struct pollfd near_fds[MANY], far_fds[MANY];
	uint64_t until_ms = clock_ms() + WAIT_MS;
	struct stream *streams[MANY] = {NULL};
	struct forward *f = NULL;
	struct err e = ERR_INIT;
	int listening, n = 0;
	struct ends k;

	assert_non_null(mkdtemp(dir));
	snprintf(near.path, sizeof(near.path), "%s/near", dir);
	snprintf(far_end.path, sizeof(far_end.path), "%s/far", dir);
	snprintf(target, sizeof(target), "unix:%s", far_end.path);
	listening = fd_listen(&far_end, MANY, &e);
	assert_true(listening >= 0);
	ends_begin(&k, 0, 4096, NULL);
	if (by == BY_FORWARD) {
		f = forward_new(k.base, &near, &far_end, &e);
		assert_non_null(f);
		forward_start(f, k.s);
		connect_all(&near, near_fds);
	} else {
		for (int i = 0; i < MANY; i++) {
			streams[i] =
			    session_open(k.s, STREAM_OTHER, target, &client_stream_ops, NULL, &e);
			assert_non_null(streams[i]);
		}
	}
	while (n < MANY && clock_ms() < until_ms) {
		event_base_loop(k.base, EVLOOP_NONBLOCK);
		far_fds[n] = (struct pollfd){.fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK),
					     .events = POLLRDHUP};
		n += far_fds[n].fd >= 0;
	}
	assert_int_equal(n, MANY);
	end_by(&k, by, f);
	turns_to_the_end(&k, by == BY_FORWARD ? near_fds : far_fds);
	for (int i = 0; i < MANY; i++) {
		stream_free(streams[i]);
		close(far_fds[i].fd);
		if (by == BY_FORWARD)
			close(near_fds[i].fd);
	}
	ends_finish(&k);
	close(listening);
	unlink(far_end.path);
	assert_int_equal(rmdir(dir), 0);
}

static void test_router_closes_some_endpoints_a_turn_when_the_peer_hangs_up(void **state)
{
	(void)state;
	end_of_many(BY_THE_PEER);
}

static void test_router_closes_some_endpoints_a_turn_of_a_session_that_it_ends(void **state)
{
	(void)state;
	end_of_many(BY_ROUTER);
}

static void test_router_closes_some_endpoints_a_turn_when_it_ends(void **state)
{
	(void)state;
	end_of_many(BY_ROUTERS_OWN_END);
}

static void test_forward_closes_some_endpoints_a_turn_when_it_ends(void **state)
{
	(void)state;
	end_of_many(BY_FORWARD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_router_closes_some_endpoints_a_turn_when_the_peer_hangs_up),
	    cmocka_unit_test(test_router_closes_some_endpoints_a_turn_of_a_session_that_it_ends),
	    cmocka_unit_test(test_router_closes_some_endpoints_a_turn_when_it_ends),
	    cmocka_unit_test(test_forward_closes_some_endpoints_a_turn_when_it_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
