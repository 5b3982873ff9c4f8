/* Two real muxes joined in memory: streams, half-close, credit, priority, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/pair.h"

enum { MANY = 300 };

/* What the server does with streams: takes them into a table in order. */
struct taker {
	struct pair_stream ps[MANY];
	char target[MANY][64];
	unsigned count;
	struct pair_stream model; /* what each begins as */
};

static void take(struct pair_end *end, struct stream *s, enum stream_class c, const char *target)
{
	struct taker *t = end->user;
	struct pair_stream *ps = &t->ps[t->count];

	(void)c;
	assert_true(t->count < MANY);
	snprintf(t->target[t->count++], 64, "%s", target);
	*ps = t->model;
	ps->s = s;
	stream_accept(s, &pair_stream_ops, ps);
	if (ps->want || ps->finish)
		stream_ready(s);
}

static struct pair_stream opened(struct pair *p, enum stream_class c, const char *target,
				 struct pair_stream *ps)
{
	struct err e = ERR_INIT;

	ps->s = mux_open(p->end[0].mux, c, target, &pair_stream_ops, ps, &e);
	assert_non_null(ps->s);
	stream_ready(ps->s);
	return *ps;
}

static void start(struct pair *p, struct taker *t, const struct session_config *server)
{
	pair_init(p, NULL, server);
	p->end[1].on_open = take;
	p->end[1].user = t;
	pair_run(p, 0, 20);
	assert_true(p->end[0].hello && p->end[1].hello);
}

static void test_mux_carries_bytes_both_ways_in_any_pieces(void **state)
{
	const size_t chunks[] = {0, 1, 7, 16, 17, 1000, 65536};

	(void)state;
	for (unsigned i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		struct taker *t = calloc(1, sizeof(*t));
		struct pair_stream ps = {
		    .want = 300000, .seed_out = 1, .seed_in = 2, .take_max = SIZE_MAX, .finish = 1};
		struct pair p;

		assert_non_null(t);
		t->model = (struct pair_stream){
		    .want = 200001, .seed_out = 2, .seed_in = 1, .take_max = 5000, .finish = 1};
		start(&p, t, NULL);
		opened(&p, STREAM_RAM, "a", &ps);
		for (int r = 0; r < 2000 && !(ps.eof && t->ps[0].eof); r++) {
			pair_run(&p, chunks[i], 1);
			if (t->count)
				stream_drain(t->ps[0].s);
		}
		assert_int_equal(ps.got, 200001);
		assert_int_equal(t->ps[0].got, 300000);
		assert_int_equal(ps.bad + t->ps[0].bad, 0);
		assert_int_equal(ps.reset + t->ps[0].reset, 0);
		pair_run(&p, 0, 10);
		assert_true(stream_flushed(ps.s));
		stream_free(ps.s);
		stream_free(t->ps[0].s);
		pair_run(&p, 0, 10);
		struct session_stats st;

		for (int e = 0; e < 2; e++) {
			mux_stats(p.end[e].mux, &st);
			assert_int_equal(st.streams, 0);
			assert_int_equal(st.granted_bytes, 0);
			assert_int_equal(st.queued_bytes, 0);
			assert_int_equal(st.retained_bytes, 0);
		}
		pair_fini(&p);
		free(t);
	}
}

static void test_mux_half_close_leaves_the_other_direction(void **state)
{
	struct taker t = {0};
	struct pair_stream ps = {.finish = 1, .seed_in = 9, .take_max = SIZE_MAX};
	struct pair p;

	(void)state;
	t.model = (struct pair_stream){.take_max = SIZE_MAX, .seed_out = 9};
	start(&p, &t, NULL);
	opened(&p, STREAM_OTHER, "a", &ps);
	pair_run(&p, 0, 10);
	assert_int_equal(t.ps[0].eof, 1);
	assert_int_equal(ps.eof, 0);
	t.ps[0].want = 100000;
	t.ps[0].finish = 1;
	stream_ready(t.ps[0].s);
	pair_run(&p, 0, 100);
	assert_int_equal(ps.got, 100000);
	assert_int_equal(ps.bad, 0);
	assert_int_equal(ps.eof, 1);
	stream_free(ps.s);
	stream_free(t.ps[0].s);
	pair_fini(&p);
}

