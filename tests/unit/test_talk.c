/* The talk of a job over a real session: lines in pieces, lines that break the rules,
 * ends from either side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "control/talk/talk.h"
#include "tunnel/listener.h"

#define JOB "0123456789abcdef0123456789abcdef"

struct rig {
	struct event_base *base;
	struct creds *client_creds, *server_creds;
	struct listener *listener;
	struct session *client, *server;
	int ready;
	/* the destination's talk */
	struct talk *talk;
	int cookies, ends, free_in_cookie;
	enum cookie_kind kind;
	struct err why;
	/* the source: a bare stream that says what it is told to */
	struct stream *raw;
	struct bytes out, in;
	int eof_due, resets;
	char reason[STREAM_REASON_MAX + 1];
};

static void on_cookie(void *ctx, struct talk *t, enum cookie_kind kind, const json_t *msg)
{
	struct rig *r = ctx;

	assert_non_null(json_object_get(msg, "job"));
	assert_ptr_equal(t, r->talk);
	r->cookies++;
	r->kind = kind;
	if (r->free_in_cookie) {
		r->talk = NULL;
		talk_free(t);
	}
}

static void on_talk_end(void *ctx, struct talk *t, const struct err *why)
{
	struct rig *r = ctx;

	(void)t;
	r->ends++;
	r->why = *why;
}

static const struct talk_ops talk_ops = {on_cookie, on_talk_end};

static ssize_t raw_pull(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	struct rig *r = ctx;
	const uint8_t *data;
	size_t n = bytes_front(&r->out, &data);

	(void)s;
	if (!n)
		return r->eof_due ? STREAM_PULL_EOF : STREAM_PULL_AGAIN;
	n = n < max ? n : max;
	memcpy(dst, data, n);
	bytes_consume(&r->out, n);
	return (ssize_t)n;
}

static size_t raw_push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	struct rig *r = ctx;

	(void)s;
	bytes_append(&r->in, data, len);
	return len;
}

static void raw_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	struct rig *r = ctx;

	(void)s;
	(void)code;
	r->resets++;
	snprintf(r->reason, sizeof(r->reason), "%s", reason);
}

static const struct stream_ops raw_ops = {raw_pull, raw_push, NULL, raw_reset};

static void on_ready(void *ctx, struct session *s)
{
	struct rig *r = ctx;

	(void)s;
	r->ready = 1;
}

static void on_open(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		    const char *target)
{
	struct rig *r = ctx;

	(void)s;
	(void)class;
	assert_string_equal(target, "migrate");
	r->talk = talk_accept(stream, &talk_ops, r);
	assert_non_null(r->talk);
}

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	struct rig *r = ctx;

	(void)why;
	if (s == r->client)
		r->client = NULL;
	if (s == r->server)
		r->server = NULL;
	session_free(s);
}

static const struct session_ops session_ops = {on_ready, on_open, on_session_end};

static void on_session(void *ctx, struct session *s)
{
	struct rig *r = ctx;

	r->server = s;
	session_set_ops(s, &session_ops, r);
}

/* Runs the loop until *flag, or for ms. */
static void run(struct rig *r, const int *flag, unsigned ms)
{
	uint64_t until_ms = clock_ms() + ms;

	while (clock_ms() < until_ms && !(flag && *flag)) {
		event_base_loop(r->base, EVLOOP_NONBLOCK);
		usleep(500);
	}
}

static void rig_up(struct rig *r)
{
	struct listener_config lc;
	struct session_config sc;
	struct addr_dest d = {.scheme = "tcp", .host = "127.0.0.1"};
	struct addr a;
	struct err e = ERR_INIT;

	memset(r, 0, sizeof(*r));
	r->base = event_base_new();
	r->client_creds = creds_new_insecure(CREDS_CLIENT);
	r->server_creds = creds_new_insecure(CREDS_SERVER);
	listener_config_default(&lc);
	session_config_default(&sc);
	assert_int_equal(addr_parse_listen(&a, "127.0.0.1:0", &e), 0);
	r->listener = listener_new(r->base, &a, r->server_creds, &lc, on_session, r, &e);
	assert_non_null(r->listener);
	d.port = listener_port(r->listener);
	r->client = session_connect(r->base, &d, r->client_creds, &sc, &session_ops, r, &e);
	assert_non_null(r->client);
	run(r, &r->ready, 5000);
	assert_int_equal(r->ready, 1);
}

static void rig_up_raw(struct rig *r)
{
	struct err e = ERR_INIT;

	rig_up(r);
	r->raw = session_open(r->client, STREAM_CONTROL, "migrate", &raw_ops, r, &e);
	assert_non_null(r->raw);
}

static void rig_down(struct rig *r)
{
	talk_free(r->talk);
	stream_free(r->raw);
	listener_free(r->listener);
	session_free(r->client);
	session_free(r->server);
	session_linger(r->base);
	bytes_fini(&r->out);
	bytes_fini(&r->in);
	creds_free(r->client_creds);
	creds_free(r->server_creds);
	event_base_free(r->base);
}

static void say(struct rig *r, const char *text, size_t len)
{
	assert_int_equal(bytes_append(&r->out, (const uint8_t *)text, len), 0);
	stream_ready(r->raw);
}

static char *line_of(json_t *msg)
{
	char *text = json_dumps(msg, JSON_COMPACT), *line = malloc(strlen(text) + 2);

	sprintf(line, "%s\n", text);
	free(text);
	json_decref(msg);
	return line;
}

