/* The tables of phases, of both sides: each phase comes to an end, what says that it goes back can,
 * and a way that no table has is not gone: the job ends by the safe way of the phase it is in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "control/destination/job_i.h"
#include "control/source/migrate_i.h"

/* whether `to` is reached from `from`, in some steps */
static bool comes_to(unsigned from, unsigned to, unsigned states, bool (*may)(unsigned, unsigned))
{
	unsigned seen = 1u << from, before;

	do {
		before = seen;
		for (unsigned a = 0; a < states; a++)
			for (unsigned b = 0; b < states && (seen & 1u << a); b++)
				seen |= (unsigned)may(a, b) << b;
	} while (seen != before);
	return seen & 1u << to;
}

static bool source_may(unsigned from, unsigned to)
{
	return phase_may(from, to);
}

static bool destination_may(unsigned from, unsigned to)
{
	return job_may(from, to);
}

static void test_source_table(void **state)
{
	(void)state;
	for (unsigned s = 0; s < MIGRATE_STATES; s++) {
		assert_non_null(migrate_state_name(s));
		assert_true(comes_to(s, MIGRATE_OVER, MIGRATE_STATES, source_may));
		assert_true(s == MIGRATE_BEGIN ||
			    comes_to(MIGRATE_BEGIN, s, MIGRATE_STATES, source_may));
		if (phase_is(s, PHASE_RETURNS))
			assert_true(phase_may(s, MIGRATE_UNDO));
		if (phase_is(s, PHASE_ASKS))
			assert_true(phase_may(s, MIGRATE_ASK));
		/* a failure has one way, and only one */
		assert_int_equal(phase_is(s, PHASE_RETURNS) + phase_is(s, PHASE_ASKS) +
				     phase_is(s, PHASE_SETTLES) + (s == MIGRATE_ASK),
				 1);
	}
	/* nothing undoes an end that both know, and no way leads back before the decision */
	assert_false(comes_to(MIGRATE_OVER, MIGRATE_UNDO, MIGRATE_STATES, source_may));
	for (unsigned s = 0; s < MIGRATE_STATES; s++)
		if (phase_is(s, PHASE_RETURNS))
			assert_false(comes_to(MIGRATE_FINISH, s, MIGRATE_STATES, source_may));
}

static void test_destination_table(void **state)
{
	(void)state;
	for (unsigned s = 0; s < JOB_STATES; s++) {
		assert_non_null(job_state_name(s));
		assert_true(s == JOB_OVER || job_may(s, JOB_OVER));
		assert_true(comes_to(JOB_WAITING, s, JOB_STATES, destination_may));
		/* what is decided is never open again */
		if (job_state_is(s, JOB_OPEN))
			assert_false(comes_to(JOB_DECIDED, s, JOB_STATES, destination_may));
	}
	assert_false(job_may(JOB_FINISHING, JOB_RUNS));
}

/* ---- a way that the table has not ---- */

struct seen {
	struct event_base *base;
	struct migrate_result result;
	char text[ERR_TEXT_MAX];
	unsigned ends;
};

static void on_end(void *ctx, const struct migrate_result *r)
{
	struct seen *s = ctx;

	s->result = *r;
	snprintf(s->text, sizeof(s->text), "%s", r->err.text);
	s->ends++;
	event_base_loopbreak(s->base);
}

static void test_source_refuses(void **state)
{
	static const struct migrate_ops ops = {.on_end = on_end};
	struct migrate_config c = {.qmp = "/none", .dest = "tcp://127.0.0.1:1", .state_dir = "/"};
	struct seen s = {.base = event_base_new()};
	struct err e = ERR_INIT;
	struct migrate *m;

	(void)state;
	c.auth.insecure = true;
	m = migrate_new(s.base, &c, &ops, &s, &e);
	assert_non_null(m);
	assert_true(migrate_enter(m, MIGRATE_PREPARE));
	assert_false(migrate_enter(m, MIGRATE_CONFIRM));
	assert_int_not_equal(m->state, MIGRATE_CONFIRM);
	event_base_dispatch(s.base);
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.result.outcome, MIGRATE_STAYED);
	assert_non_null(strstr(s.text, "no way from phase prepare to confirm"));
	migrate_free(m);

	/* from FINISH on the destination may run it: it is asked, and never put back */
	m = migrate_new(s.base, &c, &ops, &s, &e);
	assert_non_null(m);
	m->state = MIGRATE_FINISH;
	assert_false(migrate_enter(m, MIGRATE_RAM));
	assert_int_equal(m->state, MIGRATE_ASK);
	migrate_free(m);

	/* asking goes on */
	m = migrate_new(s.base, &c, &ops, &s, &e);
	assert_non_null(m);
	m->state = MIGRATE_ASK;
	assert_false(migrate_enter(m, MIGRATE_RAM));
	assert_int_equal(m->state, MIGRATE_ASK);
	assert_true(event_pending(m->ev_ask, EV_TIMEOUT, NULL));
	migrate_free(m);

	/* a job of the journal may have been decided long ago: it is left as it is */
	m = migrate_new(s.base, &c, &ops, &s, &e);
	assert_non_null(m);
	snprintf(m->found, sizeof(m->found), "finish");
	s.ends = 0;
	assert_false(migrate_enter(m, MIGRATE_CONFIRM));
	event_base_dispatch(s.base);
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.result.outcome, MIGRATE_UNKNOWN);
	assert_true(s.result.unfinished);
	migrate_free(m);

	/* an end that is known stays */
	m = migrate_new(s.base, &c, &ops, &s, &e);
	assert_non_null(m);
	m->state = MIGRATE_END;
	assert_false(migrate_enter(m, MIGRATE_UNDO));
	assert_int_equal(m->state, MIGRATE_END);
	migrate_free(m);
	event_base_free(s.base);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)ctx;
}

