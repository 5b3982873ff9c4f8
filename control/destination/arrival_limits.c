/*
 * The VM's I/O limits on the destination, as they are at the source: what its command line says of
 * them may be of yesterday. They are set while the twin waits; the copy of the disks, which is
 * written below them (arrival_streams.c), is not held up. A limit that cannot be set stops nothing:
 * it is told.
 */
#include "control/destination/arrival_i.h"

#include <string.h>

#include "control/vm.h"

static const char *id_of(const json_t *group)
{
	return json_string_value(json_object_get(group, "id"));
}

void arrival_limits_add(struct arrival *a, struct qmp_batch *b)
{
	size_t i;
	json_t *group;

	/* (arrival_limits_tell counts on this order.) */
	json_array_foreach(a->desc.throttle_groups, i, group)
	    qmp_batch_add(b, QMP_MAY, "qom-set",
			  throttle_group_args(json_object_get(group, "limits"), id_of(group)));
	for (i = 0; i < a->desc.disk_count; i++) {
		const struct vmdesc_disk *d = &a->desc.disks[i];

		/* Limits go with a medium; a group's own are not said twice. */
		if (d->empty || (!*d->device && !*d->qdev))
			continue;
		qmp_batch_add(b, QMP_MAY, "block_set_io_throttle",
			      throttle_drive_args(d->limits, d->device, d->qdev, d->limits_group));
	}
}

void arrival_limits_tell(struct arrival *a, const struct qmp_batch *b)
{
	unsigned at = 0;
	size_t i;
	json_t *group;

	json_array_foreach(a->desc.throttle_groups, i, group)
	{
		const struct err *e = qmp_batch_err(b, at++);

		if (err_is_set(e))
			strvec_pushf(&a->twin.notes,
				     "the I/O limits of throttle group %.200s are not set there: "
				     "%.300s",
				     id_of(group), e->text);
	}
	for (i = 0; i < a->desc.disk_count; i++) {
		const struct vmdesc_disk *d = &a->desc.disks[i];

		if (d->empty || (!*d->device && !*d->qdev))
			continue;
		if (err_is_set(qmp_batch_err(b, at)) && d->limits)
			strvec_pushf(&a->twin.notes,
				     "the I/O limits of drive %s are not set there: %.300s",
				     d->name, qmp_batch_err(b, at)->text);
		at++;
	}
}
