/* What a migration is asked for: see migrate_config.h. One table has every member, so that
 * the command line, the API and the journal cannot drift apart. */
#include "control/wish/migrate_config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/err.h"
#include "base/size.h"
#include "control/vm.h"

enum type { TEXT, FLAG, U64, UNSIGNED, ON_TIMEOUT, STORAGE, MEDIA, AUTH };

static const struct member {
	const char *name;
	enum type type;
	size_t at;
	uint64_t max;
} members[] = {
#define AT(m) offsetof(struct migrate_config, m)
    {"qmp", TEXT, AT(qmp), 107},
    {"dest", TEXT, AT(dest), 512},
    {"dest_address", TEXT, AT(dest_address), 300},
    {"auth", AUTH, AT(auth), 0},
    {"state_dir", TEXT, AT(state_dir), 512},
    {"dest_qmp", TEXT, AT(dest_qmp), 4096},
    {"disks", TEXT, AT(disks), 65536},
    {"copy_storage", STORAGE, AT(storage), 0},
    {"copy_media", MEDIA, AT(media), 0},
    {"target", TEXT, AT(target), 65536},
    {"storage", TEXT, AT(storages), 65536},
    {"drop_snapshots", FLAG, AT(drop_snapshots), 0},
    {"rename", TEXT, AT(rename), 255},
    {"net", TEXT, AT(net), 16384},
    {"offline", FLAG, AT(offline), 0},
    {"persistent", FLAG, AT(persistent), 0},
    {"keep_source", FLAG, AT(keep_source), 0},
    {"max_bandwidth", U64, AT(limits.max_bandwidth), INT64_MAX},
    {"downtime_limit", U64, AT(limits.downtime_ms), MIGRATE_DOWNTIME_MAX_MS},
    {"timeout", UNSIGNED, AT(limits.timeout_s), MIGRATE_TIMEOUT_MAX_S},
    {"on_timeout", ON_TIMEOUT, AT(limits.on_timeout), 0},
    {"multifd", UNSIGNED, AT(multifd), 255},
    {"compression", TEXT, AT(compression), 16},
    {"auto_converge", FLAG, AT(auto_converge), 0},
    {"xbzrle", FLAG, AT(xbzrle), 0},
    {"postcopy", FLAG, AT(postcopy), 0},
#undef AT
};

enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

static const char *const on_timeouts[] = {"abort", "suspend", "postcopy"};
static const char *const storages[] = {"all", "inc", "none"};
static const char *const medias[] = {"auto", "on", "off"};

const char *migrate_on_timeout_name(enum migrate_on_timeout v)
{
	return on_timeouts[v];
}

const char *migrate_storage_name(enum migrate_storage v)
{
	return storages[v];
}

static int word(const char *const *words, const char *text)
{
	for (int i = 0; text && i < 3; i++)
		if (strcmp(words[i], text) == 0)
			return i;
	return -1;
}

int migrate_on_timeout_parse(enum migrate_on_timeout *out, const char *text, struct err *e)
{
	int i = word(on_timeouts, text);

	if (i < 0)
		return err_set(e, ERR_USAGE, "--on-timeout \"%s\": abort, suspend or postcopy",
			       text ? text : "");
	*out = (enum migrate_on_timeout)i;
	return 0;
}

int migrate_storage_parse(enum migrate_storage *out, const char *text, struct err *e)
{
	int i = word(storages, text);

	if (i < 0)
		return err_set(e, ERR_USAGE, "--copy-storage \"%s\": all, inc or none",
			       text ? text : "");
	*out = (enum migrate_storage)i;
	return 0;
}

int migrate_media_parse(enum media_copy *out, const char *text, struct err *e)
{
	int i = word(medias, text);

	if (i < 0)
		return err_set(e, ERR_USAGE, "--copy-media \"%s\": auto, on or off",
			       text ? text : "");
	*out = (enum media_copy)i;
	return 0;
}

