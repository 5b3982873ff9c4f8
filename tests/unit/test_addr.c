/* Addresses as users write them: what is read, what is refused and in which
 * words, and that formatting and reading are each other's inverse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/fd.h"

static void assert_mentions(const struct err *e, const char *words)
{
	if (!strstr(e->text, words))
		fail_msg("\"%s\" does not mention \"%s\"", e->text, words);
}

static void test_addr_parse_round_trip(void **state)
{
	static const char *const texts[] = {
	    "unix:/run/vm/a.sock", "tcp:10.0.0.1:80", "tcp:host.example:65535",
	    "tcp:[fe80::1]:1",	   "tcp:[::1]:16516",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct err e = ERR_INIT;
		struct addr a;
		char buf[320];

		assert_int_equal(addr_parse(&a, texts[i], &e), 0);
		assert_string_equal(addr_format(&a, buf, sizeof(buf)), texts[i]);
	}
}

static void test_addr_parse_refuses(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
	    {"", "unix:/path or tcp:HOST:PORT"},
	    {"/run/x", "unix:/path or tcp:HOST:PORT"},
	    {"unix:", "must begin with '/'"},
	    {"unix:run/x", "must begin with '/'"},
	    {"tcp:host", "the port is missing"},
	    {"tcp:host:", "the port is missing"},
	    {"tcp::80", "the host is missing"},
	    {"tcp:host:0", "between 1 and 65535"},
	    {"tcp:host:65536", "between 1 and 65535"},
	    {"tcp:host:99999999999999999999999", "between 1 and 65535"},
	    {"tcp:host:8x", "not a number"},
	    {"tcp:host:-1", "not a number"},
	    {"tcp:fe80::1:80", "in brackets"},
	    {"tcp:[fe80::1:80", "']' is missing"},
	    {"tcp:[]:80", "no address in the brackets"},
	    {"tcp:[::1]80", "may follow the ']'"},
	    {"tcp:a b:80", "host name"},
	    {"fd:3", "only be where adit listens"}, /* a target: no peer names our descriptors */
	    {"fd:", "only be where adit listens"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = ERR_INIT;
		struct addr a;

		assert_int_equal(addr_parse(&a, cases[i].text, &e), ERR_USAGE);
		assert_int_equal(e.code, ERR_USAGE);
		assert_mentions(&e, cases[i].words);
	}
}

static void test_addr_parse_unix_length(void **state)
{
	char text[5 + ADDR_UNIX_MAX + 2] = "unix:/";
	struct err e = ERR_INIT;
	struct addr a;

	(void)state;
	memset(text + 6, 'x', ADDR_UNIX_MAX - 1);
	assert_int_equal(addr_parse(&a, text, &e), 0);
	assert_int_equal(strlen(a.path), ADDR_UNIX_MAX);
	text[5 + ADDR_UNIX_MAX] = 'x';
	assert_int_equal(addr_parse(&a, text, &e), ERR_USAGE);
	assert_mentions(&e, "107 bytes");
}

static void test_addr_parse_host_length(void **state)
{
	char text[400] = "tcp:";
	struct err e = ERR_INIT;
	struct addr a;

	(void)state;
	memset(text + 4, 'h', 300);
	strcpy(text + 304, ":80");
	assert_int_equal(addr_parse(&a, text, &e), ERR_USAGE);
	assert_mentions(&e, "longer than");
}

static void test_addr_parse_listen_forms(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port;
	} cases[] = {
	    {"10.0.0.1:99", "10.0.0.1", 99}, {":99", "", 99},	      {"*:99", "", 99},
	    {"10.0.0.1", "10.0.0.1", 16516}, {"[::1]:5", "::1", 5},   {"[::]", "::", 16516},
	    {"127.0.0.1:0", "127.0.0.1", 0}, {"host:16", "host", 16},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = ERR_INIT;
		struct addr a;

		assert_int_equal(addr_parse_listen(&a, cases[i].text, &e), 0);
		assert_int_equal(a.kind, ADDR_TCP);
		assert_string_equal(a.host, cases[i].host);
		assert_int_equal(a.port, cases[i].port);
	}
}

