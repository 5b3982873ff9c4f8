/* Finish on the destination: how long a twin that has not got everything is waited for. Against a
 * scripted QEMU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/job_i.h"

static const char greeting[] =
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, "
    "\"package\": \"\"}, \"capabilities\": []}}\r\n";

static uint64_t later_ms; /* the clock goes so much before */

uint64_t __real_clock_ms(void);
uint64_t __wrap_clock_ms(void);
uint64_t __wrap_clock_ms(void)
{
	return __real_clock_ms() + later_ms;
}

static unsigned failed;

void __wrap_job_fail(struct job *j, const struct err *e);
void __wrap_job_fail(struct job *j, const struct err *e)
{
	assert_true(err_is_set(e));
	j->state = JOB_OVER;
	failed++;
}

struct rig {
	struct event_base *base;
	struct job j;
	int peer;
	bool ready;
	const char *migration;
	unsigned looks;
};

static void on_ready(void *ctx, struct qmp *q)
{
	(void)q;
	((struct rig *)ctx)->ready = true;
}

static void on_qmp_end(void *ctx, struct qmp *q, const struct err *why)
{
	(void)ctx;
	(void)q;
	(void)why;
}

static const struct qmp_ops qmp_ops = {on_ready, NULL, on_qmp_end};

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	job_finish_due(&((struct rig *)ctx)->j);
}

static json_t *answer(struct rig *r, const char *command)
{
	r->looks += strcmp(command, "query-migrate") == 0;
	return json_pack("{s:{s:s}}", "return", "status",
			 strcmp(command, "query-migrate") == 0 ? r->migration : "inmigrate");
}

static void serve(struct rig *r)
{
	char buf[8192], *text = buf;
	ssize_t n = read(r->peer, buf, sizeof(buf) - 1);

	for (buf[n > 0 ? n : 0] = 0; *text;) {
		size_t len = strcspn(text, "\n");
		json_t *v = json_loadb(text, len, JSON_DISABLE_EOF_CHECK, NULL), *said;
		char *line;

		text += len + (text[len] == '\n');
		if (!v)
			continue;
		said = answer(r, json_string_value(json_object_get(v, "execute")));
		json_object_set(said, "id", json_object_get(v, "id"));
		line = json_dumps(said, 0);
		assert_true(dprintf(r->peer, "%s\r\n", line) > 0);
		free(line);
		json_decref(said);
		json_decref(v);
	}
}

static void turn(struct rig *r)
{
	struct timeval tv = {0, 5000};

	event_base_loopexit(r->base, &tv);
	event_base_dispatch(r->base);
	serve(r);
}

static void up(struct rig *r)
{
	struct err e = ERR_INIT;
	int pair[2];

	memset(r, 0, sizeof(*r));
	failed = 0;
	later_ms = 0;
	r->migration = "active";
	r->base = event_base_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	r->peer = pair[1];
	fcntl(r->peer, F_SETFL, O_NONBLOCK);
	r->j.state = JOB_CLOSED;
	r->j.ram.count = 1;
	r->j.ev_timer = evtimer_new(r->base, on_timer, r);
	r->j.qmp = qmp_new(r->base, pair[0], "test", 0, &qmp_ops, r, &e);
	assert_true(write(r->peer, greeting, strlen(greeting)) > 0);
	for (unsigned i = 0; i < 100 && !r->ready; i++)
		turn(r);
	assert_true(r->ready);
}

static void finish(struct rig *r, bool postcopy)
{
	json_t *msg = json_pack("{s:b,s:b}", "run", 1, "postcopy", postcopy);

	job_finish(&r->j, msg);
	json_decref(msg);
}

static void looks(struct rig *r, unsigned count)
{
	for (unsigned i = 0; i < 1000 && r->looks < count && !failed; i++)
		turn(r);
}

static void down(struct rig *r)
{
	qmp_free(r->j.qmp);
	event_free(r->j.ev_timer);
	close(r->peer);
	event_base_free(r->base);
}

static void test_a_vm_that_lives_at_the_source_is_given_up_here(void **state)
{
	struct rig r;

	(void)state;
	up(&r);
	finish(&r, false);
	looks(&r, 3);
	assert_int_equal(failed, 0);
	later_ms = 600000;
	looks(&r, 6);
	assert_int_equal(failed, 1);
	down(&r);
}

/* The source has sent the devices, and cannot go on: whatever has come of them so far, the VM can
 * live here only. */
static void test_in_postcopy_it_is_waited_for_until_qemu_gives_up(void **state)
{
	struct rig r;

	(void)state;
	up(&r);
	finish(&r, true);
	looks(&r, 3);
	later_ms = 600000;
	looks(&r, 6);
	assert_int_equal(failed, 0);
	assert_int_equal(r.j.state, JOB_FINISHING);
	assert_true(r.looks >= 6);
	r.migration = "failed";
	looks(&r, r.looks + 3);
	assert_int_equal(failed, 1);
	down(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_vm_that_lives_at_the_source_is_given_up_here),
	    cmocka_unit_test(test_in_postcopy_it_is_waited_for_until_qemu_gives_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
