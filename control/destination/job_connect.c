/*
 * Prepare on the destination: the twin's monitor is talked to, and its drives are found beside the
 * source's.
 */
#include "control/destination/job_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/process.h"
#include "base/user.h"
#include "control/twin.h"

enum { CONNECT_EVERY_MS = 20 };

enum {
	Q_VERSION,
	Q_BLOCK,
	Q_NODES,
	Q_MEMORY,
	Q_MEMORY_DEVICES,
	Q_CPUS,
	Q_MACHINE,
	Q_TARGET,
	Q_NAME,
	Q_CAPS,
	Q_GRAPH
};

/* Finds the twin's node for the source's disk. */
static int match_disk(struct job *j, const struct vmdesc_disk *d, const struct twin_answers *a,
		      struct err *e)
{
	struct job_disk *k = &j->disks[j->disk_count];
	struct twin_drive drive;

	if (twin_match_drive(&j->desc, d, a, &drive, e) < 0)
		return e->code;
	for (size_t i = 0; i < j->disk_count; i++) {
		const struct job_disk *other = &j->disks[i];

		if (twin_match_apart(d, &drive, other->desc, other->node, other->file_id, e) < 0)
			return e->code;
	}
	k->job = j;
	k->desc = d;
	snprintf(k->file_id, sizeof(k->file_id), "%s", drive.file_id);
	snprintf(k->node, sizeof(k->node), "%s", drive.image_node);
	k->raw_file = drive.raw_file ? strdup(drive.raw_file) : NULL;
	k->larger = drive.size > d->size;
	k->sparse = drive.sparse;
	k->direct = drive.direct;
	if (k->larger || k->raw_file)
		snprintf(k->window, sizeof(k->window), "adit-window-%zu", j->disk_count);
	j->disk_count++;
	return 0;
}

static void on_asked(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	const json_t *v = json_object_get(qmp_batch_result(b, Q_VERSION), "qemu");
	const struct twin_answers answers = {
	    .block = qmp_batch_result(b, Q_BLOCK),
	    .nodes = qmp_batch_result(b, Q_NODES),
	    .graph = qmp_batch_result(b, Q_GRAPH),
	    .memory = qmp_batch_result(b, Q_MEMORY),
	    .memory_devices = qmp_batch_result(b, Q_MEMORY_DEVICES),
	    .cpus = qmp_batch_result(b, Q_CPUS),
	    .machine = qmp_batch_result(b, Q_MACHINE),
	    .target = qmp_batch_result(b, Q_TARGET),
	    .name = qmp_batch_result(b, Q_NAME),
	    .pid = qmp_peer_pid(q),
	};
	struct err why = *e;

	if (j->state != JOB_PREPARING)
		return;
	snprintf(j->twin.qemu_version, sizeof(j->twin.qemu_version), "%d.%d.%d",
		 (int)json_integer_value(json_object_get(v, "major")),
		 (int)json_integer_value(json_object_get(v, "minor")),
		 (int)json_integer_value(json_object_get(v, "micro")));
	j->disks = calloc(j->desc.disk_count + 1, sizeof(*j->disks));
	if (!j->disks)
		err_set(&why, ERR_SPACE, "no memory for the job's disks");
	if (!err_is_set(&why))
		twin_match(&j->desc, &answers, &why);
	for (size_t i = 0; !err_is_set(&why) && i < j->desc.disk_count; i++)
		if (j->desc.disks[i].copy)
			match_disk(j, &j->desc.disks[i], &answers, &why);
		else
			twin_match_other(&j->desc, &j->desc.disks[i], &answers, NULL, &why);
	if (err_is_set(&why))
		job_fail(j, &why);
	else
		job_ram_prepare(j, qmp_batch_result(b, Q_CAPS));
}

