/* An NBD server and a client with a session between them: the client is answered while the line is
 * silent, what follows reaches the other side untouched, and whoever goes is told of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "proxy/nbd.h"
#include "proxy/nbd_join.h"
#include "proxy/rights.h"
#include "proxy/router.h"
#include "tunnel/listener.h"

enum { TURNS = 10000 };

static int up, ready, over;
static struct relay *joined, *far_relay;
static struct err failed;

struct ends {
	struct event_base *base;
	struct creds *client, *server;
	struct router *router;
	struct listener *listener;
	struct session *s;
	struct nbd_join *join;
	int far; /* where the NBD server is */
};

static struct ends k;

static void on_up(void *ctx, struct session *s)
{
	(void)ctx;
	(void)s;
	up = 1;
}

static void on_open(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		    const char *target)
{
	(void)ctx;
	(void)s;
	(void)class;
	(void)target;
	stream_refuse(stream, CODE_REFUSED, "not here");
}

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	(void)ctx;
	(void)s;
	(void)why;
}

static const struct session_ops session_ops = {on_up, on_open, on_session_end};

static void on_session(void *ctx, struct session *s)
{
	router_add_session(ctx, s);
}

static void on_far_end(void *ctx, struct relay *r, enum code code, const char *reason)
{
	(void)ctx;
	(void)r;
	(void)code;
	(void)reason;
	far_relay = NULL;
}

static void on_disk(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		    const char *target)
{
	struct err e = ERR_INIT;
	int pair[2];

	(void)ctx;
	(void)target;
	assert_int_equal(class, STREAM_DISK);
	assert_int_equal(fd_socketpair(pair, &e), 0);
	k.far = pair[1];
	far_relay = relay_accept(k.base, s, stream, pair[0], on_far_end, NULL);
}

static void on_ready(void *ctx)
{
	assert_ptr_equal(ctx, &k);
	ready = 1;
}

static void on_joined(void *ctx, struct relay *r)
{
	assert_ptr_equal(ctx, &k);
	joined = r;
	k.join = NULL;
}

static void on_fail(void *ctx, const struct err *e)
{
	assert_ptr_equal(ctx, &k);
	failed = *e;
	k.join = NULL;
}

static void on_over(void *ctx, struct relay *r, enum code code, const char *reason)
{
	(void)ctx;
	(void)code;
	(void)reason;
	assert_ptr_equal(r, joined);
	joined = NULL;
	over = 1;
}

static const struct nbd_join_ops ops = {on_ready, on_joined, on_fail, on_over};

static void turns(int n)
{
	while (n-- > 0) {
		event_base_loop(k.base, EVLOOP_NONBLOCK);
		usleep(200);
	}
}

#define UNTIL(what)                                                                                \
	do {                                                                                       \
		for (int turn = 0; turn < TURNS && !(what); turn++)                                \
			turns(1);                                                                  \
		assert_true(what);                                                                 \
	} while (0)

static void begin(const char *target)
{
	struct rights_table *table = rights_table_new();
	struct addr_dest d = {.scheme = "tcp", .host = "127.0.0.1"};
	struct rights *all = rights_new();
	struct listener_config lc;
	struct session_config sc;
	struct err e = ERR_INIT;
	struct addr a;

	log_set_level(LOG_LEVEL_ERROR);
	up = ready = over = 0;
	joined = far_relay = NULL;
	failed.code = ERR_NONE;
	k = (struct ends){.far = -1};
	k.base = event_base_new();
	k.client = creds_new_insecure(CREDS_CLIENT);
	k.server = creds_new_insecure(CREDS_SERVER);
	k.router = router_new(k.base);
	all->migrate = true;
	assert_int_equal(rights_table_add(table, "*", all, &e), 0);
	router_set_rights(k.router, table);
	assert_int_equal(router_add_service(k.router, "disk", on_disk, NULL, &e), 0);
	listener_config_default(&lc);
	session_config_default(&sc);
	assert_int_equal(addr_parse_listen(&a, "127.0.0.1:0", &e), 0);
	k.listener = listener_new(k.base, &a, k.server, &lc, on_session, k.router, &e);
	assert_non_null(k.listener);
	d.port = listener_port(k.listener);
	k.s = session_connect(k.base, &d, k.client, &sc, &session_ops, NULL, &e);
	assert_non_null(k.s);
	UNTIL(up);
	k.join = nbd_join_open(k.base, k.s, target, "disk0", &ops, &k, &e);
	assert_non_null(k.join);
}

static void finish(void)
{
	nbd_join_cancel(k.join, CODE_CANCELLED, "the test is over");
	relay_cancel(joined, CODE_CANCELLED, "the test is over");
	relay_cancel(far_relay, CODE_CANCELLED, "the test is over");
	fd_close(&k.far);
	router_remove_service(k.router, "disk");
	session_free(k.s);
	listener_free(k.listener);
	router_free(k.router);
	session_linger(k.base);
	relay_see_off();
	creds_free(k.client);
	creds_free(k.server);
	event_base_free(k.base);
}

