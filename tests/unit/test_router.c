/* What a peer names is never read as a descriptor of ours, whatever it is allowed: real sessions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/rights.h"
#include "proxy/router.h"
#include "tunnel/listener.h"

enum { WAIT_MS = 5000 };

static int ready, ended, answers;
static enum code answer;
static char answer_text[STREAM_REASON_MAX];

static void on_ready(void *ctx, struct session *s)
{
	(void)ctx;
	(void)s;
	ready = 1;
}

static void on_open(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		    const char *target)
{
	(void)ctx;
	(void)s;
	(void)class;
	(void)target;
	stream_refuse(stream, CODE_REFUSED, "not here");
}

static void on_end(void *ctx, struct session *s, const struct err *why)
{
	(void)ctx;
	(void)s;
	(void)why;
	ended = 1;
}

static const struct session_ops session_ops = {on_ready, on_open, on_end};

static ssize_t pull(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	(void)ctx;
	(void)s;
	(void)dst;
	(void)max;
	return STREAM_PULL_AGAIN;
}

static size_t push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	(void)ctx;
	(void)s;
	(void)data;
	return len;
}

static void on_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	(void)ctx;
	(void)s;
	answers++;
	answer = code;
	snprintf(answer_text, sizeof(answer_text), "%s", reason);
}

static const struct stream_ops stream_ops = {pull, push, NULL, on_reset};

static void on_session(void *ctx, struct session *s)
{
	router_add_session(ctx, s);
}

static void run(struct event_base *base, const int *flag, int want)
{
	uint64_t until_ms = clock_ms() + WAIT_MS;

	while (clock_ms() < until_ms && *flag != want && !ended) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(500);
	}
	assert_false(ended);
	assert_int_equal(*flag, want);
}

static void test_router_takes_no_descriptor_for_a_target(void **state)
{
	static const char *const targets[] = {"fd:3", "fd:0", "fd:", "fd:3/x", "unix:fd:3", "FD:3"};
	struct event_base *base = event_base_new();
	struct creds *client = creds_new_insecure(CREDS_CLIENT);
	struct creds *server = creds_new_insecure(CREDS_SERVER);
	struct rights_table *table = rights_table_new();
	struct router *router = router_new(base);
	struct addr_dest d = {.scheme = "tcp", .host = "127.0.0.1"};
	struct rights *all = rights_new();
	struct listener_config lc;
	struct session_config sc;
	struct listener *listener;
	struct err e = ERR_INIT;
	struct session *s;
	struct addr a;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	assert_int_equal(rules_add(&all->forwards, "unix:/*", &e), 0);
	assert_int_equal(rules_add(&all->forwards, "tcp:*:*", &e), 0);
	all->migrate = true;
	assert_int_equal(rights_table_add(table, "*", all, &e), 0);
	router_set_rights(router, table);
	listener_config_default(&lc);
	session_config_default(&sc);
	assert_int_equal(addr_parse_listen(&a, "127.0.0.1:0", &e), 0);
	listener = listener_new(base, &a, server, &lc, on_session, router, &e);
	assert_non_null(listener);
	d.port = listener_port(listener);
	s = session_connect(base, &d, client, &sc, &session_ops, NULL, &e);
	assert_non_null(s);
	run(base, &ready, 1);
	for (int i = 0; i < (int)(sizeof(targets) / sizeof(targets[0])); i++) {
		struct stream *t = session_open(s, STREAM_OTHER, targets[i], &stream_ops, NULL, &e);

		assert_non_null(t);
		run(base, &answers, i + 1);
		assert_int_equal(answer, CODE_REFUSED);
		stream_free(t);
	}
	assert_non_null(strstr(answer_text, "targets are unix:/path and tcp:HOST:PORT"));
	session_free(s);
	listener_free(listener);
	router_free(router);
	session_linger(base);
	creds_free(client);
	creds_free(server);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_router_takes_no_descriptor_for_a_target),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
