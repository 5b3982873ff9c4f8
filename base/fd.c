/* Descriptors: see fd.h. Never removes a file that is not a stale socket. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FD_KEPT_MAX = 64 };

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_is_last(int fd)
{
	struct rlimit files;
	rlim_t kept;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == RLIM_INFINITY)
		return 0;
	kept = files.rlim_cur / 8 < FD_KEPT_MAX ? files.rlim_cur / 8 : FD_KEPT_MAX;
	return (rlim_t)fd >= files.rlim_cur - kept;
}

int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -1;
	if (flags & O_NONBLOCK)
		return 0;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

const char *fd_no_socket(const char *path)
{
	int saved = errno, rc;
	struct stat st;

	rc = stat(path, &st);
	errno = saved;
	if (rc < 0 || S_ISSOCK(st.st_mode))
		return NULL;
	return S_ISDIR(st.st_mode)    ? "a folder"
	       : S_ISREG(st.st_mode)  ? "a plain file"
	       : S_ISFIFO(st.st_mode) ? "a fifo"
				      : "a device";
}

int fd_socketpair(int pair[2], struct err *e)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		pair[0] = pair[1] = -1;
		return err_set_sys(e, errno, "a pair of sockets cannot be made");
	}
	if (fd_set_nonblock(pair[0]) < 0) {
		int rc = err_set_sys(e, errno, "a socket cannot be made non-blocking");

		fd_close(&pair[0]);
		fd_close(&pair[1]);
		return rc;
	}
	return 0;
}

int fd_peer(int fd, uid_t *uid, pid_t *pid)
{
	struct ucred who = {.uid = (uid_t)-1};
	socklen_t len = sizeof(who);
	int rc = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);

	/* Of a socket of another family it "succeeds", with nobody. */
	if (rc == 0 && who.uid == (uid_t)-1) {
		errno = EOPNOTSUPP;
		rc = -1;
	}
	if (uid)
		*uid = rc == 0 ? who.uid : (uid_t)-1;
	if (pid)
		*pid = rc == 0 ? who.pid : 0;
	return rc;
}

int fd_write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_connect_unix(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd;

	if (len >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sa.sun_path, path, len + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		fd_close(&fd);
	return fd;
}

/* Makes way for a socket at path: removes one that nobody listens on. */
static int remove_stale(const char *path, const struct sockaddr *sa, socklen_t len, struct err *e)
{
	struct stat st;
	int fd, rc, saved;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_set(e, ERR_ADDRESS, "%s cannot be looked at: %s", path, strerror(errno));
	}
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, ERR_ADDRESS,
			       "%s is there already and is not a socket: choose another path",
			       path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set_sys(e, errno, "a socket cannot be made");
	rc = connect(fd, sa, len);
	saved = errno;
	fd_close(&fd);
	if (rc == 0 || saved != ECONNREFUSED)
		return err_set(e, ERR_ADDRESS,
			       "%s is in use: another process listens there; end it, or choose "
			       "another path",
			       path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(e, ERR_ADDRESS,
			       "%s, a socket that nobody uses, cannot be removed: %s", path,
			       strerror(errno));
	return 0;
}

/* Binds and listens on one address; -1 with errno. */
static int listen_on(const struct sockaddr *sa, socklen_t len, int backlog)
{
	int on = 1, off = 0;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (sa->sa_family == AF_UNIX) {
		/* bind(2) gives the file the mode of the socket's own inode, so that
		 * there is no moment in which others could connect. */
		if (fchmod(fd, 0600) < 0)
			goto fail;
	} else {
		if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
			goto fail;
		if (sa->sa_family == AF_INET6 &&
		    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
			goto fail;
	}
	if (bind(fd, sa, len) < 0 || listen(fd, backlog) < 0)
		goto fail;
	return fd;
fail:
	fd_close(&fd);
	return -1;
}

int fd_take_listening(int number, struct err *e)
{
	int flags = fcntl(number, F_GETFD), type = 0, domain = 0, listens = 0, fd = number;
	socklen_t len = sizeof(int);

	if (flags < 0)
		return err_set(e, ERR_ADDRESS,
			       "fd:%d: no such descriptor was handed to this program", number);
	/* All that we open ourselves has it, and what comes through execve never does. */
	if (flags & FD_CLOEXEC)
		return err_set(
		    e, ERR_ADDRESS,
		    "fd:%d is in use within this program: it was not handed to it, or it "
		    "is named twice",
		    number);
	if (getsockopt(number, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return err_set(e, ERR_ADDRESS, "fd:%d is not a socket: hand over a listening one",
			       number);
	len = sizeof(int);
	if (getsockopt(number, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || type != SOCK_STREAM ||
	    (domain != AF_UNIX && domain != AF_INET && domain != AF_INET6))
		return err_set(e, ERR_ADDRESS,
			       "fd:%d is neither a unix nor a TCP stream socket: hand over a "
			       "listening one of those",
			       number);
	len = sizeof(int);
	if (getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens)
		return err_set(e, ERR_ADDRESS,
			       "fd:%d is a socket that does not listen: hand over a listening one "
			       "(with systemd: Accept=no)",
			       number);
	/* 0 to 2 may be given a new file under their number (--background). */
	if (number <= STDERR_FILENO) {
		fd = fcntl(number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		if (fd < 0)
			return err_set_sys(e, errno, "fd:%d", number);
	}
	if (fcntl(number, F_SETFD, FD_CLOEXEC) < 0 || fd_set_nonblock(fd) < 0) {
		int rc = err_set_sys(e, errno, "fd:%d", number);

		fd_close(&fd);
		return rc;
	}
	return fd;
}

int fd_listen(const struct addr *a, int backlog, struct err *e)
{
	struct addr_resolved at;
	char name[320];
	int rc, fd, saved = 0;

	if (a->kind == ADDR_FD)
		return fd_take_listening(a->fd, e);
	rc = addr_resolve(a, 1, &at, e);
	if (rc < 0)
		return rc;
	if (a->kind == ADDR_UNIX) {
		rc = remove_stale(a->path, (const struct sockaddr *)&at.at[0].sa, at.at[0].len, e);
		if (rc < 0)
			return rc;
	}
	for (unsigned i = 0; i < at.count; i++) {
		fd = listen_on((const struct sockaddr *)&at.at[i].sa, at.at[i].len, backlog);
		if (fd >= 0)
			return fd;
		/* Of several addresses the most telling failure is kept. */
		if (!saved || errno == EADDRINUSE || errno == EACCES)
			saved = errno;
	}
	rc = err_set(e, ERR_ADDRESS, "cannot listen on %s: %s%s",
		     addr_format(a, name, sizeof(name)), strerror(saved),
		     saved == EADDRINUSE      ? " (end what listens there, or choose another port)"
		     : saved == EADDRNOTAVAIL ? " (this host has no such address)"
		     : saved == ENOENT && a->kind == ADDR_UNIX ? " (make its folder first)"
		     : saved == EACCES && a->kind == ADDR_TCP  ? " (ports below 1024 need root)"
							       : "");
	errno = saved;
	return rc;
}
