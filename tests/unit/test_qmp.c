/* The QMP client: its protocol against a scripted peer, and against a real QEMU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/qmp/qmp.h"
#include "control/qmp/qmp_scan.h"

static const char greeting[] =
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, "
    "\"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n";

struct seen {
	struct event_base *base;
	struct qmp *q;
	int ready, ends, replies, batches, events;
	struct err why, reply_err, batch_err;
	char event[64];
	char result[256];
	int free_in_reply;
};

static void on_ready(void *ctx, struct qmp *q)
{
	struct seen *s = ctx;

	assert_ptr_equal(q, s->q);
	s->ready++;
}

static void on_event(void *ctx, struct qmp *q, const char *name, const json_t *data)
{
	struct seen *s = ctx;

	(void)q;
	(void)data;
	s->events++;
	snprintf(s->event, sizeof(s->event), "%s", name);
}

static void on_qmp_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct seen *s = ctx;

	(void)q;
	s->ends++;
	s->why = *why;
}

static const struct qmp_ops ops = {on_ready, on_event, on_qmp_end};

static void on_reply(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct seen *s = ctx;
	char *text = result ? json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	s->replies++;
	s->reply_err = *e;
	snprintf(s->result, sizeof(s->result), "%s", text ? text : "");
	free(text);
	if (s->free_in_reply) {
		qmp_free(q);
		s->q = NULL;
	}
}

static void on_batch(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct seen *s = ctx;

	(void)q;
	(void)b;
	s->batches++;
	s->batch_err = *e;
}

/* Turns the loop until *flag or 5 s have passed. */
static void turn_until(struct event_base *base, const int *flag)
{
	for (int i = 0; i < 500 && !*flag; i++) {
		struct timeval tv = {0, 10000};

		event_base_loopexit(base, &tv);
		event_base_dispatch(base);
	}
}

