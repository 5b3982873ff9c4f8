/*
 * Limits for a time: the guest's writes are paced to what the line carries, and a throttle filter,
 * which would hold up the copy, has its limits put on the devices before it for as long as the copy
 * lasts. Which, and how far: pace.c and migrate_backlog.c.
 *
 * How it works. What is about to be limited is in the journal before QEMU is told, so that whoever
 * brings the job to its end puts it back: to what the VM was read with, which is what the
 * destination's has as well. QEMU waits for all that is on its way to a disk when its last limit
 * is taken away (also for what the mirror sends); so once set a limit stays, if changed, until the
 * mirrors have gone.
 *
 * A disk without limits of its own shares one group with the others like it, so that one that is
 * busy may have what the others leave; one with limits stays in its group, which is paced for all
 * in it. Where a drive that is not copied is in that group too, those that are get one of their
 * own for the time, with the same limits, and that one is left alone: they are moved before the
 * mirrors begin, as QEMU waits for all that is on its way then, too.
 *
 * How long a guest waits for a write is in QEMU's statistics: where it is near to what a guest
 * bears, as it has more on its way than MIGRATE_PACE_MIN is reckoned for (queues of 128 and more of
 * SCSI and NVMe), the bottom of its group's pace is raised, four-fold every two seconds, and stays
 * so; but not where the group's own limits are what it waits for.
 */
#include "control/source/migrate_i.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "control/vm.h"

enum {
	NAME_MAX_BYTES = 300,
	LATE_MS = 8000, /* a write; the guest bears 30 s */
	LIFT_BITS = 2,	/* four-fold */
	LIFT_EVERY_MS = 2000,
	LIFT_MOST = 10, /* 640 MiB a second */
	SMALL_WRITE = 4096,
	BIG_WRITE = 1280 << 10, /* Linux's biggest, but for a disk that asks for more */
};

static const char *filter_of(const struct migrate *m, const struct vmdesc_disk *d)
{
	const char *group = json_string_value(json_object_get(m->pace.filters, d->name));

	return group ? group : "";
}

/* Of a drive that is not copied, but would be paced with d. */
static const struct vmdesc_disk *bystander(const struct migrate *m, const struct vmdesc_disk *d)
{
	for (size_t i = 0; d->limits && i < m->desc.disk_count; i++) {
		const struct vmdesc_disk *other = &m->desc.disks[i];

		if (!other->copy && other->limits && *d->limits_group &&
		    strcmp(other->limits_group, d->limits_group) == 0)
			return other;
	}
	return NULL;
}

/* Its limits without a pace, borrowed; NULL: none. */
static const json_t *base_of(const struct migrate *m, const struct vmdesc_disk *d)
{
	const char *filter = filter_of(m, d);

	return *filter ? pace_group_limits(m->report.vm, filter) : d->limits;
}

static void group_of(const struct migrate *m, const struct vmdesc_disk *d, char *buf, size_t size)
{
	const char *filter = filter_of(m, d);

	if (*filter)
		snprintf(buf, size, "adit-%.8s-%.255s", m->id, filter);
	else if (m->pace.parted && bystander(m, d))
		snprintf(buf, size, "adit-%.8s+%.241s", m->id, d->limits_group); /* pace.h */
	else if (d->limits)
		snprintf(buf, size, "%s", *d->limits_group ? d->limits_group : d->name);
	else
		snprintf(buf, size, "adit-%.8s", m->id);
}

static bool is_device(const struct vmdesc_disk *d)
{
	return *d->device || *d->qdev;
}

/* How many groups the pace is shared out to. */
static uint64_t count_groups(const struct migrate *m)
{
	char mine[NAME_MAX_BYTES], other[NAME_MAX_BYTES];
	uint64_t n = 0;

	for (size_t i = 0; i < m->disk_count; i++) {
		size_t k = 0;

		group_of(m, m->disks[i].desc, mine, sizeof(mine));
		for (; k < i; k++) {
			group_of(m, m->disks[k].desc, other, sizeof(other));
			if (strcmp(mine, other) == 0)
				break;
		}
		n += k == i;
	}
	return n ? n : 1;
}

