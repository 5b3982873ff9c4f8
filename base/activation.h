/* Listening sockets that a service manager hands to a program it starts (sd_listen_fds(3)). */
#ifndef ADIT_BASE_ACTIVATION_H
#define ADIT_BASE_ACTIVATION_H

#include <sys/socket.h>

#include "base/err.h"

enum { ACTIVATION_MAX = 16, ACTIVATION_NAME_MAX = 256 };

struct activation_socket {
	int fd; /* -1 once it was claimed */
	sa_family_t family;
	char name[ACTIVATION_NAME_MAX]; /* FileDescriptorName=; "unknown" where there is none */
};

/* Embedded; zeroed has none. */
struct activation {
	unsigned count;
	struct activation_socket at[ACTIVATION_MAX];
};

/* Takes the sockets that $LISTEN_FDS tells of, when $LISTEN_PID is this process, as
 * fd_take_listening does, and takes those variables out of the environment, so that no child
 * believes that they are meant for it. None is no error. ERR_CONFIG when one is not a listening
 * unix or TCP socket, ERR_LIMIT when there are more than ACTIVATION_MAX; then none is kept. */
int activation_take(struct activation *a, struct err *e);

/* The next unix (is_unix) or TCP socket: the caller's from now on. -1 when there is none left. */
int activation_claim(struct activation *a, int is_unix);

/* Closes what nobody has claimed. */
void activation_fini(struct activation *a);

#endif