json_t *migrate_config_to_json(const struct migrate_config *c)
{
	json_t *v = json_object();

	for (size_t i = 0; v && i < MEMBERS; i++) {
		const void *at = (const char *)c + members[i].at;
		json_t *item = NULL;

		switch (members[i].type) {
		case TEXT:
			if (*(const char *const *)at)
				item = json_string(*(const char *const *)at);
			break;
		case FLAG:
			if (*(const bool *)at)
				item = json_true();
			break;
		case U64:
			if (*(const uint64_t *)at)
				item = json_integer((json_int_t) * (const uint64_t *)at);
			break;
		case UNSIGNED:
			if (*(const unsigned *)at)
				item = json_integer(*(const unsigned *)at);
			break;
		case ON_TIMEOUT:
			if (*(const enum migrate_on_timeout *)at)
				item =
				    json_string(on_timeouts[*(const enum migrate_on_timeout *)at]);
			break;
		case STORAGE:
			if (*(const enum migrate_storage *)at)
				item = json_string(storages[*(const enum migrate_storage *)at]);
			break;
		case MEDIA:
			if (*(const enum media_copy *)at)
				item = json_string(medias[*(const enum media_copy *)at]);
			break;
		case AUTH:
			item = auth_to_json(at);
			if (!json_object_size(item)) {
				json_decref(item);
				item = NULL;
			}
			break;
		}
		if (item)
			json_object_set_new(v, members[i].name, item);
	}
	return v;
}

static int take(struct migrate_config *c, const struct member *m, const json_t *v, struct err *e)
{
	void *at = (char *)c + m->at;
	const char *text = json_string_value(v);
	json_int_t n = json_integer_value(v);

	switch (m->type) {
	case TEXT:
		if (!text || !*text || strlen(text) > m->max)
			return err_set(e, ERR_USAGE, "%s: a text of 1 to %llu bytes is needed",
				       m->name, (unsigned long long)m->max);
		*(const char **)at = text;
		return 0;
	case FLAG:
		if (!json_is_boolean(v))
			return err_set(e, ERR_USAGE, "%s: true or false is needed", m->name);
		*(bool *)at = json_is_true(v);
		return 0;
	case U64:
	case UNSIGNED:
		if (!json_is_integer(v) || n < 0 || (uint64_t)n > m->max)
			return err_set(e, ERR_USAGE, "%s: a whole number from 0 to %llu is needed",
				       m->name, (unsigned long long)m->max);
		if (m->type == U64)
			*(uint64_t *)at = (uint64_t)n;
		else
			*(unsigned *)at = (unsigned)n;
		return 0;
	case ON_TIMEOUT:
		return migrate_on_timeout_parse(at, text, e);
	case STORAGE:
		return migrate_storage_parse(at, text, e);
	case MEDIA:
		return migrate_media_parse(at, text, e);
	case AUTH:
		return auth_from_json(at, v, e);
	}
	return err_set(e, ERR_INTERNAL, "%s has no type", m->name);
}

int migrate_config_from_json(struct migrate_config *c, const json_t *v, struct err *e)
{
	const char *key;
	json_t *item;
	size_t i;

	memset(c, 0, sizeof(*c));
	if (!json_is_object(v))
		return err_set(e, ERR_USAGE, "an object is needed");
	json_object_foreach((json_t *)v, key, item)
	{
		for (i = 0; i < MEMBERS && strcmp(members[i].name, key) != 0; i++)
			;
		if (i == MEMBERS)
			return err_set(e, ERR_USAGE, "\"%.64s\" is not known", key);
		if (take(c, &members[i], item, e) < 0)
			return e ? (int)e->code : ERR_USAGE;
	}
	return 0;
}

/* The credentials are options of their own on the command line, and one object in JSON. */
static int put_auth(json_t *v, const char *name, const char *text, struct err *e)
{
	json_t *auth = json_object_get(v, "auth");

	if (!auth) {
		auth = json_object();
		json_object_set_new(v, "auth", auth);
	}
	if (strncmp(name, "ssh_", 4) != 0 && strcmp(name, "identity") != 0 &&
	    (json_object_get(auth, "psk") || json_object_get(auth, "tls_creds") ||
	     json_object_get(auth, "insecure")))
		return err_set(e, ERR_USAGE, "one of psk, tls-creds and insecure, not two");
	if (strcmp(name, "insecure") == 0) {
		json_object_set_new(auth, name, json_true());
		return 0;
	}
	if (!text || !*text)
		return err_set(e, ERR_USAGE, "%s: a value is missing", name);
	json_object_set_new(auth, name, json_string(text));
	return 0;
}