static void test_addr_parse_listen_refuses(void **state)
{
	static const char *const texts[] = {"",	       ":",	  "host:",  "unix:/x",
					    "tcp:h:1", "tls://h", "::1:99", "h:70000"};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct err e = ERR_INIT;
		struct addr a;

		assert_int_equal(addr_parse_listen(&a, texts[i], &e), ERR_USAGE);
	}
}

static void test_addr_parse_host_forms(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port;
	} cases[] = {
	    {"10.0.0.1:99", "10.0.0.1", 99},
	    {"h", "h", 7},
	    {"[::1]:5", "::1", 5},
	    {"[fe80::1%eth0]", "fe80::1%eth0", 7},
	};
	static const char *const wrong[] = {"",	   ":9",   "h:",   "h:0",     "h:70000",
					    "::1", "[::1", "[]:1", "unix:/x", "tls://h",
					    "a b", "h/x",  "me@h"};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = ERR_INIT;
		struct addr a;

		assert_int_equal(addr_parse_host(&a, cases[i].text, 7, &e), 0);
		assert_int_equal(a.kind, ADDR_TCP);
		assert_string_equal(a.host, cases[i].host);
		assert_int_equal(a.port, cases[i].port);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct err e = ERR_INIT;
		struct addr a;

		assert_int_equal(addr_parse_host(&a, wrong[i], 7, &e), ERR_USAGE);
	}
}

static void test_addr_parse_dest_forms(void **state)
{
	static const struct {
		const char *text, *scheme, *identity, *host;
		unsigned port;
	} cases[] = {
	    {"tls://h", "tls", "", "h", 16516},
	    {"tls://h/", "tls", "", "h", 16516},
	    {"tls://h:1", "tls", "", "h", 1},
	    {"tcp://[::1]:2", "tcp", "", "::1", 2},
	    {"tls://me@h:3", "tls", "me", "h", 3},
	    {"ssh://anna@h", "ssh", "anna", "h", 0},
	    {"ssh://h:2222", "ssh", "", "h", 2222},
	    {"ssh+tls://[::1]", "ssh+tls", "", "::1", 0},
	    {"tls://me@there@h", "tls", "me@there", "h", 16516},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = ERR_INIT;
		struct addr_dest d;

		assert_int_equal(addr_parse_dest(&d, cases[i].text, &e), 0);
		assert_string_equal(d.scheme, cases[i].scheme);
		assert_string_equal(d.identity, cases[i].identity);
		assert_string_equal(d.host, cases[i].host);
		assert_int_equal(d.port, cases[i].port);
	}
}

static void test_addr_parse_dest_refuses(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
	    {"", "no destination"},
	    {"host:16516", "no destination"},
	    {"://h", "no destination"},
	    {"TLS://h", "small letters"},
	    {"+ssh://h", "small letters"},
	    {"averyveryverylongscheme://h", "no scheme"},
	    {"tls://", "the host is missing"},
	    {"tls://:99", "the host is missing"},
	    {"tls://@h", "identity before '@' is empty"},
	    {"tls://a:b@h", "no ':'"},
	    {"tls://h:", "the port is missing"},
	    {"tls://h:0", "between 1 and"},
	    {"tls://h/path", "host name"},
	    {"tls://h:1/path", "not a number"},
	    {"tls://fe80::1", "in brackets"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = ERR_INIT;
		struct addr_dest d;

		assert_int_equal(addr_parse_dest(&d, cases[i].text, &e), ERR_USAGE);
		assert_mentions(&e, cases[i].words);
	}
}

static void test_addr_parse_dest_bounds_identity(void **state)
{
	char text[300] = "tls://";
	struct err e = ERR_INIT;
	struct addr_dest d;

	(void)state;
	memset(text + 6, 'i', 200);
	strcpy(text + 206, "@h");
	assert_int_equal(addr_parse_dest(&d, text, &e), ERR_USAGE);
	assert_mentions(&e, "longer than");
}

