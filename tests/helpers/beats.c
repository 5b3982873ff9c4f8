/* beats: when did a guest write to its serial port?
 *
 *     beats PATTERN...
 *
 * Each PATTERN (as a shell would expand it) names logs that QEMU writes what a guest says to; they
 * may come later. Prints a line for each time that one has grown: the time in microseconds and its
 * path. The kernel tells of it (inotify); only new files are looked for, every 20 ms. Ends at
 * SIGTERM. */
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "until_term.h"

enum { FILES_MAX = 256, LOOK_MS = 20 };

static char *paths[FILES_MAX]; /* by watch descriptor */

static void look_for(int fd, const char *pattern)
{
	glob_t g;
	if (glob(pattern, 0, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		/* (one that is watched already keeps its number) */
		int wd = inotify_add_watch(fd, g.gl_pathv[i], IN_MODIFY);
		if (wd >= 0 && wd < FILES_MAX && !paths[wd])
			paths[wd] = strdup(g.gl_pathv[i]);
	}
	globfree(&g);
}

int main(int argc, char **argv)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	long long next = 0;

	until_term();
	while (fd >= 0 && !over) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		_Alignas(struct inotify_event) char buf[8192];
		ssize_t n;

		if (now_us() >= next) {
			for (int i = 1; i < argc; i++)
				look_for(fd, argv[i]);
			next = now_us() + LOOK_MS * 1000;
		}
		poll(&p, 1, LOOK_MS);
		n = read(fd, buf, sizeof buf);
		long long at = now_us();
		for (char *e = buf; n > 0 && e < buf + n;) {
			struct inotify_event *event = (struct inotify_event *)e;
			if (event->wd >= 0 && event->wd < FILES_MAX && paths[event->wd])
				printf("%lld %s\n", at, paths[event->wd]);
			e += sizeof *event + event->len;
		}
	}
	return fd < 0;
}