static int put_number(json_t *v, const struct member *m, const char *text, struct err *e)
{
	bool rate = m->at == offsetof(struct migrate_config, limits.max_bandwidth);
	bool time = m->at == offsetof(struct migrate_config, limits.downtime_ms) ||
		    m->at == offsetof(struct migrate_config, limits.timeout_s);
	uint64_t n = 0;
	char *end;

	if (rate && strcmp(text, "0") != 0 && strcmp(text, "none") != 0) {
		if (size_parse_rate(&n, text, e) < 0)
			return err_prefix(e, "%s", m->name);
	} else if (time && strcmp(text, "0") != 0 && strcmp(text, "none") != 0) {
		if (duration_parse(&n, text, m->type == U64 ? DURATION_MS : DURATION_S, m->max, e) <
		    0)
			return err_prefix(e, "%s", m->name);
	} else if (strcmp(text, "none") != 0) {
		n = strtoull(text, &end, 10);
		if (*text < '0' || *text > '9' || *end)
			n = UINT64_MAX;
	}
	if (n > m->max)
		return err_set(e, ERR_USAGE, "%s \"%.64s\": a whole number from 0 to %llu", m->name,
			       text, (unsigned long long)m->max);
	json_object_set_new(v, m->name, json_integer((json_int_t)n));
	return 0;
}

int migrate_config_put(json_t *v, const char *name, const char *text, struct err *e)
{
	char key[32] = "";
	size_t i;

	if (strncmp(name, "--", 2) == 0)
		name += 2;
	for (i = 0; name[i] && i < sizeof(key) - 1; i++)
		key[i] = (char)(name[i] == '-' ? '_' : name[i]);
	if (strcmp(key, "psk") == 0 || strcmp(key, "tls_creds") == 0 ||
	    strcmp(key, "insecure") == 0 || strcmp(key, "ssh_config") == 0 ||
	    strcmp(key, "identity") == 0)
		return put_auth(v, key, text, e);
	if (strcmp(key, "remote_command") == 0)
		return put_auth(v, "ssh_command", text, e);
	for (i = 0; i < MEMBERS && strcmp(members[i].name, key) != 0; i++)
		;
	if (i == MEMBERS || members[i].type == AUTH)
		return err_set(e, ERR_USAGE, "\"%.64s\" is not known", name);
	if (members[i].type == FLAG) {
		if (text && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return err_set(e, ERR_USAGE, "%s: true or false is needed", key);
		json_object_set_new(v, key, json_boolean(!text || strcmp(text, "true") == 0));
		return 0;
	}
	if (!text || !*text)
		return err_set(e, ERR_USAGE, "%s: a value is missing", key);
	if (members[i].type == U64 || members[i].type == UNSIGNED)
		return put_number(v, &members[i], text, e);
	/* Two words that --disks has beside the names of disks. */
	if (strcmp(key, "disks") == 0 && strcmp(text, "all") == 0)
		return 0;
	if (strcmp(key, "disks") == 0 && strcmp(text, "none") == 0) {
		json_object_set_new(v, "copy_storage", json_string("none"));
		return 0;
	}
	if (json_object_set_new(v, key, json_string(text)) < 0)
		return err_set(e, ERR_USAGE, "%s: the text is not UTF-8", key);
	return 0;
}

/* Texts that the record of the job would not take. */
static int check_texts(const struct migrate_config *c, struct err *e)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		const char *text = NULL;
		char name[32];
		json_t *v;

		if (members[i].type == TEXT)
			text = *(const char *const *)((const char *)c + members[i].at);
		if (!text)
			continue;
		snprintf(name, sizeof(name), "--%s", members[i].name);
		for (char *p = name; *p; p++)
			*p = (char)(*p == '_' ? '-' : *p);
		if (strcmp(name, "--dest") == 0)
			snprintf(name, sizeof(name), "DEST");
		if (!*text)
			return err_set(e, ERR_USAGE, "%s is empty", name);
		if (strlen(text) > members[i].max)
			return err_set(e, ERR_USAGE, "%s \"%.40s...\": %zu bytes, and %llu may be",
				       name, text, strlen(text),
				       (unsigned long long)members[i].max);
		v = json_string(text);
		if (!v)
			return err_set(e, ERR_USAGE, "%s \"%s\": the text is not UTF-8", name,
				       text);
		json_decref(v);
	}
	return 0;
}

/* What of a monitor's path cannot be one, whatever is there. */
static int check_qmp(const char *name, const char *path, struct err *e)
{
	const char *bare = strncmp(path, "unix:", 5) == 0 ? path + 5 : path;
	const char *comma = strstr(bare, ",server");

	if (strncmp(path, "tcp:", 4) == 0 || strncmp(path, "telnet:", 7) == 0 ||
	    strstr(path, "://"))
		return err_set(e, ERR_USAGE,
			       "%s %s: give the path of a unix socket; QEMU makes one with -qmp "
			       "unix:/path,server=on,wait=off",
			       name, path);
	if (comma)
		return err_set(e, ERR_USAGE, "%s %s: give the path alone: %.*s", name, path,
			       (int)(comma - bare), bare);
	return 0;
}

