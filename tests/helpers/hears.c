/* hears: waits for what a guest says, in the log of its serial port.
 *
 *     hears [-b] [-n COUNT] [-w SECONDS] FILE FROM REGEX
 *
 * FILE is looked at, again every 10 ms for SECONDS (0: once), until COUNT (1) lines after its first
 * FROM match REGEX (extended). Prints the last of them and ends with 0; with 1 where there are
 * none. -b: a line with BAD, wherever in FILE, ends it with 2 and is printed from there on, unless
 * what is waited for is there too. A line counts once it is whole: what is still being printed may
 * match now and no more in a moment. FILE may come later.
 *
 * In C and not in the shell, since each look there costs half a dozen processes, and with two
 * processors those were half of what the tests took. */
#include <err.h>
#include <fcntl.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 10, FOUND = 0, NONE = 1, BAD = 2, MISUSE = 3 };

struct hears {
	const char *path;
	regex_t regex;
	long from, count;
	int fd;
	char *line; /* what has come of one that is not whole yet */
	size_t len, room;
	long number, matched;
	char *last, *bad;
};

static void take_line(struct hears *h)
{
	char *bad;
	while (h->len > 0 && h->line[h->len - 1] == '\r')
		h->len--;
	h->line[h->len] = '\0';
	if (++h->number > h->from && regexec(&h->regex, h->line, 0, NULL, 0) == 0) {
		h->matched++;
		free(h->last);
		h->last = strdup(h->line);
	}
	bad = strstr(h->line, "BAD");
	if (bad && !h->bad)
		h->bad = strdup(bad);
	h->len = 0;
}

static void take(struct hears *h, char c)
{
	if (h->len + 2 > h->room) {
		h->room = h->room ? 2 * h->room : 256;
		h->line = realloc(h->line, h->room);
		if (!h->line)
			err(MISUSE, "%s", h->path);
	}
	if (c == '\n')
		take_line(h);
	else if (c != '\0')
		h->line[h->len++] = c;
}

static void read_on(struct hears *h)
{
	char buf[65536];
	ssize_t n;
	if (h->fd < 0)
		h->fd = open(h->path, O_RDONLY | O_CLOEXEC);
	while (h->fd >= 0 && (n = read(h->fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++)
			take(h, buf[i]);
}

static long long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	struct hears h = {.fd = -1, .count = 1};
	bool good = false;
	double seconds = 0;
	long long end;
	int c;
	while ((c = getopt(argc, argv, "+bn:w:")) != -1) {
		if (c == 'b')
			good = true;
		else if (c == 'n')
			h.count = atol(optarg);
		else if (c == 'w')
			seconds = atof(optarg);
		else
			return MISUSE;
	}
	if (argc - optind != 3 ||
	    regcomp(&h.regex, argv[optind + 2], REG_EXTENDED | REG_NOSUB) != 0)
		errx(MISUSE, "hears [-b] [-n COUNT] [-w SECONDS] FILE FROM REGEX");
	h.path = argv[optind];
	h.from = atol(argv[optind + 1]);
	end = now_ms() + (long long)(seconds * 1000);
	for (;;) {
		read_on(&h);
		if (h.matched >= h.count) {
			puts(h.last ? h.last : "");
			return FOUND;
		}
		if (good && h.bad) {
			puts(h.bad);
			return BAD;
		}
		if (now_ms() >= end)
			return NONE;
		nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
	}
}
