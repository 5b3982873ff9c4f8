/* qmp: talks to a QEMU monitor from the shell.
 *
 *     qmp [-t SECONDS] [-e EVENT] SOCKET [JSON]...
 *
 * Sends each command once the one before it has been answered, and prints the answers, a line each.
 * With -e it then waits for that event (any event that came since the connection counts) and prints
 * it. Ends with 1 and the monitor's own words at the first error, with 2 when the time (10 s) is up
 * or the monitor hangs up. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int fd;
static double deadline;
static const char *event;
static char *event_line;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "qmp: %s: %s\n", what, why);
	exit(2);
}

/* The next line, allocated. */
static char *read_line(const char *waiting_for)
{
	static char *buf;
	static size_t len, cap;
	for (;;) {
		char *nl = len ? memchr(buf, '\n', len) : NULL;
		if (nl) {
			size_t n = (size_t)(nl - buf);
			char *line = strndup(buf, n && buf[n - 1] == '\r' ? n - 1 : n);
			len -= n + 1;
			memmove(buf, nl + 1, len);
			return line;
		}
		if (len == cap) {
			cap = cap ? cap * 2 : 65536;
			buf = realloc(buf, cap);
			if (!buf)
				die("memory", "none left");
		}
		double left = deadline - now();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (left <= 0 || poll(&p, 1, (int)(left * 1000) + 1) == 0)
			die(waiting_for, "no answer in time");
		ssize_t n = read(fd, buf + len, cap - len);
		if (n <= 0)
			die(waiting_for, n ? strerror(errno) : "the monitor hung up");
		len += (size_t)n;
	}
}

static void note_event(char *line)
{
	char want[128];
	snprintf(want, sizeof want, "\"event\": \"%s\"", event ? event : "");
	if (event && !event_line && strstr(line, want))
		event_line = line;
	else
		free(line);
}

static void command(const char *json, int print)
{
	for (size_t off = 0, n = strlen(json); off < n;) {
		ssize_t w = write(fd, json + off, n - off);
		if (w <= 0)
			die(json, strerror(errno));
		off += (size_t)w;
	}
	for (;;) {
		char *line = read_line(json);
		if (strncmp(line, "{\"timestamp\"", 12) == 0) {
			note_event(line);
			continue;
		}
		if (strncmp(line, "{\"error\"", 8) == 0) {
			fprintf(stderr, "qmp: %s: %s\n", json, line);
			exit(1);
		}
		if (print)
			puts(line);
		free(line);
		return;
	}
}

int main(int argc, char **argv)
{
	double seconds = 10;
	int c;
	while ((c = getopt(argc, argv, "t:e:")) != -1) {
		if (c == 't')
			seconds = atof(optarg);
		else if (c == 'e')
			event = optarg;
		else
			return 2;
	}
	if (optind >= argc)
		die("usage", "qmp [-t SECONDS] [-e EVENT] SOCKET [JSON]...");
	deadline = now() + seconds;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (strlen(argv[optind]) >= sizeof a.sun_path)
		die(argv[optind], "the path is too long for a socket");
	strcpy(a.sun_path, argv[optind]);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	while (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
		if (errno != EAGAIN || now() > deadline)
			die(argv[optind], strerror(errno));
		usleep(10000);
	}
	free(read_line("greeting"));
	command("{\"execute\":\"qmp_capabilities\"}", 0);
	for (int i = optind + 1; i < argc; i++)
		command(argv[i], 1);
	while (event && !event_line) {
		char *line = read_line(event);
		if (strncmp(line, "{\"timestamp\"", 12) == 0)
			note_event(line);
		else
			free(line);
	}
	if (event_line)
		puts(event_line);
	return 0;
}