static void test_destination_refuses(void **state)
{
	struct event_base *base = event_base_new();
	struct job j = {.state = JOB_READY};

	(void)state;
	j.ev_timer = evtimer_new(base, on_timer, NULL);
	j.ev_reap = evtimer_new(base, on_timer, NULL);
	j.ev_suspect = evtimer_new(base, on_timer, NULL);
	assert_false(job_enter(&j, JOB_RUNS));
	assert_int_equal(j.state, JOB_OVER);

	/* what is decided is not undone: the journal keeps it, and the source asks again */
	j.state = JOB_RUNS;
	event_del(j.ev_reap);
	assert_false(job_enter(&j, JOB_READY));
	assert_int_equal(j.state, JOB_OVER);
	assert_true(event_pending(j.ev_reap, EV_TIMEOUT, NULL));

	j.state = JOB_DECIDED;
	event_del(j.ev_reap);
	assert_false(job_enter(&j, JOB_PREPARING));
	assert_int_equal(j.state, JOB_OVER);
	assert_true(event_pending(j.ev_reap, EV_TIMEOUT, NULL));

	/* a twin that lies: it has no RAM yet, and says that it runs; then the job fails */
	j.state = JOB_PREPARING;
	job_force(&j);
	assert_false(j.forced);
	j.forced = true;
	assert_false(job_enter(&j, JOB_FINISHING));
	assert_int_equal(j.state, JOB_OVER);
	event_free(j.ev_timer);
	event_free(j.ev_reap);
	event_free(j.ev_suspect);
	event_base_free(base);
}

/* ---- docs/phases.md ---- */

static void add_ways(char *out, size_t size, unsigned states, bool (*may)(unsigned, unsigned),
		     const char *(*name)(unsigned))
{
	for (unsigned s = 0; s < states; s++) {
		size_t n = strlen(out);

		n += (size_t)snprintf(out + n, size - n, "| `%s` |", name(s));
		for (unsigned to = 0, some = 0; to < states; to++)
			if (may(s, to))
				n += (size_t)snprintf(out + n, size - n, "%s `%s`",
						      some++ ? "," : "", name(to));
		snprintf(out + n, size - n, " |\n");
	}
}

static const char *source_name(unsigned s)
{
	return migrate_state_name(s);
}

static const char *destination_name(unsigned s)
{
	return job_state_name(s);
}

static void test_page(void **state)
{
	static char page[128 << 10], ways[8192];
	FILE *f = fopen(ADIT_TOP "/docs/phases.md", "r");
	size_t n;

	(void)state;
	assert_non_null(f);
	n = fread(page, 1, sizeof(page) - 1, f);
	fclose(f);
	page[n] = '\0';
	add_ways(ways, sizeof(ways), MIGRATE_STATES, source_may, source_name);
	if (!strstr(page, ways))
		fail_msg("docs/phases.md has not the source's ways:\n%s", ways);
	ways[0] = '\0';
	add_ways(ways, sizeof(ways), JOB_STATES, destination_may, destination_name);
	if (!strstr(page, ways))
		fail_msg("docs/phases.md has not the destination's ways:\n%s", ways);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_source_table),   cmocka_unit_test(test_destination_table),
	    cmocka_unit_test(test_source_refuses), cmocka_unit_test(test_destination_refuses),
	    cmocka_unit_test(test_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
