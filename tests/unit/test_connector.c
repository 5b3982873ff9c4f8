/* Connections to endpoints: at once where they can be, in the order asked for where
 * they cannot, and with the address in every failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "proxy/connector.h"
#include "tunnel/resolve.h"

enum { MANY = 20 };

struct result {
	int *order; /* counts calls */
	int nth;    /* when this one's came; 0: not yet */
	int fd;
	struct err why;
};

static struct event_base *base;
static char dir[64];

static void on_done(void *ctx, int fd, const struct err *why)
{
	struct result *r = ctx;

	r->nth = ++*r->order;
	r->fd = fd;
	r->why = *why;
}

static void unix_addr(struct addr *a, const char *name)
{
	memset(a, 0, sizeof(*a));
	a->kind = ADDR_UNIX;
	snprintf(a->path, sizeof(a->path), "%s/%s", dir, name);
}

static void loop_until(const int *count, int wanted, unsigned timeout_ms)
{
	static const struct timeval tick = {0, 5000};
	uint64_t deadline = clock_ms() + timeout_ms;

	while (*count < wanted && clock_ms() < deadline) {
		event_base_loopexit(base, &tick);
		event_base_dispatch(base);
	}
	assert_int_equal(*count, wanted);
}

static void test_connector_unix_is_immediate(void **state)
{
	struct err e = ERR_INIT;
	struct result r = {0};
	int order = 0, listening;
	struct addr a;

	(void)state;
	unix_addr(&a, "now");
	listening = fd_listen(&a, 5, &e);
	assert_true(listening >= 0);
	r.order = &order;
	assert_null(connector_start(base, NULL, &a, on_done, &r));
	assert_int_equal(order, 1);
	assert_true(r.fd >= 0);
	fd_close(&r.fd);
	fd_close(&listening);

	/* Nobody listens any more. */
	assert_null(connector_start(base, NULL, &a, on_done, &r));
	assert_int_equal(order, 2);
	assert_int_equal(r.fd, -1);
	assert_int_equal(r.why.code, ERR_ADDRESS);
	assert_non_null(strstr(r.why.text, a.path));
	assert_non_null(strstr(r.why.text, "refused"));
	unlink(a.path);
	assert_null(connector_start(base, NULL, &a, on_done, &r));
	assert_non_null(strstr(r.why.text, "No such file"));
}

/* A backlog of 0 takes one connection: the others wait, and come in their order as
 * the listener accepts. */
static void test_connector_keeps_order_when_the_backlog_is_full(void **state)
{
	struct result r[MANY];
	struct connector *c[MANY];
	struct err e = ERR_INIT;
	int order = 0, listening, taken = 0;
	struct addr a;

	(void)state;
	unix_addr(&a, "full");
	listening = fd_listen(&a, 0, &e);
	assert_true(listening >= 0);
	for (int i = 0; i < MANY; i++) {
		memset(&r[i], 0, sizeof(r[i]));
		r[i].order = &order;
		c[i] = connector_start(base, NULL, &a, on_done, &r[i]);
	}
	assert_true(order < MANY);
	connector_cancel(c[MANY - 2]); /* one that waits */
	for (int i = 0; i < MANY && order < MANY - 1; i++) {
		int fd, before = order;

		while ((fd = accept(listening, NULL, NULL)) >= 0) {
			taken++;
			fd_close(&fd);
		}
		loop_until(&order, before + 1, 2000);
	}
	for (int i = 0, nth = 1; i < MANY; i++) {
		if (i == MANY - 2) {
			assert_int_equal(r[i].nth, 0);
			continue;
		}
		assert_int_equal(r[i].nth, nth++);
		assert_true(r[i].fd >= 0);
		fd_close(&r[i].fd);
	}
	assert_true(taken > 0);
	fd_close(&listening);
	unlink(a.path);
}