static void test_addr_resolve_literals(void **state)
{
	struct addr_resolved at;
	struct err e = ERR_INIT;
	struct addr a;
	char buf[128];

	(void)state;
	assert_int_equal(addr_parse(&a, "tcp:[::1]:7", &e), 0);
	assert_int_equal(addr_resolve(&a, 0, &at, &e), 0);
	assert_int_equal(at.count, 1);
	assert_string_equal(
	    addr_format_sockaddr((struct sockaddr *)&at.at[0].sa, at.at[0].len, buf, sizeof(buf)),
	    "[::1]:7");
	assert_int_equal(addr_parse(&a, "unix:/a/b", &e), 0);
	assert_int_equal(addr_resolve(&a, 0, &at, &e), 0);
	assert_string_equal(
	    addr_format_sockaddr((struct sockaddr *)&at.at[0].sa, at.at[0].len, buf, sizeof(buf)),
	    "unix:/a/b");
	/* IPv4 that came by a socket of IPv6 */
	assert_int_equal(addr_parse(&a, "tcp:[::ffff:10.77.0.1]:7", &e), 0);
	assert_int_equal(addr_resolve(&a, 0, &at, &e), 0);
	assert_int_equal(at.at[0].sa.ss_family, AF_INET6);
	assert_string_equal(
	    addr_format_sockaddr((struct sockaddr *)&at.at[0].sa, at.at[0].len, buf, sizeof(buf)),
	    "10.77.0.1:7");
	assert_int_equal(addr_parse_listen(&a, ":7", &e), 0);
	assert_int_equal(addr_resolve(&a, 1, &at, &e), 0);
	assert_int_equal(at.count, 2);
	assert_string_equal(
	    addr_format_sockaddr((struct sockaddr *)&at.at[0].sa, at.at[0].len, buf, sizeof(buf)),
	    "[::]:7");
	assert_int_equal(addr_parse(&a, "tcp:name.invalid:7", &e), 0);
	assert_int_equal(addr_resolve(&a, 0, &at, &e), ERR_ADDRESS);
	assert_mentions(&e, "name.invalid");
}

static void test_fd_listen_replaces_only_stale_sockets(void **state)
{
	char dir[] = "/tmp/adit-test-addr-XXXXXX", text[200];
	struct err e = ERR_INIT;
	struct addr a;
	struct stat st;
	int fd, again;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(text, sizeof(text), "unix:%s/s", dir);
	assert_int_equal(addr_parse(&a, text, &e), 0);

	fd = fd_listen(&a, 5, &e);
	assert_true(fd >= 0);
	assert_int_equal(stat(a.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);

	assert_int_equal(fd_listen(&a, 5, &e), ERR_ADDRESS); /* live */
	assert_mentions(&e, "in use");
	fd_close(&fd);
	assert_int_equal(fd, -1);
	again = fd_listen(&a, 5, &e); /* stale */
	assert_true(again >= 0);
	fd_close(&again);
	unlink(a.path);

	again = open(a.path, O_CREAT | O_WRONLY, 0600);
	fd_close(&again);
	assert_int_equal(fd_listen(&a, 5, &e), ERR_ADDRESS); /* a file */
	assert_mentions(&e, "not a socket");
	unlink(a.path);
	rmdir(dir);
}

static void test_fd_listen_names_a_port_in_use(void **state)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	struct err e = ERR_INIT;
	struct addr a;
	int fd;

	(void)state;
	assert_int_equal(addr_parse_listen(&a, "127.0.0.1:0", &e), 0);
	fd = fd_listen(&a, 5, &e);
	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	a.port = ntohs(in.sin_port);
	assert_int_equal(fd_listen(&a, 5, &e), ERR_ADDRESS);
	assert_mentions(&e, "127.0.0.1");
	assert_mentions(&e, "in use");
	fd_close(&fd);
}

static void test_addr_parse_local_takes_descriptors(void **state)
{
	static const char *const bad[] = {"fd:", "fd:-1", "fd:+3", "fd:3x", "fd: 3", "fd:99999999"};
	struct err e = ERR_INIT;
	struct addr_resolved at;
	struct addr a;
	char buf[320];

	(void)state;
	assert_int_equal(addr_parse_local(&a, "fd:3", &e), 0);
	assert_int_equal(a.kind, ADDR_FD);
	assert_int_equal(a.fd, 3);
	assert_string_equal(addr_format(&a, buf, sizeof(buf)), "fd:3");
	assert_int_equal(addr_resolve(&a, 0, &at, &e), ERR_ADDRESS);
	assert_int_equal(addr_parse_local(&a, "unix:/x", &e), 0);
	assert_int_equal(a.kind, ADDR_UNIX);
	assert_int_equal(addr_parse_listen(&a, "fd:12", &e), 0);
	assert_int_equal(a.kind, ADDR_FD);
	assert_int_equal(a.fd, 12);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(addr_parse_local(&a, bad[i], &e), ERR_USAGE);
		assert_int_equal(addr_parse_listen(&a, bad[i], &e), ERR_USAGE);
		assert_mentions(&e, "fd:N");
	}
}