static void test_talk_puts_lines_together(void **state)
{
	char *line = line_of(cookie_new(COOKIE_DISKS_DONE, JOB));
	struct rig r;

	(void)state;
	rig_up_raw(&r);
	for (const char *p = line; *p; p++) {
		assert_int_equal(r.cookies, 0);
		say(&r, p, 1);
		run(&r, NULL, 3);
	}
	run(&r, &r.cookies, 2000);
	assert_int_equal(r.cookies, 1);
	assert_int_equal(r.kind, COOKIE_DISKS_DONE);
	say(&r, line, strlen(line));
	say(&r, line, strlen(line));
	for (int i = 0; i < 100 && r.cookies < 3; i++)
		run(&r, NULL, 10);
	assert_int_equal(r.cookies, 3);
	assert_int_equal(r.ends, 0);
	free(line);
	rig_down(&r);
}

static void test_talk_may_be_freed_in_a_cookie(void **state)
{
	char *line = line_of(cookie_new(COOKIE_DISKS_DONE, JOB));
	struct rig r;

	(void)state;
	rig_up_raw(&r);
	r.free_in_cookie = 1;
	say(&r, line, strlen(line));
	say(&r, line, strlen(line));
	run(&r, &r.resets, 2000);
	assert_int_equal(r.cookies, 1);
	assert_int_equal(r.ends, 0);
	assert_int_equal(r.resets, 1);
	free(line);
	rig_down(&r);
}

static void test_talk_ends_with_what_breaks_the_rules(void **state)
{
	static const char *const lines[] = {
	    "hello\n",
	    "\n",
	    "{\"adit\":2,\"kind\":\"begin\"}\n",
	    "{\"adit\":1,\"phase\":\"confirm\",\"kind\":\"confirmed\",\"job\":\"" JOB "\"}\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct rig r;

		rig_up_raw(&r);
		say(&r, lines[i], strlen(lines[i]));
		say(&r, lines[i], strlen(lines[i]));
		run(&r, &r.resets, 2000);
		assert_int_equal(r.ends, 1);
		assert_int_equal(r.cookies, 0);
		assert_int_equal(r.why.code, ERR_PROTOCOL);
		/* and the other side is told */
		assert_int_equal(r.resets, 1);
		assert_string_equal(r.reason, r.why.text);
		rig_down(&r);
	}
}

static void test_talk_bounds_a_line(void **state)
{
	char *block = malloc(65536);
	struct rig r;

	(void)state;
	memset(block, 'x', 65536);
	rig_up_raw(&r);
	for (int i = 0; i < 17; i++)
		say(&r, block, 65536);
	run(&r, &r.resets, 5000);
	assert_int_equal(r.ends, 1);
	assert_int_equal(r.why.code, ERR_LIMIT);
	free(block);
	rig_down(&r);
}

static void test_talk_ends_with_the_stream(void **state)
{
	struct rig r;

	(void)state;
	rig_up_raw(&r);
	r.eof_due = 1;
	stream_ready(r.raw);
	run(&r, &r.ends, 2000);
	assert_int_equal(r.why.code, ERR_CLOSED);
	rig_down(&r);

	rig_up_raw(&r);
	run(&r, NULL, 20);
	stream_reset(r.raw, CODE_CANCELLED, "enough");
	run(&r, &r.ends, 2000);
	assert_int_equal(r.why.code, ERR_CANCELLED);
	assert_string_equal(r.why.text, "enough");
	rig_down(&r);

	rig_up_raw(&r);
	run(&r, NULL, 20);
	stream_free(r.raw);
	r.raw = NULL;
	session_close(r.client, CODE_NONE, "bye");
	r.client = NULL;
	run(&r, &r.ends, 2000);
	assert_int_equal(r.ends, 1);
	rig_down(&r);
}

static void test_talk_both_roles(void **state)
{
	struct rig r, source = {0};
	struct talk *t;
	struct err e = ERR_INIT;

	(void)state;
	rig_up(&r);
	t = talk_open(r.client, &talk_ops, &source, &e);
	assert_non_null(t);
	source.talk = t;
	/* what the other side would refuse is not sent */
	assert_int_equal(talk_send(t, cookie_new(COOKIE_CONFIRMED, JOB), &e), ERR_INTERNAL);
	assert_int_equal(talk_send(t, cookie_new(COOKIE_FINISH, JOB), &e), ERR_INTERNAL);
	assert_int_equal(talk_send(t, cookie_new(COOKIE_DISKS_DONE, JOB), &e), 0);
	assert_false(talk_flushed(t));
	run(&r, &r.cookies, 2000);
	assert_int_equal(r.cookies, 1);
	assert_int_equal(talk_send(r.talk, cookie_new(COOKIE_DISKS_CLOSED, JOB), &e), 0);
	run(&r, &source.cookies, 2000);
	assert_int_equal(source.cookies, 1);
	assert_int_equal(source.kind, COOKIE_DISKS_CLOSED);
	for (int i = 0; i < 200 && !talk_flushed(r.talk); i++)
		run(&r, NULL, 10);
	assert_true(talk_flushed(r.talk));
	talk_free(r.talk);
	r.talk = NULL;
	run(&r, &source.ends, 2000);
	assert_int_equal(source.ends, 1);
	assert_int_equal(talk_send(t, cookie_new(COOKIE_DISKS_DONE, JOB), &e), ERR_CLOSED);
	talk_free(t);
	rig_down(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_talk_puts_lines_together),
	    cmocka_unit_test(test_talk_may_be_freed_in_a_cookie),
	    cmocka_unit_test(test_talk_ends_with_what_breaks_the_rules),
	    cmocka_unit_test(test_talk_bounds_a_line),
	    cmocka_unit_test(test_talk_ends_with_the_stream),
	    cmocka_unit_test(test_talk_both_roles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
