/*
 * What a hostile peer does with all its might, and what a good one notices of it: for the tests of
 * hostile runs.
 *
 *     flood burn                               uses up a processor
 *     flood opens DEST KEYFILE SESSIONS CLASS TARGET
 *                                              opens streams to TARGET, again as each was refused
 *     flood resets DEST KEYFILE SESSIONS CLASS TARGET
 *                                              the same, and resets them itself
 *     flood holds DEST KEYFILE SESSIONS CLASS TARGET COUNT
 *                                              opens COUNT streams in each, and says nothing
 *     flood serve HOST:PORT KEYFILE TARGET     opens streams to whoever comes
 *     flood echo-listen PATH                   sends back what comes to a unix socket
 *     flood echo PATH SECONDS                  asks it, one byte a millisecond, and prints
 *                                              "echo N p50 US p99 US max US"
 *
 * Prints "ready" when the work has begun, and goes on until it is killed. DEST tls://HOST:PORT.
 * Runs at a third of what it could in a session: no more than IN_FLIGHT streams wait for an answer.
 */
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "tunnel/listener.h"

enum { IN_FLIGHT = 256, SESSIONS_MAX = 256, ECHOES_MAX = 100000 };

static struct event_base *base;
static enum stream_class class;
static const char *target;
static int resets, holds;
static unsigned long in_flight = IN_FLIGHT;
static unsigned ready, wanted = 1;

static void __attribute__((noreturn)) die(const char *what, const char *why)
{
	fprintf(stderr, "flood: %s: %s\n", what, why);
	exit(1);
}

static void open_one(struct session *s);

static ssize_t on_pull(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	(void)ctx;
	(void)s;
	(void)dst;
	(void)max;
	return STREAM_PULL_AGAIN;
}

static size_t on_push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	(void)ctx;
	(void)s;
	(void)data;
	return len;
}

static void on_eof(void *ctx, struct stream *s)
{
	(void)ctx;
	(void)s;
}

static void on_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	(void)code;
	(void)reason;
	stream_free(s);
	if (!holds)
		open_one(ctx);
}

static const struct stream_ops stream_ops = {on_pull, on_push, on_eof, on_reset};

static void on_again(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	open_one(ctx);
}

static void open_one(struct session *s)
{
	struct err e = ERR_INIT;
	struct stream *stream = session_open(s, class, target, &stream_ops, s, &e);

	if (!stream || !resets)
		return;
	stream_reset(stream, CODE_CANCELLED, "never mind");
	stream_free(stream);
	event_base_once(base, -1, EV_TIMEOUT, on_again, s, &(struct timeval){0});
}

static void begin(struct session *s)
{
	for (unsigned long i = 0; i < in_flight; i++)
		open_one(s);
	if (++ready == wanted) {
		puts("ready");
		fflush(stdout);
	}
}

static void on_ready(void *ctx, struct session *s)
{
	(void)ctx;
	begin(s);
}

static void on_open(void *ctx, struct session *s, struct stream *stream, enum stream_class of,
		    const char *to)
{
	(void)ctx;
	(void)s;
	(void)of;
	(void)to;
	stream_refuse(stream, CODE_REFUSED, "no");
}

static void on_end(void *ctx, struct session *s, const struct err *why)
{
	(void)ctx;
	(void)s;
	fprintf(stderr, "flood: ended: %s\n", why->text);
}

static const struct session_ops session_ops = {on_ready, on_open, on_end};

static void on_session(void *ctx, struct session *s)
{
	(void)ctx;
	session_set_ops(s, &session_ops, NULL);
	begin(s);
}

static void set_class(const char *name)
{
	for (int i = 0; i < STREAM_CLASSES; i++)
		if (strcmp(stream_class_name((enum stream_class)i), name) == 0)
			class = (enum stream_class)i;
}