static void test_mux_opens_take_effect_in_order(void **state)
{
	struct taker t = {0};
	struct pair_stream ps[20];
	struct pair p;
	char name[16];

	(void)state;
	t.model = (struct pair_stream){.take_max = SIZE_MAX};
	start(&p, &t, NULL);
	for (unsigned i = 0; i < 20; i++) {
		ps[i] = (struct pair_stream){.want = 100000, .take_max = SIZE_MAX};
		snprintf(name, sizeof(name), "t%u", i);
		opened(&p, i % 2 ? STREAM_RAM : STREAM_DISK, name, &ps[i]);
	}
	pair_run(&p, 0, 1);
	assert_int_equal(t.count, 20);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "t%u", i);
		assert_string_equal(t.target[i], name);
	}
	for (unsigned i = 0; i < 20; i++) {
		stream_free(ps[i].s);
		stream_free(t.ps[i].s);
	}
	pair_run(&p, 0, 10);
	pair_fini(&p);
}

static void test_mux_stuck_reader_holds_up_nobody_and_stays_in_its_window(void **state)
{
	struct taker t = {0};
	struct pair_stream stuck = {.want = 100 << 20, .take_max = SIZE_MAX};
	struct pair_stream flows = {.want = 8 << 20, .finish = 1, .take_max = SIZE_MAX};
	struct session_stats st;
	struct pair p;

	(void)state;
	t.model = (struct pair_stream){.take_max = SIZE_MAX, .stuck = 1};
	start(&p, &t, NULL);
	opened(&p, STREAM_DISK, "stuck", &stuck);
	pair_run(&p, 0, 1);
	t.model.stuck = 0;
	opened(&p, STREAM_RAM, "flows", &flows);
	pair_run(&p, 0, 1000);
	assert_int_equal(t.ps[1].got, 8 << 20);
	assert_int_equal(t.ps[1].bad, 0);
	assert_int_equal(t.ps[1].eof, 1);
	assert_int_equal(t.ps[0].got, 0);
	mux_stats(p.end[1].mux, &st);
	assert_true(st.queued_bytes > 0 && st.queued_bytes <= 512 * 1024);
	assert_true(stuck.sent <= 512 * 1024);
	/* And when it moves again, nothing is lost. */
	t.ps[0].stuck = 0;
	for (int i = 0; i < 2000 && t.ps[0].got < 100u << 20; i++) {
		stream_drain(t.ps[0].s);
		pair_run(&p, 0, 1);
	}
	assert_int_equal(t.ps[0].got, 100 << 20);
	assert_int_equal(t.ps[0].bad, 0);
	stream_free(stuck.s);
	stream_free(flows.s);
	stream_free(t.ps[0].s);
	stream_free(t.ps[1].s);
	pair_fini(&p);
}

static void test_mux_windows_stay_within_the_budget(void **state)
{
	struct taker *t = calloc(1, sizeof(*t));
	struct pair_stream *ps = calloc(MANY, sizeof(*ps));
	struct session_config c;
	struct session_stats st;
	struct pair p;

	(void)state;
	assert_true(t && ps);
	t->model = (struct pair_stream){.take_max = SIZE_MAX, .stuck = 1};
	session_config_default(&c);
	c.memory_max_bytes = 40 << 20;
	start(&p, t, &c);
	for (unsigned i = 0; i < MANY; i++) {
		ps[i] = (struct pair_stream){.want = 4 << 20, .take_max = SIZE_MAX};
		opened(&p, STREAM_OTHER, "x", &ps[i]);
	}
	pair_run(&p, 0, 3000);
	mux_stats(p.end[1].mux, &st);
	assert_int_equal(st.streams, MANY);
	assert_true(st.granted_bytes <= c.memory_max_bytes);
	assert_true(st.queued_bytes <= c.memory_max_bytes);
	assert_true(st.queued_bytes >= c.memory_max_bytes / 4); /* what is free for newcomers */
	for (unsigned i = 0; i < MANY; i++) {
		stream_free(ps[i].s);
		stream_free(t->ps[i].s);
	}
	pair_run(&p, 0, 100);
	mux_stats(p.end[1].mux, &st);
	assert_int_equal(st.granted_bytes, 0);
	assert_int_equal(st.queued_bytes, 0);
	pair_fini(&p);
	free(t);
	free(ps);
}

