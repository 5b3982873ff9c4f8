/* The encryption of images, read from QEMU: see vmdesc_crypt.h. A secret's id is read here, never
 * the secret. */
#include "control/vm/vmdesc_crypt.h"

#include <string.h>

#include "control/vm/vmdesc_nodes.h"
#include "control/vm/json_text.h"

/* The encrypted node over file; NULL. */
static const json_t *encrypted_node(const json_t *nodes, const char *file)
{
	char below[4096], format[4096];
	const json_t *node;
	size_t i;

	json_array_foreach(nodes, i, node)
	{
		if (!json_is_true(json_object_get(node, "encrypted")))
			continue;
		vmdesc_nodes_resolve(json_text(node, "file"), below, format, sizeof(below));
		if (strcmp(below, file) == 0)
			return node;
	}
	return NULL;
}

/* "s0" of "json:{... "key-secret": "s0"}": what has no other name than its options. */
static void read_secret(json_t *crypt, const char *name)
{
	json_t *json = strncmp(name, "json:", 5) == 0 ? json_loads(name + 5, 0, NULL) : NULL;
	const char *id = json_text(json, "encrypt.key-secret");

	if (!*id)
		id = json_text(json, "key-secret");
	if (!*id)
		id = json_text(json_object_get(json, "encrypt"), "key-secret");
	if (*id)
		json_object_set_new(crypt, "secret", json_string(id));
	json_decref(json);
}

/* How many key slots are in use, and by how much work the costliest is opened. */
static void read_slots(json_t *crypt, const json_t *data)
{
	const json_t *slots = json_object_get(data, "slots"), *slot;
	json_int_t active = 0, iters = 0;
	size_t i;

	json_array_foreach(slots, i, slot)
	{
		json_int_t n = json_integer_value(json_object_get(slot, "iters"));

		if (!json_is_true(json_object_get(slot, "active")))
			continue;
		active++;
		iters = n > iters ? n : iters;
	}
	if (!active)
		return;
	json_object_set_new(crypt, "slots", json_integer(active));
	json_object_set_new(crypt, "iters", json_integer(iters));
}

bool vmdesc_crypt_has(const char *file, const json_t *nodes)
{
	return *file && encrypted_node(nodes, file);
}

void vmdesc_read_crypt(json_t *disk, const json_t *root, const char *file, const json_t *nodes)
{
	static const struct {
		const char *from, *to;
	} keys[] = {{"cipher-alg", "cipher_alg"},
		    {"cipher-mode", "cipher_mode"},
		    {"ivgen-alg", "ivgen_alg"},
		    {"ivgen-hash-alg", "ivgen_hash_alg"},
		    {"hash-alg", "hash_alg"}};
	const json_t *node = *file ? encrypted_node(nodes, file) : NULL;
	const json_t *image = json_object_get(node, "image");
	const json_t *data = json_object_get(json_object_get(image, "format-specific"), "data");
	const char *driver = json_text(node, "drv"), *format = "luks";
	json_t *crypt, *v;

	/* One whose options are too long for a name has none by which it could be found. */
	if (!node && json_is_true(json_object_get(root, "encrypted")))
		json_object_set_new(
		    disk, "encryption",
		    json_pack("{s:s,s:s}", "format", "unknown", "driver", json_text(root, "drv")));
	if (!node)
		return;
	if (strcmp(driver, "luks") != 0) {
		data = json_object_get(data, "encrypt");
		format = json_text(data, "format");
	}
	crypt = json_pack("{s:s,s:s}", "format", *format ? format : "unknown", "driver", driver);
	if (!crypt)
		return;
	read_secret(crypt, json_text(node, "file"));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if ((v = json_object_get(data, keys[i].from)))
			json_object_set(crypt, keys[i].to, v);
	read_slots(crypt, data);
	if (json_is_true(json_object_get(data, "detached-header")))
		json_object_set_new(crypt, "detached", json_true());
	json_object_set_new(disk, "encryption", crypt);
}