static void turn(struct event_base *base)
{
	for (int i = 0; i < 5; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

struct rig {
	struct seen s;
	int peer;
};

static void rig_up(struct rig *r, unsigned greeting_ms)
{
	struct err e = ERR_INIT;
	int pair[2];

	memset(r, 0, sizeof(*r));
	r->s.base = event_base_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	r->peer = pair[1];
	fcntl(r->peer, F_SETFL, O_NONBLOCK);
	r->s.q = qmp_new(r->s.base, pair[0], "test", greeting_ms, &ops, &r->s, &e);
	assert_non_null(r->s.q);
}

static void rig_down(struct rig *r)
{
	qmp_free(r->s.q);
	if (r->peer >= 0)
		close(r->peer);
	event_base_free(r->s.base);
}

static void say(struct rig *r, const char *text)
{
	assert_int_equal(write(r->peer, text, strlen(text)), (ssize_t)strlen(text));
	turn(r->s.base);
}

/* What the client has sent, and the descriptors with it. */
static int hear(struct rig *r, char *buf, size_t size)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {buf, size - 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	ssize_t n;
	int fds = 0;

	turn(r->s.base);
	n = recvmsg(r->peer, &msg, 0);
	buf[n > 0 ? n : 0] = 0;
	for (struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL; h; h = CMSG_NXTHDR(&msg, h)) {
		int fd;

		memcpy(&fd, CMSG_DATA(h), sizeof(fd));
		close(fd);
		fds++;
	}
	return fds;
}

static void test_qmp_greets_and_commands(void **state)
{
	char buf[4096];
	struct rig r;

	(void)state;
	rig_up(&r, 0);
	qmp_command(r.s.q, "query-status", NULL, on_reply, &r.s); /* waits for the greeting */
	hear(&r, buf, sizeof(buf));
	assert_string_equal(buf, "");
	say(&r, greeting);
	hear(&r, buf, sizeof(buf));
	assert_non_null(strstr(buf, "qmp_capabilities"));
	assert_null(strstr(buf, "query-status"));
	say(&r, "{\"return\": {}, \"id\": 2}\r\n");
	assert_int_equal(r.s.ready, 1);
	hear(&r, buf, sizeof(buf));
	assert_non_null(strstr(buf, "query-status"));
	/* in pretty print and in two pieces, with an event before */
	say(&r, "{\"event\": \"STOP\", \"timestamp\": {}}\r\n{\n  \"return\": {\n  \"a}\": \"\\\"");
	assert_string_equal(r.s.event, "STOP");
	say(&r, "}{\"\n},\n\"id\": 1\n}\n\r\n");
	assert_int_equal(r.s.replies, 1);
	assert_string_equal(r.s.result, "{\"a}\":\"\\\"}{\"}");
	rig_down(&r);
}

static void test_qmp_sends_nothing_behind_a_descriptor(void **state)
{
	char buf[4096];
	struct rig r;

	(void)state;
	rig_up(&r, 0);
	say(&r, greeting);
	hear(&r, buf, sizeof(buf));
	say(&r, "{\"return\": {}, \"id\": 1}");
	qmp_getfd(r.s.q, "one", open("/dev/null", O_RDONLY), on_reply, &r.s);
	qmp_getfd(r.s.q, "two", open("/dev/null", O_RDONLY), on_reply, &r.s);
	qmp_command(r.s.q, "stop", NULL, on_reply, &r.s);
	assert_int_equal(hear(&r, buf, sizeof(buf)), 1);
	assert_non_null(strstr(buf, "one"));
	assert_null(strstr(buf, "two"));
	say(&r, "{\"return\": {}, \"id\": 2}");
	assert_int_equal(hear(&r, buf, sizeof(buf)), 1);
	assert_non_null(strstr(buf, "two"));
	assert_null(strstr(buf, "stop"));
	say(&r,
	    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}, \"id\": 3}");
	assert_string_equal(r.s.reply_err.text, "QEMU refused getfd: no such thing");
	assert_int_equal(hear(&r, buf, sizeof(buf)), 0);
	assert_non_null(strstr(buf, "stop"));
	rig_down(&r);
}

static void test_qmp_goes_past_what_waits_out_of_band(void **state)
{
	char buf[4096];
	struct rig r;

	(void)state;
	rig_up(&r, 0);
	qmp_want_oob(r.s.q);
	say(&r, greeting);
	hear(&r, buf, sizeof(buf));
	assert_non_null(strstr(buf, "\"enable\":[\"oob\"]"));
	say(&r, "{\"return\": {}, \"id\": 1}");
	/* one that is not answered, and behind it a queue that waits for its answer */
	qmp_getfd(r.s.q, "one", open("/dev/null", O_RDONLY), on_reply, &r.s);
	qmp_command(r.s.q, "stop", NULL, on_reply, &r.s);
	assert_int_equal(hear(&r, buf, sizeof(buf)), 1);
	qmp_command_oob(r.s.q, "migrate-recover", NULL, on_reply, &r.s);
	assert_int_equal(hear(&r, buf, sizeof(buf)), 0);
	assert_non_null(strstr(buf, "{\"exec-oob\":\"migrate-recover\""));
	assert_null(strstr(buf, "stop"));
	say(&r, "{\"return\": {}, \"id\": 4}");
	assert_int_equal(r.s.replies, 1);
	hear(&r, buf, sizeof(buf));
	assert_string_equal(buf, "");
	say(&r, "{\"return\": {}, \"id\": 2}");
	hear(&r, buf, sizeof(buf));
	assert_non_null(strstr(buf, "stop"));
	rig_down(&r);
}

/* What QEMU owed a client that was killed comes before our greeting. */
static void test_qmp_lets_leftovers_of_another_client_pass(void **state)
{
	char buf[4096];
	struct rig r;

	(void)state;
	rig_up(&r, 0);
	qmp_command(r.s.q, "query-status", NULL, on_reply, &r.s);
	say(&r, "{\"return\": {\"status\": \"active\"}, \"id\": 1}\r\n");
	say(&r, "{\"event\": \"STOP\", \"timestamp\": {}}\r\n");
	assert_int_equal(r.s.replies, 0);
	assert_int_equal(r.s.ends, 0);
	say(&r, greeting);
	hear(&r, buf, sizeof(buf));
	assert_non_null(strstr(buf, "qmp_capabilities"));
	rig_down(&r);
}

static void test_qmp_refuses_garbage(void **state)
{
	static const char *const bad[] = {
	    "QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ",
	    "{\"hello\": 1}\n",
	    "{nonsense}\n",
	    "[]",
	    "220 smtp ready\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct rig r;

		rig_up(&r, 0);
		qmp_command(r.s.q, "query-status", NULL, on_reply, &r.s);
		say(&r, bad[i]);
		assert_int_equal(r.s.ends, 1);
		assert_int_equal(r.s.replies, 1);
		assert_int_equal(r.s.why.code, ERR_PROTOCOL);
		rig_down(&r);
	}
}

static void test_qmp_tells_when_nobody_greets(void **state)
{
	struct rig r;

	(void)state;
	rig_up(&r, 50);
	turn_until(r.s.base, &r.s.ends);
	assert_int_equal(r.s.why.code, ERR_TIMEOUT);
	assert_non_null(strstr(r.s.why.text, "one client at a time"));
	rig_down(&r);
}

static void test_qmp_knows_a_monitor_of_libvirts(void **state)
{
	struct seen s;
	struct err e = ERR_INIT;
	int pair[2];

	(void)state;
	memset(&s, 0, sizeof(s));
	s.base = event_base_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	s.q = qmp_new(s.base, pair[0], "/var/lib/libvirt/qemu/domain-1-x/monitor.sock", 50, &ops,
		      &s, &e);
	assert_non_null(s.q);
	turn_until(s.base, &s.ends);
	assert_int_equal(s.why.code, ERR_TIMEOUT);
	assert_non_null(strstr(s.why.text, "adit run --libvirt"));
	qmp_free(s.q);
	event_base_free(s.base);
	close(pair[1]);
}

static void test_qmp_ends_what_waits_when_the_peer_goes(void **state)
{
	char buf[4096];
	struct rig r;

	(void)state;
	rig_up(&r, 0);
	say(&r, greeting);
	hear(&r, buf, sizeof(buf));
	say(&r, "{\"return\": {}, \"id\": 1}");
	qmp_command(r.s.q, "stop", NULL, on_reply, &r.s);
	hear(&r, buf, sizeof(buf));
	qmp_command(r.s.q, "cont", NULL, on_reply, &r.s);
	close(r.peer);
	r.peer = -1;
	turn(r.s.base);
	assert_int_equal(r.s.replies, 2);
	assert_int_equal(r.s.reply_err.code, ERR_CLOSED);
	assert_int_equal(r.s.ends, 1);
	/* and a command given later gets its answer, from the loop */
	qmp_command(r.s.q, "cont", NULL, on_reply, &r.s);
	assert_int_equal(r.s.replies, 2);
	turn(r.s.base);
	assert_int_equal(r.s.replies, 3);
	rig_down(&r);
}

static void test_qmp_may_be_freed_in_a_reply(void **state)
{
	char buf[4096];
	struct rig r;

	(void)state;
	rig_up(&r, 0);
	say(&r, greeting);
	hear(&r, buf, sizeof(buf));
	say(&r, "{\"return\": {}, \"id\": 1}");
	r.s.free_in_reply = 1;
	qmp_command(r.s.q, "stop", NULL, on_reply, &r.s);
	qmp_command(r.s.q, "cont", NULL, on_reply, &r.s);
	hear(&r, buf, sizeof(buf));
	say(&r, "{\"return\": {}, \"id\": 2}{\"return\": {}, \"id\": 3}");
	assert_int_equal(r.s.replies, 1);
	rig_down(&r);
}

static void test_qmp_batch_stops_where_it_must(void **state)
{
	char buf[4096];
	struct qmp_batch *b;
	struct rig r;

	(void)state;
	rig_up(&r, 0);
	say(&r, greeting);
	hear(&r, buf, sizeof(buf));
	say(&r, "{\"return\": {}, \"id\": 1}");
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MAY, "one", NULL);
	qmp_batch_add_fd(b, QMP_MUST, "fd", open("/dev/null", O_RDONLY));
	qmp_batch_add(b, QMP_MUST, "three", json_pack("{s:i}", "x", 1));
	qmp_batch_run(b, r.s.q, on_batch, &r.s);
	hear(&r, buf, sizeof(buf));
	say(&r, "{\"error\": {\"desc\": \"never mind\"}, \"id\": 2}");
	assert_int_equal(hear(&r, buf, sizeof(buf)), 1);
	say(&r, "{\"error\": {\"desc\": \"bad\"}, \"id\": 3}");
	assert_int_equal(r.s.batches, 1);
	assert_string_equal(r.s.batch_err.text, "QEMU refused getfd: bad");
	hear(&r, buf, sizeof(buf));
	assert_string_equal(buf, "");
	/* one that is forgotten while it runs */
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "one", NULL);
	qmp_batch_run(b, r.s.q, on_batch, &r.s);
	hear(&r, buf, sizeof(buf));
	qmp_forget(r.s.q);
	say(&r, "{\"return\": {}, \"id\": 4}");
	assert_int_equal(r.s.batches, 1);
	rig_down(&r);
}

