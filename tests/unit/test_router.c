/* What a peer names is never read as a descriptor of ours, whatever it is allowed; and an endpoint
 * that is not the right one gets nothing: real sessions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "proxy/allowed.h"
#include "proxy/relay.h"
#include "proxy/rights.h"
#include "test_router_fixture.h"

/* ---- a far adit that gives no answer to whether it takes a forward, or none that is one ---- */

static enum { HONEST, SILENT, SAYS_DATA, SAYS_EOF, FULL } far;
static unsigned full; /* for so many questions */
static struct session *far_session;

static ssize_t pull_lie(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	(void)ctx;
	(void)s;
	if (far == SAYS_EOF)
		return STREAM_PULL_EOF;
	memset(dst, 'y', max);
	return (ssize_t)max;
}

static void on_lie_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	if (code != CODE_SESSION)
		client_on_reset(ctx, s, code, reason);
	stream_free(s);
}

static const struct stream_ops lie_ops = {pull_lie, client_push, NULL, on_lie_reset};

static void on_question(void *ctx, struct session *s, struct stream *stream,
			enum stream_class class, const char *target)
{
	(void)ctx;
	(void)s;
	(void)class;
	if (far == FULL && full > 0) {
		full--;
		stream_refuse(stream, CODE_LIMIT, "4 streams are allowed");
		return;
	}
	if (far == FULL || strcmp(target, ROUTER_ALLOWED "unix:/fine") == 0) {
		stream_refuse(stream, CODE_NONE, "");
		return;
	}
	stream_accept(stream, &lie_ops, NULL);
	if (far != SILENT)
		stream_ready(stream);
}

static void on_far_end(void *ctx, struct session *s, const struct err *why)
{
	(void)ctx;
	(void)s;
	(void)why;
}

static const struct session_ops far_ops = {.on_open = on_question, .on_end = on_far_end};

static void on_session(void *ctx, struct session *s)
{
	if (far == HONEST) {
		router_add_session(ctx, s);
		return;
	}
	far_session = s;
	session_set_ops(s, &far_ops, NULL);
}

static void begin_with(struct ends *k, uint32_t features, uint32_t streams_max)
{
	ends_begin(k, features, streams_max, on_session);
}

static void begin(struct ends *k)
{
	begin_with(k, 0, 4096);
}

static void test_router_takes_no_descriptor_for_a_target(void **state)
{
	static const char *const targets[] = {"fd:3", "fd:0", "fd:", "fd:3/x", "unix:fd:3", "FD:3"};
	struct err e = ERR_INIT;
	struct ends k;

	(void)state;
	begin(&k);
	for (int i = 0; i < (int)(sizeof(targets) / sizeof(targets[0])); i++) {
		struct stream *t =
		    session_open(k.s, STREAM_OTHER, targets[i], &client_stream_ops, NULL, &e);

		assert_non_null(t);
		ends_run(k.base, &heard.answers, i + 1);
		assert_int_equal(heard.answer, CODE_REFUSED);
		stream_free(t);
	}
	assert_non_null(strstr(heard.answer_text, "targets are unix:/path and tcp:HOST:PORT"));
	/* Nor a class that is before all others and outside the peer's bandwidth. */
	for (int i = 0; i < 2; i++) {
		struct stream *t =
		    session_open(k.s, i ? STREAM_OTHER : STREAM_CONTROL, "unix:/nothing-of-adit",
				 &client_stream_ops, NULL, &e);

		assert_non_null(t);
		ends_run(k.base, &heard.answers,
			 (int)(sizeof(targets) / sizeof(targets[0])) + i + 1);
		assert_int_equal(heard.answer, i ? CODE_UNREACHABLE : CODE_PROTOCOL);
		stream_free(t);
	}
	ends_finish(&k);
}

/* ---- whether a forward is allowed ---- */

static int said;
static struct err said_why;
static struct allowed *asking;

static void on_said(void *ctx, const struct err *why)
{
	(void)ctx;
	said++;
	said_why = *why;
	allowed_free(asking);
	asking = NULL;
}

/* What a peer says to these within so long. */
static const char *ask_within(struct ends *k, const char *const *targets, size_t count, unsigned ms)
{
	struct err e = ERR_INIT;

	said = 0;
	asking = allowed_ask(k->base, k->s, targets, count, ms, on_said, NULL, &e);
	assert_non_null(asking);
	assert_int_equal(said, 0);
	ends_run(k->base, &said, 1);
	return said_why.text;
}

static const char *ask(struct ends *k, const char *const *targets, size_t count)
{
	return ask_within(k, targets, count, 10 * WAIT_MS);
}

