/*
 * Another implementation at the other end: gnutls-serv and gnutls-cli, with PSK files
 * made by psktool and with certificates. QEMU and libvirt speak TLS with GnuTLS, so
 * what they have must fit. Skipped where the tools are not there.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_creds_fixture.h"

#define KEY_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PRIORITY_PSK "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK"

enum { WAIT_MS = 30000 };

static void need(const char *tool)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", tool);
	if (system(command) == 0)
		return;
	print_message("SKIP: %s is not installed (Debian: gnutls-bin)\n", tool);
	skip();
}

/* A listening socket on a free port of loopback. */
static int listen_somewhere(char *port, size_t size)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	snprintf(port, size, "%u", ntohs(sa.sin_port));
	return fd;
}

/* Runs a program with its standard input from in (-1: nothing) and no output. */
static pid_t run(char *const argv[], int in)
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(in >= 0 ? in : null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	assert_true(pid > 0);
	return pid;
}

static void stop(pid_t pid)
{
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}

static int connect_to(const char *port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	sa.sin_port = htons((uint16_t)atoi(port));
	for (int i = 0; i < WAIT_MS / 20; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
			return fd;
		close(fd);
		usleep(20000);
	}
	fail_msg("nothing listens on port %s", port);
	return -1;
}

/* Waits for what the result of a step asks for. */
static void wait_for(struct transport *t, int result)
{
	struct pollfd p = {t->fd, result == TRANSPORT_WANT_WRITE ? POLLOUT : POLLIN, 0};

	assert_true(poll(&p, 1, WAIT_MS) > 0);
}

static void shake(struct fixture_end *end)
{
	while ((end->result = end->t->ops->handshake(end->t, &end->err)) == TRANSPORT_WANT_READ ||
	       end->result == TRANSPORT_WANT_WRITE)
		wait_for(end->t, end->result);
	end->done = end->result == 0;
}

static void say(struct fixture_end *end, const char *text)
{
	const uint8_t *bytes = (const uint8_t *)text;

	assert_int_equal(end->t->ops->write(end->t, bytes, strlen(text), &end->err), 0);
	while (end->t->ops->flush(end->t, &end->err) == TRANSPORT_WANT_WRITE)
		wait_for(end->t, TRANSPORT_WANT_WRITE);
}

/* Reads until text has come, or fails. */
static void hear(struct fixture_end *end, const char *text)
{
	char got[4096] = "";
	size_t len = 0;

	while (!strstr(got, text)) {
		ssize_t n;

		assert_true(len < sizeof(got) - 1);
		n = end->t->ops->read(end->t, (uint8_t *)got + len, sizeof(got) - 1 - len,
				      &end->err);
		if (n == TRANSPORT_WANT_READ) {
			wait_for(end->t, TRANSPORT_WANT_READ);
			continue;
		}
		if (n <= 0)
			fail_msg("no \"%s\", but %zd: %s", text, n, end->err.text);
		len += (size_t)n;
		got[len] = '\0';
	}
}

static void open_client(struct fixture_end *end, struct creds *c, const char *port,
			const char *host)
{
	memset(end, 0, sizeof(*end));
	end->t = creds_transport(c, connect_to(port), host, &end->err);
	assert_non_null(end->t);
	shake(end);
	creds_free(c);
}

static void open_server(struct fixture_end *end, struct creds *c, int listener)
{
	struct pollfd p = {listener, POLLIN, 0};

	memset(end, 0, sizeof(*end));
	assert_true(poll(&p, 1, WAIT_MS) > 0);
	end->t = creds_transport(c, accept(listener, NULL, NULL), NULL, &end->err);
	assert_non_null(end->t);
	shake(end);
	creds_free(c);
}

/* gnutls-serv on a free port, with a PSK file. */
static pid_t psk_server(char *port, size_t size, const char *file)
{
	char *argv[] = {"gnutls-serv", "--echo",     "--quiet",	   "--nodb",	 "--port", port,
			"--pskpasswd", (char *)file, "--priority", PRIORITY_PSK, NULL};

	close(listen_somewhere(port, size));
	return run(argv, -1);
}

static void test_psk_client_and_gnutls_server(void **state)
{
	struct fixture_end end;
	char port[16];
	pid_t pid;

	(void)state;
	need("gnutls-serv");
	pid = psk_server(port, sizeof(port), fixture_file("g.psk", "bob:" KEY_A "\n", 0600));
	open_client(&end, fixture_psk(CREDS_CLIENT, "c.psk", "bob:" KEY_A "\n"), port, "localhost");
	if (end.result)
		fail_msg("%s", end.err.text);
	assert_string_equal(end.t->peer, "psk:bob");
	say(&end, "through the adit\n");
	hear(&end, "through the adit");
	transport_free(end.t);

	open_client(&end, fixture_psk(CREDS_CLIENT, "c.psk", "bob:" KEY_B "\n"), port, "localhost");
	fixture_assert_failed(&end, ERR_AUTH, "server has another key|\"bob\"");
	transport_free(end.t);
	stop(pid);
}

