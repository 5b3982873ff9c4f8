/* See test_twin_fixture.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test_twin_fixture.h"

char twin_fixture_images[] = "/tmp/adit-twin-XXXXXX";

int twin_fixture_set_up(void **state)
{
	(void)state;
	return mkdtemp(twin_fixture_images) ? 0 : -1;
}

int twin_fixture_tear_down(void **state)
{
	(void)state;
	return rmdir(twin_fixture_images);
}

json_t *disk(const char *name, const char *file, const char *format)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:b,s:b,s:b,s:b}", "name", name, "device", name,
			 "node", name, "file", file, "format", format, "size", (json_int_t)1048576,
			 "read_only", 0, "empty", 0, "removable", 0, "copy", 1);
}

int plan_words(struct plan *p, const char *const *words)
{
	const char *binaries[] = {"/usr/bin/qemu-system-x86_64", NULL};
	const char *dirs[] = {twin_fixture_images, NULL};
	static struct rights_storage storage[8]; /* (the description has words of it) */
	struct rights rights = {.migrate = true,
				.launch = binaries,
				.images = p->no_images ? NULL : dirs,
				.storage = storage,
				.networks = (struct rights_network *)p->allowed,
				.network_count = p->allowed_count,
				.memory = (const char **)(uintptr_t)p->memory,
				.swtpm = (char *)(uintptr_t)p->swtpm};
	json_t *argv = json_array(), *msg;
	int r;

	for (const char **s = p->storage; s && *s; s++) {
		struct rights_storage *to = &storage[rights.storage_count++];

		free(to->folder);
		snprintf(to->name, sizeof(to->name), "%.*s", (int)strcspn(*s, "="), *s);
		snprintf(to->format, sizeof(to->format), "%s", p->format ? p->format : "");
		to->folder = strdup(strchr(*s, '=') + 1);
	}
	json_array_append_new(argv, json_string("qemu"));
	for (; *words; words++)
		json_array_append_new(argv, json_string(*words));
	msg = json_pack("{s:{s:s,s:s,s:s,s:s,s:s,s:o},s:o}", "vm", "machine", "pc-i440fx-7.2",
			"name", p->name ? p->name : "vm", "exe",
			p->exe ? p->exe : "/usr/bin/qemu-system-x86_64", "cwd",
			p->cwd ? p->cwd : "/home/u", "qemu", "7.2.22", "argv", argv, "disks",
			p->disks ? p->disks : json_array());
	if (p->secrets)
		json_object_set_new(msg, "secrets", p->secrets);
	if (p->inc)
		json_object_set_new(msg, "storage", json_string("inc"));
	if (p->rename)
		json_object_set_new(msg, "rename", json_string(p->rename));
	if (p->plugged)
		json_object_set_new(json_object_get(msg, "vm"), "plugged",
				    json_pack("[s]", p->plugged));
	if (p->networks)
		json_object_set_new(json_object_get(msg, "vm"), "networks", p->networks);
	if (p->no_nodes)
		json_object_set_new(json_object_get(msg, "vm"), "nodes", json_array());
	assert_int_equal(vmdesc_parse(&p->d, msg, &p->e), 0);
	json_decref(msg);
	twin_formats(&p->d, &rights);
	r = twin_plan(&p->t, &p->d, &rights, "/run/t", JOB, &p->e);
	assert_int_equal(r, p->e.code);
	assert_true(r == 0 || *p->e.text);
	return r;
}

void plan_fini(struct plan *p)
{
	twin_fini(&p->t);
	vmdesc_fini(&p->d);
	memset(p, 0, sizeof(*p));
}

const char *value(const struct plan *p, const char *option, unsigned n)
{
	for (size_t i = 1; i < p->t.argv.count; i++)
		if (strcmp(p->t.argv.at[i], option) == 0 && n-- == 0)
			return i + 1 < p->t.argv.count ? p->t.argv.at[i + 1] : "";
	return NULL;
}

bool noted(const struct plan *p, const char *part)
{
	for (size_t i = 0; i < p->t.notes.count; i++)
		if (strstr(p->t.notes.at[i], part))
			return true;
	return false;
}

void becomes(const char *option, const char *in, const char *out)
{
	struct plan p = {0};

	if (plan(&p, option, in) != 0)
		fail_msg("%s %s: %s", option, in, p.e.text);
	if (*out)
		assert_string_equal(value(&p, option, 0), out);
	else
		assert_null(value(&p, option, 0));
	plan_fini(&p);
}

void refused(const char *option, const char *in, const char *part)
{
	struct plan p = {0};

	if (plan(&p, option, in) == 0)
		fail_msg("%s %s was taken", option, in);
	assert_int_equal(p.e.code, ERR_REFUSED);
	if (!strstr(p.e.text, option) || !strstr(p.e.text, part))
		fail_msg("%s %s: %s", option, in, p.e.text);
	plan_fini(&p);
}
