/*
 * Both ends of the protocol in one process, the input as a script: open, send,
 * stand still, drain, reset, free, let time pass, deliver in pieces; and, where the
 * script says so, spoil a byte on the wire or slip in bytes of its own.
 *
 * Held: as long as nothing was spoilt, neither end fails and no byte is wrong;
 * whatever happens, windows and queues stay within the budget.
 */
#include <stdint.h>
#include <stdlib.h>

#include "tests/unit/pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOTS = 16, BUDGET = 4 << 20, STREAMS_MAX = 12 };

/* The streams of one end. */
struct slots {
	struct pair_stream ps[SLOTS];
};

static struct slots ends[2];

static void expect(int ok)
{
	if (!ok)
		abort();
}

static struct pair_stream *vacant(struct slots *slots)
{
	for (int i = 0; i < SLOTS; i++)
		if (!slots->ps[i].s)
			return &slots->ps[i];
	return NULL;
}

static void on_open(struct pair_end *end, struct stream *s, enum stream_class c, const char *target)
{
	struct pair_stream *ps = vacant(end->user);

	if (!ps || c == STREAM_OTHER) {
		stream_refuse(s, CODE_REFUSED, "no");
		return;
	}
	/* The pattern's seed is the target's number. */
	*ps = (struct pair_stream){.s = s,
				   .take_max = SIZE_MAX,
				   .seed_in = (uint8_t)target[0],
				   .seed_out = (uint8_t)(target[0] + 1)};
	stream_accept(s, &pair_stream_ops, ps);
}

static void check(struct pair *p, int spoilt)
{
	for (int e = 0; e < 2; e++) {
		struct session_stats st;

		mux_stats(p->end[e].mux, &st);
		expect(st.granted_bytes <= BUDGET);
		expect(st.queued_bytes <= BUDGET);
		expect(st.retained_bytes <= BUDGET + (32 << 20));
		expect(st.streams <= 2 * STREAMS_MAX);
		if (spoilt)
			continue;
		expect(!p->end[e].failed);
		for (int i = 0; i < SLOTS; i++)
			expect(!ends[e].ps[i].bad);
	}
}

static void step(struct pair *p, uint8_t op, uint8_t arg, int *spoilt, const uint8_t *rest,
		 size_t left)
{
	unsigned e = op & 1;
	struct pair_end *end = &p->end[e];
	struct pair_stream *ps = &ends[e].ps[arg % SLOTS];
	struct err err = ERR_INIT;

	switch (op >> 1) {
	case 0:
		ps = vacant(&ends[e]);
		if (!ps || !end->hello)
			break;
		*ps = (struct pair_stream){.take_max = SIZE_MAX,
					   .seed_out = (uint8_t)(arg | 1),
					   .seed_in = (uint8_t)((arg | 1) + 1)};
		ps->s = mux_open(end->mux, (enum stream_class)(arg % STREAM_CLASSES),
				 (char[]){(char)(arg | 1), 0}, &pair_stream_ops, ps, &err);
		break;
	case 1:
		ps->want += (uint64_t)arg * 1000 + 1;
		if (ps->s)
			stream_ready(ps->s);
		break;
	case 2:
		ps->finish = 1;
		if (ps->s)
			stream_ready(ps->s);
		break;
	case 3:
		ps->stuck = !ps->stuck;
		if (ps->s)
			stream_drain(ps->s);
		break;
	case 4:
		ps->take_max = arg ? (size_t)arg * 16 : SIZE_MAX;
		break;
	case 5:
		if (ps->s)
			stream_reset(ps->s, CODE_ENDPOINT, "fuzz");
		break;
	case 6:
		stream_free(ps->s);
		ps->s = NULL;
		break;
	case 7:
		pair_run(p, arg, 1 + arg % 4);
		break;
	case 8:
		p->now_us += (uint64_t)arg * 1000;
		break;
	case 9: /* a byte on the wire */
		pair_collect(p, e);
		if (end->wire_len) {
			end->wire[(size_t)arg * 7 % end->wire_len] ^= (uint8_t)(arg | 1);
			*spoilt = 1;
		}
		break;
	case 10: /* bytes of the script, as if from the peer */
		if (!end->failed) {
			*spoilt = 1;
			end->failed = mux_input(end->mux, rest, left < arg ? left : arg, p->now_us,
						&end->err);
			mux_reap(end->mux);
		}
		break;
	case 11:
		mux_close(end->mux, CODE_CANCELLED, "fuzz");
		*spoilt = 1;
		break;
	case 12:
		mux_detach_streams(end->mux, "fuzz");
		*spoilt = 1;
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session_config c;
	struct pair p;
	int spoilt = 0;

	session_config_default(&c);
	c.memory_max_bytes = BUDGET;
	c.streams_max = STREAMS_MAX;
	/* Time in the script jumps as it likes; death by silence has a test of its own. */
	c.dead_ms = 1000000000;
	pair_init(&p, &c, &c);
	for (unsigned e = 0; e < 2; e++) {
		ends[e] = (struct slots){0};
		p.end[e].on_open = on_open;
		p.end[e].user = &ends[e];
	}
	pair_run(&p, 0, 4);
	for (size_t i = 0; i + 1 < size && i < 2000; i += 2) {
		step(&p, data[i] % 26, data[i + 1], &spoilt, data + i + 2, size - i - 2);
		check(&p, spoilt);
	}
	pair_run(&p, 0, 50);
	check(&p, spoilt);
	for (unsigned e = 0; e < 2; e++)
		for (int i = 0; i < SLOTS; i++)
			stream_free(ends[e].ps[i].s);
	mux_reap(p.end[0].mux);
	mux_reap(p.end[1].mux);
	pair_fini(&p);
	return 0;
}
