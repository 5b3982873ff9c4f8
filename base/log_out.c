/*
 * Lines to standard error: see log_out.h. O_NONBLOCK belongs to what is open, which others share
 * (the shell, whoever started us): it is never set there. A socket is written to with a flag of the
 * call's own; a pipe or a terminal is opened once more for the line, so that the flag is only ours.
 * It is not kept open, as standard error may become something else, whose old readers wait for its
 * end. Where it cannot be opened (it is another user's, or no descriptor is left), it is written to
 * when it says that it has room: a pipe has room for a whole line then. A terminal has for a byte,
 * and the rest of the line may wait there; to lose each line of who came by su would be worse.
 */
#include "base/log_out.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file's end, or a device's that always takes all. */
static int never_waits(const struct stat *st, int flags)
{
	return S_ISREG(st->st_mode) || S_ISBLK(st->st_mode) || (flags & O_NONBLOCK);
}

static ssize_t put(const char *text, size_t len)
{
	struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
	int flags = fcntl(STDERR_FILENO, F_GETFL), own;
	struct stat st;
	ssize_t n;

	if (flags < 0 || fstat(STDERR_FILENO, &st) < 0)
		return -1;
	if (S_ISSOCK(st.st_mode))
		return send(STDERR_FILENO, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (never_waits(&st, flags))
		return write(STDERR_FILENO, text, len);
	if (poll(&room, 1, 0) <= 0) {
		errno = EAGAIN;
		return -1;
	}
	own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own < 0)
		return write(STDERR_FILENO, text, len);
	n = write(own, text, len);
	close(own);
	return n;
}

int log_out_write(const char *line, size_t len)
{
	static int torn; /* the last line was not written to its end */
	ssize_t n;

	if (torn && put("\n", 1) != 1)
		return -1;
	torn = 0;
	n = put(line, len);
	if (n > 0 && (size_t)n < len)
		torn = 1;
	return n == (ssize_t)len ? 0 : -1;
}
