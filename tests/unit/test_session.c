/*
 * Sessions over real sockets in one loop: what a client meets when the far side is
 * silent, absent, rude or dies, and that a listener keeps its limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tunnel/link.h"
#include "test_session_fixture.h"

static void test_session_comes_up_carries_and_ends_in_order(void **state)
{
	struct err e = ERR_INIT;
	struct stream *s;
	struct bench b;

	(void)state;
	bench_start(&b, NULL);
	bench_dial(&b, listener_port(b.listener));
	bench_run(&b, &b.c.ready, 2000);
	assert_true(b.c.ready);
	bench_run(&b, (int *)&b.sessions, 2000);
	assert_int_equal(b.sessions, 1);
	s = session_open(b.c.s, STREAM_OTHER, "x", &side_stream_ops, &b.c, &e);
	assert_non_null(s);
	stream_ready(s);
	bench_run(&b, &b.s.eof, 2000);
	assert_int_equal(b.s.eof, 1);
	stream_free(s);
	session_close(b.c.s, CODE_NONE, "done");
	b.c.s = NULL;
	bench_run(&b, &b.s.ended, 2000);
	assert_int_equal(b.s.ended, 1);
	assert_int_equal(b.s.why.code, ERR_NONE);
	bench_end(&b);
}

static void test_session_tells_why_the_other_side_closed(void **state)
{
	struct bench b;

	(void)state;
	bench_start(&b, NULL);
	bench_dial(&b, listener_port(b.listener));
	bench_run(&b, (int *)&b.sessions, 2000);
	assert_int_equal(b.sessions, 1);
	session_close(b.s.s, CODE_CANCELLED, "the operator said so");
	b.s.s = NULL;
	bench_run(&b, &b.c.ended, 2000);
	assert_int_equal(b.c.ended, 1);
	assert_int_equal(b.c.why.code, ERR_CANCELLED);
	assert_non_null(strstr(b.c.why.text, "the operator said so"));
	bench_end(&b);
}

static void test_session_without_farewell_is_an_error(void **state)
{
	struct err e = ERR_INIT;
	struct stream *s;
	struct bench b;

	(void)state;
	bench_start(&b, NULL);
	bench_dial(&b, listener_port(b.listener));
	bench_run(&b, (int *)&b.sessions, 2000);
	s = session_open(b.c.s, STREAM_OTHER, "x", &side_stream_ops, &b.c, &e);
	assert_non_null(s);
	session_free(b.s.s);
	b.s.s = NULL;
	bench_run(&b, &b.c.ended, 2000);
	assert_int_equal(b.c.ended, 1);
	assert_int_equal(b.c.why.code, ERR_CLOSED);
	assert_int_equal(b.c.reset, 1);
	stream_free(s);
	bench_end(&b);
}

static void test_session_refused_port_says_what_to_look_at(void **state)
{
	struct bench b;
	uint16_t port;

	(void)state;
	bench_start(&b, NULL);
	port = listener_port(b.listener);
	listener_free(b.listener);
	b.listener = NULL;
	bench_dial(&b, port);
	bench_run(&b, &b.c.ended, 3000);
	assert_int_equal(b.c.ended, 1);
	assert_int_equal(b.c.why.code, ERR_ADDRESS);
	assert_non_null(strstr(b.c.why.text, "Connection refused"));
	assert_non_null(strstr(b.c.why.text, "adit serve"));
	bench_end(&b);
}

/* A port that answers with text, or not at all. */
static void meet(const char *greeting, const char *expect)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0), peer;
	socklen_t len = sizeof(sin);
	struct bench b;

	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&sin, len) == 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	bench_start(&b, NULL);
	bench_dial(&b, ntohs(sin.sin_port));
	bench_run(&b, NULL, 50);
	peer = accept(fd, NULL, NULL);
	assert_true(peer >= 0);
	if (*greeting)
		assert_int_equal(write(peer, greeting, strlen(greeting)), strlen(greeting));
	bench_run(&b, &b.c.ended, 3000);
	assert_int_equal(b.c.ended, 1);
	if (!strstr(b.c.why.text, expect))
		fail_msg("\"%s\" does not say \"%s\"", b.c.why.text, expect);
	close(peer);
	close(fd);
	bench_end(&b);
}

