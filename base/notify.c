/* The protocol of sd_notify(3), without its library: see notify.h. */
#include "base/notify.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

/* $WATCHDOG_USEC in milliseconds; 0 when there is none, or it is for another process. */
static unsigned read_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	char *end;
	unsigned long long v;

	if (!usec || !*usec || (pid && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	errno = 0;
	v = strtoull(usec, &end, 10) / 1000;
	return errno || *end || usec[0] == '-' || v > UINT_MAX ? 0 : (unsigned)v;
}

void notify_init(struct notify *n)
{
	const char *to = getenv("NOTIFY_SOCKET");
	size_t len = to ? strlen(to) : 0;

	memset(n, 0, sizeof(*n));
	n->fd = -1;
	if (len > 1 && len < sizeof(n->to.sun_path) && (to[0] == '/' || to[0] == '@')) {
		n->to.sun_family = AF_UNIX;
		memcpy(n->to.sun_path, to, len);
		if (to[0] == '@')
			n->to.sun_path[0] = '\0';
		n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
		n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		n->wanted = n->fd >= 0;
	}
	if (n->wanted)
		n->watchdog_ms = read_watchdog();
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

int notify_send(const struct notify *n, const char *fmt, ...)
{
	char words[1024];
	va_list ap;
	int len;

	if (!n->wanted)
		return 0;
	va_start(ap, fmt);
	len = vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof(words))
		return -1;
	return sendto(n->fd, words, (size_t)len, MSG_NOSIGNAL, (const struct sockaddr *)&n->to,
		      n->to_len) == len
		   ? 0
		   : -1;
}

void notify_fini(struct notify *n)
{
	if (n->wanted)
		fd_close(&n->fd);
	n->wanted = 0;
}