/* d's group. */
struct group {
	uint64_t disks;
	unsigned lift;
	uint64_t lifted_ms;
};

static struct group see_group(const struct migrate *m, const struct vmdesc_disk *d)
{
	char mine[NAME_MAX_BYTES], name[NAME_MAX_BYTES];
	struct group g = {0};

	group_of(m, d, mine, sizeof(mine));
	for (size_t i = 0; i < m->disk_count; i++) {
		const struct mig_disk *other = &m->disks[i];

		group_of(m, other->desc, name, sizeof(name));
		if (strcmp(mine, name) != 0)
			continue;
		g.disks++;
		if (other->lift > g.lift)
			g.lift = other->lift;
		if (other->lifted_ms > g.lifted_ms)
			g.lifted_ms = other->lifted_ms;
	}
	return g;
}

static uint64_t at_least(uint64_t v, uint64_t least)
{
	return v < least ? least : v;
}

void migrate_pace_share(const struct migrate *m, const struct vmdesc_disk *d, uint64_t *bytes,
			uint64_t *ops)
{
	const struct group g = see_group(m, d);
	uint64_t n = count_groups(m), least = (g.disks * MIGRATE_PACE_MIN) << g.lift;

	*bytes = m->pace.bytes ? at_least(m->pace.bytes / n, least) : 0;
	*ops = m->pace.ops ? at_least(m->pace.ops / n + 1, least / MIGRATE_PACE_REQUEST) : 0;
}

static void add_limit(struct migrate *m, struct qmp_batch *b, enum qmp_need need,
		      const struct vmdesc_disk *d)
{
	char group[NAME_MAX_BYTES];
	uint64_t bytes, ops;
	json_t *limits;

	migrate_pace_share(m, d, &bytes, &ops);
	limits = pace_lower(base_of(m, d), bytes, ops);
	group_of(m, d, group, sizeof(group));
	qmp_batch_add(b, need, "block_set_io_throttle",
		      throttle_drive_args(limits, d->device, d->qdev, group));
	json_decref(limits);
}

/* ---- the journal ---- */

static void touch(json_t *names, const char *name)
{
	size_t i;
	json_t *v;

	json_array_foreach(names, i, v) if (strcmp(json_string_value(v), name) == 0) return;
	json_array_append_new(names, json_string(name));
}

/* Into the record, before QEMU is told: all disks that are copied, and the groups of filters. */
static bool is_written(struct migrate *m)
{
	json_t *was = json_deep_copy(m->pace.touched), *disks, *groups;
	struct err e = ERR_INIT;
	const char *name;
	json_t *v;

	if (!m->pace.touched)
		m->pace.touched = json_pack("{s:[],s:[]}", "disks", "groups");
	disks = json_object_get(m->pace.touched, "disks");
	groups = json_object_get(m->pace.touched, "groups");
	for (size_t i = 0; i < m->disk_count; i++)
		if (is_device(m->disks[i].desc))
			touch(disks, m->disks[i].desc->name);
	json_object_foreach(m->pace.filters, name, v) touch(groups, json_string_value(v));
	if ((was && json_equal(was, m->pace.touched)) || migrate_record(m, "perform", &e) == 0) {
		json_decref(was);
		return true;
	}
	json_decref(m->pace.touched);
	m->pace.touched = was;
	log_warn(&m->about, "no limit for a time is set: %s", e.text);
	return false;
}

void migrate_pace_take_record(struct migrate *m, const json_t *record)
{
	json_t *limits = json_object_get(record, "limits");

	if (json_is_object(limits))
		m->pace.touched = json_incref(limits);
}

/* ---- back ---- */

