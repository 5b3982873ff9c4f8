/* The tables of phases, of both sides: each phase comes to an end, what says that it goes back can,
 * and a way that no table has is not gone: the arrival ends by the safe way of the phase it is in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "control/destination/arrival_i.h"
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
	return migrate_phases[from]->to & (1u << to);
}

static bool source_is(unsigned s, enum phase_trait trait)
{
	return migrate_phases[s]->is & (unsigned)trait;
}

static bool destination_may(unsigned from, unsigned to)
{
	return arrival_phases[from]->to & (1u << to);
}

static bool destination_is(unsigned s, enum arrival_trait trait)
{
	return arrival_phases[s]->is & (unsigned)trait;
}

static bool takes(const struct phase *p, enum cookie_kind kind)
{
	for (const struct phase_cookie *c = p->cookies; c && c->take; c++)
		if (c->kind == kind)
			return true;
	return false;
}

static void test_source_table(void **state)
{
	(void)state;
	for (unsigned s = 0; s < MIGRATE_STATES; s++) {
		const struct phase *p = migrate_phases[s];

		assert_non_null(p);
		assert_non_null(p->name);
		assert_true(comes_to(s, MIGRATE_OVER, MIGRATE_STATES, source_may));
		assert_true(s == MIGRATE_BEGIN ||
			    comes_to(MIGRATE_BEGIN, s, MIGRATE_STATES, source_may));
		if (source_is(s, PHASE_RETURNS))
			assert_true(source_may(s, MIGRATE_UNDO));
		if (source_is(s, PHASE_ASKS))
			assert_true(source_may(s, MIGRATE_ASK));
		/* a failure has one way, and only one */
		assert_int_equal(source_is(s, PHASE_RETURNS) + source_is(s, PHASE_ASKS) +
				     source_is(s, PHASE_SETTLES) + (s == MIGRATE_ASK),
				 1);
		/* what cannot be has a way, and so has a QEMU that has gone while it is needed */
		assert_int_equal(p->bad_word == NULL, source_is(s, PHASE_SETTLES));
		if (source_is(s, PHASE_RETURNS))
			assert_non_null(p->qemu_ended);
		/* no time limit and nobody's wish undoes what the destination may have decided */
		assert_int_equal(p->time_up == NULL, !source_is(s, PHASE_RETURNS));
		if (source_is(s, PHASE_ASKS) || s == MIGRATE_END)
			assert_null(p->cancel);
		/* whose talk may end, and in which the destination may give up, says what then */
		if (s != MIGRATE_BEGIN && s != MIGRATE_OVER) {
			assert_true(takes(p, COOKIE_ABORT));
			assert_int_equal(p->talk_ended == NULL, s == MIGRATE_END);
		}
		/* a cookie is taken in one way */
		for (const struct phase_cookie *a = p->cookies; a && a->take; a++)
			for (const struct phase_cookie *b = a + 1; b->take; b++)
				assert_int_not_equal(a->kind, b->kind);
	}
	/* nothing undoes an end that both know, and no way leads back before the decision */
	assert_false(comes_to(MIGRATE_OVER, MIGRATE_UNDO, MIGRATE_STATES, source_may));
	for (unsigned s = 0; s < MIGRATE_STATES; s++)
		if (source_is(s, PHASE_RETURNS))
			assert_false(comes_to(MIGRATE_FINISH, s, MIGRATE_STATES, source_may));
}

/* A deadline and what follows from it, or a reason why there is none. */
static void test_source_deadlines(void **state)
{
	(void)state;
	for (unsigned s = 0; s < MIGRATE_STATES; s++) {
		const struct phase_deadline *d = &migrate_phases[s]->deadline;

		assert_int_equal(d->ms == 0, d->none != NULL);
		if (d->ms)
			assert_non_null(d->over);
		else
			assert_true(strlen(d->none) > 10);
	}
}