/* What is asked and set once it is known that it waits. */
static void ask(struct job *j)
{
	struct qmp_batch *b = qmp_batch_new();

	qmp_batch_add(b, QMP_MUST, "query-version", NULL);
	qmp_batch_add(b, QMP_MUST, "query-block", NULL);
	qmp_batch_add(b, QMP_MUST, "query-named-block-nodes", json_pack("{s:b}", "flat", 1));
	qmp_batch_add(b, QMP_MAY, "query-memory-size-summary", NULL);
	qmp_batch_add(b, QMP_MAY, "query-memory-devices", NULL);
	qmp_batch_add(b, QMP_MAY, "query-cpus-fast", NULL);
	qmp_batch_add(b, QMP_MAY, "qom-get",
		      json_pack("{s:s,s:s}", "path", "/machine", "property", "type"));
	qmp_batch_add(b, QMP_MAY, "query-target", NULL);
	qmp_batch_add(b, QMP_MAY, "query-name", NULL);
	qmp_batch_add(b, QMP_MUST, "query-migrate-capabilities", NULL);
	qmp_batch_add(b, QMP_MAY, "x-debug-query-block-graph", NULL);
	/* While it waits, this takes back that it runs by itself once all is there: the
	 * decision is ours, in Finish, also for a QEMU that was started without -S. */
	qmp_batch_add(b, QMP_MUST, "stop", NULL);
	qmp_batch_run(b, j->qemu.qmp, on_asked, j);
}

/* Before anything else is said to a QEMU that we have not started: it may be running
 * somebody's VM. */
static void on_status(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct job *j = ctx;
	const char *status = json_string_value(json_object_get(result, "status"));
	struct err why = *e;

	(void)q;
	if (j->state != JOB_PREPARING)
		return;
	if (!err_is_set(&why) && (!status || strcmp(status, "inmigrate") != 0))
		err_set(&why, ERR_REFUSED,
			"the QEMU at %s on the destination does not wait for a "
			"VM (state %s): start it with -incoming defer",
			j->twin.qmp, status ? status : "unknown");
	if (err_is_set(&why))
		job_fail(j, &why);
	else
		ask(j);
}

static void ready(struct job *j)
{
	struct err e = ERR_INIT;

	if (j->prepare.hook.used &&
	    vms_record(j->twin.dir, j->desc.name, qmp_peer_pid(j->qemu.qmp), &e) < 0) {
		job_fail(j, &e);
		return;
	}
	qmp_command(j->qemu.qmp, "query-status", NULL, on_status, j);
}

void job_connect_ready(struct job *j)
{
	const struct qmp *q = j->qemu.qmp;
	const struct user *u = &j->rights->launch_user;
	struct err e = ERR_INIT;

	/* A folder of that user's may have a link to another one's monitor in it. */
	if (j->wish.launched && user_is_given(u) && qmp_peer_uid(q) != u->uid) {
		err_set(&e, ERR_REFUSED, "%s on the destination is not of a QEMU of user %s",
			j->twin.qmp, u->name);
		job_fail(j, &e);
		return;
	}
	job_secrets_drop(j);
	j->qemu.ready = true;
	j->qemu.pid = qmp_peer_pid(q);
	j->qemu.started = process_started(j->qemu.pid);
	ready(j);
}

void job_connect_ended(struct job *j, const struct err *why)
{
	struct err e = *why;

	/* A twin that is still starting does not listen yet. */
	if (!j->qemu.ready && j->wish.launched && clock_ms() < j->prepare.connect_until_ms) {
		job_drop_qmp(j);
		job_look(j, CONNECT_EVERY_MS);
		return;
	}
	if (j->qemu.ready) {
		job_qemu_gone(j, why);
		return;
	}
	err_prefix(&e, "the destination");
	job_fail(j, &e);
}

void job_twin_connect(struct job *j)
{
	struct err e = ERR_INIT;
	struct stat st;

	if (j->wish.launched && stat(j->twin.qmp, &st) < 0 &&
	    clock_ms() < j->prepare.connect_until_ms) {
		job_look(j, CONNECT_EVERY_MS);
		return;
	}
	j->qemu.qmp = qmp_connect(j->service->base, j->twin.qmp, 0, &job_qmp_ops, j, &e);
	if (j->qemu.qmp)
		qmp_want_oob(j->qemu.qmp); /* postcopy that broke may leave its main loop waiting */
	if (!j->qemu.qmp) {
		err_prefix(&e, "the destination");
		job_fail(j, &e);
	}
}

void job_connect_look(struct job *j)
{
	if (!j->qemu.qmp)
		job_twin_connect(j);
}
