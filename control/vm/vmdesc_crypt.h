/* The encryption of a VM's images, as QEMU on the source tells it. */
#ifndef ADIT_CONTROL_VM_VMDESC_CRYPT_H
#define ADIT_CONTROL_VM_VMDESC_CRYPT_H

#include <jansson.h>
#include <stdbool.h>

/* Adds `encryption` (docs/cookies.md) to disk, whose image is file and whose uppermost node is
 * root, where any node over that file is encrypted. nodes: query-named-block-nodes, flat. Where
 * QEMU does not say by which secret, or in which way, that member is absent. */
void vmdesc_read_crypt(json_t *disk, const json_t *root, const char *file, const json_t *nodes);

/* Whether a node over file is encrypted. */
bool vmdesc_crypt_has(const char *file, const json_t *nodes);

#endif
