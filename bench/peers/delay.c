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

/* Milliseconds until the next piece is due, 0 when the receiver is full, -1 for none. */
static int give(struct way *w)
{
	while (w->count) {
		struct piece *p = &w->pieces[w->first];
		uint64_t now = now_us();
		ssize_t n;

		if (p->due_us > now)
			return (int)((p->due_us - now) / 1000);
		n = p->len > QUEUE - w->head ? (ssize_t)(QUEUE - w->head) : (ssize_t)p->len;
		n = send(w->to, w->data + w->head, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
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
	return -1;
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
		struct pollfd p[2] = {{.fd = ways[0].from}, {.fd = ways[1].from}};
		struct timespec wait;
		int ms[2], least = 1000;

		for (int i = 0; i < 2; i++) {
			ms[i] = give(&ways[i]);
			if (ms[i] >= 0 && ms[i] < least)
				least = ms[i];
			if (!ways[i].ended && ways[i].len < QUEUE)
				p[i].events |= POLLIN;
			if (ways[i].count && ms[i] == 0)
				p[1 - i].events |= POLLOUT;
		}
		wait = (struct timespec){least / 1000, least % 1000 * 1000000L + 200000};
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
