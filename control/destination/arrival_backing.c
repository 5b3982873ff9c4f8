/*
 * What stands below the images of --copy-storage inc: for a twin that is launched, files
 * of the listed folders that nobody writes to, now or in another arrival. (What a QEMU that
 * waits has there is twin_match.c's matter.)
 */
#include "control/destination/arrival_i.h"

#include <string.h>

#include "control/host.h"

static bool same_file(const char *a, const char *b)
{
	char id_a[64], id_b[64];

	if (strcmp(a, b) == 0)
		return true;
	return vmdesc_file_id("/", a, id_a, sizeof(id_a)) == 0 &&
	       vmdesc_file_id("/", b, id_b, sizeof(id_b)) == 0 && strcmp(id_a, id_b) == 0;
}

/* Whether one of t's images, to which its VM writes, is path. */
static bool writes_to(const struct twin *t, const char *path)
{
	for (size_t i = 0; i < t->image_count; i++)
		if (!t->images[i].disk->read_only && same_file(t->images[i].path, path))
			return true;
	return false;
}

/* A twin that waits holds no locks that would tell. */
static int check_writers(struct arrival *a, const char *path, struct err *e)
{
	const struct arrival *other;

	TAILQ_FOREACH(other, &a->service->arrivals, listed)
	if (arrival_claims(other) && writes_to(&other->twin, path))
		return err_set(e, ERR_REFUSED,
			       "%s on the destination is a backing file, and %s VM that comes "
			       "writes to it",
			       path, other == a ? "the very" : "another");
	return 0;
}

/* And the other way round: what this twin writes to may be below another's images. */
static int check_readers(struct arrival *a, struct err *e)
{
	const struct arrival *other;

	TAILQ_FOREACH(other, &a->service->arrivals, listed)
	for (size_t i = 0; other != a && arrival_claims(other) && i < other->twin.chain.count; i++)
		if (writes_to(&a->twin, other->twin.chain.at[i]))
			return err_set(e, ERR_REFUSED,
				       "%s on the destination is a backing file of another VM that "
				       "comes",
				       other->twin.chain.at[i]);
	return 0;
}

int arrival_check_backing(struct arrival *a, struct err *e)
{
	struct twin *t = &a->twin;

	for (size_t i = 0; i < t->backing_count; i++)
		if (backing_look(a->rights->images, t->backings[i].path, t->backings[i].from,
				 &t->chain, e) < 0)
			return e->code;
	for (size_t i = 0; i < t->chain.count; i++)
		if (check_writers(a, t->chain.at[i], e) < 0)
			return e->code;
	return check_readers(a, e);
}
