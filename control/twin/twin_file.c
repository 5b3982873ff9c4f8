/*
 * Files that QEMU reads, and the guest sees: what it boots, tables, firmware. None is believed by
 * its path: it is taken from an --images folder by its name, or it is the distribution's firmware.
 */
#include "control/twin/twin_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where that file is here, in path. */
static int find(struct twin_plan *p, const char *option, const char *value, char *path, size_t size)
{
	const char *name = twin_base_name(p, value);

	if (!name)
		return p->e->code;
	for (const char *const *dir = p->rights->images; dir && *dir; dir++) {
		snprintf(path, size, "%s/%s", *dir, name);
		if (access(path, R_OK) == 0) {
			strvec_push(&p->t->files, path);
			return 0;
		}
	}
	return twin_refuse(p, option, value,
			   "that file is taken from the destination's --images "
			   "folder, and is not there: copy it there");
}

int twin_host_file(struct twin_plan *p, const char *option, const char *value)
{
	char path[4096];

	if (find(p, option, value, path, sizeof(path)) < 0)
		return p->e->code;
	twin_add(p, option, path);
	return 0;
}

int twin_firmware(struct twin_plan *p, const char *option, const char *value)
{
	/* without '/': in QEMU's own data folder */
	if (strchr(value, '/') && !twin_is_firmware(value))
		return twin_host_file(p, option, value);
	twin_add(p, option, value);
	return 0;
}

/* "a:b:c", each of them found here. */
static int find_all(struct twin_plan *p, const char *option, const char *value, char *out,
		    size_t size)
{
	char name[4096], path[4096];
	size_t n = 0;

	*out = 0;
	for (const char *at = value; *at; at += strspn(at, ":")) {
		size_t len = strcspn(at, ":");

		snprintf(name, sizeof(name), "%.*s", (int)len, at);
		at += len;
		if (find(p, option, name, path, sizeof(path)) < 0)
			return p->e->code;
		n += (size_t)snprintf(out + n, n < size ? size - n : 0, "%s%s", n ? ":" : "", path);
		if (n >= size)
			return twin_refuse(p, option, value, "it is too long");
	}
	return 0;
}

int twin_tables(struct twin_plan *p, const char *option, const char *value)
{
	static const char *const keys[] = {"file", "data", "path"};
	struct qopts o = {0};
	char found[8192];
	int r = 0;

	if (qopts_parse(&o, value, NULL) < 0)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	/* (of -smbios type=11 there may be several; of each key the last one counts elsewhere) */
	for (size_t i = 0; r == 0 && i < o.count; i++) {
		const char *key = o.at[i].key;
		bool is = false;
		char *copy;

		for (size_t k = 0; key && k < sizeof(keys) / sizeof(keys[0]); k++)
			is = is || strcmp(key, keys[k]) == 0;
		if (!is)
			continue;
		r = find_all(p, option, o.at[i].value, found, sizeof(found));
		copy = r == 0 ? strdup(found) : NULL;
		if (r == 0 && !copy)
			r = err_set(p->e, ERR_SPACE, "no memory for the command line");
		if (r == 0) {
			free(o.at[i].value);
			o.at[i].value = copy;
		}
	}
	if (r == 0 && strstr(value, "file=") == NULL && strstr(value, "data=") == NULL &&
	    strstr(value, "path=") == NULL)
		twin_add(p, option, value);
	else if (r == 0)
		r = twin_add_options(p, option, &o);
	qopts_fini(&o);
	return r;
}
