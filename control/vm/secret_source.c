/*
 * QEMU's secrets on the source: see secret_source.h. They are asked for over QMP (QOM), as a
 * command line may be overwritten, and one may have come at run time.
 */
#include "control/vm/secret_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "control/qmp.h"
#include "control/vm/qopts.h"
#include "control/vm/secret_file.h"
#include "control/vm/json_text.h"

static json_t *find(const json_t *secrets, const char *id)
{
	json_t *s;
	size_t i;

	json_array_foreach(secrets, i, s) if (strcmp(json_text(s, "id"), id) == 0) return s;
	return NULL;
}

/* ---- the command line ---- */

/* The type and id of -object's value where it is a secret of any kind. */
static bool read_object(const char *value, char *type, char *id, size_t size)
{
	struct qopts o = {0};
	json_t *json = NULL;
	const char *t, *i;

	if (*value == '{') {
		json = json_loads(value, 0, NULL);
		t = json_text(json, "qom-type");
		i = json_text(json, "id");
	} else {
		qopts_parse(&o, value, "qom-type");
		t = qopts_get(&o, "qom-type");
		i = qopts_get(&o, "id");
	}
	snprintf(type, size, "%s", t ? t : "");
	snprintf(id, size, "%s", i ? i : "");
	for (size_t k = 0; k < o.count; k++)
		explicit_bzero(o.at[k].value, strlen(o.at[k].value));
	qopts_fini(&o);
	json_decref(json);
	return strncmp(type, "secret", 6) == 0;
}

/* -spice password=...: that there is one is all that goes over. */
static void scrub_password(json_t *argv, size_t i, const char *value)
{
	struct qopts o = {0};
	char *text = NULL;

	if (qopts_parse(&o, value, NULL) < 0)
		return;
	if (qopts_get(&o, "password") && qopts_set(&o, "password", "") == 0 &&
	    (text = qopts_text(&o)) != NULL) {
		explicit_bzero((char *)(uintptr_t)value, strlen(value));
		json_array_set_new(argv, i, json_string(text));
	}
	free(text);
	qopts_fini(&o);
}

void secret_scrub(json_t *argv, json_t *secrets)
{
	char type[256], id[256], word[600];

	for (size_t i = 1; i + 1 < json_array_size(argv); i++) {
		const char *name = json_string_value(json_array_get(argv, i));
		const char *value = json_string_value(json_array_get(argv, i + 1));

		if (strcmp(name, "-spice") == 0 || strcmp(name, "--spice") == 0)
			scrub_password(argv, i + 1, value);
		if ((strcmp(name, "-object") != 0 && strcmp(name, "--object") != 0) ||
		    !read_object(value, type, id, sizeof(type)))
			continue;
		snprintf(word, sizeof(word), "%s,id=%s", type, id);
		explicit_bzero((char *)value, strlen(value));
		json_array_set_new(argv, i + 1, json_string(word));
		if (!find(secrets, id))
			json_array_append_new(secrets,
					      json_pack("{s:s,s:s}", "id", id, "type", type));
	}
}

/* ---- what QEMU says of them ---- */

enum { TYPE, FILE_NAME, FORMAT, KEYID, IV, PROPERTIES };
static const char *const properties[PROPERTIES] = {"type", "file", "format", "keyid", "iv"};

/* Owned by its batch. What was asked for is marked `asked`. */
struct describe {
	json_t *secrets;
	secret_on_described *fn;
	void *ctx;
};

static void ask(struct qmp *q, const struct describe *from);

static void set_problem(json_t *s, const char *problem)
{
	char text[1024]; /* what a cookie takes */

	snprintf(text, sizeof(text), "%s", problem);
	json_object_set_new(s, "problem", json_string(err_printable(text)));
}

void secret_keep_from(json_t *secrets, const char *session_peer)
{
	json_t *s;
	size_t i;

	if (strncmp(session_peer, "tcp:", 4) != 0)
		return;
	json_array_foreach(secrets, i, s)
	{
		if (!json_object_get(s, "problem"))
			set_problem(s, "would go to the destination in plaintext: use tls:// or "
				       "ssh://");
	}
}

/* Why one that QEMU has cannot be taken along. */
static void judge(struct qmp *q, json_t *s)
{
	struct err e = ERR_INIT;
	int fd;

	if (strcmp(json_text(s, "type"), "secret_keyring") == 0)
		set_problem(s,
			    "is in the keyring of the source host's kernel, which adit does not "
			    "read: start the VM with -object secret,file=..., or start it on the "
			    "destination yourself and use --dest-qmp");
	else if (strcmp(json_text(s, "type"), "secret") != 0)
		set_problem(s, "is not there any more in QEMU (object-del?): start the VM on the "
			       "destination yourself and use --dest-qmp");
	if (!*json_text(s, "file") || json_object_get(s, "problem"))
		return;
	fd = secret_file_open(qmp_peer_pid(q), json_text(s, "file"), &e);
	if (fd < 0)
		set_problem(s, e.text);
	fd_close(&fd);
}

static void on_properties(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	const struct describe d = *(const struct describe *)ctx;
	json_t *s, *first = NULL;
	unsigned at = 0;
	size_t i;

	if (e->code == ERR_CLOSED)
		return; /* whoever has the monitor is told so */
	json_array_foreach(d.secrets, i, s)
	{
		if (json_object_get(s, "asked"))
			continue;
		json_object_set_new(s, "asked", json_true());
		for (unsigned k = 0; k < PROPERTIES; k++) {
			json_t *v = qmp_batch_result(b, at++);

			if (k == TYPE || (json_is_string(v) && *json_string_value(v)))
				json_object_set(s, properties[k], v ? v : json_null());
		}
		judge(q, s);
		/* What it is encrypted with has to be there before it. */
		if (!first && *json_text(s, "keyid") && !find(d.secrets, json_text(s, "keyid")))
			first = json_pack("{s:s}", "id", json_text(s, "keyid"));
	}
	if (first && json_array_size(d.secrets) < 64) {
		json_array_insert_new(d.secrets, 0, first);
		ask(q, &d);
		return;
	}
	json_decref(first);
	d.fn(d.ctx);
}

