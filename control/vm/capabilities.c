/* See capabilities.h. */
#include "control/vm/capabilities.h"

#include <string.h>

#include "control/vm/json_text.h"

static const json_t *find(const json_t *list, const char *name)
{
	size_t i;
	const json_t *cap;

	json_array_foreach(list, i, cap)
	{
		if (strcmp(json_text(cap, "capability"), name) == 0)
			return cap;
	}
	return NULL;
}

bool capabilities_know(const json_t *list, const char *name)
{
	return find(list, name) != NULL;
}

bool capabilities_are_on(const json_t *list, const char *name)
{
	return json_is_true(json_object_get(find(list, name), "state"));
}

void capabilities_add(json_t *list, const char *name, bool on)
{
	json_array_append_new(list,
			      json_pack("{s:s,s:b}", "capability", name, "state", on ? 1 : 0));
}
