/* The protocol of sd_listen_fds(3), without its library: see activation.h. */
#include "base/activation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

enum { FIRST = 3 }; /* SD_LISTEN_FDS_START */

/* The value of a variable that is a number, -1 when it is not there or is none. */
static long read_number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n;

	if (!text || !*text)
		return -1;
	errno = 0;
	n = strtol(text, &end, 10);
	return errno || *end || n < 0 ? -1 : n;
}

/* Copies the next of names, which are separated by ':', to s. */
static const char *take_name(struct activation_socket *s, const char *names)
{
	size_t len = strcspn(names, ":");

	if (len)
		snprintf(s->name, sizeof(s->name), "%.*s", (int)len, names);
	else
		snprintf(s->name, sizeof(s->name), "unknown");
	return names + len + (names[len] == ':');
}

static int take(struct activation *a, unsigned count, const char *names, struct err *e)
{
	for (unsigned i = 0; i < count; i++) {
		struct activation_socket *s = &a->at[i];
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);

		names = take_name(s, names);
		s->fd = fd_take_listening(FIRST + (int)i, e);
		if (s->fd < 0) {
			err_prefix(e, "the socket \"%.60s\" of the service manager", s->name);
			return e->code = ERR_CONFIG;
		}
		a->count++;
		if (getsockname(s->fd, (struct sockaddr *)&sa, &len) < 0)
			return err_set_sys(e, errno, "the socket \"%.60s\" of the service manager",
					   s->name);
		s->family = sa.ss_family;
	}
	return 0;
}

int activation_take(struct activation *a, struct err *e)
{
	long pid = read_number("LISTEN_PID"), count = read_number("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	int rc = 0;

	memset(a, 0, sizeof(*a));
	if (pid == (long)getpid() && count > ACTIVATION_MAX)
		rc = err_set(e, ERR_LIMIT,
			     "the service manager hands over %ld sockets, and %d at most are taken",
			     count, ACTIVATION_MAX);
	else if (pid == (long)getpid() && count > 0)
		rc = take(a, (unsigned)count, names ? names : "", e);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (rc < 0)
		activation_fini(a);
	return rc;
}

int activation_claim(struct activation *a, int is_unix)
{
	for (unsigned i = 0; i < a->count; i++) {
		int fd = a->at[i].fd;

		if (fd < 0 || (a->at[i].family == AF_UNIX) != !!is_unix)
			continue;
		a->at[i].fd = -1;
		return fd;
	}
	return -1;
}

void activation_fini(struct activation *a)
{
	for (unsigned i = 0; i < a->count; i++)
		fd_close(&a->at[i].fd);
	a->count = 0;
}
