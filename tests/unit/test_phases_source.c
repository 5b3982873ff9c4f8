/* The source goes by its table of phases: a way that the table has not is not gone, and the
 * migration ends by the safe way of the phase it is in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "control/source/migrate_i.h"

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

/* A migration that goes nowhere; found: the phase in which the journal has it, or "". */
static struct migrate *make(struct seen *s, const char *found)
{
	static const struct migrate_ops ops = {.on_end = on_end};
	struct migrate_config c = {.qmp = "/none", .dest = "tcp://127.0.0.1:1", .state_dir = "/"};
	struct err e = ERR_INIT;
	struct migrate *m;

	c.auth.insecure = true;
	m = migrate_new(s->base, &c, &ops, s, &e);
	assert_non_null(m);
	snprintf(m->found, sizeof(m->found), "%s", found);
	s->ends = 0;
	return m;
}

static void test_source_refuses(void **state)
{
	struct seen s = {.base = event_base_new()};
	struct migrate *m;

	(void)state;
	m = make(&s, "");
	m->state = MIGRATE_PREPARE;
	assert_false(migrate_enter(m, MIGRATE_CONFIRM));
	assert_int_not_equal(m->state, MIGRATE_CONFIRM);
	event_base_dispatch(s.base);
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.result.outcome, MIGRATE_STAYED);
	assert_non_null(strstr(s.text, "no way from phase prepare to confirm"));
	migrate_free(m);

	/* from FINISH on the destination may run it: it is asked, and never put back */
	m = make(&s, "");
	m->state = MIGRATE_FINISH;
	assert_false(migrate_enter(m, MIGRATE_RAM));
	assert_int_equal(m->state, MIGRATE_ASK);
	migrate_free(m);

	/* asking goes on */
	m = make(&s, "");
	m->state = MIGRATE_ASK;
	assert_false(migrate_enter(m, MIGRATE_RAM));
	assert_int_equal(m->state, MIGRATE_ASK);
	assert_true(evtimer_pending(m->core.ev_deadline, NULL));
	migrate_free(m);

	/* an end that is known stays */
	m = make(&s, "");
	m->state = MIGRATE_END;
	migrate_deadline(m, 1000);
	assert_false(migrate_enter(m, MIGRATE_UNDO));
	assert_int_equal(m->state, MIGRATE_END);
	assert_true(evtimer_pending(m->core.ev_deadline, NULL));
	migrate_free(m);
	event_base_free(s.base);
}

static void is_left(struct seen *s, struct migrate *m)
{
	event_base_dispatch(s->base);
	assert_int_equal(s->ends, 1);
	assert_int_equal(s->result.outcome, MIGRATE_UNKNOWN);
	assert_true(s->result.unfinished);
	migrate_free(m);
}

/* A job of the journal may have been decided long ago: it is left as it is. */
static void test_source_leaves_what_was_found(void **state)
{
	struct seen s = {.base = event_base_new()};
	struct migrate *m;

	(void)state;
	m = make(&s, "finish");
	assert_false(migrate_enter(m, MIGRATE_CONFIRM));
	is_left(&s, m);

	/* also where it is not wanted any more before it is known whose QEMU that is */
	m = make(&s, "finish");
	assert_false(migrate_cancel(m));
	is_left(&s, m);

	/* or its time is up by then */
	m = make(&s, "finish");
	migrate_time_up(m);
	is_left(&s, m);
	event_base_free(s.base);
}

/* ---- the core, on a table of its own ---- */

static struct {
	unsigned enters, leaves, bad_words, cookies, events, looks, silent;
	char word[ERR_TEXT_MAX];
} done;

static void do_enter(struct migrate *m)
{
	(void)m;
	done.enters++;
}

static void do_leave(struct migrate *m)
{
	(void)m;
	done.leaves++;
}

static void do_over(struct migrate *m)
{
	done.silent++;
	event_base_loopbreak(m->base);
}

static void do_look(struct migrate *m)
{
	(void)m;
	done.looks++;
}

static void do_bad_word(struct migrate *m, const struct err *why)
{
	(void)m;
	done.bad_words++;
	snprintf(done.word, sizeof(done.word), "%s", why->text);
}

static void do_cookie(struct migrate *m, const json_t *msg)
{
	(void)m;
	(void)msg;
	done.cookies++;
}

static void do_event(struct migrate *m, const char *name, const json_t *data)
{
	(void)m;
	(void)name;
	(void)data;
	done.events++;
}

static const struct phase_cookie one_cookie[] = {{COOKIE_PREPARED, do_cookie}, {0}};
static const struct phase_event one_event[] = {{"STOP", do_event}, {0}};
static const struct phase first = {.name = "first",
				   .to = PHASE_TO(PREPARE),
				   .is = PHASE_RETURNS,
				   .leave = do_leave,
				   .deadline = {.none = "a test"},
				   .look = do_look,
				   .bad_word = do_bad_word};
static const struct phase second = {.name = "second",
				    .to = PHASE_TO(END),
				    .is = PHASE_RETURNS,
				    .enter = do_enter,
				    .deadline = {.ms = 1, .over = do_over},
				    .cookies = one_cookie,
				    .events = one_event,
				    .bad_word = do_bad_word};
