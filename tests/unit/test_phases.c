/* The tables of phases, of both sides: each phase comes to an end, what says that it goes back can,
 * and docs/phases.md has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

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
		/* an owner who asks is told what is being done now, and nothing of the phase before
		 */
		assert_int_equal(p->text == NULL, s == MIGRATE_BEGIN || s == MIGRATE_OVER);
		assert_ptr_equal(migrate_phase_text(p->name), p->text);
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

/* A line of the tables of docs/phases.md: how long it has, or why it has no limit. */
static void add_deadline(char *out, size_t size, const char *name, unsigned ms, const char *none)
{
	size_t n = strlen(out);

	if (ms)
		snprintf(out + n, size - n, "| `%s` | %g s |\n", name, ms / 1000.0);
	else
		snprintf(out + n, size - n, "| `%s` | none: %s |\n", name, none);
}

static void add_deadlines(char *out, size_t size)
{
	for (unsigned s = 0; s < MIGRATE_STATES; s++) {
		const struct phase *p = migrate_phases[s];

		add_deadline(out, size, p->name, p->deadline.ms, p->deadline.none);
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

		add_deadline(out, size, p->name, p->deadline.ms, p->deadline.none);
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
	    cmocka_unit_test(test_destination_deadlines),
	    cmocka_unit_test(test_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