/* One half of the hello on a socket, until it has nothing more to say or hear just now. */
static void speak(struct nbd_hello *h, int fd,
		  long (*input)(struct nbd_hello *, const uint8_t *, size_t, struct err *))
{
	struct err e = ERR_INIT;
	uint8_t buf[4096];
	ssize_t n;

	while (h->out.off < h->out.len) {
		n = send(fd, h->out.data + h->out.off, h->out.len - h->out.off, MSG_NOSIGNAL);
		assert_true(n > 0);
		h->out.off += (size_t)n;
	}
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n > 0)
		assert_int_equal(input(h, buf, (size_t)n, &e), n);
}

static void greet(void)
{
	struct nbd_export x = {.name = "disk0",
			       .hello_flags = 3,
			       .size = 1 << 30,
			       .flags = 0x4ed,
			       .structured = true,
			       .has_context = true,
			       .context = 3};
	struct nbd_hello far;

	UNTIL(k.far >= 0);
	nbd_server_begin(&far, &x);
	for (int turn = 0; turn < TURNS && !ready; turn++) {
		speak(&far, k.far, nbd_server_input);
		turns(1);
	}
	assert_true(ready && far.done);
}

static void test_nbd_join_answers_without_the_line(void **state)
{
	struct nbd_hello near;
	struct err e = ERR_INIT;
	char got[16] = "";
	int pair[2];

	(void)state;
	begin("disk");
	greet();
	/* From here on nobody reads what the far end would be asked. */
	assert_int_equal(fd_socketpair(pair, &e), 0);
	nbd_join_client(k.join, pair[0]);
	nbd_client_begin(&near, "disk0");
	for (int turn = 0; turn < TURNS && !near.done; turn++) {
		speak(&near, pair[1], nbd_client_input);
		turns(1);
	}
	assert_true(near.done);
	assert_int_equal(near.export.size, 1 << 30);
	assert_int_equal(near.export.context, 3);
	assert_int_equal(send(pair[1], "request", 7, MSG_NOSIGNAL), 7);
	UNTIL(joined);
	UNTIL(recv(k.far, got, sizeof(got), MSG_DONTWAIT | MSG_PEEK) >= 7);
	/* Not a byte of a hello came before it. */
	assert_int_equal(recv(k.far, got, sizeof(got), 0), 7);
	assert_memory_equal(got, "request", 7);
	assert_int_equal(send(k.far, "reply", 5, MSG_NOSIGNAL), 5);
	UNTIL(recv(pair[1], got, sizeof(got), MSG_DONTWAIT | MSG_PEEK) >= 5);
	assert_int_equal(recv(pair[1], got, sizeof(got), 0), 5);
	assert_memory_equal(got, "reply", 5);
	close(pair[1]);
	fd_close(&k.far);
	UNTIL(over);
	finish();
}

static void test_nbd_join_tells_of_a_stream_that_is_refused(void **state)
{
	(void)state;
	begin("nowhere");
	UNTIL(err_is_set(&failed));
	assert_int_equal(failed.code, ERR_REFUSED);
	assert_null(k.join);
	finish();
}

static void test_nbd_join_tells_of_a_server_that_is_none(void **state)
{
	(void)state;
	begin("disk");
	UNTIL(k.far >= 0);
	assert_int_equal(send(k.far, "SSH-2.0-OpenSSH_9.2p1 Debian", 28, MSG_NOSIGNAL), 28);
	UNTIL(err_is_set(&failed));
	assert_int_equal(failed.code, ERR_PROTOCOL);
	finish();
}

static void test_nbd_join_tells_of_a_server_that_goes(void **state)
{
	(void)state;
	begin("disk");
	greet();
	fd_close(&k.far);
	UNTIL(err_is_set(&failed));
	finish();
}

static void test_nbd_join_tells_of_a_client_that_goes(void **state)
{
	struct err e = ERR_INIT;
	int pair[2];

	(void)state;
	begin("disk");
	greet();
	assert_int_equal(fd_socketpair(pair, &e), 0);
	nbd_join_client(k.join, pair[0]);
	close(pair[1]);
	UNTIL(err_is_set(&failed));
	finish();
}

static void test_nbd_join_ends_when_it_is_cancelled(void **state)
{
	(void)state;
	begin("disk");
	greet();
	nbd_join_cancel(k.join, CODE_CANCELLED, "enough");
	k.join = NULL;
	UNTIL(!far_relay);
	assert_false(err_is_set(&failed));
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nbd_join_answers_without_the_line),
	    cmocka_unit_test(test_nbd_join_tells_of_a_stream_that_is_refused),
	    cmocka_unit_test(test_nbd_join_tells_of_a_server_that_is_none),
	    cmocka_unit_test(test_nbd_join_tells_of_a_server_that_goes),
	    cmocka_unit_test(test_nbd_join_tells_of_a_client_that_goes),
	    cmocka_unit_test(test_nbd_join_ends_when_it_is_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
