/*
 * What a migration is asked for, as JSON: the body of the API's requests and the record
 * of the journal. The members are the command line's options with `_` for `-`; docs/api.md
 * and docs/openapi.json list them.
 */
#ifndef ADIT_CONTROL_MIGRATE_CONFIG_H
#define ADIT_CONTROL_MIGRATE_CONFIG_H

#include <jansson.h>

#include "control/migrate.h"

enum { MIGRATE_DOWNTIME_MAX_MS = 2000000, MIGRATE_TIMEOUT_MAX_S = 10000000 };

/* c as JSON, owned by the caller; members that have their default are left out. NULL when
 * memory is short. */
json_t *migrate_config_to_json(const struct migrate_config *c);

/* Reads v into c, whose strings are v's from then on. ERR_USAGE names a member that is
 * unknown or of the wrong type or range. */
int migrate_config_from_json(struct migrate_config *c, const json_t *v, struct err *e);

/* Puts one option, named and written as on the command line (with or without the leading `--`;
 * "max-bandwidth", "100M"), into v, an object for migrate_config_from_json. text of a switch
 * is NULL, "true" or "false". Limits take "0" (or "none") for no limit. ERR_USAGE names the
 * option. */
int migrate_config_put(json_t *v, const char *name, const char *text, struct err *e);

/* Words that do not go together, or are not known, or cannot be what is asked for (the credentials
 * and DEST apart, which auth_check_client looks at), each by its option's name: ERR_USAGE. */
int migrate_config_check(const struct migrate_config *c, struct err *e);

/* "abort", "suspend", "postcopy"; "all", "inc", "none". -1 (ERR_USAGE) for others. */
int migrate_on_timeout_parse(enum migrate_on_timeout *out, const char *text, struct err *e);
int migrate_storage_parse(enum migrate_storage *out, const char *text, struct err *e);
const char *migrate_on_timeout_name(enum migrate_on_timeout v);
const char *migrate_storage_name(enum migrate_storage v);

#endif
