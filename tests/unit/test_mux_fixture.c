/* See test_mux_fixture.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/test_mux_fixture.h"

void mux_fixture_take(struct pair_end *end, struct stream *s, enum stream_class c,
		      const char *target)
{
	struct mux_fixture_taker *t = end->user;
	struct pair_stream *ps = &t->ps[t->count];

	(void)c;
	assert_true(t->count < MUX_FIXTURE_MANY);
	snprintf(t->target[t->count++], 64, "%s", target);
	*ps = t->model;
	ps->s = s;
	stream_accept(s, &pair_stream_ops, ps);
	if (ps->want || ps->finish)
		stream_ready(s);
}

struct pair_stream mux_fixture_open(struct pair *p, enum stream_class c, const char *target,
				    struct pair_stream *ps)
{
	struct err e = ERR_INIT;

	ps->s = mux_open(p->end[0].mux, c, target, &pair_stream_ops, ps, &e);
	assert_non_null(ps->s);
	stream_ready(ps->s);
	return *ps;
}

void mux_fixture_start(struct pair *p, struct mux_fixture_taker *t,
		       const struct session_config *server)
{
	pair_init(p, NULL, server);
	p->end[1].on_open = mux_fixture_take;
	p->end[1].user = t;
	pair_run(p, 0, 20);
	assert_true(p->end[0].hello && p->end[1].hello);
}
