/* The cookies' schema and its check: see cookie.h. docs/cookies.md says what each
 * field means; the tables below are the same list. No I/O but for random bytes. */
#include "control/talk/cookie.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum type { T_STRING, T_LINE, T_NAME, T_INT, T_BOOL, T_OBJECT, T_ARRAY };

enum need { OPTIONAL, REQUIRED };

/* T_LINE: a string without control characters. T_NAME: one that is safe as a part of a
 * file's name: letters, digits, . _ -, the first no dot. max: bytes of a string, an integer's
 * greatest value, elements of an array. of: an object's fields; an array's single
 * element, described by of[0] without a name. */
struct field {
	const char *name;
	enum type type;
	enum need need;
	uint64_t max;
	const struct field *of;
};

enum { NAME_MAX_LEN = 255, PATH_MAX_LEN = 4096, ARG_MAX_LEN = 256 * 1024, ARGS_MAX = 4096 };

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define INT_ANY ((uint64_t)INT64_MAX)

static const struct field arg[] = {{"", T_STRING, REQUIRED, ARG_MAX_LEN, NULL}};
static const struct field disk_name[] = {{"", T_NAME, REQUIRED, NAME_MAX_LEN, NULL}};
static const struct field name[] = {{"", T_LINE, REQUIRED, NAME_MAX_LEN, NULL}};
static const struct field note[] = {{"", T_LINE, REQUIRED, 1024, NULL}};