static void test_mux_control_goes_before_bulk(void **state)
{
	struct taker t = {0};
	struct pair_stream bulk = {.want = 64 << 20, .take_max = SIZE_MAX};
	struct pair_stream control = {.take_max = SIZE_MAX};
	struct pair p;

	(void)state;
	t.model = (struct pair_stream){.take_max = SIZE_MAX};
	start(&p, &t, NULL);
	opened(&p, STREAM_DISK, "bulk", &bulk);
	opened(&p, STREAM_CONTROL, "control", &control);
	pair_run(&p, 0, 10);
	for (int i = 0; i < 20; i++) {
		uint64_t sent = bulk.sent;

		control.want += 100;
		stream_ready(control.s);
		stream_ready(bulk.s);
		pair_collect(&p, 0);
		assert_int_equal(control.sent, control.want);
		/* It was the first frame: whatever of the bulk went along came after it. */
		assert_true(bulk.sent - sent <= 256 * 1024 + 65536);
		pair_run(&p, 0, 1);
		assert_int_equal(t.ps[1].got, control.want);
	}
	stream_free(bulk.s);
	stream_free(control.s);
	stream_free(t.ps[0].s);
	stream_free(t.ps[1].s);
	pair_fini(&p);
}

static void test_mux_refusal_and_reset_carry_their_reason(void **state)
{
	struct pair_stream ps = {.want = 1000, .take_max = SIZE_MAX};
	struct taker t = {0};
	struct pair p;

	(void)state;
	start(&p, &t, NULL);
	p.end[1].on_open = NULL;
	opened(&p, STREAM_OTHER, "no", &ps);
	pair_run(&p, 0, 10);
	assert_int_equal(ps.reset, 1);
	assert_int_equal(ps.code, CODE_REFUSED);
	assert_string_equal(ps.reason, "not allowed in this test");
	stream_free(ps.s);
	pair_run(&p, 0, 10);

	p.end[1].on_open = take;
	t.model = (struct pair_stream){.take_max = SIZE_MAX};
	ps = (struct pair_stream){.want = 1 << 20, .take_max = SIZE_MAX};
	opened(&p, STREAM_OTHER, "yes", &ps);
	pair_run(&p, 0, 1);
	stream_reset(ps.s, CODE_ENDPOINT, "the disk is on fire");
	pair_run(&p, 0, 10);
	assert_int_equal(ps.reset, 0);
	assert_int_equal(t.ps[0].reset, 1);
	assert_int_equal(t.ps[0].code, CODE_ENDPOINT);
	assert_string_equal(t.ps[0].reason, "the disk is on fire");
	stream_free(ps.s);
	stream_free(t.ps[0].s);
	pair_run(&p, 0, 10);
	assert_false(p.end[0].failed || p.end[1].failed);
	pair_fini(&p);
}

