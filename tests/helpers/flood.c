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
 *     flood hangups DEST KEYFILE SESSIONS CLASS TARGET COUNT MS
 *                                              the same, hangs up so many ms later, or where it is
 *                                              refused, and comes again; TARGET unix:PATH, where
 *                                              it listens itself
 *     flood ends PORT COUNT                    takes so many connections, says "all", and when they
 *                                              have ended "reset N", of those that did not in order
 *     flood connects FROM HOST PORT RATE [FILE]
 *                                              connects so many times a second, and says nothing,
 *                                              or what FILE says
 *     flood delay FROM HOST PORT MS            carries one connection there, each byte MS later;
 *                                              prints "listening PORT", where it is awaited
 *     flood serve HOST:PORT KEYFILE TARGET     opens streams to whoever comes
 *     flood echo-listen PATH                   sends back what comes to a unix socket
 *     flood pour PATH                          says as much as each takes who comes there
 *     flood echo PATH SECONDS                  asks it, one byte a millisecond, and prints
 *                                              "echo N p50 US p99 US max US"
 *
 * Prints "ready" when the work has begun, and goes on until it is killed. DEST tls://HOST:PORT; of
 * a session's streams at most IN_FLIGHT wait for an answer at a time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "tunnel/listener.h"

enum {
	IN_FLIGHT = 256,
	SESSIONS_MAX = 256,
	ECHOES_MAX = 100000,
	HELD = 800,
	WAY = 64,
	ECHO_CLIENTS = 900,
	SAY_AFTER = 4,
	TAKEN = 4096,
};

static struct event_base *base;
static enum stream_class class;
static const char *target;
static int resets, holds, hangs_up;
static struct session_config config;
static struct addr_dest dest;
static struct creds *creds;
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

/* One that hangs up, and comes again. */
struct caller {
	struct session *s;
	int goes;
};

static struct timeval calls_for;

static void connect_one(void);

static void on_hang_up(evutil_socket_t fd, short what, void *ctx)
{
	struct caller *c = ctx;

	(void)fd;
	(void)what;
	session_free(c->s);
	free(c);
	connect_one();
}

static void hang_up_soon(struct caller *c, struct session *s)
{
	if (!c || c->goes)
		return;
	c->s = s;
	c->goes = 1;
	event_base_once(base, -1, EV_TIMEOUT, on_hang_up, c, &calls_for);
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
	begin(s);
	hang_up_soon(ctx, s);
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

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	fprintf(stderr, "flood: ended: %s\n", why->text);
	hang_up_soon(ctx, s);
}

static const struct session_ops session_ops = {on_ready, on_open, on_session_end};

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

static void connect_one(void)
{
	struct caller *c = hangs_up ? calloc(1, sizeof(*c)) : NULL;
	struct err e = ERR_INIT;

	if (!session_connect(base, &dest, creds, &config, &session_ops, c, &e))
		die(dest.host, e.text);
}

static int unix_socket(const char *path, struct sockaddr_un *un);

/* The oldest is one of the session before. */
static void on_come(evutil_socket_t listening, short what, void *ctx)
{
	static int taken[TAKEN];
	static unsigned n;
	int fd;

	(void)what;
	(void)ctx;
	while ((fd = accept(listening, NULL, NULL)) >= 0) {
		if (taken[n])
			close(taken[n]);
		taken[n] = fd;
		n = (n + 1) % TAKEN;
	}
}

static void may_have_many(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static void take_all(const char *path)
{
	struct sockaddr_un un;
	int fd = unix_socket(path, &un);

	may_have_many();
	unlink(path);
	if (bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fd, 1024) < 0)
		die(path, strerror(errno));
	evutil_make_socket_nonblocking(fd);
	event_add(event_new(base, fd, EV_READ | EV_PERSIST, on_come, NULL), NULL);
}

