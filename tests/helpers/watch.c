/* watch: sees that never two of some QEMUs run.
 *
 *     watch [-i MILLISECONDS] NAME=PATTERN...
 *
 * Each PATTERN (as a shell would expand it) is the path of a monitor that is the watcher's own; it
 * may come later, and go. Every MILLISECONDS (50) each monitor that is there is asked for its
 * status; and their STOP and RESUME events, which carry QEMU's own time, say when exactly the guest
 * ran. Prints a line for each change: the time in microseconds, the name, and "runs", "stands" or
 * "gone". At SIGTERM it prints how often it looked and ends with 0. Where two ran at one moment it
 * says when at once, and ends with 3 in the end. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "until_term.h"

enum { SIDES_MAX = 4, BUF = 65536 };

struct side {
	const char *name, *pattern;
	int fd; /* -1: none */
	int ready, asked;
	int runs, known;
	long long since, until; /* of the present run, of the end of the last one */
	long long answered;	/* when it last answered "running"; 0: it did not */
	char buf[BUF];
	size_t len;
};

static struct side sides[SIDES_MAX];
static int count, two_ran;

static void two(const struct side *a, const struct side *b, long long at, const char *how)
{
	two_ran = 1;
	printf("%lld TWO RUN: %s and %s (%s)\n", at, a->name, b->name, how);
}

static void begin(struct side *s, long long at)
{
	if (s->known && s->runs)
		return;
	s->known = s->runs = 1;
	s->since = at;
	printf("%lld %s runs\n", at, s->name);
	for (int i = 0; i < count; i++)
		if (&sides[i] != s && sides[i].until > at)
			two(s, &sides[i], at, "events");
}

/* at: when it stood still for sure, 0 when that is not known (it was killed) */
static void end(struct side *s, long long at, const char *how)
{
	if (s->known && !s->runs && strcmp(how, "stands") == 0)
		return;
	if (s->runs && at) {
		s->until = at;
		for (int i = 0; i < count; i++)
			if (&sides[i] != s && sides[i].runs && sides[i].since < at)
				two(s, &sides[i], at, "events");
	}
	s->known = 1;
	s->runs = 0;
	s->answered = 0;
	printf("%lld %s %s\n", at ? at : now_us(), s->name, how);
}

static void hang_up(struct side *s)
{
	close(s->fd);
	s->fd = -1;
	s->ready = s->asked = 0;
	s->len = 0;
	end(s, 0, "gone");
	s->known = 0;
}

static void say(struct side *s, const char *what)
{
	size_t len = strlen(what);
	if (send(s->fd, what, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		hang_up(s);
}

static void take_line(struct side *s, const char *line)
{
	long long seconds, us;
	if (strstr(line, "\"QMP\":")) {
		say(s, "{\"execute\":\"qmp_capabilities\"}");
	} else if (sscanf(line, "{\"timestamp\": {\"seconds\": %lld, \"microseconds\": %lld}",
			  &seconds, &us) == 2) {
		us += seconds * 1000000LL;
		if (strstr(line, "\"event\": \"RESUME\""))
			begin(s, us);
		else if (strstr(line, "\"event\": \"STOP\"") ||
			 strstr(line, "\"event\": \"SHUTDOWN\""))
			end(s, us, "stands");
	} else if (strncmp(line, "{\"return\"", 9) == 0 && !s->ready) {
		s->ready = s->asked = 1;
		say(s, "{\"execute\":\"query-status\"}");
	} else if (strncmp(line, "{\"return\"", 9) == 0) {
		s->asked = 0;
		s->answered = 0;
		if (strstr(line, "\"running\": true")) {
			begin(s, now_us());
			s->answered = now_us();
		} else if (!s->known) {
			s->known = 1;
			printf("%lld %s stands\n", now_us(), s->name);
		}
	}
}

static void take(struct side *s)
{
	for (;;) {
		ssize_t n = recv(s->fd, s->buf + s->len, BUF - 1 - s->len, MSG_DONTWAIT);
		char *nl;
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			hang_up(s);
			return;
		}
		s->len += (size_t)n;
		s->buf[s->len] = 0;
		while ((nl = memchr(s->buf, '\n', s->len)) != NULL) {
			*nl = 0;
			take_line(s, s->buf);
			if (s->fd < 0)
				return;
			s->len -= (size_t)(nl + 1 - s->buf);
			memmove(s->buf, nl + 1, s->len + 1);
		}
	}
}

static void find(struct side *s)
{
	glob_t g;
	if (glob(s->pattern, 0, NULL, &g) == 0) {
		for (size_t i = 0; i < g.gl_pathc && s->fd < 0; i++) {
			struct sockaddr_un a = {.sun_family = AF_UNIX};
			if (strlen(g.gl_pathv[i]) >= sizeof a.sun_path)
				continue;
			strcpy(a.sun_path, g.gl_pathv[i]);
			s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
			if (connect(s->fd, (struct sockaddr *)&a, sizeof a) < 0) {
				close(s->fd);
				s->fd = -1;
			}
		}
		globfree(&g);
	}
}

/* Both said within a few milliseconds that they run: a late answer of a busy one does not count,
 * since the next look tells. */
static void compare(void)
{
	for (int i = 0; i < count; i++)
		for (int k = 0; k < i; k++)
			if (sides[i].answered && sides[k].answered &&
			    llabs(sides[i].answered - sides[k].answered) < 5000) {
				two(&sides[i], &sides[k], sides[i].answered, "query-status");
				sides[i].answered = 0;
			}
}

int main(int argc, char **argv)
{
	long long interval = 50000, next = 0;
	unsigned long looks = 0;
	int c;

	while ((c = getopt(argc, argv, "i:")) != -1) {
		if (c != 'i')
			return 2;
		interval = atoll(optarg) * 1000;
	}
	for (; optind < argc && count < SIDES_MAX; optind++, count++) {
		char *equals = strchr(argv[optind], '=');
		if (!equals)
			return 2;
		*equals = 0;
		sides[count].name = argv[optind];
		sides[count].pattern = equals + 1;
		sides[count].fd = -1;
	}
	until_term();
	while (!over) {
		struct pollfd p[SIDES_MAX];
		long long left = next - now_us();

		if (left <= 0) {
			int seen = 0;
			for (int i = 0; i < count; i++) {
				struct side *s = &sides[i];
				if (s->fd < 0)
					find(s);
				if (s->fd >= 0 && s->ready && !s->asked) {
					s->asked = 1;
					s->answered = 0;
					say(s, "{\"execute\":\"query-status\"}");
					seen++;
				}
			}
			looks += seen > 0;
			next = now_us() + interval;
			continue;
		}
		for (int i = 0; i < count; i++)
			p[i] = (struct pollfd){.fd = sides[i].fd, .events = POLLIN};
		if (poll(p, (nfds_t)count, (int)(left / 1000) + 1) <= 0)
			continue;
		for (int i = 0; i < count; i++)
			if (sides[i].fd >= 0 && p[i].revents)
				take(&sides[i]);
		compare();
	}
	printf("%lld looked %lu times\n", now_us(), looks);
	return two_ran ? 3 : 0;
}