bool migrate_pace_is_set(const struct migrate *m)
{
	return m->pace.touched && !m->pace.back;
}

bool migrate_pace_is_due_back(const struct migrate *m)
{
	return migrate_pace_is_set(m) && !m->pace.back_batch;
}

static const struct vmdesc_disk *disk_by_name(const struct migrate *m, const char *name)
{
	for (size_t i = 0; name && i < m->desc.disk_count; i++)
		if (strcmp(m->desc.disks[i].name, name) == 0)
			return &m->desc.disks[i];
	return NULL;
}

static void add_back(struct migrate *m, struct qmp_batch *b, const char *command, json_t *args)
{
	unsigned at = qmp_batch_add(b, QMP_MAY, command, args);

	if (!m->pace.back_count++)
		m->pace.back_first = at;
}

void migrate_pace_put_back(struct migrate *m, struct qmp_batch *b)
{
	size_t i;
	json_t *v;

	if (!migrate_pace_is_due_back(m))
		return;
	m->pace.back_batch = b;
	m->pace.back_count = 0;
	/* Filters first: the guest is never without any. */
	json_array_foreach(json_object_get(m->pace.touched, "groups"), i, v)
	{
		const json_t *limits = pace_group_limits(m->report.vm, json_string_value(v));

		if (limits)
			add_back(m, b, "qom-set",
				 throttle_group_args(limits, json_string_value(v)));
	}
	json_array_foreach(json_object_get(m->pace.touched, "disks"), i, v)
	{
		const struct vmdesc_disk *d = disk_by_name(m, json_string_value(v));

		if (d && is_device(d))
			add_back(
			    m, b, "block_set_io_throttle",
			    throttle_drive_args(d->limits, d->device, d->qdev, d->limits_group));
	}
}

/* A device, or a group, that somebody has taken away since has no limits, nor has another one that
 * has its name by now. (QEMU's words in all versions; the class of its errors says no more.) A
 * drive without a medium has its own still, for the next one. */
static bool is_nobodys(const struct err *e)
{
	return strstr(e->text, "' not found") != NULL ||
	       strstr(e->text, "does not have a block device backend") != NULL;
}

void migrate_pace_see_back(struct migrate *m, struct qmp_batch *b, const struct err *e)
{
	if (!b || b != m->pace.back_batch)
		return;
	m->pace.back_batch = NULL;
	m->pace.back_err = *e;
	for (unsigned i = 0; i < m->pace.back_count && !err_is_set(&m->pace.back_err); i++) {
		const struct err *why = qmp_batch_err(b, m->pace.back_first + i);

		if (err_is_set(why) && !is_nobodys(why))
			m->pace.back_err = *why;
	}
	m->pace.back = !err_is_set(&m->pace.back_err);
	if (!m->pace.back && m->pace.refusals++ == 0)
		log_warn(&m->about, "the limits for a time are not all back: %s",
			 m->pace.back_err.text);
}

void migrate_pace_fini(struct migrate *m)
{
	json_decref(m->pace.touched);
	json_decref(m->pace.filters);
	m->pace.touched = m->pace.filters = NULL;
}

/* ---- throttle filters ---- */

static void on_put_back(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	migrate_pace_see_back(m, b, e);
	if (m->state == m->pace.begun_in)
		m->pace.then(m);
}

static void on_raised(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;
	struct qmp_batch *back;

	(void)b;
	if (m->state != m->pace.begun_in)
		return;
	if (!err_is_set(e)) {
		m->pace.then(m);
		return;
	}
	migrate_note(m,
		     "the I/O limits of the disks cannot be changed while they are copied (%s): "
		     "those of throttle filters hold up the copy too, and a pace holds up all "
		     "drives of a group",
		     e->text);
	back = qmp_batch_new();
	json_object_clear(m->pace.filters);
	m->pace.parted = false;
	migrate_pace_put_back(m, back);
	qmp_batch_run(back, q, on_put_back, m);
}

