/* Encrypted images, as the source checks them: see check_crypt.h. Judges only what QEMU has said.
 */
#include "control/check/check_crypt.h"

#include <string.h>

#include "control/vm.h"

#define CHECK "encryption"
#define LEAVE                                                                                      \
	"leave it out with --disks, or use --copy-storage none with an image that both hosts see"

static const json_t *secret_by_id(const struct vmdesc_report *r, const char *id)
{
	const json_t *s;
	size_t i;

	json_array_foreach(r->secrets, i,
			   s) if (*id && strcmp(json_text(s, "id"), id) == 0) return s;
	return NULL;
}

/* Why a copy cannot be encrypted as the disk is. NULL: it can be. */
static const char *why_not(const json_t *disk, const json_t *crypt)
{
	const char *format = json_text(disk, "format"), *driver = json_text(crypt, "driver");

	if (strcmp(json_text(crypt, "format"), "luks") != 0)
		return "is encrypted, and not with LUKS (or QEMU does not say how)";
	if (json_is_true(json_object_get(crypt, "detached")))
		return "is encrypted, and its LUKS header is in another file";
	if (strcmp(driver, "luks") == 0
		? strcmp(format, "luks") != 0 && strcmp(format, "raw") != 0
		: strcmp(driver, "qcow2") != 0 || strcmp(format, "qcow2") != 0)
		return "is an image inside of an encrypted one";
	return NULL;
}

static bool stands_on_encrypted(const json_t *disk)
{
	const json_t *below;
	size_t i;

	json_array_foreach(
	    json_object_get(disk, "backing"), i,
	    below) if (json_is_true(json_object_get(below, "encrypted"))) return true;
	return false;
}

static void check_copy(struct check *c, const struct vmdesc_report *r, const json_t *disk,
		       const struct migrate_config *config)
{
	const json_t *crypt = json_object_get(disk, "encryption");
	const char *name = json_text(disk, "name"), *why = crypt ? why_not(disk, crypt) : NULL;
	json_int_t slots = json_integer_value(json_object_get(crypt, "slots"));

	if (stands_on_encrypted(disk) && (!crypt || config->storage == MIGRATE_STORAGE_INC))
		check_add(c, CHECK_ERROR, CHECK, LEAVE,
			  "disk %s stands on an encrypted image, and its copy would not", name);
	else if (why)
		check_add(c, CHECK_ERROR, CHECK, LEAVE, "disk %s %s", name, why);
	else if (crypt && !config->dest_qmp && !secret_by_id(r, json_text(crypt, "secret")))
		check_add(c, CHECK_ERROR, CHECK, LEAVE,
			  "disk %s is encrypted, and QEMU does not say with which secret", name);
	else if (crypt && !config->dest_qmp && slots > 1)
		check_add(c, CHECK_WARNING, CHECK, "add the others there (qemu-img amend)",
			  "disk %s has %lld key slots in use; its copy will have one, with the "
			  "secret that QEMU runs with",
			  name, (long long)slots);
	else if (crypt)
		check_add(c, CHECK_OK, CHECK, NULL, "disk %s is encrypted, and so will be its copy",
			  name);
}

/* Whether they can be handed over is the destination's to say: a launch hook may have its own. */
static void check_secrets(struct check *c, const struct vmdesc_report *r,
			  const struct migrate_config *config)
{
	const json_t *s = json_array_get(r->secrets, 0);

	if (s && config->persistent)
		check_add(c, CHECK_ERROR, CHECK, "leave --persistent out",
			  "the VM has secrets (%s), which are not kept on the destination",
			  json_text(s, "id"));
}

void check_crypt(struct check *c, const struct vmdesc_report *r,
		 const struct migrate_config *config)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(r->disks, i, disk) if (json_is_true(json_object_get(disk, "copy")))
	    check_copy(c, r, disk, config);
	/* A QEMU that somebody else starts has its own. */
	if (!config->dest_qmp)
		check_secrets(c, r, config);
}
