/*
 * The load of a comparison: a generator, a sink and an echo over unix sockets,
 * so that every tunnel between them gets the same bytes from the same program.
 *
 *   load sink SOCKET                    serves until it is killed
 *   load run SOCKET BYTES [STREAMS]     sends, waits for the sink's count, and
 *                                       echoes small messages beside it
 *
 * run prints one line: bytes, seconds, p50_us and p99_us of the small messages
 * while the bulk was under way, and how many there were. The first byte of a
 * connection says what it is for: B bulk, E echo.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, SAMPLES_MAX = 200000, MESSAGE = 64, EVERY_US = 2000 };

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	return sa;
}

static void write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno != EINTR)
			die("write");
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

static int read_all(int fd, void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int dial(const char *path, char kind)
{
	struct sockaddr_un sa = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		die(path);
	write_all(fd, &kind, 1);
	return fd;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char kind, *buf = malloc(CHUNK);
	uint64_t count = 0;
	ssize_t n;

	if (!buf)
		die("memory");
	if (read_all(fd, &kind, 1) < 0)
		goto out;
	if (kind == 'E') {
		while (read_all(fd, buf, MESSAGE) == 0)
			write_all(fd, buf, MESSAGE);
		goto out;
	}
	while ((n = read(fd, buf, CHUNK)) > 0)
		count += (uint64_t)n;
	write_all(fd, &count, sizeof(count));
out:
	close(fd);
	free(buf);
	return NULL;
}

static void sink(const char *path)
{
	struct sockaddr_un sa = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 100) < 0)
		die(path);
	for (;;) {
		int c = accept(fd, NULL, NULL);
		pthread_t t;

		if (c < 0)
			die("accept");
		if (pthread_create(&t, NULL, serve, (void *)(intptr_t)c))
			die("thread");
		pthread_detach(t);
	}
}

static const char *target;
static uint64_t bytes_each;
static atomic_int running;
static double samples[SAMPLES_MAX];
static size_t sample_count;

static void *bulk(void *arg)
{
	int fd = dial(target, 'B');
	char *buf = malloc(CHUNK);
	uint64_t left = bytes_each, got;

	(void)arg;
	if (!buf)
		die("memory");
	for (size_t i = 0; i < CHUNK; i++)
		buf[i] = (char)(i * 2654435761u >> 13);
	while (left) {
		size_t n = left < CHUNK ? (size_t)left : CHUNK;

		write_all(fd, buf, n);
		left -= n;
	}
	shutdown(fd, SHUT_WR);
	if (read_all(fd, &got, sizeof(got)) < 0 || got != bytes_each) {
		fprintf(stderr, "load: the sink did not get it all\n");
		exit(1);
	}
	close(fd);
	free(buf);
	return NULL;
}

static void *small(void *arg)
{
	int fd = dial(target, 'E');
	char message[MESSAGE] = "small";

	(void)arg;
	while (atomic_load(&running) && sample_count < SAMPLES_MAX) {
		double from = now();

		write_all(fd, message, sizeof(message));
		if (read_all(fd, message, sizeof(message)) < 0)
			die("echo");
		samples[sample_count++] = now() - from;
		usleep(EVERY_US);
	}
	close(fd);
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void run(uint64_t bytes, unsigned streams)
{
	pthread_t t[64], echo;
	double from, took;

	if (!streams || streams > 64 || bytes < streams) {
		fprintf(stderr, "load: 1 to 64 streams\n");
		exit(2);
	}
	bytes_each = bytes / streams;
	atomic_store(&running, 1);
	from = now();
	for (unsigned i = 0; i < streams; i++)
		if (pthread_create(&t[i], NULL, bulk, NULL))
			die("thread");
	if (pthread_create(&echo, NULL, small, NULL))
		die("thread");
	for (unsigned i = 0; i < streams; i++)
		pthread_join(t[i], NULL);
	took = now() - from;
	atomic_store(&running, 0);
	pthread_join(echo, NULL);
	qsort(samples, sample_count, sizeof(*samples), by_value);
	printf("bytes=%llu seconds=%.4f p50_us=%.0f p99_us=%.0f messages=%zu\n",
	       (unsigned long long)(bytes_each * streams), took,
	       sample_count ? samples[sample_count / 2] * 1e6 : 0,
	       sample_count ? samples[sample_count * 99 / 100] * 1e6 : 0, sample_count);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "sink") == 0) {
		sink(argv[2]);
	} else if ((argc == 4 || argc == 5) && strcmp(argv[1], "run") == 0) {
		target = argv[2];
		run(strtoull(argv[3], NULL, 10), argc == 5 ? (unsigned)atoi(argv[4]) : 1);
	} else {
		fprintf(stderr, "usage: load sink SOCKET | load run SOCKET BYTES [STREAMS]\n");
		return 2;
	}
	return 0;
}
