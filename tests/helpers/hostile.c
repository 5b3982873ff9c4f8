/* hostile: a peer that means harm, over bare TCP.
 *
 *     hostile HOST PORT WHAT SESSIONS SECONDS [TARGET]
 *
 * Makes SESSIONS sessions from 127.0.0.2, and does to each of them, for SECONDS,
 *
 *   collide   2000 OPENs whose numbers are 2048 apart, which are never acknowledged; then
 *             CREDIT for the first one, without a pause
 *   tiny      the smallest frames that there are, without a pause
 *   stay      the same, and hears nothing: not that the other side ends, either
 *   open      OPENs that are refused, and acknowledged, without a pause: as many at a time as
 *             the other side bears without an ACK
 *   hoard     4 streams to TARGET, which has much to say; with all the credit that they can
 *             have and not one ACK
 *
 * Prints "begun" when all is set up, and at the end how many bytes it sent and
 * got. A session that the other side ends stays so. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 16, HELLO = 1, ACK = 4, CREDIT = 6, OPEN = 16, PONG = 3, BLOCK = 256 * 1024 };
enum { SESSIONS_MAX = 1024, OPENS = 2000, ASKED_MAX = 1500, HOARD_STREAMS = 4, EVERY = 2048 };

struct session {
	int fd;		       /* -1: the other side has ended it */
	uint32_t seq, id;      /* of the next numbered frame, of the next stream */
	unsigned opens;	       /* still to be sent before the flood */
	uint64_t heard, acked; /* numbered frames that came in */
	uint8_t head[HEADER];
	size_t have, skip; /* of the frame that is coming in */
	uint8_t *out;
	size_t len, at; /* of out; what of it has gone */
};

static struct session sessions[SESSIONS_MAX];
static const char *what, *target = "unix:/refused";
static uint64_t sent, got;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
}

static void frame(struct session *s, uint8_t type, uint32_t stream, const void *payload, size_t len)
{
	uint8_t *p = s->out + s->len;

	memset(p, 0, HEADER);
	put32(p, (uint32_t)len);
	p[4] = type;
	put32(p + 8, stream);
	if (type >= OPEN)
		put32(p + 12, s->seq++);
	if (len)
		memcpy(p + HEADER, payload, len);
	s->len += HEADER + len;
}

/* Whether it is still to hear of so many OPENs that one more would end the session. */
static int asks_enough(const struct session *s)
{
	return strcmp(what, "open") == 0 && s->seq - s->heard > ASKED_MAX;
}

static void say_hello(struct session *s)
{
	uint8_t hello[58] = {'A', 'D', 'I', 'T', 0, 1, 0, 1};

	hello[35] = 1;
	put32(hello + 44, UINT32_MAX);
	put32(hello + 48, 4096);
	put32(hello + 52, 600000);
	frame(s, HELLO, 0, hello, sizeof(hello));
}

static void open_stream(struct session *s, uint32_t step)
{
	uint8_t payload[4 + 1024] = {3};
	size_t len = strlen(target);

	payload[3] = (uint8_t)len;
	memcpy(payload + 4, target, len);
	frame(s, OPEN, s->id, payload, 4 + len);
	s->id += step;
}

static void u64_frame(struct session *s, uint8_t type, uint32_t stream, uint64_t v)
{
	uint8_t payload[8];

	put32(payload, (uint32_t)(v >> 32));
	put32(payload + 4, (uint32_t)v);
	frame(s, type, stream, payload, sizeof(payload));
}

/* The next block of what is to be said; none when there is nothing (any more). */
static void fill(struct session *s)
{
	int collide = strcmp(what, "collide") == 0, hoard = strcmp(what, "hoard") == 0;

	s->len = s->at = 0;
	if (s->opens) {
		while (s->opens && s->len < BLOCK) {
			s->opens--;
			open_stream(s, collide ? EVERY : 2);
			if (hoard)
				u64_frame(s, CREDIT, s->id - 2, UINT64_MAX / 2);
		}
		return;
	}
	if (hoard)
		return;
	while (s->len < BLOCK) {
		if (strcmp(what, "open") == 0) {
			if (s->acked != s->heard)
				u64_frame(s, ACK, 0, s->acked = s->heard);
			for (int i = 0; i < 100 && !asks_enough(s); i++)
				open_stream(s, 2);
			return;
		}
		u64_frame(s, collide ? CREDIT : PONG, collide ? 1 : 0,
			  collide ? UINT64_MAX / 2 : UINT64_MAX);
	}
}

