/* I/O limits: see throttle.h. Only words; asks and sets nothing itself. */
#include "control/throttle.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *drive, *group;
} kinds[] = {
    {"bps", "bps-total"},   {"bps_rd", "bps-read"},   {"bps_wr", "bps-write"},
    {"iops", "iops-total"}, {"iops_rd", "iops-read"}, {"iops_wr", "iops-write"},
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const struct {
	const char *drive, *group;
} parts[] = {{"", ""}, {"_max", "-max"}, {"_max_length", "-max-length"}};

static void move(json_t *to, const char *to_key, const json_t *from, const char *from_key)
{
	json_int_t v = json_integer_value(json_object_get(from, from_key));

	if (v > 0)
		json_object_set_new(to, to_key, json_integer(v));
}

json_t *throttle_of_drive(const json_t *inserted)
{
	json_t *limits = json_object();
	char from[32], to[32];

	for (size_t i = 0; i < KINDS; i++)
		for (size_t k = 0; k < 3; k++) {
			snprintf(from, sizeof(from), "%s%s", kinds[i].drive, parts[k].drive);
			snprintf(to, sizeof(to), "%s%s", kinds[i].group, parts[k].group);
			move(limits, to, inserted, from);
		}
	if (json_object_size(limits))
		move(limits, "iops-size", inserted, "iops_size");
	return limits;
}

json_t *throttle_of_group(const json_t *v)
{
	json_t *limits = json_object();
	char key[32], max[32];

	for (size_t i = 0; i < KINDS; i++)
		for (size_t k = 0; k < 3; k++) {
			snprintf(key, sizeof(key), "%s%s", kinds[i].group, parts[k].group);
			snprintf(max, sizeof(max), "%s-max", kinds[i].group);
			/* the length of no burst is nothing */
			if (k < 2 || json_integer_value(json_object_get(v, max)) > 0)
				move(limits, key, v, key);
		}
	if (json_object_size(limits))
		move(limits, "iops-size", v, "iops-size");
	return limits;
}

json_t *throttle_drive_args(const json_t *limits, const char *device, const char *qdev,
			    const char *group)
{
	json_t *args = json_object();
	char from[32], to[32];

	json_object_set_new(args, *device ? "device" : "id", json_string(*device ? device : qdev));
	for (size_t i = 0; i < KINDS; i++)
		for (size_t k = 0; k < 3; k++) {
			snprintf(from, sizeof(from), "%s%s", kinds[i].group, parts[k].group);
			snprintf(to, sizeof(to), "%s%s", kinds[i].drive, parts[k].drive);
			if (k == 0)
				json_object_set_new(args, to,
						    json_integer(json_integer_value(
							json_object_get(limits, from))));
			else
				move(args, to, limits, from);
		}
	move(args, "iops_size", limits, "iops-size");
	if (*group && json_object_size(limits))
		json_object_set_new(args, "group", json_string(group));
	return args;
}

json_t *throttle_group_args(const json_t *limits, const char *id)
{
	json_t *all = json_object();
	char path[300], key[32];

	/* One that is left out stays as it was. */
	for (size_t i = 0; i < KINDS; i++)
		for (size_t k = 0; k < 3; k++) {
			json_int_t v;

			snprintf(key, sizeof(key), "%s%s", kinds[i].group, parts[k].group);
			v = json_integer_value(json_object_get(limits, key));
			json_object_set_new(all, key, json_integer(k == 2 && v < 1 ? 1 : v));
		}
	json_object_set_new(
	    all, "iops-size",
	    json_integer(json_integer_value(json_object_get(limits, "iops-size"))));
	snprintf(path, sizeof(path), "/objects/%s", id);
	return json_pack("{s:s,s:s,s:o}", "path", path, "property", "limits", "value", all);
}