void migrate_pace_begin(struct migrate *m, void (*then)(struct migrate *m))
{
	const struct vmdesc_nodes nodes = {m->report.nodes, m->report.graph};
	json_t *done = json_object();
	struct qmp_batch *b;
	const char *name;
	json_t *v;

	m->pace.then = then;
	m->pace.begun_in = m->state;
	if (m->disk_count)
		m->pace.filters = pace_filters(&nodes, m->report.vm, m->report.disks);
	for (size_t i = 0; i < m->disk_count; i++)
		m->pace.parted |=
		    is_device(m->disks[i].desc) && bystander(m, m->disks[i].desc) != NULL;
	if ((!json_object_size(m->pace.filters) && !m->pace.parted) || !is_written(m)) {
		json_object_clear(m->pace.filters);
		m->pace.parted = false;
		json_decref(done);
		then(m);
		return;
	}
	b = qmp_batch_new();
	for (size_t i = 0; i < m->disk_count; i++)
		if (is_device(m->disks[i].desc) &&
		    (*filter_of(m, m->disks[i].desc) || bystander(m, m->disks[i].desc)))
			add_limit(m, b, QMP_MUST, m->disks[i].desc);
	json_object_foreach(m->pace.filters, name, v)
	{
		if (json_object_get(done, json_string_value(v)))
			continue;
		json_object_set_new(done, json_string_value(v), json_true());
		qmp_batch_add(b, QMP_MUST, "qom-set",
			      throttle_group_args(NULL, json_string_value(v)));
	}
	json_decref(done);
	qmp_batch_run(b, m->qemu.qmp, on_raised, m);
}

/* ---- the pace ---- */

static void on_paced(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	m->pace.asked = false;
	m->pace.holds = true;
	for (unsigned i = 0; i < m->disk_count && !m->pace.told; i++)
		if (err_is_set(qmp_batch_err(b, i))) {
			m->pace.told = true;
			migrate_note(
			    m,
			    "the guest's writes cannot be paced (%s): a busy disk may make "
			    "the pause longer than --downtime-limit says",
			    qmp_batch_err(b, i)->text);
		}
	if (m->pace.again && !err_is_set(e) && !m->pace.back_batch &&
	    (m->state == MIGRATE_DISKS || m->state == MIGRATE_RAM))
		migrate_pace_set(m, m->pace.next_bytes, m->pace.next_ops);
}

/* Not worth a word to QEMU. */
static bool is_near(uint64_t is, uint64_t wanted)
{
	return is && wanted <= is * 2 && wanted >= is / 3 * 2;
}

void migrate_pace_set(struct migrate *m, uint64_t bytes, uint64_t ops)
{
	struct qmp_batch *b;

	m->pace.again = m->pace.asked;
	m->pace.next_bytes = bytes;
	m->pace.next_ops = ops;
	if (m->pace.asked || m->pace.refused ||
	    (is_near(m->pace.bytes, bytes) && m->pace.lifts == m->pace.lifts_sent))
		return;
	if (!is_written(m)) {
		m->pace.refused = true;
		return;
	}
	m->pace.back = false;
	m->pace.bytes = bytes;
	m->pace.ops = ops;
	m->pace.lifts_sent = m->pace.lifts;
	m->pace.asked = true;
	log_info(&m->about, "the guest's writes are paced to %llu bytes and %llu requests a second",
		 (unsigned long long)bytes, (unsigned long long)ops);
	b = qmp_batch_new();
	for (size_t i = 0; i < m->disk_count; i++)
		if (is_device(m->disks[i].desc))
			add_limit(m, b, QMP_MAY, m->disks[i].desc);
	qmp_batch_run(b, m->qemu.qmp, on_paced, m);
}

bool migrate_pace_holds(const struct migrate *m)
{
	return m->pace.holds || m->pace.refused;
}

/* ---- how long the guest waits ---- */