static void test_mux_one_stream_too_many_is_refused_alone(void **state)
{
	struct session_config c;
	struct taker t = {0};
	struct pair_stream ps[6];
	struct err e = ERR_INIT;
	struct pair p;

	(void)state;
	session_config_default(&c);
	c.streams_max = 4;
	t.model = (struct pair_stream){.take_max = SIZE_MAX};
	start(&p, &t, &c);
	for (unsigned i = 0; i < 4; i++) {
		ps[i] = (struct pair_stream){.take_max = SIZE_MAX};
		opened(&p, STREAM_OTHER, "x", &ps[i]);
	}
	assert_null(mux_open(p.end[0].mux, STREAM_OTHER, "x", &pair_stream_ops, &ps[4], &e));
	assert_int_equal(e.code, ERR_LIMIT);
	pair_run(&p, 0, 10);
	assert_int_equal(t.count, 4);
	for (unsigned i = 0; i < 4; i++) {
		stream_free(ps[i].s);
		stream_free(t.ps[i].s);
	}
	pair_run(&p, 0, 10);
	t.count = 0;
	opened(&p, STREAM_OTHER, "again", &ps[0]);
	pair_run(&p, 0, 10);
	assert_int_equal(t.count, 1);
	stream_free(ps[0].s);
	stream_free(t.ps[0].s);
	pair_fini(&p);
}

static void test_mux_rate_caps_the_sum_and_can_be_changed(void **state)
{
	struct taker t = {0};
	struct pair_stream a = {.want = 1 << 30, .take_max = SIZE_MAX};
	struct pair_stream b = {.want = 1 << 30, .take_max = SIZE_MAX};
	struct rate *r = rate_new(10 << 20);
	struct pair p;

	(void)state;
	t.model = (struct pair_stream){.take_max = SIZE_MAX};
	start(&p, &t, NULL);
	opened(&p, STREAM_RAM, "a", &a);
	opened(&p, STREAM_DISK, "b", &b);
	stream_set_rate(a.s, r);
	stream_set_rate(b.s, r);
	for (int speed = 5; speed <= 20; speed *= 2) {
		uint64_t before = a.sent + b.sent, from_us = p.now_us;
		double rate;

		rate_set(r, (uint64_t)speed << 20);
		while (p.now_us - from_us < 2000000)
			pair_run(&p, 0, 1);
		rate = (double)(a.sent + b.sent - before) * 1e6 / (double)(p.now_us - from_us);
		assert_true(rate > 0.9 * speed * (1 << 20) && rate < 1.1 * speed * (1 << 20));
	}
	assert_true(a.sent > b.sent); /* ram weighs more */
	for (uint64_t before = a.sent, i = 0; i < 2; i++, before = a.sent) {
		rate_set(r, i ? UINT64_MAX : UINT64_C(8) << 60); /* as good as none */
		pair_run(&p, 0, 10);
		assert_true(a.sent > before);
	}
	stream_free(a.s);
	stream_free(b.s);
	stream_free(t.ps[0].s);
	stream_free(t.ps[1].s);
	rate_free(r);
	pair_fini(&p);
}

/* Bytes a second that both streams move at in two seconds. */
static double both_rate(struct pair *p, const struct pair_stream *a, const struct pair_stream *b,
			const struct pair_stream *got)
{
	uint64_t from_us = p->now_us, before = got ? got[0].got + got[1].got : a->sent + b->sent;

	while (p->now_us - from_us < 2000000)
		pair_run(p, 0, 1);
	return (double)((got ? got[0].got + got[1].got : a->sent + b->sent) - before) * 1e6 /
	       (double)(p->now_us - from_us);
}

