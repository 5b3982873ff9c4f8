#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "test_session_fixture.h"

void side_on_ready(void *ctx, struct session *s)
{
	struct side *side = ctx;

	(void)s;
	side->ready = 1;
}

ssize_t side_pull(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	(void)ctx;
	(void)s;
	(void)dst;
	(void)max;
	return STREAM_PULL_EOF;
}

size_t side_push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	struct side *side = ctx;

	(void)s;
	(void)data;
	side->got += len;
	return len;
}

void side_on_eof(void *ctx, struct stream *s)
{
	struct side *side = ctx;

	(void)s;
	side->eof++;
}

void side_on_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	struct side *side = ctx;

	(void)s;
	(void)code;
	(void)reason;
	side->reset++;
}

const struct stream_ops side_stream_ops = {side_pull, side_push, side_on_eof, side_on_reset};

static void on_reset_of_one_of_many(void *ctx, struct stream *s, enum code code, const char *reason)
{
	side_on_reset(ctx, s, code, reason);
	stream_free(s);
}

static const struct stream_ops one_of_many_ops = {side_pull, side_push, side_on_eof,
						  on_reset_of_one_of_many};

void side_on_open(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		  const char *target)
{
	struct side *side = ctx;

	(void)s;
	(void)class;
	if (strcmp(target, "many") == 0) {
		stream_accept(stream, &one_of_many_ops, side);
		return;
	}
	side->incoming = stream;
	stream_accept(stream, &side_stream_ops, side);
}

void side_on_end(void *ctx, struct session *s, const struct err *why)
{
	struct side *side = ctx;

	side->ended++;
	side->why = *why;
	if (side->incoming)
		stream_free(side->incoming);
	side->incoming = NULL;
	side->s = NULL;
	session_free(s);
}

const struct session_ops side_session_ops = {side_on_ready, side_on_open, side_on_end};

static void on_session(void *ctx, struct session *s)
{
	struct bench *b = ctx;

	b->sessions++;
	b->s.s = s;
	session_set_ops(s, &side_session_ops, &b->s);
}

void bench_start(struct bench *b, const struct listener_config *given)
{
	struct listener_config lc;
	struct addr a;
	struct err e = ERR_INIT;

	*b = (struct bench){.base = event_base_new()};
	assert_non_null(b->base);
	listener_config_default(&lc);
	if (given)
		lc = *given;
	session_config_default(&b->config);
	b->config.handshake_ms = 1000;
	b->client = creds_new_insecure(CREDS_CLIENT);
	b->server = creds_new_insecure(CREDS_SERVER);
	assert_int_equal(addr_parse_listen(&a, "127.0.0.1:0", &e), 0);
	b->listener = listener_new(b->base, &a, b->server, &lc, on_session, b, &e);
	if (!b->listener)
		fail_msg("%s", e.text);
}

void bench_end(struct bench *b)
{
	listener_free(b->listener);
	session_free(b->c.s);
	session_free(b->s.s);
	if (b->s.incoming)
		stream_free(b->s.incoming);
	session_linger(b->base);
	creds_free(b->client);
	creds_free(b->server);
	event_base_free(b->base);
}

void bench_run(struct bench *b, const int *flag, unsigned ms)
{
	uint64_t until = clock_ms() + ms;

	while (clock_ms() < until && !(flag && *flag)) {
		event_base_loop(b->base, EVLOOP_NONBLOCK);
		usleep(500);
	}
}

void bench_dial(struct bench *b, uint16_t port)
{
	struct addr_dest d = {.scheme = "tcp", .host = "127.0.0.1", .port = port};
	struct err e = ERR_INIT;

	b->c = (struct side){0};
	b->c.s = session_connect(b->base, &d, b->client, &b->config, &side_session_ops, &b->c, &e);
	if (!b->c.s)
		fail_msg("%s", e.text);
}
