/*
 * Where the source wishes an image to be (adit migrate --target): in a storage that its rights
 * name, or in a folder of images. What it says is only held against those; the path is made of the
 * folder as the rights have it, and of one name in it.
 */
#include "control/twin/twin_i.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refuse(struct twin_plan *p, const struct vmdesc_disk *d, const char *why)
{
	return err_set(p->e, ERR_REFUSED, "--target %.100s=%.200s: %s", d->name, d->target, why);
}

/* Whether a and b are one folder, by whatever links. */
static bool same_folder(const char *a, const char *b)
{
	char real_a[PATH_MAX], real_b[PATH_MAX];

	return realpath(a, real_a) && realpath(b, real_b) && strcmp(real_a, real_b) == 0;
}

/* The folder of the rights that path, an absolute one, is in; NULL. */
static const char *folder_of(const struct rights *r, const char *path)
{
	char dir[PATH_MAX];
	size_t len = (size_t)(strrchr(path, '/') - path);

	if (len >= sizeof(dir))
		return NULL;
	snprintf(dir, sizeof(dir), "%.*s", len ? (int)len : 1, path);
	for (const char *const *d = r->images; d && *d; d++)
		if (same_folder(*d, dir))
			return *d;
	for (const char *const *s = r->storage; s && *s; s++)
		if (same_folder(strchr(*s, '=') + 1, dir))
			return strchr(*s, '=') + 1;
	return NULL;
}

int twin_target(struct twin_plan *p, const struct vmdesc_disk *d, const char *source, char *out,
		size_t size)
{
	const char *colon = strchr(d->target, ':'), *name = d->target, *dir = NULL;
	const struct rights *r = p->rights;

	if (*name == '/') {
		dir = folder_of(r, name);
		name = strrchr(name, '/') + 1;
		if (!dir)
			return refuse(p, d,
				      "no folder for images, and no storage, of this peer's there "
				      "(images =, storage = in adit.conf)");
	} else if (colon) {
		dir = rights_storage(r, name, (size_t)(colon - name));
		name = colon + 1;
		if (!dir)
			return refuse(p, d,
				      "there is no storage of that name for this peer (storage = "
				      "in adit.conf, --allow-storage)");
		if (!*name && !(name = twin_base_name(p, source)))
			return p->e->code;
	}
	if (strchr(name, '/') || !twin_base_name(p, name))
		return refuse(p, d, "not the name of a file in a folder");
	for (const char *const *i = r->images; !dir && i && *i; i++) {
		snprintf(out, size, "%s/%s", *i, name);
		if (access(out, F_OK) == 0)
			dir = *i;
	}
	if (!dir)
		dir = r->images[0];
	if ((size_t)snprintf(out, size, "%s/%s", dir, name) >= size)
		return refuse(p, d, "too long");
	return 0;
}