static void test_connector_groups_do_not_wait_for_each_other(void **state)
{
	struct err e = ERR_INIT;
	struct result stuck = {0}, other = {0}, fill[4] = {{0}};
	struct connector *c = NULL, *d;
	int order = 0, listening, group_a, group_b;
	struct addr a, b;

	(void)state;
	unix_addr(&a, "a");
	unix_addr(&b, "b");
	listening = fd_listen(&a, 0, &e);
	stuck.order = other.order = &order;
	for (int i = 0; i < 4 && !c; i++) {
		fill[i].order = &order;
		c = connector_start(base, &group_a, &a, on_done, &fill[i]);
	}
	assert_non_null(c);
	assert_null(connector_start(base, &group_a, &b, on_done, &other)); /* another address */
	assert_int_equal(other.fd, -1);
	d = connector_start(base, &group_a, &a, on_done, &stuck);
	assert_non_null(d);
	connector_cancel(c); /* the head of the line: the next begins */
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(stuck.nth, 0);
	connector_cancel(d);
	d = connector_start(base, &group_b, &a, on_done, &stuck); /* a line of its own */
	assert_non_null(d);
	connector_cancel(d);
	for (int i = 0; i < 4; i++)
		if (fill[i].nth)
			fd_close(&fill[i].fd);
	fd_close(&listening);
	unlink(a.path);
}

static void test_connector_tcp(void **state)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	struct err e = ERR_INIT;
	struct result r[3] = {{0}};
	int order = 0, listening;
	struct addr a;

	(void)state;
	assert_int_equal(addr_parse_listen(&a, "127.0.0.1:0", &e), 0);
	listening = fd_listen(&a, 5, &e);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&in, &len), 0);
	a.port = ntohs(in.sin_port);
	for (int i = 0; i < 2; i++) {
		r[i].order = &order;
		connector_start(base, NULL, &a, on_done, &r[i]);
	}
	/* A name goes through a thread, and tries all its addresses. */
	r[2].order = &order;
	snprintf(a.host, sizeof(a.host), "localhost");
	assert_false(resolve_is_literal(&a));
	assert_non_null(connector_start(base, NULL, &a, on_done, &r[2]));
	loop_until(&order, 3, 5000);
	assert_true(r[0].nth < r[1].nth);
	for (int i = 0; i < 3; i++) {
		if (r[i].fd < 0)
			fail_msg("%d: %s", i, r[i].why.text);
		fd_close(&r[i].fd);
	}
	fd_close(&listening);
	order = 0;
	snprintf(a.host, sizeof(a.host), "127.0.0.1");
	connector_start(base, NULL, &a, on_done, &r[0]);
	loop_until(&order, 1, 2000);
	assert_int_equal(r[0].fd, -1);
	assert_non_null(strstr(r[0].why.text, "tcp:127.0.0.1:"));
	assert_non_null(strstr(r[0].why.text, "refused"));
}

static void test_connector_unknown_name_and_cancelled_lookup(void **state)
{
	struct result r = {0};
	struct addr a;
	int order = 0;

	(void)state;
	memset(&a, 0, sizeof(a));
	a.kind = ADDR_TCP;
	a.port = 7;
	snprintf(a.host, sizeof(a.host), "name.invalid");
	r.order = &order;
	connector_cancel(connector_start(base, NULL, &a, on_done, &r));
	assert_int_equal(order, 0);
	assert_non_null(connector_start(base, NULL, &a, on_done, &r));
	loop_until(&order, 1, 30000);
	assert_int_equal(r.fd, -1);
	assert_int_equal(r.why.code, ERR_ADDRESS);
	assert_non_null(strstr(r.why.text, "name.invalid"));
}

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/adit-test-connector-XXXXXX");
	base = event_base_new();
	return base && mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	rmdir(dir);
	event_base_free(base);
	libevent_global_shutdown();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_connector_unix_is_immediate),
	    cmocka_unit_test(test_connector_keeps_order_when_the_backlog_is_full),
	    cmocka_unit_test(test_connector_groups_do_not_wait_for_each_other),
	    cmocka_unit_test(test_connector_tcp),
	    cmocka_unit_test(test_connector_unknown_name_and_cancelled_lookup),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