static void attack(char **argv, int argc)
{
	struct err e = ERR_INIT;

	creds = creds_load_psk(CREDS_CLIENT, argv[3], NULL, &e);
	if (!creds || addr_parse_dest(&dest, argv[2], &e) < 0)
		die(argv[2], e.text);
	resets = strcmp(argv[1], "resets") == 0;
	hangs_up = strcmp(argv[1], "hangups") == 0;
	holds = hangs_up || strcmp(argv[1], "holds") == 0;
	wanted = (unsigned)atoi(argv[4]);
	set_class(argv[5]);
	target = argv[6];
	if (argc > 7)
		in_flight = strtoul(argv[7], NULL, 10);
	if (argc > 8)
		calls_for = clock_timeval(strtoul(argv[8], NULL, 10));
	if (hangs_up)
		take_all(target + strlen("unix:"));
	session_config_default(&config);
	for (unsigned i = 0; i < wanted && i < SESSIONS_MAX; i++)
		connect_one();
	event_base_dispatch(base);
}

static void serve(char **argv)
{
	struct listener_config lc;
	struct err e = ERR_INIT;
	struct listener *l = NULL;
	struct addr a;

	target = argv[4];
	creds = creds_load_psk(CREDS_SERVER, argv[3], NULL, &e);
	listener_config_default(&lc);
	if (creds && addr_parse_listen(&a, argv[2], &e) == 0)
		l = listener_new(base, &a, creds, &lc, on_session, NULL, &e);
	if (!l)
		die(argv[2], e.text);
	printf("listening %u\n", listener_port(l));
	fflush(stdout);
	event_base_dispatch(base);
}

static struct sockaddr_in ip(const char *host, const char *port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
		die(host, "no address");
	return in;
}

