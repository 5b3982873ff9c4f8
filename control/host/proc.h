/* A process of ours on the loop: started, watched through a pidfd, reaped. */
#ifndef ADIT_CONTROL_HOST_PROC_H
#define ADIT_CONTROL_HOST_PROC_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct event_base;
struct guardian;
struct proc;
struct user;

/* It has ended; status as waitpid gives it. Once; not after proc_free. */
typedef void proc_on_exit(void *ctx, struct proc *p, int status);

/* Starts argv[0] (a path, or a name looked up in PATH) in a session of its own, with no
 * descriptor of ours: standard input from /dev/null, output and errors to log_fd
 * (borrowed). guardian, if given, knows of the process before it does anything. */
struct proc *proc_start(struct event_base *base, char *const *argv, int log_fd,
			struct guardian *guardian, proc_on_exit *on_exit, void *ctx, struct err *e);

enum { PROC_KEEP_FIRST = 10, PROC_KEEP_MAX = 256 };

/* The same with a descriptor of its own for each of the three (borrowed; -1: /dev/null), and as
 * another user: where it cannot become that one it ends as where argv[0] cannot be run, with status
 * 127 and the reason on its standard error. */
struct proc_io {
	int in, out, err;
	const struct user *user; /* who runs it, borrowed for the call; NULL or not given: us */
	/* Further descriptors, borrowed; it has them as PROC_KEEP_FIRST and on. */
	const int *keep;
	size_t keep_count;
	/* The first of them is a socket that listens: who asks it is told of this process and its
	 * user (SO_PEERCRED). */
	bool listens;
	bool no_core; /* it is to leave no core dump */
};
struct proc *proc_start_io(struct event_base *base, char *const *argv, const struct proc_io *io,
			   struct guardian *guardian, proc_on_exit *on_exit, void *ctx,
			   struct err *e);

pid_t proc_pid(const struct proc *p);

/* Another owner is told of its end from now on. */
void proc_hand_over(struct proc *p, proc_on_exit *on_exit, void *ctx);

/* Kills it (SIGKILL) and forgets it; it is reaped later, by itself. NULL is fine. */
void proc_kill(struct proc *p);

/* Forgets it: it lives on. NULL is fine. */
void proc_free(struct proc *p);

/* The last line of the file behind fd that is not empty, for a message: buf, or "" */
char *proc_last_line(int fd, char *buf, size_t size);

#endif
