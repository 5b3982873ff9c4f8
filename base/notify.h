/* Word to the service manager of how this program does (sd_notify(3), sd_watchdog_enabled(3)). */
#ifndef ADIT_BASE_NOTIFY_H
#define ADIT_BASE_NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

/* Embedded; zeroed is one that nobody listens to. */
struct notify {
	int wanted; /* there is a manager that listens */
	int fd;
	struct sockaddr_un to;
	socklen_t to_len;
	unsigned watchdog_ms; /* it wants to hear from us so often; 0: it does not */
};

/* Reads $NOTIFY_SOCKET (a path, or @NAME in the abstract namespace), $WATCHDOG_USEC and
 * $WATCHDOG_PID, and takes them out of the environment, so that no child speaks in our name.
 * A manager that cannot be spoken to is none. */
void notify_init(struct notify *n);

/* Sends words, lines of NAME=VALUE, in one datagram. Never waits: -1 when it could not be sent
 * now. 0 also where nobody listens. */
int notify_send(const struct notify *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void notify_fini(struct notify *n);

#endif
