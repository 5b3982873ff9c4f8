/*
 * What a migration tells, as JSON: the lines of `adit migrate --json`, the events of the
 * API and of libadit are all made here, so that they are the same everywhere. docs/api.md
 * lists the members. All results are owned by the caller, NULL when memory is short.
 */
#ifndef ADIT_CONTROL_SOURCE_MIGRATE_JSON_H
#define ADIT_CONTROL_SOURCE_MIGRATE_JSON_H

#include <jansson.h>

#include "control/source/migrate.h"

/* Events: an object with "event" each. */
json_t *migrate_json_phase(const char *phase);
json_t *migrate_json_note(const char *text);
json_t *migrate_json_progress(const struct migrate_progress *p);
json_t *migrate_json_end(const struct migrate_result *r);

/* Parts of other objects. */
json_t *migrate_json_streams(const struct migrate_stream *streams, size_t count);
json_t *migrate_json_session(const struct migrate_session *s);
json_t *migrate_json_limits(const struct migrate_limits *l);

/* Reads what migrate_json_progress made; what is missing is 0. phase is borrowed from v. */
void migrate_json_read_progress(struct migrate_progress *p, const json_t *v);

#endif