/* Takes what came in, and looks at the heads of the frames only. */
static void hear(struct session *s, const uint8_t *data, size_t len)
{
	got += len;
	while (len) {
		size_t n = s->skip ? s->skip : HEADER - s->have;

		if (n > len)
			n = len;
		if (s->skip) {
			s->skip -= n;
		} else {
			memcpy(s->head + s->have, data, n);
			s->have += n;
			if (s->have == HEADER) {
				uint32_t size;

				memcpy(&size, s->head, 4);
				s->skip = ntohl(size);
				s->have = 0;
				s->heard += s->head[4] >= OPEN && s->head[4] < 64;
			}
		}
		data += n;
		len -= n;
	}
}

static void end(struct session *s)
{
	close(s->fd);
	s->fd = -1;
}

static void turn(struct session *s)
{
	static uint8_t buf[BLOCK];
	ssize_t n;

	/* One that floods reads, too: else the other side would only fill its socket. */
	n = -1;
	errno = EAGAIN;
	while (strcmp(what, "stay") != 0 && (n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		hear(s, buf, (size_t)n);
	if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		end(s);
		return;
	}
	if (s->at == s->len)
		fill(s);
	if (s->at == s->len)
		return;
	n = send(s->fd, s->out + s->at, s->len - s->at, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0) {
		s->at += (size_t)n;
		sent += (uint64_t)n;
	} else if (errno != EAGAIN && errno != EINTR) {
		end(s);
	}
}

static int connect_to(const char *host, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	/* A peer of its own: over bare TCP its name is its address. */
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK + 1)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (inet_pton(AF_INET, host, &to.sin_addr) != 1 ||
	    bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("hostile: connect");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static struct pollfd fds[SESSIONS_MAX];
	double until;
	int count, left;

	if (argc < 6 || (count = atoi(argv[4])) < 1 || count > SESSIONS_MAX) {
		fputs("usage: hostile HOST PORT WHAT SESSIONS SECONDS [TARGET]\n", stderr);
		return 2;
	}
	what = argv[3];
	if (argc > 6)
		target = argv[6];
	until = now() + atof(argv[5]);
	for (int i = 0; i < count; i++) {
		struct session *s = &sessions[i];

		*s = (struct session){.fd = connect_to(argv[1], argv[2]), .id = 1};
		s->opens = strcmp(what, "collide") == 0 ? OPENS
			   : strcmp(what, "hoard") == 0 ? HOARD_STREAMS
							: 0;
		s->out = malloc(BLOCK + 65536 * 4);
		if (!s->out)
			return 1;
		say_hello(s);
	}
	puts("begun");
	fflush(stdout);
	do {
		double rest = until - now();

		left = 0;
		for (int i = 0; i < count; i++) {
			struct session *s = &sessions[i];

			fds[i] = (struct pollfd){.fd = s->fd, .events = POLLIN};
			if (s->at < s->len || s->opens ||
			    (strcmp(what, "hoard") != 0 && !asks_enough(s)))
				fds[i].events |= POLLOUT;
			left += s->fd >= 0;
		}
		if (!left || rest <= 0)
			break;
		poll(fds, (nfds_t)count, (int)(rest * 1000) + 1);
		for (int i = 0; i < count; i++)
			if (fds[i].revents && sessions[i].fd >= 0)
				turn(&sessions[i]);
	} while (1);
	printf("sent %llu got %llu left %d of %d\n", (unsigned long long)sent,
	       (unsigned long long)got, left, count);
	return 0;
}
