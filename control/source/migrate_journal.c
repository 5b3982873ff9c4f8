/*
 * The source's records: what it takes for another process to put the source back, or to
 * ask the destination and to act on its answer. No command line of the VM: that may hold
 * secrets, and nobody needs it then.
 */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/process.h"

static json_t *vm_without_argv(const struct migrate *m)
{
	json_t *vm = json_copy(m->report.vm);

	json_object_del(vm, "argv");
	return vm;
}

int migrate_record(struct migrate *m, const char *state, struct err *e)
{
	json_t *r = json_pack("{s:i,s:s,s:s,s:I,s:b,s:I,s:I}", "adit", COOKIE_VERSION, "job", m->id,
			      "state", state, "written", (json_int_t)time(NULL), "was_running",
			      m->guest.was_running, "pid", (json_int_t)m->qemu.pid, "started",
			      (json_int_t)m->qemu.started);
	int rc;

	if (!r)
		return err_set(e, ERR_SPACE, "no memory for the journal");
	json_object_set(r, "config", m->wish);
	json_object_set_new(r, "vm", vm_without_argv(m));
	json_object_set(r, "disks", m->report.disks);
	json_object_set(r, "capabilities", m->report.capabilities);
	json_object_set(r, "parameters", m->report.parameters);
	if (m->prepared)
		json_object_set(r, "prepared", m->prepared);
	if (m->postcopy.pages != MIG_PAGES_NOT)
		json_object_set_new(r, "postcopy", json_true());
	if (m->pace.touched)
		json_object_set(r, "limits", m->pace.touched);
	rc = journal_write(m->journal, r, e);
	json_decref(r);
	return rc;
}

void migrate_record_if_can(struct migrate *m, const char *state)
{
	struct err e = ERR_INIT;

	if (migrate_record(m, state, &e) < 0)
		log_warn(&m->about, "%s", e.text);
}

int migrate_take_record(struct migrate *m, const json_t *record, struct err *e)
{
	const char *state = json_string_value(json_object_get(record, "state"));
	const char *job = json_string_value(json_object_get(record, "job"));
	json_t *msg;
	int rc;

	snprintf(m->found, sizeof(m->found), "%s", state ? state : "");
	if (!*m->found || !cookie_is_job(job))
		return err_set(e, ERR_CONFIG, "the job's record has no state");
	snprintf(m->id, sizeof(m->id), "%s", job);
	m->found_at = (time_t)json_integer_value(json_object_get(record, "written"));
	m->guest.was_running = json_is_true(json_object_get(record, "was_running"));
	m->qemu.pid = (pid_t)json_integer_value(json_object_get(record, "pid"));
	m->qemu.started =
	    (unsigned long long)json_integer_value(json_object_get(record, "started"));
	m->report.vm = json_incref(json_object_get(record, "vm"));
	m->report.disks = json_incref(json_object_get(record, "disks"));
	m->report.capabilities = json_incref(json_object_get(record, "capabilities"));
	m->report.parameters = json_incref(json_object_get(record, "parameters"));
	m->prepared = json_incref(json_object_get(record, "prepared"));
	if (json_is_true(json_object_get(record, "postcopy")))
		m->postcopy.pages = MIG_PAGES_FLOW;
	msg = json_pack("{s:O,s:O}", "vm", m->report.vm, "disks", m->report.disks);
	if (!msg)
		return err_set(e, ERR_CONFIG, "the job's record has no VM");
	rc = vmdesc_parse(&m->desc, msg, e);
	json_decref(msg);
	m->guest.known = rc == 0;
	return rc;
}

void migrate_set_aside_kept(struct migrate *m)
{
	const struct kept_vm vm = {m->desc.name, m->desc.uuid, m->config.qmp, m->id,
				   *m->found ? m->found_at : time(NULL)};
	struct err e = ERR_INIT;
	char file[4096];
	int r;

	if (!m->guest.known || !m->config.state_dir)
		return;
	r = kept_set_aside(m->config.state_dir, &vm, file, sizeof(file), &e);
	if (r > 0)
		migrate_note(
		    m,
		    "the VM had come here to stay (--persistent): what would start it here "
		    "again is %s now, so that it does not run twice",
		    file);
	else if (r < 0)
		migrate_note(m,
			     "%s: take it away by hand, so that `adit start` does not run the VM "
			     "here, too",
			     e.text);
}

/* Whether record is of the QEMU that m has before it. */
static bool same_qemu(const struct migrate *m, const json_t *record)
{
	return m->qemu.pid > 0 && m->qemu.started &&
	       json_integer_value(json_object_get(record, "pid")) == (json_int_t)m->qemu.pid &&
	       json_integer_value(json_object_get(record, "started")) ==
		   (json_int_t)m->qemu.started;
}

bool migrate_record_is_decided(const char *state)
{
	return strcmp(state, "finish") == 0 || strcmp(state, "postcopy") == 0 ||
	       strcmp(state, "confirm") == 0 || strcmp(state, "ended") == 0;
}

/* An earlier job's record: what becomes of its VM, this one. */
static int refuse(struct migrate *m, const char *job, const json_t *record, struct err *e)
{
	const char *state = json_string_value(json_object_get(record, "state"));

	m->undo.undecided = state && migrate_record_is_decided(state);
	return err_set(e, ERR_REFUSED,
		       "an earlier migration of this VM was cut off (job %s)%s: bring it to its "
		       "end first, with `adit recover %.8s`",
		       job, m->undo.undecided ? ", and it may run on the destination" : "", job);
}

int migrate_check_unfinished(struct migrate *m, struct err *e)
{
	struct strvec jobs = {0};
	int rc = journal_list(m->config.state_dir, JOURNAL_SOURCE, &jobs, e);

	for (size_t i = 0; rc == 0 && i < jobs.count; i++) {
		struct journal *j;
		json_t *record;

		if (strcmp(jobs.at[i], m->id) == 0)
			continue;
		j = journal_open(m->config.state_dir, JOURNAL_SOURCE, jobs.at[i], NULL);
		record = j ? journal_read(j, NULL)
			   : journal_peek(m->config.state_dir, JOURNAL_SOURCE, jobs.at[i]);
		/* One that is held is steered, by way of another monitor of the same QEMU. */
		if (!j && record && same_qemu(m, record))
			rc = err_set(e, ERR_REFUSED,
				     "another adit on this host steers a migration of this VM now "
				     "(job %s): wait for its end",
				     jobs.at[i]);
		else if (record && same_qemu(m, record))
			rc = refuse(m, jobs.at[i], record, e);
		json_decref(record);
		journal_close(j);
	}
	strvec_fini(&jobs);
	return rc;
}
