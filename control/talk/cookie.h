/*
 * Cookies: what one phase of a migration hands to the next one on the other side
 * (docs/cookies.md). Each is one JSON object on one line of the job's control
 * stream, {"adit":1,"phase":...,"kind":...,"job":...,...}. What comes from the peer
 * is held against a schema before anybody looks at it: version, kind, types,
 * lengths, nothing missing, nothing unknown.
 */
#ifndef ADIT_CONTROL_TALK_COOKIE_H
#define ADIT_CONTROL_TALK_COOKIE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	COOKIE_VERSION = 1,
	COOKIE_MAX = 1024 * 1024, /* bytes of a line, '\n' not counted */
	COOKIE_JOB_LEN = 32,	  /* a job's id: so many lower-case hex digits */
	COOKIE_DISKS_MAX = 64,
	COOKIE_SECRETS_MAX = 64,
	COOKIE_NETWORKS_MAX = 64,
	COOKIE_DEPTH_MAX = 16,
};

enum cookie_kind {
	COOKIE_BEGIN,	     /* source: the VM, its disks, what is wanted */
	COOKIE_PREPARED,     /* destination: ready, and where */
	COOKIE_DISKS_DONE,   /* source, in Perform: the copies are whole, close the exports */
	COOKIE_DISKS_CLOSED, /* destination: they are closed */
	COOKIE_FINISH,	     /* source: RAM is over; run it */
	COOKIE_FINISHED,     /* destination: the decision: it runs here from now on */
	COOKIE_CONFIRM,	     /* source: it knows, and will end its VM if that one still lives */
	COOKIE_CONFIRMED,    /* destination: it does; the source VM is to end */
	COOKIE_ENDED,	     /* source: it has ended; the job may be forgotten */
	COOKIE_RECOVER,	     /* source, instead of BEGIN: what became of that job? */
	COOKIE_RECOVERED,    /* destination: it runs here; it never will; or it cannot say yet */
	COOKIE_CHECK,	     /* source, instead of BEGIN: would this VM be taken? */
	COOKIE_CHECKED,	     /* destination: what it found; nothing was made */
	COOKIE_ABORT,	     /* either: the job has failed, and why */
	COOKIE_ABORTED,	     /* destination: it does not run here and never will */
};
enum { COOKIE_KINDS = COOKIE_ABORTED + 1 };

enum cookie_side { COOKIE_SOURCE, COOKIE_DESTINATION };

/* A new cookie of this kind with its head; the caller adds the rest, and owns it. NULL
 * when memory is short. */
json_t *cookie_new(enum cookie_kind kind, const char *job);

/* Reads a line that came from the side `from`. On success the message (owned by the
 * caller) and its kind. ERR_PROTOCOL names what is wrong; another version: both are named. */
int cookie_read(const char *line, size_t len, enum cookie_side from, enum cookie_kind *kind,
		json_t **msg, struct err *e);

/* The same check on a message of one's own, so that no side sends what the other refuses. */
int cookie_check(const json_t *msg, enum cookie_side from, enum cookie_kind *kind, struct err *e);

const char *cookie_kind_name(enum cookie_kind kind);

/* Whether text is a job's id. */
bool cookie_is_job(const char *text);

/* A new random job id in buf of COOKIE_JOB_LEN + 1 bytes. */
int cookie_make_job(char *buf, struct err *e);

/* A cookie that carries an error (COOKIE_ABORT), and back. */
json_t *cookie_new_abort(const char *job, const struct err *why);
void cookie_get_abort(const json_t *msg, struct err *why);

#endif
