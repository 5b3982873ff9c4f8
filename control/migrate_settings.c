/*
 * QEMU's capabilities and parameters for a migration: set just before it begins, and put back
 * when it has failed. What the job did not ask for is switched off, since an earlier
 * migration may have left it on; and what cannot go together with what it asks for.
 */
#include "control/migrate_i.h"

#include <string.h>

/* QEMU limits itself to 128 MiB/s when not told otherwise; our limit is the tunnel's. */
#define QEMU_BANDWIDTH_MAX ((json_int_t)1 << 50)

static void set(json_t *list, const char *capability, bool on)
{
	json_array_append_new(
	    list, json_pack("{s:s,s:b}", "capability", capability, "state", on ? 1 : 0));
}

static bool is_on(const struct migrate *m, const char *capability)
{
	size_t i;
	json_t *cap;

	json_array_foreach(m->report.capabilities, i, cap)
	{
		const char *name = json_string_value(json_object_get(cap, "capability"));

		if (name && strcmp(name, capability) == 0)
			return json_is_true(json_object_get(cap, "state"));
	}
	return false;
}

static json_t *capabilities(const struct migrate *m)
{
	const struct migrate_config *c = &m->config;
	const struct {
		const char *name;
		bool on;
	} wanted[] = {
	    {"events", true},
	    {"return-path", true},
	    {"pause-before-switchover", true},
	    {"multifd", c->multifd > 0},
	    {"xbzrle", c->xbzrle || (!c->multifd && is_on(m, "xbzrle"))},
	    {"auto-converge", c->auto_converge || is_on(m, "auto-converge")},
	    {"postcopy-ram", c->postcopy},
	    {"postcopy-preempt", m->preempt},
	    {"zero-copy-send", false},
	    {"x-colo", false},
	    {"background-snapshot", false},
	    {"rdma-pin-all", false},
	    {"mapped-ram", false},
	    {"x-ignore-shared", false},
	    {"block", false},
	    {"compress", false},
	};
	json_t *list = json_array();

	/* A QEMU without one of these is not to be told to switch it off. */
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (wanted[i].on || is_on(m, wanted[i].name))
			set(list, wanted[i].name, wanted[i].on);
	return list;
}

static json_t *parameters(const struct migrate *m)
{
	const struct migrate_config *c = &m->config;
	json_t *params = json_pack("{s:I}", "max-bandwidth", QEMU_BANDWIDTH_MAX);

	if (c->limits.downtime_ms)
		json_object_set_new(params, "downtime-limit",
				    json_integer((json_int_t)c->limits.downtime_ms));
	if (c->multifd) {
		json_object_set_new(params, "multifd-channels", json_integer(c->multifd));
		json_object_set_new(params, "multifd-compression",
				    json_string(c->compression ? c->compression : "none"));
	}
	if (c->postcopy)
		json_object_set_new(params, "max-postcopy-bandwidth", json_integer(0));
	return params;
}

void migrate_settings_add(struct migrate *m, struct qmp_batch *b)
{
	m->settings_changed = true;
	qmp_batch_add(b, QMP_MUST, "migrate-set-capabilities",
		      json_pack("{s:o}", "capabilities", capabilities(m)));
	qmp_batch_add(b, QMP_MUST, "migrate-set-parameters", parameters(m));
}

void migrate_settings_restore(struct migrate *m, struct qmp_batch *b)
{
	static const char *const params[] = {"max-bandwidth", "downtime-limit", "multifd-channels",
					     "multifd-compression", "max-postcopy-bandwidth"};
	json_t *list, *back;
	size_t i;
	json_t *cap;

	if (!m->settings_changed)
		return;
	list = json_array();
	back = json_object();
	json_array_foreach(m->report.capabilities, i, cap) json_array_append(list, cap);
	for (i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		json_t *v = json_object_get(m->report.parameters, params[i]);

		if (v)
			json_object_set(back, params[i], v);
	}
	qmp_batch_add(b, QMP_MAY, "migrate-set-capabilities",
		      json_pack("{s:o}", "capabilities", list));
	qmp_batch_add(b, QMP_MAY, "migrate-set-parameters", back);
}
