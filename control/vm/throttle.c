/* I/O limits: see throttle.h. Only words; asks and sets nothing itself. */
#include "control/vm/throttle.h"

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

/* The words that a limit has in a drive's answers and commands, and in a group's. */
enum words { DRIVE, GROUP };

static const char *key(char buf[32], enum words words, size_t kind, size_t part)
{
	snprintf(buf, 32, "%s%s", words == DRIVE ? kinds[kind].drive : kinds[kind].group,
		 words == DRIVE ? parts[part].drive : parts[part].group);
	return buf;
}

static json_int_t num(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

/* All limits that there are. */
static void move(json_t *to, enum words to_words, const json_t *from, enum words from_words)
{
	static const char *const size[] = {[DRIVE] = "iops_size", [GROUP] = "iops-size"};
	char name[32], max[32], new_name[32];

	for (size_t i = 0; i < KINDS; i++)
		for (size_t k = 0; k < 3; k++) {
			json_int_t v = num(from, key(name, from_words, i, k));

			/* the length of no burst is nothing */
			if (v > 0 && (k < 2 || num(from, key(max, from_words, i, 1)) > 0))
				json_object_set_new(to, key(new_name, to_words, i, k),
						    json_integer(v));
		}
	if (json_object_size(to) && num(from, size[from_words]) > 0)
		json_object_set_new(to, size[to_words], json_integer(num(from, size[from_words])));
}

json_t *throttle_of_drive(const json_t *inserted)
{
	json_t *limits = json_object();

	move(limits, GROUP, inserted, DRIVE);
	return limits;
}

json_t *throttle_of_group(const json_t *v)
{
	json_t *limits = json_object();

	move(limits, GROUP, v, GROUP);
	return limits;
}

json_t *throttle_drive_args(const json_t *limits, const char *device, const char *qdev,
			    const char *group)
{
	json_t *args = json_object();

	json_object_set_new(args, *device ? "device" : "id", json_string(*device ? device : qdev));
	/* none is named as well */
	for (size_t i = 0; i < KINDS; i++)
		json_object_set_new(args, kinds[i].drive, json_integer(0));
	move(args, DRIVE, limits, GROUP);
	if (*group && json_object_size(limits))
		json_object_set_new(args, "group", json_string(group));
	return args;
}

json_t *throttle_group_args(const json_t *limits, const char *id)
{
	json_t *all = json_object();
	char path[300], name[32];

	/* One that is left out stays as it was. */
	for (size_t i = 0; i < KINDS; i++)
		for (size_t k = 0; k < 3; k++) {
			json_int_t v = num(limits, key(name, GROUP, i, k));

			json_object_set_new(all, name, json_integer(k == 2 && v < 1 ? 1 : v));
		}
	json_object_set_new(all, "iops-size", json_integer(num(limits, "iops-size")));
	snprintf(path, sizeof(path), "/objects/%s", id);
	return json_pack("{s:s,s:s,s:o}", "path", path, "property", "limits", "value", all);
}
