/* A program that is asked something while the loop goes on, and what Open vSwitch lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <event2/event.h>

#include "base/clock.h"
#include "control/host.h"

struct heard {
	struct event_base *base;
	unsigned calls, turns;
	char text[64];
	size_t len;
	struct err why;
};

static void on_said(void *ctx, const char *text, size_t len, const struct err *why)
{
	struct heard *h = ctx;

	h->calls++;
	h->len = len;
	memcpy(h->text, text, len < sizeof(h->text) ? len : sizeof(h->text) - 1);
	h->why = *why;
	event_base_loopbreak(h->base);
}

static void on_turn(evutil_socket_t fd, short what, void *ctx)
{
	struct heard *h = ctx;

	(void)fd;
	(void)what;
	h->turns++;
}

/* What is heard of it; the loop has had turns of 10 ms meanwhile. */
static struct heard ask(const char *const *argv, unsigned limit_ms)
{
	struct heard h = {.base = event_base_new()};
	struct event *ev = event_new(h.base, -1, EV_PERSIST, on_turn, &h);
	struct timeval tv = clock_timeval(10);
	struct err e = ERR_INIT;
	struct proc_text *t = proc_text_start(h.base, argv, limit_ms, on_said, &h, &e);

	assert_non_null(t);
	event_add(ev, &tv);
	event_base_dispatch(h.base);
	assert_int_equal(h.calls, 1);
	proc_text_free(t);
	event_free(ev);
	event_base_free(h.base);
	return h;
}

static void test_proc_text_hears_what_is_said(void **state)
{
	static const char *const two[] = {"sh", "-c", "echo one; echo two", NULL};
	static const char *const nothing[] = {"true", NULL};
	struct heard h = ask(two, 20000);

	(void)state;
	assert_false(err_is_set(&h.why));
	assert_int_equal(h.len, 8);
	assert_string_equal(h.text, "one\ntwo\n");
	h = ask(nothing, 20000);
	assert_false(err_is_set(&h.why));
	assert_int_equal(h.len, 0);
}

static void test_proc_text_says_why_there_is_nothing(void **state)
{
	static const char *const fails[] = {"sh", "-c", "echo one; echo no such thing >&2; exit 3",
					    NULL};
	static const char *const alarmed[] = {"sh", "-c", "echo ended >&2; kill -ALRM $$", NULL};
	static const char *const named[] = {"sh", "-c", "echo sh: by itself >&2; exit 1", NULL};
	static const char *const mute[] = {"false", NULL}, *const none[] = {"/no/such/program",
									    NULL};
	struct heard h = ask(fails, 20000);

	(void)state;
	assert_int_equal(h.len, 0);
	assert_string_equal(h.why.text, "sh: no such thing");
	h = ask(alarmed, 20000);
	assert_string_equal(h.why.text, "sh did not end within its time");
	h = ask(named, 20000);
	assert_string_equal(h.why.text, "sh: by itself");
	h = ask(mute, 20000);
	assert_string_equal(h.why.text, "false failed");
	h = ask(none, 20000);
	assert_non_null(strstr(h.why.text, "/no/such/program"));
}

static void test_proc_text_waits_for_nobody(void **state)
{
	static const char *const hangs[] = {"sleep", "100", NULL};
	struct heard h = ask(hangs, 300);
	struct event_base *base = event_base_new();
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(h.why.code, ERR_TIMEOUT);
	assert_string_equal(h.why.text, "sleep did not end within 0 s");
	assert_true(h.turns >= 1);
	/* given up before */
	proc_text_free(proc_text_start(base, hangs, 10000, on_said, &h, &e));
	assert_int_equal(h.calls, 1);
	event_base_free(base);
}

static void test_netport_knows_the_bridges_that_are_listed(void **state)
{
	static const char list[] = "br-int\nbr0\nlast";
	struct err none = ERR_INIT, why = ERR_INIT, e = ERR_INIT;

	(void)state;
	assert_int_equal(netport_listed("br-int", list, sizeof(list) - 1, &none, &e), 0);
	assert_int_equal(netport_listed("br0", list, sizeof(list) - 1, &none, &e), 0);
	assert_int_equal(netport_listed("last", list, sizeof(list) - 1, &none, &e), 0);
	assert_int_equal(netport_listed("br", list, sizeof(list) - 1, &none, &e), ERR_REFUSED);
	assert_non_null(strstr(e.text, "br is no bridge of Open vSwitch"));
	assert_int_equal(netport_listed("", list, 0, &none, &e), ERR_REFUSED);
	err_set(&why, ERR_TIMEOUT, "it hangs");
	assert_int_equal(netport_listed("br0", "", 0, &why, &e), ERR_REFUSED);
	assert_non_null(
	    strstr(e.text, "Open vSwitch does not answer on the destination: it hangs; "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_proc_text_hears_what_is_said),
	    cmocka_unit_test(test_proc_text_says_why_there_is_nothing),
	    cmocka_unit_test(test_proc_text_waits_for_nobody),
	    cmocka_unit_test(test_netport_knows_the_bridges_that_are_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