static void ask(struct qmp *q, const struct describe *from)
{
	struct qmp_batch *b = qmp_batch_new();
	struct describe *d = malloc(sizeof(*d));
	char path[300];
	json_t *s;
	size_t i;

	json_array_foreach(from->secrets, i, s)
	{
		if (json_object_get(s, "asked"))
			continue;
		snprintf(path, sizeof(path), "/objects/%s", json_text(s, "id"));
		for (unsigned k = 0; k < PROPERTIES; k++)
			qmp_batch_add(
			    b, QMP_MAY, "qom-get",
			    json_pack("{s:s,s:s}", "path", path, "property", properties[k]));
	}
	if (!b || !d) {
		qmp_batch_free(b);
		free(d);
		from->fn(from->ctx);
		return;
	}
	*d = *from;
	qmp_batch_own(b, d);
	qmp_batch_run(b, q, on_properties, d);
}

void secret_describe(struct qmp *q, json_t *secrets, const json_t *disks, secret_on_described *fn,
		     void *ctx)
{
	const struct describe d = {secrets, fn, ctx};
	const json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk)
	{
		const char *id = json_text(json_object_get(disk, "encryption"), "secret");

		if (*id && !find(secrets, id))
			json_array_append_new(secrets, json_pack("{s:s}", "id", id));
	}
	if (json_array_size(secrets))
		ask(q, &d);
	else
		fn(ctx);
}

/* ---- what is in them ---- */

static void set_data(json_t *out, const unsigned char *data, size_t len)
{
	char *hex = malloc(2 * len + 1);

	for (size_t i = 0; hex && i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", data[i]);
	if (hex) {
		hex[2 * len] = 0;
		json_object_set_new(out, "data", json_string(hex));
		explicit_bzero(hex, 2 * len);
	}
	free(hex);
}

static void read_data(pid_t pid, const json_t *s, const json_t *inline_data, json_t *out)
{
	unsigned char data[SECRET_MAX];
	struct err e = ERR_INIT;
	ssize_t n = -1;
	int fd = -1;

	if (json_object_get(out, "problem"))
		return;
	if (!*json_text(s, "file") && json_is_string(inline_data) &&
	    json_string_length(inline_data) <= sizeof(data)) {
		n = (ssize_t)json_string_length(inline_data);
		memcpy(data, json_string_value(inline_data), (size_t)n);
	} else if (*json_text(s, "file")) {
		fd = secret_file_open(pid, json_text(s, "file"), &e);
		if (fd >= 0)
			n = read(fd, data, sizeof(data));
	}
	if (n >= 0)
		set_data(out, data, (size_t)n);
	explicit_bzero(data, sizeof(data));
	fd_close(&fd);
	if (!json_object_get(out, "data"))
		set_problem(out, err_is_set(&e) ? e.text : "cannot be read from QEMU");
}

static json_t *names_of(const json_t *s)
{
	json_t *out = json_pack("{s:s}", "id", json_text(s, "id"));

	for (unsigned k = FORMAT; k < PROPERTIES; k++)
		if (*json_text(s, properties[k]))
			json_object_set(out, properties[k], json_object_get(s, properties[k]));
	if (json_object_get(s, "problem"))
		json_object_set(out, "problem", json_object_get(s, "problem"));
	return out;
}

json_t *secret_names(const json_t *secrets)
{
	json_t *out = json_array();
	const json_t *s;
	size_t i;

	json_array_foreach(secrets, i, s) json_array_append_new(out, names_of(s));
	return out;
}

struct fetch {
	const json_t *secrets;
	secret_on_fetched *fn;
	void *ctx;
};

static void on_data(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *why)
{
	const struct fetch *f = ctx;
	json_t *out = err_is_set(why) ? NULL : json_array(), *item;
	const json_t *s;
	size_t i;

	if (out)
		json_array_foreach(f->secrets, i, s)
		{
			item = names_of(s);
			read_data(qmp_peer_pid(q), s, qmp_batch_result(b, (unsigned)i), item);
			json_array_append_new(out, item);
		}
	f->fn(f->ctx, out, why);
}

void secret_fetch(struct qmp *q, const json_t *secrets, secret_on_fetched *fn, void *ctx)
{
	struct qmp_batch *b = qmp_batch_new();
	struct fetch *f = malloc(sizeof(*f));
	struct err e = ERR_INIT;
	const json_t *s;
	char path[300];
	size_t i;

	json_array_foreach(secrets, i, s)
	{
		snprintf(path, sizeof(path), "/objects/%s", json_text(s, "id"));
		qmp_batch_add(b, QMP_MAY, "qom-get",
			      json_pack("{s:s,s:s}", "path", path, "property", "data"));
	}
	if (!b || !f) {
		qmp_batch_free(b);
		free(f);
		err_set(&e, ERR_SPACE, "no memory for the VM's secrets");
		fn(ctx, NULL, &e);
		return;
	}
	*f = (struct fetch){secrets, fn, ctx};
	qmp_batch_own(b, f);
	qmp_batch_run(b, q, on_data, f);
}