static int connect_from(const char *from, const struct sockaddr_in *to, int flags)
{
	struct sockaddr_in own = ip(from, "0");
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) < 0 ||
	    (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* The last ones stay, for as long as the other side likes. */
static void connects(char **argv)
{
	static int held[HELD];
	char words[4096];
	FILE *f = argv[6] ? fopen(argv[6], "r") : NULL;
	size_t len = f ? fread(words, 1, sizeof(words), f) : 0;
	struct sockaddr_in to = ip(argv[3], argv[4]);
	uint64_t each_us = 1000000 / (uint64_t)atoi(argv[5]), next_us = clock_us();

	memset(held, -1, sizeof(held));
	puts("ready");
	fflush(stdout);
	for (unsigned i = 0;; i = (i + 1) % HELD) {
		uint64_t now_us = clock_us();

		/* (a connection is there by then) */
		if (len && held[(i + HELD - SAY_AFTER) % HELD] >= 0)
			(void)!send(held[(i + HELD - SAY_AFTER) % HELD], words, len,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (held[i] >= 0) {
			/* no TIME_WAIT of ours: there are not so many ports */
			setsockopt(held[i], SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
				   sizeof(struct linger));
			close(held[i]);
		}
		held[i] = connect_from(argv[2], &to, SOCK_NONBLOCK);
		next_us += each_us;
		if (next_us > now_us)
			usleep((useconds_t)(next_us - now_us));
		else
			next_us = now_us;
	}
}

/* What is on its way, one way. */
struct way {
	int from, to;
	size_t first, count;
	struct {
		uint64_t due_us;
		size_t len;
		char data[4096];
	} ring[WAY];
};

static void carry(struct way *w, uint64_t delay_us)
{
	uint64_t now_us = clock_us();

	while (w->count && w->ring[w->first].due_us <= now_us) {
		if (send(w->to, w->ring[w->first].data, w->ring[w->first].len, 0) < 0)
			exit(0);
		w->first = (w->first + 1) % WAY;
		w->count--;
	}
	while (w->count < WAY) {
		size_t at = (w->first + w->count) % WAY;
		ssize_t n = recv(w->from, w->ring[at].data, sizeof(w->ring[at].data), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			exit(0);
		if (n < 0)
			return;
		w->ring[at].len = (size_t)n;
		w->ring[at].due_us = now_us + delay_us;
		w->count++;
	}
}

static void delay(char **argv)
{
	static struct way ways[2];
	struct sockaddr_in to = ip(argv[3], argv[4]), own = ip("127.0.0.1", "0");
	uint64_t delay_us = (uint64_t)atoi(argv[5]) * 1000;
	socklen_t len = sizeof(own);
	int lfd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(lfd, (struct sockaddr *)&own, sizeof(own)) < 0 || listen(lfd, 1) < 0 ||
	    getsockname(lfd, (struct sockaddr *)&own, &len) < 0)
		die("delay", strerror(errno));
	printf("listening %u\n", ntohs(own.sin_port));
	fflush(stdout);
	ways[0].from = ways[1].to = accept(lfd, NULL, NULL);
	ways[0].to = ways[1].from = connect_from(argv[2], &to, 0);
	if (ways[0].to < 0)
		die("delay", "no connection");
	for (;;) {
		struct pollfd fds[2] = {{ways[0].from, POLLIN, 0}, {ways[1].from, POLLIN, 0}};

		carry(&ways[0], delay_us);
		carry(&ways[1], delay_us);
		poll(fds, 2, 1);
	}
}

static int unix_socket(const char *path, struct sockaddr_un *un)
{
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	snprintf(un->sun_path, sizeof(un->sun_path), "%s", path);
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

/* pours: it says as much as is taken, and hears nothing. */
static void echo_listen(const char *path, int pours)
{
	static char much[65536];
	struct sockaddr_un un;
	static struct pollfd fds[1 + ECHO_CLIENTS];
	int n = 1;

	fds[0] = (struct pollfd){.fd = unix_socket(path, &un), .events = POLLIN};
	if (bind(fds[0].fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fds[0].fd, 128) < 0)
		die(path, strerror(errno));
	for (;;) {
		poll(fds, (nfds_t)n, -1);
		if ((fds[0].revents & POLLIN) && n < 1 + ECHO_CLIENTS)
			fds[n++] = (struct pollfd){.fd = accept(fds[0].fd, NULL, NULL),
						   .events = pours ? POLLOUT : POLLIN};
		for (int i = 1; i < n; i++) {
			char buf[256];
			ssize_t len = 1;

			if (fds[i].revents & POLLOUT)
				len = send(fds[i].fd, much, sizeof(much), MSG_DONTWAIT);
			else if (fds[i].revents && (len = read(fds[i].fd, buf, sizeof(buf))) > 0)
				len = write(fds[i].fd, buf, (size_t)len);
			if (len == 0 || (len < 0 && errno != EAGAIN)) {
				close(fds[i].fd);
				fds[i--] = fds[--n];
			}
		}
	}
}

static void ends(char **argv)
{
	struct sockaddr_in in = ip("127.0.0.1", argv[2]);
	int lfd = socket(AF_INET, SOCK_STREAM, 0), count = atoi(argv[3]), resets_seen = 0;
	int *fds = calloc((size_t)count, sizeof(*fds));
	char byte;

	may_have_many();
	setsockopt(lfd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (!fds || bind(lfd, (struct sockaddr *)&in, sizeof(in)) < 0 || listen(lfd, 1024) < 0)
		die(argv[2], strerror(errno));
	puts("ready");
	fflush(stdout);
	for (int i = 0; i < count; i++)
		fds[i] = accept(lfd, NULL, NULL);
	puts("all");
	fflush(stdout);
	for (int i = 0; i < count; i++)
		resets_seen += read(fds[i], &byte, 1) < 0 && errno == ECONNRESET;
	printf("reset %d\n", resets_seen);
	free(fds);
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
	else if (strcmp(what, "ends") == 0 && argc == 4)
		ends(argv);
	else if (argc >= 7 && strcmp(what, "connects") != 0)
		attack(argv, argc);
	else if (strcmp(what, "connects") == 0 && argc >= 6)
		connects(argv);
	else if (strcmp(what, "delay") == 0 && argc == 6)
		delay(argv);
	else if (strcmp(what, "serve") == 0 && argc == 5)
		serve(argv);
	else if (strcmp(what, "echo-listen") == 0 && argc == 3)
		echo_listen(argv[2], 0);
	else if (strcmp(what, "pour") == 0 && argc == 3)
		echo_listen(argv[2], 1);
	else if (strcmp(what, "echo") == 0 && argc == 4)
		echo(argv[2], atof(argv[3]));
	else
		die("usage", "see the top of flood.c");
	return 0;
}