static void test_mux_rates_hold_what_is_sent_and_taken_in(void **state)
{
	(void)state;
	/* at the sender (end 0), then at the receiver (end 1), who has only credit to do it with */
	for (int end = 0; end < 2; end++) {
		struct taker t = {0};
		struct pair_stream a = {.want = 1 << 30, .take_max = SIZE_MAX};
		struct pair_stream b = {.want = 1 << 30, .take_max = SIZE_MAX};
		struct rate *r = rate_new(4 << 20);
		struct pair p;
		double rate;

		t.model = (struct pair_stream){.take_max = SIZE_MAX};
		start(&p, &t, NULL);
		opened(&p, STREAM_RAM, "a", &a);
		opened(&p, STREAM_DISK, "b", &b);
		pair_run(&p, 0, 1);
		mux_set_rates(p.end[end].mux, end ? NULL : r, end ? r : NULL);
		both_rate(&p, &a, &b, t.ps); /* what was granted before */
		rate = both_rate(&p, &a, &b, t.ps);
		if (rate < 0.8 * (4 << 20) || rate > 1.2 * (4 << 20))
			fail_msg("end %d: %.0f bytes/s", end, rate);
		/* and goes on without */
		mux_set_rates(p.end[end].mux, NULL, NULL);
		assert_true(both_rate(&p, &a, &b, t.ps) > 2.0 * rate);
		stream_free(a.s);
		stream_free(b.s);
		stream_free(t.ps[0].s);
		stream_free(t.ps[1].s);
		pair_fini(&p);
		rate_free(r);
	}
}

static void test_mux_silent_peer_is_dead_in_time(void **state)
{
	struct taker t = {0};
	struct err e = ERR_INIT;
	struct pair p;
	uint64_t heard;
	int alive = 0;

	(void)state;
	start(&p, &t, NULL);
	/* Idle, both ends ping and stay up. */
	for (int i = 0; i < 100; i++) {
		p.now_us += 1000000;
		pair_run(&p, 0, 3);
	}
	assert_false(p.end[0].failed || p.end[1].failed);
	heard = p.now_us;
	while (mux_tick(p.end[0].mux, p.now_us, &e) == 0) {
		alive = 1;
		p.now_us += mux_timeout_us(p.end[0].mux, p.now_us) + 1;
		p.end[0].wire_len = 0;
		pair_collect(&p, 0);
	}
	assert_true(alive);
	assert_int_equal(e.code, ERR_TIMEOUT);
	assert_in_range(p.now_us - heard, 14500000, 16000000);
	pair_fini(&p);
}

static void test_mux_session_end_tells_every_stream(void **state)
{
	struct taker t = {0};
	struct pair_stream ps = {.want = 10, .take_max = SIZE_MAX};
	struct err e = ERR_INIT;
	struct pair p;

	(void)state;
	t.model = (struct pair_stream){.take_max = SIZE_MAX};
	start(&p, &t, NULL);
	opened(&p, STREAM_OTHER, "x", &ps);
	pair_run(&p, 0, 10);
	mux_close(p.end[0].mux, CODE_CANCELLED, "enough");
	pair_collect(&p, 0);
	assert_true(mux_closed(p.end[0].mux));
	assert_true(mux_input(p.end[1].mux, p.end[0].wire, p.end[0].wire_len, p.now_us, &e) != 0);
	assert_int_equal(e.code, ERR_CANCELLED);
	assert_non_null(strstr(e.text, "enough"));
	mux_detach_streams(p.end[1].mux, e.text);
	mux_detach_streams(p.end[0].mux, "closed");
	assert_int_equal(t.ps[0].reset, 1);
	assert_int_equal(t.ps[0].code, CODE_SESSION);
	assert_int_equal(ps.reset, 1);
	/* The handles outlive the mux. */
	pair_fini(&p);
	stream_ready(ps.s);
	stream_drain(ps.s);
	stream_reset(ps.s, CODE_NONE, "");
	stream_free(ps.s);
	stream_free(t.ps[0].s);
}

/* Feeds the server a frame by hand; returns what mux_input said. */
static int feed(struct pair *p, uint32_t len, uint8_t type, uint32_t stream, uint32_t seq,
		const uint8_t *payload)
{
	static uint8_t frame[FRAME_MAX];
	struct frame_header h = {.len = len, .type = type, .stream = stream, .seq = seq};

	frame_pack_header(frame, &h);
	if (payload && len)
		memcpy(frame + FRAME_HEADER_LEN, payload, len);
	p->end[1].err = (struct err)ERR_INIT;
	return mux_input(p->end[1].mux, frame, FRAME_HEADER_LEN + len, p->now_us, &p->end[1].err);
}