/* NODE,...: each of them once. */
static int check_disks(const char *disks, struct err *e)
{
	const char *at = disks;

	while (at) {
		const char *end = strchr(at, ','), *other = disks;
		size_t len = end ? (size_t)(end - at) : strlen(at);

		if (len == 0)
			return err_set(e, ERR_USAGE,
				       "--disks \"%s\": a name in it is empty: all, none, or "
				       "NODE,...",
				       disks);
		if ((len == 3 && strncmp(at, "all", 3) == 0) ||
		    (len == 4 && strncmp(at, "none", 4) == 0))
			return err_set(e, ERR_USAGE, "--disks \"%s\": %.*s stands alone", disks,
				       (int)len, at);
		for (; other < at; other = strchr(other, ',') + 1)
			if (strncmp(other, at, len) == 0 && other[len] == ',')
				return err_set(e, ERR_USAGE, "--disks \"%s\": %.*s stands twice",
					       disks, (int)len, at);
		at = end ? end + 1 : NULL;
	}
	return 0;
}

int migrate_config_check(const struct migrate_config *c, struct err *e)
{
	int rc = check_texts(c, e);

	if (rc == 0 && c->qmp)
		rc = check_qmp("--qmp", c->qmp, e);
	if (rc == 0 && c->dest_qmp)
		rc = check_qmp("--dest-qmp", c->dest_qmp, e);
	if (rc == 0 && c->disks)
		rc = check_disks(c->disks, e);
	if (rc == 0 && c->net)
		rc = vmdesc_net_check(c->net, e);
	if (rc == 0 && c->storages)
		rc = vmdesc_storage(NULL, c->storages, e);
	if (rc < 0)
		return rc;
	if (c->dest_qmp && c->dest_qmp[0] != '/')
		return err_set(e, ERR_USAGE,
			       "--dest-qmp %s: give the absolute path of the monitor's socket on "
			       "the destination",
			       c->dest_qmp);
	if (!c->qmp)
		return err_set(e, ERR_USAGE, "--qmp SOCKET is missing");
	if (!c->dest)
		return err_set(e, ERR_USAGE, "DEST is missing");
	if (c->compression && !c->multifd)
		return err_set(e, ERR_USAGE, "--compression needs --multifd");
	if (c->compression && strcmp(c->compression, "zlib") != 0 &&
	    strcmp(c->compression, "zstd") != 0)
		return err_set(e, ERR_USAGE, "--compression \"%s\": zlib or zstd", c->compression);
	if (c->limits.on_timeout == MIGRATE_POSTCOPY && !c->postcopy)
		return err_set(e, ERR_USAGE, "--on-timeout postcopy needs --postcopy");
	if (c->limits.on_timeout != MIGRATE_ABORT && !c->limits.timeout_s)
		return err_set(e, ERR_USAGE, "--on-timeout needs --timeout");
	if (c->multifd && c->xbzrle)
		return err_set(e, ERR_USAGE, "--multifd and --xbzrle cannot go together");
	if (c->offline && c->postcopy)
		return err_set(
		    e, ERR_USAGE,
		    "--offline and --postcopy cannot go together: a paused guest needs no "
		    "page at once");
	if (c->persistent && c->dest_qmp)
		return err_set(e, ERR_USAGE,
			       "--persistent and --dest-qmp cannot go together: whoever started "
			       "the QEMU that waits knows how to start it again");
	if (c->net && c->dest_qmp)
		return err_set(e, ERR_USAGE,
			       "--net and --dest-qmp cannot go together: the QEMU that waits has "
			       "its networks already");
	if (c->rename && vmdesc_check_name(c->rename, e) < 0)
		return err_prefix(e, "--rename");
	if (c->target && c->dest_qmp)
		return err_set(e, ERR_USAGE,
			       "--target and --dest-qmp cannot go together: the QEMU that waits "
			       "has its images");
	if (c->storages && c->dest_qmp)
		return err_set(e, ERR_USAGE,
			       "--storage and --dest-qmp cannot go together: the QEMU that waits "
			       "has its images");
	if (c->storage == MIGRATE_STORAGE_NONE && c->storages)
		return err_set(e, ERR_USAGE,
			       "--copy-storage none and --storage cannot go together: in a storage "
			       "is what is copied");
	if (c->storage == MIGRATE_STORAGE_NONE && c->disks)
		return err_set(e, ERR_USAGE, "--copy-storage none and --disks cannot go together");
	return 0;
}
