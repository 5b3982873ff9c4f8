/*
 * Both ends of many connections through a pair of adits, every byte verified.
 *
 *   streams LISTEN CONNECT COUNT BYTES [STALL STALL_BYTES]
 *
 * Listens on the unix socket LISTEN (the target) and makes COUNT connections to
 * the unix socket CONNECT (the forward). Each side of each sends BYTES bytes that
 * only this connection and direction has, half-closes, and checks what it gets,
 * the end included. The target must see the connections in the order in which they
 * were made. Of the first STALL connections the target's side does not
 * read, and the other sends STALL_BYTES, until all others are through: then
 * "stalled SENT" is printed, SENT being the bytes that went in meanwhile, and a
 * line on standard input lets them go on.
 *
 * Exits with 0 when everything arrived and was right.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CHUNK = 65536, CALM_MS = 1500 };

/* A stream of bytes that is told apart from any other: splitmix64 over its key. */
struct pattern {
	uint64_t key, at;
};

struct conn {
	int fd;
	int is_target; /* the target's side: it learns its index from the first 4 bytes */
	uint32_t index;
	unsigned head; /* bytes of the index seen or sent */
	uint8_t head_bytes[4];
	struct pattern out, in;
	uint64_t out_left, in_left;
	int out_ended, in_ended;
	int reading;
	uint32_t serial; /* of the target's side: the how manieth to be accepted */
};

static int epfd;
static uint64_t bytes_each, stall_bytes;
static uint32_t accepted;
static uint32_t count, stall_count;
static uint32_t ended, ended_stalled;
static uint64_t stalled_sent;
static struct conn **stalled;
static int counting_stalled;

static void die(const struct conn *c, const char *what)
{
	fprintf(stderr, "streams: connection %u, %s side: %s%s%s\n", c ? c->index : 0,
		c && c->is_target ? "target" : "near", what, errno ? ": " : "",
		errno ? strerror(errno) : "");
	exit(1);
}

/* The next n bytes of p; p stays where it is. */
static void pattern_fill(const struct pattern *p, uint8_t *buf, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t at = p->at + i, z;

		if (i == 0 || (at & 7) == 0) {
			z = p->key + (at >> 3) * UINT64_C(0x9e3779b97f4a7c15);
			z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
			z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
			word = z ^ (z >> 31);
		}
		buf[i] = (uint8_t)(word >> (8 * (at & 7)));
	}
}

static void watch(struct conn *c)
{
	struct epoll_event ev = {.data.ptr = c};

	if (c->reading && !c->in_ended)
		ev.events |= EPOLLIN;
	if (!c->out_ended)
		ev.events |= EPOLLOUT;
	if (epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &ev) < 0)
		die(c, "epoll_ctl");
}

static struct conn *add(int fd, int is_target)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};

	if (!c)
		die(NULL, "memory");
	c->fd = fd;
	c->is_target = is_target;
	c->reading = 1;
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		die(c, "epoll_ctl");
	return c;
}

static void know_index(struct conn *c, uint32_t index)
{
	uint64_t near_bytes = index < stall_count ? stall_bytes : bytes_each;

	c->index = index;
	c->out.key = UINT64_C(0x100000001) * (2 * (uint64_t)index + (c->is_target ? 1 : 0) + 7);
	c->in.key = UINT64_C(0x100000001) * (2 * (uint64_t)index + (c->is_target ? 0 : 1) + 7);
	c->out_left = c->is_target ? bytes_each : near_bytes;
	c->in_left = c->is_target ? near_bytes : bytes_each;
}

static void maybe_end(struct conn *c)
{
	if (!c->out_ended || !c->in_ended)
		return;
	epoll_ctl(epfd, EPOLL_CTL_DEL, c->fd, NULL);
	close(c->fd);
	if (c->index < stall_count)
		ended_stalled++;
	else
		ended++;
	free(c);
}

/* Sends what fits; 1 when c may be gone. */
static void do_write(struct conn *c)
{
	static uint8_t buf[CHUNK];

	while (c->out_left) {
		size_t n = c->out_left < CHUNK ? (size_t)c->out_left : CHUNK;
		ssize_t sent;

		pattern_fill(&c->out, buf, n);
		sent = send(c->fd, buf, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0)
			die(c, "send");
		c->out.at += (uint64_t)sent;
		c->out_left -= (uint64_t)sent;
		if (counting_stalled && c->index < stall_count && !c->is_target)
			stalled_sent += (uint64_t)sent;
	}
	if (shutdown(c->fd, SHUT_WR) < 0)
		die(c, "shutdown");
	c->out_ended = 1;
}

