/*
 * What a migration is asked for; and as JSON, in the body of the API's requests and the record of
 * the journal. The members are the command line's options with `_` for `-`;
 * docs/openapi.json lists them.
 */
#ifndef ADIT_CONTROL_WISH_MIGRATE_CONFIG_H
#define ADIT_CONTROL_WISH_MIGRATE_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "control/vm.h"
#include "control/wish/auth.h"

enum migrate_on_timeout {
	MIGRATE_ABORT,	  /* give up: the VM runs on here */
	MIGRATE_SUSPEND,  /* pause the guest, so that it converges; it is resumed there */
	MIGRATE_POSTCOPY, /* let it run there at once, and fetch the rest (needs postcopy) */
};

enum migrate_storage {
	MIGRATE_STORAGE_ALL,  /* whole disks */
	MIGRATE_STORAGE_INC,  /* the top image of each, over a backing file that both have */
	MIGRATE_STORAGE_NONE, /* shared storage: nothing is copied */
};

/* What may be changed while it runs. */
struct migrate_limits {
	uint64_t max_bandwidth; /* bytes a second over RAM and disks together; 0: no limit */
	uint64_t downtime_ms;	/* QEMU's downtime-limit; 0: as it is */
	unsigned timeout_s;	/* for the whole job, from its start; 0: none */
	enum migrate_on_timeout on_timeout;
};

/* All strings are copied by migrate_start. Zeroed members are the defaults. */
struct migrate_config {
	const char *qmp;	  /* the source QEMU's monitor, a unix socket */
	const char *dest;	  /* the destination as the user wrote it: tls://[ID@]HOST[:PORT] */
	const char *dest_address; /* HOST[:PORT] to connect to instead; dest still names it */
	struct auth auth;
	const char *state_dir; /* journal_prepare's; needed */
	const char *dest_qmp;  /* of a QEMU that waits there; NULL: have one launched */
	const char *disks;     /* NULL: all writable ones; else NODE,... (node, device, target) */
	enum migrate_storage storage;
	enum media_copy media; /* those that are missing there */
	const char *target;   /* NODE=PLACE,...: where images are put there; NULL: by their names */
	const char *storages; /* NODE=STORAGE,..., =STORAGE: likewise, by the storage alone */
	const char *rename;   /* the VM's name there */
	const char *net;      /* NULL: as the destination has it; else ID=NAME,... */
	bool offline;	      /* the guest is paused first, and resumed there */
	bool drop_snapshots;  /* internal snapshots of the images stay behind */
	bool persistent;      /* the destination keeps how to start it again */
	bool keep_source;     /* the source QEMU is not ended; it stays paused for good */
	struct migrate_limits limits;
	unsigned multifd;	 /* channels; 0: off */
	const char *compression; /* of multifd: "zlib", "zstd"; NULL: none */
	bool auto_converge, xbzrle;
	bool postcopy; /* allowed: begun by migrate_change or on_timeout */
};

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

/* "abort", "suspend", "postcopy"; "all", "inc", "none"; "auto", "on", "off". -1 (ERR_USAGE) for
 * others. */
int migrate_on_timeout_parse(enum migrate_on_timeout *out, const char *text, struct err *e);
int migrate_storage_parse(enum migrate_storage *out, const char *text, struct err *e);
int migrate_media_parse(enum media_copy *out, const char *text, struct err *e);
const char *migrate_on_timeout_name(enum migrate_on_timeout v);
const char *migrate_storage_name(enum migrate_storage v);

#endif