static void test_mux_every_breach_ends_the_session_with_a_reason(void **state)
{
	uint8_t open[FRAME_SMALL_MAX], u64[8] = {0};
	static uint8_t data[FRAME_PAYLOAD_MAX];
	uint32_t open_len = (uint32_t)frame_pack_open(open, STREAM_RAM, "x");

	(void)state;
	for (int breach = 0; breach < 14; breach++) {
		struct taker t = {0};
		struct pair p;
		int r = 0;

		t.model = (struct pair_stream){.take_max = SIZE_MAX, .stuck = 1};
		start(&p, &t, NULL);
		switch (breach) {
		case 0: /* DATA of a stream never opened */
			r = feed(&p, 1, FRAME_DATA, 1, 0, data);
			break;
		case 1: /* a number skipped */
			r = feed(&p, open_len, FRAME_OPEN, 1, 1, open);
			break;
		case 2: /* the other side's stream numbers */
			r = feed(&p, open_len, FRAME_OPEN, 2, 0, open);
			break;
		case 3: /* the same stream twice */
			assert_int_equal(feed(&p, open_len, FRAME_OPEN, 1, 0, open), 0);
			r = feed(&p, open_len, FRAME_OPEN, 1, 1, open);
			break;
		case 4: /* more than its credit */
			assert_int_equal(feed(&p, open_len, FRAME_OPEN, 1, 0, open), 0);
			for (uint32_t i = 1; i < 100 && !r; i++)
				r = feed(&p, FRAME_PAYLOAD_MAX, FRAME_DATA, 1, i, data);
			break;
		case 5: /* DATA after EOF */
			assert_int_equal(feed(&p, open_len, FRAME_OPEN, 1, 0, open), 0);
			assert_int_equal(feed(&p, 0, FRAME_EOF, 1, 1, NULL), 0);
			r = feed(&p, 1, FRAME_DATA, 1, 2, data);
			break;
		case 6: /* EOF twice */
			assert_int_equal(feed(&p, open_len, FRAME_OPEN, 1, 0, open), 0);
			assert_int_equal(feed(&p, 0, FRAME_EOF, 1, 1, NULL), 0);
			r = feed(&p, 0, FRAME_EOF, 1, 2, NULL);
			break;
		case 7: /* an ACK of what was never sent */
			u64[7] = 1;
			r = feed(&p, 8, FRAME_ACK, 0, 0, u64);
			u64[7] = 0;
			break;
		case 8: /* credit taken back */
			assert_int_equal(feed(&p, open_len, FRAME_OPEN, 1, 0, open), 0);
			r = feed(&p, 8, FRAME_CREDIT, 1, 0, u64);
			break;
		case 9: /* HELLO twice */
			r = feed(&p, 0, FRAME_HELLO, 0, 0, NULL);
			break;
		case 10: /* RESET cut short */
			assert_int_equal(feed(&p, open_len, FRAME_OPEN, 1, 0, open), 0);
			r = feed(&p, 3, FRAME_RESET, 1, 1, data);
			break;
		case 11: /* PING of a wrong size */
			r = feed(&p, 9, FRAME_PING, 0, 0, data);
			break;
		case 12: /* OPEN cut short */
			r = feed(&p, open_len - 1, FRAME_OPEN, 1, 0, open);
			break;
		case 13: /* unknown type */
			r = feed(&p, 0, 200, 0, 0, NULL);
			break;
		}
		assert_true(r < 0);
		assert_true(p.end[1].err.code == ERR_PROTOCOL || p.end[1].err.code == ERR_LIMIT);
		assert_true(strlen(p.end[1].err.text) > 10);
		/* The other side is told why. */
		p.end[1].wire_len = 0;
		pair_run(&p, 0, 2);
		assert_true(p.end[0].failed);
		assert_non_null(strstr(p.end[0].err.text, p.end[1].err.text));
		for (unsigned i = 0; i < t.count; i++)
			stream_free(t.ps[i].s);
		pair_fini(&p);
	}
}

