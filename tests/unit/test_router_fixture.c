#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/relay.h"
#include "proxy/rights.h"
#include "test_router_fixture.h"

struct heard heard;

static void on_ready(void *ctx, struct session *s)
{
	(void)ctx;
	(void)s;
	heard.ready = 1;
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

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	(void)ctx;
	(void)s;
	(void)why;
	heard.ended = 1;
}

static const struct session_ops session_ops = {on_ready, on_open, on_session_end};

ssize_t client_pull(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	(void)ctx;
	(void)s;
	(void)dst;
	(void)max;
	return STREAM_PULL_AGAIN;
}

size_t client_push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	(void)ctx;
	(void)s;
	(void)data;
	return len;
}

void client_on_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	(void)ctx;
	(void)s;
	heard.answers++;
	heard.answer = code;
	snprintf(heard.answer_text, sizeof(heard.answer_text), "%s", reason);
}

const struct stream_ops client_stream_ops = {client_pull, client_push, NULL, client_on_reset};

static void add_session(void *ctx, struct session *s)
{
	router_add_session(ctx, s);
}

void ends_run(struct event_base *base, const int *flag, int want)
{
	uint64_t until_ms = clock_ms() + WAIT_MS;

	while (clock_ms() < until_ms && *flag != want && !heard.ended) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(500);
	}
	assert_false(heard.ended);
	assert_int_equal(*flag, want);
}

void ends_begin(struct ends *k, uint32_t features, uint32_t streams_max,
		void (*on_session)(void *ctx, struct session *s))
{
	struct rights_table *table = rights_table_new();
	struct addr_dest d = {.scheme = "tcp", .host = "127.0.0.1"};
	struct rights *all = rights_new();
	struct listener_config lc;
	struct session_config sc;
	struct err e = ERR_INIT;
	struct addr a;

	log_set_level(LOG_LEVEL_ERROR);
	heard = (struct heard){0};
	k->base = event_base_new();
	k->client = creds_new_insecure(CREDS_CLIENT);
	k->server = creds_new_insecure(CREDS_SERVER);
	k->router = router_new(k->base);
	assert_int_equal(rules_add(&all->forwards, "unix:/*", &e), 0);
	assert_int_equal(rules_add(&all->forwards, "unix:/many/*", &e), 0);
	assert_int_equal(rules_add(&all->forwards, "unix:/tmp/*/far", &e), 0);
	assert_int_equal(rules_add(&all->forwards, "tcp:*:*", &e), 0);
	all->migrate = true;
	assert_int_equal(rights_table_add(table, "*", all, &e), 0);
	router_set_rights(k->router, table);
	listener_config_default(&lc);
	lc.session.features = features;
	lc.session.streams_max = streams_max;
	session_config_default(&sc);
	assert_int_equal(addr_parse_listen(&a, "127.0.0.1:0", &e), 0);
	k->listener = listener_new(k->base, &a, k->server, &lc,
				   on_session ? on_session : add_session, k->router, &e);
	assert_non_null(k->listener);
	d.port = listener_port(k->listener);
	k->s = session_connect(k->base, &d, k->client, &sc, &session_ops, NULL, &e);
	assert_non_null(k->s);
	ends_run(k->base, &heard.ready, 1);
}

void ends_run_to_the_end(struct ends *k)
{
	uint64_t until = clock_ms() + 2000;

	while (clock_ms() < until && !heard.ended) {
		event_base_loop(k->base, EVLOOP_NONBLOCK);
		usleep(500);
	}
	assert_true(heard.ended);
}

void ends_finish(struct ends *k)
{
	session_free(k->s);
	listener_free(k->listener);
	router_free(k->router);
	session_linger(k->base);
	relay_see_off();
	creds_free(k->client);
	creds_free(k->server);
	event_base_free(k->base);
}
