/*
 * RAM that is in files or in huge pages. Where a VM names a folder, or a file, for it, the twin's
 * is in the folder of this host's that is allowed for that and that has it, as a file without a
 * name; never at the path that the source has named. How much of it there is to be, of pages of
 * which size, is told to the check.
 */
#include "control/twin/twin_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

/* The allowed folder that path is, or is in; NULL. */
static const char *folder_of(const struct twin_plan *p, const char *path)
{
	if (strstr(path, "/..") || strncmp(path, "..", 2) == 0)
		return NULL;
	for (const char *const *dir = p->rights->memory; dir && *dir; dir++) {
		size_t len = strlen(*dir);

		while (len > 1 && (*dir)[len - 1] == '/')
			len--;
		if (strncmp(path, *dir, len) == 0 && (!path[len] || path[len] == '/'))
			return *dir;
	}
	return NULL;
}

static int want(struct twin_plan *p, const char *dir, uint64_t page, uint64_t bytes)
{
	struct twin_ram *grown = realloc(p->t->ram, (p->t->ram_count + 1) * sizeof(*p->t->ram));

	if (!grown)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	p->t->ram = grown;
	grown[p->t->ram_count++] = (struct twin_ram){.dir = dir, .page = page, .bytes = bytes};
	return 0;
}

static int refuse_path(struct twin_plan *p, const char *option, const char *path)
{
	char text[200];

	snprintf(text, sizeof(text), "%.150s", path);
	return twin_refuse(p, option, text,
			   "RAM may not be there on the destination: start its adit serve with "
			   "--memory-paths and that folder (memory-paths = in adit.conf)");
}

int twin_mem_path(struct twin_plan *p, const char *value)
{
	const char *dir = folder_of(p, value);

	if (!dir)
		return refuse_path(p, "mem-path", value);
	twin_add(p, "mem-path", dir);
	return want(p, dir, 0, p->d->memory);
}

/* An option's value as text: o's, or json's. */
static const char *text_of(const struct qopts *o, const json_t *json, const char *key, char *buf,
			   size_t size)
{
	const json_t *v = json_object_get(json, key);

	if (!json)
		return qopts_get(o, key);
	if (json_is_integer(v))
		snprintf(buf, size, "%lld", (long long)json_integer_value(v));
	else
		return json_string_value(v);
	return buf;
}

static uint64_t bytes_of(const char *text)
{
	struct err ignored = ERR_INIT;
	uint64_t bytes;

	return text && size_parse(&bytes, text, &ignored) == 0 ? bytes : 0;
}

static bool is_on(const struct qopts *o, const json_t *json, const char *key)
{
	return json ? json_is_true(json_object_get(json, key)) : qopts_is_on(o, key);
}

/* Whether a device has a file of the host for its contents. */
static bool has_storage(const struct twin_plan *p)
{
	for (size_t i = 0; i < p->args->count; i++) {
		const struct qargs_item *it = &p->args->at[i];

		if (it->option && it->option->rule == QARGS_DEVICE &&
		    (strstr(it->value, "nvdimm") || strstr(it->value, "virtio-pmem")))
			return true;
	}
	return false;
}

static int take_file(struct twin_plan *p, struct qopts *o, json_t *json)
{
	char path[64], buf[64];
	const char *at = text_of(o, json, "mem-path", path, sizeof(path)), *dir;
	static const char *const kept[] = {"pmem", "readonly", "rom"};

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (is_on(o, json, kept[i]))
			return twin_refuse(p, "object", "memory-backend-file",
					   "its contents are kept in a file of the source host");
	if (has_storage(p))
		return twin_refuse(p, "object", "memory-backend-file",
				   "an NVDIMM's contents are kept in a file of the source host, "
				   "which is not copied; " TWIN_ATTACH);
	if (!at)
		return twin_refuse(p, "object", "memory-backend-file", "it names no mem-path");
	dir = folder_of(p, at);
	if (!dir)
		return refuse_path(p, "object memory-backend-file,mem-path", at);
	if (json) {
		json_object_set_new(json, "mem-path", json_string(dir));
		json_object_del(json, "offset");
	} else {
		if (qopts_set(o, "mem-path", dir) < 0)
			return err_set(p->e, ERR_SPACE, "no memory for the command line");
		qopts_remove(o, "offset");
	}
	return want(p, dir, 0, bytes_of(text_of(o, json, "size", buf, sizeof(buf))));
}

/* Which of the host's NUMA nodes it is on is the source's affair. */
static void unbind(struct twin_plan *p, struct qopts *o, json_t *json)
{
	char buf[64];
	const char *policy = text_of(o, json, "policy", buf, sizeof(buf));
	bool bound = policy && strcmp(policy, "default") != 0;

	if (json) {
		json_object_del(json, "host-nodes");
		json_object_del(json, "policy");
	} else {
		qopts_remove_prefix(o, "host-nodes");
		qopts_remove(o, "policy");
	}
	if (bound)
		strvec_push(&p->t->notes, "RAM is bound to NUMA nodes of the source host, and to "
					  "none on the destination");
}

static int rewrite(struct twin_plan *p, const char *type, struct qopts *o, json_t *json)
{
	char size[64], page[64];
	int r = 0;

	unbind(p, o, json);
	if (strcmp(type, "memory-backend-file") == 0)
		r = take_file(p, o, json);
	else if (strcmp(type, "memory-backend-memfd") == 0 && is_on(o, json, "hugetlb"))
		r = want(p, NULL, bytes_of(text_of(o, json, "hugetlbsize", page, sizeof(page))),
			 bytes_of(text_of(o, json, "size", size, sizeof(size))));
	return r;
}

int twin_memory(struct twin_plan *p, const char *type, const char *value)
{
	struct qopts o = {0};
	char *text = NULL;
	json_t *json = NULL;
	int r;

	if (*value == '{')
		json = json_loads(value, JSON_REJECT_DUPLICATES, NULL);
	else if (qopts_parse(&o, value, "qom-type") < 0)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	r = rewrite(p, type, &o, json);
	if (r == 0 && strcmp(type, "memory-backend-file") != 0 && !strstr(value, "host-nodes") &&
	    !strstr(value, "policy"))
		twin_add(p, "object", value);
	else if (r == 0 && !json)
		r = twin_add_options(p, "object", &o);
	else if (r == 0 && (text = json_dumps(json, JSON_COMPACT)) != NULL)
		twin_add(p, "object", text);
	else if (r == 0)
		r = err_set(p->e, ERR_SPACE, "no memory for the command line");
	free(text);
	json_decref(json);
	qopts_fini(&o);
	return r;
}