static void test_destination_table(void **state)
{
	(void)state;
	for (unsigned s = 0; s < ARRIVAL_STATES; s++) {
		const struct arrival_phase *p = arrival_phases[s];

		assert_non_null(p);
		assert_non_null(p->name);
		assert_true(s == ARRIVAL_OVER || destination_may(s, ARRIVAL_OVER));
		assert_true(comes_to(ARRIVAL_WAITING, s, ARRIVAL_STATES, destination_may));
		/* what is decided is never open again */
		if (destination_is(s, ARRIVAL_OPEN))
			assert_false(comes_to(ARRIVAL_DECIDED, s, ARRIVAL_STATES, destination_may));
		/* a source that goes away, or a twin that does, is somebody's matter until the end
		 */
		if (!destination_is(s, ARRIVAL_OPEN))
			assert_non_null(p->talk_ended);
		/* nothing is undone by the source's word once it is decided */
		for (const struct arrival_cookie *a = p->cookies; a && a->take; a++) {
			assert_true(a->kind != COOKIE_ABORT || destination_is(s, ARRIVAL_OPEN));
			/* a cookie is taken in one way */
			for (const struct arrival_cookie *b = a + 1; b->take; b++)
				assert_int_not_equal(a->kind, b->kind);
		}
		/* where postcopy may have begun a failure does not undo */
		if (destination_may(s, ARRIVAL_FINISHING) || s == ARRIVAL_FINISHING)
			assert_true(p->fail == arrival_fail_or_finish);
	}
	assert_false(destination_may(ARRIVAL_FINISHING, ARRIVAL_RUNS));
}

/* A deadline and what follows from it, or a reason why there is none. */
static void test_destination_deadlines(void **state)
{
	(void)state;
	for (unsigned s = 0; s < ARRIVAL_STATES; s++) {
		const struct arrival_deadline *d = &arrival_phases[s]->deadline;

		assert_int_equal(d->ms == 0, d->none != NULL);
		if (d->ms)
			assert_non_null(d->over);
		else
			assert_true(strlen(d->none) > 10);
	}
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
	m->state = MIGRATE_PREPARE;
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
	assert_true(evtimer_pending(m->core.ev_deadline, NULL));
	migrate_free(m);

	/* an arrival of the journal may have been decided long ago: it is left as it is */
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

	/* also where it is not wanted any more before it is known whose QEMU that is */
	m = migrate_new(s.base, &c, &ops, &s, &e);
	assert_non_null(m);
	snprintf(m->found, sizeof(m->found), "finish");
	s.ends = 0;
	assert_false(migrate_cancel(m));
	event_base_dispatch(s.base);
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.result.outcome, MIGRATE_UNKNOWN);
	assert_true(s.result.unfinished);
	migrate_free(m);

	/* or its time is up by then */
	m = migrate_new(s.base, &c, &ops, &s, &e);
	assert_non_null(m);
	snprintf(m->found, sizeof(m->found), "finish");
	s.ends = 0;
	migrate_time_up(m);
	event_base_dispatch(s.base);
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.result.outcome, MIGRATE_UNKNOWN);
	assert_true(s.result.unfinished);
	migrate_free(m);

	/* an end that is known stays */
	m = migrate_new(s.base, &c, &ops, &s, &e);
	assert_non_null(m);
	m->state = MIGRATE_END;
	migrate_deadline(m, 1000);
	assert_false(migrate_enter(m, MIGRATE_UNDO));
	assert_int_equal(m->state, MIGRATE_END);
	assert_true(evtimer_pending(m->core.ev_deadline, NULL));
	migrate_free(m);
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

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)ctx;
}

/* The twin says that postcopy has begun. */
static void say_postcopy(struct arrival *a)
{
	json_t *data = json_pack("{s:s}", "status", "postcopy-active");

	arrival_take_event(a, "MIGRATION", data);
	json_decref(data);
}

