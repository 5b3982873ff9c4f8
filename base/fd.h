/* Descriptors and the directories that they live in. */
#ifndef ADIT_BASE_FD_H
#define ADIT_BASE_FD_H

#include <sys/types.h>

#include "base/addr.h"
#include "base/err.h"

/* Closes *fd when it is not -1, and sets it to -1. errno is kept. */
void fd_close(int *fd);

/* 0 or -1 with errno. */
int fd_set_nonblock(int fd);

/* What is at path, if that is there and no socket, for a message: "a folder", "a plain file", "a
 * fifo", "a device". NULL otherwise; errno is kept. */
const char *fd_no_socket(const char *path);

/* Whether a descriptor that was just made is one of the last that this process may have (an eighth
 * of them, 64 at most), which are kept for newcomers and files: what a peer may have many of is not
 * to take those. */
int fd_is_last(int fd);

/* A connected pair of unix stream sockets, both close-on-exec; ours (pair[0])
 * non-blocking, theirs (pair[1]) blocking, as QEMU expects. */
int fd_socketpair(int pair[2], struct err *e);

/* Writes all of data to fd, which blocks. 0, or -1 with errno. */
int fd_write_all(int fd, const void *data, size_t len);

/* A connection to the unix socket at path, non-blocking and close-on-exec; the caller's. -1 with
 * errno: also EAGAIN, when its queue is full, and ENAMETOOLONG. */
int fd_connect_unix(const char *path);

/* Who made the socket that fd, of a connected pair of unix sockets, has at its other end: of an
 * accepted connection who has connected, of one that we made who listens (SO_PEERCRED). pid is 0
 * when it is of another namespace. uid and pid: what is not asked for is NULL. 0, or -1 with
 * errno, *uid (uid_t)-1 and *pid 0: no unix socket. */
int fd_peer(int fd, uid_t *uid, pid_t *pid);

/* Takes the descriptor number that this process was started with, a listening unix or TCP
 * stream socket: close-on-exec, non-blocking and the caller's from now on, and perhaps under
 * another number. ERR_ADDRESS, in words that begin with fd:NUMBER, when it is anything else: not
 * there, this program's own, taken already, no socket, no stream, not listening. */
int fd_take_listening(int number, struct err *e);

/* A listening socket for a (close-on-exec, non-blocking). For a unix path: a
 * stale socket (nobody answers) is replaced, a live one or any other file is
 * ERR_ADDRESS; the socket is made with mode 0600. For a descriptor: fd_take_listening.
 * Where the port is taken errno is EADDRINUSE. */
int fd_listen(const struct addr *a, int backlog, struct err *e);

#endif
