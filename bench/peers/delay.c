/*
 * A long path where the kernel has no netem: a TCP relay that holds every byte for a
 * time, each way.
 *
 *   delay LISTEN-PORT TO-PORT MS     both ports on 127.0.0.1; MS each way
 *
 * What is under way is bounded by QUEUE bytes each way; ends when it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE = 256 << 20, CHUNK = 256 * 1024, CHUNKS = QUEUE / 4096 };

/* Bytes of one direction, each piece with the time when it is due. */
struct way {
	int from, to;
	uint8_t *data; /* a ring */
	size_t head, len;
	struct piece {
		uint64_t due_us;
		size_t len;
	} * pieces;
	size_t first, count;
	int ended;
};

static uint64_t delay_us;

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void take(struct way *w)
{
	size_t tail = (w->head + w->len) % QUEUE, room = QUEUE - w->len;
	struct piece *p = &w->pieces[(w->first + w->count) % CHUNKS];
	ssize_t n;

	if (room > QUEUE - tail)
		room = QUEUE - tail;
	if (room > CHUNK)
		room = CHUNK;
	if (!room || w->count == CHUNKS || w->ended)
		return;
	n = recv(w->from, w->data + tail, room, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		w->ended = 1;
		return;
	}
	w->len += (size_t)n;
	*p = (struct piece){now_us() + delay_us, (size_t)n};
	w->count++;
}

/* What a direction waits for: microseconds until the next piece is due, or one of these. */
enum { NOTHING = -1, ROOM = -2, BROKEN = -3 };

static int64_t give(struct way *w)
{
	while (w->count) {
		struct piece *p = &w->pieces[w->first];
		uint64_t now = now_us();
		ssize_t n;

		if (p->due_us > now)
			return (int64_t)(p->due_us - now);
		n = p->len > QUEUE - w->head ? (ssize_t)(QUEUE - w->head) : (ssize_t)p->len;
		n = send(w->to, w->data + w->head, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN ? ROOM : BROKEN;
		w->head = (w->head + (size_t)n) % QUEUE;
		w->len -= (size_t)n;
		p->len -= (size_t)n;
		if (!p->len) {
			w->first = (w->first + 1) % CHUNKS;
			w->count--;
		}
	}
	if (w->ended == 1) {
		w->ended = 2;
		shutdown(w->to, SHUT_WR);
	}
	return NOTHING;
}

static void serve(int a, int b)
{
	struct way ways[2] = {{.from = a, .to = b}, {.from = b, .to = a}};

	for (int i = 0; i < 2; i++) {
		ways[i].data = malloc(QUEUE);
		ways[i].pieces = calloc(CHUNKS, sizeof(struct piece));
		if (!ways[i].data || !ways[i].pieces)
			return;
	}
	while (ways[0].ended < 2 || ways[1].ended < 2) {
		struct pollfd p[2] = {{.fd = a}, {.fd = b}};
		struct timespec wait;
		int64_t least = 1000000;

		for (int i = 0; i < 2; i++) {
			int64_t us = give(&ways[i]);

			/* Nobody takes what is held: all there is to do is to let go. */
			if (us == BROKEN)
				return;
			if (us >= 0 && us < least)
				least = us;
			if (!ways[i].ended && ways[i].len < QUEUE && ways[i].count < CHUNKS)
				p[i].events |= POLLIN;
			if (us == ROOM)
				p[1 - i].events |= POLLOUT;
		}
		/* poll tells of one that was reset for ever, wanted or not. */
		for (int i = 0; i < 2; i++)
			if (!p[i].events)
				p[i].fd = -1;
		wait = (struct timespec){least / 1000000, least % 1000000 * 1000};
		if (ppoll(p, 2, &wait, NULL) < 0)
			return;
		for (int i = 0; i < 2; i++)
			if (p[i].revents & (POLLIN | POLLHUP | POLLERR))
				take(&ways[i]);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (argc != 4) {
		fprintf(stderr, "usage: delay LISTEN-PORT TO-PORT MS\n");
		return 2;
	}
	delay_us = strtoull(argv[3], NULL, 10) * 1000;
	signal(SIGCHLD, SIG_IGN);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	sa.sin_port = htons((uint16_t)atoi(argv[1]));
	if (bind(l, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(l, 16) < 0) {
		perror("delay");
		return 1;
	}
	sa.sin_port = htons((uint16_t)atoi(argv[2]));
	for (;;) {
		int a = accept(l, NULL, NULL), b;

		if (a < 0)
			continue;
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			b = socket(AF_INET, SOCK_STREAM, 0);
			setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			setsockopt(b, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			if (connect(b, (struct sockaddr *)&sa, sizeof(sa)) == 0)
				serve(a, b);
			_exit(0);
		}
		close(a);
	}
}