static void test_destination_refuses(void **state)
{
	struct event_base *base = event_base_new();
	struct arrival a = {.phases = arrival_phases, .state = ARRIVAL_READY};

	(void)state;
	assert_int_equal(arrival_core_init(&a, base), 0);
	a.over.ev_reap = evtimer_new(base, on_timer, NULL);
	assert_false(arrival_enter(&a, ARRIVAL_RUNS));
	assert_int_equal(a.state, ARRIVAL_OVER);

	/* what is decided is not undone: the journal keeps it, and the source asks again */
	a.state = ARRIVAL_RUNS;
	event_del(a.over.ev_reap);
	assert_false(arrival_enter(&a, ARRIVAL_READY));
	assert_int_equal(a.state, ARRIVAL_OVER);
	assert_true(event_pending(a.over.ev_reap, EV_TIMEOUT, NULL));

	a.state = ARRIVAL_DECIDED;
	event_del(a.over.ev_reap);
	assert_false(arrival_enter(&a, ARRIVAL_PREPARING));
	assert_int_equal(a.state, ARRIVAL_OVER);
	assert_true(event_pending(a.over.ev_reap, EV_TIMEOUT, NULL));

	/* a twin that lies: it has no RAM yet, and says that it runs; then the arrival fails */
	a.state = ARRIVAL_PREPARING;
	say_postcopy(&a);
	assert_int_equal(a.postcopy, ARRIVAL_POSTCOPY_NOT);
	a.postcopy = ARRIVAL_POSTCOPY_BEGUN;
	assert_false(arrival_enter(&a, ARRIVAL_FINISHING));
	assert_int_equal(a.state, ARRIVAL_OVER);
	arrival_core_fini(&a);
	event_free(a.over.ev_reap);
	event_base_free(base);
}

/* ---- the destination's core, on a table of its own ---- */

static struct {
	unsigned enters, leaves, fails, cookies, late, looks;
	char why[ERR_TEXT_MAX];
} arrival_did;

static void arrival_does_enter(struct arrival *a)
{
	(void)a;
	arrival_did.enters++;
}

static void arrival_does_leave(struct arrival *a)
{
	(void)a;
	arrival_did.leaves++;
}

static void arrival_does_late(struct arrival *a)
{
	(void)a;
	arrival_did.late++;
}

static void arrival_does_look(struct arrival *a)
{
	(void)a;
	arrival_did.looks++;
}

static void arrival_does_fail(struct arrival *a, const struct err *e)
{
	(void)a;
	arrival_did.fails++;
	snprintf(arrival_did.why, sizeof(arrival_did.why), "%s", e->text);
}

static void arrival_does_cookie(struct arrival *a, const json_t *msg)
{
	(void)a;
	(void)msg;
	arrival_did.cookies++;
}

static const struct arrival_cookie arrival_one_cookie[] = {{COOKIE_DISKS_DONE, arrival_does_cookie},
							   {0}};
static const struct arrival_phase arrival_first = {.name = "first",
						   .to = ARRIVAL_TO(CLOSING),
						   .is = ARRIVAL_OPEN,
						   .leave = arrival_does_leave,
						   .deadline = {.none = "a test"},
						   .look = arrival_does_look,
						   .fail = arrival_does_fail};
static const struct arrival_phase arrival_second = {
    .name = "second",
    .to = ARRIVAL_TO(OVER),
    .is = ARRIVAL_OPEN,
    .enter = arrival_does_enter,
    .deadline = {.ms = 1, .over = arrival_does_late},
    .cookies = arrival_one_cookie,
    .fail = arrival_does_fail};
static const struct arrival_phase arrival_last = {
    .name = "last", .is = ARRIVAL_SETTLES, .deadline = {.ms = 1, .over = arrival_does_late}};
static const struct arrival_phase *const arrival_short_table[ARRIVAL_STATES] = {
    [ARRIVAL_READY] = &arrival_first,
    [ARRIVAL_CLOSING] = &arrival_second,
    [ARRIVAL_OVER] = &arrival_last};