static int no_random; /* getrandom fails */

ssize_t __real_getrandom(void *buf, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags)
{
	if (!no_random)
		return __real_getrandom(buf, len, flags);
	errno = ENOSYS;
	return -1;
}

/* The next descriptor that would be given out. */
static int next_fd(void)
{
	int fd = dup(0);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void test_session_without_random_numbers_leaves_nothing_open(void **state)
{
	struct bench b;
	int before;

	(void)state;
	bench_start(&b, NULL);
	before = next_fd();
	no_random = 1;
	bench_dial(&b, listener_port(b.listener));
	bench_run(&b, &b.c.ended, 2000);
	no_random = 0;
	assert_int_equal(b.c.ended, 1);
	assert_non_null(strstr(b.c.why.text, "random"));
	bench_run(&b, &b.s.ended, 500); /* the other end of it goes too */
	assert_int_equal(next_fd(), before);
	bench_end(&b);
}

/* ::1 comes first, and nothing listens there. */
static void test_session_tries_the_next_address_of_a_name(void **state)
{
	struct addr_dest d = {.scheme = "tcp", .host = "localhost"};
	struct err e = ERR_INIT;
	struct bench b;

	(void)state;
	bench_start(&b, NULL);
	d.port = listener_port(b.listener);
	b.c.s = session_connect(b.base, &d, b.client, &b.config, &side_session_ops, &b.c, &e);
	assert_non_null(b.c.s);
	bench_run(&b, &b.c.ready, 2000);
	assert_true(b.c.ready);
	bench_end(&b);
}

static void test_session_unknown_name_is_told_from_the_loop(void **state)
{
	struct addr_dest d = {.scheme = "tcp", .host = "no.such.host.invalid", .port = 1};
	struct err e = ERR_INIT;
	struct bench b;

	(void)state;
	bench_start(&b, NULL);
	b.config.handshake_ms = 20000;
	b.c.s = session_connect(b.base, &d, b.client, &b.config, &side_session_ops, &b.c, &e);
	assert_non_null(b.c.s);
	assert_int_equal(b.c.ended, 0);
	bench_run(&b, &b.c.ended, 20000);
	assert_int_equal(b.c.ended, 1);
	assert_int_equal(b.c.why.code, ERR_ADDRESS);
	assert_non_null(strstr(b.c.why.text, "no.such.host.invalid"));
	/* And one that is freed while it looks. */
	b.c.s = session_connect(b.base, &d, b.client, &b.config, &side_session_ops, &b.c, &e);
	assert_non_null(b.c.s);
	bench_end(&b);
}

static void test_session_foreign_protocol_is_named(void **state)
{
	(void)state;
	meet("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "adit");
	meet("", "no handshake within 1 second");
}

static int connect_to(struct bench *b)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sin.sin_port = htons(listener_port(b->listener));
	assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0);
	return fd;
}

static int is_over(int fd)
{
	char buf[256];
	ssize_t n;

	do
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	while (n > 0);
	return n == 0 || errno != EAGAIN;
}

/* One that says its first word late has no longer for the rest than who came after it. */
static void test_listener_counts_the_time_from_the_connection(void **state)
{
	struct listener_config lc;
	int early, late;
	struct bench b;

	(void)state;
	listener_config_default(&lc);
	lc.session.handshake_ms = 2000;
	bench_start(&b, &lc);
	early = connect_to(&b);
	bench_run(&b, NULL, 700);
	late = connect_to(&b);
	assert_int_equal(write(late, "", 1), 1);
	bench_run(&b, NULL, 800);
	assert_int_equal(write(early, "", 1), 1);
	for (int i = 0; i < 1000 && !is_over(early) && !is_over(late); i++)
		bench_run(&b, NULL, 10);
	assert_true(is_over(early));
	assert_false(is_over(late));
	close(early);
	close(late);
	bench_end(&b);
}

