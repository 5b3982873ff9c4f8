/* echo: how long a small word takes there and back.
 *
 *     echo serve SOCKET           takes connections and says back what it hears
 *     echo pour SOCKET            takes connections and says as much as each takes
 *     echo ping SOCKET SECONDS    sends 16 bytes, waits for them, and again after 5 ms; prints
 *                                 "COUNT P50 P99 MAX", times in microseconds
 *
 * ping ends with 1 when the other side goes, or does not answer within SECONDS and 30 more. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { WORD = 16, TRIES_MAX = 100000, CLIENTS_MAX = 8192, PAUSE_US = 5000, PATIENCE_MS = 30000 };

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static struct sockaddr_un at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return a;
}

static int serve(const char *path, int pours)
{
	static struct pollfd fds[CLIENTS_MAX];
	static char buf[65536];
	struct sockaddr_un a = at(path);
	nfds_t n = 1;

	fds[0] = (struct pollfd){.fd = socket(AF_UNIX, SOCK_STREAM, 0), .events = POLLIN};
	if (bind(fds[0].fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fds[0].fd, 1024) < 0) {
		perror("echo");
		return 1;
	}
	for (;;) {
		poll(fds, n, -1);
		for (nfds_t i = n - 1; i > 0; i--) {
			ssize_t got = 1;

			if (!fds[i].revents)
				continue;
			if (pours && fds[i].revents & POLLOUT)
				got =
				    send(fds[i].fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
			else if ((got = recv(fds[i].fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
				got = send(fds[i].fd, buf, (size_t)got, MSG_NOSIGNAL);
			if (got > 0 || (got < 0 && errno == EAGAIN))
				continue;
			close(fds[i].fd);
			fds[i] = fds[--n];
		}
		if (fds[0].revents && n < CLIENTS_MAX)
			fds[n++] = (struct pollfd){.fd = accept(fds[0].fd, NULL, NULL),
						   .events = pours ? POLLOUT : POLLIN};
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int ping(const char *path, double seconds)
{
	static uint64_t took[TRIES_MAX];
	struct sockaddr_un a = at(path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	uint64_t until = now_us() + (uint64_t)(seconds * 1e6);
	size_t n = 0;

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		perror("echo: connect");
		return 1;
	}
	while (now_us() < until && n < TRIES_MAX) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t began = now_us();
		char word[WORD] = {0};
		size_t have = 0;

		if (send(fd, word, sizeof(word), MSG_NOSIGNAL) != sizeof(word))
			return 1;
		while (have < sizeof(word)) {
			ssize_t got = 0;

			if (poll(&p, 1, PATIENCE_MS) <= 0 ||
			    (got = recv(fd, word, sizeof(word) - have, 0)) <= 0) {
				fprintf(stderr, "echo: no answer after %zu\n", n);
				return 1;
			}
			have += (size_t)got;
		}
		took[n++] = now_us() - began;
		usleep(PAUSE_US);
	}
	qsort(took, n, sizeof(took[0]), compare);
	printf("%zu %llu %llu %llu\n", n, (unsigned long long)took[n / 2],
	       (unsigned long long)took[n * 99 / 100], (unsigned long long)took[n - 1]);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2], 0);
	if (argc == 3 && strcmp(argv[1], "pour") == 0)
		return serve(argv[2], 1);
	if (argc == 4 && strcmp(argv[1], "ping") == 0)
		return ping(argv[2], atof(argv[3]));
	fputs("usage: echo serve|pour SOCKET | echo ping SOCKET SECONDS\n", stderr);
	return 2;
}
