/*
 * The source's side of a migration: see migrate.h, and docs/phases.md for the
 * picture of its states.
 *
 * How it works. The job holds three conversations: with its own QEMU (QMP), with
 * the destination's adit (cookies over a control stream), and with its owner
 * (ops). Each phase is a file, phase_NAME.c, that says what it takes of them and where it may go;
 * what comes moves the job on, and a failure anywhere goes through migrate_fail to MIGRATE_UNDO,
 * which puts the source back and lets the destination do the same.
 *
 * The one rule that nothing bends: from FINISH on the destination may run the VM, so
 * the source VM is resumed only on the destination's word that it does not and
 * will not. That word is asked for over new sessions when it was lost
 * (MIGRATE_ASK). Where it cannot be had the VM stays paused, the result says so
 * (MIGRATE_UNKNOWN), and the journal remembers it for `adit recover`.
 */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* From the loop: the result, and nothing after it. */
static void on_result_due(evutil_socket_t fd, short what, void *ctx)
{
	struct migrate *m = ctx;
	const struct migrate_ops *ops = m->ops;
	struct migrate_result r = {.err = m->err, .outcome = m->result.outcome, .job = m->id};
	const json_t *vm = json_object_get(m->prepared, "vm");
	const char *qmp = json_string_value(json_object_get(vm, "qmp"));
	const char *dir = json_string_value(json_object_get(vm, "dir"));
	const char *kept = json_string_value(json_object_get(vm, "kept"));

	(void)fd;
	(void)what;
	if (!ops)
		return;
	m->ops = NULL;
	r.unfinished = !m->result.settled;
	r.lost = m->result.lost;
	r.total_ms = clock_ms() - m->times.start_ms;
	if (m->guest.stop_ms && m->times.running_there_ms)
		r.downtime_ms = m->times.running_there_ms - m->guest.stop_ms;
	r.pause_ms = r.downtime_ms > m->times.word_ms ? r.downtime_ms - m->times.word_ms : 0;
	r.stall_ms = m->stall.longest_ms;
	r.running = m->guest.was_running;
	r.passes = m->progress.passes;
	r.there.qmp = qmp ? qmp : "";
	r.there.dir = dir ? dir : "";
	r.there.kept = kept ? kept : "";
	r.there.pid = (uint64_t)json_integer_value(json_object_get(vm, "pid"));
	r.there.launched = json_is_true(json_object_get(vm, "launched"));
	migrate_watch_streams(m, &r);
	ops->on_end(m->ctx, &r);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	migrate_watch_tick(ctx);
}

bool migrate_cancel(struct migrate *m)
{
	return migrate_phase(m)->cancel && migrate_phase(m)->cancel(m);
}

/* ---- life ---- */

/* A relative path in v is made absolute: the record is read in another folder. */
static void make_absolute(json_t *v, const char *key)
{
	const char *path = json_string_value(json_object_get(v, key));
	char *here;

	if (path && strncmp(path, "unix:", 5) == 0)
		path += 5;
	if (!path || path[0] == '/' || (here = getcwd(NULL, 0)) == NULL)
		return;
	json_object_set_new(v, key, json_sprintf("%s/%s", here, path));
	free(here);
}

static json_t *wish_of(const struct migrate_config *config)
{
	json_t *v = migrate_config_to_json(config);
	json_t *auth = json_object_get(v, "auth");

	make_absolute(v, "qmp");
	make_absolute(auth, "psk");
	make_absolute(auth, "tls_creds");
	make_absolute(auth, "ssh_config");
	return v;
}

struct migrate *migrate_new(struct event_base *base, const struct migrate_config *config,
			    const struct migrate_ops *ops, void *ctx, struct err *e)
{
	struct migrate *m = calloc(1, sizeof(*m));

	if (!m) {
		err_set(e, ERR_SPACE, "no memory for a job");
		return NULL;
	}
	m->phases = migrate_phases;
	m->ram.fd = -1;
	m->ops = ops;
	m->ctx = ctx;
	m->about.job = m->id;
	m->times.start_ms = clock_ms();
	m->progress.phase = migrate_state_name(m);
	m->progress.remaining_s = -1;
	m->wish = wish_of(config);
	m->rate = rate_new(config->limits.max_bandwidth);
	m->watch.ev = event_new(base, -1, EV_PERSIST, on_tick, m);
	m->stall.ev = evtimer_new(base, migrate_stall_due, m);
	m->result.ev = evtimer_new(base, on_result_due, m);
	if (migrate_core_init(m, base) < 0 || !m->rate || !m->watch.ev || !m->stall.ev ||
	    !m->result.ev || !m->wish) {
		err_set(e, ERR_SPACE, "no memory for a job");
		goto fail;
	}
	if (migrate_config_from_json(&m->config, m->wish, e) < 0 ||
	    addr_parse_dest(&m->link.dest, m->config.dest, e) < 0)
		goto fail;
	if (m->config.dest_address &&
	    addr_parse_host(&m->link.address, m->config.dest_address, m->link.dest.port, e) < 0) {
		err_prefix(e, "--dest-address");
		goto fail;
	}
	m->link.creds = auth_load_client(&m->config.auth, &m->link.dest, e);
	if (!m->link.creds)
		goto fail;
	return m;
fail:
	migrate_free(m);
	return NULL;
}