static void test_listener_silent_connections_do_not_shut_others_out(void **state)
{
	enum { SILENT = 200 };
	struct listener_config lc;
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fds[SILENT];
	struct bench b;

	(void)state;
	listener_config_default(&lc);
	lc.handshakes_max = 16;
	bench_start(&b, &lc);
	sin.sin_port = htons(listener_port(b.listener));
	for (int i = 0; i < SILENT; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_true(fds[i] >= 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&sin, sizeof(sin)), 0);
		bench_run(&b, NULL, 1);
	}
	bench_dial(&b, listener_port(b.listener));
	bench_run(&b, &b.c.ready, 2000);
	assert_true(b.c.ready);
	for (int i = 0; i < SILENT; i++)
		close(fds[i]);
	bench_end(&b);
}

static void test_listener_counts_the_sessions_of_a_peer(void **state)
{
	struct listener_config lc;
	struct side first;
	struct bench b;

	(void)state;
	listener_config_default(&lc);
	lc.sessions_max = 0;
	bench_start(&b, &lc);
	bench_dial(&b, listener_port(b.listener));
	bench_run(&b, &b.c.ended, 2000);
	assert_int_equal(b.c.ended, 1);
	assert_int_equal(b.c.why.code, ERR_LIMIT);
	first = b.c;
	assert_non_null(strstr(first.why.text, "too many sessions"));
	bench_end(&b);
}

/* ---- what a link that goes has to read ---- */

static uint64_t received;

ssize_t __real_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);

ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
	ssize_t n = __real_recv(fd, buf, len, flags);

	received += n > 0 ? (uint64_t)n : 0;
	return n;
}

/* Sends as much as goes in. */
static void fill(int fd)
{
	static const char noise[65536];

	while (send(fd, noise, sizeof(noise), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
}

/* What its peer goes on sending it reads in parts, and the loop has its turn between them. */
static void test_session_that_goes_reads_a_part_a_turn(void **state)
{
	enum { PART = 256 * 1024 };
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	uint64_t most = 0, all = 0;
	struct bench b;
	int fd;

	(void)state;
	bench_start(&b, NULL);
	sin.sin_port = htons(listener_port(b.listener));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	for (int i = 0; i < 200 && !link_lingering(); i++) {
		fill(fd);
		bench_run(&b, NULL, 1);
	}
	assert_int_equal(link_lingering(), 1);
	for (int i = 0; i < 20 && link_lingering(); i++) {
		fill(fd);
		received = 0;
		event_base_loop(b.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		most = received > most ? received : most;
		all += received;
	}
	assert_true(all > 2 * PART); /* it did go on */
	assert_true(most <= PART);
	close(fd);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_session_that_goes_reads_a_part_a_turn),
	    cmocka_unit_test(test_session_comes_up_carries_and_ends_in_order),
	    cmocka_unit_test(test_session_tells_why_the_other_side_closed),
	    cmocka_unit_test(test_session_without_farewell_is_an_error),
	    cmocka_unit_test(test_session_refused_port_says_what_to_look_at),
	    cmocka_unit_test(test_session_without_random_numbers_leaves_nothing_open),
	    cmocka_unit_test(test_session_tries_the_next_address_of_a_name),
	    cmocka_unit_test(test_session_unknown_name_is_told_from_the_loop),
	    cmocka_unit_test(test_session_foreign_protocol_is_named),
	    cmocka_unit_test(test_listener_counts_the_time_from_the_connection),
	    cmocka_unit_test(test_listener_silent_connections_do_not_shut_others_out),
	    cmocka_unit_test(test_listener_counts_the_sessions_of_a_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
