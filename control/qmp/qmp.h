/*
 * A client of QEMU's Machine Protocol (docs/interop/qmp-spec of QEMU) on
 * libevent: commands with callbacks, events, and descriptors that go along with
 * a command in SCM_RIGHTS (getfd).
 *
 * Ownership: a struct qmp is its maker's until qmp_free, which may be called at
 * any time, also within one of its own callbacks; no callback comes after it.
 */
#ifndef ADIT_CONTROL_QMP_QMP_H
#define ADIT_CONTROL_QMP_QMP_H

#include <jansson.h>
#include <sys/types.h>

#include "base/err.h"

struct event_base;
struct qmp;

enum {
	QMP_GREETING_MS = 5000,		  /* default time for the greeting */
	QMP_REPLY_MAX = 64 * 1024 * 1024, /* one message from QEMU, bytes */
};

struct qmp_ops {
	/* Greeted, and in command mode. */
	void (*on_ready)(void *ctx, struct qmp *q);
	/* An event; data (may be NULL) is borrowed for the call. NULL: none is of use. */
	void (*on_event)(void *ctx, struct qmp *q, const char *name, const json_t *data);
	/* The connection is over: refused, no greeting, broken, or QEMU has gone.
	 * Comes once, after every waiting command had its callback with an error. */
	void (*on_end)(void *ctx, struct qmp *q, const struct err *why);
};

/* Connects to the unix socket at path (with or without "unix:" before it).
 * greeting_ms from now to command mode; 0: QMP_GREETING_MS. What goes wrong
 * comes as on_end. ops and ctx are borrowed until qmp_free. NULL with ERR_USAGE
 * (path too long) or ERR_SYSTEM. */
struct qmp *qmp_connect(struct event_base *base, const char *path, unsigned greeting_ms,
			const struct qmp_ops *ops, void *ctx, struct err *e);

/* The same on a connected socket fd, owned from now on, also on error; name for messages. */
struct qmp *qmp_new(struct event_base *base, int fd, const char *name, unsigned greeting_ms,
		    const struct qmp_ops *ops, void *ctx, struct err *e);

/* Forgets what waits (no callback) and closes. NULL is fine. */
void qmp_free(struct qmp *q);

/* A command's end: result (borrowed; the "return" value) and e with ERR_NONE, or
 * NULL and what QEMU said (ERR_QEMU), or that the connection has gone (ERR_CLOSED). */
typedef void qmp_reply(void *ctx, struct qmp *q, json_t *result, const struct err *e);

/* Sends a command; args (may be NULL) is stolen. fn may be NULL. Commands go out in
 * the order of the calls. Legal before on_ready: they wait for it. */
void qmp_command(struct qmp *q, const char *name, json_t *args, qmp_reply *fn, void *ctx);

/* Asks QEMU, in the greeting, for commands out of band, which it answers also while its main
 * loop stands still. To be called before the greeting has come. */
void qmp_want_oob(struct qmp *q);

/* Sends a command out of band, past all that wait; in its turn where QEMU does not offer
 * that, or was not asked for it. */
void qmp_command_oob(struct qmp *q, const char *name, json_t *args, qmp_reply *fn, void *ctx);

/* From now on ops and ctx get what comes. What waits keeps its callbacks: see qmp_forget. */
void qmp_set_owner(struct qmp *q, const struct qmp_ops *ops, void *ctx);

/* `getfd`: hands fd (owned, closed once sent) to QEMU under name (must not begin with
 * a digit). Nothing else is sent before it is answered, since QEMU keeps only the last
 * descriptors that came in. */
void qmp_getfd(struct qmp *q, const char *name, int fd, qmp_reply *fn, void *ctx);

/* Drops the callbacks of everything that waits, and what was not sent yet. */
void qmp_forget(struct qmp *q);

/* Several commands, each sent when the one before was answered, and one callback
 * at the end. */
struct qmp_batch;

enum qmp_need { QMP_MUST, QMP_MAY }; /* QMP_MAY: its failure does not end the batch */

/* The batch's end: e is ERR_NONE, or of the first QMP_MUST command that failed. b is
 * freed after the call. */
typedef void qmp_batch_end(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e);

struct qmp_batch *qmp_batch_new(void);
/* For a batch that was not run; NULL is fine. */
void qmp_batch_free(struct qmp_batch *b);
/* args stolen. Returns the command's index. */
unsigned qmp_batch_add(struct qmp_batch *b, enum qmp_need need, const char *name, json_t *args);
/* A getfd; fd owned. */
unsigned qmp_batch_add_fd(struct qmp_batch *b, enum qmp_need need, const char *name, int fd);
/* Gives p to b, which frees it (with free) when it is freed itself: for a ctx. */
void qmp_batch_own(struct qmp_batch *b, void *p);
/* The same for what destroy frees; of p NULL b has none any more, and frees none. */
void qmp_batch_own_with(struct qmp_batch *b, void *p, void (*destroy)(void *p));
/* Runs b, which is q's from now on. An empty batch ends within the call. */
void qmp_batch_run(struct qmp_batch *b, struct qmp *q, qmp_batch_end *fn, void *ctx);
/* Command i's result (borrowed), NULL when it failed or was not sent. */
json_t *qmp_batch_result(const struct qmp_batch *b, unsigned i);
/* Command i's error, code ERR_NONE when it had none. */
const struct err *qmp_batch_err(const struct qmp_batch *b, unsigned i);

/* The process at the other end (SO_PEERCRED), 0 when unknown; and its user, (uid_t)-1 then. */
pid_t qmp_peer_pid(const struct qmp *q);
uid_t qmp_peer_uid(const struct qmp *q);

#endif