static const json_t *stats_of(const json_t *all, const struct vmdesc_disk *d)
{
	const json_t *o;
	size_t i;

	json_array_foreach(all, i, o)
	{
		const char *device = json_string_value(json_object_get(o, "device"));
		const char *qdev = json_string_value(json_object_get(o, "qdev"));

		if ((*d->device && device && strcmp(device, d->device) == 0) ||
		    (*d->qdev && qdev && strcmp(qdev, d->qdev) == 0))
			return json_object_get(o, "stats");
	}
	return NULL;
}

/* How long those writes took that have ended since the last time; ms. */
static uint64_t waited_ms(struct mig_disk *d, const json_t *stats)
{
	json_int_t ops = json_integer_value(json_object_get(stats, "wr_operations"));
	json_int_t ns = json_integer_value(json_object_get(stats, "wr_total_time_ns"));
	json_int_t ended = ops - d->writes, took = ns - d->writes_ns;
	bool first = !d->writes_known;

	d->writes = ops;
	d->writes_ns = ns;
	d->writes_known = true;
	return first || ended <= 0 || took < 0 ? 0 : (uint64_t)(took / ended / 1000000);
}

/* The lower of both, 0: none. */
static uint64_t lower_of(uint64_t a, uint64_t b)
{
	return a && (!b || a < b) ? a : b;
}

static uint64_t limit_of(const json_t *limits, const char *total, const char *write)
{
	json_int_t all = json_integer_value(json_object_get(limits, total));
	json_int_t v = json_integer_value(json_object_get(limits, write));

	return lower_of(all > 0 ? (uint64_t)all : 0, v > 0 ? (uint64_t)v : 0);
}

/* Whether it may be the pace that d's guest waits for, and not the VM's own limits. */
static bool is_paced(const struct migrate *m, const struct vmdesc_disk *d)
{
	const json_t *own = base_of(m, d);
	uint64_t own_bytes = limit_of(own, "bps-total", "bps-write");
	uint64_t own_ops = limit_of(own, "iops-total", "iops-write"), bytes, ops;
	uint64_t size = limit_of(own, "iops-size", "iops-size");

	migrate_pace_share(m, d, &bytes, &ops);
	own_bytes = lower_of(own_bytes, own_ops * (size ? size : BIG_WRITE));
	return (bytes && (!own_bytes || bytes < own_bytes)) ||
	       (ops && (!own_ops || ops < own_ops) &&
		(!own_bytes || ops * SMALL_WRITE < own_bytes));
}

/* A write to d has taken so long. Whether its group may have more from now on. */
static bool lift(struct migrate *m, struct mig_disk *d, uint64_t ms)
{
	const struct group g = see_group(m, d->desc);
	uint64_t bytes, ops;

	if (g.lift >= LIFT_MOST || clock_ms() - g.lifted_ms < LIFT_EVERY_MS ||
	    !is_paced(m, d->desc))
		return false;
	d->lifted_ms = clock_ms();
	d->lift = g.lift + LIFT_BITS;
	m->pace.lifts++;
	migrate_pace_share(m, d->desc, &bytes, &ops);
	log_info(
	    &m->about,
	    "the guest waits %llu ms for a write to disk %s: it may write %llu bytes a second to "
	    "it, or to the %llu disks that share its limits",
	    (unsigned long long)ms, d->desc->name, (unsigned long long)bytes,
	    (unsigned long long)g.disks);
	return true;
}

bool migrate_pace_see_stats(struct migrate *m, const json_t *all)
{
	bool lifted = false;

	for (size_t i = 0; i < m->disk_count; i++) {
		const json_t *stats = stats_of(all, m->disks[i].desc);
		uint64_t ms = stats ? waited_ms(&m->disks[i], stats) : 0;

		if (ms >= LATE_MS)
			lifted |= lift(m, &m->disks[i], ms);
	}
	return lifted;
}
