/*
 * Encrypted images of the twin. What the source says of a disk is not enough: the words of its
 * command line are looked through too, so that an image is never made in plaintext because a
 * source says nothing of its encryption.
 */
#include "control/twin_i.h"

#include <jansson.h>
#include <string.h>

static bool is_crypt_key(const char *key)
{
	return strncmp(key, "encrypt.", 8) == 0 || strcmp(key, "encrypt") == 0 ||
	       strstr(key, ".encrypt.") || strstr(key, "key-secret");
}

static bool is_crypt_word(const char *key, const char *value)
{
	return is_crypt_key(key) || strcmp(value, "luks") == 0;
}

static bool json_says_crypt(const json_t *o, unsigned depth)
{
	const char *key;
	json_t *v;
	bool says = depth > 16;

	json_object_foreach((json_t *)o, key, v)
	{
		const char *s = json_string_value(v);

		says = says || is_crypt_word(key, s ? s : "") || json_says_crypt(v, depth + 1);
	}
	return says;
}

/* Whether a -drive or -blockdev speaks of encryption. */
static bool says_crypt(const char *value)
{
	struct qopts o = {0};
	json_t *json;
	bool says = false;

	if (*value == '{') {
		json = json_loads(value, 0, NULL);
		says = json_says_crypt(json, 0);
		json_decref(json);
		return says;
	}
	if (qopts_parse(&o, value, "driver") < 0)
		says = true;
	for (size_t i = 0; i < o.count; i++)
		says = says || is_crypt_word(o.at[i].key ? o.at[i].key : "", o.at[i].value);
	qopts_fini(&o);
	return says;
}

static bool is_encrypted(const struct vmdesc_disk *d)
{
	for (size_t i = 0; i < d->backing_count; i++)
		if (d->backing[i].encrypted)
			return true;
	return d->encryption.known;
}

int twin_crypt_check(struct twin_plan *p)
{
	bool copies = false;

	for (size_t i = 0; i < p->d->disk_count; i++) {
		const struct vmdesc_disk *d = &p->d->disks[i];

		copies = copies || d->copy;
		if (d->copy && is_encrypted(d))
			return err_set(p->e, ERR_REFUSED,
				       "disk %s is encrypted, and its copy would not be: leave it "
				       "out with --disks, or use --copy-storage none with an image "
				       "that both hosts see",
				       d->name);
	}
	for (size_t i = 0; copies && i < p->args->count; i++) {
		const struct qargs_item *it = &p->args->at[i];

		if (it->option &&
		    (it->option->rule == QARGS_DRIVE || it->option->rule == QARGS_BLOCKDEV) &&
		    says_crypt(it->value))
			return twin_refuse(p, it->option->name, "",
					   "its image is encrypted, and its copy would not be: "
					   "leave it out with --disks, or use --copy-storage none "
					   "with an image that both hosts see");
	}
	return 0;
}