static const struct field qcow2[] = {
    {"compat", T_LINE, OPTIONAL, 16, NULL},
    {"cluster_size", T_INT, OPTIONAL, 64 * 1024 * 1024, NULL},
    {"refcount_bits", T_INT, OPTIONAL, 64, NULL},
    {"extended_l2", T_BOOL, OPTIONAL, 0, NULL},
    {"lazy_refcounts", T_BOOL, OPTIONAL, 0, NULL},
    {"compression_type", T_LINE, OPTIONAL, 16, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const struct field backing_fields[] = {
    {"file", T_STRING, REQUIRED, PATH_MAX_LEN, NULL}, {"format", T_LINE, REQUIRED, 64, NULL},
    {"size", T_INT, REQUIRED, INT_ANY, NULL},	      {"encrypted", T_BOOL, OPTIONAL, 0, NULL},
    {"allocated", T_INT, OPTIONAL, INT_ANY, NULL},    {NULL, 0, 0, 0, NULL},
};
static const struct field backing[] = {{"", T_OBJECT, REQUIRED, 0, backing_fields}};

static const struct field encryption[] = {
    {"format", T_LINE, REQUIRED, 64, NULL},
    {"driver", T_LINE, REQUIRED, 64, NULL},
    {"secret", T_LINE, OPTIONAL, NAME_MAX_LEN, NULL},
    {"cipher_alg", T_LINE, OPTIONAL, 64, NULL},
    {"cipher_mode", T_LINE, OPTIONAL, 64, NULL},
    {"ivgen_alg", T_LINE, OPTIONAL, 64, NULL},
    {"ivgen_hash_alg", T_LINE, OPTIONAL, 64, NULL},
    {"hash_alg", T_LINE, OPTIONAL, 64, NULL},
    {"slots", T_INT, OPTIONAL, 64, NULL},
    {"iters", T_INT, OPTIONAL, INT_ANY, NULL},
    {"detached", T_BOOL, OPTIONAL, 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

#define LIMIT(kind)                                                                                \
	{kind, T_INT, OPTIONAL, INT_ANY, NULL}, {kind "-max", T_INT, OPTIONAL, INT_ANY, NULL},     \
	{                                                                                          \
		kind "-max-length", T_INT, OPTIONAL, INT_ANY, NULL                                 \
	}
static const struct field limits[] = {
    LIMIT("bps-total"),
    LIMIT("bps-read"),
    LIMIT("bps-write"),
    LIMIT("iops-total"),
    LIMIT("iops-read"),
    LIMIT("iops-write"),
    {"iops-size", T_INT, OPTIONAL, INT_ANY, NULL},
    {NULL, 0, 0, 0, NULL},
};
#undef LIMIT

static const struct field throttle_group_fields[] = {
    {"id", T_LINE, REQUIRED, NAME_MAX_LEN, NULL},
    {"limits", T_OBJECT, REQUIRED, 0, limits},
    {NULL, 0, 0, 0, NULL},
};
static const struct field throttle_group[] = {{"", T_OBJECT, REQUIRED, 0, throttle_group_fields}};

static const struct field disk_fields[] = {
    {"name", T_NAME, REQUIRED, NAME_MAX_LEN, NULL},
    {"device", T_LINE, OPTIONAL, NAME_MAX_LEN, NULL},
    {"qdev", T_LINE, OPTIONAL, PATH_MAX_LEN, NULL},
    {"node", T_LINE, OPTIONAL, NAME_MAX_LEN, NULL},
    {"image_node", T_LINE, OPTIONAL, NAME_MAX_LEN, NULL},
    {"format", T_LINE, OPTIONAL, 64, NULL},
    {"file", T_STRING, OPTIONAL, PATH_MAX_LEN, NULL},
    {"file_id", T_LINE, OPTIONAL, 64, NULL},
    {"size", T_INT, REQUIRED, INT_ANY, NULL},
    {"allocated", T_INT, OPTIONAL, INT_ANY, NULL},
    {"cluster_size", T_INT, OPTIONAL, INT_ANY, NULL},
    {"snapshots", T_BOOL, OPTIONAL, 0, NULL},
    {"limits", T_OBJECT, OPTIONAL, 0, limits},
    {"limits_group", T_LINE, OPTIONAL, NAME_MAX_LEN, NULL},
    {"read_only", T_BOOL, REQUIRED, 0, NULL},
    {"empty", T_BOOL, REQUIRED, 0, NULL},
    {"removable", T_BOOL, REQUIRED, 0, NULL},
    {"copy", T_BOOL, REQUIRED, 0, NULL},
    {"sum", T_LINE, OPTIONAL, 64, NULL},
    {"target", T_LINE, OPTIONAL, PATH_MAX_LEN, NULL},
    {"shared_with", T_LINE, OPTIONAL, NAME_MAX_LEN, NULL},
    {"qcow2", T_OBJECT, OPTIONAL, 0, qcow2},
    {"backing", T_ARRAY, OPTIONAL, 64, backing},
    {"encryption", T_OBJECT, OPTIONAL, 0, encryption},
    {NULL, 0, 0, 0, NULL},
};
static const struct field disk[] = {{"", T_OBJECT, REQUIRED, 0, disk_fields}};

static const struct field network_fields[] = {
    {"id", T_LINE, REQUIRED, NAME_MAX_LEN, NULL},
    {"kind", T_LINE, REQUIRED, 32, NULL},
    {"bridge", T_LINE, OPTIONAL, NAME_MAX_LEN, NULL},
    {"interface", T_LINE, OPTIONAL, NAME_MAX_LEN, NULL},
    {"queues", T_INT, REQUIRED, 256, NULL},
    {"vhost", T_BOOL, REQUIRED, 0, NULL},
    {"mtu", T_INT, OPTIONAL, 65535, NULL},
    {"no_vnet_hdr", T_BOOL, OPTIONAL, 0, NULL},
    {"isolated", T_BOOL, OPTIONAL, 0, NULL},
    {"vlans", T_BOOL, OPTIONAL, 0, NULL},
    {"problem", T_LINE, OPTIONAL, 1024, NULL},
    {"wanted", T_LINE, OPTIONAL, 64, NULL},
    {NULL, 0, 0, 0, NULL},
};
static const struct field network[] = {{"", T_OBJECT, REQUIRED, 0, network_fields}};

static const struct field source_vm[] = {
    {"qemu", T_LINE, REQUIRED, 64, NULL},
    {"package", T_LINE, OPTIONAL, NAME_MAX_LEN, NULL},
    {"arch", T_LINE, REQUIRED, 64, NULL},
    {"machine", T_LINE, REQUIRED, NAME_MAX_LEN, NULL},
    {"name", T_LINE, OPTIONAL, NAME_MAX_LEN, NULL},
    {"uuid", T_LINE, OPTIONAL, 64, NULL},
    {"status", T_LINE, REQUIRED, 64, NULL},
    {"running", T_BOOL, REQUIRED, 0, NULL},
    {"memory", T_INT, REQUIRED, INT_ANY, NULL},
    {"cpus", T_INT, REQUIRED, 65536, NULL},
    {"fixed_memory", T_INT, OPTIONAL, INT_ANY, NULL},
    {"virtio_mem", T_INT, OPTIONAL, INT_ANY, NULL},
    {"accel", T_LINE, OPTIONAL, 16, NULL},
    {"cpu", T_LINE, OPTIONAL, NAME_MAX_LEN, NULL},
    {"cpu_lacks", T_ARRAY, OPTIONAL, 1024, name},
    {"cpu_flags", T_LINE, OPTIONAL, 16384, NULL},
    {"tpm", T_LINE, OPTIONAL, 16, NULL},
    {"host", T_LINE, OPTIONAL, 64, NULL},
    {"exe", T_STRING, OPTIONAL, PATH_MAX_LEN, NULL},
    {"cwd", T_STRING, OPTIONAL, PATH_MAX_LEN, NULL},
    {"argv", T_ARRAY, OPTIONAL, ARGS_MAX, arg},
    {"nodes", T_ARRAY, OPTIONAL, 4096, name},
    {"plugged", T_ARRAY, OPTIONAL, 1024, name},
    {"unplugged", T_ARRAY, OPTIONAL, 1024, name},
    {"throttle_groups", T_ARRAY, OPTIONAL, 256, throttle_group},
    {"networks", T_ARRAY, OPTIONAL, COOKIE_NETWORKS_MAX, network},
    {NULL, 0, 0, 0, NULL},
};

static const struct field dest_vm[] = {
    {"qemu", T_LINE, REQUIRED, 64, NULL},
    {"qmp", T_LINE, REQUIRED, PATH_MAX_LEN, NULL},
    {"dir", T_LINE, OPTIONAL, PATH_MAX_LEN, NULL},
    {"pid", T_INT, OPTIONAL, INT32_MAX, NULL},
    {"launched", T_BOOL, REQUIRED, 0, NULL},
    {"kept", T_LINE, OPTIONAL, PATH_MAX_LEN, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const struct field secret_fields[] = {
    {"id", T_NAME, REQUIRED, NAME_MAX_LEN, NULL},
    {"format", T_NAME, OPTIONAL, 16, NULL},
    {"keyid", T_NAME, OPTIONAL, NAME_MAX_LEN, NULL},
    {"iv", T_LINE, OPTIONAL, 64, NULL},
    {"data", T_LINE, OPTIONAL, 2 * 16384, NULL},
    {"problem", T_LINE, OPTIONAL, 1024, NULL},
    {NULL, 0, 0, 0, NULL},
};
static const struct field secret[] = {{"", T_OBJECT, REQUIRED, 0, secret_fields}};

static const struct field begin[] = {
    {"vm", T_OBJECT, REQUIRED, 0, source_vm},
    {"disks", T_ARRAY, REQUIRED, COOKIE_DISKS_MAX, disk},
    {"dest_qmp", T_LINE, OPTIONAL, PATH_MAX_LEN, NULL},
    {"storage", T_LINE, OPTIONAL, 16, NULL},
    {"rename", T_LINE, OPTIONAL, NAME_MAX_LEN, NULL},
    {"persistent", T_BOOL, OPTIONAL, 0, NULL},
    {"multifd", T_INT, OPTIONAL, 255, NULL},
    {"compression", T_LINE, OPTIONAL, 16, NULL},
    {"xbzrle", T_BOOL, OPTIONAL, 0, NULL},
    {"postcopy", T_BOOL, OPTIONAL, 0, NULL},
    {"preempt", T_BOOL, OPTIONAL, 0, NULL},
    {"secrets", T_ARRAY, OPTIONAL, COOKIE_SECRETS_MAX, secret},
    {NULL, 0, 0, 0, NULL},
};

static const struct field prepared[] = {
    {"vm", T_OBJECT, REQUIRED, 0, dest_vm},
    {"disks", T_ARRAY, REQUIRED, COOKIE_DISKS_MAX, disk_name},
    {"nodes", T_ARRAY, OPTIONAL, COOKIE_DISKS_MAX, name},
    {"notes", T_ARRAY, REQUIRED, 1024, note},
    {"host", T_NAME, REQUIRED, 32, NULL},
    {"preempt", T_BOOL, OPTIONAL, 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const struct field empty[] = {{NULL, 0, 0, 0, NULL}};

static const struct field finish[] = {
    {"run", T_BOOL, REQUIRED, 0, NULL},
    {"postcopy", T_BOOL, OPTIONAL, 0, NULL},
    {"status", T_LINE, REQUIRED, 64, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const struct field finished[] = {
    {"runs", T_BOOL, REQUIRED, 0, NULL},
    {"status", T_LINE, REQUIRED, 64, NULL},
    {"held_us", T_INT, OPTIONAL, INT_ANY, NULL},
    {"ran_us", T_INT, OPTIONAL, INT_ANY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const struct field ended[] = {
    {"source", T_LINE, REQUIRED, 64, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const struct field recover[] = {
    {"state", T_LINE, REQUIRED, 64, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const struct field recovered[] = {
    {"outcome", T_LINE, REQUIRED, 16, NULL},
    {"host", T_NAME, REQUIRED, 32, NULL},
    {"runs", T_BOOL, OPTIONAL, 0, NULL},
    {"status", T_LINE, OPTIONAL, 64, NULL},
    {"postcopy", T_BOOL, OPTIONAL, 0, NULL},
    {"reason", T_LINE, OPTIONAL, ERR_TEXT_MAX, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const struct field finding_fields[] = {
    {"check", T_NAME, REQUIRED, 64, NULL},
    {"level", T_LINE, REQUIRED, 16, NULL},
    {"text", T_LINE, REQUIRED, ERR_TEXT_MAX, NULL},
    {"mend", T_LINE, OPTIONAL, ERR_TEXT_MAX, NULL},
    {NULL, 0, 0, 0, NULL},
};
static const struct field finding[] = {{"", T_OBJECT, REQUIRED, 0, finding_fields}};

static const struct field checked[] = {
    {"findings", T_ARRAY, REQUIRED, 1024, finding},
    {NULL, 0, 0, 0, NULL},
};

static const struct field abort_fields[] = {
    {"code", T_LINE, REQUIRED, 32, NULL},
    {"reason", T_LINE, REQUIRED, ERR_TEXT_MAX, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const struct field aborted[] = {
    {"clean", T_BOOL, REQUIRED, 0, NULL},
    {"note", T_LINE, OPTIONAL, ERR_TEXT_MAX, NULL},
    {NULL, 0, 0, 0, NULL},
};

enum { FROM_SOURCE = 1 << COOKIE_SOURCE, FROM_DEST = 1 << COOKIE_DESTINATION };

static const struct {
	const char *kind, *phase;
	unsigned from;
	const struct field *fields;
} kinds[COOKIE_KINDS] = {
    [COOKIE_BEGIN] = {"begin", "begin", FROM_SOURCE, begin},
    [COOKIE_PREPARED] = {"prepared", "prepare", FROM_DEST, prepared},
    [COOKIE_DISKS_DONE] = {"disks-done", "perform", FROM_SOURCE, empty},
    [COOKIE_DISKS_CLOSED] = {"disks-closed", "perform", FROM_DEST, empty},
    [COOKIE_FINISH] = {"finish", "perform", FROM_SOURCE, finish},
    [COOKIE_FINISHED] = {"finished", "finish", FROM_DEST, finished},
    [COOKIE_CONFIRM] = {"confirm", "confirm", FROM_SOURCE, empty},
    [COOKIE_CONFIRMED] = {"confirmed", "confirm", FROM_DEST, empty},
    [COOKIE_ENDED] = {"ended", "confirm", FROM_SOURCE, ended},
    [COOKIE_RECOVER] = {"recover", "recover", FROM_SOURCE, recover},
    [COOKIE_RECOVERED] = {"recovered", "recover", FROM_DEST, recovered},
    [COOKIE_CHECK] = {"check", "check", FROM_SOURCE, begin},
    [COOKIE_CHECKED] = {"checked", "check", FROM_DEST, checked},
    [COOKIE_ABORT] = {"abort", "abort", FROM_SOURCE | FROM_DEST, abort_fields},
    [COOKIE_ABORTED] = {"aborted", "abort", FROM_DEST, aborted},
};

const char *cookie_kind_name(enum cookie_kind kind)
{
	return kinds[kind].kind;
}

static int bad(struct err *e, const char *where, const char *what)
{
	return err_set(e, ERR_PROTOCOL, "the peer's message is not valid: %s %s", where, what);
}

static int check_object(const json_t *v, const struct field *fields, const char *where,
			unsigned depth, struct err *e);

static int check_string(const json_t *v, const struct field *f, const char *where, struct err *e)
{
	const char *s = json_string_value(v);

	if (!s)
		return bad(e, where, "is not a string");
	if (json_string_length(v) > f->max)
		return bad(e, where, "is too long");
	if (strlen(s) != json_string_length(v))
		return bad(e, where, "holds a zero byte");
	if (f->type == T_NAME && (!*s || *s == '.' || s[strspn(s, NAME_CHARS)]))
		return bad(e, where, "is not a plain name");
	for (; f->type == T_LINE && *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return bad(e, where, "holds a control character");
	return 0;
}

static int check_value(const json_t *v, const struct field *f, const char *where, unsigned depth,
		       struct err *e)
{
	size_t i;
	const json_t *item;

	if (depth > COOKIE_DEPTH_MAX)
		return bad(e, where, "is nested too deeply");
	switch (f->type) {
	case T_STRING:
	case T_LINE:
	case T_NAME:
		return check_string(v, f, where, e);
	case T_INT:
		if (!json_is_integer(v))
			return bad(e, where, "is not an integer");
		if (json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > f->max)
			return bad(e, where, "is out of range");
		return 0;
	case T_BOOL:
		return json_is_boolean(v) ? 0 : bad(e, where, "is not true or false");
	case T_OBJECT:
		if (!json_is_object(v))
			return bad(e, where, "is not an object");
		return check_object(v, f->of, where, depth + 1, e);
	case T_ARRAY:
		if (!json_is_array(v))
			return bad(e, where, "is not an array");
		if (json_array_size(v) > f->max)
			return bad(e, where, "has too many elements");
		json_array_foreach(v, i, item) if (check_value(item, f->of, where, depth + 1, e) <
						   0) return e
		    ? (int)e->code
		    : ERR_PROTOCOL;
		return 0;
	}
	return bad(e, where, "has no type");
}

static int is_head(const char *key)
{
	return !strcmp(key, "adit") || !strcmp(key, "phase") || !strcmp(key, "kind") ||
	       !strcmp(key, "job");
}

static int check_object(const json_t *v, const struct field *fields, const char *where,
			unsigned depth, struct err *e)
{
	char path[128];
	const char *key;
	json_t *item;

	for (const struct field *f = fields; f->name; f++) {
		item = json_object_get(v, f->name);
		snprintf(path, sizeof(path), "%s%s%s", where, *where ? "." : "", f->name);
		if (!item && f->need == REQUIRED)
			return bad(e, path, "is missing");
		if (item && check_value(item, f, path, depth, e) < 0)
			return e ? (int)e->code : ERR_PROTOCOL;
	}
	json_object_foreach((json_t *)v, key, item)
	{
		const struct field *f = fields;

		while (f->name && strcmp(f->name, key) != 0)
			f++;
		if (f->name || (depth == 0 && is_head(key)))
			continue;
		snprintf(path, sizeof(path), "%s%s%.64s", where, *where ? "." : "", key);
		return bad(e, path, "is unknown");
	}
	return 0;
}

bool cookie_is_job(const char *text)
{
	return text && strlen(text) == COOKIE_JOB_LEN &&
	       strspn(text, "0123456789abcdef") == COOKIE_JOB_LEN;
}

int cookie_make_job(char *buf, struct err *e)
{
	unsigned char raw[COOKIE_JOB_LEN / 2];

	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return err_set_sys(e, errno, "random bytes for the job's id");
	for (size_t i = 0; i < sizeof(raw); i++)
		snprintf(buf + 2 * i, 3, "%02x", raw[i]);
	return 0;
}

int cookie_check(const json_t *msg, enum cookie_side from, enum cookie_kind *kind, struct err *e)
{
	const json_t *version = json_object_get(msg, "adit");
	const char *text = json_string_value(json_object_get(msg, "kind"));
	const char *phase = json_string_value(json_object_get(msg, "phase"));
	int i;

	if (!json_is_object(msg) || !json_is_integer(version))
		return bad(e, "adit", "is missing");
	if (json_integer_value(version) != COOKIE_VERSION)
		return err_set(e, ERR_PROTOCOL,
			       "the peer speaks version %lld of the migration's messages, this "
			       "adit version %d: use the same release on both hosts",
			       (long long)json_integer_value(version), COOKIE_VERSION);
	if (!text || !phase)
		return bad(e, text ? "phase" : "kind", "is missing");
	for (i = 0; i < COOKIE_KINDS && strcmp(kinds[i].kind, text) != 0; i++)
		;
	if (i == COOKIE_KINDS)
		return bad(e, "kind", "is unknown");
	if (!(kinds[i].from & (1u << from)))
		return bad(e, kinds[i].kind, "is not for this side to say");
	if (strcmp(kinds[i].phase, phase) != 0)
		return bad(e, "phase", "does not fit the kind");
	if (!cookie_is_job(json_string_value(json_object_get(msg, "job"))))
		return bad(e, "job", "is not a job's id");
	*kind = (enum cookie_kind)i;
	return check_object(msg, kinds[i].fields, "", 0, e);
}

int cookie_read(const char *line, size_t len, enum cookie_side from, enum cookie_kind *kind,
		json_t **msg, struct err *e)
{
	json_t *m = NULL;

	*msg = NULL;
	if (len > COOKIE_MAX)
		return err_set(e, ERR_LIMIT, "the peer's message is longer than %d bytes",
			       COOKIE_MAX);
	m = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (!m)
		return bad(e, "it", "is not JSON");
	if (cookie_check(m, from, kind, e) < 0) {
		json_decref(m);
		return e ? (int)e->code : ERR_PROTOCOL;
	}
	*msg = m;
	return 0;
}

json_t *cookie_new(enum cookie_kind kind, const char *job)
{
	return json_pack("{s:i,s:s,s:s,s:s}", "adit", COOKIE_VERSION, "phase", kinds[kind].phase,
			 "kind", kinds[kind].kind, "job", job);
}

json_t *cookie_new_abort(const char *job, const struct err *why)
{
	json_t *m = cookie_new(COOKIE_ABORT, job);
	json_t *reason = json_string(why->text);

	json_object_set_new(m, "code", json_string(err_code_name(why->code)));
	json_object_set_new(m, "reason", reason ? reason : json_string("(not UTF-8)"));
	return m;
}

void cookie_get_abort(const json_t *msg, struct err *why)
{
	const char *code = json_string_value(json_object_get(msg, "code"));
	const char *reason = json_string_value(json_object_get(msg, "reason"));
	int c;

	for (c = ERR_SYSTEM; c > ERR_INTERNAL && strcmp(err_code_name((enum err_code)c), code); c--)
		;
	err_set(why, (enum err_code)c, "%s", reason);
}