static void attack(char **argv, int argc)
{
	struct session_config config;
	struct addr_dest dest;
	struct err e = ERR_INIT;
	struct creds *creds = creds_load_psk(CREDS_CLIENT, argv[3], NULL, &e);

	if (!creds || addr_parse_dest(&dest, argv[2], &e) < 0)
		die(argv[2], e.text);
	resets = strcmp(argv[1], "resets") == 0;
	holds = strcmp(argv[1], "holds") == 0;
	wanted = (unsigned)atoi(argv[4]);
	set_class(argv[5]);
	target = argv[6];
	if (argc > 7)
		in_flight = strtoul(argv[7], NULL, 10);
	session_config_default(&config);
	for (unsigned i = 0; i < wanted && i < SESSIONS_MAX; i++)
		if (!session_connect(base, &dest, creds, &config, &session_ops, NULL, &e))
			die(argv[2], e.text);
	event_base_dispatch(base);
}

static void serve(char **argv)
{
	struct listener_config config;
	struct err e = ERR_INIT;
	struct creds *creds = creds_load_psk(CREDS_SERVER, argv[3], NULL, &e);
	struct listener *l = NULL;
	struct addr a;

	target = argv[4];
	listener_config_default(&config);
	if (creds && addr_parse_listen(&a, argv[2], &e) == 0)
		l = listener_new(base, &a, creds, &config, on_session, NULL, &e);
	if (!l)
		die(argv[2], e.text);
	printf("listening %u\n", listener_port(l));
	fflush(stdout);
	event_base_dispatch(base);
}

static int unix_socket(const char *path, struct sockaddr_un *un)
{
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	snprintf(un->sun_path, sizeof(un->sun_path), "%s", path);
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static void echo_listen(const char *path)
{
	struct sockaddr_un un;
	struct pollfd fds[65];
	int n = 1;

	fds[0] = (struct pollfd){.fd = unix_socket(path, &un), .events = POLLIN};
	if (bind(fds[0].fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fds[0].fd, 16) < 0)
		die(path, strerror(errno));
	for (;;) {
		poll(fds, (nfds_t)n, -1);
		if ((fds[0].revents & POLLIN) && n < 65)
			fds[n++] =
			    (struct pollfd){.fd = accept(fds[0].fd, NULL, NULL), .events = POLLIN};
		for (int i = 1; i < n; i++) {
			char buf[256];
			ssize_t len = fds[i].revents ? read(fds[i].fd, buf, sizeof(buf)) : 1;

			if (fds[i].revents && len > 0)
				len = write(fds[i].fd, buf, (size_t)len);
			if (len <= 0) {
				close(fds[i].fd);
				fds[i--] = fds[--n];
			}
		}
	}
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void echo(const char *path, double seconds)
{
	static uint64_t took[ECHOES_MAX];
	uint64_t end = clock_us() + (uint64_t)(seconds * 1e6);
	struct sockaddr_un un;
	unsigned n = 0;
	int fd = unix_socket(path, &un);
	char byte = 'x';

	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		die(path, strerror(errno));
	while (n < ECHOES_MAX && clock_us() < end) {
		uint64_t at = clock_us();

		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			die(path, "no echo");
		took[n++] = clock_us() - at;
		usleep(1000);
	}
	qsort(took, n, sizeof(*took), by_size);
	printf("echo %u p50 %lu p99 %lu max %lu\n", n, (unsigned long)took[n / 2],
	       (unsigned long)took[n - 1 - n / 100], (unsigned long)took[n - 1]);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR);
	base = event_base_new();
	if (strcmp(what, "burn") == 0)
		for (volatile unsigned i = 0;; i++)
			;
	else if (argc >= 7)
		attack(argv, argc);
	else if (strcmp(what, "serve") == 0 && argc == 5)
		serve(argv);
	else if (strcmp(what, "echo-listen") == 0 && argc == 3)
		echo_listen(argv[2]);
	else if (strcmp(what, "echo") == 0 && argc == 4)
		echo(argv[2], atof(argv[3]));
	else
		die("usage", "see the top of flood.c");
	return 0;
}
