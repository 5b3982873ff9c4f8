/* See vmdesc_memory.h. */
#include "control/vm/vmdesc_memory.h"

#include <string.h>

static uint64_t num(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));

	return v > 0 ? (uint64_t)v : 0;
}

uint64_t vmdesc_memory_fixed(const json_t *summary, const json_t *devices, uint64_t *elastic)
{
	uint64_t fixed = num(summary, "base-memory");
	const json_t *item;
	size_t i;

	*elastic = 0;
	json_array_foreach(devices, i, item)
	{
		const char *type = json_string_value(json_object_get(item, "type"));
		const json_t *data = json_object_get(item, "data");

		if (type && strcmp(type, "dimm") == 0)
			fixed += num(data, "size");
		else if (type && strcmp(type, "virtio-mem") == 0)
			*elastic += num(data, "max-size");
	}
	return fixed;
}