static void test_router_says_which_forward_is_not_allowed(void **state)
{
	enum { MANY = 100 };
	const char *targets[MANY + 1];
	char texts[MANY][32];
	struct session_stats stats;
	struct err e = ERR_INIT;
	struct stream *t;
	struct ends k;

	(void)state;
	/* more than there may be streams */
	begin_with(&k, ROUTER_FEATURES, 4);
	for (int i = 0; i < MANY; i++) {
		snprintf(texts[i], sizeof(texts[i]), "unix:/many/%d", i);
		targets[i] = texts[i];
	}
	assert_string_equal(ask(&k, targets, MANY), "");
	assert_string_equal(ask(&k, targets, 1), "");
	assert_string_equal(ask(&k, targets, 0), "");
	targets[MANY] = "unix:/many/../else";
	assert_non_null(strstr(ask(&k, targets, MANY + 1),
			       "far adit: unix:/many/../else is not allowed here: start"));
	assert_string_equal(ask(&k, targets + 1, MANY - 1), "");
	/* None of it is connected to, and nothing is left. */
	for (int i = 0; i < 50; i++) {
		event_base_loop(k.base, EVLOOP_NONBLOCK);
		usleep(500);
	}
	session_stats(k.s, &stats);
	assert_int_equal(stats.streams, 0);
	/* Of what is no forward nothing is said. */
	t = session_open(k.s, STREAM_CONTROL, "allowed/migrate", &client_stream_ops, NULL, &e);
	ends_run(k.base, &heard.answers, 1);
	assert_int_equal(heard.answer, CODE_PROTOCOL);
	stream_free(t);
	router_drain(k.router, "this adit ends");
	assert_non_null(strstr(ask(&k, targets, 1), "this adit ends"));
	ends_finish(&k);
}

static void test_router_is_not_asked_by_who_may_not_ask(void **state)
{
	const char *target = "unix:/many/../else";
	struct session_stats stats;
	struct ends k;

	(void)state;
	begin_with(&k, 0, 4096); /* as one of an older release says it */
	assert_string_equal(ask(&k, &target, 1), "");
	session_stats(k.s, &stats);
	assert_int_equal(stats.streams, 0);
	ends_finish(&k);
}

static void test_router_is_not_waited_for_without_an_answer(void **state)
{
	const char *targets[] = {"unix:/fine", "unix:/never"};
	struct ends k;

	(void)state;
	far = SILENT;
	begin_with(&k, ROUTER_FEATURES, 4096);
	assert_string_equal(ask(&k, targets, 1), "");
	for (int i = 0; i < 2; i++) {
		assert_non_null(strstr(ask_within(&k, targets, 2, 100), "unix:/never"));
		assert_non_null(strstr(said_why.text, "the far adit tcp:127.0.0.1"));
		assert_int_equal(said_why.code, ERR_TIMEOUT);
		ends_run(k.base, &heard.answers, i + 1);
		assert_int_equal(heard.answer, CODE_CANCELLED);
	}
	far = HONEST;
	session_free(far_session);
	ends_finish(&k);
}

/* The far adit hears late that streams are over, and refuses one too many until then. */
static void test_router_is_asked_again_where_it_has_no_room(void **state)
{
	const char *targets[] = {"unix:/one", "unix:/two", "unix:/three"};
	struct ends k;

	(void)state;
	far = FULL;
	begin_with(&k, ROUTER_FEATURES, 4096);
	full = 5;
	assert_string_equal(ask(&k, targets, 3), "");
	assert_int_equal(full, 0);
	full = UINT32_MAX; /* and not for ever */
	assert_non_null(strstr(ask(&k, targets, 3), "4 streams are allowed"));
	far = HONEST;
	session_free(far_session);
	ends_finish(&k);
}

static void test_router_has_no_answer_but_reset(void **state)
{
	const char *targets[] = {"unix:/fine", "unix:/never"};
	struct ends k;

	(void)state;
	far = SAYS_DATA;
	begin_with(&k, ROUTER_FEATURES, 4096);
	for (int i = 0; i < 2; i++) {
		assert_non_null(strstr(ask(&k, targets, 2), "whether it takes unix:/never"));
		assert_int_equal(said_why.code, ERR_PROTOCOL);
		ends_run(k.base, &heard.answers, i + 1);
		assert_int_equal(heard.answer, CODE_PROTOCOL);
		far = SAYS_EOF;
	}
	assert_string_equal(ask(&k, targets, 1), ""); /* the session goes on */
	far = HONEST;
	session_free(far_session);
	ends_finish(&k);
}

/* ---- sessions ---- */

static int no_memory;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory ? NULL : __real_calloc(n, size);
}

static int told;

static void on_session_over(void *ctx, struct session *s, const struct err *why)
{
	(void)ctx;
	(void)s;
	(void)why;
	told++;
}