static void test_mux_versions_and_features_without_overlap_are_told_on_both_sides(void **state)
{
	(void)state;
	for (int what = 0; what < 2; what++) {
		struct frame_hello h = {.version_min = 1,
					.version_max = 1,
					.lanes = 1,
					.window_bytes = 65536,
					.streams_max = 10,
					.software = "adit 99"};
		uint8_t frame[FRAME_HEADER_LEN + FRAME_SMALL_MAX];
		struct frame_header fh = {.type = FRAME_HELLO};
		struct err e = ERR_INIT;
		struct pair p;

		if (what)
			h.required = 1u << 9;
		else
			h.version_min = h.version_max = 7;
		pair_init(&p, NULL, NULL);
		pair_collect(&p, 1);
		fh.len = (uint32_t)frame_pack_hello(frame + FRAME_HEADER_LEN, &h);
		frame_pack_header(frame, &fh);
		assert_int_equal(
		    mux_input(p.end[1].mux, frame, FRAME_HEADER_LEN + fh.len, p.now_us, &e),
		    ERR_PROTOCOL);
		assert_non_null(strstr(e.text, what ? "features 0x200" : "7 to 7"));
		pair_run(&p, 0, 2);
		assert_non_null(strstr(p.end[0].err.text, e.text));
		pair_fini(&p);
	}
}

static void test_mux_peer_that_floods_makes_nothing_grow(void **state)
{
	struct taker t = {0};
	struct session_stats st;
	uint8_t u64[8] = {0}, open[FRAME_SMALL_MAX];
	uint32_t open_len = (uint32_t)frame_pack_open(open, STREAM_RAM, "x");
	struct pair p;
	uint32_t seq = 0;
	int r = 0;

	(void)state;
	start(&p, &t, NULL);
	p.end[1].wire_len = 0;
	for (int i = 0; i < 100000; i++)
		assert_int_equal(feed(&p, 8, FRAME_PING, 0, 0, u64), 0);
	pair_collect(&p, 1);
	assert_true(p.end[1].wire_len <= 2 * (FRAME_HEADER_LEN + 8));
	/* Refused OPENs whose refusals are never acknowledged: bounded, then over. */
	p.end[1].on_open = NULL;
	for (uint32_t i = 0; i < 20000 && !r; i++)
		r = feed(&p, open_len, FRAME_OPEN, 1 + 2 * i, seq++, open);
	assert_int_equal(r, ERR_LIMIT);
	mux_stats(p.end[1].mux, &st);
	assert_true(st.streams <= 2 * 4096);
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mux_carries_bytes_both_ways_in_any_pieces),
	    cmocka_unit_test(test_mux_half_close_leaves_the_other_direction),
	    cmocka_unit_test(test_mux_opens_take_effect_in_order),
	    cmocka_unit_test(test_mux_stuck_reader_holds_up_nobody_and_stays_in_its_window),
	    cmocka_unit_test(test_mux_windows_stay_within_the_budget),
	    cmocka_unit_test(test_mux_control_goes_before_bulk),
	    cmocka_unit_test(test_mux_refusal_and_reset_carry_their_reason),
	    cmocka_unit_test(test_mux_one_stream_too_many_is_refused_alone),
	    cmocka_unit_test(test_mux_rate_caps_the_sum_and_can_be_changed),
	    cmocka_unit_test(test_mux_rates_hold_what_is_sent_and_taken_in),
	    cmocka_unit_test(test_mux_silent_peer_is_dead_in_time),
	    cmocka_unit_test(test_mux_session_end_tells_every_stream),
	    cmocka_unit_test(test_mux_every_breach_ends_the_session_with_a_reason),
	    cmocka_unit_test(test_mux_versions_and_features_without_overlap_are_told_on_both_sides),
	    cmocka_unit_test(test_mux_peer_that_floods_makes_nothing_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
