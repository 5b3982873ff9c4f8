/*
 * Encrypted images and secrets of the twin. What the source says of a disk is not enough: the words
 * of its command line are looked through too, so that an image is never made in plaintext because a
 * source says nothing of its encryption. Where a secret comes from is ours to say: a descriptor
 * that QEMU inherits (arrival_secret.c).
 */
#include "control/twin/twin_i.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define WORD_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define MEND                                                                                       \
	"leave it out with --disks, or use --copy-storage none with an image that both hosts see"

/* What is put into other words must not end them. */
static int check_secrets(struct twin_plan *p)
{
	for (size_t i = 0; i < p->d->secret_count; i++) {
		const struct vmdesc_secret *s = &p->d->secrets[i];

		if (vmdesc_secret_by_id(p->d, s->id) != s)
			return err_set(p->e, ERR_REFUSED, "the VM has two secrets called %s",
				       s->id);
		if (strcmp(s->format, "raw") != 0 && strcmp(s->format, "base64") != 0)
			return err_set(p->e, ERR_REFUSED, "secret %s is of a format \"%s\"", s->id,
				       s->format);
		if (s->iv[strspn(s->iv, WORD_CHARS "+/=")])
			return err_set(p->e, ERR_REFUSED, "secret %s has an iv that is no base64",
				       s->id);
		if (*s->keyid && !vmdesc_secret_by_id(p->d, s->keyid))
			return err_set(p->e, ERR_REFUSED,
				       "secret %s is encrypted with %s, which the source has not "
				       "handed over",
				       s->id, s->keyid);
	}
	return 0;
}

/* ---- what the description says ---- */

static bool is_word(const char *s)
{
	return s[strspn(s, WORD_CHARS "-")] == 0;
}

static const char *why_not(const struct twin_plan *p, const struct vmdesc_disk *d)
{
	const bool luks = strcmp(d->encryption.driver, "luks") == 0;

	if (strcmp(d->encryption.format, "luks") != 0)
		return "is encrypted, and not with LUKS";
	if (d->encryption.detached)
		return "is encrypted, and its LUKS header is in another file";
	if (luks ? strcmp(d->format, "luks") != 0 && strcmp(d->format, "raw") != 0
		 : strcmp(d->format, "qcow2") != 0 || strcmp(d->encryption.driver, "qcow2") != 0)
		return "is an image inside of an encrypted one";
	if (!vmdesc_secret_by_id(p->d, d->encryption.secret))
		return "is encrypted, and the source has not said with which secret";
	if (!is_word(d->encryption.cipher_alg) || !is_word(d->encryption.cipher_mode) ||
	    !is_word(d->encryption.ivgen_alg) || !is_word(d->encryption.ivgen_hash_alg) ||
	    !is_word(d->encryption.hash_alg))
		return "is encrypted in a way that adit does not know";
	return NULL;
}

static int check_disk(struct twin_plan *p, const struct vmdesc_disk *d)
{
	const char *why = d->encryption.known ? why_not(p, d) : NULL;

	if (why)
		return err_set(p->e, ERR_REFUSED, "disk %s %s: " MEND, d->name, why);
	for (size_t i = 0; i < d->backing_count; i++)
		if (d->backing[i].encrypted && (p->d->inc || !d->encryption.known))
			return err_set(p->e, ERR_REFUSED,
				       "disk %s stands on an encrypted image, and its copy would "
				       "not: " MEND,
				       d->name);
	return 0;
}

/* ---- what the command line says ---- */

static bool is_secret_key(const char *key)
{
	return strcmp(key, "key-secret") == 0 || strstr(key, ".key-secret");
}

/* Of "file.driver" it is "driver" that names a format; a drive's id may be "luks". */
static bool is_driver_key(const char *key)
{
	const char *dot = strrchr(key, '.');

	key = dot ? dot + 1 : key;
	return strcmp(key, "driver") == 0 || strcmp(key, "format") == 0;
}

static bool is_crypt_word(const char *key, const char *value)
{
	return strncmp(key, "encrypt", 7) == 0 || strstr(key, ".encrypt") || is_secret_key(key) ||
	       (is_driver_key(key) && strcmp(value, "luks") == 0);
}

/* What one -drive or -blockdev says. */
struct said {
	bool crypt;
	char node[256], secret[256];
};

static void hear(struct said *s, const char *key, const char *value)
{
	s->crypt = s->crypt || is_crypt_word(key, value);
	if (is_secret_key(key))
		snprintf(s->secret, sizeof(s->secret), "%s", value);
	if (strcmp(key, "node-name") == 0)
		snprintf(s->node, sizeof(s->node), "%s", value);
}

static void hear_json(struct said *s, const json_t *o, unsigned depth)
{
	const char *key;
	json_t *v;
	size_t i;

	s->crypt = s->crypt || depth > 16;
	if (depth > 16)
		return;
	json_array_foreach(o, i, v) hear_json(s, v, depth + 1);
	json_object_foreach((json_t *)o, key, v)
	{
		hear(s, key, json_is_string(v) ? json_string_value(v) : "");
		hear_json(s, v, depth + 1);
	}
}

static struct said listen_to(const char *value)
{
	struct said s = {0};
	struct qopts o = {0};
	json_t *json;

	if (*value == '{') {
		json = json_loads(value, 0, NULL);
		hear_json(&s, json, 0);
		json_decref(json);
		return s;
	}
	if (qopts_parse(&o, value, "driver") < 0)
		s.crypt = true;
	for (size_t i = 0; i < o.count; i++)
		hear(&s, o.at[i].key ? o.at[i].key : "", o.at[i].value);
	qopts_fini(&o);
	return s;
}

/* Whether the description has what s, an option's words, are about. */
static bool is_described(const struct twin_plan *p, const struct vmdesc_disk *disk,
			 const struct said *s)
{
	if (!disk)
		disk = vmdesc_by_node(p->d, s->node);
	if (disk)
		return !disk->copy || disk->encryption.known;
	/* A node below a disk's own. */
	for (size_t i = 0; i < p->d->disk_count; i++) {
		disk = &p->d->disks[i];
		if (disk->encryption.known && *s->secret &&
		    strcmp(disk->encryption.secret, s->secret) == 0)
			return true;
	}
	return false;
}

int twin_crypt_option(struct twin_plan *p, const char *option, const struct vmdesc_disk *disk,
		      const char *value)
{
	struct said s = listen_to(value);

	if (!s.crypt)
		return 0;
	if (*s.secret && !vmdesc_secret_by_id(p->d, s.secret))
		return err_set(p->e, ERR_REFUSED,
			       "the VM cannot be launched on the destination: -%s: the source has "
			       "not handed over secret %.100s",
			       option, s.secret);
	if (!is_described(p, disk, &s))
		return twin_refuse(p, option, "",
				   "its image is encrypted, and its copy would not be: " MEND);
	return 0;
}

int twin_crypt_check(struct twin_plan *p)
{
	if (check_secrets(p) < 0)
		return p->e->code;
	for (size_t i = 0; i < p->d->disk_count; i++)
		if (p->d->disks[i].copy && check_disk(p, &p->d->disks[i]) < 0)
			return p->e->code;
	return 0;
}
