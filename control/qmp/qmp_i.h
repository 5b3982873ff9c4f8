/* What the files of the QMP client share: a connection and its commands, and what qmp.c has for
 * qmp_send.c, that for qmp_read.c, and both for qmp_connect.c. qmp_batch.c stands on qmp_i_hold. */
#ifndef ADIT_CONTROL_QMP_QMP_I_H
#define ADIT_CONTROL_QMP_QMP_I_H

#include <event2/util.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "control/qmp/qmp.h"
#include "control/qmp/qmp_scan.h"

/* ---- what a connection is ---- */

/* A command, owned by the list that it is in. */
struct qmp_command {
	TAILQ_ENTRY(qmp_command) link;
	char name[64];
	char *text; /* the line, from json_dumps and with '\n'; NULL once written */
	size_t len, off;
	int fd; /* to go with the first byte, or -1 */
	uint64_t id, written_us;
	bool had_fd;
	bool oob; /* past the others */
	qmp_reply *fn;
	void *ctx;
};

TAILQ_HEAD(qmp_command_list, qmp_command);

/* What a connection owns while it runs over it. Its owner's part of it; drop frees it. */
struct qmp_held {
	LIST_ENTRY(qmp_held) link; /* removed by drop, or when it has come to its end */
	void (*drop)(struct qmp_held *h);
};

LIST_HEAD(qmp_held_list, qmp_held);

enum qmp_state {
	QMP_STATE_CONNECTING,
	QMP_STATE_GREETING,
	QMP_STATE_NEGOTIATING,
	QMP_STATE_READY,
	QMP_STATE_ENDED
};

struct qmp {
	struct event_base *base;
	const struct qmp_ops *ops;
	void *ctx;
	char *path; /* for messages */
	int fd;
	enum qmp_state state;
	struct event *readable, *writable, *timer, *retry;
	unsigned greeting_ms;
	bool want_oob, has_oob;
	struct qmp_command_list queued, written;
	unsigned inflight, fds_inflight;
	uint64_t next_id;
	struct qmp_scan in;
	pid_t peer_pid;
	uid_t peer_uid;
	unsigned depth;
	bool freed;
	struct qmp_held_list held; /* batches that run */
};

/* ---- qmp.c ---- */

void qmp_i_command_free(struct qmp_command *c);
/* Frees q with all that waits in it; its events and its socket are gone already. */
void qmp_i_reap(struct qmp *q);
/* Ends what began with depth++: q may be gone behind it. */
void qmp_i_leave(struct qmp *q);
/* Frees *ev, where there is one. */
void qmp_i_event_drop(struct event **ev);
/* Ends the connection with *why: all that wait first, then the owner. q may be gone behind it, but
 * for whoever keeps depth up. */
void qmp_i_end(struct qmp *q, const struct err *why);
/* Likewise, with the socket's name in front of text. */
void qmp_i_end_msg(struct qmp *q, enum err_code code, const char *text);
/* Drops all that q holds. */
void qmp_i_drop_held(struct qmp *q);
/* From now on h is q's, until it is removed from the list: qmp_free and qmp_forget drop it, after
 * the callbacks of all commands. */
void qmp_i_hold(struct qmp *q, struct qmp_held *h);

/* ---- qmp_send.c ---- */

enum qmp_how { QMP_IN_BAND, QMP_OUT_OF_BAND };

/* Makes a command; args stolen, fd owned. NULL when memory is short. */
struct qmp_command *qmp_i_command_make(struct qmp *q, const char *name, json_t *args, int fd,
				       enum qmp_how how, qmp_reply *fn, void *ctx);
/* Writes as much of the queue as may go; ends the connection on an error. */
void qmp_i_flush(struct qmp *q);
void qmp_i_on_writable(evutil_socket_t fd, short what, void *q);

/* ---- qmp_read.c ---- */

void qmp_i_on_readable(evutil_socket_t fd, short what, void *q);

#endif