struct migrate *migrate_start(struct event_base *base, const struct migrate_config *config,
			      const struct migrate_ops *ops, void *ctx, struct err *e)
{
	struct migrate *m;

	if (migrate_config_check(config, e) < 0)
		return NULL;
	m = migrate_new(base, config, ops, ctx, e);
	if (!m)
		return NULL;
	if (cookie_make_job(m->id, e) < 0)
		goto fail;
	m->journal = journal_open(m->config.state_dir, JOURNAL_SOURCE, m->id, e);
	if (!m->journal)
		goto fail;
	m->qemu.qmp = qmp_connect(base, m->config.qmp, 0, &migrate_qmp_ops, m, e);
	if (!m->qemu.qmp)
		goto fail;
	migrate_arm(m->watch.ev, 500);
	migrate_timeout_arm(m);
	return m;
fail:
	migrate_free(m);
	return NULL;
}

struct migrate *migrate_resume(struct event_base *base, const char *state_dir, const char *job,
			       enum migrate_decision decision, const struct migrate_ops *ops,
			       void *ctx, struct err *e)
{
	struct journal *j = journal_open(state_dir, JOURNAL_SOURCE, job, e);
	struct migrate_config config;
	struct err why = ERR_INIT;
	struct migrate *m = NULL;
	json_t *record;

	if (!j)
		return NULL;
	record = journal_read(j, &why);
	if (!record) {
		if (!err_is_set(&why))
			err_set(&why, ERR_USAGE, "there is no unfinished job %s here", job);
		goto out;
	}
	if (migrate_config_from_json(&config, json_object_get(record, "config"), &why) < 0) {
		why.code = ERR_CONFIG; /* (ERR_USAGE would say that there is no such job) */
		err_prefix(&why, "the job's record");
		goto out;
	}
	m = migrate_new(base, &config, ops, ctx, &why);
	if (!m)
		goto out;
	m->decision = decision;
	if (migrate_take_record(m, record, &why) < 0 || migrate_list_disks(m, &why) < 0)
		goto fail;
	migrate_pace_take_record(m, record);
	m->qemu.qmp = qmp_connect(base, m->config.qmp, 0, &migrate_qmp_ops, m, &why);
	if (!m->qemu.qmp)
		goto fail;
	m->journal = j;
	json_decref(record);
	return m;
fail:
	migrate_free(m);
	m = NULL;
out:
	json_decref(record);
	journal_close(j);
	if (e)
		*e = why;
	return NULL;
}

const char *migrate_id(const struct migrate *m)
{
	return m->id;
}

const struct vmdesc *migrate_vm(const struct migrate *m)
{
	return m->guest.known ? &m->desc : NULL;
}

const struct migrate_progress *migrate_progress(const struct migrate *m)
{
	return &m->progress;
}

static void free_event(struct event *ev)
{
	if (ev)
		event_free(ev);
}

void migrate_free(struct migrate *m)
{
	if (!m)
		return;
	m->ops = NULL;
	migrate_core_fini(m);
	free_event(m->watch.ev);
	free_event(m->stall.ev);
	free_event(m->result.ev);
	migrate_drop_relays(m, "the job is over");
	migrate_ram_fini(m);
	migrate_disconnect(m);
	qmp_free(m->qemu.qmp);
	media_sums_free(m->begin.sums);
	rate_free(m->rate);
	if (m->guest.known)
		vmdesc_fini(&m->desc);
	vmdesc_report_fini(&m->report);
	json_decref(m->prepared);
	journal_close(m->journal);
	migrate_pace_fini(m);
	free(m->disks);
	free(m->watch.streams);
	creds_free(m->link.creds);
	json_decref(m->wish);
	free(m);
}
