/*
 * Begin and Prepare on the source: the VM is read, what forbids a migration is looked
 * for, leftovers of a dead job are cleared, and the destination is asked. Here, too,
 * is what QEMU's monitor says in every state.
 */
#include "control/source/migrate_i.h"

#include <string.h>

#include "base/clock.h"
#include "base/point.h"
#include "base/process.h"
#include "control/check.h"
#include "control/vm.h"
#include "control/wish.h"

enum {
	CLEAR_EVERY_MS = 50,
	CLEAR_LOOKS = 40,
};

static void prepare(struct migrate *m)
{
	struct err e = ERR_INIT;

	POINT("s-begin");
	if (migrate_record(m, "prepare", &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	if (!migrate_enter(m, MIGRATE_PREPARE))
		return;
	if (migrate_connect(m, &e) < 0)
		migrate_fail(m, &e);
}

/* One node behind two disks would hold neither of them. nodes: those of disks, in their order. */
static int check_nodes(const json_t *disks, const json_t *nodes, struct err *e)
{
	size_t i, k;
	json_t *node;

	if (nodes && json_array_size(nodes) != json_array_size(disks))
		return err_set(e, ERR_PROTOCOL, "the destination named %zu nodes for %zu disks",
			       json_array_size(nodes), json_array_size(disks));
	json_array_foreach(nodes, i, node)
	{
		for (k = 0; k < i && !json_equal(node, json_array_get(nodes, k)); k++)
			;
		if (k < i)
			return err_set(e, ERR_PROTOCOL,
				       "the destination would copy disks %s and %s into one node, "
				       "%.100s",
				       json_string_value(json_array_get(disks, k)),
				       json_string_value(json_array_get(disks, i)),
				       json_string_value(node));
	}
	return 0;
}

/* What the destination opened to the copy must be exactly what is to be copied: a disk that
 * it left out would be missing from the VM there. */
static int check_prepared(const struct migrate *m, const json_t *msg, struct err *e)
{
	const json_t *there = json_object_get(msg, "disks");
	size_t wanted = 0, matches, i, k;

	for (i = 0; i < m->desc.disk_count; i++) {
		const struct vmdesc_disk *d = &m->desc.disks[i];

		if (!d->copy)
			continue;
		wanted++;
		for (k = 0, matches = 0; k < json_array_size(there); k++)
			matches +=
			    strcmp(json_string_value(json_array_get(there, k)), d->name) == 0;
		if (matches != 1)
			return err_set(e, ERR_PROTOCOL,
				       "the destination prepared disk %s %zu times, not once",
				       d->name, matches);
	}
	if (check_nodes(there, json_object_get(msg, "nodes"), e) < 0)
		return e->code;
	if (json_array_size(there) != wanted)
		return err_set(e, ERR_PROTOCOL,
			       "the destination prepared %zu disks, and %zu are to be copied",
			       json_array_size(there), wanted);
	return 0;
}

void migrate_prepared(struct migrate *m, const json_t *msg)
{
	struct err e = ERR_INIT;
	size_t i;
	json_t *note;

	if (check_prepared(m, msg, &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	m->prepared = json_incref((json_t *)msg);
	event_del(m->ev_answer);
	json_array_foreach(json_object_get(msg, "notes"), i, note)
	    migrate_note(m, "%s", json_string_value(note));
	if (migrate_record(m, "perform", &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	m->touched = true;
	migrate_perform(m);
}

/* What can be seen here that would make the migration fail; what is only worth knowing is told. */
static int check_here(struct migrate *m, struct err *e)
{
	struct check found = {0};
	char line[CHECK_LINE_MAX];
	int r;

	check_source(&found, &m->report, &m->config);
	r = check_refuse(&found, e);
	for (size_t i = 0; r == 0 && i < found.count; i++)
		if (found.at[i].level == CHECK_WARNING)
			migrate_note(m, "%s", check_line(&found.at[i], line, sizeof(line)));
	check_fini(&found);
	return r;
}

static void on_cleared(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	(void)b;
	(void)e;
	if (m->state == MIGRATE_BEGIN)
		migrate_settings_try(m, prepare);
}

/* A mirror that has ended has let go of its node. */
static void clear_nodes(struct migrate *m)
{
	struct qmp_batch *b = qmp_batch_new();
	size_t i;
	json_t *item;

	json_array_foreach(m->report.nodes, i, item)
	{
		const char *node = json_string_value(json_object_get(item, "node-name"));

		if (node && strncmp(node, "adit-", 5) == 0)
			qmp_batch_add(b, QMP_MAY, "blockdev-del",
				      json_pack("{s:s}", "node-name", node));
	}
	qmp_batch_run(b, m->qmp, on_cleared, m);
}

static void on_jobs_left(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	if (m->state != MIGRATE_BEGIN)
		return;
	if (!err_is_set(e) && json_array_size(result) && ++m->clear_looks < CLEAR_LOOKS)
		migrate_arm(m->ev_disks, CLEAR_EVERY_MS);
	else
		clear_nodes(m);
}

void migrate_begin_due(struct migrate *m)
{
	qmp_command(m->qmp, "query-block-jobs", NULL, on_jobs_left, m);
}

static void on_jobs_cancelled(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	(void)b;
	(void)e;
	if (m->state == MIGRATE_BEGIN)
		migrate_begin_due(m);
}

/* Removes what a job that died without its undo has left in QEMU: its mirrors stand. */
static void clear_leftovers(struct migrate *m)
{
	struct qmp_batch *b;
	size_t i;
	json_t *item;

	if (!json_array_size(m->report.block_jobs)) {
		clear_nodes(m);
		return;
	}
	b = qmp_batch_new();
	json_array_foreach(m->report.block_jobs, i, item) qmp_batch_add(
	    b, QMP_MAY, "block-job-cancel",
	    json_pack("{s:O,s:b}", "device", json_object_get(item, "device"), "force", 1));
	qmp_batch_run(b, m->qmp, on_jobs_cancelled, m);
}

static void on_described(void *ctx)
{
	struct migrate *m = ctx;
	struct err e = ERR_INIT;

	if (m->state != MIGRATE_BEGIN)
		return;
	if (migrate_check_unfinished(m, &e) < 0 || check_here(m, &e) < 0)
		migrate_fail(m, &e);
	else
		clear_leftovers(m);
}

static void on_read(void *ctx, struct vmdesc_report *r, const struct err *why)
{
	struct migrate *m = ctx;
	struct err e = *why;
	json_t *msg;

	if (m->state != MIGRATE_BEGIN) {
		if (r)
			vmdesc_report_fini(r);
		return;
	}
	if (err_is_set(&e)) {
		migrate_fail(m, &e);
		return;
	}
	m->report = *r;
	if (migrate_wish_select(&m->config, m->report.disks, &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	msg = json_pack("{s:O,s:O}", "vm", m->report.vm, "disks", m->report.disks);
	if (!msg || vmdesc_parse(&m->desc, msg, &e) < 0) {
		json_decref(msg);
		migrate_fail(m, &e);
		return;
	}
	json_decref(msg);
	m->described = true;
	m->was_running = m->desc.running;
	m->pid = qmp_peer_pid(m->qmp);
	m->started = m->pid > 0 ? process_started(m->pid) : 0;
	secret_describe(m->qmp, m->report.secrets, m->report.disks, on_described, m);
}

static void on_qmp_ready(void *ctx, struct qmp *q)
{
	struct migrate *m = ctx;

	if (*m->found)
		migrate_resume_ready(m);
	else
		vmdesc_read(q, on_read, m);
}

/* The guest has been stopped: by somebody at the monitor, or for the switchover. */
static void on_stop_looked(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	const char *status = json_string_value(json_object_get(result, "status"));

	(void)q;
	if (err_is_set(e) || !status || strcmp(status, "paused") != 0 ||
	    !phase_is(m->state, PHASE_EARLY) || m->paused)
		return;
	m->was_running = false;
	if (m->touched)
		migrate_record_if_can(m, "perform");
	migrate_note(m, "the VM was paused meanwhile: it will be paused on the destination");
}

static void on_qmp_event(void *ctx, struct qmp *q, const char *name, const json_t *data)
{
	struct migrate *m = ctx;

	if (strcmp(name, "STOP") == 0 && m->described && phase_is(m->state, PHASE_EARLY) &&
	    !m->paused)
		qmp_command(q, "query-status", NULL, on_stop_looked, m);
	if (strcmp(name, "RESUME") == 0 && m->described && phase_is(m->state, PHASE_EARLY)) {
		if (m->touched && !m->was_running) {
			m->was_running = true;
			migrate_record_if_can(m, "perform");
		}
		m->was_running = true;
		m->paused = false;
		m->stop_ms = 0;
	}
	if (strcmp(name, "STOP") == 0 && !m->stop_ms && phase_is(m->state, PHASE_RAM_FLOWS))
		m->stop_ms = clock_ms();
	if (phase_is(m->state, PHASE_HEARS))
		migrate_perform_event(m, name, data);
}

static void on_qmp_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct migrate *m = ctx;
	struct err e = *why;

	(void)q;
	if (*m->found && m->state == MIGRATE_BEGIN) {
		migrate_resume_no_qmp(m, why);
		return;
	}
	m->source_gone = true;
	switch (m->state) {
	case MIGRATE_PAGING:
		migrate_pages_lost(m);
		return;
	case MIGRATE_FINISH:
	case MIGRATE_ASK:
	case MIGRATE_CONFIRM:
		return; /* its part is done; the destination decides */
	case MIGRATE_END:
		migrate_source_ended(m);
		return;
	case MIGRATE_UNDO:
	case MIGRATE_OVER:
		migrate_undo_there_done(m);
		return;
	default:
		if (m->state != MIGRATE_BEGIN)
			err_prefix(&e, "the source QEMU has gone");
		migrate_fail(m, &e);
	}
}

const struct qmp_ops migrate_qmp_ops = {on_qmp_ready, on_qmp_event, on_qmp_end};
