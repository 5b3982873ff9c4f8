/*
 * One error type for the whole program: a code that a caller can branch on
 * and one sentence that a person can act on (it names the thing and the mend).
 */
#ifndef ADIT_BASE_ERR_H
#define ADIT_BASE_ERR_H

#include <stdarg.h>

enum err_code {
	ERR_NONE = 0,
	ERR_SYSTEM = -1,     /* a system call failed; the text has strerror's words */
	ERR_USAGE = -2,	     /* the caller's words are wrong: exit status 2 */
	ERR_ADDRESS = -3,    /* an address cannot be read, resolved or reached */
	ERR_AUTH = -4,	     /* credentials missing, wrong, expired or not trusted */
	ERR_PROTOCOL = -5,   /* the peer broke the protocol, or speaks another */
	ERR_REFUSED = -6,    /* a right is missing, here or at the peer */
	ERR_LIMIT = -7,	     /* a limit (R10) was reached */
	ERR_TIMEOUT = -8,    /* no answer in time */
	ERR_CLOSED = -9,     /* the connection, or the process behind it, has gone */
	ERR_CANCELLED = -10, /* asked to stop */
	ERR_SPACE = -11,     /* no space left */
	ERR_QEMU = -12,	     /* QEMU refused or failed */
	ERR_CONFIG = -13,    /* a file that we were told to read is wrong */
	ERR_INTERNAL = -14,  /* a bug of ours */
};

/* A sentence may hold another one, and that a third: there is room, and what is cut all the same
 * ends in three dots. */
enum { ERR_TEXT_MAX = 2048 };

struct err {
	enum err_code code;
	char text[ERR_TEXT_MAX];
};

#define ERR_INIT                                                                                   \
	{                                                                                          \
		ERR_NONE, ""                                                                       \
	}

/* Fills *e (may be NULL) with code and a printf-like sentence; control
 * characters in the result are replaced by '?', so that a peer's words cannot
 * break a line. Returns code, so that `return err_set(...)` reads well. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": " and strerror(errnum) behind it. */
int err_set_sys(struct err *e, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the sentence that is there. Returns e->code. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The code's name ("auth", "timeout", ...) as JSON output uses it; static. */
const char *err_code_name(enum err_code code);

/* Whether *e holds an error. */
static inline int err_is_set(const struct err *e)
{
	return e->code != ERR_NONE;
}

/* Replaces control characters in s by '?', in place: for anything that a peer
 * said and that goes to a log or a terminal. Returns s. */
char *err_printable(char *s);

#endif
