/*
 * Who has which chardev: read once of all options, as a source may send thousands of them, each
 * of which asks.
 */
#include "control/twin/twin_i.h"

#include <string.h>

/* What is known of an id, as keys of its object in p->behind. */
static const char mon[] = "mon", other[] = "other", client[] = "client", channel[] = "channel",
		  tpm[] = "tpm";

bool twin_is_channel(const char *backend)
{
	return strcmp(backend, "spicevmc") == 0 || strcmp(backend, "spiceport") == 0;
}

static void mark(struct twin_plan *p, const char *id, const char *what)
{
	json_t *o = json_object_get(p->behind, id);

	if (!o) {
		o = json_object();
		json_object_set_new(p->behind, id, o);
	}
	json_object_set_new(o, what, json_true());
}

static bool is(const struct twin_plan *p, const char *id, const char *what)
{
	return json_object_get(json_object_get(p->behind, id), what);
}

/* An option that may have a chardev behind it: chardev=ID, or "-serial chardev:ID". */
static void read_user(struct twin_plan *p, const struct qargs_item *it, const char *what)
{
	struct qopts o = {0};
	json_t *json = NULL;
	const char *id = NULL;

	if (!it->value)
		return;
	if (*it->value == '{')
		json = json_loads(it->value, 0, NULL);
	else
		qopts_parse(&o, it->value, "chardev");
	id = json ? json_string_value(json_object_get(json, "chardev")) : qopts_get(&o, "chardev");
	if (id)
		mark(p, strncmp(id, "chardev:", 8) == 0 ? id + 8 : id, what);
	qopts_fini(&o);
	json_decref(json);
}

static void read_chardev(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	const char *id, *backend, *below;

	if (qopts_parse(&o, value, "backend") < 0)
		return;
	id = qopts_get(&o, "id");
	backend = qopts_get(&o, "backend");
	below = qopts_get(&o, "chardev"); /* of a mux */
	if (id && backend && strcmp(backend, "socket") == 0 && !qopts_is_on(&o, "server") &&
	    !qopts_get(&o, "fd"))
		mark(p, id, client);
	if (id && backend && twin_is_channel(backend))
		mark(p, id, channel);
	if (below)
		mark(p, below, other);
	qopts_fini(&o);
}

static void read_tpm(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	const char *type, *id;

	if (qopts_parse(&o, value, "type") < 0)
		return;
	type = qopts_get(&o, "type");
	id = qopts_get(&o, "chardev");
	if (type && id && strcmp(type, "emulator") == 0) {
		mark(p, id, tpm);
		p->has_tpm = true;
	}
	qopts_fini(&o);
}

int twin_behind_read(struct twin_plan *p)
{
	p->behind = json_object();
	if (!p->behind)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	for (size_t i = 0; i < p->args->count; i++) {
		const struct qargs_item *it = &p->args->at[i];

		if (!it->option)
			continue;
		p->has_spice = p->has_spice || it->option->rule == QARGS_SPICE;
		if (it->option->rule == QARGS_CHARDEV) {
			read_chardev(p, it->value);
			continue;
		}
		read_user(p, it, it->option->rule == QARGS_MON ? mon : other);
		if (it->option->rule == QARGS_TPMDEV)
			read_tpm(p, it->value);
	}
	return 0;
}

bool twin_is_of_monitor(const struct twin_plan *p, const char *id)
{
	return is(p, id, mon) && is(p, id, client) && !is(p, id, other);
}

bool twin_is_spice(const struct twin_plan *p, const char *id)
{
	return p->has_spice && is(p, id, channel);
}

bool twin_tpm_has(const struct twin_plan *p, const char *chardev)
{
	return chardev ? is(p, chardev, tpm) : p->has_tpm;
}
