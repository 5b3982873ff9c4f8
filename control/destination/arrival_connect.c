/*
 * Prepare on the destination: the twin's monitor is talked to, and its drives are found beside the
 * source's.
 */
#include "control/destination/arrival_i.h"

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
static int match_disk(struct arrival *a, const struct vmdesc_disk *d,
		      const struct twin_answers *answers, struct err *e)
{
	struct arrival_disk *k = &a->disks[a->disk_count];
	struct twin_drive drive;

	if (twin_match_drive(&a->desc, d, answers, &drive, e) < 0)
		return e->code;
	for (size_t i = 0; i < a->disk_count; i++) {
		const struct arrival_disk *other = &a->disks[i];

		if (twin_match_apart(d, &drive, other->desc, other->node, other->file_id, e) < 0)
			return e->code;
	}
	k->arrival = a;
	k->desc = d;
	snprintf(k->file_id, sizeof(k->file_id), "%s", drive.file_id);
	snprintf(k->node, sizeof(k->node), "%s", drive.image_node);
	k->raw_file = drive.raw_file ? strdup(drive.raw_file) : NULL;
	k->larger = drive.size > d->size;
	k->sparse = drive.sparse;
	k->direct = drive.direct;
	if (k->larger || k->raw_file)
		snprintf(k->window, sizeof(k->window), "adit-window-%zu", a->disk_count);
	a->disk_count++;
	return 0;
}

static void on_asked(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct arrival *a = ctx;
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

	if (a->state != ARRIVAL_PREPARING)
		return;
	snprintf(a->twin.qemu_version, sizeof(a->twin.qemu_version), "%d.%d.%d",
		 (int)json_integer_value(json_object_get(v, "major")),
		 (int)json_integer_value(json_object_get(v, "minor")),
		 (int)json_integer_value(json_object_get(v, "micro")));
	a->disks = calloc(a->desc.disk_count + 1, sizeof(*a->disks));
	if (!a->disks)
		err_set(&why, ERR_SPACE, "no memory for the job's disks");
	if (!err_is_set(&why))
		twin_match(&a->desc, &answers, &why);
	for (size_t i = 0; !err_is_set(&why) && i < a->desc.disk_count; i++)
		if (a->desc.disks[i].copy)
			match_disk(a, &a->desc.disks[i], &answers, &why);
		else
			twin_match_other(&a->desc, &a->desc.disks[i], &answers, NULL, &why);
	if (err_is_set(&why))
		arrival_fail(a, &why);
	else
		arrival_ram_prepare(a, qmp_batch_result(b, Q_CAPS));
}

/* What is asked and set once it is known that it waits. */
static void ask(struct arrival *a)
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
	arrival_net_quiet(a, b);
	qmp_batch_run(b, a->qemu.qmp, on_asked, a);
}

/* Before anything else is said to a QEMU that we have not started: it may be running
 * somebody's VM. */
static void on_status(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct arrival *a = ctx;
	const char *status = json_string_value(json_object_get(result, "status"));
	struct err why = *e;

	(void)q;
	if (a->state != ARRIVAL_PREPARING)
		return;
	if (!err_is_set(&why) && (!status || strcmp(status, "inmigrate") != 0))
		err_set(&why, ERR_REFUSED,
			"the QEMU at %s on the destination does not wait for a "
			"VM (state %s): start it with -incoming defer",
			a->twin.qmp, status ? status : "unknown");
	if (err_is_set(&why))
		arrival_fail(a, &why);
	else
		ask(a);
}

static void ready(struct arrival *a)
{
	struct err e = ERR_INIT;

	if (a->prepare.hook.used &&
	    vms_record(a->twin.dir, a->desc.name, qmp_peer_pid(a->qemu.qmp), &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	qmp_command(a->qemu.qmp, "query-status", NULL, on_status, a);
}

void arrival_connect_ready(struct arrival *a)
{
	const struct qmp *q = a->qemu.qmp;
	const struct user *u = &a->rights->launch_user;
	struct err e = ERR_INIT;

	/* A folder of that user's may have a link to another one's monitor in it. */
	if (a->wish.launched && user_is_given(u) && qmp_peer_uid(q) != u->uid) {
		err_set(&e, ERR_REFUSED, "%s on the destination is not of a QEMU of user %s",
			a->twin.qmp, u->name);
		arrival_fail(a, &e);
		return;
	}
	arrival_secrets_drop(a);
	a->qemu.ready = true;
	a->qemu.pid = qmp_peer_pid(q);
	a->qemu.started = process_started(a->qemu.pid);
	ready(a);
}

void arrival_connect_ended(struct arrival *a, const struct err *why)
{
	struct err e = *why;

	/* A twin that is still starting does not listen yet. */
	if (!a->qemu.ready && a->wish.launched && clock_ms() < a->prepare.connect_until_ms) {
		arrival_drop_qmp(a);
		arrival_look(a, CONNECT_EVERY_MS);
		return;
	}
	if (a->qemu.ready) {
		arrival_qemu_gone(a, why);
		return;
	}
	err_prefix(&e, "the destination");
	arrival_fail(a, &e);
}

void arrival_twin_connect(struct arrival *a)
{
	struct err e = ERR_INIT;
	struct stat st;

	if (a->wish.launched && stat(a->twin.qmp, &st) < 0 &&
	    clock_ms() < a->prepare.connect_until_ms) {
		arrival_look(a, CONNECT_EVERY_MS);
		return;
	}
	a->qemu.qmp = qmp_connect(a->service->base, a->twin.qmp, 0, &arrival_qmp_ops, a, &e);
	if (a->qemu.qmp)
		qmp_want_oob(a->qemu.qmp); /* postcopy that broke may leave its main loop waiting */
	if (!a->qemu.qmp) {
		err_prefix(&e, "the destination");
		arrival_fail(a, &e);
	}
}

void arrival_connect_look(struct arrival *a)
{
	if (!a->qemu.qmp)
		arrival_twin_connect(a);
}
