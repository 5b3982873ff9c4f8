/*
 * Perform: the mirrors (migrate_disks.c) to steady state, RAM (migrate_ram.c), and the switchover,
 * in the order that was clean in every run: the mirrors are ended while the guest stands still, the
 * destination closes its exports, and only then the last of RAM goes over.
 */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/point.h"

int migrate_list_disks(struct migrate *m, struct err *e)
{
	m->disks = calloc(m->desc.disk_count + 1, sizeof(*m->disks));
	if (!m->disks)
		return err_set(e, ERR_SPACE, "no memory for the disks");
	for (size_t i = 0; i < m->desc.disk_count; i++) {
		struct mig_disk *d = &m->disks[m->disk_count];

		if (!m->desc.disks[i].copy)
			continue;
		d->m = m;
		d->desc = &m->desc.disks[i];
		d->total = d->desc->size;
		m->progress.disk_total += d->total;
		snprintf(d->node, sizeof(d->node), "adit-%.8s-%zu", m->id, m->disk_count);
		snprintf(d->job, sizeof(d->job), "adit-%.8s-m%zu", m->id, m->disk_count);
		snprintf(d->fd, sizeof(d->fd), "adit-%.8s-f%zu", m->id, m->disk_count);
		m->disk_count++;
	}
	return 0;
}

static void begin(struct migrate *m)
{
	if (m->state == MIGRATE_RAM)
		migrate_ram_begin(m);
	else
		migrate_pace_begin(m, migrate_disks_begin);
}

