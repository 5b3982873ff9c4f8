/* What a migration is to be, from the command line: see migrate_options.h. What does not
 * go together is migrate_config_check's to refuse. */
#include "cli/migrate_options.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "control/migrate_config.h"
#include "control/vmdesc.h"

int migrate_options_number(uint64_t *out, const char *name, const char *text, uint64_t max,
			   struct err *e)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || v == 0 || v > max)
		return err_set(e, ERR_USAGE, "%s \"%s\": a whole number from 1 to %llu", name, text,
			       (unsigned long long)max);
	*out = v;
	return 0;
}

static int take_disks(struct migrate_config *c, const char *value, struct err *e)
{
	if (!*value)
		return err_set(e, ERR_USAGE, "--disks: all, none, or NODE,...");
	if (strcmp(value, "none") == 0)
		c->storage = MIGRATE_STORAGE_NONE;
	else if (strcmp(value, "all") != 0)
		c->disks = value;
	return 0;
}

static int take(struct migrate_config *c, int option, const char *value, struct err *e)
{
	uint64_t n = 0;
	int r;

	switch (option) {
	case MIGRATE_OPTION_QMP:
		/* Whoever recovers it after a crash has no descriptors of the dead. */
		if (strncmp(value, "fd:", 3) == 0)
			return err_set(
			    e, ERR_USAGE,
			    "--qmp %s: give the path of the monitor's socket, since adit "
			    "may have to connect to it again",
			    value);
		c->qmp = value;
		return 0;
	case MIGRATE_OPTION_DEST_QMP:
		c->dest_qmp = value;
		return 0;
	case MIGRATE_OPTION_DEST_ADDRESS:
		c->dest_address = value;
		return 0;
	case MIGRATE_OPTION_COPY_STORAGE:
		return migrate_storage_parse(&c->storage, value, e);
	case MIGRATE_OPTION_DROP_SNAPSHOTS:
		c->drop_snapshots = true;
		return 0;
	case MIGRATE_OPTION_PERSISTENT:
		c->persistent = true;
		return 0;
	case MIGRATE_OPTION_RENAME:
		c->rename = value;
		return vmdesc_check_name(value, e) < 0 ? err_prefix(e, "--rename") : 0;
	case MIGRATE_OPTION_DISKS:
		return take_disks(c, value, e);
	case MIGRATE_OPTION_MAX_BANDWIDTH:
		r = size_parse_rate(&c->limits.max_bandwidth, value, e);
		return r < 0 ? err_prefix(e, "--max-bandwidth") : 0;
	case MIGRATE_OPTION_DOWNTIME:
		return migrate_options_number(&c->limits.downtime_ms, "--downtime-limit", value,
					      2000000, e);
	case MIGRATE_OPTION_TIMEOUT:
		r = migrate_options_number(&n, "--timeout", value, 10000000, e);
		c->limits.timeout_s = (unsigned)n;
		return r;
	case MIGRATE_OPTION_ON_TIMEOUT:
		return migrate_on_timeout_parse(&c->limits.on_timeout, value, e);
	case MIGRATE_OPTION_LIVE:
	case MIGRATE_OPTION_OFFLINE:
		c->offline = option == MIGRATE_OPTION_OFFLINE;
		return 0;
	case MIGRATE_OPTION_MULTIFD:
		r = migrate_options_number(&n, "--multifd", value, 255, e);
		c->multifd = (unsigned)n;
		return r;
	case MIGRATE_OPTION_COMPRESSION:
		c->compression = value;
		return 0;
	case MIGRATE_OPTION_AUTO_CONVERGE:
		c->auto_converge = true;
		return 0;
	case MIGRATE_OPTION_XBZRLE:
		c->xbzrle = true;
		return 0;
	case MIGRATE_OPTION_POSTCOPY:
		c->postcopy = true;
		return 0;
	default:
		return 1;
	}
}

int migrate_options_take(struct migrate_config *c, int option, const char *value, struct err *e)
{
	int r = take(c, option, value, e);

	if (r == 1)
		return creds_options_take(&c->auth, option, value, e);
	return r < 0 ? r : 1;
}

int migrate_options_end(struct migrate_config *c, int argc, char **argv, struct err *e)
{
	if (!c->qmp)
		return err_set(e, ERR_USAGE, "--qmp SOCKET is missing");
	if (optind == argc)
		return err_set(e, ERR_USAGE, "DEST is missing");
	if (argc - optind > 1)
		return err_set(e, ERR_USAGE, "one DEST, not also \"%s\"", argv[optind + 1]);
	c->dest = argv[optind];
	creds_options_default(&c->auth, c->dest);
	return 0;
}
