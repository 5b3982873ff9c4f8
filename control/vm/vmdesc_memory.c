/* See vmdesc_memory.h. */
#include "control/vm/vmdesc_memory.h"

#include <string.h>

#include "control/vm/json_text.h"

uint64_t vmdesc_memory_fixed(const json_t *summary, const json_t *devices, uint64_t *elastic)
{
	uint64_t fixed = json_number(summary, "base-memory");
	const json_t *item;
	size_t i;

	*elastic = 0;
	json_array_foreach(devices, i, item)
	{
		const char *type = json_string_value(json_object_get(item, "type"));
		const json_t *data = json_object_get(item, "data");

		if (type && strcmp(type, "dimm") == 0)
			fixed += json_number(data, "size");
		else if (type && strcmp(type, "virtio-mem") == 0)
			*elastic += json_number(data, "max-size");
	}
	return fixed;
}
