/*
 * The disks that are copied: what their mirrors are called, what each may have on its way, and what
 * QEMU says of one that breaks, in whatever phase.
 */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

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
		snprintf(d->node, sizeof(d->node), MIGRATE_OURS "%.8s-%zu", m->id, m->disk_count);
		snprintf(d->block_job, sizeof(d->block_job), MIGRATE_OURS "%.8s-m%zu", m->id,
			 m->disk_count);
		snprintf(d->fd, sizeof(d->fd), MIGRATE_OURS "%.8s-f%zu", m->id, m->disk_count);
		m->disk_count++;
	}
	return 0;
}

struct mig_disk *migrate_disk_of_block_job(struct migrate *m, const json_t *data)
{
	const char *block_job = json_string_value(json_object_get(data, "device"));

	for (size_t i = 0; block_job && i < m->disk_count; i++)
		if (strcmp(m->disks[i].block_job, block_job) == 0)
			return &m->disks[i];
	return NULL;
}

/* command for each in list whose name begins so; QEMU tells of it by key, and is told by it. */
static unsigned add_each(struct qmp_batch *b, const char *prefix, const json_t *list,
			 const char *key, const char *command, json_t *force)
{
	const json_t *item;
	unsigned n = 0;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *name = json_text(item, key);

		if (strncmp(name, prefix, strlen(prefix)) != 0)
			continue;
		n++;
		qmp_batch_add(b, QMP_MAY, command,
			      json_pack("{s:s,s:O*}", key, name, "force", force));
	}
	return n;
}

unsigned migrate_end_mirrors(struct qmp_batch *b, const char *prefix, const json_t *block_jobs)
{
	return add_each(b, prefix, block_jobs, "device", "block-job-cancel", json_true());
}

unsigned migrate_delete_nodes(struct qmp_batch *b, const char *prefix, const json_t *nodes)
{
	return add_each(b, prefix, nodes, "node-name", "blockdev-del", NULL);
}

/* What a mirror has in flight: enough for the line and the storage behind it, and no more, as QEMU
 * waits for it when the guest stops, or resets a disk. */
#define MIB ((uint64_t)1 << 20)
#define BUF_MIN (2 * MIB)
#define BUF_ONE (8 * MIB)   /* of one disk, or of all: requests that wait for slow storage */
#define BUF_QEMU (10 * MIB) /* its own */
#define BUF_MAX (16 * MIB)  /* 16 requests of 1 MiB */
#define BUF_ALL (64 * MIB)
/* A second, where no limit is known: what is cared for, and what there may be. */
#define LINE_BYTES ((uint64_t)125000000)
#define LINE_FAST_BYTES ((uint64_t)1250000000)

/* Twice the bytes that are on their way. */
static uint64_t two_products(uint64_t rtt_us, uint64_t bytes_per_s)
{
	double product = (double)bytes_per_s * (double)rtt_us / 1e6;

	return product > 1e12 ? BUF_MAX : (uint64_t)(2 * product);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t migrate_disks_buffer(uint64_t rtt_us, uint64_t bytes_per_s, size_t disks)
{
	uint64_t want;

	if (bytes_per_s) {
		/* Half a second's worth, so that the rate holds on a busy host too. */
		want = most(two_products(rtt_us, bytes_per_s), bytes_per_s / 2);
	} else {
		/* For a fast line no more than QEMU would take by itself: this one may be slow. */
		want = least(two_products(rtt_us, LINE_FAST_BYTES), BUF_QEMU);
		want = most(want, two_products(rtt_us, LINE_BYTES));
		want = most(want, disks ? BUF_ONE / disks : 0);
	}
	if (disks)
		want = least(want, BUF_ALL / disks);
	want = (want + MIB - 1) / MIB * MIB;
	return least(most(want, BUF_MIN), BUF_MAX);
}

/* What a mirror copies at least, whatever of it the guest has written. QEMU takes 64 KiB to an NBD
 * server, which are 52 ms at 10 Mbit/s for a sector. */
#define GRAIN_MIN ((uint64_t)4 << 10)
#define GRAIN_MAX ((uint64_t)64 << 10)
#define GRAINS ((uint64_t)64 << 20) /* of a disk: QEMU has a bit for each, in a few maps */
#define REQUESTS 16		    /* on their way at once */

uint64_t migrate_disks_grain(uint64_t rtt_us, uint64_t bytes_per_s, uint64_t size, uint64_t block)
{
	uint64_t grain = GRAIN_MIN, want;

	/* Requests that together fill the line: with smaller ones a guest that writes here and
	 * there is copied at so many of them a round trip, on a line that has little to do. */
	want = two_products(rtt_us, bytes_per_s ? bytes_per_s : LINE_BYTES) / 2 / REQUESTS;
	while (grain < GRAIN_MAX && (grain * 2 <= want || grain < size / GRAINS || grain < block))
		grain *= 2;
	return grain;
}

/* ---- one that breaks ---- */

void migrate_take_mirror_end(struct migrate *m, const char *name, const json_t *data)
{
	struct mig_disk *d = migrate_disk_of_block_job(m, data);
	const char *error = json_string_value(json_object_get(data, "error"));
	struct err e = ERR_INIT;

	(void)name;
	if (!d)
		return;
	d->ended_ms = clock_ms();
	err_set(&e, ERR_QEMU, "copying disk %s to the destination failed: %s", d->desc->name,
		error ? error : "its mirror ended before the switchover");
	if (error && strstr(error, "No space left"))
		err_set(&e, ERR_SPACE,
			"copying disk %s failed: no space left on the destination for it; make "
			"room there",
			d->desc->name);
	migrate_suspect(m, &e);
}

/* What QEMU says of a mirror that stands for an error. */
static void on_broken(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct mig_disk *d = ctx;
	const char *status = NULL;
	struct err why = ERR_INIT;
	size_t i;
	json_t *block_job;

	(void)q;
	(void)e; /* then nothing is known */
	json_array_foreach(result, i, block_job)
	{
		const char *id = json_string_value(json_object_get(block_job, "device"));

		if (id && strcmp(id, d->block_job) == 0)
			status = json_string_value(json_object_get(block_job, "io-status"));
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
void migrate_take_broken(struct migrate *m, const char *name, const json_t *data)
{
	struct mig_disk *d = migrate_disk_of_block_job(m, data);
	const char *operation = json_string_value(json_object_get(data, "operation"));

	(void)name;
	if (!d || d->broken)
		return; /* one for each request */
	d->broken = true;
	d->broken_reading = operation && strcmp(operation, "read") == 0;
	qmp_command(m->qemu.qmp, "query-block-jobs", NULL, on_broken, d);
}
