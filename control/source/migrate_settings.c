/*
 * QEMU's capabilities and parameters for a migration: set just before it begins, and put back
 * when it has failed. What the job did not ask for is switched off, since an earlier
 * migration may have left it on; and what cannot go together with what it asks for.
 */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <string.h>

/* QEMU limits itself to 128 MiB/s when not told otherwise; our limit is the tunnel's. */
#define QEMU_BANDWIDTH_MAX ((json_int_t)1 << 50)

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
	    {"xbzrle",
	     c->xbzrle || (!c->multifd && capabilities_are_on(m->report.capabilities, "xbzrle"))},
	    {"auto-converge",
	     c->auto_converge || capabilities_are_on(m->report.capabilities, "auto-converge")},
	    {"postcopy-ram", c->postcopy},
	    {"postcopy-preempt", m->ram.preempt},
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
		if (wanted[i].on || capabilities_are_on(m->report.capabilities, wanted[i].name))
			capabilities_add(list, wanted[i].name, wanted[i].on);
	return list;
}

static json_t *parameters(struct migrate *m)
{
	const struct migrate_config *c = &m->config;
	json_t *params = json_pack("{s:I}", "max-bandwidth", QEMU_BANDWIDTH_MAX);

	if (migrate_backlog_begins_ram(m))
		json_object_set_new(params, "downtime-limit",
				    json_integer((json_int_t)m->backlog.share_ms));
	else if (c->limits.downtime_ms)
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
	if (m->prepared)
		m->ram.preempt =
		    m->ram.preempt && json_is_true(json_object_get(m->prepared, "preempt"));
	m->qemu.settings_changed = true;
	qmp_batch_add(b, QMP_MUST, "migrate-set-capabilities",
		      json_pack("{s:o}", "capabilities", capabilities(m)));
	qmp_batch_add(b, QMP_MUST, "migrate-set-parameters", parameters(m));
}

void migrate_settings_restore(struct migrate *m, struct qmp_batch *b)
{
	static const char *const params[] = {"max-bandwidth", "downtime-limit", "multifd-channels",
					     "multifd-compression", "max-postcopy-bandwidth"};
	json_t *list = json_array(), *back = json_object();
	size_t i;
	json_t *cap;

	json_array_foreach(m->report.capabilities, i, cap) json_array_append(list, cap);
	for (i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		json_t *v = json_object_get(m->report.parameters, params[i]);

		if (v)
			json_object_set(back, params[i], v);
	}
	qmp_batch_add(b, QMP_MAY, "migrate-set-capabilities",
		      json_pack("{s:o}", "capabilities", list));
	qmp_batch_add(b, QMP_MAY, "migrate-set-parameters", back);
	m->qemu.settings_changed = false;
}

/* ---- can it? ---- */

/* What QEMU's refusal means, and the mend. */
static void explain(const struct migrate *m, struct err *e)
{
	const struct migrate_config *c = &m->config;
	const char *what = c->postcopy && c->multifd ? "--multifd and --postcopy together"
			   : c->compression	     ? "--compression"
			   : c->multifd		     ? "--multifd"
			   : c->postcopy	     ? "--postcopy"
			   : c->xbzrle		     ? "--xbzrle"
						     : "--auto-converge";
	const char *mend = c->postcopy && c->multifd ? "QEMU 10.2 and newer can"
			   : c->compression
			       ? "one that is built with that compression can, or leave it out"
			       : "leave it out";

	err_set(e, ERR_REFUSED, "the source's QEMU %s cannot do %s (%s): %s", m->desc.qemu, what,
		e->text, mend);
}

static void on_put_back(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	(void)b;
	(void)e;
	if (m->state == MIGRATE_BEGIN)
		m->begin.after_try(m);
}

static void on_tried(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;
	struct err why = *e;
	struct qmp_batch *back;

	(void)b;
	if (m->state != MIGRATE_BEGIN || why.code == ERR_CLOSED)
		return;
	back = qmp_batch_new();
	migrate_settings_restore(m, back);
	if (!err_is_set(&why)) {
		qmp_batch_run(back, q, on_put_back, m);
		return;
	}
	qmp_batch_run(back, q, NULL, NULL);
	explain(m, &why);
	migrate_fail(m, &why);
}

/* 7.2 would take both, and then go wrong. */
static bool older_than_10_2(const char *version)
{
	unsigned major = 0, minor = 0;

	sscanf(version, "%u.%u", &major, &minor);
	return major < 10 || (major == 10 && minor < 2);
}

void migrate_settings_try(struct migrate *m, void (*then)(struct migrate *m))
{
	const struct migrate_config *c = &m->config;
	struct err e = ERR_INIT;
	struct qmp_batch *b;

	m->ram.preempt = c->postcopy && !c->multifd &&
			 capabilities_know(m->report.capabilities, "postcopy-preempt");
	if (!c->multifd && !c->xbzrle && !c->auto_converge && !c->postcopy) {
		then(m);
		return;
	}
	if (c->postcopy && c->multifd && older_than_10_2(m->desc.qemu)) {
		err_set(&e, ERR_REFUSED,
			"the source's QEMU %s cannot do --multifd and --postcopy together: QEMU "
			"10.2 and newer can",
			m->desc.qemu);
		migrate_fail(m, &e);
		return;
	}
	m->begin.after_try = then;
	b = qmp_batch_new();
	migrate_settings_add(m, b);
	qmp_batch_run(b, m->qemu.qmp, on_tried, m);
}