void migrate_perform(struct migrate *m)
{
	struct err e = ERR_INIT;

	if (migrate_list_disks(m, &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	if (!migrate_enter(m, m->disk_count ? MIGRATE_DISKS : MIGRATE_RAM))
		return;
	migrate_stall_begin(m);
	if ((m->config.offline || m->pause_first) && m->was_running)
		migrate_pause(m, begin);
	else
		begin(m);
}

static struct mig_disk *disk_of_job(struct migrate *m, const json_t *data)
{
	const char *job = json_string_value(json_object_get(data, "device"));

	for (size_t i = 0; job && i < m->disk_count; i++)
		if (strcmp(m->disks[i].job, job) == 0)
			return &m->disks[i];
	return NULL;
}

static bool all_ready(const struct migrate *m)
{
	for (size_t i = 0; i < m->disk_count; i++)
		if (!m->disks[i].ready)
			return false;
	return true;
}

static bool all_over(const struct migrate *m)
{
	for (size_t i = 0; i < m->disk_count; i++)
		if (!m->disks[i].over)
			return false;
	return true;
}

static void tell_disks_done(struct migrate *m)
{
	struct err e = ERR_INIT;

	if (talk_send(m->talk, cookie_new(COOKIE_DISKS_DONE, m->id), &e) < 0)
		migrate_fail(m, &e);
}

/* BLOCK_JOB_COMPLETED or BLOCK_JOB_CANCELLED of one of ours. */
static void mirror_over(struct migrate *m, struct mig_disk *d, const char *name, const json_t *data)
{
	const char *error = json_string_value(json_object_get(data, "error"));
	struct err e = ERR_INIT;

	d->ended_ms = clock_ms();
	if (error || strcmp(name, "BLOCK_JOB_COMPLETED") != 0 || m->state != MIGRATE_SWITCHOVER) {
		err_set(&e, ERR_QEMU, "copying disk %s to the destination failed: %s",
			d->desc->name, error ? error : "its mirror ended before the switchover");
		if (error && strstr(error, "No space left"))
			err_set(&e, ERR_SPACE,
				"copying disk %s failed: no space left on the "
				"destination for it; make room there",
				d->desc->name);
		migrate_suspect(m, &e);
		return;
	}
	/* Only a whole copy counts: with one that is not, the switchover never goes on. */
	d->over = true;
	if (all_over(m))
		tell_disks_done(m);
}

/* What QEMU says of a mirror that stands for an error. */
static void on_broken(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct mig_disk *d = ctx;
	const char *status = NULL;
	struct err why = ERR_INIT;
	size_t i;
	json_t *job;

	(void)q;
	(void)e; /* then nothing is known */
	json_array_foreach(result, i, job)
	{
		const char *id = json_string_value(json_object_get(job, "device"));

		if (id && strcmp(id, d->job) == 0)
			status = json_string_value(json_object_get(job, "io-status"));
	}
	if (d->broken_reading)
		err_set(&why, ERR_QEMU,
			"copying disk %s failed: it cannot be read here; the kernel's log of this "
			"host, or that of the storage, says why",
			d->desc->name);
	else if (status && strcmp(status, "nospace") == 0)
		err_set(&why, ERR_SPACE,
			"copying disk %s failed: no space left on the destination for it; make "
			"room there",
			d->desc->name);
	else
		err_set(&why, ERR_QEMU,
			"copying disk %s failed: it cannot be written on the destination; look "
			"there at the log of its QEMU, and of the kernel (is the disk full, or "
			"does it fail?)",
			d->desc->name);
	migrate_suspect(d->m, &why);
}

/* BLOCK_JOB_ERROR. */
static void mirror_broken(struct migrate *m, struct mig_disk *d, const json_t *data)
{
	const char *operation = json_string_value(json_object_get(data, "operation"));

	if (d->broken)
		return; /* one for each request */
	d->broken = true;
	d->broken_reading = operation && strcmp(operation, "read") == 0;
	qmp_command(m->qmp, "query-block-jobs", NULL, on_broken, d);
}

void migrate_disks_ready(struct migrate *m)
{
	if (m->state != MIGRATE_DISKS || !m->disks_open || !all_ready(m) ||
	    !migrate_probe_is_over(m))
		return;
	if (!migrate_enter(m, MIGRATE_RAM))
		return;
	migrate_ram_begin(m);
	if (m->state == MIGRATE_RAM)
		migrate_arm(m->ev_disks, 200); /* QEMU has its settings by then */
}

/* ---- the switchover ---- */

static void on_mirror_cancel(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct mig_disk *d = ctx;
	struct err why = *e;

	(void)q;
	(void)result;
	if (!err_is_set(&why) || d->m->state != MIGRATE_SWITCHOVER)
		return;
	err_prefix(&why, "the copy of disk %s cannot be ended", d->desc->name);
	migrate_suspect(d->m, &why);
}

void migrate_pre_switchover(struct migrate *m)
{
	if (!migrate_enter(m, MIGRATE_SWITCHOVER))
		return;
	POINT("s-switchover");
	if (!m->disk_count) {
		migrate_disks_closed(m);
		return;
	}
	/* Without force: it ends when source and target are the same, and does not make
	 * the source use the target, as block-job-complete would. */
	for (size_t i = 0; i < m->disk_count; i++)
		qmp_command(m->qmp, "block-job-cancel",
			    json_pack("{s:s}", "device", m->disks[i].job), on_mirror_cancel,
			    &m->disks[i]);
}

static void on_continued(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	struct err why = *e;

	(void)q;
	(void)result;
	if (!err_is_set(&why) || m->state != MIGRATE_DEVICE)
		return;
	err_prefix(&why, "QEMU does not go on after the switchover");
	migrate_suspect(m, &why);
}

void migrate_disks_closed(struct migrate *m)
{
	struct err e = ERR_INIT;

	if (!all_over(m)) {
		err_set(&e, ERR_PROTOCOL,
			"the destination closed its disks before their copies had "
			"ended");
		migrate_fail(m, &e);
		return;
	}
	/* Once postcopy has begun nothing resumes the source VM any more, whoever dies then. */
	if (m->postcopy && migrate_record(m, "finish", &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	if (!migrate_enter(m, MIGRATE_DEVICE))
		return;
	qmp_command(m->qmp, "migrate-continue", json_pack("{s:s}", "state", "pre-switchover"),
		    on_continued, m);
}

void migrate_perform_event(struct migrate *m, const char *name, const json_t *data)
{
	struct mig_disk *d = disk_of_job(m, data);

	if (strcmp(name, "MIGRATION") == 0 || strcmp(name, "MIGRATION_PASS") == 0) {
		migrate_ram_event(m, name, data);
	} else if (strcmp(name, "BLOCK_JOB_READY") == 0 && d) {
		d->ready = true;
		migrate_disks_ready(m);
	} else if (strcmp(name, "JOB_STATUS_CHANGE") == 0) {
		migrate_disks_job_status(m, data);
	} else if (strcmp(name, "BLOCK_JOB_ERROR") == 0 && d) {
		mirror_broken(m, d, data);
	} else if ((strcmp(name, "BLOCK_JOB_COMPLETED") == 0 ||
		    strcmp(name, "BLOCK_JOB_CANCELLED") == 0) &&
		   d) {
		mirror_over(m, d, name, data);
	}
}
