/* The questions to a QEMU, and its answers: see check_probe.h. */
#include "control/check/check_probe_i.h"

#include <stdio.h>
#include <string.h>

#include "control/vm.h"

const struct check_probe_question check_probe_questions[QUESTIONS] = {
    [VERSION] = {"query-version", NULL, NULL},
    [TARGET] = {"query-target", NULL, NULL},
    [KVM] = {"query-kvm", NULL, NULL},
    [MACHINES] = {"query-machines", NULL, NULL},
    [CPUS] = {"query-cpu-definitions", NULL, NULL},
    [CAPABILITIES] = {"query-migrate-capabilities", NULL, NULL},
    [SCHEMA] = {"query-qmp-schema", NULL, NULL},
    [MACHINE] = {"qom-get", "/machine", "type"},
    [MEMORY] = {"query-memory-size-summary", NULL, NULL},
    [MEMORY_DEVICES] = {"query-memory-devices", NULL, NULL},
    [CPU_LIST] = {"query-cpus-fast", NULL, NULL},
    [CPU] = {"qom-get", "/machine/unattached/device[0]", "type"},
    [BLOCK] = {"query-block", NULL, NULL},
    [NODES] = {"query-named-block-nodes", NULL, NULL},
    [GRAPH] = {"x-debug-query-block-graph", NULL, NULL},
    [NAME] = {"query-name", NULL, NULL},
};

static void read_machines(json_t *out, const json_t *list)
{
	json_t *machines = json_object();
	const json_t *m;
	size_t i;

	json_array_foreach(list, i, m)
	{
		json_t *most = json_object_get(m, "cpu-max");

		if (!json_is_integer(most))
			continue;
		json_object_set(machines, json_text(m, "name"), most);
		if (*json_text(m, "alias"))
			json_object_set(machines, json_text(m, "alias"), most);
	}
	json_object_set_new(out, "machines", machines);
}

static void read_cpus(json_t *out, const json_t *list)
{
	json_t *cpus = json_object(), *none = json_array();
	const json_t *m;
	size_t i;

	json_array_foreach(list, i, m)
	{
		json_t *lacks = json_object_get(m, "unavailable-features");

		json_object_set(cpus, json_text(m, "name"), lacks ? lacks : none);
	}
	json_decref(none);
	json_object_set_new(out, "cpus", cpus);
}

static bool has_word(const json_t *list, const char *word)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *s = json_string_value(item);

		if (s && strcmp(s, word) == 0)
			return true;
	}
	return false;
}

/* The schema has no names for its types, but only one list of words has both of these. */
static void read_schema(json_t *out, const json_t *schema)
{
	const json_t *type;
	size_t i;

	json_array_foreach(schema, i, type)
	{
		json_t *values = json_object_get(type, "values");

		if (has_word(values, "none") && has_word(values, "zlib"))
			json_object_set(out, "compression", values);
	}
}

void check_probe_put(json_t *out, enum question q, json_t *v)
{
	const json_t *version = json_object_get(v, "qemu");
	char text[64];

	switch (q) {
	case VERSION:
		snprintf(text, sizeof(text), "%d.%d.%d",
			 (int)json_integer_value(json_object_get(version, "major")),
			 (int)json_integer_value(json_object_get(version, "minor")),
			 (int)json_integer_value(json_object_get(version, "micro")));
		json_object_set_new(out, "qemu", json_string(text));
		break;
	case TARGET:
		json_object_set(out, "target", v);
		break;
	case KVM:
		json_object_set(out, "kvm", json_object_get(v, "enabled"));
		break;
	case MACHINES:
		read_machines(out, v);
		break;
	case CPUS:
		read_cpus(out, v);
		break;
	case CAPABILITIES:
		json_object_set(out, "capabilities", v);
		break;
	case SCHEMA:
		read_schema(out, v);
		break;
	case MACHINE:
		json_object_set(out, "machine", v);
		break;
	case MEMORY:
		json_object_set(out, "memory", v);
		break;
	case MEMORY_DEVICES:
		json_object_set(out, "memory_devices", v);
		break;
	case CPU_LIST:
		json_object_set(out, "cpu_list", v);
		break;
	case CPU:
		json_object_set(out, "cpu", v);
		break;
	case BLOCK:
		json_object_set(out, "block", v);
		break;
	case NODES:
		json_object_set(out, "nodes", v);
		break;
	case GRAPH:
		json_object_set(out, "graph", v);
		break;
	case NAME:
		json_object_set(out, "name", v);
		break;
	case QUESTIONS:
		break;
	}
}

json_t *check_probe_read(const char *text, size_t len, struct err *e)
{
	json_t *out = json_object();
	const char *end = text + len;

	while (out && text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = nl ? (size_t)(nl - text) : (size_t)(end - text);
		json_t *line = json_loadb(text, n, 0, NULL);
		const json_t *id = json_object_get(line, "id");
		json_t *v = json_object_get(line, "return");

		if (v && json_is_integer(id) && json_integer_value(id) >= 0 &&
		    json_integer_value(id) < QUESTIONS)
			check_probe_put(out, (enum question)json_integer_value(id), v);
		json_decref(line);
		text += n + (nl != NULL);
	}
	if (*json_text(out, "qemu"))
		return out;
	json_decref(out);
	err_set(e, ERR_QEMU, "it does not say which QEMU it is");
	return NULL;
}