/* device-list-properties and query-memory-devices have such; others beside them stay integers. */
static void test_qmp_scan_takes_numbers_of_64_bits(void **state)
{
	static const char text[] =
	    "{\"return\": 18446744073709551615, \"limit\": 300, \"most\": 9223372036854775807, "
	    "\"least\": -9223372036854775808, \"real\": 18446744073709551615.5, \"tiny\": 1e-3, "
	    "\"text\": \"18446744073709551615 \\\" 18446744073709551616\", \"many\": "
	    "[18446744073709551615,-1,2,18446744073709551616]}\r\n";
	struct qmp_scan s = {0};
	json_t *msg = NULL;
	const json_t *many;

	(void)state;
	assert_int_equal(qmp_scan_append(&s, text, sizeof(text) - 1), 0);
	assert_int_equal(qmp_scan_next(&s, &msg), 1);
	assert_true(json_number_value(json_object_get(msg, "return")) > 1.8e19);
	assert_int_equal(json_integer_value(json_object_get(msg, "limit")), 300);
	assert_true(json_integer_value(json_object_get(msg, "most")) == INT64_MAX);
	assert_true(json_integer_value(json_object_get(msg, "least")) == INT64_MIN);
	assert_true(json_real_value(json_object_get(msg, "real")) > 1.8e19);
	assert_true(json_real_value(json_object_get(msg, "tiny")) < 0.01);
	assert_string_equal(json_string_value(json_object_get(msg, "text")),
			    "18446744073709551615 \" 18446744073709551616");
	many = json_object_get(msg, "many");
	assert_int_equal(json_array_size(many), 4);
	assert_true(json_is_real(json_array_get(many, 3)));
	assert_int_equal(json_integer_value(json_array_get(many, 1)), -1);
	assert_int_equal(json_integer_value(json_array_get(many, 2)), 2);
	json_decref(msg);
	qmp_scan_fini(&s);
}