static const struct phase last = {
    .name = "last", .is = PHASE_SETTLES, .deadline = {.ms = 1, .over = do_over}};
static const struct phase *const short_table[MIGRATE_STATES] = {
    [MIGRATE_BEGIN] = &first, [MIGRATE_PREPARE] = &second, [MIGRATE_END] = &last};

static void test_core_goes_by_the_table(void **state)
{
	struct event_base *base = event_base_new();
	struct migrate m = {.phases = short_table};

	(void)state;
	memset(&done, 0, sizeof(done));
	assert_int_equal(migrate_core_init(&m, base), 0);
	/* what belongs to a phase goes with it, and the next one's deadline is armed */
	migrate_look(&m, 0);
	assert_true(migrate_enter(&m, MIGRATE_PREPARE));
	assert_int_equal(m.before, MIGRATE_BEGIN);
	assert_false(evtimer_pending(m.core.ev_look, NULL));
	assert_true(evtimer_pending(m.core.ev_deadline, NULL));
	assert_int_equal(done.leaves, 1);
	assert_int_equal(done.enters, 1);
	/* what is listed is taken; what is not is refused, but for QEMU's small talk */
	migrate_take_cookie(&m, COOKIE_PREPARED, NULL);
	assert_int_equal(done.cookies, 1);
	assert_int_equal(done.bad_words, 0);
	migrate_take_cookie(&m, COOKIE_FINISHED, NULL);
	assert_int_equal(done.cookies, 1);
	assert_int_equal(done.bad_words, 1);
	assert_non_null(strstr(done.word, "finished in phase second"));
	migrate_take_event(&m, "STOP", NULL);
	migrate_take_event(&m, "RESUME", NULL);
	assert_int_equal(done.events, 1);
	assert_int_equal(done.bad_words, 1);
	assert_false(migrate_enter(&m, MIGRATE_BEGIN));
	assert_int_equal(done.bad_words, 2);
	assert_int_equal(m.state, MIGRATE_PREPARE);
	/* the deadline is the phase's that it is in */
	event_base_dispatch(base);
	assert_int_equal(done.silent, 1);
	assert_int_equal(done.looks, 0);
	/* where the end is known nothing that is said stops its deadline */
	assert_true(migrate_enter(&m, MIGRATE_END));
	migrate_take_cookie(&m, COOKIE_ABORT, NULL);
	assert_false(migrate_enter(&m, MIGRATE_PREPARE));
	assert_int_equal(done.bad_words, 2);
	assert_true(evtimer_pending(m.core.ev_deadline, NULL));
	migrate_core_fini(&m);
	event_base_free(base);
}

/* A destination that gives an arrival up which it has confirmed does not keep it from its end. */
static void test_an_abort_in_the_end_stops_nothing(void **state)
{
	struct event_base *base = event_base_new();
	struct migrate m = {.phases = migrate_phases, .state = MIGRATE_END};
	struct err e = ERR_INIT;
	json_t *msg;

	(void)state;
	err_set(&e, ERR_QEMU, "its twin has died");
	msg = cookie_new_abort("0123456789abcdef0123456789abcdef", &e);
	assert_int_equal(migrate_core_init(&m, base), 0);
	migrate_deadline(&m, 10000);
	migrate_take_cookie(&m, COOKIE_ABORT, msg);
	migrate_take_cookie(&m, COOKIE_FINISHED, msg);
	assert_int_equal(m.state, MIGRATE_END);
	assert_true(evtimer_pending(m.core.ev_deadline, NULL));
	json_decref(msg);
	migrate_core_fini(&m);
	event_base_free(base);
}

/* What QEMU says of its RAM does not keep the destination's word from being waited for no longer
 * than it may be. */
static void test_a_state_that_is_told_twice_leaves_the_deadline(void **state)
{
	static const char *const statuses[] = {"postcopy-active", "postcopy-paused", "completed"};
	struct event_base *base = event_base_new();
	struct migrate m = {.phases = migrate_phases};

	(void)state;
	assert_int_equal(migrate_core_init(&m, base), 0);
	for (unsigned s = MIGRATE_FINISH; s <= MIGRATE_CONFIRM; s++)
		for (size_t i = 0; i < 3 && migrate_phases[s]->deadline.ms; i++) {
			json_t *data = json_pack("{s:s}", "status", statuses[i]);

			m.state = s;
			migrate_deadline(&m, 10000);
			migrate_take_event(&m, "MIGRATION", data);
			assert_int_equal(m.state, s);
			assert_true(evtimer_pending(m.core.ev_deadline, NULL));
			json_decref(data);
		}
	migrate_core_fini(&m);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_core_goes_by_the_table),
	    cmocka_unit_test(test_an_abort_in_the_end_stops_nothing),
	    cmocka_unit_test(test_a_state_that_is_told_twice_leaves_the_deadline),
	    cmocka_unit_test(test_source_refuses),
	    cmocka_unit_test(test_source_leaves_what_was_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