static void test_router_says_when_a_session_cannot_be_watched(void **state)
{
	struct err e = ERR_INIT;
	struct session *s;
	struct ends k;

	(void)state;
	begin(&k);
	while (!(s = router_next_session(k.router, NULL)))
		event_base_loop(k.base, EVLOOP_ONCE);
	assert_null(router_next_session(k.router, s));
	/* One that the router has not. */
	assert_int_equal(router_watch_session(k.router, k.s, on_session_over, NULL, &e),
			 ERR_CLOSED);
	no_memory = 1;
	assert_int_equal(router_watch_session(k.router, s, on_session_over, NULL, &e), ERR_SPACE);
	no_memory = 0;
	told = 0;
	assert_int_equal(router_watch_session(k.router, s, on_session_over, NULL, &e), 0);
	assert_true(router_rights(k.router, s)->migrate);
	assert_false(router_rights(k.router, k.s)->migrate);
	router_end_session(k.router, s, CODE_DRAINING, "enough");
	assert_int_equal(told, 1);
	assert_null(router_next_session(k.router, NULL));
	ends_run_to_the_end(&k);
	ends_finish(&k);
}

/* ---- an endpoint is asked who it is ---- */

static struct addr there = {.kind = ADDR_UNIX};
static bool right;
static int over;

static int is_ours(void *ctx, int fd, struct err *e)
{
	uid_t uid;
	pid_t pid;

	assert_ptr_equal(ctx, &there);
	assert_int_equal(fd_peer(fd, &uid, &pid), 0);
	assert_int_equal(uid, geteuid());
	assert_int_equal(pid, getpid());
	return right ? 0 : err_set(e, ERR_REFUSED, "that is somebody else");
}

static void on_over(void *ctx, struct relay *r, enum code code, const char *reason)
{
	(void)ctx;
	(void)r;
	(void)reason;
	over++;
	if (!right)
		assert_int_equal(code, CODE_REFUSED);
}

static void on_held(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		    const char *target)
{
	(void)class;
	(void)target;
	relay_join(relay_hold(ctx, stream, on_over, &there), s, &there, is_ours);
}

static ssize_t pull_three(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	int *sent = ctx;

	(void)s;
	if (*sent || max < 3)
		return STREAM_PULL_AGAIN;
	*sent = 1;
	memcpy(dst, "RAM", 3);
	return 3;
}

static const struct stream_ops sender_ops = {pull_three, client_push, NULL, client_on_reset};

static void test_router_relay_gives_nothing_to_a_wrong_endpoint(void **state)
{
	char dir[] = "/tmp/adit-relay.XXXXXX", got[8];
	struct err e = ERR_INIT;
	struct ends k;
	int listening;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(there.path, sizeof(there.path), "%s/s", dir);
	listening = fd_listen(&there, 4, &e);
	assert_true(listening >= 0);
	begin(&k);
	assert_int_equal(router_add_service(k.router, "held", on_held, k.base, &e), 0);
	for (int i = 0; i < 2; i++) {
		int sent = 0, fd = -1;
		ssize_t n = -1;
		struct stream *t;

		right = i == 1;
		t = session_open(k.s, STREAM_RAM, "held", &sender_ops, &sent, &e);
		assert_non_null(t);
		stream_ready(t);
		for (int turns = 0; turns < WAIT_MS && n < 0; turns++) {
			event_base_loop(k.base, EVLOOP_NONBLOCK);
			usleep(500);
			if (fd < 0)
				fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
			if (fd >= 0)
				n = read(fd, got, sizeof(got));
		}
		if (right) {
			assert_int_equal(n, 3);
		} else {
			assert_int_equal(n, 0); /* connected, and left without a byte */
			ends_run(k.base, &heard.answers, 1);
			assert_int_equal(heard.answer, CODE_REFUSED);
			assert_string_equal(heard.answer_text, "that is somebody else");
			assert_int_equal(over, 1);
		}
		close(fd);
		stream_free(t);
	}
	router_remove_service(k.router, "held");
	ends_finish(&k);
	close(listening);
	unlink(there.path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_router_takes_no_descriptor_for_a_target),
	    cmocka_unit_test(test_router_says_which_forward_is_not_allowed),
	    cmocka_unit_test(test_router_is_not_asked_by_who_may_not_ask),
	    cmocka_unit_test(test_router_is_not_waited_for_without_an_answer),
	    cmocka_unit_test(test_router_is_asked_again_where_it_has_no_room),
	    cmocka_unit_test(test_router_has_no_answer_but_reset),
	    cmocka_unit_test(test_router_says_when_a_session_cannot_be_watched),
	    cmocka_unit_test(test_router_relay_gives_nothing_to_a_wrong_endpoint),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
