/* The CPU model behind a type of QEMU's object model, and what it lacks: see vmdesc_cpu.h. */
#include "control/vm/vmdesc_cpu.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

enum { FLAGS_MAX = 16384 };

bool vmdesc_cpu_is_host(const char *model)
{
	return strcmp(model, "host") == 0 || strcmp(model, "max") == 0;
}

char *vmdesc_cpu_flags(char *buf, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[FLAGS_MAX];

	buf[0] = 0;
	while (f && !*buf && fgets(line, sizeof(line), f)) {
		const char *colon = strchr(line, ':');

		/* "flags" on x86, "Features" on Arm */
		if (colon && (strncmp(line, "flags", 5) == 0 || strncmp(line, "Features", 8) == 0))
			snprintf(buf, size, "%s", colon + 1 + strspn(colon + 1, " "));
	}
	if (f)
		fclose(f);
	buf[strcspn(buf, "\n")] = 0;
	return err_printable(buf);
}

/* The model whose type it is; NULL. */
static const json_t *find_model(const json_t *models, const char *type)
{
	const json_t *m;
	size_t i;

	json_array_foreach(models, i, m)
	{
		const char *name = json_string_value(json_object_get(m, "typename"));

		if (name && strcmp(name, type) == 0)
			return m;
	}
	return NULL;
}

void vmdesc_read_cpu(json_t *vm, const json_t *kvm, const json_t *type, const json_t *models)
{
	const char *text = json_string_value(type), *model;
	const json_t *m = text ? find_model(models, text) : NULL;
	char flags[FLAGS_MAX];
	bool has_kvm = json_is_true(json_object_get(kvm, "enabled"));

	if (kvm)
		json_object_set_new(vm, "accel", json_string(has_kvm ? "kvm" : "tcg"));
	model = json_string_value(json_object_get(m, "name"));
	if (!model)
		return;
	json_object_set_new(vm, "cpu", json_string(model));
	if (json_array_size(json_object_get(m, "unavailable-features")))
		json_object_set(vm, "cpu_lacks", json_object_get(m, "unavailable-features"));
	if (has_kvm && vmdesc_cpu_is_host(model))
		json_object_set_new(vm, "cpu_flags",
				    json_string(vmdesc_cpu_flags(flags, sizeof(flags))));
}
