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
	size_t len = strlen(d->target);

	/* A storage alone is what --storage names, and --target may: which of them it was is not
	 * known here. */
	if (d->target[len - 1] == ':')
		return err_set(p->e, ERR_REFUSED,
			       "--storage %.100s=%.*s (--target %.100s=%.200s): %s", d->name,
			       len > 200 ? 200 : (int)len - 1, d->target, d->name, d->target, why);
	return err_set(p->e, ERR_REFUSED, "--target %.100s=%.200s: %s", d->name, d->target, why);
}

static bool same_text(const char *a, const char *b)
{
	size_t len_a = strlen(a), len_b = strlen(b);

	while (len_a > 1 && a[len_a - 1] == '/')
		len_a--;
	while (len_b > 1 && b[len_b - 1] == '/')
		len_b--;
	return len_a == len_b && memcmp(a, b, len_a) == 0;
}

/* Whether dir names the folder ours of the rights, as these have it or without links. What the peer
 * says is never looked up: it may be a mount that does not answer, or one that is made by that. */
static bool same_folder(const char *ours, const char *dir)
{
	char real[PATH_MAX];

	return same_text(ours, dir) || (realpath(ours, real) && same_text(real, dir));
}

/* The folder of the rights that path, an absolute one, is in; NULL. *storage: whose that is, NULL:
 * it is one for images. */
static const char *folder_of(const struct rights *r, const char *path,
			     const struct rights_storage **storage)
{
	char dir[PATH_MAX];
	size_t len = (size_t)(strrchr(path, '/') - path);

	*storage = NULL;
	if (len >= sizeof(dir))
		return NULL;
	snprintf(dir, sizeof(dir), "%.*s", len ? (int)len : 1, path);
	for (const char *const *d = r->images; d && *d; d++)
		if (same_folder(*d, dir))
			return *d;
	for (unsigned i = 0; i < r->storage_count; i++)
		if (same_folder(r->storage[i].folder, dir)) {
			*storage = &r->storage[i];
			return r->storage[i].folder;
		}
	return NULL;
}

const struct rights_storage *twin_target_storage(const struct rights *r, const char *target)
{
	const struct rights_storage *s = NULL;
	const char *colon = strchr(target, ':');

	if (*target == '/')
		folder_of(r, target, &s);
	else if (colon)
		s = rights_storage(r, target, (size_t)(colon - target));
	return s;
}

static bool is_for_images(const struct rights *r, const char *dir)
{
	for (const char *const *i = r->images; i && *i; i++)
		if (same_text(*i, dir))
			return true;
	return false;
}

/* Folders of images are there to be used; in a storage is what other peers have, and this one may
 * put something new there. A medium that is there already is held to its sum. */
static bool may_be_in(const struct rights *r, const char *dir, const struct vmdesc_disk *d)
{
	if (is_for_images(r, dir))
		return true;
	return d->read_only ? *d->sum : d->copy;
}

bool twin_is_in_storage(const char *path, const struct rights *r)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');

	snprintf(dir, sizeof(dir), "%.*s", slash > path ? (int)(slash - path) : 1, path);
	return !is_for_images(r, dir);
}

int twin_check_overwrite(const struct twin_image *image, const struct rights *r, struct err *e)
{
	if (!image->disk->copy)
		return 0;
	if (twin_is_in_storage(image->path, r))
		return err_set(e, ERR_REFUSED,
			       "%s is there already on the destination, in a storage, where it may "
			       "be another peer's: give disk %s another name (--target), or remove "
			       "it there",
			       image->path, image->disk->name);
	if (!r->overwrite_images || image->disk->read_only)
		return err_set(e, ERR_REFUSED,
			       "%s is there already on the destination, and would be overwritten: "
			       "remove it or move it away, or start adit serve there with "
			       "--overwrite-images (overwrite-images = yes in adit.conf)",
			       image->path);
	return image_check_format(image->path, image->disk, e);
}

/* The name that d's image has at the source; where it says a format, it says the one that is made.
 * apart: behind the disk's own. */
static const char *own_name(struct twin_plan *p, const struct vmdesc_disk *d, const char *source,
			    bool apart, char *buf, size_t size)
{
	const char *name = twin_base_name(p, source), *dot = name ? strrchr(name, '.') : NULL;
	bool other = dot && dot != name && *d->made && strcmp(dot + 1, d->format) == 0;

	if (!name)
		return NULL;
	if ((size_t)snprintf(buf, size, "%s%s%.*s%s", apart ? d->name : "", apart ? "-" : "",
			     other ? (int)(dot + 1 - name) : (int)strlen(name), name,
			     other ? d->made : "") < size)
		return buf;
	refuse(p, d, "too long");
	return NULL;
}

int twin_target(struct twin_plan *p, const struct vmdesc_disk *d, const char *source, bool apart,
		char *out, size_t size)
{
	const char *colon = strchr(d->target, ':'), *name = d->target, *dir = NULL;
	const struct rights *r = p->rights;
	const struct rights_storage *storage;
	char own[PATH_MAX];

	if (*name == '/') {
		dir = folder_of(r, name, &storage);
		name = strrchr(name, '/') + 1;
		if (!dir)
			return refuse(p, d,
				      "no folder for images, and no storage, of this peer's there "
				      "(images =, storage = in adit.conf)");
	} else if (colon) {
		storage = twin_target_storage(r, name);
		dir = storage ? storage->folder : NULL;
		name = colon + 1;
		if (!dir)
			return refuse(p, d,
				      "there is no storage of that name for this peer (storage = "
				      "in adit.conf, --allow-storage)");
		if (!*name && !(name = own_name(p, d, source, apart, own, sizeof(own))))
			return p->e->code;
	}
	if (strchr(name, '/') || !twin_base_name(p, name))
		return refuse(p, d, "not the name of a file in a folder");
	if (dir && !may_be_in(r, dir, d))
		return refuse(p, d,
			      d->read_only
				  ? "of what is only read, in a storage, the sum has to be "
				    "known: let adit on the source read it"
				  : "in a storage is only what is copied: copy this disk, "
				    "or use a folder for images");
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