static void test_destination_goes_by_the_table(void **state)
{
	struct event_base *base = event_base_new();
	struct arrival a = {.phases = arrival_short_table, .state = ARRIVAL_READY, .id = "0123"};
	json_t *mine = json_pack("{s:s}", "job", "0123"),
	       *other = json_pack("{s:s}", "job", "4567");

	(void)state;
	memset(&arrival_did, 0, sizeof(arrival_did));
	assert_int_equal(arrival_core_init(&a, base), 0);
	/* what belongs to a phase goes with it, and the next one's deadline is armed */
	arrival_look(&a, 0);
	assert_true(arrival_enter(&a, ARRIVAL_CLOSING));
	assert_int_equal(a.before, ARRIVAL_READY);
	assert_false(evtimer_pending(a.core.ev_look, NULL));
	assert_true(evtimer_pending(a.core.ev_deadline, NULL));
	assert_int_equal(arrival_did.leaves, 1);
	assert_int_equal(arrival_did.enters, 1);
	/* what is listed is taken, of this arrival; what is not is refused */
	arrival_take_cookie(&a, COOKIE_DISKS_DONE, mine);
	assert_int_equal(arrival_did.cookies, 1);
	arrival_take_cookie(&a, COOKIE_DISKS_DONE, other);
	assert_int_equal(arrival_did.cookies, 1);
	assert_non_null(strstr(arrival_did.why, "another job than its own"));
	arrival_take_cookie(&a, COOKIE_CONFIRM, mine);
	assert_int_equal(arrival_did.fails, 2);
	assert_non_null(strstr(arrival_did.why, "confirm in state second, out of order"));
	assert_false(arrival_enter(&a, ARRIVAL_READY));
	assert_int_equal(arrival_did.fails, 3);
	assert_int_equal(a.state, ARRIVAL_CLOSING);
	/* the deadline is the phase's that it is in */
	event_base_dispatch(base);
	assert_int_equal(arrival_did.late, 1);
	assert_int_equal(arrival_did.looks, 0);
	/* where the end is known nothing that is said stops its deadline */
	assert_true(arrival_enter(&a, ARRIVAL_OVER));
	arrival_take_cookie(&a, COOKIE_ABORT, mine);
	assert_false(arrival_enter(&a, ARRIVAL_CLOSING));
	assert_int_equal(arrival_did.fails, 3);
	assert_true(evtimer_pending(a.core.ev_deadline, NULL));
	arrival_core_fini(&a);
	json_decref(mine);
	json_decref(other);
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

static void add_deadlines(char *out, size_t size)
{
	for (unsigned s = 0; s < MIGRATE_STATES; s++) {
		const struct phase *p = migrate_phases[s];
		size_t n = strlen(out);

		if (p->deadline.ms)
			snprintf(out + n, size - n, "| `%s` | %g s |\n", p->name,
				 p->deadline.ms / 1000.0);
		else
			snprintf(out + n, size - n, "| `%s` | none: %s |\n", p->name,
				 p->deadline.none);
	}
}

static const char *source_name(unsigned s)
{
	return migrate_phases[s]->name;
}

static const char *destination_name(unsigned s)
{
	return arrival_phases[s]->name;
}

static void add_arrival_deadlines(char *out, size_t size)
{
	for (unsigned s = 0; s < ARRIVAL_STATES; s++) {
		const struct arrival_phase *p = arrival_phases[s];
		size_t n = strlen(out);

		if (p->deadline.ms)
			snprintf(out + n, size - n, "| `%s` | %g s |\n", p->name,
				 p->deadline.ms / 1000.0);
		else
			snprintf(out + n, size - n, "| `%s` | none: %s |\n", p->name,
				 p->deadline.none);
	}
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
	add_deadlines(ways, sizeof(ways));
	if (!strstr(page, ways))
		fail_msg("docs/phases.md has not the source's deadlines:\n%s", ways);
	ways[0] = '\0';
	add_ways(ways, sizeof(ways), ARRIVAL_STATES, destination_may, destination_name);
	if (!strstr(page, ways))
		fail_msg("docs/phases.md has not the destination's ways:\n%s", ways);
	ways[0] = '\0';
	add_arrival_deadlines(ways, sizeof(ways));
	if (!strstr(page, ways))
		fail_msg("docs/phases.md has not the destination's deadlines:\n%s", ways);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_source_table),
	    cmocka_unit_test(test_destination_table),
	    cmocka_unit_test(test_source_deadlines),
	    cmocka_unit_test(test_core_goes_by_the_table),
	    cmocka_unit_test(test_an_abort_in_the_end_stops_nothing),
	    cmocka_unit_test(test_a_state_that_is_told_twice_leaves_the_deadline),
	    cmocka_unit_test(test_source_refuses),
	    cmocka_unit_test(test_destination_deadlines),
	    cmocka_unit_test(test_destination_goes_by_the_table),
	    cmocka_unit_test(test_destination_refuses),
	    cmocka_unit_test(test_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