static void do_read(struct conn *c)
{
	static uint8_t buf[CHUNK], expected[CHUNK];
	ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
	size_t at = 0;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0)
		die(c, "recv");
	errno = 0;
	if (n == 0) {
		if (c->in_left)
			die(c, "ended too early");
		c->in_ended = 1;
		return;
	}
	while (c->is_target && c->head < 4 && at < (size_t)n) {
		c->head_bytes[c->head++] = buf[at++];
		if (c->head < 4)
			continue;
		know_index(c, (uint32_t)c->head_bytes[0] | (uint32_t)c->head_bytes[1] << 8 |
				  (uint32_t)c->head_bytes[2] << 16 |
				  (uint32_t)c->head_bytes[3] << 24);
		if (c->index != c->serial)
			die(c, "it did not arrive in the order of the connections");
		if (c->index < stall_count && counting_stalled) {
			stalled[c->index] = c;
			c->reading = 0;
		}
	}
	if ((uint64_t)((size_t)n - at) > c->in_left && (!c->is_target || c->head == 4))
		die(c, "more came than was sent");
	pattern_fill(&c->in, expected, (size_t)n - at);
	if (memcmp(buf + at, expected, (size_t)n - at) != 0)
		die(c, "a byte is wrong");
	c->in.at += (size_t)n - at;
	c->in_left -= (size_t)n - at;
}

static int unix_socket(const char *path, int listening)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (fd < 0)
		die(NULL, "socket");
	if (listening ? bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fd, 4096) < 0
		      : connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		die(NULL, path);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die(NULL, "fcntl");
	return fd;
}

static void handle(int listening, const struct epoll_event *ev)
{
	struct conn *c = ev->data.ptr;
	int fd;

	if (!c) {
		while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
			c = add(fd, 1);
			c->index = UINT32_MAX;
			c->serial = accepted++;
		}
		if (errno != EAGAIN)
			die(NULL, "accept");
		return;
	}
	if (c->reading && (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !c->in_ended)
		do_read(c);
	if ((ev->events & EPOLLOUT) && !c->out_ended && (!c->is_target || c->head == 4))
		do_write(c);
	if (c->is_target && c->head < 4) {
		/* Not known yet who it is: nothing to write. */
		struct epoll_event in = {.events = EPOLLIN, .data.ptr = c};

		epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &in);
		return;
	}
	watch(c);
	maybe_end(c);
}

/* Turns the loop until *what is wanted, or nothing happens for calm_ms. */
static void run(int listening, const uint32_t *what, uint32_t wanted, int calm_ms)
{
	struct epoll_event evs[256];
	int n;

	while (!what || *what < wanted) {
		n = epoll_wait(epfd, evs, 256, calm_ms);
		if (n < 0 && errno != EINTR)
			die(NULL, "epoll_wait");
		if (n == 0 && what) {
			errno = 0;
			fprintf(stderr, "streams: nothing moves any more: %u ended, %u wanted\n",
				*what, wanted);
			exit(1);
		}
		if (n == 0)
			return;
		for (int i = 0; i < n; i++)
			handle(listening, &evs[i]);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct rlimit files;
	char line[16];
	int listening;

	if (argc != 5 && argc != 7) {
		fprintf(stderr, "usage: streams LISTEN CONNECT COUNT BYTES [STALL STALL_BYTES]\n");
		return 2;
	}
	count = (uint32_t)strtoul(argv[3], NULL, 0);
	bytes_each = strtoull(argv[4], NULL, 0);
	if (argc == 7) {
		stall_count = (uint32_t)strtoul(argv[5], NULL, 0);
		stall_bytes = strtoull(argv[6], NULL, 0);
		stalled = calloc(stall_count, sizeof(*stalled));
		counting_stalled = 1;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	epfd = epoll_create1(EPOLL_CLOEXEC);
	listening = unix_socket(argv[1], 1);
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, listening, &ev) < 0)
		die(NULL, "epoll_ctl");
	for (uint32_t i = 0; i < count; i++) {
		struct conn *c = add(unix_socket(argv[2], 0), 0);
		uint8_t head[4] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16),
				   (uint8_t)(i >> 24)};

		know_index(c, i);
		if (send(c->fd, head, 4, MSG_NOSIGNAL) != 4)
			die(c, "send");
	}
	/* Two sides each. */
	run(listening, &ended, 2 * (count - stall_count), 30000);
	if (stall_count) {
		run(listening, NULL, 0, CALM_MS);
		printf("stalled %llu\n", (unsigned long long)stalled_sent);
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			return 1;
		counting_stalled = 0;
		for (uint32_t i = 0; i < stall_count; i++) {
			if (!stalled[i])
				die(NULL, "a connection never arrived");
			stalled[i]->reading = 1;
			watch(stalled[i]);
		}
		run(listening, &ended_stalled, 2 * stall_count, 30000);
	}
	unlink(argv[1]);
	return 0;
}