static pid_t psk_client(char *port, char *identity, char *key, int in)
{
	char *argv[] = {"gnutls-cli", "--port", port,	      "--pskusername", identity,
			"--pskkey",   key,	"--priority", PRIORITY_PSK,    "--inline-commands",
			"localhost",  NULL};

	return run(argv, in);
}

/* ^rekey^ makes gnutls-cli send a KeyUpdate that asks for one in return. */
static void test_psk_server_and_gnutls_client(void **state)
{
	struct fixture_end end;
	char port[16];
	int in[2], listener;
	pid_t pid;

	(void)state;
	need("gnutls-cli");
	listener = listen_somewhere(port, sizeof(port));
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	pid = psk_client(port, "bob", KEY_A, in[0]);
	open_server(&end, fixture_psk(CREDS_SERVER, "s.psk", "bob:" KEY_A "\n"), listener);
	if (end.result)
		fail_msg("%s", end.err.text);
	assert_string_equal(end.t->peer, "psk:bob");
	assert_true(write(in[1], "hello\n", 6) == 6);
	hear(&end, "hello");
	assert_true(write(in[1], "^rekey^\n", 8) == 8);
	assert_true(write(in[1], "again\n", 6) == 6);
	hear(&end, "again");
	say(&end, "and back\n");
	transport_free(end.t);
	stop(pid);
	close(in[0]);
	close(in[1]);

	pid = psk_client(port, "bob", KEY_B, -1);
	open_server(&end, fixture_psk(CREDS_SERVER, "s.psk", "bob:" KEY_A "\n"), listener);
	fixture_assert_failed(&end, ERR_AUTH, "client has another key|\"bob\"");
	transport_free(end.t);
	stop(pid);

	pid = psk_client(port, "eve", KEY_A, -1);
	open_server(&end, fixture_psk(CREDS_SERVER, "s.psk", "bob:" KEY_A "\n"), listener);
	fixture_assert_failed(&end, ERR_AUTH, "\"eve\" is not in");
	transport_free(end.t);
	stop(pid);
	close(listener);
}

static void test_psktool_writes_what_we_read(void **state)
{
	const char *file = fixture_file("tool.psk", "", 0600);
	char command[256];
	struct err e = ERR_INIT;
	struct creds *c;

	(void)state;
	need("psktool");
	snprintf(command, sizeof(command), "psktool -u 'ali ce' -p %s >/dev/null 2>&1", file);
	assert_int_equal(system(command), 0);
	c = creds_load_psk(CREDS_CLIENT, file, "ali ce", &e);
	if (!c)
		fail_msg("%s", e.text);
	creds_free(c);
}

static void test_x509_client_and_gnutls_server(void **state)
{
	static const struct fixture_cert server = {
	    .subject = "dst.example", .alt = "DNS:dst.example", .usage = "serverAuth"};
	static const struct fixture_cert client = {.subject = "src.example", .usage = "clientAuth"};
	struct fixture_ca ca = fixture_ca_new("Test CA");
	char port[16], ca_file[600], cert_file[600], key_file[600];
	char *argv[] = {"gnutls-serv",
			"--echo",
			"--quiet",
			"--nodb",
			"--port",
			port,
			"--x509cafile",
			ca_file,
			"--x509certfile",
			cert_file,
			"--x509keyfile",
			key_file,
			"--require-client-cert",
			"--verify-client-cert",
			NULL};
	struct err e = ERR_INIT;
	struct fixture_end end;
	const char *dir;
	pid_t pid;

	(void)state;
	need("gnutls-serv");
	dir = fixture_x509("gserver", "server", &ca, &ca, &server);
	snprintf(ca_file, sizeof(ca_file), "%s/ca-cert.pem", dir);
	snprintf(cert_file, sizeof(cert_file), "%s/server-cert.pem", dir);
	snprintf(key_file, sizeof(key_file), "%s/server-key.pem", dir);
	close(listen_somewhere(port, sizeof(port)));
	pid = run(argv, -1);
	dir = fixture_x509("gclient", "client", &ca, &ca, &client);
	open_client(&end, creds_load_x509(CREDS_CLIENT, dir, &e), port, "dst.example");
	if (end.result)
		fail_msg("%s", end.err.text);
	assert_string_equal(end.t->peer, "x509:CN=dst.example,O=adit test");
	say(&end, "through the adit\n");
	hear(&end, "through the adit");
	transport_free(end.t);
	stop(pid);
	fixture_ca_free(&ca);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_psk_client_and_gnutls_server),
	    cmocka_unit_test(test_psk_server_and_gnutls_client),
	    cmocka_unit_test(test_psktool_writes_what_we_read),
	    cmocka_unit_test(test_x509_client_and_gnutls_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
