/*
 * Cuts a byte stream into JSON objects (QMP sends one a line; with -qmp-pretty
 * one over several lines). No I/O.
 */
#ifndef ADIT_CONTROL_QMP_QMP_SCAN_H
#define ADIT_CONTROL_QMP_QMP_SCAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Embedded; zeroed is empty. */
struct qmp_scan {
	char *buf;
	size_t len, size;
	size_t at;   /* the scanner stands here */
	size_t from; /* the object under way begins here */
	unsigned depth;
	bool in_string, escaped;
};

/* Appends bytes that came in. -1 when more than QMP_REPLY_MAX would be kept. */
int qmp_scan_append(struct qmp_scan *s, const char *data, size_t len);

/* 1 and *msg (owned by the caller) for a whole object, 0 when there is none yet, -1
 * when what came is not a JSON object. */
int qmp_scan_next(struct qmp_scan *s, json_t **msg);

void qmp_scan_fini(struct qmp_scan *s);

#endif