/* A descriptor as it comes through execve: without close-on-exec. */
static int inherited(int domain, int type, int listens)
{
	int fd = socket(domain, type, 0);

	assert_true(fd >= 0);
	if (listens)
		assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void refuse_fd(int fd, const char *words)
{
	struct err e = ERR_INIT;
	char name[20];

	snprintf(name, sizeof(name), "fd:%d", fd);
	assert_int_equal(fd_take_listening(fd, &e), ERR_ADDRESS);
	assert_int_equal(strncmp(e.text, name, strlen(name)), 0);
	assert_mentions(&e, words);
}

static void test_fd_take_listening_takes_it_once(void **state)
{
	struct addr a = {.kind = ADDR_FD};
	struct err e = ERR_INIT;
	int fd = inherited(AF_INET, SOCK_STREAM, 1);

	(void)state;
	a.fd = fd;
	assert_int_equal(fd_listen(&a, 5, &e), fd);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	refuse_fd(fd, "named twice");
	fd_close(&fd);
	refuse_fd(a.fd, "no such descriptor");
}

static void test_fd_take_listening_leaves_the_standard_ones(void **state)
{
	struct err e = ERR_INIT;
	int saved = dup(STDIN_FILENO), fd = inherited(AF_INET6, SOCK_STREAM, 1), got;

	(void)state;
	assert_true(dup2(fd, STDIN_FILENO) == STDIN_FILENO);
	got = fd_take_listening(STDIN_FILENO, &e);
	assert_true(got > STDERR_FILENO);
	assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
	refuse_fd(STDIN_FILENO, "named twice");
	dup2(saved, STDIN_FILENO);
	fd_close(&saved);
	fd_close(&fd);
	fd_close(&got);
}

static void test_fd_take_listening_refuses(void **state)
{
	int own = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2];
	int datagram = inherited(AF_INET, SOCK_DGRAM, 0);
	int idle = inherited(AF_INET, SOCK_STREAM, 0);
	int file = open("/dev/null", O_RDWR);

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(listen(own, 5), 0);
	refuse_fd(own, "in use within this program");
	refuse_fd(datagram, "stream socket");
	refuse_fd(idle, "does not listen");
	refuse_fd(pair[0], "does not listen");
	refuse_fd(file, "not a socket");
	refuse_fd(9999999, "no such descriptor");
	fd_close(&own);
	fd_close(&datagram);
	fd_close(&idle);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	fd_close(&file);
}

static void test_fd_socketpair_flags(void **state)
{
	struct err e = ERR_INIT;
	int pair[2];

	(void)state;
	assert_int_equal(fd_socketpair(pair, &e), 0);
	assert_true(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(pair[1], F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(pair[0], F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(pair[1], F_GETFD) & FD_CLOEXEC);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_addr_parse_round_trip),
	    cmocka_unit_test(test_addr_parse_refuses),
	    cmocka_unit_test(test_addr_parse_unix_length),
	    cmocka_unit_test(test_addr_parse_host_length),
	    cmocka_unit_test(test_addr_parse_listen_forms),
	    cmocka_unit_test(test_addr_parse_listen_refuses),
	    cmocka_unit_test(test_addr_parse_host_forms),
	    cmocka_unit_test(test_addr_parse_dest_forms),
	    cmocka_unit_test(test_addr_parse_dest_refuses),
	    cmocka_unit_test(test_addr_parse_dest_bounds_identity),
	    cmocka_unit_test(test_addr_resolve_literals),
	    cmocka_unit_test(test_fd_listen_replaces_only_stale_sockets),
	    cmocka_unit_test(test_fd_listen_names_a_port_in_use),
	    cmocka_unit_test(test_fd_socketpair_flags),
	    cmocka_unit_test(test_addr_parse_local_takes_descriptors),
	    cmocka_unit_test(test_fd_take_listening_takes_it_once),
	    cmocka_unit_test(test_fd_take_listening_leaves_the_standard_ones),
	    cmocka_unit_test(test_fd_take_listening_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