static void test_qmp_scan_bounds_a_message(void **state)
{
	struct qmp_scan s = {0};
	char *block = malloc(1 << 20);
	int r = 0;

	(void)state;
	memset(block, '{', 1 << 20);
	for (int i = 0; i < 65 && r == 0; i++)
		r = qmp_scan_append(&s, block, 1 << 20);
	assert_int_equal(r, -1);
	qmp_scan_fini(&s);
	free(block);
}

/* A real QEMU: greeting, a large reply, a descriptor, a monitor that is busy. */
static void test_qmp_talks_to_qemu(void **state)
{
	char dir[] = "/tmp/adit-test-qmp-XXXXXX", arg[128], sock[64];
	struct seen s = {0}, second = {0};
	struct err e = ERR_INIT;
	pid_t pid;

	(void)state;
	if (system("command -v qemu-system-x86_64 >/dev/null") != 0)
		skip();
	assert_non_null(mkdtemp(dir));
	snprintf(sock, sizeof(sock), "%s/q", dir);
	snprintf(arg, sizeof(arg), "unix:%s,server=on,wait=off", sock);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves it */
		execlp("qemu-system-x86_64", "qemu-system-x86_64", "-machine", "none", "-display",
		       "none", "-qmp", arg, (char *)NULL);
		_exit(127);
	}
	s.base = second.base = event_base_new();
	/* the socket is there a moment before QEMU listens on it */
	for (int i = 0; i < 1000 && !s.ready; i++) {
		s.ends = 0;
		s.q = qmp_connect(s.base, sock, 20000, &ops, &s, &e);
		assert_non_null(s.q);
		while (!s.ready && !s.ends && event_base_loop(s.base, EVLOOP_ONCE) == 0)
			;
		if (s.ready)
			break;
		assert_int_equal(s.why.code, ERR_CLOSED);
		qmp_free(s.q);
		usleep(10000);
	}
	assert_int_equal(s.ready, 1);
	assert_int_equal(qmp_peer_pid(s.q), pid);
	qmp_command(s.q, "query-qmp-schema", NULL, on_reply, &s);
	turn_until(s.base, &s.replies);
	assert_int_equal(s.reply_err.code, ERR_NONE);
	s.replies = 0;
	qmp_getfd(s.q, "adit-null", open("/dev/null", O_RDONLY), on_reply, &s);
	turn_until(s.base, &s.replies);
	assert_int_equal(s.reply_err.code, ERR_NONE);
	s.replies = 0;
	qmp_command(s.q, "closefd", json_pack("{s:s}", "fdname", "adit-null"), on_reply, &s);
	turn_until(s.base, &s.replies);
	assert_int_equal(s.reply_err.code, ERR_NONE);
	second.q = qmp_connect(s.base, sock, 100, &ops, &second, &e);
	turn_until(s.base, &second.ends);
	assert_int_equal(second.why.code, ERR_TIMEOUT);
	assert_non_null(strstr(second.why.text, "one client at a time"));
	qmp_free(second.q);
	s.replies = 0;
	qmp_command(s.q, "quit", NULL, on_reply, &s);
	turn_until(s.base, &s.ends);
	assert_int_equal(s.why.code, ERR_CLOSED);
	qmp_free(s.q);
	event_base_free(s.base);
	waitpid(pid, NULL, 0);
	unlink(sock);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_qmp_greets_and_commands),
	    cmocka_unit_test(test_qmp_sends_nothing_behind_a_descriptor),
	    cmocka_unit_test(test_qmp_goes_past_what_waits_out_of_band),
	    cmocka_unit_test(test_qmp_lets_leftovers_of_another_client_pass),
	    cmocka_unit_test(test_qmp_refuses_garbage),
	    cmocka_unit_test(test_qmp_tells_when_nobody_greets),
	    cmocka_unit_test(test_qmp_knows_a_monitor_of_libvirts),
	    cmocka_unit_test(test_qmp_ends_what_waits_when_the_peer_goes),
	    cmocka_unit_test(test_qmp_may_be_freed_in_a_reply),
	    cmocka_unit_test(test_qmp_batch_stops_where_it_must),
	    cmocka_unit_test(test_qmp_scan_bounds_a_message),
	    cmocka_unit_test(test_qmp_scan_takes_numbers_of_64_bits),
	    cmocka_unit_test(test_qmp_talks_to_qemu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
