/* What a migration is to be, from the command line: see migrate_options.h. What does not
 * go together is migrate_config_check's to refuse. */
#include "cli/commands/migrate_options.h"

#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/size.h"
#include "control/vm.h"
#include "control/wish.h"

const char *const migrate_options_apart[] = {"live", "offline", NULL};

static int take_disks(struct migrate_config *c, const char *value)
{
	if (strcmp(value, "none") == 0)
		c->storage = MIGRATE_STORAGE_NONE;
	else if (strcmp(value, "all") != 0)
		c->disks = value;
	return 0;
}

static int take_channels(struct migrate_config *c, const char *value, struct err *e)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || n < 1 || n > 255)
		return err_set(e, ERR_USAGE, "--multifd \"%s\": a whole number from 1 to 255",
			       value);
	c->multifd = (unsigned)n;
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
	case MIGRATE_OPTION_COPY_MEDIA:
		return migrate_media_parse(&c->media, value, e);
	case MIGRATE_OPTION_DROP_SNAPSHOTS:
		c->drop_snapshots = true;
		return 0;
	case MIGRATE_OPTION_PERSISTENT:
		c->persistent = true;
		return 0;
	case MIGRATE_OPTION_RENAME:
		c->rename = value;
		return vmdesc_check_name(value, e) < 0 ? err_prefix(e, "--rename") : 0;
	case MIGRATE_OPTION_NET:
		c->net = value;
		return 0;
	case MIGRATE_OPTION_DISKS:
		return take_disks(c, value);
	case MIGRATE_OPTION_TARGET:
		c->target = value;
		return 0;
	case MIGRATE_OPTION_STORAGE:
		c->storages = value;
		return 0;
	case MIGRATE_OPTION_MAX_BANDWIDTH:
		r = size_parse_rate(&c->limits.max_bandwidth, value, e);
		return r < 0 ? err_prefix(e, "--max-bandwidth") : 0;
	case MIGRATE_OPTION_DOWNTIME:
		r = duration_parse(&c->limits.downtime_ms, value, DURATION_MS,
				   MIGRATE_DOWNTIME_MAX_MS, e);
		return r < 0 ? err_prefix(e, "--downtime-limit") : 0;
	case MIGRATE_OPTION_TIMEOUT:
		r = duration_parse(&n, value, DURATION_S, MIGRATE_TIMEOUT_MAX_S, e);
		c->limits.timeout_s = (unsigned)n;
		return r < 0 ? err_prefix(e, "--timeout") : 0;
	case MIGRATE_OPTION_ON_TIMEOUT:
		return migrate_on_timeout_parse(&c->limits.on_timeout, value, e);
	case MIGRATE_OPTION_LIVE:
	case MIGRATE_OPTION_OFFLINE:
		c->offline = option == MIGRATE_OPTION_OFFLINE;
		return 0;
	case MIGRATE_OPTION_MULTIFD:
		return take_channels(c, value, e);
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

/* What no configuration can tell from what it is without a word. */
static int check_given(const struct options *o, struct err *e)
{
	const char *disks = options_given(o, "disks");
	const char *storage = options_given(o, "copy-storage");

	if (disks && storage && strcmp(disks, "none") == 0 && strcmp(storage, "none") != 0)
		return err_set(e, ERR_USAGE,
			       "--disks none and --copy-storage %s cannot go together", storage);
	if (disks && storage && strcmp(disks, "none") != 0 && strcmp(storage, "none") == 0)
		return err_set(e, ERR_USAGE,
			       "--copy-storage none and --disks %s cannot go together", disks);
	if (options_given(o, "on-timeout") && !options_given(o, "timeout"))
		return err_set(e, ERR_USAGE, "--on-timeout needs --timeout");
	return 0;
}

int migrate_options_end(struct migrate_config *c, const struct options *o, struct err *e)
{
	struct addr_dest dest;

	if (!c->qmp)
		return err_set(e, ERR_USAGE, "--qmp SOCKET is missing");
	if (optind == o->argc)
		return err_set(e, ERR_USAGE, "DEST is missing");
	if (o->argc - optind > 1)
		return err_set(e, ERR_USAGE, "one DEST, not also \"%s\"", o->argv[optind + 1]);
	c->dest = o->argv[optind];
	if (creds_options_default(&c->auth, c->dest, e) < 0 || check_given(o, e) < 0 ||
	    migrate_config_check(c, e) < 0 || addr_parse_dest(&dest, c->dest, e) < 0)
		return e->code;
	return auth_check_client(&c->auth, &dest, e);
}
