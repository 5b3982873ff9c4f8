/* A session with many streams ends: some are told a turn, and whoever is told may end it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "test_session_fixture.h"

enum { STREAMS = 300, DETACHED = 64 };

static enum { LET_IT_END, FREE_IT, CLOSE_IT } at_reset;
static int resets, resets_at_end;

static void on_reset_of_many(void *ctx, struct stream *s, enum code code, const char *reason)
{
	struct bench *b = ctx;
	struct session *mine = b->c.s;

	(void)reason;
	assert_int_equal(code, CODE_SESSION);
	stream_free(s);
	if (++resets != STREAMS / 2 || at_reset == LET_IT_END)
		return;
	b->c.s = NULL;
	if (at_reset == FREE_IT)
		session_free(mine);
	else
		session_close(mine, CODE_CANCELLED, "that is enough");
}

static const struct stream_ops many_ops = {side_pull, side_push, side_on_eof, on_reset_of_many};

static void on_end_of_many(void *ctx, struct session *s, const struct err *why)
{
	resets_at_end = resets;
	side_on_end(ctx, s, why);
}

static const struct session_ops many_session_ops = {side_on_ready, side_on_open, on_end_of_many};

/* A session has STREAMS streams, and the far side hangs up. */
static void hang_up_on_many(struct bench *b)
{
	struct err e = ERR_INIT;

	resets = resets_at_end = 0;
	bench_start(b, NULL);
	bench_dial(b, listener_port(b->listener));
	bench_run(b, &b->c.ready, 2000);
	bench_run(b, (int *)&b->sessions, 2000);
	session_set_ops(b->c.s, &many_session_ops, &b->c);
	for (int i = 0; i < STREAMS; i++)
		assert_non_null(session_open(b->c.s, STREAM_OTHER, "many", &many_ops, b, &e));
	bench_run(b, NULL, 20);
	session_free(b->s.s);
	b->s.s = NULL;
}

/* How many streams are told in the turn that tells most. */
static int most_told_in_a_turn(struct bench *b)
{
	uint64_t until;
	int most = 0;

	hang_up_on_many(b);
	until = clock_ms() + 5000;
	while ((resets < STREAMS || (b->c.s && !b->c.ended)) && clock_ms() < until) {
		int before = resets;

		event_base_loop(b->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		most = resets - before > most ? resets - before : most;
	}
	assert_int_equal(resets, STREAMS);
	return most;
}

static void test_session_tells_some_streams_a_turn_of_its_end(void **state)
{
	struct bench b;

	(void)state;
	at_reset = LET_IT_END;
	assert_int_equal(most_told_in_a_turn(&b), DETACHED);
	assert_int_equal(b.c.ended, 1);
	assert_int_equal(resets_at_end, STREAMS); /* all of them before their owner */
	assert_int_equal(b.c.why.code, ERR_CLOSED);
	bench_end(&b);
}

/* Who is told may end the session: then the rest hear it at once, and the owner, who knows,
 * does not. */
static void test_session_may_be_ended_while_its_streams_are_told(void **state)
{
	struct bench b;

	(void)state;
	for (at_reset = FREE_IT; at_reset <= CLOSE_IT; at_reset++) {
		most_told_in_a_turn(&b);
		assert_int_equal(b.c.ended, 0);
		bench_end(&b);
	}
}

/* ... or somebody does between two turns. */
static void test_session_may_be_ended_between_the_turns_of_its_end(void **state)
{
	struct err e = ERR_INIT;
	struct bench b;

	(void)state;
	at_reset = LET_IT_END;
	for (int closes = 0; closes < 2; closes++) {
		struct session *mine;
		uint64_t until;

		hang_up_on_many(&b);
		until = clock_ms() + 5000;
		while (!resets && clock_ms() < until)
			event_base_loop(b.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		assert_in_range(resets, 1, STREAMS - 1);
		assert_null(session_open(b.c.s, STREAM_OTHER, "many", &many_ops, &b, &e));
		mine = b.c.s;
		b.c.s = NULL;
		if (closes)
			session_close(mine, CODE_NONE, "");
		else
			session_free(mine);
		assert_int_equal(resets, STREAMS);
		assert_int_equal(b.c.ended, 0);
		bench_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_session_tells_some_streams_a_turn_of_its_end),
	    cmocka_unit_test(test_session_may_be_ended_while_its_streams_are_told),
	    cmocka_unit_test(test_session_may_be_ended_between_the_turns_of_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
